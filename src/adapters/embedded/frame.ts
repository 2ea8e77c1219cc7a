/**
 * Frames: how records lie one after the other in a file of the embedded server. Little-endian:
 *
 *   offset  bytes
 *        0      4  magic "HFR1"
 *        4      4  length of the body
 *        8      4  CRC-32 of bytes 12 … end
 *       12      8  sequence, from 1
 *       20      8  durable: how far the file was known to be on disk when this frame was made
 *       28      …  body
 *
 * F1. A frame whose checksum fits is whole.
 * F2. `durable` of a later frame proves that everything before that place had been synced: what is broken there is not a torn
 *     tail but damage.
 *
 * A file begins with "HOLDFAST", the length of a label (2 bytes), its CRC-32, and the label (UTF-8).
 */
import { crc32 } from 'node:zlib'

const frameMagic = Buffer.from('HFR1')
export const frameHeader = 28
/** A length above it is not one. */
const longestBody = 67_108_864
const fileMagic = Buffer.from('HOLDFAST')
export const fileHeader = fileMagic.length + 6

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

export function encodeFileHeader(label: string): Buffer {
  const name = Buffer.from(label)
  const header = Buffer.alloc(fileHeader + name.length)
  fileMagic.copy(header)
  header.writeUInt16LE(name.length, 8)
  header.writeUInt32LE(crc32(name), 10)
  name.copy(header, fileHeader)
  return header
}

/** Null where `bytes` do not begin with a whole header. */
export function decodeFileHeader(bytes: Buffer): { readonly label: string; readonly size: number } | null {
  if (bytes.length < fileHeader || bytes.compare(fileMagic, 0, 8, 0, 8) !== 0) return null
  const size = fileHeader + bytes.readUInt16LE(8)
  const name = bytes.subarray(fileHeader, size)
  if (bytes.length < size || crc32(name) !== bytes.readUInt32LE(10)) return null
  return { label: name.toString(), size }
}
