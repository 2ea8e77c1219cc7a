import type { Generation, PartitionId, Seq } from '../protocol/ids.ts'
import type { AppendResult, LogEntry } from '../protocol/log.ts'
import type { Reading } from './reading.ts'

export type { AppendResult, LogEntry } from '../protocol/log.ts'

/**
 * The ordered log of each partition. It checks one number and nothing else; what a record means and
 * whether it is valid is decided in core/log.ts (L3).
 *
 * C1. An append with `expected` is stored at `expected + 1` if and only if the log's last sequence is `expected` at that moment.
 * C2. Appends of one log reach it in the order of the calls, or not at all: a later one may be accepted after an earlier one was
 *     refused or lost, if its number happens to fit.
 * C3. `accepted` means stored as durably as the log is configured to be. `refused` means not stored by this call.
 *     `unknown` means that nobody can say yet: it may be stored, or be stored later.
 * C4. `read` gives each record from `from` to `to` once, in order, as the log's leader has it; a sequence that is missing is
 *     missing in the result, too. It never ends early without throwing.
 * C5. Only `provision` creates a log, and never where one is.
 * C6. A reading gives each record from its first sequence on once, in order, and goes on with those that are stored later; a sequence that
 *     is missing is missing there, too. It may lag behind the leader, without a bound. It ends with `RETRY` when it was interrupted (begin
 *     another behind the last record) and with `NOT_FOUND` where there is no such log.
 * C7. A trimmed log begins at `first`: records before it are gone for good, for every reader, and a `read` that begins before it gives those
 *     that are there. The record `first` stays, and so does the last one: sequences go on.
 * C8. Of several servers one that leads no more may not know it yet. What it says of the log was so once: more may be there, and no `append`
 *     by way of it is stored.
 * C9. What the server does not let this user ask throws `Denied`, and says nothing of the log.
 */
export interface Changelog {
  /**
   * Creates the log of a partition with its generation and genesis record as sequence `first`, by default 1: to every reader one that begins
   * later has been trimmed to there (C7). If the log is there already it is left as it is (`created: false`). Throws `INVALID` if the
   * server echoes other settings than L7 asks for.
   */
  provision(
    partition: PartitionId,
    generation: Generation,
    genesis: Uint8Array,
    first?: Seq,
  ): Promise<{ readonly created: boolean }>
  /** A handle; opens nothing yet. */
  log(partition: PartitionId): PartitionLog
  close(): Promise<void>
}

export interface PartitionLog {
  /**
   * As the log's leader has it. `null`: there is no such log. Throws `RETRY` while the leader cannot be reached. `known`: a record that the log
   * has been seen to have; while it may be a former leader that says otherwise (C8), it is `RETRY`, too. Default: none.
   */
  info(known?: Seq): Promise<LogInfo | null>
  /** Sends at once, in the order of the calls, before it returns. Never rejects. */
  append(record: Uint8Array, expected: Seq): Promise<AppendResult>
  /** Records `from` … `to`, both included (C4). Throws `RETRY` when interrupted, `NOT_FOUND` when the log is gone. */
  read(from: Seq, to: Seq): AsyncIterable<LogEntry>
  /** Reads on from `from`, which need not be there yet (C6). */
  follow(from: Seq): Reading<LogEntry>
  /**
   * Removes all records before `first` (C7). A log that begins there or later is left as it is. Throws `INVALID` for a `first` behind the
   * last record, and where the log does not allow it; `RETRY`; `UNKNOWN`, after which the same again finds out; `NOT_FOUND` where there is no log.
   */
  trim(first: Seq): Promise<void>
}

export interface LogInfo {
  /** From the log's metadata, to be compared with the genesis record (L1). */
  readonly generation: Generation
  /** Lowest sequence still kept. */
  readonly first: Seq
  /** Highest sequence ever given. */
  readonly last: Seq
}
