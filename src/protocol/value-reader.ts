/**
 * Reads a value from msgpack bytes that anybody may have sent.
 *
 * B1. Whatever the bytes are, the outcome is a value or `INVALID`: nothing is executed, no prototype is touched, no class but
 *     Uint8Array and Date is made.
 * B2. Only what the writer can mean is read: no foreign extension, no key that is not text, no ill-formed UTF-8, no number that
 *     JSON does not know, no byte after the value, nothing deeper than `maxDepth`.
 * B3. Memory is taken in proportion to the bytes that are there, never to a length that they claim.
 * B4. The result shares no memory with the bytes, unless `views` asks for it.
 */
import { HoldfastError } from './errors.ts'
import { bigintExtension, dateExtension, maxBigintBits, maxDepth, type Value } from './value-format.ts'

const nothing = new Uint8Array(0)
let bytes: Uint8Array = nothing
/** The same bytes, made where a long text is found: it has the faster decoder. */
let buffer: Buffer | undefined
let at = 0
let end = 0
let sharing = false

const scratch = new DataView(new ArrayBuffer(8))
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The value of some bytes. `views`: Uint8Arrays in it are views of `source`, for who uses them at once or owns it. */
export function readValue(source: Uint8Array, views = false): Value {
  bytes = source
  buffer = undefined
  at = 0
  end = source.length
  sharing = views
  const value = read(maxDepth)
  if (at !== end) throw refused('bytes after its end')
  bytes = nothing
  buffer = undefined
  return value
}

function read(levels: number): Value {
  if (at >= end) throw truncated()
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
      return readBytes(uint(1))
    case 0xc5:
      return readBytes(uint(2))
    case 0xc6:
      return readBytes(uint(4))
    case 0xc7:
      return readExtension(uint(1))
    case 0xca:
      return finite(load(4).getFloat32(0))
    case 0xcb:
      return finite(load(8).getFloat64(0))
    case 0xcc:
      return uint(1)
    case 0xcd:
      return uint(2)
    case 0xce:
      return uint(4)
    case 0xcf:
      return load(8).getBigUint64(0)
    case 0xd0:
      return (uint(1) << 24) >> 24
    case 0xd1:
      return (uint(2) << 16) >> 16
    case 0xd2:
      return uint(4) | 0
    case 0xd3:
      return load(8).getBigInt64(0)
    case 0xd7:
      return readExtension(8)
    case 0xd8:
      return readExtension(16)
    case 0xd9:
      return readText(uint(1))
    case 0xda:
      return readText(uint(2))
    case 0xdb:
      return readText(uint(4))
    case 0xdc:
      return readArray(uint(2), levels)
    case 0xdd:
      return readArray(uint(4), levels)
    case 0xde:
      return readMap(uint(2), levels)
    case 0xdf:
      return readMap(uint(4), levels)
    default:
      throw refused(`a head of 0x${head.toString(16)}`)
  }
}

function uint(size: 1 | 2 | 4): number {
  take(size)
  if (size === 1) return bytes[at - 1]!
  const low = (bytes[at - 2]! << 8) | bytes[at - 1]!
  return size === 2 ? low : ((bytes[at - 4]! << 24) | (bytes[at - 3]! << 16) | low) >>> 0
}

/** The next bytes in a place of their own that has accessors for all kinds of numbers. */
function load(size: number): DataView {
  take(size)
  for (let i = 0; i < size; i++) scratch.setUint8(i, bytes[at - size + i]!)
  return scratch
}

/** Goes on by `size` bytes, which are there. */
function take(size: number): void {
  if (size > end - at) throw truncated()
  at += size
}

function finite(n: number): number {
  if (!Number.isFinite(n)) throw refused('a number that is not finite')
  return n === 0 ? 0 : n
}

function readArray(count: number, levels: number): Value[] {
  if (levels === 0) throw refused(`more than ${maxDepth} levels`)
  if (count > end - at) throw truncated()
  const items = new Array<Value>(count)
  for (let i = 0; i < count; i++) items[i] = read(levels - 1)
  return items
}

function readMap(count: number, levels: number): Record<string, Value> {
  if (levels === 0) throw refused(`more than ${maxDepth} levels`)
  if (count > (end - at) / 2) throw truncated()
  const object: Record<string, Value> = {}
  for (let i = 0; i < count; i++) {
    const key = readKey()
    object[key] = read(levels - 1)
  }
  return object
}

/** Keys come again and again: a small table of those seen saves making the text, and the engine making it unique. */
interface KnownKey {
  readonly text: string
  readonly bytes: Uint8Array
}
const knownKeys = new Array<KnownKey | undefined>(512)
const longestKnownKey = 24

function readKey(): string {
  if (at >= end) throw truncated()
  const head = bytes[at++]!
  const size =
    head >= 0xa0 && head < 0xc0
      ? head & 0x1f
      : head >= 0xd9 && head <= 0xdb
        ? uint((1 << (head - 0xd9)) as 1 | 2 | 4)
        : -1
  if (size < 0) throw refused('a key that is not text')
  if (size === 0 || size > longestKnownKey) return checkedKey(readText(size))
  if (size > end - at) throw truncated()
  const slot = ((bytes[at]! * 31 + bytes[at + size - 1]!) * 31 + bytes[at + (size >> 1)]! + size * 7) & 511
  const known = knownKeys[slot]
  if (known !== undefined && known.bytes.length === size) {
    let i = 0
    while (i < size && known.bytes[i] === bytes[at + i]) i++
    if (i === size) {
      at += size
      return known.text
    }
  }
  const own = bytes.slice(at, at + size)
  const text = checkedKey(readText(size))
  knownKeys[slot] = { text, bytes: own }
  return text
}

function checkedKey(key: string): string {
  if (key === '__proto__') throw refused('the key "__proto__"')
  return key
}

/** Codes of a short text, one array for each length. */
const codes = Array.from({ length: 25 }, (_, size) => new Array<number>(size).fill(0))

function readText(size: number): string {
  const start = at
  take(size)
  const own = codes[size]
  if (own !== undefined) {
    let i = 0
    for (; i < size; i++) {
      const byte = bytes[start + i]!
      if (byte >= 0x80) break
      own[i] = byte
    }
    if (i === size) return String.fromCharCode.apply(null, own)
  }
  buffer ??= Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8', start, at)
  // The replacement character is either in the text itself or a sign of ill-formed bytes.
  if (text.includes('\uFFFD')) checkUtf8(bytes.subarray(start, at))
  return text
}

function checkUtf8(text: Uint8Array): void {
  try {
    utf8.decode(text)
  } catch (cause) {
    throw refused('text that is not UTF-8', cause)
  }
}

function readBytes(size: number): Uint8Array {
  take(size)
  return sharing
    ? new Uint8Array(bytes.buffer, bytes.byteOffset + at - size, size)
    : new Uint8Array(bytes.subarray(at - size, at))
}

function readExtension(size: number): Value {
  const type = uint(1)
  if (type === dateExtension && (size === 8 || size === 12)) return readDate(size)
  if (type === bigintExtension && size > 8 && size <= maxBigintBits / 8) return readBigint(size)
  throw refused(`extension ${type} of ${size} bytes`)
}

function readDate(size: 8 | 12): Date {
  const high = uint(4)
  const nanoseconds = size === 8 ? high >>> 2 : high
  const seconds = size === 8 ? (high & 3) * 2 ** 32 + uint(4) : Number(load(8).getBigInt64(0))
  const date = new Date(seconds * 1_000 + nanoseconds / 1_000_000)
  if (nanoseconds > 999_000_000 || nanoseconds % 1_000_000 !== 0 || Number.isNaN(date.getTime())) {
    throw refused('a date that is not a whole millisecond in range')
  }
  return date
}

function readBigint(size: number): bigint {
  take(size)
  let n = BigInt.asIntN(8, BigInt(bytes[at - size]!))
  for (let i = at - size + 1; i < at; i++) n = (n << 8n) | BigInt(bytes[i]!)
  return n
}

const truncated = () => refused('an end before its end')

const refused = (what: string, cause?: unknown) =>
  new HoldfastError('INVALID', `these bytes are not a value: they have ${what}; send what encodeValue writes`, {
    cause,
  })
