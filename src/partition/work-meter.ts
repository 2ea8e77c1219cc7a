/**
 * What all partitions of a node do, counted and timed for whoever watches the node. A node that nobody watches has none.
 *
 * M1. The clock is read once for a record, however many turns it holds; observing allocates nothing.
 * M2. It belongs to the node, not to an ownership: nothing is forgotten when a partition moves away.
 */
import { Histogram } from '../core/histogram.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import type { FinishedTurn } from './turn.ts'

/** Seconds. From what an embedded log takes to what a client has no patience for any more. */
const latencyBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** Seconds. A replay may have a whole log before it. */
const takeoverBounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

export class WorkMeter {
  /** From the first sending of a record to its acknowledgement. */
  readonly commitSeconds = new Histogram(latencyBounds)
  /** From the arrival of a command at its owner to its reply. */
  readonly turnSeconds = new Histogram(latencyBounds)
  /** From a takeover's beginning to serving. */
  readonly takeoverSeconds = new Histogram(takeoverBounds)
  readonly failures = new Map<ErrorCode, number>()
  /** Records that the log has acknowledged, those without turns included. */
  records = 0
  recordBytes = 0
  turns = 0
  /** Handed to the connection; those that are sent again count again. */
  changes = 0
  /** Taken in by owners. */
  queries = 0
  /** Answered by standbys, and left by them to owners. */
  standbyQueries = 0
  readsLeft = 0
  /** Of standbys to owners, for the committed position. */
  positionRequests = 0

  committed(record: MeteredRecord, nowMs: number): void {
    this.records++
    this.recordBytes += record.bytes.length
    this.turns += record.turns.length
    this.commitSeconds.observe((nowMs - record.sentAtMs) / 1_000)
    for (const { turn } of record.turns) {
      if (turn !== undefined) this.turnSeconds.observe((nowMs - turn.sinceMs) / 1_000)
    }
  }

  failed(code: ErrorCode): void {
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1)
  }
}

export interface MeteredRecord {
  readonly bytes: Uint8Array
  readonly turns: readonly Pick<FinishedTurn, 'turn'>[]
  /** Monotonic ms. */
  readonly sentAtMs: number
}
