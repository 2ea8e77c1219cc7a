/**
 * Keys, and how often each was written: after a round all of it is asked for again.
 *
 * G1. A write counts when it was acknowledged; every count must be found, no more and no less.
 */

export class Ledger {
  readonly #written: Uint32Array
  #total = 0
  #random = 1

  constructor(keys: number) {
    this.#written = new Uint32Array(keys)
  }

  get keys(): number {
    return this.#written.length
  }

  /** Writes of all keys. */
  get total(): number {
    return this.#total
  }

  /** A key at random, by a generator that costs nothing (xorshift, G. Marsaglia 2003). */
  pick(): number {
    let x = this.#random
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#random = x
    return (x >>> 0) % this.#written.length
  }

  wrote(key: number): void {
    this.#written[key]!++
    this.#total++
  }

  /** Throws unless `found` is how often this key was written (G1). */
  check(key: number, found: number): void {
    const written = this.#written[key]!
    if (found !== written) throw new Error(`${keyName(key)} has ${found} writes after ${written} acknowledged ones`)
  }

  /** Runs something for each key, `width` at a time. */
  async each(width: number, run: (key: number) => Promise<void>): Promise<void> {
    let next = 0
    const runner = async () => {
      while (next < this.#written.length) await run(next++)
    }
    await Promise.all(Array.from({ length: width }, runner))
  }

  /** Reads how often each key was written. Throws at the first that is wrong (G1). */
  verify(width: number, writesOf: (key: string) => Promise<number>): Promise<void> {
    return this.each(width, async (key) => this.check(key, await writesOf(keyName(key))))
  }
}

export const keyName = (key: number): string => `key-${key}`
