/**
 * Reading on from a server in memory, page by page, over a link (the Reading of a port).
 */
import type { Reading } from '../../ports/reading.ts'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Link } from './link.ts'

/** Who waits at the server for something to change. */
export class Changes {
  readonly #waiting = new Set<() => void>()

  /** Calls `wake` once, at the next change. */
  next(wake: () => void): Subscription {
    this.#waiting.add(wake)
    return { close: () => void this.#waiting.delete(wake) }
  }

  tell(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}

export interface MemoryReadingOptions<T> {
  readonly link: Link
  /** Has the server do something. Throws `RETRY` where that, or its answer, is lost. */
  readonly ask: <R>(serve: () => R) => Promise<R>
  readonly from: number
  /** At the server: some of what there is from `from` on; throws `NOT_FOUND` where nothing can be. */
  readonly page: (from: number) => readonly T[]
  /** At the server: what another one of the same name does not have. */
  readonly identity: () => unknown
  readonly changes: Changes
}

export class MemoryReading<T extends { readonly seq: number }> implements Reading<T> {
  readonly #options: MemoryReadingOptions<T>
  readonly #linkWatch: Subscription
  #page: readonly T[] = []
  #next: number
  #identity: unknown
  #broken = false
  #closed = false
  #wake: (() => void) | undefined

  constructor(options: MemoryReadingOptions<T>) {
    this.#options = options
    this.#next = options.from
    this.#linkWatch = options.link.onNode((up) => {
      if (up) return
      this.#broken = true
      this.#wake?.()
    })
  }

  async next(): Promise<T | undefined> {
    const { ask, page, identity, changes, link } = this.#options
    while (!this.#closed) {
      const [item, ...rest] = this.#page
      if (this.#broken) throw new HoldfastError('RETRY', 'the connection to the stream broke')
      if (item !== undefined) {
        this.#page = rest
        this.#next = item.seq + 1
        return item
      }
      let waiting: Subscription | undefined
      const woken = new Promise<void>((resolve) => (this.#wake = resolve))
      const found = await ask(() => {
        const items = page(this.#next)
        if (items.length === 0) waiting = changes.next(() => link.toNode(() => this.#wake?.()))
        return { items, identity: identity() }
      })
      this.#identity ??= found.identity
      if (found.identity !== this.#identity) throw new HoldfastError('RETRY', 'the stream is another one now')
      this.#page = found.items
      if (this.#page.length === 0 && !this.#closed && !this.#broken) await woken
      waiting?.close()
    }
    return undefined
  }

  close(): void {
    this.#closed = true
    this.#linkWatch.close()
    this.#wake?.()
  }
}
