/** Real chance, from the operating system. */
import { randomFillSync } from 'node:crypto'
import type { Random } from '../../ports/random.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
/** Bytes from here on would favour the first letters. */
const fairBelow = 256 - (256 % alphabet.length)
/** Asking the operating system costs about the same for one byte as for a page. */
const poolSize = 4_096

export class SystemRandom implements Random {
  readonly #pool = Buffer.alloc(poolSize)
  #at = poolSize

  next(): number {
    const high = this.#take(4).readUInt32LE() >>> 5
    const low = this.#take(4).readUInt32LE() >>> 6
    return (high * 0x4000000 + low) / 0x20000000000000
  }

  id(): string {
    let text = ''
    while (text.length < 22) {
      const byte = this.#take(1)[0]!
      if (byte < fairBelow) text += alphabet[byte % alphabet.length]!
    }
    return text
  }

  #take(count: number): Buffer {
    if (this.#at + count > poolSize) {
      randomFillSync(this.#pool)
      this.#at = 0
    }
    const bytes = this.#pool.subarray(this.#at, this.#at + count)
    this.#at += count
    return bytes
  }
}
