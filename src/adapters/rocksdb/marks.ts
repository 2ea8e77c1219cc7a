/**
 * Marks: how a store proves that nothing is missing from its middle.
 *
 * RocksDB opens a database whose manifest has lost its last entries, or whose older write-ahead log is gone, without a word: what those
 * held is missing, and what was written later is there. A batch that is read back then tells nothing of the ones before it (S1).
 *
 * K1. A mark is a key of its own, numbered from 1. The first batch after an opening makes one, and each that completes `markEvery` bytes
 *     since the last: much less than one write-ahead log or table holds, so that none of them is without a mark.
 * K2. Every batch says how many marks there are by then. The last `marksKept` are kept: a manifest loses entries of later files
 *     only, and of files that were merged since it would miss the parts.
 * K3. A store is whole if just those marks are there. Marks begin with eight bytes 0xff: no key of a store does, and no range shows them.
 */
import type { RowBatch } from '../../core/row-batch.ts'

/** The smallest write buffer has eight times as much. */
export const markEvery = 32_768
export const marksKept = 4_096

/** No range goes beyond it (K3). */
export const firstOwnKey: Uint8Array = Buffer.alloc(8, 0xff)
export const endOfOwnKeys: Uint8Array = Buffer.concat([firstOwnKey, Buffer.from([2])])

const countKey: Uint8Array = Buffer.concat([firstOwnKey, Buffer.from([0])])

function markKey(mark: number): Uint8Array {
  const key = Buffer.alloc(17, 0xff)
  key[8] = 1
  key.writeBigUInt64BE(BigInt(mark), 9)
  return key
}

/** What an entry takes in a write buffer besides its bytes, at least. */
const entryOverhead = 32
const nothing = new Uint8Array(0)

export class Marks {
  #made: number
  /** Weight of the batches since the last mark. */
  #since = markEvery

  private constructor(made: number) {
    this.#made = made
  }

  /** From the rows between `firstOwnKey` and `endOfOwnKeys`, in order. Null: they are not those of a store that is whole. */
  static read(rows: readonly (readonly [key: Uint8Array, value: Uint8Array])[]): Marks | null {
    const [count, ...marks] = rows
    if (count === undefined) return new Marks(0)
    const made =
      Buffer.compare(count[0], countKey) === 0 && count[1].length === 8
        ? Number(Buffer.from(count[1]).readBigUInt64BE())
        : -1
    const first = Math.max(1, made - marksKept + 1)
    const whole =
      marks.length === made - first + 1 && marks.every(([key], i) => Buffer.compare(key, markKey(first + i)) === 0)
    return whole ? new Marks(made) : null
  }

  /** Adds what goes into the store along with a batch. Call it for each batch, in the order in which they are written. */
  addTo(batch: RowBatch): void {
    this.#since += entryOverhead * batch.size + batch.bytesSoFar
    if (this.#since >= markEvery) {
      this.#since = 0
      batch.put(markKey(++this.#made), nothing)
      if (this.#made > marksKept) batch.put(markKey(this.#made - marksKept), null)
    }
    batch.bytes(countKey)
    batch.endKey()
    batch.uint64(this.#made)
    batch.endValue()
  }
}
