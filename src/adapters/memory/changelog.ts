/**
 * The logs of all partitions, kept in memory by a server that nodes reach over links (C1–C7 of the Changelog port).
 *
 * What can go wrong: everything that goes wrong with a link, and, by `faults`, with single appends.
 */
import type { AppendResult, Changelog, LogEntry, LogInfo, PartitionLog } from '../../ports/changelog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Random } from '../../ports/random.ts'
import { checkTrim } from '../../core/trim.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { seq, type Generation, type PartitionId, type Seq } from '../../protocol/ids.ts'
import type { Link } from './link.ts'
import { Changes, MemoryReading } from './reading.ts'
import { RequestLost, Requests, type RequestFault } from './requests.ts'

/** Records that one answer to a read carries at most. */
const pageRecords = 256

/** One partition's log at the server. */
interface Log {
  readonly generation: Generation
  /** Sequence of the first record that it ever had. */
  readonly begin: number
  /** By sequence − `begin`. */
  readonly records: Uint8Array[]
  /** Lowest sequence that is kept. */
  first: number
}

export interface MemoryChangelogOptions {
  /** Bytes that a record may have. Default 1 MiB less 1,024: what a NATS server takes by default. */
  readonly maxRecord?: number
}

export interface ChangelogConnectOptions {
  readonly link: Link
  /** Of the node. */
  readonly clock: Clock
  /** Draws the faults of appends. */
  readonly random: Random
  /** Longest wait for an acknowledgement, after which the result is `unknown`. Default 2,000. */
  readonly appendTimeoutMs?: number
}

export class MemoryChangelog {
  readonly maxRecord: number
  readonly changes = new Changes()
  readonly #logs = new Map<PartitionId, Log>()

  constructor({ maxRecord = 1_047_552 }: MemoryChangelogOptions = {}) {
    this.maxRecord = maxRecord
  }

  /** A node's handle. */
  connect(options: ChangelogConnectOptions): MemoryChangelogHandle {
    return new MemoryChangelogHandle(this, options)
  }

  provision(partition: PartitionId, generation: Generation, genesis: Uint8Array, first = 1): { created: boolean } {
    if (this.#logs.has(partition)) return { created: false }
    this.#logs.set(partition, { generation, begin: first, records: [genesis], first })
    return { created: true }
  }

  info(partition: PartitionId): LogInfo | null {
    const log = this.#logs.get(partition)
    return log === undefined ? null : { generation: log.generation, first: seq(log.first), last: seq(lastOf(log)) }
  }

  append(partition: PartitionId, record: Uint8Array, expected: Seq): AppendResult {
    const log = this.#logs.get(partition)
    if (log === undefined) return { kind: 'refused', reason: `partition ${partition} has no log` }
    if (record.length > this.maxRecord) {
      return {
        kind: 'refused',
        reason: `the record has ${record.length} bytes, and the log takes at most ${this.maxRecord}`,
      }
    }
    const last = lastOf(log)
    if (last !== expected) return { kind: 'refused', reason: `the last sequence is ${last}, not ${expected}` }
    log.records.push(record)
    this.changes.tell()
    return { kind: 'accepted', seq: seq(last + 1), duplicate: false }
  }

  /** Up to a page of records from `from` to `to`, as copies. */
  page(partition: PartitionId, from: Seq, to: Seq): LogEntry[] {
    const log = this.#logs.get(partition)
    if (log === undefined) throw new HoldfastError('NOT_FOUND', `partition ${partition} has no log`)
    if (to > lastOf(log)) {
      throw new HoldfastError(
        'RETRY',
        `the log of partition ${partition} ends at ${lastOf(log)}, before ${to}: ask for its info again`,
      )
    }
    return pageOf(log, from, Math.min(to, from + pageRecords - 1))
  }

  /** Up to a page of the records that there are from `from` on, as copies. */
  pageFrom(partition: PartitionId, from: number): LogEntry[] {
    const log = this.#logs.get(partition)
    if (log === undefined) throw new HoldfastError('NOT_FOUND', `partition ${partition} has no log`)
    const begin = Math.max(from, log.first)
    return pageOf(log, begin, Math.min(lastOf(log), begin + pageRecords - 1))
  }

  /** What the server has, for tests that judge a run from outside. */
  recordsOf(partition: PartitionId): readonly Uint8Array[] {
    return this.#logs.get(partition)?.records ?? []
  }

  trim(partition: PartitionId, first: Seq): void {
    const log = this.#logs.get(partition)
    if (log === undefined) throw new HoldfastError('NOT_FOUND', `partition ${partition} has no log`)
    checkTrim(partition, first, lastOf(log))
    log.first = Math.max(log.first, first)
  }

  /** Keeps no record before `first`: what an operator does who purges a stream. */
  purge(partition: PartitionId, first: Seq): void {
    const log = this.#logs.get(partition)
    if (log !== undefined) log.first = Math.max(log.first, Math.min(first, lastOf(log) + 1))
  }

  /** The disaster of rule L1: the log is gone. */
  destroy(partition: PartitionId): void {
    this.#logs.delete(partition)
    this.changes.tell()
  }

  /** The disaster of rule L4: the log ends at `last`, as after a restore from an old copy. */
  truncate(partition: PartitionId, last: Seq): void {
    const log = this.#logs.get(partition)
    if (log !== undefined && lastOf(log) > last) log.records.length = last - log.begin + 1
  }
}

const lastOf = ({ begin, records }: Log): number => begin + records.length - 1

function pageOf(log: Log, from: number, to: number): LogEntry[] {
  const page: LogEntry[] = []
  for (let n = Math.max(from, log.first); n <= to; n++) {
    page.push({ seq: seq(n), record: log.records[n - log.begin]!.slice() })
  }
  return page
}

/** Probabilities, 0 … 1, each drawn for every append. Changed at any time. */
export interface AppendFaults {
  /** The request never reaches the log: `unknown`, and not stored. */
  loseRequest: number
  /** Stored, and the acknowledgement never comes: `unknown`. */
  loseAcknowledgement: number
  /** Refused by the server for a reason of its own, such as a lack of space. */
  refuse: number
  /** Arrives later, by up to `delayMs`; what is appended after it waits behind it. */
  delay: number
  delayMs: number
}

export class MemoryChangelogHandle implements Changelog {
  readonly faults: AppendFaults = { loseRequest: 0, loseAcknowledgement: 0, refuse: 0, delay: 0, delayMs: 5_000 }
  readonly #server: MemoryChangelog
  readonly #random: Random
  readonly #link: Link
  readonly #requests: Requests

  constructor(server: MemoryChangelog, { link, clock, random, appendTimeoutMs = 2_000 }: ChangelogConnectOptions) {
    this.#server = server
    this.#random = random
    this.#link = link
    this.#requests = new Requests({ link, clock, timeoutMs: appendTimeoutMs })
  }

  async provision(
    partition: PartitionId,
    generation: Generation,
    genesis: Uint8Array,
    first?: Seq,
  ): Promise<{ created: boolean }> {
    const taken = genesis.slice()
    return this.#ask(() => this.#server.provision(partition, generation, taken, first))
  }

  log(partition: PartitionId): PartitionLog {
    return {
      info: () => this.#ask(() => this.#server.info(partition)),
      append: (record, expected) => this.#append(partition, record, expected),
      read: (from, to) => this.#read(partition, from, to),
      follow: (from) =>
        new MemoryReading({
          link: this.#link,
          ask: (serve) => this.#ask(serve),
          from,
          page: (next) => this.#server.pageFrom(partition, next),
          identity: () => this.#server.info(partition)?.generation,
          changes: this.#server.changes,
        }),
      trim: (first) => this.#ask(() => this.#server.trim(partition, first), 'UNKNOWN'),
    }
  }

  close(): Promise<void> {
    this.#requests.close()
    return Promise.resolve()
  }

  async #append(partition: PartitionId, record: Uint8Array, expected: Seq): Promise<AppendResult> {
    const taken = record.slice()
    const { fault, refuse } = this.#drawFaults()
    try {
      return await this.#requests.ask<AppendResult>(
        () => (refuse ? { kind: 'refused', reason: 'no space left' } : this.#server.append(partition, taken, expected)),
        fault,
      )
    } catch (error) {
      const sent = !(error instanceof RequestLost) || error.sent
      return { kind: sent ? 'unknown' : 'refused', reason: messageOf(error) }
    }
  }

  async *#read(partition: PartitionId, from: Seq, to: Seq): AsyncGenerator<LogEntry> {
    for (let next = from as number; next <= to; next += pageRecords) {
      yield* await this.#ask(() => this.#server.page(partition, seq(next), to))
    }
  }

  /** `ifSent`: what a lost answer means. */
  async #ask<T>(serve: () => T, ifSent: 'RETRY' | 'UNKNOWN' = 'RETRY'): Promise<T> {
    try {
      return await this.#requests.ask(serve)
    } catch (error) {
      if (!(error instanceof RequestLost)) throw error
      throw new HoldfastError(
        error.sent ? ifSent : 'RETRY',
        `the changelog did not answer (${error.message}): try again`,
        { cause: error },
      )
    }
  }

  #drawFaults(): { fault: RequestFault; refuse: boolean } {
    const { loseRequest, loseAcknowledgement, refuse, delay, delayMs } = this.faults
    const happens = (probability: number) => probability > 0 && this.#random.next() < probability
    return {
      fault: {
        loseRequest: happens(loseRequest),
        loseAnswer: happens(loseAcknowledgement),
        laterMs: happens(delay) ? this.#random.next() * delayMs : 0,
      },
      refuse: happens(refuse),
    }
  }
}
