/**
 * Values as bytes: msgpackr, with a check of each value before it is packed and of all bytes before they are unpacked.
 *
 * M1. msgpackr's registry of extensions, its buffer and its state are one for all that load the same build of it. Ours is the build
 *     without generated and without native code, which nothing else has a reason to load: what others register with msgpackr does
 *     not change what our bytes mean, and the other way round.
 * M2. It packs only what `checkValue` made and reads only what `scanValue` passed: no code of a caller runs inside it, it never
 *     runs inside itself, and it reads no extension but those for dates and bigints.
 * M3. Small results are views of one block, side by side, as Node's own buffers are: an allocation of its own would cost more than
 *     packing. No byte of a result is ever written again. Who keeps a small one for long should copy it. A result that the block
 *     had no room for has bytes of its own, and no more than it needs.
 */
import { Packr, REUSE_BUFFER_MODE, Unpackr } from 'msgpackr/index-no-eval'
import { checkValue } from './check-value.ts'
import { HoldfastError } from './errors.ts'
import { mendBytes } from './mend-bytes.ts'
import { scanValue } from './scan-value.ts'
import { maxValueBytes, type Value } from './value-format.ts'

const blockBytes = 16 * 1_024

const packr = new Packr({ useRecords: false, variableMapSize: true, useBigIntExtension: true })
const sharing = new Unpackr({ useRecords: false })
const copying = new Unpackr({ useRecords: false, copyBuffers: true })

/** What `pack` returns in this mode: the buffer that it packed into, and where. */
interface Packed extends Uint8Array<ArrayBuffer> {
  readonly start: number
  readonly end: number
}

let block = Buffer.allocUnsafeSlow(blockBytes)
/** Where the last result in the block ends. */
let blockEnd = 0
packr.useBuffer(block)

/** The bytes of a value. Throws `INVALID` with a path for anything that is not one. */
export function writeValue(value: unknown): Uint8Array {
  const packed = packr.pack(checkValue(value), REUSE_BUFFER_MODE)
  const { buffer, start, end } = packed as unknown as Packed
  if (packed.length <= blockBytes) {
    block = packed as typeof block
    blockEnd = end
    return new Uint8Array(buffer, start, end - start)
  }
  packr.useBuffer(block)
  packr.position = blockEnd
  if (end - start > maxValueBytes) throw tooLong()
  return new Uint8Array(packed.subarray(start, end))
}

/**
 * The value of some bytes. Throws `INVALID` for all that is none. The value shares no memory with the bytes, unless `views` asks for
 * it: then Uint8Arrays in it are views of `source`, for who uses them at once or owns it. What comes from outside has a `maxWeight`.
 */
export function readValue(source: Uint8Array, views = false, maxWeight = Number.POSITIVE_INFINITY): Value {
  const oddities = scanValue(source, maxWeight)
  // A view: msgpackr leaves a property behind on what it reads, and gives Buffers for a Buffer.
  const bytes =
    oddities === undefined
      ? new Uint8Array(source.buffer, source.byteOffset, source.length)
      : mendBytes(source, oddities)
  return (views ? sharing : copying).unpack(bytes) as Value
}

const tooLong = () =>
  new HoldfastError(
    'INVALID',
    `this cannot be stored or sent: at $, a value has at most ${maxValueBytes} bytes: store it in parts`,
    { path: '$' },
  )
