/**
 * Frames: how records lie one after the other in a file of the embedded server. Little-endian:
 *
 *   offset  bytes
 *        0      4  magic "HFR1"
 *        4      4  length of the body
 *        8      4  CRC-32 of bytes 12 … end
 *       12      8  sequence, from 1
 *       20      8  durable: how far the file was known to be on disk when this frame was written
 *       28      …  body
 *
 * F1. A frame whose checksum fits is whole.
 * F2. `durable` of a later frame proves that everything before that place had been synced: what is broken there is not a torn
 *     tail but damage.
 *
 * A file begins with "HOLDFAST", a CRC-32 of what follows it in the header, the size that the file was made with (8 bytes), the
 * length of a label (2 bytes), and the label (UTF-8).
 *
 * F3. All that a file was made with was durable before it had its name: whatever is not whole there is damage.
 */
import { crc32 } from 'node:zlib'

const frameMagic = Buffer.from('HFR1')
export const frameHeader = 28
/** A length above it is not one. */
const longestBody = 67_108_864
const fileMagic = Buffer.from('HOLDFAST')
export const fileHeader = fileMagic.length + 14

export interface FrameHead {
  readonly seq: number
  readonly durable: number
  /** Of the whole frame. */
  readonly size: number
}

export interface Frame extends FrameHead {
  readonly body: Uint8Array
}

export function encodeFrame(seq: number, durable: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(frameHeader + body.length)
  frameMagic.copy(frame)
  frame.writeUInt32LE(body.length, 4)
  frame.writeBigUInt64LE(BigInt(seq), 12)
  frame.writeBigUInt64LE(BigInt(durable), 20)
  frame.set(body, frameHeader)
  frame.writeUInt32LE(crc32(frame.subarray(12)), 8)
  return frame
}

/** What a frame's first bytes say, unproven; null where there are too few, or where they begin no frame. */
export function decodeHead(bytes: Buffer): FrameHead | null {
  if (bytes.length < frameHeader || bytes.compare(frameMagic, 0, 4, 0, 4) !== 0) return null
  const length = bytes.readUInt32LE(4)
  if (length > longestBody) return null
  return {
    seq: Number(bytes.readBigUInt64LE(12)),
    durable: Number(bytes.readBigUInt64LE(20)),
    size: frameHeader + length,
  }
}

/** A whole frame at the beginning of `bytes`, its body a copy; null where it is not whole. */
export function decodeFrame(bytes: Buffer): Frame | null {
  const head = decodeHead(bytes)
  if (head === null || bytes.length < head.size) return null
  if (crc32(bytes.subarray(12, head.size)) !== bytes.readUInt32LE(8)) return null
  return { ...head, body: Uint8Array.prototype.slice.call(bytes, frameHeader, head.size) }
}

/** Where the next frame may begin, from `from` on; −1 where none does. */
export const nextMagic = (bytes: Buffer, from: number): number => bytes.indexOf(frameMagic, from)

export interface FileHead {
  readonly label: string
  /** Of the file when it was made. */
  readonly madeSize: number
  /** Of the header. */
  readonly size: number
}

export const fileHeaderSize = (label: string): number => fileHeader + Buffer.byteLength(label)

export function encodeFileHeader(label: string, madeSize: number): Buffer {
  const name = Buffer.from(label)
  const header = Buffer.alloc(fileHeader + name.length)
  fileMagic.copy(header)
  header.writeBigUInt64LE(BigInt(madeSize), 12)
  header.writeUInt16LE(name.length, 20)
  name.copy(header, fileHeader)
  header.writeUInt32LE(crc32(header.subarray(12)), 8)
  return header
}

/** Null where `bytes` do not begin with a whole header. */
export function decodeFileHeader(bytes: Buffer): FileHead | null {
  if (bytes.length < fileHeader || bytes.compare(fileMagic, 0, 8, 0, 8) !== 0) return null
  const size = fileHeader + bytes.readUInt16LE(20)
  if (bytes.length < size || crc32(bytes.subarray(12, size)) !== bytes.readUInt32LE(8)) return null
  return { label: bytes.toString('utf8', fileHeader, size), madeSize: Number(bytes.readBigUInt64LE(12)), size }
}
