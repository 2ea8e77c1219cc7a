/**
 * Becoming the owner of a partition: store, replay, claim. The order of effects:
 *
 * V1. Open the store. What is damaged, of another generation or of other content than the log is set aside, never served, never deleted.
 * V2. Compare: the log must be there, of the generation that the registry names, and at least as long as the store (L1); the record at
 *     the store's last valid position must have the hash that the store knows (L4).
 * V3. Replay from there exactly to the log's last sequence as its leader gave it (O2).
 * V4. Append the claim alone, expecting that sequence. On any doubt read on and judge: one's own claim found valid is a claim; a
 *     higher or equal epoch of another means `outbid`.
 * V5. Serve from 1.1 lease terms after the last valid record of the former epoch was seen here (O4), at once after a hand-off.
 */
import { hash64ToBytes, recordHash, sameBytes } from '../core/hashing.ts'
import { BrokenLog, judge, type LogPosition } from '../core/log.ts'
import { serveFrom } from '../core/read-lease.ts'
import type { LogEntry, LogInfo, PartitionLog } from '../ports/changelog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Store, Stores } from '../ports/store.ts'
import { isHoldfastError, messageOf } from '../protocol/errors.ts'
import { nextSeq, type Epoch, type Generation, type NodeRef, type PartitionId, type Seq } from '../protocol/ids.ts'
import { encodeRecord } from '../protocol/record.ts'
import { Replica, type ReplicaOptions } from './replica.ts'

export interface TakeoverOptions extends ReplicaOptions {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly stores: Stores
  readonly log: PartitionLog
  readonly clock: Clock
  readonly observer: Observer
  readonly node: NodeRef
  readonly leaseMs: number
  /** Aborts it between two steps. */
  readonly signal: AbortSignal
}

/** Opens the replica, as far as the store has it. Throws `BrokenLog` where the log is not what it must be. */
export async function openReplica(options: TakeoverOptions): Promise<Replica> {
  const { partition, generation, stores, log, observer } = options
  const info = await logInfo(options)
  let store: Store | undefined
  let reason: string
  try {
    store = await stores.open(partition)
    const replica = await Replica.open(store, partition, generation, options)
    const verdict = await compare(replica, info, log, generation)
    if (verdict === 'same') return replica
    reason = verdict
  } catch (error) {
    if (error instanceof BrokenLog || !isHoldfastError(error, 'INTERNAL')) {
      await store?.close()
      throw error
    }
    reason = messageOf(error)
  }
  await store?.close()
  observer.emit({ type: 'store.set-aside', partition, reason, path: await stores.setAside(partition, reason) })
  const fresh = await stores.open(partition)
  try {
    return await Replica.open(fresh, partition, generation, options)
  } catch (error) {
    await fresh.close()
    throw error
  }
}

/** Why the store cannot be gone on with, or `same`. */
async function compare(replica: Replica, info: LogInfo, log: PartitionLog, generation: Generation): Promise<string> {
  const { partition, seq, validSeq, validHash, generation: stored } = replica.position
  if (stored !== generation) return `it is of generation ${stored}, the log of ${generation}`
  if (info.last < seq) {
    throw new BrokenLog(partition, `it ends at ${info.last}, though this node's store has record ${seq}`)
  }
  if (validSeq === 0) return 'same'
  for await (const entry of readLog(partition, log, validSeq, validSeq)) {
    if (sameBytes(recordHash(entry.record), validHash)) return 'same'
  }
  return `record ${validSeq} of the log is not the one that the store has`
}

/** Brings the replica to the log's end as it is now (V3). Gives the monotonic time at which the last valid record was seen. */
export async function catchUp(replica: Replica, options: TakeoverOptions): Promise<number> {
  const { partition, log, clock, observer, signal } = options
  const from = nextSeq(replica.position.seq)
  const { last } = await logInfo(options)
  replica.noteHead(last)
  let sawLastAtMs = clock.monotonic()
  let records = 0
  let bytes = 0
  if (last < replica.position.seq)
    throw new BrokenLog(partition, `it ends at ${last}, though ${replica.position.seq} was read`)
  if (last >= from) {
    for await (const entry of readLog(partition, log, from, last)) {
      signal.throwIfAborted()
      const verdict = judge(replica.position, entry.seq, entry.record)
      if (verdict.kind === 'broken') throw new BrokenLog(partition, verdict.reason)
      if (verdict.kind === 'valid') {
        await replica.replay(verdict.record, verdict.position)
        sawLastAtMs = clock.monotonic()
      } else {
        replica.noteVoid(entry.seq)
        replica.advance(verdict.position)
        observer.emit({ type: 'partition.void-record', partition, seq: entry.seq })
      }
      records++
      bytes += entry.record.length
    }
    if (replica.position.seq !== last)
      throw new BrokenLog(partition, `it has no record ${nextSeq(replica.position.seq)}`)
  }
  observer.emit({ type: 'partition.replayed', partition, from, to: last, records, bytes })
  return sawLastAtMs
}

export type ClaimResult =
  /** `serveFromMs`: monotonic (V5). */
  | { readonly kind: 'claimed'; readonly serveFromMs: number }
  /** The log has an epoch that is not below the one proposed; placement has to propose a higher one (O1). */
  | { readonly kind: 'outbid'; readonly by: Epoch }

/** Claims the partition (V4). The replica stands right at the claim when it is `claimed`. */
export async function claim(replica: Replica, epoch: Epoch, options: TakeoverOptions): Promise<ClaimResult> {
  const { partition, log, node, clock, observer, leaseMs, signal } = options
  let sawLastAtMs = await catchUp(replica, options)
  const claimed = (serveFromMs: number): ClaimResult => {
    observer.emit({ type: 'partition.claimed', partition, epoch, seq: replica.position.validSeq })
    return { kind: 'claimed', serveFromMs }
  }
  // The claim was sent before, and the log could not be read since.
  if (isOwn(replica.position, epoch, node)) return claimed(serveFrom(sawLastAtMs, leaseMs, false))
  for (;;) {
    signal.throwIfAborted()
    const before = replica.position
    if (before.epoch >= epoch) return { kind: 'outbid', by: before.epoch }
    const record = encodeRecord({
      kind: 'claim',
      partition,
      epoch,
      incarnation: node.incarnation,
      prev: before.validHash,
      time: Math.max(endOfReads(before, leaseMs), Math.floor(clock.now())),
      published: before.published,
      stateHash: hash64ToBytes(replica.stateHash),
      node: node.id,
    })
    const serveFromMs = serveFrom(sawLastAtMs, leaseMs, before.handedOff || before.epoch === 0)
    await log.append(record, before.seq)
    signal.throwIfAborted()
    const saw = await catchUp(replica, options)
    const { position } = replica
    if (isOwn(position, epoch, node)) return claimed(serveFromMs)
    // What came in between was still the former owner's, and its lease counts from there.
    if (position.validSeq > before.validSeq) sawLastAtMs = saw
    // Nothing came in between: the log takes nothing, or its answer is lost.
    if (position.seq === before.seq) await pause(clock, pauseMs)
  }
}

/** No later partition time was seen by whoever read under the former owner's lease: what had expired for a reader stays so (E6). */
const endOfReads = ({ time, handedOff, epoch }: LogPosition, leaseMs: number): number =>
  handedOff || epoch === 0 ? time : time + leaseMs

const isOwn = (position: LogPosition, epoch: Epoch, node: NodeRef) =>
  position.epoch === epoch && position.incarnation === node.incarnation && !position.handedOff

const pauseMs = 50

async function logInfo({ partition, generation, log }: TakeoverOptions): Promise<LogInfo> {
  const info = await log.info().catch((error: unknown) => {
    throw brokenBy(error, partition)
  })
  if (info === null) throw new BrokenLog(partition, 'it is gone')
  if (info.generation !== generation) {
    throw new BrokenLog(partition, `it is of generation ${info.generation}, though the registry names ${generation}`)
  }
  return info
}

async function* readLog(partition: PartitionId, log: PartitionLog, from: Seq, to: Seq): AsyncGenerator<LogEntry> {
  try {
    yield* log.read(from, to)
  } catch (error) {
    throw brokenBy(error, partition)
  }
}

/** A log that is damaged, or set up to lose records (L7), is no reason to touch a store: that may be the only good copy (L1). */
const brokenBy = (error: unknown, partition: PartitionId): unknown =>
  isHoldfastError(error, 'INTERNAL') || isHoldfastError(error, 'INVALID')
    ? new BrokenLog(partition, error.message)
    : error

const pause = (clock: Clock, ms: number) => new Promise<void>((resolve) => clock.setTimeout(resolve, ms))
