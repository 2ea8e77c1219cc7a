/**
 * Making bytes fewer, off the thread that asks. An adapter, because when it is done is as little up to us as when a disk is.
 *
 * Z1. `decompress` of what `compress` gave is what it was given, on every machine and in every version: snapshots are kept.
 * Z2. `decompress` makes no more than `bytes`, whatever it is given. What does not come to just so many is refused with `INVALID`.
 */
export interface Compression {
  /** Takes the bytes, which must not change before it resolves. */
  compress(bytes: Uint8Array): Promise<Uint8Array>
  decompress(compressed: Uint8Array, bytes: number): Promise<Uint8Array>
}
