/**
 * What a snapshot consists of: one object, immutable, that names all others of it (L8).
 *
 *   p<partition>.<id>.manifest     this
 *   p<partition>.<id>.c<n>         chunk n: a stretch of the rows, compressed
 *
 * A manifest is one msgpack array, and behind it, as bytes, the SHA-256 of all before:
 *
 *   [format, id, cutAt, position, rows, bytes, stored, compression, chunks]
 *
 *   position      the row of the store that says where it stands, as the store has it: partition, generation, sequence, valid sequence and
 *                 hash, epoch, time, state hash (store-layout.ts). It is in no chunk.
 *   rows, bytes   of all chunks together, the bytes uncompressed; stored: compressed
 *   chunks        (rows, bytes, stored, SHA-256 of the uncompressed bytes)*, flat; rows counts those that end in the chunk
 *
 * F1. Decoding is strict: another format or compression, another shape, sums that do not fit, a checksum that does not, are `INVALID`.
 * F2. Memory is taken in proportion to the bytes that are there.
 */
import { hash } from 'node:crypto'
import { sameBytes, type Hash64 } from '../../core/hashing.ts'
import type { LogPosition } from '../../core/log.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { FieldReader, FieldWriter } from '../../protocol/fields.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import { decodePosition } from '../store-layout.ts'

const format = 1
export const digestBytes = 32
/** Of the checksum with its head. */
const tailBytes = 2 + digestBytes
/** Bytes of a chunk's content, at most. */
export const maxChunkBytes = 8 * 1_024 * 1_024
/** One manifest is one object: with 4 MiB each 256 GiB of rows. */
export const maxChunks = 65_536
const compression = 'brotli'
const fieldsOfChunk = 4

export interface ManifestChunk {
  readonly rows: number
  /** Uncompressed. */
  readonly bytes: number
  readonly stored: number
  /** SHA-256 of the content. */
  readonly digest: Uint8Array
}

export interface Manifest {
  /** Random, `[A-Za-z0-9]{1,32}`: of this snapshot alone. */
  readonly id: string
  /** Wall clock of the node that cut it, ms. */
  readonly cutAt: number
  /** The store's row. */
  readonly positionRow: Uint8Array
  readonly position: LogPosition
  readonly stateHash: Hash64
  readonly rows: number
  readonly bytes: number
  readonly stored: number
  readonly chunks: readonly ManifestChunk[]
}

export const snapshotPrefix = (partition: PartitionId): string => `p${partition}`
export const manifestName = (partition: PartitionId, id: string): string => `p${partition}.${id}.manifest`
export const chunkName = (partition: PartitionId, id: string, n: number): string => `p${partition}.${id}.c${n}`
/** Whose snapshot's an object is; `undefined` where it is of none. */
export const snapshotOf = (name: string): string | undefined => namePattern.exec(name)?.[1]
export const isManifest = (name: string): boolean => name.endsWith('.manifest')

const namePattern = /^p\d+\.([A-Za-z0-9]{1,32})\.(?:manifest|c\d+)$/
const idPattern = /^[A-Za-z0-9]{1,32}$/
export const isSnapshotId = (text: unknown): text is string => typeof text === 'string' && idPattern.test(text)

export interface ManifestInput {
  readonly id: string
  readonly cutAt: number
  readonly positionRow: Uint8Array
  readonly chunks: readonly ManifestChunk[]
}

const writer = new FieldWriter()

/** Throws `INVALID` for more chunks than there may be. */
export function encodeManifest({ id, cutAt, positionRow, chunks }: ManifestInput): Uint8Array {
  if (chunks.length > maxChunks) {
    throw new HoldfastError(
      'INVALID',
      `a snapshot of ${chunks.length} chunks is more than one manifest holds (${maxChunks}): make chunks larger, or split the partition`,
    )
  }
  writer.begin().list(9)
  writer.natural(format)
  writer.text(id)
  writer.natural(cutAt)
  writer.bytes(positionRow)
  for (const sum of ['rows', 'bytes', 'stored'] as const) writer.natural(sumOf(chunks, sum))
  writer.text(compression)
  writer.list(fieldsOfChunk * chunks.length)
  for (const { rows, bytes, stored, digest } of chunks) {
    for (const n of [rows, bytes, stored]) writer.natural(n)
    writer.bytes(digest)
  }
  const body = writer.take()
  const tail = Buffer.concat([Buffer.of(0xc4, digestBytes), hash('sha256', body, 'buffer')])
  return Buffer.concat([body, tail])
}

export function decodeManifest(encoded: Uint8Array): Manifest {
  const end = encoded.length - tailBytes
  const body = encoded.subarray(0, Math.max(0, end))
  const checksum = hash('sha256', body, 'buffer')
  if (end <= 0 || !sameBytes(encoded.subarray(end + 2), checksum)) throw refuse('checksum')
  const reader = new FieldReader(encoded, refuse)
  if (reader.list() !== 9) throw refuse('number of fields')
  if (reader.natural() !== format) throw refuse('format')
  const id = reader.text()
  if (!isSnapshotId(id)) throw refuse('id')
  const cutAt = reader.natural()
  const positionRow = reader.bytes()
  const { position, stateHash } = readPosition(positionRow)
  const [rows, bytes, stored] = [reader.natural(), reader.natural(), reader.natural()]
  if (reader.text() !== compression) throw refuse('compression')
  const chunks = readChunks(reader)
  if (rows !== sumOf(chunks, 'rows') || bytes !== sumOf(chunks, 'bytes') || stored !== sumOf(chunks, 'stored')) {
    throw refuse('sum')
  }
  reader.bytes(digestBytes)
  if (!reader.done) throw refuse('end')
  return { id, cutAt, positionRow, position, stateHash, rows, bytes, stored, chunks }
}

function readChunks(reader: FieldReader): ManifestChunk[] {
  const fields = reader.list()
  if (fields % fieldsOfChunk !== 0 || fields > fieldsOfChunk * maxChunks) throw refuse('number of chunks')
  const chunks: ManifestChunk[] = []
  for (let n = 0; n < fields / fieldsOfChunk; n++) {
    const [rows, bytes, stored] = [reader.natural(), reader.natural(), reader.natural()]
    if (bytes === 0 || bytes > maxChunkBytes || rows > bytes) throw refuse('chunk')
    chunks.push({ rows, bytes, stored, digest: reader.bytes(digestBytes) })
  }
  return chunks
}

function readPosition(row: Uint8Array) {
  try {
    return decodePosition(row)
  } catch (error) {
    throw refuse(`position (${messageOf(error)})`)
  }
}

const sumOf = (chunks: readonly ManifestChunk[], what: 'rows' | 'bytes' | 'stored'): number =>
  chunks.reduce((sum, chunk) => sum + chunk[what], 0)

const refuse = (what: string) =>
  new HoldfastError(
    'INVALID',
    `this is not the manifest of a snapshot that this version knows: its ${what} is wrong; use another snapshot, or the version that cut it`,
  )
