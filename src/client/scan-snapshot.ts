/**
 * A snapshot of a type's entries: for each partition a view that its owner keeps, all of one moment there.
 *
 * H1. The cursor names that moment of each partition: a watch from there tells of every change that is not in the snapshot, and of none
 *     that is.
 * H2. An owner keeps a view for 30 s after its last page. While rows are being read every view is asked for something every 10 s, so that
 *     a slow reader keeps it.
 * H3. A view that is lost, by a change of owner or because nothing was read, ends the reading with `RETRY`: another snapshot can be taken.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import { HoldfastError, isHoldfastError } from '../protocol/errors.ts'
import type { ScanPage, ScanRequest, ScanRow } from '../protocol/scan.ts'
import type { AskOptions, ScanAsks } from './scan-asks.ts'
import { mergeRows } from './scan-merge.ts'
import { ScanRows } from './scan-rows.ts'

export interface ScanSnapshotOptions {
  readonly clock: Clock
  readonly asks: ScanAsks
  readonly type: string
  readonly ask: AskOptions
  readonly cursor: string
  readonly views: readonly { readonly partition: number; readonly name: string }[]
  readonly pageRows: number
}

const touchEveryMs = 10_000

export class ScanSnapshot {
  readonly #options: ScanSnapshotOptions
  #closing: Promise<void> | undefined

  constructor(options: ScanSnapshotOptions) {
    this.#options = options
  }

  get cursor(): string {
    return this.#options.cursor
  }

  /** All rows in the order of their keys. May be read several times, also at once. */
  async *rows(): AsyncGenerator<ScanRow, void, undefined> {
    const { views, pageRows, clock } = this.#options
    const partitions = views.map((_, i) => new ScanRows((after) => this.#page(i, { after, limit: pageRows })))
    let timer: Timer | undefined
    const touchLater = () => {
      timer = clock.setTimeout(() => {
        // The end of it is heard of where a page is wanted.
        Promise.all(views.map((_, i) => this.#page(i, { limit: 1 }))).then(touchLater, () => {})
      }, touchEveryMs)
    }
    touchLater()
    try {
      yield* mergeRows(partitions, false)
    } finally {
      clock.clearTimeout(timer)
    }
  }

  /** Lets go of the views; what is being read fails. Idempotent. Rejects never: a view that is not closed ends by itself. */
  close(): Promise<void> {
    this.#closing ??= Promise.allSettled(
      this.#options.views.map((_, i) => this.#ask(i, { kind: 'close', limit: 1 })),
    ).then(() => {})
    return this.#closing
  }

  async #page(view: number, { after, limit }: { after?: string | undefined; limit: number }): Promise<ScanPage> {
    if (this.#closing !== undefined) throw new HoldfastError('INVALID', 'this snapshot is closed: take another')
    try {
      return await this.#ask(view, { kind: 'rows', after, limit })
    } catch (cause) {
      if (!isHoldfastError(cause, 'NOT_FOUND')) throw cause
      const reason = 'its owner has changed, or nothing was read of it for 30 s'
      throw new HoldfastError('RETRY', `this snapshot is gone, since ${reason}: take another`, { cause })
    }
  }

  #ask(view: number, request: Pick<ScanRequest, 'kind' | 'after' | 'limit'>): Promise<ScanPage> {
    const { asks, type, ask, views } = this.#options
    const { partition, name } = views[view]!
    return asks.ask(partition, { ...request, type, reverse: false, snapshot: name }, ask)
  }
}
