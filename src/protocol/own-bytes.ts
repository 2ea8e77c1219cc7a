/** Bytes that keep nothing else in memory: small ones are often views of a large block, a frame or a record, which would stay as long. */
export const ownBytes = (bytes: Uint8Array): Uint8Array =>
  bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
