/**
 * The entries of one partition, in the order of their keys, as pages come.
 *
 * R1. The next page is asked for when the half of this one has been taken, so that at most one and a half are in memory, and whoever
 *     takes slowly makes the partition wait. None is asked for beyond `most` rows.
 * R2. A page that has more and ends where the one before did would be asked for without end: it is an error.
 */
import { HoldfastError } from '../protocol/errors.ts'
import type { ScanPage, ScanRow } from '../protocol/scan.ts'

/** Asks for the page behind a key, `undefined` for the first one. */
export type NextPage = (after: string | undefined) => Promise<ScanPage>

/** R2 */
export const standstill = () =>
  new HoldfastError('INTERNAL', 'an owner gave a page that leads nowhere: update this client or that node')

export class ScanRows {
  readonly #nextPage: NextPage
  readonly #most: number
  #rows: readonly ScanRow[] = []
  #at = 0
  #after: string | undefined
  #more = true
  #received = 0
  #coming: Promise<ScanPage> | undefined

  constructor(nextPage: NextPage, most = Number.POSITIVE_INFINITY) {
    this.#nextPage = nextPage
    this.#most = most
  }

  /** The row that is next, if it is here. */
  get head(): ScanRow | undefined {
    return this.#rows[this.#at]
  }

  /** Takes the head. Resolves to whether there is another one. */
  take(): boolean | Promise<boolean> {
    this.#at++
    if (this.#more && this.#at * 2 >= this.#rows.length) this.#ask()
    return this.#at < this.#rows.length || this.fill()
  }

  /** Resolves once the head is here, to false where there is none any more. */
  async fill(): Promise<boolean> {
    while (this.#at >= this.#rows.length) {
      if (!this.#more) return false
      this.#ask()
      const page = await this.#coming!
      this.#coming = undefined
      this.#rows = page.rows
      this.#at = 0
      const after = page.last ?? this.#after
      if (page.more && after === this.#after) throw standstill()
      this.#after = after
      this.#received += page.rows.length
      this.#more = page.more && this.#received < this.#most
    }
    return true
  }

  #ask(): void {
    if (this.#coming !== undefined) return
    this.#coming = this.#nextPage(this.#after)
    // Whoever wants it hears of its failure; it may be that nobody does.
    this.#coming.catch(() => {})
  }
}
