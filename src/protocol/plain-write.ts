/**
 * Writes plain values in one walk: null, booleans, numbers, texts, bytes, and arrays and objects of these, which is what most states, inputs
 * and replies are. It checks as it goes.
 *
 * W1. What it writes is what `checkValue` and msgpackr make of the same value, byte for byte.
 * W2. Whatever it does not know, has no room for, or would refuse is left to them: they have the last word, and the sentence for it. So a
 *     value of which it gave up in the middle is walked over again; each walk reads every property once, and packs what it read.
 * W3. A getter of the value may encode another one meanwhile: that is left to them, too.
 */
/// <reference lib="es2024.string" />
import { writeUtf8 } from './native-text.ts'
import { maxDepth } from './value-format.ts'

/** Where it left off, if it could not be written. */
export const notPlain = -1

/** Texts up to this length are written byte by byte: the call of a native function would take longer. */
const shortText = 24
/** Of a number, or the head of anything else, at most. */
const headBytes = 9

let bytes: Buffer = Buffer.alloc(0)
let view = new DataView(bytes.buffer)
let at = 0
let end = 0
let writing = false

/** Writes a value from `begin` on, and says where it ends; `notPlain` where this is not for it (W2). */
export function writePlain(value: unknown, into: Buffer<ArrayBuffer>, begin: number): number {
  if (writing) return notPlain
  writing = true
  if (into !== bytes) {
    bytes = into
    view = new DataView(into.buffer, into.byteOffset, into.length)
    end = into.length
  }
  at = begin
  try {
    return write(value, maxDepth) ? at : notPlain
  } finally {
    writing = false
  }
}

function write(value: unknown, levels: number): boolean {
  if (end - at < headBytes) return false
  switch (typeof value) {
    case 'string':
      return writeText(value)
    case 'number':
      return writeNumber(value)
    case 'boolean':
      bytes[at++] = value ? 0xc3 : 0xc2
      return true
    case 'object':
      if (value !== null) return writeObject(value, levels)
      bytes[at++] = 0xc0
      return true
    default:
      return false
  }
}

function writeNumber(n: number): boolean {
  if ((n | 0) === n && n >= 0 && n < 0x80) bytes[at++] = n
  else if (n >>> 0 === n) {
    if (n < 0x100) head(0xcc, n, 1)
    else if (n < 0x1_0000) head(0xcd, n, 2)
    else head(0xce, n, 4)
  } else if ((n | 0) === n) {
    if (n >= -0x20) bytes[at++] = n + 0x100
    else if (n >= -0x80) head(0xd0, n, 1)
    else if (n >= -0x8000) head(0xd1, n, 2)
    else head(0xd2, n, 4)
  } else {
    if (!Number.isFinite(n)) return false
    bytes[at] = 0xcb
    view.setFloat64(at + 1, n)
    at += 9
  }
  return true
}

/** `n` in `size` bytes, big-endian; negative ones as two's complement. */
function head(first: number, n: number, size: 1 | 2 | 4): void {
  bytes[at++] = first
  for (let shift = 8 * (size - 1); shift >= 0; shift -= 8) bytes[at++] = n >>> shift
}

function writeText(text: string): boolean {
  const { length } = text
  if (end - at < headBytes + 3 * length) return false
  if (length > shortText) return writeLongText(text)
  let to = at + 1
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return writeLongText(text)
    bytes[to++] = code
  }
  bytes[at] = 0xa0 | length
  at = to
  return true
}

function writeLongText(text: string): boolean {
  const { length } = text
  if (!text.isWellFormed()) return false
  // Most are ASCII: as many bytes as characters.
  const headOf = (size: number) => (size < 0x20 ? 1 : size < 0x100 ? 2 : size < 0x1_0000 ? 3 : 5)
  const begin = at
  const guess = headOf(length)
  const size = writeUtf8(bytes, text, begin + guess)
  const actual = headOf(size)
  if (actual !== guess) bytes.copyWithin(begin + actual, begin + guess, begin + guess + size)
  if (size < 0x20) bytes[at++] = 0xa0 | size
  else if (size < 0x100) head(0xd9, size, 1)
  else if (size < 0x1_0000) head(0xda, size, 2)
  else head(0xdb, size, 4)
  at = begin + actual + size
  return true
}

function writeObject(value: object, levels: number): boolean {
  if (levels === 0) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return writeMap(value as Record<string, unknown>, levels)
  if (Array.isArray(value)) return writeArray(value, levels)
  return (prototype === Uint8Array.prototype || prototype === Buffer.prototype) && writeBytes(value as Uint8Array)
}

function writeArray(items: readonly unknown[], levels: number): boolean {
  const { length } = items
  if (length < 16) bytes[at++] = 0x90 | length
  else if (length < 0x1_0000) head(0xdc, length, 2)
  else head(0xdd, length, 4)
  for (let i = 0; i < length; i++) if (!write(items[i], levels - 1)) return false
  return true
}

function writeMap(object: Record<string, unknown>, levels: number): boolean {
  const headAt = at++
  let count = 0
  // The engine knows this loop: the names and places of the properties come from the object's shape.
  for (const key in object) {
    if (!Object.hasOwn(object, key)) continue
    const item = object[key]
    if (item === undefined) continue
    // The head of a larger one would be longer.
    if (++count > 15 || key === '__proto__' || !writeText(key) || !write(item, levels - 1)) return false
  }
  bytes[headAt] = 0x80 | count
  return true
}

function writeBytes(value: Uint8Array): boolean {
  const { length } = value
  if (end - at < headBytes + length) return false
  if (length < 0x100) head(0xc4, length, 1)
  else if (length < 0x1_0000) head(0xc5, length, 2)
  else head(0xc6, length, 4)
  bytes.set(value, at)
  at += length
  return true
}
