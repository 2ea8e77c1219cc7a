/**
 * Bytes that keep nothing else in memory.
 *
 * Up to `smallBytes` an array lies in the engine's heap, and costs no more than a view of something else: so all small values and pieces
 * are made as arrays of their own. Larger ones are often views of a block, a frame or a record, which would stay as long as they do.
 */
export const smallBytes = 64

export const ownBytes = (bytes: Uint8Array): Uint8Array =>
  // `buffer` of a small array would give it memory outside of the heap.
  bytes.length <= smallBytes || bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
