/**
 * The same bytes as a plain Uint8Array. nats.js hands out Buffers, whose `slice` shares memory where a Uint8Array's copies.
 */
export const plainBytes = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
