/** A sorted map of bytes whose changes can be taken back. Hands out and takes in copies. */
import type { StoreOp } from '../../ports/store.ts'

/** What the keys of a batch held before it. */
export type Undo = readonly (readonly [name: string, before: Uint8Array | undefined])[]

export class SortedBytes {
  /** By the key's bytes as characters: those sort as the bytes do. */
  readonly #values = new Map<string, Uint8Array>()
  /** All names in order; null while it has to be made again. */
  #sorted: string[] | null = []

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(nameOf(key))?.slice()
  }

  apply(batch: readonly StoreOp[]): Undo {
    return batch.map(({ key, value }) => {
      const name = nameOf(key)
      const before = this.#values.get(name)
      this.#set(name, value?.slice())
      return [name, before] as const
    })
  }

  undo(undo: Undo): void {
    for (const [name, before] of undo.toReversed()) this.#set(name, before)
  }

  /** A copy of what is there now. */
  range(gte: Uint8Array, lt: Uint8Array): (readonly [Uint8Array, Uint8Array])[] {
    this.#sorted ??= [...this.#values.keys()].sort()
    const rows: (readonly [Uint8Array, Uint8Array])[] = []
    const end = nameOf(lt)
    for (let i = firstFrom(this.#sorted, nameOf(gte)); i < this.#sorted.length; i++) {
      const name = this.#sorted[i]!
      if (name >= end) break
      rows.push([bytesOf(name), this.#values.get(name)!.slice()])
    }
    return rows
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
