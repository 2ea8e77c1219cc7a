import type { EmbeddedServer } from './adapters/embedded/server.ts'
import { openNatsTransport } from './adapters/nats/open.ts'
import type { NatsSettings } from './adapters/nats/settings.ts'
import { SystemClock } from './adapters/system/clock.ts'
import { SystemRandom } from './adapters/system/random.ts'
import { connectOver, type ClientOptions } from './client/connect.ts'
import type { Holdfast } from './client/holdfast.ts'
import { defaultCluster } from './node/options.ts'
import { silent, type Observer } from './ports/observer.ts'

interface ConnectBaseOptions extends Omit<ClientOptions, 'cluster'> {
  /** Name of the cluster. Default `holdfast`. */
  readonly cluster?: string
  /** What the client has to say about itself. Default: nothing is said. */
  readonly observer?: Observer
}

export interface NatsConnectOptions extends ConnectBaseOptions, NatsSettings {
  readonly embedded?: undefined
}

export interface EmbeddedConnectOptions extends ConnectBaseOptions {
  /** `node.embedded` of a node of this process. */
  readonly embedded: EmbeddedServer
  readonly servers?: undefined
}

export type ConnectOptions = NatsConnectOptions | EmbeddedConnectOptions

/**
 * Connects a client. Rejects with `INVALID` for options that cannot be, `RETRY` where no NATS server answers, `TIMEOUT` where a server does
 * but no node of the cluster.
 */
export async function connect(options: ConnectOptions): Promise<Holdfast> {
  const { cluster = defaultCluster, observer = silent } = options
  const parts = { clock: new SystemClock(), random: new SystemRandom(), observer }
  if (options.embedded !== undefined) {
    const { transport } = options.embedded.connect(observer)
    return connectOver({ ...parts, transport, release: () => transport.close() }, { ...options, cluster })
  }
  const transport = await openNatsTransport(options, parts)
  return connectOver({ ...parts, transport, release: () => transport.close() }, { ...options, cluster })
}
