/**
 * The pages that one watch keeps or waits for, over all its partitions: there are places for so many.
 *
 * P1. Who has a place may pull a page and hand it over, and gives the place back when the page is taken or does not come.
 * P2. Who finds none free waits in line, and is called when there is one. Who has one and asks again still has that one.
 */
import { maxPageChanges } from '../protocol/watch.ts'

/** Places of a watch. A page has at most 1,000 changes and about half a MiB (protocol/watch.ts). */
export const mostPages = 16

/** Live messages that a watch passes over while it waits for its consumer, before it is cut off from them: as many as a page has. */
export const mostUnheeded = maxPageChanges

export interface Placed {
  /** There is a place now, and it is taken. */
  onPlace(): void
}

export class PagePlaces {
  readonly #taken = new Set<Placed>()
  readonly #waiting = new Set<Placed>()
  #closed = false

  get taken(): number {
    return this.#taken.size
  }

  /** Waits in line: nothing that it is told of can be asked for before. */
  isWaiting(who: Placed): boolean {
    return this.#waiting.has(who)
  }

  /** False: it waits in line now. */
  take(who: Placed): boolean {
    if (this.#taken.has(who)) return true
    if (this.#taken.size >= mostPages) {
      this.#waiting.add(who)
      return false
    }
    this.#taken.add(who)
    return true
  }

  /** Gives the place back, or leaves the line. */
  release(who: Placed): void {
    this.#waiting.delete(who)
    if (!this.#taken.delete(who) || this.#closed) return
    const [next] = this.#waiting
    if (next === undefined) return
    this.#waiting.delete(next)
    this.#taken.add(next)
    next.onPlace()
  }

  /** Nobody is called any more. */
  close(): void {
    this.#closed = true
  }
}
