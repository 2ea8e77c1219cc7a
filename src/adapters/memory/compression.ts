/** The same bytes as those of the system's, made at once: in a world in memory nothing may depend on how fast a machine is. */
import { brotliCompressSync, brotliDecompressSync, constants, type BrotliOptions } from 'node:zlib'
import type { Compression } from '../../ports/compression.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../../protocol/errors.ts'

/** Smaller ones cost a turn of the thread pool each. */
const pieceBytes = 1_048_576

export const compressOptions = (bytes: number): BrotliOptions => ({
  chunkSize: pieceBytes,
  params: { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_SIZE_HINT]: bytes },
})

export const decompressOptions = (bytes: number): BrotliOptions => ({
  chunkSize: Math.max(64, bytes),
  maxOutputLength: Math.max(1, bytes),
})

/** Z2 */
export function exactly(found: Uint8Array, bytes: number): Uint8Array {
  if (found.length === bytes) return found
  throw refused(bytes, new Error(`they make ${found.length}`))
}

export const refused = (bytes: number, cause: unknown): HoldfastError =>
  isHoldfastError(cause)
    ? cause
    : new HoldfastError(
        'INVALID',
        `these are not ${bytes} bytes that were compressed with brotli: ${messageOf(cause)}`,
        {
          cause,
        },
      )

export class MemoryCompression implements Compression {
  async compress(bytes: Uint8Array): Promise<Uint8Array> {
    return brotliCompressSync(bytes, compressOptions(bytes.length))
  }

  async decompress(compressed: Uint8Array, bytes: number): Promise<Uint8Array> {
    try {
      return exactly(brotliDecompressSync(compressed, decompressOptions(bytes)), bytes)
    } catch (cause) {
      throw refused(bytes, cause)
    }
  }
}
