/**
 * What brings a replica forward: the log's records, judged one by one.
 *
 * T1. `catchUp` reads exactly to the end that the log's leader names, and finds fault with what is not there (L4).
 * T2. `tail` goes on with what is stored later, as a replica of the log has it. What it cannot take in it does not judge: it ends with
 *     `RETRY`, and the leader is asked (T1).
 * T3. Whatever ends it, the replica stands right behind the last record that was taken in whole.
 * T4. A replica that has come less far than where the log begins, since that was trimmed, cannot go on: `Outdated`; who opens it again has it made
 *     anew of a snapshot (V1 of takeover.ts).
 * T5. A log may be trimmed while it is read, also by a former owner that does not know yet that it is one. So what is missing is a fault only
 *     where the leader, asked again, says that the log still begins before it.
 * T6. A log that this node is not let to read is not a broken one: it is asked for again (`RETRY`), until the permission is given back.
 */
import { BrokenLog, judge } from '../core/log.ts'
import type { LogEntry, LogInfo, PartitionLog } from '../ports/changelog.ts'
import type { Clock } from '../ports/clock.ts'
import { Denied } from '../ports/denied.ts'
import type { Observer } from '../ports/observer.ts'
import { HoldfastError, isHoldfastError } from '../protocol/errors.ts'
import { nextSeq, type Epoch, type Generation, type NodeId, type PartitionId, type Seq } from '../protocol/ids.ts'
import type { LoopShare } from './loop-share.ts'
import type { Replica } from './replica.ts'

export interface TailOptions {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly log: PartitionLog
  readonly clock: Clock
  readonly observer: Observer
  /** Of the replays of the node. */
  readonly share: LoopShare
  /** Aborts it between two steps. */
  readonly signal: AbortSignal
  /** An ownership was handed off, as the log says. Default: nobody wants to know. */
  readonly onHandedOff?: ((epoch: Epoch, to: NodeId) => void) | undefined
  /** Called by `tail` after each record that was taken in whole. Default: nobody asks. */
  readonly onApplied?: (() => void) | undefined
}

/** T4 */
export class Outdated extends HoldfastError {
  constructor(seq: Seq, first: Seq) {
    super('RETRY', outdatedBecause(seq, first))
  }
}

export const outdatedBecause = (seq: Seq, first: Seq): string =>
  `it has come to record ${seq}, and the log begins at ${first}`

const tellEveryMs = 1_000

/** Brings the replica to the log's end as it is now (T1). Throws `BrokenLog`, `Outdated`, `RETRY`, and `Diverged` (M4 of the replica). */
export async function catchUp(replica: Replica, options: TailOptions): Promise<void> {
  const { partition, log, clock, observer, share, signal } = options
  const from = nextSeq(replica.position.seq)
  const beganAtMs = clock.monotonic()
  const { first, last } = await logInfo(options, replica.position.seq)
  replica.noteHead(last)
  if (first > from) throw new Outdated(replica.position.seq, first)
  let records = 0
  let bytes = 0
  let toldMs = beganAtMs
  if (last < replica.position.seq)
    throw new BrokenLog(partition, `it ends at ${last}, though ${replica.position.seq} was read`)
  if (last >= from) {
    for await (const entry of readLog(partition, log, from, last)) {
      const turn = share.turn()
      if (turn !== undefined) await turn
      signal.throwIfAborted()
      const fault = await takeIn(replica, entry, options)
      if (fault !== undefined) throw await missing(replica, fault, options)
      records++
      bytes += entry.record.length
      const nowMs = clock.monotonic()
      if (nowMs - toldMs < tellEveryMs) continue
      toldMs = nowMs
      const leftMs = Math.round(((last - entry.seq) * (nowMs - beganAtMs)) / (entry.seq - from + 1))
      observer.emit({ type: 'partition.replaying', partition, at: entry.seq, to: last, leftMs })
    }
    if (replica.position.seq !== last)
      throw await missing(replica, `it has no record ${nextSeq(replica.position.seq)}`, options)
  }
  const ms = clock.monotonic() - beganAtMs
  observer.emit({ type: 'partition.replayed', partition, from, to: last, records, bytes, ms })
}

/** What is wrong where the next record was not there, or not what it must be (T5). */
async function missing(replica: Replica, fault: string, options: TailOptions): Promise<Outdated | BrokenLog> {
  const { seq } = replica.position
  const { first } = await logInfo(options, seq)
  return first > nextSeq(seq) ? new Outdated(seq, first) : new BrokenLog(options.partition, fault)
}

/** Takes in what comes (T2), until `signal` aborts. Throws as `catchUp` does, but never `BrokenLog`. */
export async function tail(replica: Replica, options: TailOptions): Promise<void> {
  const { log, share, signal, onApplied } = options
  const reading = log.follow(nextSeq(replica.position.seq))
  const stop = () => reading.close()
  signal.addEventListener('abort', stop, { once: true })
  // Aborted before, it tells nobody any more.
  if (signal.aborted) stop()
  try {
    for (;;) {
      const entry = await reading.next()
      if (entry === undefined) return
      const turn = share.turn()
      if (turn !== undefined) await turn
      if (signal.aborted) return
      const fault = await takeIn(replica, entry, options)
      if (fault !== undefined) throw new HoldfastError('RETRY', `${fault}: the log's leader has to be asked`)
      onApplied?.()
    }
  } catch (error) {
    throw askedAgain(error)
  } finally {
    signal.removeEventListener('abort', stop)
    reading.close()
  }
}

/** What is wrong with the entry, if it cannot be the next one. */
export async function takeIn(
  replica: Replica,
  { seq, record }: LogEntry,
  options: TailOptions,
): Promise<string | undefined> {
  const verdict = judge(replica.position, seq, record)
  if (verdict.kind === 'broken') return verdict.reason
  if (verdict.kind === 'valid') {
    await replica.replay(verdict.record, verdict.position)
    if (verdict.record.kind === 'handoff') options.onHandedOff?.(verdict.record.epoch, verdict.record.to)
  } else {
    replica.noteVoid(seq)
    replica.advance(verdict.position)
    options.observer.emit({ type: 'partition.void-record', partition: options.partition, seq })
  }
  return undefined
}

/** Of the log, which must be there and of the generation that the registry names (L1). Throws `BrokenLog`, and what `info` throws. */
export async function logInfo({ partition, generation, log }: TailOptions, known?: Seq): Promise<LogInfo> {
  const info = await log.info(known).catch((error: unknown) => {
    throw brokenBy(error, partition)
  })
  if (info === null) throw new BrokenLog(partition, 'it is gone')
  if (info.generation !== generation) {
    throw new BrokenLog(partition, `it is of generation ${info.generation}, though the registry names ${generation}`)
  }
  return info
}

export async function* readLog(
  partition: PartitionId,
  log: PartitionLog,
  from: Seq,
  to: Seq,
): AsyncGenerator<LogEntry> {
  try {
    yield* log.read(from, to)
  } catch (error) {
    throw brokenBy(error, partition)
  }
}

/** A log that is damaged, or set up to lose records (L7), is no reason to touch a store: that may be the only good copy (L1). */
function brokenBy(error: unknown, partition: PartitionId): unknown {
  if (error instanceof Denied) return askedAgain(error)
  const isBroken = isHoldfastError(error, 'INTERNAL') || isHoldfastError(error, 'INVALID')
  return isBroken ? new BrokenLog(partition, error.message) : error
}

/** T6 */
const askedAgain = (error: unknown): unknown =>
  error instanceof Denied ? new HoldfastError('RETRY', error.reason, { cause: error }) : error
