/**
 * What a cluster is made of before its first turn: settings, and for each partition a log with a generation (L1).
 *
 * G1. The log comes first, its generation in its metadata and its genesis record; the registry's entry follows. A crash in between leaves
 *     a log without an entry, which the next provisioner adopts, or one without a genesis, which it completes.
 * G2. Where the registry has a generation no log is ever created: if the log is gone, it was lost, and the partition stops.
 */
import { genesisRecord } from '../core/log.ts'
import type { Changelog } from '../ports/changelog.ts'
import type { Observer } from '../ports/observer.ts'
import type { Random } from '../ports/random.ts'
import type { Registry } from '../ports/registry.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { generation, partitionId, type Generation, type PartitionId } from '../protocol/ids.ts'
import { checkPartitionCount, defaultPartitions } from '../protocol/partitioning.ts'

/** The same for all nodes of a cluster; written once, by the first. */
export interface ClusterSettings {
  readonly format: 1
  readonly partitions: number
  /** Term of read leases, whole ms (O3, O4). */
  readonly leaseMs: number
}

export interface ProvisionOptions {
  readonly registry: Registry
  readonly changelog: Changelog
  readonly random: Random
  readonly observer: Observer
}

export interface Cluster {
  readonly settings: ClusterSettings
  readonly generations: readonly Generation[]
}

const defaults: ClusterSettings = { format: 1, partitions: defaultPartitions, leaseMs: 500 }

/**
 * Makes sure of all of it; safe to run on any number of nodes at once. `wanted` are the settings that a node was given: where the
 * cluster has others, `INVALID`.
 */
export async function provision(
  wanted: Partial<Omit<ClusterSettings, 'format'>>,
  options: ProvisionOptions,
): Promise<Cluster> {
  const settings = await provisionSettings(wanted, options.registry)
  const partitions = Array.from({ length: settings.partitions }, (_, n) => partitionId(n))
  const generations = await Promise.all(partitions.map((partition) => provisionPartition(partition, options)))
  return { settings, generations }
}

async function provisionSettings(
  wanted: Partial<Omit<ClusterSettings, 'format'>>,
  registry: Registry,
): Promise<ClusterSettings> {
  const settings: ClusterSettings = { ...defaults, ...wanted }
  checkPartitionCount(settings.partitions)
  if (!(settings.leaseMs >= 50 && settings.leaseMs <= 60_000)) {
    throw new HoldfastError('INVALID', `a read lease runs 50 to 60,000 ms, not ${settings.leaseMs}`)
  }
  let entry = await registry.get('settings')
  // Asked first: a node needs no permission to create what is there.
  if (entry === null) {
    await registry.create('settings', Buffer.from(JSON.stringify(settings)))
    entry = await registry.get('settings')
  }
  if (entry === null) throw new HoldfastError('RETRY', 'the settings of the cluster cannot be read; try again')
  const found = parseSettings(entry.value)
  for (const name of ['partitions', 'leaseMs'] as const) {
    if (wanted[name] !== undefined && wanted[name] !== found[name]) {
      throw new HoldfastError(
        'INVALID',
        `this node was given ${name} = ${wanted[name]}, but the cluster has ${found[name]}: leave it out, or use that`,
      )
    }
  }
  return found
}

/** The settings of a cluster that is provisioned already; `undefined` before its first node. */
export async function knownSettings(registry: Registry): Promise<ClusterSettings | undefined> {
  const entry = await registry.get('settings')
  return entry === null ? undefined : parseSettings(entry.value)
}

function parseSettings(value: Uint8Array): ClusterSettings {
  const settings = JSON.parse(Buffer.from(value).toString()) as ClusterSettings
  if (settings.format !== 1) {
    throw new HoldfastError(
      'INVALID',
      `the cluster's settings have format ${String(settings.format)}; this version knows 1`,
    )
  }
  checkPartitionCount(settings.partitions)
  // Former versions have written what they were given.
  return { ...settings, leaseMs: Math.ceil(settings.leaseMs) }
}

/** All keys `generation.<n>`. */
export const generationPrefix = 'generation'
export const generationKey = (partition: PartitionId): string => `${generationPrefix}.${partition}`

/** Of a key of that prefix. */
export const partitionOfKey = (key: string): number => Number(key.slice(generationPrefix.length + 1))

/** What the registry names, with the key's revision; `null`: the partition is not provisioned. Throws `RETRY`. */
export async function knownGeneration(
  registry: Registry,
  partition: PartitionId,
): Promise<{ readonly generation: Generation; readonly revision: number } | null> {
  const entry = await registry.get(generationKey(partition))
  return entry === null ? null : { generation: generationOf(entry.value), revision: entry.revision }
}

export const generationOf = (value: Uint8Array): Generation => generation(Buffer.from(value).toString())

async function provisionPartition(partition: PartitionId, options: ProvisionOptions): Promise<Generation> {
  const { registry, changelog, random, observer } = options
  const key = generationKey(partition)
  const known = await knownGeneration(registry, partition)
  if (known !== null) return known.generation
  const fresh = generation(random.id())
  const { created } = await changelog.provision(partition, fresh, genesisRecord(partition, fresh))
  if (created) observer.emit({ type: 'log.provisioned', partition, generation: fresh })
  const info = await changelog.log(partition).info()
  if (info === null) throw new HoldfastError('RETRY', `the log of partition ${partition} cannot be read yet; try again`)
  if (info.last === 0) await changelog.provision(partition, info.generation, genesisRecord(partition, info.generation))
  await registry.create(key, Buffer.from(info.generation))
  const entry = await registry.get(key)
  if (entry === null)
    throw new HoldfastError('RETRY', `the generation of partition ${partition} cannot be read; try again`)
  return generationOf(entry.value)
}
