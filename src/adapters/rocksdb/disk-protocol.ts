/**
 * What the node's thread and its disk thread say to each other. Keys and values travel packed: one buffer with all bytes
 * one after the other, and their lengths beside it; −1 stands for "none".
 */

/** Options of the binding that Holdfast sets; all others keep the binding's defaults. */
export interface DatabaseOptions {
  readonly createIfMissing: boolean
  readonly compaction: 'universal'
  /** Bytes of write buffers that compaction is laid out for; up to one and a half times as many are used. */
  readonly memtableMemoryBudget: number
  /** Bytes of blocks kept in memory. */
  readonly cacheSize: number
  readonly walCompression: boolean
}

/** Smallest useful shares of one store, in bytes. */
export const leastMemtables = 1_048_576
export const leastCache = 524_288

export interface Packed {
  readonly bytes: Uint8Array
  readonly lengths: Int32Array
}

export type DiskRequest =
  | { readonly op: 'open'; readonly path: string; readonly options: DatabaseOptions }
  | { readonly op: 'close'; readonly path: string }
  /** Lengths: key, value, key, value …; −1 for a value deletes. */
  | { readonly op: 'write'; readonly path: string; readonly batch: Packed }
  | { readonly op: 'read'; readonly path: string; readonly keys: Packed }
  /** `range`: a number that the asker chose. Without an upper bound a range goes to the end. */
  | {
      readonly op: 'begin'
      readonly path: string
      readonly range: number
      readonly gte: Uint8Array
      readonly lt?: Uint8Array
      readonly reverse?: boolean
    }
  /**
   * `seek`: goes on from there, at it or behind it in the range's direction. It is within the bounds and not empty. `exclusive`: behind it.
   * Ends early behind a large row, and without any only at the end.
   */
  | {
      readonly op: 'next'
      readonly range: number
      readonly seek?: Uint8Array
      readonly exclusive?: boolean
      readonly limit?: number
    }
  | { readonly op: 'end'; readonly range: number }

export interface DiskQuestion {
  readonly id: number
  readonly request: DiskRequest
}

export type DiskAnswer =
  | { readonly id: number; readonly kind: 'done'; readonly rows: Packed | null; readonly finished: boolean }
  | { readonly id: number; readonly kind: 'failed'; readonly code: string; readonly message: string }

export function pack(parts: readonly Uint8Array[]): Packed {
  const lengths = Int32Array.from(parts, (part) => part.length)
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return { bytes, lengths }
}

/** Copies, so that one part that is kept does not keep all the others. */
export function unpack({ bytes, lengths }: Packed): (Uint8Array | undefined)[] {
  if (lengths.length === 1) return [lengths[0]! < 0 ? undefined : bytes]
  const parts = new Array<Uint8Array | undefined>(lengths.length)
  let at = 0
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i]!
    // No holes: who maps over the result must meet what is absent.
    parts[i] = length < 0 ? undefined : bytes.slice(at, (at += length))
  }
  return parts
}
