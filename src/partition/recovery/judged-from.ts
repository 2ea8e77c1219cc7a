/**
 * Where a log can be judged from: what a record counts for depends on those before it, of which a log that was trimmed has not all.
 *
 * JF1. A log is judged from its genesis record, where it begins with that, or from behind a snapshot that is kept.
 */
import { startOfLog, type LogPosition } from '../../core/log.ts'
import type { LogInfo, PartitionLog } from '../../ports/changelog.ts'
import type { Registry } from '../../ports/registry.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { nextSeq, type PartitionId, type Seq } from '../../protocol/ids.ts'
import { decodeRecord } from '../../protocol/record.ts'
import { readManifest, type SnapshotSource } from '../snapshot/contents.ts'
import { readPointer } from '../snapshot/pointer.ts'

export interface JudgedFromOptions extends SnapshotSource {
  readonly partition: PartitionId
  readonly registry: Registry
  readonly log: PartitionLog
}

/** The last position that all from `wanted` on can be judged from, or else the first that there is. Throws `NOT_FOUND` where there is none. */
export async function judgedFrom(options: JudgedFromOptions, info: LogInfo, wanted: Seq): Promise<LogPosition> {
  const { partition } = options
  let oldest: LogPosition | undefined
  for await (const position of snapshotPositions(options, info)) {
    if (position.seq < wanted) return position
    oldest = position
  }
  if (await beginsWithGenesis(options.log, info)) return startOfLog(partition, info.generation, info.first)
  if (oldest !== undefined) return oldest
  throw new HoldfastError(
    'NOT_FOUND',
    `the log of partition ${partition} begins at record ${info.first}, and there is no snapshot that can be read, behind which it could be judged: see "holdfast verify ${partition}"`,
  )
}

/** Newest first. One that cannot be read is passed over: `verify` tells of it. */
async function* snapshotPositions(options: JudgedFromOptions, info: LogInfo): AsyncGenerator<LogPosition> {
  const { partition, registry } = options
  for (const { id, generation } of (await readPointer(registry, partition)).kept) {
    if (generation !== info.generation) continue
    try {
      const { position } = await readManifest(options, partition, id)
      if (nextSeq(position.seq) >= info.first) yield position
    } catch (error) {
      if (!isHoldfastError(error, 'INTERNAL')) throw error
    }
  }
}

/** A log that was recovered has it later than at 1. */
async function beginsWithGenesis(log: PartitionLog, { first, last }: LogInfo): Promise<boolean> {
  if (first > last) return false
  for await (const { record } of log.read(first, first)) return decodeRecord(record).kind === 'genesis'
  return false
}
