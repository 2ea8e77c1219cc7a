/**
 * Frames: the binary requests and replies between a client and the node that owns a partition.
 * Everything that one client sends to one node in one tick travels in one frame; replies likewise.
 *
 *   request frame  [version, partitions, session, low, inputs,
 *                    (kind, number, type, key, name, length of input, timeout, idempotency key | nil)*]
 *   reply frame    [version, session, values, (number, kind, length of value | error | where it moved)*]
 *
 * F1. A frame is one msgpack array, its first element the version. An unknown version or shape is `INVALID`, as a whole.
 * F2. Inputs and results are opaque value bytes (protocol/values.ts), joined into one piece: a frame is routed without decoding
 *     them. Those of a decoded frame are views of its bytes.
 * F3. Every request of a frame belongs to the frame's session; `low` is the lowest command number of that session that is
 *     still outstanding, so that the owner can forget the replies below it (R3).
 * F4. An idempotency key is 1 to 256 bytes of well-formed UTF-8; without one its field is nil. A frame with any other is `INVALID`.
 */
import { HoldfastError, errorCodes, type ErrorCode } from './errors.ts'
import { epoch, isNodeId, sessionId, type Epoch, type NodeId, type SessionId } from './ids.ts'
import { joinPieces, PieceCutter } from './pieces.ts'
import { readValue, writeValue } from './value-bytes.ts'
import { maxWeight } from './value-format.ts'

export const frameVersion = 2

/** Most requests in one frame; a client splits above it, a node refuses. Replies likewise. */
export const maxRequestsInFrame = 8_192

/** Characters of an error's message or path; what is longer is cut. */
export const maxErrorTextLength = 4_096

/** Most UTF-8 bytes of an idempotency key. */
export const maxIdempotencyKeyBytes = 256

/** A `call` is a command or a query, whichever has the name: of one who has no definition, only the owner knows which. */
export const requestKinds = ['command', 'tell', 'query', 'call'] as const
export type RequestKind = (typeof requestKinds)[number]

export interface RequestFrame {
  /** The count of partitions that the sender routed by (O6). */
  readonly partitions: number
  readonly session: SessionId
  readonly low: number
  readonly requests: readonly Request[]
}

export interface Request {
  readonly kind: RequestKind
  /** Numbers a session's requests; the same number is the same command (R3). */
  readonly number: number
  readonly type: string
  readonly key: string
  /** Of the command or query. */
  readonly name: string
  /** Encoded value. */
  readonly input: Uint8Array
  /** What is left of the caller's patience; the owner does not begin a turn after it. */
  readonly timeoutMs: number
  /** The same key for the same type, key and name is the same command, also of another session (F4). A query has no use for it. */
  readonly idempotencyKey?: string | undefined
}

/** Whether it can be an idempotency key (F4). */
export const isIdempotencyKey = (key: string): boolean =>
  key.length > 0 &&
  key.length <= maxIdempotencyKeyBytes &&
  Buffer.byteLength(key) <= maxIdempotencyKeyBytes &&
  !/\p{Surrogate}/u.test(key)

export interface ReplyFrame {
  readonly session: SessionId
  readonly replies: readonly Reply[]
}

export type Reply =
  | { readonly number: number; readonly kind: 'value'; readonly value: Uint8Array }
  | { readonly number: number; readonly kind: 'error'; readonly error: WireError }
  /** Not executed here; the owner, if the sender of the reply knows one. */
  | { readonly number: number; readonly kind: 'moved'; readonly owner: NodeId | null; readonly epoch: Epoch }

export interface WireError {
  readonly code: ErrorCode
  readonly message: string
  readonly retryAfterMs?: number
  readonly path?: string
}

export function encodeRequestFrame(frame: RequestFrame): Uint8Array {
  const inputs = joinPieces(frame.requests.map((r) => r.input))
  const flat: unknown[] = [frameVersion, frame.partitions, frame.session, frame.low, inputs]
  for (const r of frame.requests) {
    flat.push(requestKinds.indexOf(r.kind), r.number, r.type, r.key, r.name, r.input.length, Math.ceil(r.timeoutMs))
    flat.push(r.idempotencyKey ?? null)
  }
  return writeValue(flat)
}

export function decodeRequestFrame(bytes: Uint8Array): RequestFrame {
  const flat = unpackFlat(bytes)
  const head = 5
  const fields = 8
  const count = (flat.length - head) / fields
  if (!Number.isInteger(count) || count < 0 || count > maxRequestsInFrame) throw malformed('number of fields')
  const inputs = new PieceCutter(bytesOf(flat[4]))
  const requests = new Array<Request>(count)
  for (let i = 0, at = head; i < count; i++, at += fields) {
    const kind = requestKinds[natural(flat[at])]
    if (kind === undefined) throw malformed('kind')
    requests[i] = {
      kind,
      number: natural(flat[at + 1]),
      type: text(flat[at + 2]),
      key: text(flat[at + 3]),
      name: text(flat[at + 4]),
      input: pieceOf(inputs, flat[at + 5]),
      timeoutMs: natural(flat[at + 6]),
      idempotencyKey: idempotencyKeyOf(flat[at + 7]),
    }
  }
  if (!inputs.done) throw malformed('length of inputs')
  return { partitions: natural(flat[1]), session: sessionId(text(flat[2])), low: natural(flat[3]), requests }
}

const replyKinds = ['value', 'error', 'moved'] as const

export function encodeReplyFrame(frame: ReplyFrame): Uint8Array {
  const values: Uint8Array[] = []
  const flat: unknown[] = []
  for (const r of frame.replies) {
    if (r.kind === 'value') {
      values.push(r.value)
      flat.push(r.number, 0, r.value.length)
    } else if (r.kind === 'error') {
      const { code, message, retryAfterMs, path } = r.error
      const wait = retryAfterMs === undefined ? null : Math.ceil(retryAfterMs)
      flat.push(r.number, 1, [code, sendable(message), wait, path === undefined ? null : sendable(path)])
    } else flat.push(r.number, 2, [r.owner, r.epoch])
  }
  return writeValue([frameVersion, frame.session, joinPieces(values), ...flat])
}

/** Handlers throw any text; one that is too long or ill-formed must not cost the other replies of its frame. */
const sendable = (said: string) => said.slice(0, maxErrorTextLength).replace(/\p{Surrogate}/gu, '\uFFFD')

export function decodeReplyFrame(bytes: Uint8Array): ReplyFrame {
  const flat = unpackFlat(bytes)
  const head = 3
  const fields = 3
  const count = (flat.length - head) / fields
  if (!Number.isInteger(count) || count < 0 || count > maxRequestsInFrame) throw malformed('number of fields')
  const values = new PieceCutter(bytesOf(flat[2]))
  const replies = new Array<Reply>(count)
  for (let i = 0, at = head; i < count; i++, at += fields) {
    replies[i] = decodeReply(natural(flat[at]), replyKinds[natural(flat[at + 1])], flat[at + 2], values)
  }
  if (!values.done) throw malformed('length of values')
  return { session: sessionId(text(flat[1])), replies }
}

function decodeReply(
  number: number,
  kind: (typeof replyKinds)[number] | undefined,
  body: unknown,
  values: PieceCutter,
): Reply {
  if (kind === 'value') return { number, kind, value: pieceOf(values, body) }
  if (!Array.isArray(body)) throw malformed('reply')
  if (kind === 'error') {
    const [code, message, retryAfterMs, path] = body as unknown[]
    if (!(errorCodes as readonly unknown[]).includes(code)) throw malformed('error code')
    return {
      number,
      kind,
      error: {
        code: code as ErrorCode,
        message: text(message),
        ...(retryAfterMs == null ? {} : { retryAfterMs: natural(retryAfterMs) }),
        ...(path == null ? {} : { path: text(path) }),
      },
    }
  }
  if (kind === 'moved') {
    const [owner, ownerEpoch] = body as unknown[]
    if (owner !== null && (typeof owner !== 'string' || !isNodeId(owner))) throw malformed('owner')
    return { number, kind, owner, epoch: epoch(natural(ownerEpoch)) }
  }
  throw malformed('reply kind')
}

function unpackFlat(bytes: Uint8Array): unknown[] {
  let flat: unknown
  try {
    flat = readValue(bytes, true, maxWeight)
  } catch (cause) {
    throw malformed('msgpack', cause)
  }
  if (!Array.isArray(flat)) throw malformed('shape')
  if (flat[0] !== frameVersion) throw malformed('version')
  return flat
}

const malformed = (what: string, cause?: unknown) =>
  new HoldfastError('INVALID', `this is not a frame of version ${frameVersion}: bad ${what}`, { cause })

function natural(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed('number')
  return value
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw malformed('text')
  return value
}

function idempotencyKeyOf(value: unknown): string | undefined {
  if (value === null) return undefined
  const key = text(value)
  if (!isIdempotencyKey(key)) throw malformed('idempotency key')
  return key
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed('bytes')
  return value
}

function pieceOf(pieces: PieceCutter, length: unknown): Uint8Array {
  const piece = pieces.next(natural(length))
  if (piece === undefined) throw malformed('length of bytes')
  return piece
}
