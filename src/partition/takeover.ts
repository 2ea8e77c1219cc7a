/**
 * Becoming the owner of a partition: store, replay, claim. The order of effects:
 *
 * V1. Open the store. What is damaged, of another generation or of other content than the log is set aside, never served, never deleted;
 *     so is one that has come less far than where the log begins, until its successor is open, which has all that it had. One that was to be
 *     made of a snapshot, and was not finished, is deleted. An empty one is made of the newest snapshot, where there is one.
 * V2. Compare: the log must be there, of the generation that the registry names, and at least as long as the store (L1); the record at
 *     the store's last valid position must have the hash that the store knows (L4).
 * V3. Replay from there exactly to the log's last sequence as its leader gave it (O2).
 * V4. Append the claim alone, expecting that sequence: what is accepted there is valid (L6). On any doubt read on and judge: one's own
 *     claim found valid is a claim; a higher or equal epoch of another means `outbid`.
 * V5. Serve from 1.1 lease terms after the last valid record of the former epoch was seen here (O4): a standby saw it when it came. At once
 *     after a hand-off.
 */
import { hash64ToBytes, recordHash, sameBytes } from '../core/hashing.ts'
import { BrokenLog, type LogPosition } from '../core/log.ts'
import { serveFrom } from '../core/read-lease.ts'
import type { LogInfo, PartitionLog } from '../ports/changelog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Compression } from '../ports/compression.ts'
import type { Objects } from '../ports/objects.ts'
import type { Registry } from '../ports/registry.ts'
import type { Store, Stores } from '../ports/store.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../protocol/errors.ts'
import { nextSeq, type Epoch, type Generation, type NodeRef } from '../protocol/ids.ts'
import { encodeRecord } from '../protocol/record.ts'
import { catchUp, logInfo, Outdated, outdatedBecause, readLog, takeIn, type TailOptions } from './log-tail.ts'
import { Replica, type ReplicaOptions } from './replica.ts'
import { discardUnfinished, isUnfinished, restoreSnapshot, type RestoreOptions } from './snapshot/restore.ts'

export interface OpenOptions extends ReplicaOptions, TailOptions {
  readonly stores: Stores
  readonly objects: Objects
  readonly registry: Registry
  readonly compression: Compression
  readonly onRestoring?: RestoreOptions['onRestoring']
}

export interface TakeoverOptions extends OpenOptions {
  readonly node: NodeRef
  readonly leaseMs: number
}

/**
 * Makes sure that a replica that was kept is still one of its log (V2), as after a connection that broke. Throws `BrokenLog`,
 * `Outdated`, and `INTERNAL` where the replica is of another log. One that has read nothing fits each log that is there from its beginning.
 */
export async function checkReplica(replica: Replica, options: TakeoverOptions): Promise<void> {
  const info = await logInfo(options)
  const verdict = await compare(replica, info, options.log, options.generation)
  if (verdict.kind === 'behind') throw new Outdated(replica.position.seq, info.first)
  if (verdict.kind === 'wrong') throw new HoldfastError('INTERNAL', verdict.reason)
}

/** Opens the replica, as far as the store has it. Throws `BrokenLog` where the log is not what it must be. */
export async function openReplica(options: OpenOptions): Promise<Replica> {
  const info = await logInfo(options)
  const kept = await openKept(info, options)
  if (kept.replica !== undefined) return kept.replica
  const replica = await openEmpty(info, options)
  if (kept.outdated !== undefined) await discardOutdated(kept.outdated, options)
  return replica
}

/** `outdated`: where the one is that the log was trimmed behind. Where there is no replica there is no store any more. */
type Kept =
  | { readonly replica: Replica; readonly outdated?: undefined }
  | { readonly replica?: undefined; readonly outdated?: string }

/** As this node has left it (V1). */
async function openKept(info: LogInfo, options: OpenOptions): Promise<Kept> {
  const { partition, generation, stores, log, observer } = options
  let store: Store | undefined
  let verdict: Verdict | 'unfinished' = 'unfinished'
  try {
    store = await stores.open(partition)
    if (!(await isUnfinished(store))) {
      const replica = await Replica.open(store, partition, generation, options)
      if (replica.position.seq === 0) {
        await replica.close({ flush: false })
        return {}
      }
      verdict = await compare(replica, info, log, generation)
      if (verdict.kind === 'same') return { replica }
    }
  } catch (error) {
    if (error instanceof BrokenLog || !isHoldfastError(error, 'INTERNAL')) {
      await store?.close()
      throw error
    }
    verdict = { kind: 'wrong', reason: messageOf(error) }
  }
  await store?.close()
  if (verdict === 'unfinished') {
    await discardUnfinished(options)
    return {}
  }
  const { reason } = verdict
  const path = await stores.setAside(partition, reason)
  if (verdict.kind === 'behind') {
    observer.emit({ type: 'store.outdated', partition, reason, path })
    return path === null ? {} : { outdated: path }
  }
  observer.emit({ type: 'store.set-aside', partition, reason, path })
  return {}
}

/** Where that fails it stays: its successor serves all the same. */
async function discardOutdated(path: string, { partition, stores, observer }: OpenOptions): Promise<void> {
  try {
    await stores.discardAside(path)
    observer.emit({ type: 'store.discarded', partition })
  } catch (error) {
    observer.emit({ type: 'store.failed', partition, reason: messageOf(error) })
  }
}

/** What an empty store begins from: the newest snapshot, or else the log's beginning, where that is there. */
async function openEmpty({ first }: LogInfo, options: OpenOptions): Promise<Replica> {
  const { partition, generation } = options
  const restored = await restoreSnapshot(options)
  if (restored !== null) return opened(restored.store, options)
  if (first > 1) {
    throw new BrokenLog(
      partition,
      `it begins at ${first}, and there is no snapshot of generation ${generation} that can be used`,
    )
  }
  return openFresh(options)
}

const openFresh = async (options: OpenOptions): Promise<Replica> =>
  opened(await options.stores.open(options.partition), options)

async function opened(store: Store, options: OpenOptions): Promise<Replica> {
  try {
    return await Replica.open(store, options.partition, options.generation, options)
  } catch (error) {
    await store.close()
    throw error
  }
}

/** `behind`: the log was trimmed since, and nothing says that it is wrong. Neither can be gone on with. */
type Verdict = { readonly kind: 'same' } | { readonly kind: 'behind' | 'wrong'; readonly reason: string }

const same: Verdict = { kind: 'same' }

async function compare(replica: Replica, info: LogInfo, log: PartitionLog, generation: Generation): Promise<Verdict> {
  const { partition, seq, validSeq, validHash, generation: stored } = replica.position
  if (stored !== generation) return { kind: 'wrong', reason: `it is of generation ${stored}, the log of ${generation}` }
  if (info.last < seq) {
    // Who said so did not know of that record.
    const { last = info.last } = (await log.info(seq)) ?? {}
    const fault = `it ends at ${last}, though this node's store has record ${seq}`
    throw last < seq
      ? new BrokenLog(partition, fault)
      : new HoldfastError('RETRY', 'the log has grown meanwhile: ask again')
  }
  if (seq === 0 && info.first <= 1) return same // It has read nothing yet, and begins where the log does.
  if (nextSeq(seq) < info.first || validSeq < info.first) {
    return { kind: 'behind', reason: outdatedBecause(seq, info.first) }
  }
  for await (const entry of readLog(partition, log, validSeq, validSeq)) {
    if (sameBytes(recordHash(entry.record), validHash)) return same
  }
  // It may have been trimmed before it was read (T5 of log-tail.ts).
  const { first = info.first } = (await log.info(seq)) ?? {}
  if (validSeq < first) return { kind: 'behind', reason: outdatedBecause(seq, first) }
  return { kind: 'wrong', reason: `record ${validSeq} of the log is not the one that the store has` }
}

export type ClaimResult =
  /** `serveFromMs`: monotonic (V5). */
  | { readonly kind: 'claimed'; readonly serveFromMs: number }
  /** The log has an epoch that is not below the one proposed; placement has to propose a higher one (O1). */
  | { readonly kind: 'outbid'; readonly by: Epoch }

/** Claims the partition (V4). The replica stands right at the claim when it is `claimed`. */
export async function claim(replica: Replica, epoch: Epoch, options: TakeoverOptions): Promise<ClaimResult> {
  const { partition, log, node, clock, observer, leaseMs, signal } = options
  await catchUp(replica, options)
  const claimed = (serveFromMs: number): ClaimResult => {
    observer.emit({ type: 'partition.claimed', partition, epoch, seq: replica.position.validSeq })
    return { kind: 'claimed', serveFromMs }
  }
  // The claim was sent before, and the log could not be read since.
  if (isOwn(replica.position, epoch, node)) return claimed(serveFrom(replica.sawLastAtMs, leaseMs, false))
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
      // A record's time is whole, whatever the lease.
      time: Math.max(Math.ceil(endOfReads(before, leaseMs)), Math.floor(clock.now())),
      published: before.published,
      stateHash: hash64ToBytes(replica.stateHash),
      node: node.id,
    })
    // What comes in between is still the former owner's, and its lease counts from there: then this is reckoned again.
    const serveFromMs = serveFrom(replica.sawLastAtMs, leaseMs, before.handedOff || before.epoch === 0)
    const appended = await log.append(record, before.seq)
    signal.throwIfAborted()
    const at = nextSeq(before.seq)
    const certain = appended.kind === 'accepted' && !appended.duplicate && appended.seq === at
    if (certain) await takeIn(replica, { seq: at, record }, options)
    else await catchUp(replica, options)
    const { position } = replica
    if (isOwn(position, epoch, node)) return claimed(serveFromMs)
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

const pause = (clock: Clock, ms: number) => new Promise<void>((resolve) => clock.setTimeout(resolve, ms))
