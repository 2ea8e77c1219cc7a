/**
 * Writes a value as msgpack and checks it on the way: one walk, so that no property is read twice. The rules are those of
 * values.ts (V1–V8).
 *
 * W1. The block, the position and the trail belong to the module: one walk at a time, from start to end without a pause. A walk
 *     that begins inside another (in a getter) writes behind it, copies its result, and puts position and depth back.
 * W2. Small results are views of one block, side by side, as Node's own buffers are: an allocation of its own would cost more than
 *     the walk. No byte of a result is ever written again. Who keeps a small one for long should copy it.
 */
import { HoldfastError } from './errors.ts'
import { bigintExtension, dateExtension, maxBigintBits, maxDepth, maxValueBytes, pathOf } from './value-format.ts'

const blockBytes = 16 * 1_024
/** A walk begins in a new block if less than this is left. */
const roomBytes = 1_024
/** Room for any head, number or date; each write of one asks for it before. */
const headBytes = 16

let bytes = Buffer.allocUnsafeSlow(blockBytes)
let view = viewOf(bytes)
let at = 0
let depth = 0
let walking = false
/** The key or index that is being written at each depth, for the path of an error. */
const trail: (string | number)[] = []

/** The bytes of a value. Throws `INVALID` with a path for anything that is not one. */
export function writeValue(value: unknown): Uint8Array {
  if (walking) return writeInside(value)
  if (at + roomBytes > blockBytes) use(Buffer.allocUnsafeSlow(blockBytes), 0)
  const block = bytes
  const start = at
  walking = true
  try {
    write(value === undefined ? null : value)
    if (bytes === block) return new Uint8Array(bytes.buffer, start, at - start)
    const copy = new Uint8Array(bytes.subarray(start, at))
    use(block, start)
    return copy
  } catch (error) {
    use(block, start)
    throw error
  } finally {
    walking = false
    depth = 0
  }
}

function writeInside(value: unknown): Uint8Array {
  const start = at
  const outer = depth
  try {
    write(value === undefined ? null : value)
    return new Uint8Array(bytes.subarray(start, at))
  } finally {
    at = start
    depth = outer
  }
}

function write(value: unknown): void {
  reserve(headBytes)
  switch (typeof value) {
    case 'string':
      return writeText(value)
    case 'number':
      return writeNumber(value)
    case 'boolean':
      bytes[at++] = value ? 0xc3 : 0xc2
      return
    case 'bigint':
      return writeBigint(value)
    case 'object':
      if (value === null) bytes[at++] = 0xc0
      else writeObject(value)
      return
    case 'undefined':
      throw refused('undefined is not a value here: use null')
    default:
      throw refused(`a ${typeof value} is not a value`)
  }
}

function writeNumber(n: number): void {
  // -0 is equal to its 32 bits, too, and becomes 0.
  if ((n | 0) === n) {
    if (n >= 0) {
      if (n < 0x80) bytes[at++] = n
      else if (n < 0x100) {
        bytes[at++] = 0xcc
        bytes[at++] = n
      } else if (n < 0x10000) write16(0xcd, n)
      else write32(0xce, n)
    } else if (n >= -0x20) bytes[at++] = n
    else if (n >= -0x80) {
      bytes[at++] = 0xd0
      bytes[at++] = n
    } else if (n >= -0x8000) write16(0xd1, n)
    else write32(0xd2, n)
  } else if (n >>> 0 === n) write32(0xce, n)
  else {
    if (!Number.isFinite(n)) throw refused(`${n} is not a value: use a finite number or null`)
    bytes[at++] = 0xcb
    view.setFloat64(at, n)
    at += 8
  }
}

function write16(head: number, n: number): void {
  bytes[at++] = head
  bytes[at++] = n >> 8
  bytes[at++] = n
}

function write32(head: number, n: number): void {
  bytes[at++] = head
  bytes[at++] = n >> 24
  bytes[at++] = n >> 16
  bytes[at++] = n >> 8
  bytes[at++] = n
}

function writeText(text: string): void {
  const length = text.length
  reserve(headBytes + length * 3)
  if (length < 32 && writeShortAscii(text, length)) return
  const size = Buffer.byteLength(text)
  if (size !== length && /\p{Surrogate}/u.test(text)) {
    throw refused('a text with a lone surrogate is not a value: make it well-formed Unicode')
  }
  if (size < 32) bytes[at++] = 0xa0 | size
  else if (size < 0x100) {
    bytes[at++] = 0xd9
    bytes[at++] = size
  } else if (size < 0x10000) write16(0xda, size)
  else write32(0xdb, size)
  at += bytes.write(text, at, 'utf8')
}

/** Writes a text of less than 32 ASCII characters; of any other it leaves no trace. */
function writeShortAscii(text: string, length: number): boolean {
  let next = at
  bytes[next++] = 0xa0 | length
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x80) return false
    bytes[next++] = code
  }
  at = next
  return true
}

function writeObject(value: object): void {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) writeMap(value as Record<string, unknown>)
  else if (Array.isArray(value)) writeArray(value)
  else if (value instanceof Uint8Array) writeBytes(value)
  else if (value instanceof Date) writeDate(value)
  else {
    const name: unknown = value.constructor?.name
    const what = typeof name === 'string' && name !== '' ? `a ${name}` : 'an instance of a class'
    throw refused(`${what} is not a value: use plain objects, arrays, Uint8Array, Date and bigint`)
  }
}

function writeArray(items: readonly unknown[]): void {
  const level = enter()
  const length = items.length
  if (length < 16) bytes[at++] = 0x90 | length
  else if (length < 0x10000) write16(0xdc, length)
  else write32(0xdd, length)
  for (let i = 0; i < length; i++) {
    trail[level] = i
    write(items[i])
  }
  depth = level
}

function writeMap(object: Record<string, unknown>): void {
  const level = enter()
  const keys = Object.keys(object)
  // The head's width goes by the keys that there are; its count is put in after, since undefined properties do not count.
  const head = at
  at += keys.length < 16 ? 1 : keys.length < 0x10000 ? 3 : 5
  let count = 0
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    const value = object[key]
    if (value === undefined) continue
    trail[level] = key
    if (key === '__proto__') throw refused('"__proto__" is not a key: use another')
    writeText(key)
    write(value)
    count++
  }
  const end = at
  at = head
  if (keys.length < 16) bytes[at++] = 0x80 | count
  else if (keys.length < 0x10000) write16(0xde, count)
  else write32(0xdf, count)
  at = end
  depth = level
}

/** The level of an array or object that is about to be written. */
function enter(): number {
  if (depth >= maxDepth)
    throw refused(`a value is at most ${maxDepth} levels deep: this one is deeper, or holds itself`)
  return depth++
}

function writeBytes(source: Uint8Array): void {
  const size = source.length
  reserve(headBytes + size)
  if (size < 0x100) {
    bytes[at++] = 0xc4
    bytes[at++] = size
  } else if (size < 0x10000) write16(0xc5, size)
  else write32(0xc6, size)
  bytes.set(source, at)
  at += size
}

/** As msgpack's timestamp: 64 bits where it fits, else 96. */
function writeDate(date: Date): void {
  const ms = date.getTime()
  if (Number.isNaN(ms)) throw refused('an invalid date is not a value: use null')
  const seconds = Math.floor(ms / 1_000)
  const nanoseconds = (ms - seconds * 1_000) * 1_000_000
  if (seconds >= 0 && seconds < 2 ** 34) {
    bytes[at++] = 0xd7
    bytes[at++] = dateExtension
    view.setUint32(at, nanoseconds * 4 + Math.floor(seconds / 2 ** 32))
    view.setUint32(at + 4, seconds % 2 ** 32)
    at += 8
  } else {
    bytes[at++] = 0xc7
    bytes[at++] = 12
    bytes[at++] = dateExtension
    view.setUint32(at, nanoseconds)
    view.setBigInt64(at + 4, BigInt(seconds))
    at += 12
  }
}

/** Signed where 64 bits hold it, unsigned where only they do, else two's complement, big-endian, in as few bytes as it takes. */
function writeBigint(n: bigint): void {
  if (BigInt.asIntN(64, n) === n) {
    bytes[at++] = 0xd3
    view.setBigInt64(at, n)
    at += 8
  } else if (BigInt.asUintN(64, n) === n) {
    bytes[at++] = 0xcf
    view.setBigUint64(at, n)
    at += 8
  } else {
    if (BigInt.asIntN(maxBigintBits, n) !== n) throw refused(`a bigint has at most ${maxBigintBits} bits`)
    let size = 9
    while (BigInt.asIntN(size * 8, n) !== n) size++
    reserve(headBytes + size)
    bytes[at++] = 0xc7
    bytes[at++] = size
    bytes[at++] = bigintExtension
    for (let i = size - 1, rest = n; i >= 0; i--, rest >>= 8n) bytes[at + i] = Number(rest & 0xffn)
    at += size
  }
}

function reserve(more: number): void {
  if (at + more <= bytes.length) return
  if (at + more > maxValueBytes) throw refused(`a value has at most ${maxValueBytes} bytes: store it in parts`)
  const larger = Buffer.allocUnsafeSlow(Math.min(maxValueBytes, Math.max(at + more, bytes.length * 2)))
  bytes.copy(larger, 0, 0, at)
  use(larger, at)
}

function use(block: Buffer<ArrayBuffer>, position: number): void {
  if (block !== bytes) {
    bytes = block
    view = viewOf(block)
  }
  at = position
}

function viewOf(buffer: Uint8Array): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

function refused(reason: string): HoldfastError {
  const path = pathOf(trail.slice(0, depth))
  return new HoldfastError('INVALID', `this cannot be stored or sent: at ${path}, ${reason}`, { path })
}
