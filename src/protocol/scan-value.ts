/**
 * Goes over bytes that anybody may have sent, and decides whether msgpackr may read them. Builds nothing.
 *
 * B1. Whatever the bytes are, the outcome is a value or `INVALID`: nothing is executed, no prototype is touched, no class but
 *     Uint8Array and Date is made.
 * B2. Only what the writer can mean is read: no foreign extension, no key that is not text, no ill-formed UTF-8, no number that
 *     JSON does not know, no byte after the value, nothing deeper than `maxDepth` or longer than `maxValueBytes`.
 * B3. Memory is taken in proportion to the bytes that are there, never to a length that they claim.
 * B4. What weighs more than its reader allows is refused before anything is built of it (`maxWeight`).
 */
import { isUtf8 } from 'node:buffer'
import { HoldfastError } from './errors.ts'
import {
  bigintExtension,
  dateExtension,
  keyWeight,
  maxBigintBits,
  maxDepth,
  maxValueBytes,
  partWeight,
} from './value-format.ts'

/** Texts up to this length are looked at byte by byte: the call of a native function would take longer. */
const shortTextBytes = 96

const nothing = new Uint8Array(0)
let bytes: Uint8Array = nothing
let at = 0
let end = 0
let oddities: number[] | undefined
let weightLeft = 0

/**
 * Throws `INVALID` for what is not a value. Returns where the heads of oddities are, if there are any: values that are fine, but
 * that msgpackr reads as something else (see `mend-bytes.ts`).
 */
export function scanValue(source: Uint8Array, maxWeight: number): readonly number[] | undefined {
  if (source.length > maxValueBytes) throw refused(`more than ${maxValueBytes} bytes`)
  bytes = source
  at = 0
  end = source.length
  oddities = undefined
  weightLeft = maxWeight
  try {
    scan(maxDepth)
  } finally {
    bytes = nothing
  }
  if (at !== end) throw refused('bytes after its end')
  return oddities
}

function scan(levels: number): void {
  if (at >= end) throw truncated()
  const head = bytes[at++]!
  if (head < 0x80 || head >= 0xe0) return
  if (head < 0x90) return scanMap(head & 0x0f, levels)
  if (head < 0xa0) return scanArray(head & 0x0f, levels)
  if (head < 0xc0) return scanText(head & 0x1f)
  switch (head) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return
    case 0xc4:
      return scanBytes(uint(1))
    case 0xc5:
      return scanBytes(uint(2))
    case 0xc6:
      return scanBytes(uint(4))
    case 0xc7:
      return scanExtension(uint(1), head)
    case 0xca:
      return scanFloat(4, 0x80)
    case 0xcb:
      return scanFloat(8, 0xf0)
    case 0xcc:
    case 0xd0:
      return skip(1)
    case 0xcd:
    case 0xd1:
      return skip(2)
    case 0xce:
    case 0xd2:
      return skip(4)
    case 0xcf:
    case 0xd3:
      return skip(8)
    case 0xd6:
      return scanExtension(4, head)
    case 0xd7:
      return scanExtension(8, head)
    case 0xd8:
      return scanExtension(16, head)
    case 0xd9:
      return scanLongText(1)
    case 0xda:
      return scanLongText(2)
    case 0xdb:
      return scanLongText(4)
    case 0xdc:
      return scanArray(uint(2), levels)
    case 0xdd:
      return scanArray(uint(4), levels)
    case 0xde:
      return scanMap(uint(2), levels)
    case 0xdf:
      return scanMap(uint(4), levels)
    default:
      throw refused(`a head of 0x${head.toString(16)}`)
  }
}

function uint(size: 1 | 2 | 4): number {
  skip(size)
  if (size === 1) return bytes[at - 1]!
  const low = (bytes[at - 2]! << 8) | bytes[at - 1]!
  return size === 2 ? low : ((bytes[at - 4]! << 24) | (bytes[at - 3]! << 16) | low) >>> 0
}

/** Goes on by `size` bytes, which are there. */
function skip(size: number): void {
  if (size > end - at) throw truncated()
  at += size
}

/** B4 */
function weigh(weight: number): void {
  weightLeft -= weight
  if (weightLeft < 0) throw refused('too many parts')
}

function scanBytes(size: number): void {
  weigh(partWeight)
  skip(size)
}

function scanArray(count: number, levels: number): void {
  if (levels === 0) throw refused(`more than ${maxDepth} levels`)
  if (count > end - at) throw truncated()
  weigh(partWeight + count)
  for (let i = 0; i < count; i++) scan(levels - 1)
}

function scanMap(count: number, levels: number): void {
  if (levels === 0) throw refused(`more than ${maxDepth} levels`)
  if (count > (end - at) / 2) throw truncated()
  weigh(partWeight + (keyWeight + 1) * count)
  for (let i = 0; i < count; i++) {
    scanKey()
    scan(levels - 1)
  }
}

function scanKey(): void {
  const start = at
  const head = bytes[at]!
  if (head < 0xa0 || (head >= 0xc0 && (head < 0xd9 || head > 0xdb))) throw refused('a key that is not text')
  scan(0)
  if (bytes[at - 1] === 0x5f && isProto(start)) throw refused('the key "__proto__"')
}

const proto = Buffer.from('__proto__')
/** Whether the text that ends here, and has its head at `start`, is `__proto__`, however long its head is. */
const isProto = (start: number) => {
  const head = bytes[start]!
  const size = at - start - (head < 0xc0 ? 1 : 1 + (1 << (head - 0xd9)))
  return size === proto.length && proto.equals(bytes.subarray(at - size, at))
}

function scanLongText(sizeBytes: 1 | 2 | 4): void {
  const head = at - 1
  const size = uint(sizeBytes)
  const text = at
  scanText(size)
  // A byte order mark: the library takes it off a long text.
  if (bytes[text] === 0xef && bytes[text + 1] === 0xbb && bytes[text + 2] === 0xbf && size > 2) odd(head)
}

function scanText(size: number): void {
  const start = at
  skip(size)
  if (size <= shortTextBytes) {
    let i = start
    while (i < at && bytes[i]! < 0x80) i++
    if (i === at) return
  }
  if (!isUtf8(bytes.subarray(start, at))) throw refused('text that is not UTF-8')
}

/** `exponent`: the bits of the second byte that are part of it. */
function scanFloat(size: 4 | 8, exponent: number): void {
  const start = at
  skip(size)
  const first = bytes[start]!
  if ((first & 0x7f) === 0x7f && (bytes[start + 1]! & exponent) === exponent) {
    throw refused('a number that is not finite')
  }
  if (first !== 0x80) return
  let i = start + 1
  while (i < at && bytes[i] === 0) i++
  if (i === at) odd(start - 1)
}

function scanExtension(size: number, head: number): void {
  const type = uint(1)
  const start = at
  scanBytes(size)
  if (type === dateExtension && (head === 0xc7 ? size === 12 : size < 16)) checkDate(size, start)
  else if (type !== bigintExtension || size <= 8 || size > maxBigintBits / 8) {
    throw refused(`extension ${type} of ${size} bytes`)
  }
}

function checkDate(size: number, start: number): void {
  if (size === 4) return
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, size)
  const high = view.getUint32(0)
  const nanoseconds = size === 8 ? high >>> 2 : high
  const seconds = size === 8 ? 0 : view.getInt32(4) * 2 ** 32 + view.getUint32(8)
  const inRange = !Number.isNaN(new Date(seconds * 1_000 + nanoseconds / 1_000_000).getTime())
  if (nanoseconds > 999_000_000 || nanoseconds % 1_000_000 !== 0 || !inRange) {
    throw refused('a date that is not a whole millisecond in range')
  }
}

function odd(head: number): void {
  oddities ??= []
  oddities.push(head)
}

const truncated = () => refused('an end before its end')

const refused = (what: string) =>
  new HoldfastError('INVALID', `these bytes are not a value: they have ${what}; send what encodeValue writes`)
