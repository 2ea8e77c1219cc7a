/**
 * A map from whole numbers to values that come and go all the time: turns and replies by the number of their command.
 *
 * The engine's own map puts what comes behind what is there, and moves to new memory when that is full, though as much has gone as came.
 * The memory that it leaves is garbage that has become old, and holds what has gone until old garbage is collected. This one stays where it
 * is: open addressing with linear probing, and a deletion closes the gap (D. Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithm R).
 *
 * M1. Keys are from 0 to 2^53 − 1. The order of iteration means nothing. Nothing is to be set or deleted meanwhile.
 * M2. It takes memory in proportion to the entries that it has, or had not long ago: it shrinks where many times as many have gone as it has
 *     places, most of which are free. What comes and goes in waves is not moved by each of them.
 * M3. Nothing lies further than `furthest` from its own place: what would goes to a map of the engine. Numbers come from outside, and whoever
 *     picks them to collide gains nothing by it.
 */
/** So many numbers lie in the engine's heap; memory outside of it takes longer to get than all else here. */
const leastPlaces = 8
const noKey = -1
/** M3 */
const furthest = 128
/** 2^32 by the golden ratio: neighbours are spread apart. */
const spread = 0x9e3779b1
const word = 0x1_0000_0000

export class NumberMap<T> {
  #keys = new Float64Array(leastPlaces).fill(noKey)
  #values = new Array<T | undefined>(leastPlaces).fill(undefined)
  #shift = 32 - Math.log2(leastPlaces)
  #size = 0
  /** Deletions since it was of another length. */
  #gone = 0
  /** M3 */
  #crowded: Map<number, T> | undefined

  get size(): number {
    return this.#crowded === undefined ? this.#size : this.#size + this.#crowded.size
  }

  /** For entries, taken or free. */
  get places(): number {
    return this.#keys.length
  }

  get(key: number): T | undefined {
    const place = this.#placeOf(key)
    return this.#keys[place] === key ? this.#values[place] : this.#crowded?.get(key)
  }

  has(key: number): boolean {
    return this.#keys[this.#placeOf(key)] === key || this.#crowded?.has(key) === true
  }

  set(key: number, value: T): void {
    const place = this.#placeOf(key)
    const there = this.#keys[place]
    if (there !== key && (there !== noKey || this.#crowded?.has(key) === true)) {
      this.#crowded ??= new Map<number, T>()
      this.#crowded.set(key, value)
      return
    }
    this.#values[place] = value
    if (there === key) return
    this.#keys[place] = key
    this.#size++
    if (this.#size * 2 > this.#keys.length) this.#resize(this.#keys.length * 2)
  }

  /** Whether it was there. */
  delete(key: number): boolean {
    let gap = this.#placeOf(key)
    const keys = this.#keys
    const values = this.#values
    if (keys[gap] !== key) return this.#crowded?.delete(key) === true
    const mask = keys.length - 1
    for (let place = (gap + 1) & mask; keys[place] !== noKey; place = (place + 1) & mask) {
      // It may move to the gap unless its own first place lies behind that.
      const home = this.#homeOf(keys[place]!)
      if (((place - home) & mask) < ((place - gap) & mask)) continue
      keys[gap] = keys[place]!
      values[gap] = values[place]
      gap = place
    }
    keys[gap] = noKey
    values[gap] = undefined
    this.#size--
    if (++this.#gone > 16 * keys.length && this.#size * 8 < keys.length && keys.length > leastPlaces) {
      this.#resize(keys.length / 2)
    }
    return true
  }

  *keys(): Iterable<number> {
    for (const [key] of this) yield key
  }

  *values(): Iterable<T> {
    for (const [, value] of this) yield value
  }

  *[Symbol.iterator](): Iterator<[number, T]> {
    const keys = this.#keys
    const values = this.#values
    for (let place = 0; place < keys.length; place++) {
      if (keys[place] !== noKey) yield [keys[place]!, values[place] as T]
    }
    if (this.#crowded !== undefined) yield* this.#crowded
  }

  /** Where it is, or where it would be, or, if that is taken, the last place where it may lie. */
  #placeOf(key: number): number {
    const keys = this.#keys
    const mask = keys.length - 1
    let place = this.#homeOf(key)
    for (let steps = 0; steps < furthest && keys[place] !== key && keys[place] !== noKey; steps++) {
      place = (place + 1) & mask
    }
    return place
  }

  #homeOf(key: number): number {
    const high = key < word ? 0 : Math.floor(key / word)
    return Math.imul(key ^ Math.imul(high, spread), spread) >>> this.#shift
  }

  #resize(places: number): void {
    const entries = [...this]
    this.#crowded = undefined
    this.#keys = new Float64Array(places).fill(noKey)
    this.#values = new Array<T | undefined>(places).fill(undefined)
    this.#shift = 32 - Math.log2(places)
    this.#size = this.#gone = 0
    for (const [key, value] of entries) this.set(key, value)
  }
}
