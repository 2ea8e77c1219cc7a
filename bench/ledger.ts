/** Keys, and how often each was written: after a round all of it is asked of the cluster again. */

export class Ledger {
  readonly #written: Uint32Array
  #random = 1

  constructor(keys: number) {
    this.#written = new Uint32Array(keys)
  }

  get keys(): number {
    return this.#written.length
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
  }

  /** Reads the rev of each key, `width` at a time. Throws unless each is the number of its acknowledged writes. */
  async verify(width: number, revOf: (key: string) => Promise<number>): Promise<void> {
    let next = 0
    const reader = async () => {
      while (next < this.#written.length) {
        const key = next++
        const rev = await revOf(keyName(key))
        const written = this.#written[key]!
        if (rev !== written) throw new Error(`${keyName(key)} has rev ${rev} after ${written} acknowledged writes`)
      }
    }
    await Promise.all(Array.from({ length: width }, reader))
  }
}

export const keyName = (key: number): string => `key-${key}`
