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
import { ownSignal } from './own-signal.ts'
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
    const own = ownSignal(this.#options.ask.signal)
    const ask = { ...this.#options.ask, signal: own.signal }
    const partitions = views.map((_, i) => new ScanRows((after) => this.#page(i, { after, limit: pageRows }, ask)))
    let timer: Timer | undefined
    const touchLater = () => {
      timer = clock.setTimeout(() => {
        // What is wrong is heard of where a page is wanted.
        void Promise.allSettled(views.map((_, i) => this.#page(i, { limit: 1 }, ask))).then(() => {
          if (!own.signal.aborted) touchLater()
        })
      }, touchEveryMs)
    }
    touchLater()
    try {
      yield* mergeRows(partitions, false)
    } finally {
      own.end()
      clock.clearTimeout(timer)
    }
  }

  /** Lets go of the views; what is being read fails. Idempotent. Rejects never: a view that is not closed ends by itself. */
  close(): Promise<void> {
    const { views, ask } = this.#options
    const { timeoutMs } = ask
    this.#closing ??= Promise.allSettled(
      // Also where the signal has ended all else.
      views.map((_, i) => this.#ask(i, { kind: 'close', limit: 1 }, { timeoutMs })),
    ).then(() => {})
    return this.#closing
  }

  async #page(
    view: number,
    { after, limit }: { readonly after?: string | undefined; readonly limit: number },
    ask: AskOptions,
  ): Promise<ScanPage> {
    if (this.#closing !== undefined) throw new HoldfastError('INVALID', 'this snapshot is closed: take another')
    try {
      return await this.#ask(view, { kind: 'rows', after, limit }, ask)
    } catch (cause) {
      if (!isHoldfastError(cause, 'NOT_FOUND')) throw cause
      const reason = 'its owner has changed, or nothing was read of it for 30 s'
      throw new HoldfastError('RETRY', `this snapshot is gone, since ${reason}: take another`, { cause })
    }
  }

  #ask(view: number, request: Pick<ScanRequest, 'kind' | 'after' | 'limit'>, ask: AskOptions): Promise<ScanPage> {
    const { asks, type, views } = this.#options
    const { partition, name } = views[view]!
    return asks.ask(partition, { ...request, type, reverse: false, snapshot: name }, ask)
  }
}
