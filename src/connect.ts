import type { EmbeddedServer } from './adapters/embedded/server.ts'
import { openNatsTransport } from './adapters/nats/open.ts'
import { openTracer } from './adapters/opentelemetry/tracer.ts'
import type { NatsSettings } from './adapters/nats/settings.ts'
import { SystemClock } from './adapters/system/clock.ts'
import { SystemRandom } from './adapters/system/random.ts'
import { connectOver, type ClientOptions } from './client/connect.ts'
import { Denials } from './client/denials.ts'
import type { Holdfast } from './client/holdfast.ts'
import { withEnvironment } from './node/environment.ts'
import { guarded, silent, type Observer } from './ports/observer.ts'
import { HoldfastError } from './protocol/errors.ts'
import { defaultCluster } from './protocol/ids.ts'
import { optionsOf } from './protocol/options.ts'
import { version } from './version.ts'

interface ConnectBaseOptions extends Omit<ClientOptions, 'cluster'> {
  /** Name of the cluster. Default `holdfast`. */
  readonly cluster?: string
  /** What the client has to say about itself. Default: nothing is said. */
  readonly observer?: Observer
}

export interface NatsConnectOptions extends ConnectBaseOptions, Omit<NatsSettings, 'servers'> {
  readonly embedded?: undefined
  /** `nats://host:port`, `tls://host:port` or `host:port`, one or more of one NATS cluster. Or `HOLDFAST_SERVERS`. */
  readonly servers?: NatsSettings['servers']
}

export interface EmbeddedConnectOptions extends ConnectBaseOptions {
  /** `node.embedded` of a node of this process. */
  readonly embedded: EmbeddedServer
  readonly servers?: undefined
}

export type ConnectOptions = NatsConnectOptions | EmbeddedConnectOptions

/**
 * Connects a client. What the options leave out the variables `HOLDFAST_…` may say (docs/security.md). Rejects with `INVALID` for options
 * that cannot be, a refused login and missing permissions, `RETRY` where no NATS server answers, `TIMEOUT` where a server does
 * but no node of the cluster.
 */
export async function connect(given: ConnectOptions = {}): Promise<Holdfast> {
  const observer = guarded(optionsOf(given, 'connect()').observer ?? silent)
  const options: ConnectOptions = withEnvironment(given, process.env, observer)
  const { cluster = defaultCluster } = options
  const tracer = await openTracer(version)
  const parts = { clock: new SystemClock(), random: new SystemRandom(), observer, tracer }
  if (options.embedded !== undefined) {
    const { transport } = options.embedded.connect(observer)
    return connectOver({ ...parts, transport, release: () => transport.close() }, { ...options, cluster })
  }
  const { servers } = options
  if (servers === undefined) {
    throw new HoldfastError('INVALID', 'give `servers`, or set the variable HOLDFAST_SERVERS')
  }
  const denials = new Denials(observer)
  const transport = await openNatsTransport({ ...options, servers }, { ...parts, observer: denials })
  return connectOver(
    {
      ...parts,
      transport,
      onDenied: (listener) => void denials.listen(listener),
      metrics: () => transport.metrics(),
      release: () => transport.close(),
    },
    { ...options, cluster },
  )
}
