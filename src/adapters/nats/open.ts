/**
 * How a composition root gets its ports over NATS: everything over one connection, which closes with the last of them; and, for a node, a
 * second way over another one.
 */
import type { Changelog } from '../../ports/changelog.ts'
import type { Inputs } from '../../ports/inputs.ts'
import type { Metric } from '../../ports/metrics.ts'
import type { Objects } from '../../ports/objects.ts'
import type { HoldfastEvent, Observer } from '../../ports/observer.ts'
import type { Registry } from '../../ports/registry.ts'
import type { Transport } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { subjectsOf } from '../../protocol/subjects.ts'
import { NatsChangelog } from './changelog.ts'
import { NatsInputs } from './inputs.ts'
import { apiErrors, failed, JetStream } from './jetstream.ts'
import { Link, type NatsParts } from './link.ts'
import { NatsObjects } from './objects.ts'
import { NatsRegistry } from './registry.ts'
import { Requests } from './requests.ts'
import { checkReplicas, type LogSettings, type NatsSettings } from './settings.ts'
import { NatsTransport } from './transport.ts'

export interface NatsPorts {
  readonly transport: Transport
  readonly changelog: Changelog
  readonly registry: Registry
  readonly inputs: Inputs
  readonly objects: Objects
  /** Creates the registry's bucket where there is none. Throws `INVALID` if the one there would lose what is written. */
  provisionRegistry(): Promise<{ readonly created: boolean }>
  /** The same for the bucket of the objects. */
  provisionObjects(): Promise<{ readonly created: boolean }>
  metrics(): readonly Metric[]
  /** Closes all ports. */
  close(): Promise<void>
}

/**
 * For a node. Throws `RETRY` where no NATS server answers, `INVALID` for wrong settings, refused credentials, a server that is
 * too old, and one without JetStream.
 */
export async function openNats(settings: NatsSettings & LogSettings, parts: NatsParts): Promise<NatsPorts> {
  // Before any connection: what is wrong needs none to be found.
  subjectsOf(settings.cluster)
  checkReplicas(settings.replicas)
  const link = await Link.connect(settings, parts)
  const hold = link.hold()
  try {
    await checkJetStream(link)
    const transport = new NatsTransport(link)
    const changelog = new NatsChangelog(link, settings)
    const registry = new NatsRegistry(link, settings)
    const inputs = new NatsInputs(link)
    const objects = new NatsObjects(link, settings)
    return {
      transport,
      changelog,
      registry,
      inputs,
      objects,
      provisionRegistry: () => registry.provision(),
      provisionObjects: () => objects.provision(),
      metrics: () => [transport, changelog, registry, inputs, objects].flatMap((port) => port.metrics()),
      async close() {
        await Promise.all([registry, changelog, inputs, objects, transport].map((port) => port.close()))
      },
    }
  } finally {
    await hold.close()
  }
}

export interface NatsSpare {
  readonly registry: Registry
  readonly transport: Transport
  metrics(): readonly Metric[]
  close(): Promise<void>
}

/**
 * A second way to the server for a node, over a connection of its own: what holds up the node's other one, a packet that is lost again and
 * again or much that waits before it, holds up nothing here. Throws like `openNats`.
 */
export async function openSpare(settings: NatsSettings & LogSettings, parts: NatsParts): Promise<NatsSpare> {
  const { observer } = parts
  // Whether the node is connected is told of its other connection.
  const quiet: Observer = { emit: (event) => void (isOfConnection(event) || observer.emit(event)) }
  const link = await Link.connect(settings, { ...parts, observer: quiet })
  const [registry, transport] = [new NatsRegistry(link, settings, 'spare'), new NatsTransport(link)]
  return {
    registry,
    transport,
    metrics: () => registry.metrics(),
    async close() {
      await Promise.all([registry.close(), transport.close()])
    },
  }
}

const isOfConnection = ({ type }: HoldfastEvent) => type === 'transport.connected' || type === 'transport.disconnected'

/** For a client: no JetStream is needed. Throws like `openNats`. */
export async function openNatsTransport(settings: NatsSettings, parts: NatsParts): Promise<NatsTransport> {
  return new NatsTransport(await Link.connect(settings, parts))
}

const betweenTriesMs = 200

/** A server whose cluster elects its leader looks like one without JetStream: it is asked for a while. */
async function checkJetStream(link: Link): Promise<void> {
  const { clock } = link.parts
  const requests = new Requests(link, 'check', link.settings.requestTimeoutMs)
  const jetstream = new JetStream(requests)
  const deadlineMs = clock.monotonic() + link.settings.connectTimeoutMs
  try {
    while (true) {
      const trouble = await jetStreamTrouble(jetstream, link)
      if (trouble === null) return
      if (trouble.code !== 'RETRY' || clock.monotonic() > deadlineMs) throw trouble
      await new Promise<void>((resolve) => clock.setTimeout(resolve, betweenTriesMs))
    }
  } finally {
    requests.close()
  }
}

async function jetStreamTrouble(jetstream: JetStream, link: Link): Promise<HoldfastError | null> {
  try {
    const { error } = await jetstream.call('INFO')
    if (error === undefined) return null
    if (error.number !== apiErrors.notEnabled && error.number !== apiErrors.notEnabledForAccount)
      return failed('INFO', error)
    return new HoldfastError(
      'INVALID',
      `the NATS server at ${link.server} has no JetStream for this user: enable it for the user's account`,
    )
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    if (link.offersJetStream || !link.up) return error
    return new HoldfastError(
      'INVALID',
      `the NATS server at ${link.server} has no JetStream: start it with \`jetstream {}\` in its configuration, or with -js`,
      { cause: error },
    )
  }
}
