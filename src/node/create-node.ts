import { hostname } from 'node:os'
import { join } from 'node:path'
import { createNodeActor, type Node, type NodePorts, type NodeStatus } from '../../actors/node.ts'
import { EmbeddedServer } from '../adapters/embedded/server.ts'
import { openNats, openSpare, type NatsSpare } from '../adapters/nats/open.ts'
import { openTracer } from '../adapters/opentelemetry/tracer.ts'
import { RocksDbStores } from '../adapters/rocksdb/stores.ts'
import { SystemCompression } from '../adapters/system/compression.ts'
import { SystemClock } from '../adapters/system/clock.ts'
import { SystemRandom } from '../adapters/system/random.ts'
import { knownSettings } from '../partition/provision.ts'
import type { Metric } from '../ports/metrics.ts'
import { guarded, silent } from '../ports/observer.ts'
import { defaultCluster } from '../protocol/ids.ts'
import { optionsOf } from '../protocol/options.ts'
import { defaultPartitions } from '../protocol/partitioning.ts'
import { version } from '../version.ts'
import { withEnvironment } from './environment.ts'
import type { NodeDoor } from './node-door.ts'
import { nodeIdFor } from './node-id.ts'
import {
  checkNodeOptions,
  clusterSettingsOf,
  retentionFrom,
  type CheckedNodeOptions,
  type CreateNodeOptions,
  type EmbeddedNodeOptions,
  type NatsNodeOptions,
} from './options.ts'
import { patiently } from './patiently.ts'

/** A node of a cluster, in this process. */
export interface HoldfastNode {
  readonly id: string
  /** The local server that this node runs on, for further nodes and clients of the process; `undefined` on NATS. */
  readonly embedded: EmbeddedServer | undefined
  /** Where its health and metrics are, `http://host:port`; `undefined` where the options name no address. */
  readonly http: string | undefined
  status(): NodeStatus
  /** How full its parts are, each with its limit, and how often they have refused something (docs/limits.md). */
  metrics(): readonly Metric[]
  /**
   * Moves every partition to other nodes, as far as there are any; resolves when this one owns none. It can still be closed only. Rejects with
   * `RETRY` while the registry does not answer: then nothing can be moved.
   */
  drain(): Promise<void>
  /** Ends what it owns, leaves the cluster, and releases everything. Idempotent. */
  close(): Promise<void>
  /** As if the process were killed: nothing more is sent, written or said; handles are released. For tests and demonstrations. */
  crash(): Promise<void>
}

/**
 * Starts a node and joins it to its cluster; the first one provisions what the cluster needs. What the options leave out the variables
 * `HOLDFAST_…` may say (docs/security.md). Rejects with `INVALID` for options that cannot be and permissions that are missing, `CONFLICT` where another node has the directory or something else the port of `http`, `RETRY` where no NATS server answers, or its JetStream does not for half a minute. A node with the id of one that
 * runs takes its place: the former is fenced (O1). One that lost its lease and cannot begin again says why (`node.failed`), and closes itself:
 * `close` releases it.
 */
export async function createNode(given: CreateNodeOptions): Promise<HoldfastNode> {
  const observer = guarded(optionsOf(given, 'createNode()').observer ?? silent)
  const options: CreateNodeOptions = withEnvironment({ ...given, observer }, process.env, observer)
  checkNodeOptions(options)
  const { cluster = defaultCluster, http } = options
  let door: NodeDoor | undefined
  if (http !== undefined) {
    // Nodes without it do without prom-client.
    const opened = await import('./node-door.ts')
    door = await opened.NodeDoor.open(http, cluster, observer, new SystemClock())
  }
  try {
    return await createBehind(door, options)
  } catch (error) {
    await door?.close()
    throw error
  }
}

async function createBehind(door: NodeDoor | undefined, options: CheckedNodeOptions): Promise<HoldfastNode> {
  const world = await openWorld(options, door)
  const { cluster = defaultCluster, host = hostname(), zone = '', weight = 1, actors, tasks = [], settings } = options
  let node: Node
  const metrics = () => [...node.metrics(), ...world.metrics()]
  try {
    const id = await nodeIdFor(options.nodeId, options.dataDir, world.ports.random)
    node = createNodeActor(world.ports, {
      cluster,
      id,
      host,
      zone,
      weight,
      version,
      definitions: actors,
      tasks,
      clusterSettings: clusterSettingsOf(options),
      settings: {
        ...settings,
        retention: { ...retentionFrom(options.retention ?? {}), ...settings?.retention },
        placement: {
          ...(options.standbys === undefined ? {} : { standbys: options.standbys }),
          ...settings?.placement,
        },
        partition: { freezeQueries: process.env.NODE_ENV !== 'production', ...settings?.partition },
      },
    })
    door?.show({ status: () => node.status(), health: () => node.health(), metrics })
    await node.start()
  } catch (error) {
    await world.close()
    throw error
  }
  let ended: Promise<void> | undefined
  const endOnce = async (how: () => Promise<void>) => {
    try {
      await how()
    } finally {
      await Promise.all([world.close(), door?.close()])
    }
  }
  const end = (how: () => Promise<void>) => (ended ??= endOnce(how))
  return {
    id: node.status().id,
    embedded: world.embedded,
    http: door?.url,
    status: () => node.status(),
    metrics,
    drain: () => node.drain(),
    close: () => end(() => node.close()),
    crash: () =>
      end(() => {
        void world.ports.transport.close()
        return node.crash()
      }),
  }
}

interface World {
  readonly ports: NodePorts
  readonly metrics: () => readonly Metric[]
  readonly embedded: EmbeddedServer | undefined
  readonly close: () => Promise<void>
}

async function openWorld(options: CheckedNodeOptions, door: NodeDoor | undefined): Promise<World> {
  const { dataDir, storeMemory, partitions = defaultPartitions } = options
  const observer = door?.observer ?? options.observer ?? silent
  const parts = { clock: new SystemClock(), random: new SystemRandom(), observer }
  const server = await (options.embedded === undefined ? openNatsServer(options, parts) : openEmbedded(options, parts))
  try {
    const known = await patiently(parts.clock, () => knownSettings(server.ports.registry))
    const stores = await RocksDbStores.open({
      dataDir,
      maxStores: known?.partitions ?? partitions,
      ...(storeMemory === undefined ? {} : { memoryBudget: storeMemory }),
    })
    return {
      ports: {
        ...parts,
        ...server.ports,
        stores,
        compression: new SystemCompression(),
        tracer: await openTracer(version),
        meter: door?.meter,
      },
      embedded: server.embedded,
      metrics: server.metrics,
      close: async () => {
        await Promise.all([stores.close(), server.close()])
      },
    }
  } catch (error) {
    await server.close()
    throw error
  }
}

type Parts = Pick<NodePorts, 'clock' | 'random' | 'observer'>

interface Server {
  readonly ports: Pick<NodePorts, 'transport' | 'changelog' | 'registry' | 'spare' | 'inputs' | 'objects'>
  readonly embedded: EmbeddedServer | undefined
  readonly metrics: () => readonly Metric[]
  close(): Promise<void>
}

async function openNatsServer(options: CheckedNodeOptions & NatsNodeOptions, parts: Parts): Promise<Server> {
  const { cluster = defaultCluster } = options
  const nats = await openNats({ ...options, cluster }, parts)
  let spare: NatsSpare
  try {
    await patiently(parts.clock, () => nats.provisionRegistry())
    await patiently(parts.clock, () => nats.provisionObjects())
    spare = await openSpare({ ...options, cluster }, parts)
  } catch (error) {
    await nats.close()
    throw error
  }
  const { transport, changelog, registry, inputs, objects } = nats
  return {
    ports: { transport, changelog, registry, spare, inputs, objects },
    embedded: undefined,
    metrics: () => [...nats.metrics(), ...spare.metrics()],
    async close() {
      await Promise.all([nats.close(), spare.close()])
    },
  }
}

/** How many nodes of this process run on a local server; the last one closes it. */
const nodesOn = new WeakMap<EmbeddedServer, number>()

async function openEmbedded(options: CheckedNodeOptions & EmbeddedNodeOptions, parts: Parts): Promise<Server> {
  const { embedded: given, dataDir } = options
  const embedded = given === true ? await EmbeddedServer.open({ dataDir: join(dataDir, 'server'), ...parts }) : given
  nodesOn.set(embedded, (nodesOn.get(embedded) ?? 0) + 1)
  const ports = embedded.connect(parts.observer)
  return {
    ports,
    embedded,
    metrics: () => [],
    async close() {
      const { transport, changelog, registry, objects } = ports
      await Promise.all([transport, changelog, registry, objects].map((port) => port.close()))
      const left = nodesOn.get(embedded)! - 1
      nodesOn.set(embedded, left)
      if (left === 0) await embedded.close()
    },
  }
}
