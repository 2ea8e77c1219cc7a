/**
 * The committed changes and outputs of a partition, read again: by the publishers after a lost connection, by watchers that were away.
 *
 * The newest are kept in memory, up to `tailBytes`; what is older is read from the log. Void records are passed over by the replica's
 * note of them (L3).
 */
import type { PartitionLog } from '../ports/changelog.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { nextSeq, seq as seqOf, type Rev, type Seq } from '../protocol/ids.ts'
import { ownBytes } from '../protocol/own-bytes.ts'
import { decodeRecord, type LogRecord, type OutputRecord } from '../protocol/record.ts'
import { isOwnType } from './names.ts'

export interface Change {
  readonly seq: Seq
  /** Of its mutation in the record. */
  readonly index: number
  readonly type: string
  readonly key: string
  readonly rev: Rev
  readonly state: Uint8Array | null
  /** Partition time, ms. */
  readonly at: number
}

export interface HistoryOptions {
  readonly log: PartitionLog
  readonly voids: ReadonlySet<Seq>
  /** As of now. Default 1 MiB. */
  readonly tailBytes: () => number
}

/** As the log has it: decoded when it is wanted, which for most records is never. */
interface TailRecord {
  readonly seq: Seq
  readonly record: Uint8Array
}

interface CommittedRecord {
  readonly seq: Seq
  readonly record: LogRecord
  /** As the log has it. */
  readonly bytes: number
}

/** What a reader who has only so much time wants to know of a record. */
interface RecordChanges {
  readonly seq: Seq
  readonly bytes: number
  /** Of many records there are none. */
  readonly changes: readonly Change[]
}

/** Records read from the log at a time. */
const recordsInRead = 256

export class History {
  readonly #options: HistoryOptions
  #tail: TailRecord[] = []
  #tailBytes = 0
  /** The tail holds every record after this one. */
  #tailAfter: Seq
  #head: Seq

  /** `head`: the last committed record as of now. */
  constructor(head: Seq, options: HistoryOptions) {
    this.#options = options
    this.#head = head
    this.#tailAfter = head
  }

  /** Last committed record. */
  get head(): Seq {
    return this.#head
  }

  add(seq: Seq, bytes: Uint8Array): void {
    const record = ownBytes(bytes)
    this.#tail.push({ seq, record })
    this.#tailBytes += record.length
    this.#head = seq
    const tailBytes = this.#options.tailBytes()
    while (this.#tailBytes > tailBytes && this.#tail.length > 1) {
      const oldest = this.#tail.shift()!
      this.#tailBytes -= oldest.record.length
      this.#tailAfter = oldest.seq
    }
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_history_bytes', this.#tailBytes, this.#options.tailBytes())]
  }

  /**
   * The changes of the records after `after`, those of one record at a time, up to the head as it is when that is reached. What the log
   * does not keep any more is passed over.
   */
  async *after(after: Seq): AsyncIterable<readonly Change[]> {
    for await (const { seq, record } of this.#records(after)) {
      const changes = changesOf(seq, record)
      if (changes.length > 0) yield changes
    }
  }

  /** Every record after `after` up to `last`, with or without changes. Throws `EXPIRED` where the log does not keep all of them any more. */
  async *recordsAfter(after: Seq, last: Seq): AsyncIterable<RecordChanges> {
    for await (const { seq, record, bytes } of this.#records(after, last)) {
      yield { seq, bytes, changes: changesOf(seq, record) }
    }
  }

  /** What the records after `after` send, up to the head as it is when that is reached; those that send nothing are left out. */
  async *outputsAfter(after: Seq): AsyncIterable<{ readonly seq: Seq; readonly outputs: readonly OutputRecord[] }> {
    for await (const { seq, record } of this.#records(after)) {
      if (record.kind === 'commit' && record.outputs.length > 0) yield { seq, outputs: record.outputs }
    }
  }

  /** Up to the head, or up to `last`, and then all of them. */
  async *#records(after: Seq, last?: Seq): AsyncIterable<CommittedRecord> {
    const complete = last !== undefined
    let at = after
    const end = () => (last === undefined || last > this.#head ? this.#head : last)
    while (at < end()) {
      if (at >= this.#tailAfter) {
        const to = end()
        const rest = this.#tail.filter(({ seq }) => seq > at && seq <= to)
        at = to
        for (const { seq, record } of rest) yield { seq, record: decodeRecord(record), bytes: record.length }
      } else {
        const to = seqOf(Math.min(at + recordsInRead, end()))
        for await (const { seq, record } of this.#options.log.read(nextSeq(at), to)) {
          if (complete && seq !== nextSeq(at)) throw expired(nextSeq(at))
          at = seq
          if (!this.#options.voids.has(seq)) yield { seq, record: decodeRecord(record), bytes: record.length }
        }
        if (complete && at < to) throw expired(nextSeq(at))
        at = to
      }
    }
  }
}

const expired = (seq: Seq) => new HoldfastError('EXPIRED', `the log does not keep record ${seq} any more`)

export function changesOf(seq: Seq, record: LogRecord): Change[] {
  const changes: Change[] = []
  if (record.kind !== 'commit') return changes
  let index = 0
  for (const { mutations } of record.turns) {
    for (const { type, key, rev, state } of mutations) {
      const at = index++
      if (state === undefined || isOwnType(type)) continue
      changes.push({ seq, index: at, type, key, rev, state, at: record.time })
    }
  }
  return changes
}
