import { defaultMembershipSettings } from '../../actors/membership.ts'
import type { NodeSettingsInput } from '../../actors/node.ts'
import type { EmbeddedServer } from '../adapters/embedded/server.ts'
import type { NatsSettings } from '../adapters/nats/settings.ts'
import type { ActorDefinition } from '../behaviour/definition.ts'
import { durationMs, type Duration } from '../client/duration.ts'
import type { ClusterSettings } from '../partition/provision.ts'
import type { Observer } from '../ports/observer.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { isClusterName } from '../protocol/ids.ts'
import { isPartitionCount, maxPartitions } from '../protocol/partitioning.ts'

/** Where nobody names one. */
export const defaultCluster = 'holdfast'

export interface NodeBaseOptions {
  /** The actor types that this node hosts. Give all nodes of a cluster the same. */
  readonly actors: readonly ActorDefinition[]
  /** Directory of this node's stores; created if it is not there. One node at a time. */
  readonly dataDir: string
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
  /** A power of two from 1 to 512, fixed when the cluster is first started. Default: what the cluster has, 16 for a new one. */
  readonly partitions?: number
  /** Term of read leases, the same for all nodes, fixed when the cluster is first started. Default `'500ms'`. */
  readonly lease?: Duration
  /** Memory for RocksDB's write buffers and block caches, of all partitions together, bytes. Default 256 MiB. */
  readonly storeMemory?: number
  /** What the node has to say about itself. Default: nothing is said. */
  readonly observer?: Observer
  /** Everything else, each with its default and unit. */
  readonly settings?: NodeSettingsInput
}

/** A node of a cluster on NATS. */
export interface NatsNodeOptions extends NodeBaseOptions, NatsSettings {
  readonly embedded?: undefined
  /** Copies that the NATS cluster keeps of each log, from its creation on: 1, 3 or 5. Default 1. */
  readonly replicas?: number
}

/** A node without any server: `true` opens a local one in `<dataDir>/server`, more nodes of the process share it by `node.embedded`. */
export interface EmbeddedNodeOptions extends NodeBaseOptions {
  readonly embedded: true | EmbeddedServer
  readonly servers?: undefined
}

export type CreateNodeOptions = NatsNodeOptions | EmbeddedNodeOptions

/** Of a node's own inboxes and of those that it answers, where nothing else is said. */
const commonPrefix = '_INBOX'

/** Throws `INVALID` with what to do about the first thing that is wrong. */
export function checkNodeOptions(options: CreateNodeOptions): void {
  const { actors, dataDir, cluster = defaultCluster, partitions, weight = 1, servers, embedded, settings } = options
  if (!isClusterName(cluster)) throw invalid(`cluster: use 1 to 32 of a-z, 0-9 and "-", not "${cluster}"`)
  if (typeof dataDir !== 'string' || dataDir === '') throw invalid('dataDir: name a directory for this node alone')
  const types = typesOf(actors)
  const twice = types.find((type, i) => types.indexOf(type) !== i)
  if (twice !== undefined) throw invalid(`actors: the type "${twice}" is given twice`)
  if (partitions !== undefined && !isPartitionCount(partitions)) {
    throw invalid(`partitions: a power of two from 1 to ${maxPartitions}, not ${partitions}`)
  }
  if (!Number.isFinite(weight) || weight < 0) throw invalid(`weight: a number from 0, not ${weight}`)
  if ((servers === undefined) === (embedded === undefined)) throw invalid('give either `servers` or `embedded`')
  const { renewEveryMs, leaseTermMs } = { ...defaultMembershipSettings, ...settings?.membership }
  if (!(renewEveryMs > 0 && leaseTermMs >= 4 * renewEveryMs)) {
    throw invalid(
      `settings.membership: leaseTermMs is at least four times renewEveryMs, not ${leaseTermMs} with ${renewEveryMs}`,
    )
  }
  const own = options.embedded === undefined ? (options.inboxPrefix ?? commonPrefix) : commonPrefix
  const answered = settings?.inboxPrefix ?? commonPrefix
  if (own !== answered && !own.startsWith(`${answered}.`)) {
    throw invalid(
      `inboxPrefix: replies to this node would come under "${own}", and nodes answer only under "${answered}": give one that begins with that`,
    )
  }
}

export function clusterSettingsOf({ partitions, lease }: NodeBaseOptions): Partial<Omit<ClusterSettings, 'format'>> {
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(lease === undefined ? {} : { leaseMs: durationMs(lease, 'lease') }),
  }
}

function typesOf(actors: unknown): readonly string[] {
  const definitions = Array.isArray(actors) ? (actors as readonly (ActorDefinition | undefined)[]) : [undefined]
  return definitions.map((definition) => {
    if (definition?.kind === 'actor') return definition.type
    throw invalid('actors: give a list of what actor() returned')
  })
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
