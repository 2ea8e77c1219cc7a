import { defaultMembershipSettings } from '../../actors/membership.ts'
import type { NodeSettingsInput } from '../../actors/node.ts'
import type { EmbeddedServer } from '../adapters/embedded/server.ts'
import type { NatsSettings } from '../adapters/nats/settings.ts'
import type { ActorDefinition } from '../behaviour/definition.ts'
import type { TaskDefinition } from '../behaviour/task.ts'
import type { RetentionSettings } from '../core/trim.ts'
import { durationMs, type Duration } from '../protocol/duration.ts'
import type { ClusterSettings } from '../partition/provision.ts'
import type { Observer } from '../ports/observer.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { defaultCluster, isClusterName } from '../protocol/ids.ts'
import { isPartitionCount, maxPartitions } from '../protocol/partitioning.ts'
import { defaultInboxPrefixes } from '../protocol/subjects.ts'
import { httpAddressOf } from './http-door.ts'

const maxStandbys = 8

export interface NodeBaseOptions {
  /** The actor types that this node hosts. Give all nodes of a cluster the same. */
  readonly actors: readonly ActorDefinition[]
  /** The stream tasks that run on the partitions of this node (docs/tasks.md). Give all nodes of a cluster the same. Default: none. */
  readonly tasks?: readonly TaskDefinition[]
  /** Directory of this node's stores; created if it is not there. One node at a time. Or `HOLDFAST_DATA_DIR`. */
  readonly dataDir?: string
  /** `[a-z0-9-]{1,32}`, the same for all nodes and clients. Default `holdfast`. */
  readonly cluster?: string
  /** `[A-Za-z0-9_-]{1,64}`, unique in the cluster. Default: one made up at the first start and kept in `dataDir`. */
  readonly nodeId?: string
  /** Name of the machine: what is on one fails together. Default: the host's name. */
  readonly host?: string
  /** Name of the rack or building, likewise. Default: ''. */
  readonly zone?: string
  /** Share of the partitions relative to other nodes. Default 1; 0 for none. */
  readonly weight?: number
  /**
   * Nodes that stand by for each partition: each keeps its state, and takes over at once when the owner goes. 0 to 8, as far as there are
   * other nodes; give all nodes the same. Default 1.
   */
  readonly standbys?: number
  /** A power of two from 1 to 512, fixed when the cluster is first started. Default: what the cluster has, 16 for a new one. */
  readonly partitions?: number
  /** Term of read leases, the same for all nodes, fixed when the cluster is first started. Default `'500ms'`. */
  readonly lease?: Duration
  /**
   * Changes that are kept for watchers that come back, of the whole cluster: those of `age`, as far as they are among the last `bytes` of the
   * logs; each partition has its share. Logs are trimmed behind them. Give all nodes the same. Or
   * `HOLDFAST_RETENTION_AGE` and `HOLDFAST_RETENTION_BYTES`. Default `'24h'` and 1 GiB.
   */
  readonly retention?: RetentionOptions
  /** Memory for RocksDB's write buffers and block caches, of all partitions together, bytes. Or `HOLDFAST_STORE_MEMORY`. Default 256 MiB. */
  readonly storeMemory?: number
  /** What the node has to say about itself. Default: nothing is said. */
  readonly observer?: Observer
  /**
   * Where `/healthz`, `/readyz` and `/metrics` are answered: a port of loopback, or `host:port`; port 0 is any, and `node.http` says which
   * (docs/metrics.md). Or `HOLDFAST_HTTP`. Default: nowhere.
   */
  readonly http?: number | string
  /** Everything else, each with its default and unit. */
  readonly settings?: NodeSettingsInput
}

export interface RetentionOptions {
  readonly age?: Duration
  readonly bytes?: number
}

/** A node of a cluster on NATS. */
export interface NatsNodeOptions extends NodeBaseOptions, Omit<NatsSettings, 'servers'> {
  readonly embedded?: undefined
  /** `nats://host:port`, `tls://host:port` or `host:port`, one or more of one NATS cluster. Or `HOLDFAST_SERVERS`. */
  readonly servers?: NatsSettings['servers']
  /** Copies that the NATS cluster keeps of each log, from its creation on: 1, 3 or 5. Default 1. */
  readonly replicas?: number
}

/** A node without any server: `true` opens a local one in `<dataDir>/server`, more nodes of the process share it by `node.embedded`. */
export interface EmbeddedNodeOptions extends NodeBaseOptions {
  readonly embedded: true | EmbeddedServer
  readonly servers?: undefined
}

export type CreateNodeOptions = NatsNodeOptions | EmbeddedNodeOptions

/** What has been found complete. */
export type CheckedNodeOptions =
  | (NatsNodeOptions & Pick<NatsSettings, 'servers'> & { readonly dataDir: string })
  | (EmbeddedNodeOptions & { readonly dataDir: string })

/** Throws `INVALID` with what to do about the first thing that is wrong. */
export function checkNodeOptions(options: CreateNodeOptions): asserts options is CheckedNodeOptions {
  const {
    actors,
    dataDir,
    cluster = defaultCluster,
    weight = 1,
    standbys = 1,
    storeMemory,
    servers,
    embedded,
    settings,
  } = options
  checkClusterOptions(options)
  retentionFrom(options.retention ?? {})
  if (storeMemory !== undefined && !(Number.isSafeInteger(storeMemory) && storeMemory >= 1)) {
    throw invalid(`storeMemory: a whole number of bytes from 1, not ${storeMemory}`)
  }
  if (typeof dataDir !== 'string' || dataDir === '')
    throw invalid('dataDir: name a directory for this node alone, or set HOLDFAST_DATA_DIR')
  const types = typesOf(actors)
  const twice = types.find((type, i) => types.indexOf(type) !== i)
  if (twice !== undefined) throw invalid(`actors: the type "${twice}" is given twice`)
  checkTasks(options.tasks ?? [], embedded !== undefined)
  if (options.http !== undefined) httpAddressOf(options.http)
  if (!Number.isFinite(weight) || weight < 0) throw invalid(`weight: a number from 0, not ${weight}`)
  if (!(Number.isInteger(standbys) && standbys >= 0 && standbys <= maxStandbys)) {
    throw invalid(`standbys: a whole number from 0 to ${maxStandbys}, not ${standbys}`)
  }
  if ((servers === undefined) === (embedded === undefined)) {
    throw invalid('give either `servers`, also by the variable HOLDFAST_SERVERS, or `embedded`')
  }
  const { renewEveryMs, leaseTermMs } = { ...defaultMembershipSettings, ...settings?.membership }
  if (!(renewEveryMs > 0 && leaseTermMs >= 4 * renewEveryMs)) {
    throw invalid(
      `settings.membership: leaseTermMs is at least four times renewEveryMs, not ${leaseTermMs} with ${renewEveryMs}`,
    )
  }
  const answered = settings?.inboxPrefixes ?? defaultInboxPrefixes(cluster)
  if (!Array.isArray(answered) || answered.length === 0)
    throw invalid('settings.inboxPrefixes: give at least one prefix')
  const { inboxPrefix: own = '_INBOX' } = options.embedded === undefined ? options : {}
  if (!answered.some((prefix) => own === prefix || own.startsWith(`${prefix}.`))) {
    throw invalid(
      `inboxPrefix: replies to this node would come under "${own}", and nodes answer only under ${answered.map((prefix) => `"${prefix}"`).join(' and ')}: give one that begins so, or set settings.inboxPrefixes on all nodes`,
    )
  }
}

/** Throws `INVALID` for what no cluster can be. */
export function checkClusterOptions({
  cluster = defaultCluster,
  partitions,
}: Pick<NodeBaseOptions, 'cluster' | 'partitions'>): void {
  if (!isClusterName(cluster)) throw invalid(`cluster: use 1 to 32 of a-z, 0-9 and "-", not "${cluster}"`)
  if (partitions !== undefined && !isPartitionCount(partitions)) {
    throw invalid(`partitions: a power of two from 1 to ${maxPartitions}, not ${partitions}`)
  }
}

/** Throws `INVALID`. */
export function retentionFrom({ age, bytes }: RetentionOptions): Partial<RetentionSettings> {
  if (bytes !== undefined && !(Number.isSafeInteger(bytes) && bytes >= 0)) {
    throw invalid(`retention.bytes: a whole number from 0, not ${bytes}`)
  }
  return {
    ...(age === undefined ? {} : { ageMs: durationMs(age, 'retention.age') }),
    ...(bytes === undefined ? {} : { bytes }),
  }
}

export function clusterSettingsOf({
  partitions,
  lease,
}: Pick<NodeBaseOptions, 'partitions' | 'lease'>): Partial<Omit<ClusterSettings, 'format'>> {
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(lease === undefined ? {} : { leaseMs: Math.ceil(durationMs(lease, 'lease')) }),
  }
}

function typesOf(actors: unknown): readonly string[] {
  const definitions = Array.isArray(actors) ? (actors as readonly (ActorDefinition | undefined)[]) : [undefined]
  return definitions.map((definition) => {
    if (definition?.kind === 'actor') return definition.type
    throw invalid('actors: give a list of what actor() returned')
  })
}

function checkTasks(tasks: unknown, embedded: boolean): void {
  const definitions = Array.isArray(tasks) ? (tasks as readonly (TaskDefinition | undefined)[]) : [undefined]
  const names = new Set<string>()
  const keepers = new Map<string, string>()
  for (const task of definitions) {
    if (task?.kind !== 'task') throw invalid('tasks: give a list of what task() returned')
    const { name, input, stores } = task
    if (names.has(name)) throw invalid(`tasks: the task "${name}" is given twice`)
    names.add(name)
    for (const { name: store } of stores) {
      const keeper = keepers.get(store)
      if (keeper !== undefined)
        throw invalid(`tasks: the store "${store}" is of "${keeper}" and of "${name}": one writes to it`)
      keepers.set(store, name)
    }
    if (embedded && input.stream !== undefined) {
      throw invalid(
        `tasks: "${name}" reads the stream ${input.stream}, and an embedded node has no streams: give it a plain subject, or run on NATS`,
      )
    }
  }
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
