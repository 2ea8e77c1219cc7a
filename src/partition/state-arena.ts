/**
 * Where the states of cached actors lie: side by side in a few large pieces of memory.
 *
 * A state comes as a view of something larger, a block or a record or a row of many, which must not stay as long as the actor does.
 * Memory of its own for each would cost an array outside of the engine's heap, which is slow to make and slow to collect.
 *
 * A1. Bytes that were kept are never written again: who still has a former state of an actor has what it was. Those of a state that nobody
 *     has seen may be (`drop`).
 * A2. Small states are arrays of their own already (own-bytes.ts), and large ones get one.
 * A3. All chunks have at most about twice the bytes of the states in them: beyond it `sparse` names those that are less than half full,
 *     many at a time, because whoever moves what is in them looks at every actor.
 */
import { ownBytes, smallBytes } from '../protocol/own-bytes.ts'
import { notPlain, writePlain } from '../protocol/plain-write.ts'
import { encodeValue } from '../protocol/values.ts'

const chunkBytes = 64 * 1_024
const largeBytes = chunkBytes / 8
/** A3 */
const mostSpread = 2

interface Chunk {
  readonly bytes: Buffer<ArrayBuffer>
  used: number
  live: number
}

export class StateArena {
  readonly #chunks = new Map<ArrayBufferLike, Chunk>()
  #current: Chunk | undefined
  #live = 0

  /** Of all chunks. */
  get bytes(): number {
    return this.#chunks.size * chunkBytes
  }

  /** The bytes of a value, written to where they are kept. Throws `INVALID` for what is none. */
  write(value: unknown): Uint8Array {
    const chunk = this.#room(largeBytes)
    const at = chunk.used
    const end = writePlain(value, chunk.bytes, at)
    const length = end - at
    if (end === notPlain) return this.keep(encodeValue(value))
    return this.keepsAlone(length) ? new Uint8Array(chunk.bytes.subarray(at, end)) : this.#take(chunk, length)
  }

  /** Takes back what was written, which is no state after all. */
  drop(state: Uint8Array): void {
    const chunk = this.#current
    if (chunk === undefined || !this.#isLast(state, chunk)) return this.release(state)
    chunk.used -= state.length
    chunk.live -= state.length
    this.#live -= state.length
  }

  /** The same bytes, in a place that keeps nothing else. */
  keep(state: Uint8Array): Uint8Array {
    const { length } = state
    if (this.keepsAlone(length)) return ownBytes(state)
    const chunk = this.#room(length)
    chunk.bytes.set(state, chunk.used)
    return this.#take(chunk, length)
  }

  /** Whether it is in a place of its own by its size (A2). */
  keepsAlone(length: number): boolean {
    return length <= smallBytes || length > largeBytes
  }

  /** Whether it is where `keep` would put it. */
  keeps(state: Uint8Array): boolean {
    const { length } = state
    if (length <= smallBytes) return true
    return length > largeBytes ? state.buffer.byteLength === length : this.#chunks.has(state.buffer)
  }

  /** An actor has it no more. */
  release(state: Uint8Array): void {
    const { length } = state
    if (this.keepsAlone(length)) return
    const chunk = this.#chunks.get(state.buffer)
    if (chunk === undefined) return
    chunk.live -= length
    this.#live -= length
    if (chunk.live === 0 && chunk !== this.#current) this.#chunks.delete(state.buffer)
  }

  /** The memory whose states should be kept anew and released, if all of it is too much for what is in it (A3). */
  sparse(): ReadonlySet<ArrayBufferLike> | undefined {
    if (this.bytes <= mostSpread * this.#live + 2 * chunkBytes) return undefined
    const sparse = new Set<ArrayBufferLike>()
    for (const [buffer, chunk] of this.#chunks) {
      if (chunk !== this.#current && chunk.live < chunkBytes / 2) sparse.add(buffer)
    }
    return sparse
  }

  #take(chunk: Chunk, length: number): Uint8Array {
    const at = chunk.used
    chunk.used += length
    chunk.live += length
    this.#live += length
    return new Uint8Array(chunk.bytes.buffer, at, length)
  }

  #isLast(state: Uint8Array, { bytes, used }: Chunk): boolean {
    const { length } = state
    return !this.keepsAlone(length) && state.buffer === bytes.buffer && state.byteOffset + length === used
  }

  #room(length: number): Chunk {
    const current = this.#current
    if (current !== undefined && current.used + length <= chunkBytes) return current
    if (current?.live === 0) this.#chunks.delete(current.bytes.buffer)
    const chunk = { bytes: Buffer.allocUnsafeSlow(chunkBytes), used: 0, live: 0 }
    this.#chunks.set(chunk.bytes.buffer, chunk)
    this.#current = chunk
    return chunk
  }
}
