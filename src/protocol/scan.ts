/**
 * Scans: how a client reads the keyed actors of one type in the order of their keys, page by page, from the owner of a partition
 * (`<cluster>.scan.<n>`). Binary: one request, one reply.
 *
 *   request  [version, what, type, from | nil, to | nil, prefix | nil, after | nil, reverse, limit, snapshot | nil]
 *   page     [version, 0, generation, sequence, more, last | nil, count, snapshot | nil, states, (key, rev, length, expiry | nil)*]
 *   error    [version, 1, code, message]
 *
 * N1. Keys are ordered by the bytes of their UTF-8, which is not the order of JavaScript's texts. `from` belongs to a range and `to` does
 *     not; where `from` is not before `to` it is empty. What is given of `from`, `to` and `prefix` holds together.
 * N2. A page goes on behind `after` in its direction, and names the `last` key that it looked at: the next page goes on behind that. It
 *     may be empty and have more.
 * N3. Generation and sequence are the position in the partition's log that the page shows: no record before it is missing, none after
 *     it is in.
 * N4. `open` keeps a view at the owner and names it; pages with that name are all of one moment. A name that the owner does not know, or
 *     no longer, is `NOT_FOUND`.
 * N5. Both sides distrust what they read: anything else than what is described here is `INVALID`.
 */
import { HoldfastError, errorCodes, type ErrorCode } from './errors.ts'
import { generation, rev, seq, type Generation, type Rev, type Seq } from './ids.ts'
import { joinPieces, PieceCutter } from './pieces.ts'
import { checkName, maxNameBytes } from './subjects.ts'
import { readValue, writeValue } from './value-bytes.ts'
import { maxWeight } from './value-format.ts'

const scanVersion = 1

/** Most rows in one page. */
export const maxScanRows = 1_000

/** `rows`: a page of entries. `count`: their number alone. `open`, `close`: a snapshot. */
const scanKinds = ['rows', 'count', 'open', 'close'] as const
export type ScanKind = (typeof scanKinds)[number]

/** Which keys of a type (N1). Absent: no bound. */
export interface KeyRange {
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly prefix?: string | undefined
}

export interface ScanRequest extends KeyRange {
  readonly kind: ScanKind
  readonly type: string
  readonly after?: string | undefined
  readonly reverse: boolean
  /** 1 … `maxScanRows`. */
  readonly limit: number
  /** Name of a snapshot (N4). It has its own bounds and direction. */
  readonly snapshot?: string | undefined
}

export interface ScanRow {
  readonly key: string
  readonly rev: Rev
  /** Encoded value. */
  readonly state: Uint8Array
  /** Partition time, ms; from then on it is no longer there. */
  readonly expiresAt: number | null
}

export interface ScanPage {
  readonly kind: 'page'
  readonly generation: Generation
  readonly seq: Seq
  readonly more: boolean
  readonly last: string | null
  /** Rows found: those sent, or those counted. */
  readonly count: number
  readonly snapshot: string | null
  readonly rows: readonly ScanRow[]
}

export interface ScanError {
  readonly kind: 'error'
  readonly code: ErrorCode
  readonly message: string
}

export type ScanReply = ScanPage | ScanError

export const encodeScanRequest = (request: ScanRequest): Uint8Array =>
  writeValue([
    scanVersion,
    scanKinds.indexOf(request.kind),
    request.type,
    request.from ?? null,
    request.to ?? null,
    request.prefix ?? null,
    request.after ?? null,
    request.reverse,
    request.limit,
    request.snapshot ?? null,
  ])

const requestFields = 10

/** Throws `INVALID`. */
export function decodeScanRequest(bytes: Uint8Array): ScanRequest {
  const fields = unpack(bytes)
  if (fields.length !== requestFields) throw malformed('number of fields')
  const kind = scanKinds[natural(fields[1])]
  if (kind === undefined) throw malformed('kind')
  const type = text(fields[2])
  checkName(type, 'type')
  const limit = natural(fields[8])
  if (limit < 1 || limit > maxScanRows) throw malformed(`limit, it is 1 to ${maxScanRows}`)
  return {
    kind,
    type,
    from: bound(fields[3]),
    to: bound(fields[4]),
    prefix: bound(fields[5]),
    after: bound(fields[6]),
    reverse: flag(fields[7]),
    limit,
    snapshot: bound(fields[9]),
  }
}

export function encodeScanPage(page: Omit<ScanPage, 'kind'>): Uint8Array {
  const states = joinPieces(page.rows.map(({ state }) => state))
  const { more, last, count, snapshot } = page
  const flat: unknown[] = [scanVersion, 0, page.generation, page.seq, more, last, count, snapshot, states]
  for (const row of page.rows) flat.push(row.key, row.rev, row.state.length, row.expiresAt)
  return writeValue(flat)
}

export const encodeScanError = (code: ErrorCode, message: string): Uint8Array =>
  writeValue([scanVersion, 1, code, message.replace(/\p{Surrogate}/gu, '\uFFFD')])

const pageHead = 9
const rowFields = 4

/** Throws `INVALID`. States are views of the bytes. */
export function decodeScanReply(bytes: Uint8Array): ScanReply {
  const fields = unpack(bytes)
  if (fields[1] === 1) {
    const code = fields[2]
    if (fields.length !== 4 || !(errorCodes as readonly unknown[]).includes(code)) throw malformed('error')
    return { kind: 'error', code: code as ErrorCode, message: text(fields[3]) }
  }
  const size = (fields.length - pageHead) / rowFields
  if (fields[1] !== 0 || !Number.isInteger(size) || size < 0 || size > maxScanRows) throw malformed('number of fields')
  if (!(fields[8] instanceof Uint8Array)) throw malformed('states')
  const states = new PieceCutter(fields[8])
  const rows = new Array<ScanRow>(size)
  for (let i = 0, at = pageHead; i < size; i++, at += rowFields) {
    const state = states.next(natural(fields[at + 2]))
    if (state === undefined) throw malformed('length of a state')
    const expiresAt = fields[at + 3]
    rows[i] = {
      key: text(fields[at]),
      rev: rev(natural(fields[at + 1])),
      state,
      expiresAt: expiresAt === null ? null : natural(expiresAt),
    }
  }
  if (!states.done) throw malformed('length of states')
  const count = natural(fields[6])
  if (size > 0 && size !== count) throw malformed('count')
  return {
    kind: 'page',
    generation: generation(text(fields[2])),
    seq: seq(natural(fields[3])),
    more: flag(fields[4]),
    last: fields[5] === null ? null : text(fields[5]),
    count,
    snapshot: fields[7] === null ? null : text(fields[7]),
    rows,
  }
}

function unpack(bytes: Uint8Array): unknown[] {
  let fields: unknown
  try {
    fields = readValue(bytes, true, maxWeight)
  } catch (cause) {
    throw malformed('msgpack', cause)
  }
  if (!Array.isArray(fields)) throw malformed('shape')
  if (fields[0] !== scanVersion) throw malformed('version')
  return fields
}

/** A text that may be empty, unlike a key, and is no longer than one. */
function bound(value: unknown): string | undefined {
  if (value === null) return undefined
  const given = text(value)
  if (given.length > maxNameBytes || Buffer.byteLength(given) > maxNameBytes) throw malformed('bound, it is too long')
  return given
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw malformed('text')
  return value
}

function flag(value: unknown): boolean {
  if (typeof value !== 'boolean') throw malformed('flag')
  return value
}

function natural(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed('number')
  return value
}

const malformed = (what: string, cause?: unknown) =>
  new HoldfastError('INVALID', `this is not a scan of version ${scanVersion}: bad ${what}`, { cause })
