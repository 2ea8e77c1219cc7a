/** Which partitions a command is about, and what it needs of the cluster to deal with them itself. */
import type { NatsPorts } from '../adapters/nats/open.ts'
import { SystemCompression } from '../adapters/system/compression.ts'
import { knownSettings, type ClusterSettings } from '../partition/provision.ts'
import type { Compression } from '../ports/compression.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { partitionId, type PartitionId } from '../protocol/ids.ts'
import { parseWhole } from './parse.ts'
import type { CliSession } from './session.ts'

/** Those that are named, each once; all where none is. Throws `NOT_FOUND` for one that the cluster does not have. */
export function chosenPartitions(named: readonly string[], count: number): readonly PartitionId[] {
  if (named.length === 0) return Array.from({ length: count }, (_, n) => partitionId(n))
  const numbers = [...new Set(named.map(parseWhole))]
  const unknown = numbers.find((n) => n >= count)
  if (unknown !== undefined) {
    throw new HoldfastError('NOT_FOUND', `there is no partition ${unknown}: the cluster has 0 to ${count - 1}`)
  }
  return numbers.map(partitionId)
}

export interface StoredCluster {
  readonly settings: ClusterSettings
  readonly ports: NatsPorts
  readonly compression: Compression
}

/** What the cluster has stored, for a command that asks no node. Throws `NOT_FOUND` where there is no such cluster. */
export async function storedCluster(session: CliSession): Promise<StoredCluster> {
  const ports = await session.jetStream()
  const settings = await knownSettings(ports.registry)
  if (settings === undefined) {
    throw new HoldfastError(
      'NOT_FOUND',
      `there is no cluster "${session.settings.cluster}" on this server: correct --cluster or --servers`,
    )
  }
  return { settings, ports, compression: new SystemCompression() }
}

/** As people read them. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`
}

export const rateOf = (bytes: number, ms: number): string => (ms <= 0 ? '-' : `${(bytes / 1_000 / ms).toFixed(1)} MB/s`)
