/**
 * Reads the entries of one type over all partitions: ranges, counts, snapshots.
 *
 * Ranges are weakly consistent: each page shows what was committed when it was read, and a later page what was then. Every key comes once
 * at most, and what is there throughout comes.
 */
import type { Clock } from '../ports/clock.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { endOfRecord, formatCursor } from '../protocol/cursor.ts'
import { partitionId } from '../protocol/ids.ts'
import { maxScanRows, type KeyRange, type ScanPage, type ScanRequest, type ScanRow } from '../protocol/scan.ts'
import { compareKeys } from '../protocol/key-order.ts'
import { ownSignal } from './own-signal.ts'
import type { AskOptions, ScanAsks } from './scan-asks.ts'
import { mergeRows } from './scan-merge.ts'
import { ScanRows, standstill } from './scan-rows.ts'
import { ScanSnapshot } from './scan-snapshot.ts'
import { formatVector } from './watch-cursor.ts'

export interface ScannerOptions {
  readonly asks: ScanAsks
  readonly clock: Clock
  readonly type: string
  /** Resolves to the count of partitions. */
  readonly partitions: () => Promise<number>
  /** Most rows in a page. Default 256. */
  readonly pageRows?: number
  /** For each page. */
  readonly ask: AskOptions
}

export interface RowsOptions extends KeyRange {
  /** Only keys behind this one, in the direction of the reading. */
  readonly after?: string | undefined
  readonly reverse?: boolean | undefined
  /** Most rows in all. Default: no bound. */
  readonly limit?: number | undefined
}

const defaultPageRows = 256

export class Scanner {
  readonly #options: ScannerOptions

  constructor(options: ScannerOptions) {
    this.#options = options
  }

  /** The rows of a range in the order of their keys. */
  async *rows(options: RowsOptions): AsyncGenerator<ScanRow, void, undefined> {
    const { limit = Number.POSITIVE_INFINITY, reverse = false } = options
    if (limit === 0 || isEmpty(options)) return
    const { asks, type, pageRows = defaultPageRows } = this.#options
    const own = ownSignal(this.#options.ask.signal)
    const ask = { ...this.#options.ask, signal: own.signal }
    const base = { kind: 'rows', ...rangeOf(options), type, reverse, limit: Math.min(limit, pageRows) } as const
    try {
      const count = await this.#options.partitions()
      const partitions = Array.from({ length: count }, (_, partition) => {
        const page = (after = options.after) => asks.ask(partition, { ...base, after }, ask)
        return new ScanRows(page, limit)
      })
      let rows = 0
      for await (const row of mergeRows(partitions, reverse)) {
        yield row
        if (++rows === limit) return
      }
    } finally {
      own.end()
    }
  }

  /** How many rows a range has. */
  async count(range: KeyRange): Promise<number> {
    if (isEmpty(range)) return 0
    const counts = await this.#everywhere(async (partition, ask) => {
      const { asks, type } = this.#options
      const request = { kind: 'count', ...rangeOf(range), type, reverse: false, limit: maxScanRows } as const
      let rows = 0
      for (let after: string | undefined; ;) {
        const page = await asks.ask(partition, { ...request, after }, ask)
        rows += page.count
        if (!page.more) return rows
        if (page.last === null || page.last === after) throw standstill()
        after = page.last
      }
    })
    return counts.reduce((sum, rows) => sum + rows, 0)
  }

  /** A view of each partition, kept by its owner. */
  async snapshot(): Promise<ScanSnapshot> {
    const { asks, clock, type, ask, pageRows = defaultPageRows } = this.#options
    const request: ScanRequest = { kind: 'open', type, reverse: false, limit: maxScanRows }
    const opened: { partition: number; name: string }[] = []
    const snapshot = (cursor: string) => new ScanSnapshot({ asks, clock, type, ask, cursor, views: opened, pageRows })
    try {
      const pages = await this.#everywhere(async (partition, own) => {
        const page = await asks.ask(partition, request, own)
        opened.push({ partition, name: nameOf(page) })
        return page
      })
      const cursors = pages.map(({ generation, seq }, partition) =>
        formatCursor({ partition: partitionId(partition), generation, seq, index: endOfRecord }),
      )
      return snapshot(formatVector(cursors))
    } catch (error) {
      await snapshot('').close()
      throw error
    }
  }

  /** Waits for all, also where one fails. */
  async #everywhere<T>(run: (partition: number, ask: AskOptions) => Promise<T>): Promise<T[]> {
    const count = await this.#options.partitions()
    const own = ownSignal(this.#options.ask.signal)
    const ask = { ...this.#options.ask, signal: own.signal }
    const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, partition) => run(partition, ask)))
    own.end()
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  }
}

const rangeOf = ({ from, to, prefix }: KeyRange): KeyRange => ({ from, to, prefix })

const isEmpty = ({ from, to }: KeyRange): boolean => to !== undefined && compareKeys(from ?? '', to) >= 0

function nameOf({ snapshot }: ScanPage): string {
  if (snapshot !== null) return snapshot
  throw new HoldfastError('INTERNAL', 'an owner opened a snapshot without a name: update this client or that node')
}
