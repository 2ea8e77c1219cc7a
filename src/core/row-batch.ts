/**
 * Rows that are to be written to a store in one batch: all keys and values side by side in one piece of memory, and their lengths.
 *
 * An owner writes a row for every actor that changed. A buffer for each key and each value would cost more than all else about it, so
 * they are written field by field to where they end up: `byte`, `text`, `bytes` and numbers, then `endKey`; the same again, then
 * `endValue`, or `noValue` for a row that is to be deleted.
 *
 * R1. Numbers are big-endian, so that their byte order is their order.
 * R2. `take` gives the memory away, to a thread that writes it, say: after it the batch is empty.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { writeUtf8 } from '../protocol/native-text.ts'

export interface Row {
  readonly key: Uint8Array
  /** `null` deletes. */
  readonly value: Uint8Array | null
}

/** Keys and values by turns. A length of −1 stands for no value. */
export interface PackedRows {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly lengths: Int32Array
}

const leastBytes = 4_096
const leastParts = 64
const word = 0x1_0000_0000

export class RowBatch {
  #bytes: Buffer<ArrayBuffer>
  #at = 0
  /** Where the part that is being written begins. */
  #begin = 0
  #lengths = new Int32Array(0)
  /** Keys and values so far. */
  #parts = 0

  /** `bytes`: room for so many to begin with. */
  constructor(bytes = leastBytes) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes)
  }

  static of(rows: Iterable<Row>): RowBatch {
    const batch = new RowBatch()
    for (const { key, value } of rows) batch.put(key, value)
    return batch
  }

  /** Rows so far. */
  get size(): number {
    return this.#parts / 2
  }

  /** Of all keys and values so far. */
  get bytesSoFar(): number {
    return this.#at
  }

  put(key: Uint8Array, value: Uint8Array | null): void {
    this.bytes(key)
    this.endKey()
    if (value === null) return this.noValue()
    this.bytes(value)
    this.endValue()
  }

  byte(n: number): void {
    this.#room(1)
    this.#bytes[this.#at++] = n
  }

  /** As UTF-8. */
  text(text: string): void {
    const { length } = text
    this.#room(3 * length)
    const bytes = this.#bytes
    let at = this.#at
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f || length > longText) {
        this.#at += writeUtf8(bytes, text, this.#at)
        return
      }
      bytes[at++] = code
    }
    this.#at = at
  }

  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  uint32(n: number): void {
    this.#room(4)
    const bytes = this.#bytes
    bytes[this.#at++] = n >>> 24
    bytes[this.#at++] = n >>> 16
    bytes[this.#at++] = n >>> 8
    bytes[this.#at++] = n
  }

  /** A whole number from 0 to 2^53 − 1. */
  uint64(n: number): void {
    this.uint32(Math.floor(n / word))
    this.uint32(n % word)
  }

  endKey(): void {
    this.#endPart(1)
  }

  endValue(): void {
    this.#endPart(0)
  }

  noValue(): void {
    this.#endPart(0)
    this.#lengths[this.#parts - 1] = -1
  }

  /** R2 */
  take(): PackedRows {
    const packed = {
      bytes: new Uint8Array(this.#bytes.buffer, 0, this.#at),
      lengths: this.#lengths.slice(0, this.#parts),
    }
    this.#bytes = Buffer.allocUnsafeSlow(0)
    this.#at = this.#begin = this.#parts = 0
    return packed
  }

  /** Copies of all rows so far. */
  rows(): Row[] {
    const rows: Row[] = []
    const next = (at: number, length: number) => new Uint8Array(this.#bytes.subarray(at, at + length))
    for (let i = 0, at = 0; i < this.#parts; i += 2) {
      const [keyBytes, valueBytes] = [this.#lengths[i]!, this.#lengths[i + 1]!]
      const key = next(at, keyBytes)
      at += keyBytes
      rows.push({ key, value: valueBytes < 0 ? null : next(at, valueBytes) })
      at += Math.max(0, valueBytes)
    }
    return rows
  }

  #endPart(parity: 0 | 1): void {
    if (this.#parts === this.#lengths.length) {
      const more = new Int32Array(Math.max(leastParts, 2 * this.#parts))
      more.set(this.#lengths)
      this.#lengths = more
    }
    this.#lengths[this.#parts++] = this.#at - this.#begin
    if (this.#parts % 2 !== parity) throw new HoldfastError('INTERNAL', 'keys and values of a batch come by turns')
    this.#begin = this.#at
  }

  #room(more: number): void {
    const wanted = this.#at + more
    if (wanted <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, leastBytes, 2 * this.#bytes.length))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
  }
}

/** Longer texts are written faster by a call out of the engine: it takes as long as twenty characters. */
const longText = 20
