/**
 * The same bytes as a plain Uint8Array. nats.js hands out Buffers: their `slice` shares memory where a Uint8Array's copies, and
 * what is decoded from one may be made of Buffers, too.
 */
export const plainBytes = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
