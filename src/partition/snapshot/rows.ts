/**
 * The rows of a store as one stream of bytes, cut into chunks of one size wherever that falls: for each row, in the order of the keys, the
 * length of the key and of the value (4 bytes each, big-endian), the key, the value.
 *
 * A row may be larger than a chunk: that of a session's replies, say.
 */
import { createHash, type Hash } from 'node:crypto'
import { HoldfastError } from '../../protocol/errors.ts'

const headBytes = 8
/** More is none: the largest row is that of a few thousand replies of one session. */
const maxRowBytes = 1_024 * 1_024 * 1_024

export interface FullChunk {
  /** Of the packer: it writes there again after this chunk was let go. */
  readonly content: Uint8Array
  /** Those that end here. */
  readonly rows: number
  readonly digest: Uint8Array
}

/** Fills one chunk after the other, in one piece of memory. */
export class RowPacker {
  readonly #buffer: Uint8Array
  readonly #head = new Uint8Array(headBytes)
  readonly #headView = new DataView(this.#head.buffer)
  #at = 0
  #hashed = 0
  #rows = 0
  #hash: Hash = createHash('sha256')

  constructor(chunkBytes: number) {
    this.#buffer = new Uint8Array(chunkBytes)
  }

  /** Adds a row; each time the chunk is full it is given out, to be used before the next is asked for. */
  *add(key: Uint8Array, value: Uint8Array): Generator<FullChunk> {
    this.#headView.setUint32(0, key.length)
    this.#headView.setUint32(4, value.length)
    yield* this.#write(this.#head)
    yield* this.#write(key)
    yield* this.#write(value)
    this.#rows++
  }

  /** The last chunk, which need not be full; `null` where nothing is left. */
  end(): FullChunk | null {
    return this.#at === 0 ? null : this.#take()
  }

  /** Brings the checksum up to date: a little at a time, so that it holds nobody up. */
  digestSoFar(): void {
    this.#hash.update(this.#buffer.subarray(this.#hashed, this.#at))
    this.#hashed = this.#at
  }

  *#write(bytes: Uint8Array): Generator<FullChunk> {
    for (let from = 0; from < bytes.length;) {
      // Not before there is more: then the row that fills it is counted.
      if (this.#at === this.#buffer.length) yield this.#take()
      const part = bytes.subarray(from, from + this.#buffer.length - this.#at)
      this.#buffer.set(part, this.#at)
      this.#at += part.length
      from += part.length
    }
  }

  #take(): FullChunk {
    this.digestSoFar()
    const chunk = { content: this.#buffer.subarray(0, this.#at), rows: this.#rows, digest: this.#hash.digest() }
    this.#hash = createHash('sha256')
    this.#at = this.#hashed = this.#rows = 0
    return chunk
  }
}

export type SnapshotRow = readonly [key: Uint8Array, value: Uint8Array]

/**
 * The other way round. Rows come as long as there are whole ones, views of the chunks; keys must ascend.
 */
export class RowReader {
  #rest: Uint8Array = new Uint8Array(0)
  #lastKey: Uint8Array | null = null
  #rows = 0

  /** Rows so far. */
  get rows(): number {
    return this.#rows
  }

  /** Bytes of a row that has not ended yet. */
  get rest(): number {
    return this.#rest.length
  }

  /** The rows that end in the next chunk. Take all before the next. Throws `INVALID` where the keys do not ascend. */
  *rowsOf(content: Uint8Array): Generator<SnapshotRow> {
    let at = 0
    if (this.#rest.length > 0) {
      // Only as much is copied as the row needs that began in a chunk before: its head, then all of it.
      at += this.#complete(content, headBytes)
      if (this.#rest.length < headBytes) return
      const size = this.#sizeOf(this.#rest, 0)
      at += this.#complete(content.subarray(at), size)
      if (this.#rest.length < size) return
      yield* this.#wholeRows(this.#rest, 0)
    }
    const end = yield* this.#wholeRows(content, at)
    this.#rest = content.slice(end)
    // The chunk itself need not stay for one key.
    this.#lastKey &&= this.#lastKey.slice()
  }

  /** Brings what is left of a row to `size`, as far as there is more of it, and gives the bytes that this took. */
  #complete(more: Uint8Array, size: number): number {
    const taken = Math.min(more.length, Math.max(0, size - this.#rest.length))
    if (taken > 0) this.#rest = concat(this.#rest, more.subarray(0, taken))
    return taken
  }

  /** Of the row that begins there. */
  #sizeOf(bytes: Uint8Array, at: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, headBytes)
    const size = headBytes + view.getUint32(0) + view.getUint32(4)
    if (size > maxRowBytes) throw wrong(`row ${this.#rows + 1} has ${size} bytes`)
    return size
  }

  /** Gives the end of the last one. */
  *#wholeRows(bytes: Uint8Array, from: number): Generator<SnapshotRow, number> {
    const { buffer, byteOffset } = bytes
    const view = new DataView(buffer, byteOffset, bytes.length)
    let at = from
    while (at + headBytes <= bytes.length) {
      const [keyBytes, valueBytes] = [view.getUint32(at), view.getUint32(at + 4)]
      const keyAt = at + headBytes
      const end = keyAt + keyBytes + valueBytes
      if (end - at > maxRowBytes) throw wrong(`row ${this.#rows + 1} has ${end - at} bytes`)
      if (end > bytes.length) break
      // Plain views: the engine makes them several times as fast as those of a Buffer.
      const key = new Uint8Array(buffer, byteOffset + keyAt, keyBytes)
      if (this.#lastKey !== null && Buffer.compare(this.#lastKey, key) >= 0) {
        throw wrong(`row ${this.#rows + 1} is not behind the one before it`)
      }
      this.#lastKey = key
      this.#rows++
      at = end
      yield [key, new Uint8Array(buffer, byteOffset + keyAt + keyBytes, valueBytes)]
    }
    return at
  }
}

const wrong = (what: string) => new HoldfastError('INVALID', `this is no chunk of a snapshot: ${what}`)

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
