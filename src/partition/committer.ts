/**
 * Group commit: finished turns go into records, records into the log, several at a time; nobody hears of a turn before its record
 * is committed. The judgement is core/pipeline.ts; here is the sending, the waiting and the reading back.
 *
 * K1. Turns enter records in the order in which they finished, and are committed in that order.
 * K2. Where nothing is in flight, what has finished by the end of what runs now is sent. While an append is in flight what finishes gathers
 *     for the next record; only when that has grown past `groupBytes` is it sent behind the first, up to `window` at a time. So a quiet
 *     partition answers after one append, a busy one fills its records. The hand-off record, behind which there is nothing, waits for
 *     nothing: it is sent behind all that has finished and is in flight.
 * K3. In trouble nothing is sent before the log has been read back (L5); reading is repeated, with growing pauses, until it works or
 *     the ownership ends. So it is where the server does not let this node read: permissions are given back.
 * K4. After `stop` nothing is sent and no callback runs, but that what is being delivered is so to its end: half of it would leave a replica torn.
 * K5. When a record was sent is read before its time is: under the lease that it gives, which counts from there (O3), nobody reads a partition
 *     time that is more than a term behind the record's, and that is what the next owner begins with (takeover.ts).
 * K6. What cannot be written as a record is a bug, and ends the ownership in doubt. Nothing of it is in the log, so nobody hears of it; but
 *     later turns may have seen it, so none of them is sent either, and the next owner begins with what was committed.
 */
import { replaceShare, hash64ToBytes, recordHash, sameBytes, type Hash64 } from '../core/hashing.ts'
import { BrokenLog, type LogPosition } from '../core/log.ts'
import { Pipeline, type Committed, type Ticket } from '../core/pipeline.ts'
import type { LogEntry, PartitionLog } from '../ports/changelog.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import { Denied } from '../ports/denied.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import { isHoldfastError } from '../protocol/errors.ts'
import { nextSeq, type NodeId, type Seq, type SessionId } from '../protocol/ids.ts'
import {
  encodeRecord,
  type CommitRecord,
  type HandoffRecord,
  type OutputRecord,
  type RecordHeader,
  type SessionMark,
} from '../protocol/record.ts'
import type { FinishedTurn, Turn } from './turn.ts'

export interface CommittedRecord {
  readonly seq: Seq
  /** As the log has it. */
  readonly bytes: Uint8Array
  readonly record: CommitRecord | HandoffRecord
  readonly turns: readonly FinishedTurn[]
  /** When it was first sent, monotonic ms. */
  readonly sentAtMs: number
}

export interface CommitterOptions {
  readonly log: PartitionLog
  readonly clock: Clock
  readonly observer: Observer
  /** Right after one's own claim. */
  readonly position: LogPosition
  readonly stateHash: Hash64
  /** Appends in flight at most. Default 4. */
  readonly window: number
  /** Bytes of turns that are worth an append beside one in flight. Default 32 KiB. */
  readonly groupBytes: number
  /** Bytes of one record at most, about half of what the server takes. */
  readonly maxRecordBytes: number
  /** Partition time now. */
  readonly time: () => number
  /** How far changes have been published (E2). */
  readonly published: () => Seq
  /** Sessions to be ended in the next record. */
  readonly ended: () => readonly SessionId[]
  /** In order, before `onProgress`. */
  readonly onCommitted: (committed: CommittedRecord) => void
  /** Everything up to `position` is committed; the last append of it was sent at `sentAtMs`. */
  readonly onProgress: (position: LogPosition, voids: readonly Seq[], sentAtMs: number) => void
  /** `null`: so long ago that the log does not tell by whom any more, nor what became of what was in flight. */
  readonly onFenced: (by: LogPosition | null) => void
  readonly onBroken: (error: BrokenLog) => void
  /** K6: it has stopped. */
  readonly onUnwritable: () => void
}

interface Item {
  readonly record: CommitRecord | HandoffRecord
  readonly turns: readonly FinishedTurn[]
}

/** Bytes that a turn, and each of its mutations, adds to its record beside states, reply and names: numbers, and the heads of all parts. */
const turnOverhead = 32
const mutationOverhead = 48
const outputOverhead = 16
const headerOverhead = 10
/** Of a record without its turns, at most; and of each session that it ends. */
const headBytes = 256
const endedBytes = 72
const maxTurnsInRecord = 16_384
const firstPauseMs = 10
const longestPauseMs = 500

export class Committer {
  readonly #options: CommitterOptions
  readonly #pipeline: Pipeline<Item>
  #stateHash: Hash64
  #open: FinishedTurn[] = []
  #openBytes = 0
  #renewal = false
  #handoff: NodeId | undefined
  #scheduled = false
  #recovering = false
  /** Recoveries since the last commit: where the log answers but takes nothing, the next one waits longer. */
  #fruitless = 0
  #stopped = false
  #pause: { readonly timer: Timer; readonly wake: () => void } | undefined

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#pipeline = new Pipeline(options.position)
    this.#stateHash = options.stateHash
  }

  /** Bytes of turns that are gathered, and of records in flight. */
  get uncommittedBytes(): number {
    return this.#openBytes + this.#pipeline.bytesInFlight
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_appends_in_flight', this.#pipeline.inFlight, this.#options.window)]
  }

  add(finished: FinishedTurn): void {
    this.#open.push(finished)
    this.#openBytes += weight(finished)
    this.#schedule()
  }

  /** Sees to it that an append is sent after this call, with or without turns (O3). */
  renew(): void {
    this.#renewal = true
    this.#schedule()
  }

  /** The last record of this ownership; call it when no turn will be added any more. */
  handOff(to: NodeId): void {
    this.#handoff = to
    this.#schedule()
  }

  /** The connection was away: nothing more is sent until the log has been compared (L4). */
  suspect(reason: string): void {
    if (this.#stopped) return
    this.#pipeline.suspect()
    this.#trouble(reason)
  }

  stop(): void {
    this.#stopped = true
    if (this.#pause === undefined) return
    this.#options.clock.clearTimeout(this.#pause.timer)
    this.#pause.wake()
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped || this.#mustWait) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#sendReady()
    })
  }

  /** Nothing is to be sent before an append in flight is answered (K2). */
  get #mustWait(): boolean {
    const { inFlight } = this.#pipeline
    if (inFlight >= this.#options.window) return true
    return inFlight > 0 && this.#handoff === undefined && this.#openBytes < this.#options.groupBytes
  }

  #sendReady(): void {
    try {
      this.#sendWhatIsReady()
    } catch (error) {
      // K6
      this.stop()
      const { observer, onUnwritable } = this.#options
      const where = `a record of partition ${this.#pipeline.position.partition}`
      observer.emit({ type: 'handler.threw', where, error })
      onUnwritable()
    }
  }

  #sendWhatIsReady(): void {
    if (this.#stopped || this.#pipeline.inTrouble) return
    while (this.#open.length > 0 || this.#renewal) {
      if (this.#mustWait) return
      this.#sendCommit()
    }
    if (this.#handoff !== undefined && !this.#mustWait) {
      const to = this.#handoff
      this.#handoff = undefined
      const sentAtMs = this.#options.clock.monotonic()
      this.#send({ record: { kind: 'handoff', ...this.#header(), to }, turns: [] }, sentAtMs)
    }
  }

  #sendCommit(): void {
    const { turns, bytes } = this.#takeTurns()
    this.#renewal = false
    const sessions = new SessionMarks()
    const outputs: OutputRecord[] = []
    for (const finished of turns) {
      for (const { before, after } of finished.mutations) {
        this.#stateHash = replaceShare(this.#stateHash, before, after)
      }
      if (finished.turn !== undefined) finished.session = sessions.mark(finished.turn)
      if (finished.outputs.length > 0) outputs.push(...finished.outputs)
    }
    const room = Math.floor((this.#options.maxRecordBytes - headBytes - bytes) / endedBytes)
    const ended =
      room <= 0
        ? []
        : this.#options
            .ended()
            .filter((session) => !sessions.has(session))
            .slice(0, room)
    // K5
    const sentAtMs = this.#options.clock.monotonic()
    const record: CommitRecord = { kind: 'commit', ...this.#header(), sessions: sessions.marks, ended, turns, outputs }
    this.#send({ record, turns }, sentAtMs)
  }

  /** The first turns that fit into one record. */
  #takeTurns(): { readonly turns: FinishedTurn[]; readonly bytes: number } {
    const mostBytes = this.#options.maxRecordBytes - headBytes
    let bytes = this.#openBytes
    if (bytes <= mostBytes && this.#open.length <= maxTurnsInRecord) {
      const turns = this.#open
      this.#open = []
      this.#openBytes = 0
      return { turns, bytes }
    }
    let count = 0
    bytes = 0
    for (const finished of this.#open) {
      const more = weight(finished)
      if (count > 0 && (bytes + more > mostBytes || count >= maxTurnsInRecord)) break
      bytes += more
      count++
    }
    this.#openBytes -= bytes
    return { turns: this.#open.splice(0, count), bytes }
  }

  #header(): RecordHeader {
    const { partition, epoch, incarnation } = this.#pipeline.position
    return {
      partition,
      epoch,
      incarnation,
      prev: this.#pipeline.link,
      time: this.#options.time(),
      published: this.#options.published(),
      stateHash: hash64ToBytes(this.#stateHash),
    }
  }

  #send(item: Item, sentAtMs: number): void {
    const bytes = encodeRecord(item.record)
    const ticket = this.#pipeline.push(bytes, item.record, sentAtMs, item)
    this.#append(bytes, ticket)
  }

  #append(bytes: Uint8Array, ticket: Ticket): void {
    void this.#options.log.append(bytes, ticket.expected).then((result) => {
      if (this.#stopped) return
      const outcome = this.#pipeline.settle(ticket, result)
      if (outcome === 'stale') return
      if (outcome === 'trouble') this.#trouble('reason' in result ? result.reason : 'an unexpected acknowledgement')
      else if (outcome.length > 0) {
        this.#deliver(outcome, [])
        this.#sendReady()
      }
    })
  }

  #deliver(committed: readonly Committed<Item>[], voids: readonly Seq[]): void {
    let sentAtMs = Number.NEGATIVE_INFINITY
    if (committed.length > 0) this.#fruitless = 0
    for (const { seq, bytes, item, sentAtMs: sent } of committed) {
      sentAtMs = Math.max(sentAtMs, sent)
      this.#options.onCommitted({ seq, bytes, record: item.record, turns: item.turns, sentAtMs: sent })
    }
    if (committed.length > 0 || voids.length > 0) this.#options.onProgress(this.#pipeline.position, voids, sentAtMs)
  }

  #trouble(reason: string): void {
    this.#options.observer.emit({ type: 'partition.trouble', partition: this.#pipeline.position.partition, reason })
    if (this.#recovering) return
    this.#recovering = true
    void this.#recover()
  }

  /** Reads the log back until it is known what happened (L5). Rejects never: what is unexpected breaks the partition. */
  async #recover(): Promise<void> {
    const { partition } = this.#pipeline.position
    while (!this.#stopped) {
      if (this.#fruitless > 0) await this.#wait(Math.min(firstPauseMs * 2 ** (this.#fruitless - 1), longestPauseMs))
      this.#fruitless++
      try {
        const entries = await this.#readBack()
        if (this.#stopped) return
        if (entries === 'trimmed') return this.#options.onFenced(null)
        const recovery = this.#pipeline.recover(entries)
        this.#deliver(recovery.committed, recovery.voids)
        if (this.#stopped) return
        if (recovery.kind === 'broken') throw new BrokenLog(partition, recovery.reason)
        if (recovery.kind === 'fenced') return this.#options.onFenced(recovery.by)
        this.#recovering = false
        for (const { bytes, ticket } of recovery.resend) this.#append(bytes, ticket)
        const [committed, appendedAgain] = [recovery.committed.length, recovery.resend.length]
        this.#options.observer.emit({ type: 'partition.recovered', partition, committed, appendedAgain })
        return this.#sendReady()
      } catch (error) {
        if (this.#stopped) return
        if (error instanceof BrokenLog) return this.#options.onBroken(error)
        // K3
        const mayPass = isHoldfastError(error, 'RETRY') || error instanceof Denied
        if (!mayPass) return this.#options.onBroken(new BrokenLog(partition, String(error)))
      }
    }
  }

  /**
   * What the log holds after the last confirmed record, which must still be there and the same (L1, L4). `trimmed`: it is gone, as it can only
   * be behind a snapshot of another owner, for one's own has never more than what is confirmed.
   */
  async #readBack(): Promise<LogEntry[] | 'trimmed'> {
    const { log } = this.#options
    const { partition, generation, seq, validSeq, validHash } = this.#pipeline.position
    const info = await log.info(seq)
    if (info === null) throw new BrokenLog(partition, 'it is gone')
    if (info.generation !== generation) {
      throw new BrokenLog(partition, `it is of generation ${info.generation}, not ${generation}`)
    }
    if (info.last < seq) throw new BrokenLog(partition, `it ends at ${info.last}, though ${seq} was committed`)
    if (info.first > validSeq) return 'trimmed'
    const entries: LogEntry[] = []
    try {
      for await (const entry of log.read(validSeq, info.last)) entries.push(entry)
    } catch (error) {
      throw isHoldfastError(error, 'NOT_FOUND') ? new BrokenLog(partition, 'it is gone') : error
    }
    const known = entries[0]
    // It may have been trimmed while it was read.
    if (known?.seq !== validSeq && ((await log.info())?.first ?? 0) > validSeq) return 'trimmed'
    if (known?.seq !== validSeq || !sameBytes(recordHash(known.record), validHash)) {
      throw new BrokenLog(partition, `record ${validSeq} is not the one that was committed`)
    }
    return entries.filter((entry) => entry.seq >= nextSeq(seq))
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#pause = undefined
        resolve()
      }
      this.#pause = { timer: this.#options.clock.setTimeout(wake, ms), wake }
    })
  }
}

/** The sessions of a record, each with the highest of what its turns say is settled. */
class SessionMarks {
  readonly marks: SessionMark[] = []
  readonly #indexes = new Map<SessionId, number>()

  has(session: SessionId): boolean {
    return this.#indexes.has(session)
  }

  /** Its index in the record. */
  mark({ session, low }: Turn): number {
    const { marks } = this
    // Most turns are of the session that the last one was of.
    let index: number | undefined = marks.length - 1
    if (marks[index]?.session !== session) index = this.#indexes.get(session)
    if (index === undefined) {
      index = marks.push({ session, low }) - 1
      this.#indexes.set(session, index)
    } else if (low > marks[index]!.low) marks[index] = { session, low }
    return index
  }
}

/** At least what a turn takes in its record, its session's mark included. */
function weight({ turn, mutations, reply, outputs }: FinishedTurn): number {
  let bytes = turnOverhead + (turn?.session.length ?? 0) + reply.length
  for (const { type, key, state } of mutations) {
    bytes += mutationOverhead + 3 * (type.length + key.length) + (state?.length ?? 0)
  }
  for (const { subject, data, headers } of outputs) {
    bytes += outputOverhead + 3 * subject.length + data.length
    for (const [name, value] of Object.entries(headers)) bytes += headerOverhead + name.length + 3 * value.length
  }
  return bytes
}
