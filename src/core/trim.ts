/**
 * How far a log may be trimmed. Pure: whoever trims gathers what is known, and asks.
 *
 * R1. Never beyond a kept snapshot that was verified, not even the older one: each can be gone on from, and the record that it was cut at stays,
 *     by which a store proves that it belongs to the log (L8, V2 of takeover.ts). Without a snapshot nothing is trimmed.
 * R2. Never what has not been published yet: a new owner publishes it again (E2).
 * R3. Never what `changes.retention` keeps for watchers: records of its last `ageMs`, as far as they are among its last `bytes`.
 * R4. Sessions, replies and idempotency keys are in the snapshot, and ask for no record. Neither do standbys: one that was away for longer
 *     begins from a snapshot.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { nextSeq, type PartitionId, type Seq } from '../protocol/ids.ts'

export interface TrimFacts {
  /** Lowest sequence that the log keeps. */
  readonly first: Seq
  /** Kept snapshots of the log's generation, each verified. */
  readonly snapshots: readonly { readonly validSeq: Seq }[]
  /** The changes and outputs of all records up to this one have reached the server. */
  readonly published: Seq
  /** Records before it are not kept for watchers (`Retention.keptFrom`). */
  readonly keptFrom: Seq
}

/** The sequence that the log may begin with; `null`: nothing can be trimmed. */
export function trimPoint({ first, snapshots, published, keptFrom }: TrimFacts): Seq | null {
  if (snapshots.length === 0) return null
  const point = Math.min(...snapshots.map(({ validSeq }) => validSeq), nextSeq(published), keptFrom) as Seq
  return point > first ? point : null
}

export interface RetentionSettings {
  /** Changes that are older may go, ms of partition time. */
  readonly ageMs: number
  /** Of the log of one partition: what is beyond may go, however young. */
  readonly bytes: number
}

/** `changes.retention`, of the whole cluster: 24 hours, and no more than 1 GiB. */
export const defaultRetention: RetentionSettings = { ageMs: 86_400_000, bytes: 1_073_741_824 }

/** The share of one partition. */
export const retentionOf = ({ ageMs, bytes }: RetentionSettings, partitions: number): RetentionSettings => ({
  ageMs,
  bytes: Math.floor(bytes / partitions),
})

/** A record, and the bytes of all before it since the count began. */
interface Mark {
  readonly seq: Seq
  readonly time: number
  readonly bytes: number
}

/** Marks over the span of the retention, by age and by bytes each. */
const marksInSpan = 256

/**
 * Remembers roughly where in the log what was. A new owner begins with nothing: what it has not seen it takes for young, until what it has seen
 * is old.
 *
 * R5. Memory is bounded: a mark for each 256th of the span, by age and by bytes, and none for what may go.
 */
export class Retention {
  readonly #settings: RetentionSettings
  #marks: Mark[] = []
  #bytes = 0

  constructor(settings: RetentionSettings) {
    this.#settings = settings
  }

  /** A record was committed or read; in order. `time`: of the partition, ms. */
  note(seq: Seq, time: number, bytes: number): void {
    const last = this.#marks.at(-1)
    const due =
      last === undefined ||
      time - last.time >= this.#settings.ageMs / marksInSpan ||
      this.#bytes - last.bytes >= this.#settings.bytes / marksInSpan
    if (due) {
      this.#marks.push({ seq, time, bytes: this.#bytes })
      this.#forget(time)
    }
    this.#bytes += bytes
  }

  /** Records before it may go, as of partition time `nowMs`; 0 where none may. */
  keptFrom(nowMs: number): Seq {
    this.#forget(nowMs)
    const [oldest] = this.#marks
    return oldest !== undefined && this.#isPast(oldest, nowMs) ? oldest.seq : (0 as Seq)
  }

  /** Marks that are kept now. */
  get size(): number {
    return this.#marks.length
  }

  /** What is before the last mark that is past may go: that mark is all there is to know of it. */
  #forget(nowMs: number): void {
    const next = this.#marks.findIndex((mark) => !this.#isPast(mark, nowMs))
    const past = next < 0 ? this.#marks.length : next
    if (past > 1) this.#marks.splice(0, past - 1)
  }

  #isPast({ time, bytes }: Mark, nowMs: number): boolean {
    return nowMs - time > this.#settings.ageMs || this.#bytes - bytes > this.#settings.bytes
  }
}

/** For adapters of a log: `first` must be one of its records. */
export function checkTrim(partition: PartitionId, first: number, last: number): void {
  if (Number.isSafeInteger(first) && first >= 1 && first <= last) return
  throw new HoldfastError(
    'INVALID',
    `the log of partition ${partition} cannot begin with ${first}: it has records up to ${last}, and keeps the last one`,
  )
}
