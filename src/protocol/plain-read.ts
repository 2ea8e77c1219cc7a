/**
 * Reads plain values in one walk: null, booleans, numbers, texts, bytes, and arrays and objects of these. It checks as it goes.
 *
 * R1. What it reads is what `scanValue` passes and msgpackr reads from the same bytes.
 * R2. Whatever it does not know, or would refuse, is left to them: they have the last word, and the sentence for it. It builds no more than
 *     the bytes that are there can mean, and no more than `maxWeight`.
 * R3. Names of properties are kept in a table, so that they are not made again for each object: a name is found there by all its bytes.
 */
import { isUtf8 } from 'node:buffer'
import { asciiText } from './native-text.ts'
import { keyWeight, maxDepth, partWeight, type Value } from './value-format.ts'

/** What is not for this: no value is undefined. */
export const notPlain = undefined

/** Texts up to this length are made of their characters: the call of a native function would take longer. */
const shortText = 15
const namesInTable = 1_024
const longestName = 31

const names: (string | undefined)[] = new Array<string | undefined>(namesInTable)
const nothing = new Uint8Array(0)
/** Thrown when it gives up: always the same, since making an error would cost more than reading. */
const giveUp = new Error('not plain')

let bytes: Uint8Array = nothing
let at = 0
let end = 0
let weightLeft = 0
let sharing = false

/**
 * The value of some bytes, or `notPlain` where this is not for them (R2). `views`: Uint8Arrays in it are views of `source`, else copies.
 */
export function readPlain(source: Uint8Array, views: boolean, maxWeight: number): Value | typeof notPlain {
  bytes = source
  at = 0
  end = source.length
  weightLeft = maxWeight
  sharing = views
  try {
    const value = read(maxDepth)
    return at === end ? value : notPlain
  } catch (error) {
    if (error !== giveUp) throw error
    return notPlain
  } finally {
    bytes = nothing
  }
}

function read(levels: number): Value {
  if (at >= end) throw giveUp
  const head = bytes[at++]!
  if (head < 0x80) return head
  if (head < 0x90) return readMap(head & 0x0f, levels)
  if (head < 0xa0) return readArray(head & 0x0f, levels)
  if (head < 0xc0) return readText(head & 0x1f)
  if (head >= 0xe0) return head - 0x100
  switch (head) {
    case 0xc0:
      return null
    case 0xc2:
      return false
    case 0xc3:
      return true
    case 0xc4:
      return readBytes(unsigned(1))
    case 0xc5:
      return readBytes(unsigned(2))
    case 0xc6:
      return readBytes(unsigned(4))
    case 0xcb:
      return readFloat()
    case 0xcc:
      return unsigned(1)
    case 0xcd:
      return unsigned(2)
    case 0xce:
      return unsigned(4)
    case 0xd0:
      return (unsigned(1) << 24) >> 24
    case 0xd1:
      return (unsigned(2) << 16) >> 16
    case 0xd2:
      return unsigned(4) | 0
    case 0xd9:
      return readText(unsigned(1))
    case 0xda:
      return readText(unsigned(2))
    case 0xdb:
      return readText(unsigned(4))
    case 0xdc:
      return readArray(unsigned(2), levels)
    case 0xdd:
      return readArray(unsigned(4), levels)
    case 0xde:
      return readMap(unsigned(2), levels)
    default:
      throw giveUp
  }
}

function unsigned(size: 1 | 2 | 4): number {
  if (size > end - at) throw giveUp
  let n = bytes[at++]!
  if (size === 1) return n
  n = (n << 8) | bytes[at++]!
  if (size === 2) return n
  n = (n << 8) | bytes[at++]!
  return ((n << 8) | bytes[at++]!) >>> 0
}

function weigh(weight: number): void {
  weightLeft -= weight
  if (weightLeft < 0) throw giveUp
}

function readFloat(): number {
  if (end - at < 8) throw giveUp
  const n = new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0)
  at += 8
  // Neither what is no number, nor −0 (V3).
  if (!Number.isFinite(n) || n === 0) throw giveUp
  return n
}

function readText(length: number): string {
  const begin = at
  if (length > end - at) throw giveUp
  at += length
  for (let i = begin; i < at; i++) if (bytes[i]! > 0x7f) return readUtf8(begin)
  if (length > shortText) return asciiText(bytes, begin, at)
  let text = ''
  for (let i = begin; i < at; i++) text += String.fromCharCode(bytes[i]!)
  return text
}

function readUtf8(begin: number): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + begin, at - begin)
  if (!isUtf8(text)) throw giveUp
  return text.toString('utf8')
}

function readBytes(length: number): Uint8Array {
  weigh(partWeight)
  const begin = at
  if (length > end - at) throw giveUp
  at += length
  return sharing
    ? new Uint8Array(bytes.buffer, bytes.byteOffset + begin, length)
    : new Uint8Array(bytes.subarray(begin, at))
}

function readArray(length: number, levels: number): Value[] {
  // Each item has a byte at least.
  if (levels === 0 || length > end - at) throw giveUp
  weigh(partWeight + length)
  const items = new Array<Value>(length)
  for (let i = 0; i < length; i++) items[i] = read(levels - 1)
  return items
}

function readMap(count: number, levels: number): Value {
  if (levels === 0 || count > (end - at) / 2) throw giveUp
  weigh(partWeight + (keyWeight + 1) * count)
  const object: Record<string, Value> = {}
  for (let i = 0; i < count; i++) {
    const name = readName()
    object[name] = read(levels - 1)
  }
  return object
}

function readName(): string {
  const head = bytes[at++]!
  let name: string
  if (head >= 0xa0 && head < 0xc0) name = readShortName(head & 0x1f)
  else if (head === 0xd9) name = readText(unsigned(1))
  else throw giveUp
  if (name === '__proto__') throw giveUp
  return name
}

/** R3 */
function readShortName(length: number): string {
  if (length > longestName || length > end - at) throw giveUp
  let hash = length
  for (let i = at; i < at + length; i++) hash = (31 * hash + bytes[i]!) | 0
  const place = hash & (namesInTable - 1)
  const known = names[place]
  if (known !== undefined && isHere(known, length)) {
    at += length
    return known
  }
  return (names[place] = readText(length))
}

function isHere(name: string, length: number): boolean {
  if (name.length !== length) return false
  for (let i = 0; i < length; i++) {
    const code = name.charCodeAt(i)
    // Of ASCII alone each character is one byte, and the same.
    if (code > 0x7f || code !== bytes[at + i]) return false
  }
  return true
}
