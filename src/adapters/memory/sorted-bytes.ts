/** A sorted map of bytes whose changes can be taken back. Hands out copies, and keeps what it takes in. */
import type { Row as NewRow } from '../../core/row-batch.ts'

/** What the keys of a batch held before it. */
export type Undo = readonly (readonly [name: string, before: Uint8Array | undefined])[]

export type Row = readonly [key: Uint8Array, value: Uint8Array]

/** Rows of one moment, in order. Hands out copies. */
export class FrozenBytes {
  readonly #names: readonly string[]
  readonly #values: readonly Uint8Array[]

  /** A value is never written again, only replaced: so these need no copies. */
  constructor(names: readonly string[], values: readonly Uint8Array[]) {
    this.#names = names
    this.#values = values
  }

  /** At most `limit` rows after the key `after`, or from the first one, in either direction. */
  page(after: Uint8Array | null, limit: number, reverse: boolean): Row[] {
    const names = this.#names
    const rows: Row[] = []
    const step = reverse ? -1 : 1
    let i = reverse ? names.length - 1 : 0
    if (after !== null) {
      const name = nameOf(after)
      i = firstFrom(names, name)
      if (reverse) i--
      else if (names[i] === name) i++
    }
    for (; i >= 0 && i < names.length && rows.length < limit; i += step) {
      rows.push([bytesOf(names[i]!), this.#values[i]!.slice()])
    }
    return rows
  }
}

export class SortedBytes {
  /** By the key's bytes as characters: those sort as the bytes do. */
  readonly #values = new Map<string, Uint8Array>()
  /** All names in order; null while it has to be made again. */
  #sorted: string[] | null = []

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(nameOf(key))?.slice()
  }

  apply(batch: readonly NewRow[]): Undo {
    return batch.map(({ key, value }) => {
      const name = nameOf(key)
      const before = this.#values.get(name)
      this.#set(name, value ?? undefined)
      return [name, before] as const
    })
  }

  undo(undo: Undo): void {
    for (const [name, before] of undo.toReversed()) this.#set(name, before)
  }

  /** A copy of what is there now. */
  range(gte: Uint8Array, lt: Uint8Array): Row[] {
    return this.freeze(gte, lt).page(null, Number.POSITIVE_INFINITY, false)
  }

  /** What is there now, whatever is applied later. */
  freeze(gte: Uint8Array, lt: Uint8Array): FrozenBytes {
    this.#sorted ??= [...this.#values.keys()].sort()
    const from = firstFrom(this.#sorted, nameOf(gte))
    const names = this.#sorted.slice(from, Math.max(from, firstFrom(this.#sorted, nameOf(lt))))
    return new FrozenBytes(
      names,
      names.map((name) => this.#values.get(name)!),
    )
  }

  #set(name: string, value: Uint8Array | undefined): void {
    const had = this.#values.has(name)
    if (value === undefined) this.#values.delete(name)
    else this.#values.set(name, value)
    if (had !== (value !== undefined)) this.#sorted = null
  }
}

const nameOf = (key: Uint8Array) => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
const bytesOf = (name: string) => Uint8Array.from(Buffer.from(name, 'latin1'))

function firstFrom(sorted: readonly string[], name: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < name) low = middle + 1
    else high = middle
  }
  return low
}
