/**
 * Values as bytes: msgpackr, with a check of each value before it is packed and of all bytes before they are unpacked.
 *
 * M1. msgpackr's registry of extensions, its buffer and its state are one for all that load the same build of it. Ours is the build
 *     without generated and without native code, which nothing else has a reason to load: what others register with msgpackr does
 *     not change what our bytes mean, and the other way round.
 * M2. It packs only what `checkValue` made and reads only what `scanValue` passed: no code of a caller runs inside it, it never
 *     runs inside itself, and it reads no extension but those for dates and bigints.
 * M3. Small ones are arrays of their own (own-bytes.ts). Others, up to a block, are views of one, side by side,
 *     as Node's own buffers are: memory of its own costs an array more than packing does. No byte of a result is ever written again.
 *     Who keeps a view for long should copy it.
 * M4. Most inputs and replies are one small number or nothing. These are written and read by their first byte.
 * M5. Most of the rest is plain, and is written and read in one walk (plain-write.ts, plain-read.ts). What that gives up the library does.
 */
import { Packr, REUSE_BUFFER_MODE, Unpackr } from 'msgpackr/index-no-eval'
import { checkValue } from './check-value.ts'
import { HoldfastError } from './errors.ts'
import { mendBytes } from './mend-bytes.ts'
import { notPlain as notRead, readPlain } from './plain-read.ts'
import { notPlain, writePlain } from './plain-write.ts'
import { scanValue } from './scan-value.ts'
import { smallBytes } from './own-bytes.ts'
import { maxValueBytes, type Value } from './value-format.ts'

const blockBytes = 64 * 1_024

const packr = new Packr({ useRecords: false, variableMapSize: true, useBigIntExtension: true })
const sharing = new Unpackr({ useRecords: false })
const copying = new Unpackr({ useRecords: false, copyBuffers: true })

/** What `pack` returns in this mode: the buffer that it packed into, and where. */
interface Packed extends Uint8Array<ArrayBuffer> {
  readonly start: number
  readonly end: number
}

let packing = Buffer.allocUnsafeSlow(blockBytes)
/** The same memory: of a Buffer `slice` would be a view. */
let block = new Uint8Array(packing.buffer)
/** Where the last view in the block ends. */
let blockEnd = 0
packr.useBuffer(packing)

/** The same for plain values (M5). A value that has no more room than this begins another block. */
const leastRoom = blockBytes / 8
const newBlock = () => Buffer.allocUnsafeSlow(blockBytes)
let plain = newBlock()
let plainBytes = new Uint8Array(plain.buffer)
let plainEnd = 0

/** Fresh bytes would each need a view and a DataView to be read by: it costs less to copy them to where these are. */
const unpacking = new Uint8Array(blockBytes)

/** The bytes of a value. Throws `INVALID` with a path for anything that is not one. */
export function writeValue(value: unknown): Uint8Array {
  if (typeof value === 'number' && (value & 0xffff) === value) return writeSmall(value)
  if (blockBytes - plainEnd < leastRoom) {
    plain = newBlock()
    plainBytes = new Uint8Array(plain.buffer)
    plainEnd = 0
  }
  const begin = plainEnd
  const end = writePlain(value, plain, begin)
  if (end === notPlain) return writeWithLibrary(value)
  if (end - begin <= smallBytes) return plainBytes.slice(begin, end)
  plainEnd = end
  return new Uint8Array(plainBytes.buffer, begin, end - begin)
}

/** What `writeValue` does where the value is not plain (M5). */
export function writeWithLibrary(value: unknown): Uint8Array {
  const checked = checkValue(value)
  packr.position = blockEnd
  const result = packr.pack(checked, REUSE_BUFFER_MODE) as unknown as Packed
  const { start, end } = result
  if (end - start <= smallBytes && (result as Uint8Array) === packing) return block.slice(start, end)
  if (result.length <= blockBytes) {
    // It may have gone on to another block.
    if ((result as Uint8Array) !== packing) useBlock(result as unknown as typeof packing)
    blockEnd = end
    return new Uint8Array(block.buffer, start, end - start)
  }
  packr.useBuffer(packing)
  if (end - start > maxValueBytes) throw tooLong()
  return new Uint8Array(result.subarray(start, end))
}

function useBlock(buffer: typeof packing): void {
  packing = buffer
  block = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}

/**
 * The value of some bytes. Throws `INVALID` for all that is none. The value shares no memory with the bytes, unless `views` asks for
 * it: then Uint8Arrays in it are views of `source`, for who uses them at once or owns it. What comes from outside has a `maxWeight`.
 */
export function readValue(source: Uint8Array, views = false, maxWeight = Number.POSITIVE_INFINITY): Value {
  const { length } = source
  if (length === 1) {
    const head = source[0]!
    if (head < 0x80) return head
    if (head === nil) return null
  }
  const value = readPlain(source, views, maxWeight)
  return value === notRead ? readWithLibrary(source, views, maxWeight) : value
}

/** What `readValue` does where the bytes are not plain (M5). */
export function readWithLibrary(source: Uint8Array, views: boolean, maxWeight: number): Value {
  const { length } = source
  const oddities = scanValue(source, maxWeight)
  if (oddities !== undefined) return (views ? sharing : copying).unpack(mendBytes(source, oddities)) as Value
  if (views || length > blockBytes) {
    // A view: msgpackr leaves a property behind on what it reads, and gives Buffers for a Buffer.
    const bytes = new Uint8Array(source.buffer, source.byteOffset, length)
    return (views ? sharing : copying).unpack(bytes) as Value
  }
  unpacking.set(source)
  return copying.unpack(unpacking, length) as Value
}

const nil = 0xc0

/** Nobody writes to a result (M3): each of these serves all. */
const fixed: readonly Uint8Array[] = Array.from({ length: 0x80 }, (_, n) => Uint8Array.of(n))

/** A whole number of 16 bits at most, as the library writes it. */
function writeSmall(n: number): Uint8Array {
  if (n < 0x80) return fixed[n]!
  const bytes = new Uint8Array(n < 0x100 ? 2 : 3)
  bytes[0] = n < 0x100 ? 0xcc : 0xcd
  if (n >= 0x100) bytes[1] = n >> 8
  bytes[bytes.length - 1] = n
  return bytes
}

const tooLong = () =>
  new HoldfastError(
    'INVALID',
    `this cannot be stored or sent: at $, a value has at most ${maxValueBytes} bytes: store it in parts`,
    { path: '$' },
  )
