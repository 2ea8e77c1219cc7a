/**
 * Chance that can be repeated: the same seed gives the same numbers, on every machine.
 *
 * sfc32, "small fast chaotic" with a 32-bit word and a counter (Chris Doty-Humphrey, PractRand), seeded from text by
 * FNV-1a and 16 rounds. Not for secrets.
 */
import type { Random } from '../ports/random.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

export class SeededRandom implements Random {
  readonly seed: string
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: string | number) {
    this.seed = String(seed)
    this.#a = fnv1a32(this.seed, 0x811c9dc5)
    this.#b = fnv1a32(this.seed, this.#a)
    this.#c = fnv1a32(this.seed, this.#b)
    for (let i = 0; i < 16; i++) this.#word()
  }

  next(): number {
    // 53 bits of two words, as many as a double holds
    return ((this.#word() >>> 5) * 0x4000000 + (this.#word() >>> 6)) / 0x20000000000000
  }

  id(): string {
    let text = ''
    for (let i = 0; i < 22; i++) text += alphabet[this.below(alphabet.length)]!
    return text
  }

  /** Uniform in 0 … count − 1. */
  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  /** Uniform from `low` to below `high`. */
  between(low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(of: readonly [T, ...T[]]): T
  pick<T>(of: readonly T[]): T | undefined
  pick<T>(of: readonly T[]): T | undefined {
    return of[this.below(of.length)]
  }

  /** A stream of its own by a name: what one part of a world draws never shifts another's. Depends on seed and name only. */
  fork(name: string): SeededRandom {
    return new SeededRandom(`${this.seed}/${name}`)
  }

  #word(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return sum >>> 0
  }
}

function fnv1a32(text: string, basis: number): number {
  let hash = basis
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
