/**
 * An owner's appends between sending and certainty. Pure: the committer (src/partition/committer.ts) does the sending and reading.
 *
 * P1. Records are sent in order, each expecting the sequence that the one before it will get.
 * P2. A record is committed when it is acknowledged at its sequence and all before it are (L6), or when reading back finds it valid.
 * P3. Any other answer is trouble (L5): nothing more is sent, and the answers to what was sent before are not listened to any
 *     more, until the log has been read back. What the log then does not hold is sent again, byte-identical and in order.
 * P4. A valid claim of a higher epoch ends it: of the records not found valid before it, none happened.
 */
import { nextSeq, type Seq } from '../protocol/ids.ts'
import type { AppendResult, LogEntry } from '../protocol/log.ts'
import type { LogRecord } from '../protocol/record.ts'
import { recordHash, sameBytes } from './hashing.ts'
import { judge, type LogPosition } from './log.ts'

interface Sent<T> {
  readonly bytes: Uint8Array
  readonly hash: Uint8Array
  readonly record: SentRecord
  /** Monotonic ms at the first sending: from there a lease may run (O3). */
  readonly sentAtMs: number
  readonly item: T
  acknowledged: boolean
}

/** What a record says that its readers keep in their position. */
export type SentRecord = Pick<LogRecord, 'kind' | 'time' | 'published'>

/** Names one sending of one record; answers to former sendings are told apart by it. */
export interface Ticket {
  readonly attempt: number
  readonly expected: Seq
}

export interface Committed<T> {
  readonly seq: Seq
  readonly bytes: Uint8Array
  readonly sentAtMs: number
  readonly item: T
}

export interface Resend {
  readonly bytes: Uint8Array
  readonly ticket: Ticket
}

export type Recovery<T> = { readonly committed: readonly Committed<T>[]; readonly voids: readonly Seq[] } & (
  | { readonly kind: 'flowing'; readonly resend: readonly Resend[] }
  | { readonly kind: 'fenced'; readonly by: LogPosition }
  | { readonly kind: 'broken'; readonly reason: string }
)

export class Pipeline<T> {
  /** As of the last record known to be committed, or read. */
  #position: LogPosition
  #sent: Sent<T>[] = []
  #attempt = 0
  #trouble = false

  /** `position`: right after one's own valid claim. */
  constructor(position: LogPosition) {
    this.#position = position
  }

  get inFlight(): number {
    return this.#sent.length
  }

  /** Of their records; there are few. */
  get bytesInFlight(): number {
    let total = 0
    for (const { bytes } of this.#sent) total += bytes.length
    return total
  }

  get inTrouble(): boolean {
    return this.#trouble
  }

  get position(): LogPosition {
    return this.#position
  }

  /** The link of the next record. */
  get link(): Uint8Array {
    return this.#sent.at(-1)?.hash ?? this.#position.validHash
  }

  push(bytes: Uint8Array, record: SentRecord, sentAtMs: number, item: T): Ticket {
    const expected = nextSeq(this.#position.seq, this.#sent.length)
    this.#sent.push({ bytes, hash: recordHash(bytes), record, sentAtMs, item, acknowledged: false })
    return { attempt: this.#attempt, expected }
  }

  /** The answer to one sending. Gives what is committed by it, or `trouble`. */
  settle(ticket: Ticket, result: AppendResult): readonly Committed<T>[] | 'trouble' | 'stale' {
    if (ticket.attempt !== this.#attempt) return 'stale'
    const asExpected =
      result.kind === 'accepted' && !result.duplicate && result.seq === nextSeq(ticket.expected) && !this.#trouble
    if (!asExpected) {
      this.#attempt++
      this.#trouble = true
      return 'trouble'
    }
    const record = this.#sent[ticket.expected - this.#position.seq]
    if (record === undefined) throw new Error(`an acknowledgement of sequence ${result.seq}, which was not sent`)
    record.acknowledged = true
    const committed: Committed<T>[] = []
    while (this.#sent[0]?.acknowledged === true) committed.push(this.#commitFirst(nextSeq(this.#position.seq)))
    return committed
  }

  /** Declares trouble without an answer, e.g. after a reconnect (L4). */
  suspect(): void {
    this.#attempt++
    this.#trouble = true
  }

  /** Judges what the log holds after `position.seq`, read from its leader to its end (L5). */
  recover(entries: readonly LogEntry[]): Recovery<T> {
    const committed: Committed<T>[] = []
    const voids: Seq[] = []
    for (const entry of entries) {
      const verdict = judge(this.#position, entry.seq, entry.record)
      if (verdict.kind === 'broken') return { kind: 'broken', reason: verdict.reason, committed, voids }
      if (verdict.kind === 'void') {
        this.#position = verdict.position
        voids.push(entry.seq)
        continue
      }
      if (verdict.record.kind === 'claim') return { kind: 'fenced', by: verdict.position, committed, voids }
      const first = this.#sent[0]
      if (first === undefined || !sameBytes(first.bytes, entry.record)) {
        const reason = `record ${entry.seq} is of this epoch, but was not written here`
        return { kind: 'broken', reason, committed, voids }
      }
      committed.push(this.#commitFirst(entry.seq))
    }
    this.#trouble = false
    this.#attempt++
    const resend = this.#sent.map((record, i): Resend => {
      record.acknowledged = false
      return { bytes: record.bytes, ticket: { attempt: this.#attempt, expected: nextSeq(this.#position.seq, i) } }
    })
    return { kind: 'flowing', committed, voids, resend }
  }

  #commitFirst(seq: Seq): Committed<T> {
    const first = this.#sent.shift()
    if (first === undefined) throw new Error('nothing was sent that could be committed')
    const { bytes, hash, record, sentAtMs, item } = first
    this.#position = {
      ...this.#position,
      seq,
      validSeq: seq,
      validHash: hash,
      handedOff: record.kind === 'handoff',
      time: record.time,
      published: record.published,
    }
    return { seq, bytes, sentAtMs, item }
  }
}
