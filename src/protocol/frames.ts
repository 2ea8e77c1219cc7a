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
 *     them. Those of a decoded frame are views of its bytes, unless they are small (own-bytes.ts).
 * F3. Every request of a frame belongs to the frame's session; `low` is the lowest command number of that session that is
 *     still outstanding, so that the owner can forget the replies below it (R3).
 * F4. An idempotency key is 1 to 256 bytes of well-formed UTF-8; without one its field is nil. A frame with any other is `INVALID`.
 */
import { HoldfastError, errorCodes, type ErrorCode } from './errors.ts'
import { FieldReader, FieldWriter } from './fields.ts'
import { epoch, isNodeId, sessionId, type Epoch, type NodeId, type SessionId } from './ids.ts'
import { PieceCutter } from './pieces.ts'

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

/** Fields of a frame before those of its requests or replies, and of each of these. */
const requestHead = 5
const requestFields = 8
const replyHead = 3
const replyFields = 3

const writer = new FieldWriter()

/** Throws `INVALID` for a text that is not well-formed. */
export function encodeRequestFrame({ partitions, session, low, requests }: RequestFrame): Uint8Array {
  const frame = writer.begin()
  frame.list(requestHead + requests.length * requestFields)
  frame.natural(frameVersion)
  frame.natural(partitions)
  frame.text(session)
  frame.natural(low)
  let inputBytes = 0
  for (const { input } of requests) inputBytes += input.length
  frame.bytesHead(inputBytes)
  for (const { input } of requests) frame.piece(input)
  for (const { kind, number, type, key, name, input, timeoutMs, idempotencyKey } of requests) {
    frame.natural(requestKinds.indexOf(kind))
    frame.natural(number)
    frame.text(type)
    frame.text(key)
    frame.text(name)
    frame.natural(input.length)
    frame.natural(Math.ceil(timeoutMs))
    if (idempotencyKey === undefined) frame.nil()
    else frame.text(idempotencyKey)
  }
  return frame.take()
}

/** Many frames come of one session: the same text is found faster where it is the same object. */
let lastSession = sessionId('')

export function decodeRequestFrame(bytes: Uint8Array): RequestFrame {
  const frame = new FieldReader(bytes, malformed)
  const count = countOf(frame.list('shape'), requestHead, requestFields)
  if (count > maxRequestsInFrame) throw malformed('number of fields')
  checkVersion(frame)
  const partitions = frame.natural()
  const session = (lastSession = sessionId(frame.text(lastSession)))
  const low = frame.natural()
  const inputs = new PieceCutter(frame.bytes())
  const requests = new Array<Request>(count)
  let type = ''
  let name = ''
  for (let i = 0; i < count; i++) {
    const kind = requestKinds[frame.natural()]
    if (kind === undefined) throw malformed('kind')
    requests[i] = {
      kind,
      number: frame.natural(),
      // Most requests of a frame are to one type and of one name.
      type: (type = frame.text(type)),
      key: frame.text(),
      name: (name = frame.text(name)),
      input: pieceOf(inputs, frame.natural()),
      timeoutMs: frame.natural(),
      idempotencyKey: frame.nil() ? undefined : idempotencyKeyOf(frame.text()),
    }
  }
  if (!inputs.done) throw malformed('length of inputs')
  if (!frame.done) throw malformed('end')
  return { partitions, session, low, requests }
}

const replyKinds = ['value', 'error', 'moved'] as const

export function encodeReplyFrame({ session, replies }: ReplyFrame): Uint8Array {
  const frame = writer.begin()
  frame.list(replyHead + replies.length * replyFields)
  frame.natural(frameVersion)
  frame.text(session)
  let valueBytes = 0
  for (const reply of replies) if (reply.kind === 'value') valueBytes += reply.value.length
  frame.bytesHead(valueBytes)
  for (const reply of replies) if (reply.kind === 'value') frame.piece(reply.value)
  for (const reply of replies) {
    frame.natural(reply.number)
    frame.natural(replyKinds.indexOf(reply.kind))
    if (reply.kind === 'value') frame.natural(reply.value.length)
    else if (reply.kind === 'error') writeError(frame, reply.error)
    else {
      frame.list(2)
      if (reply.owner === null) frame.nil()
      else frame.text(reply.owner)
      frame.natural(reply.epoch)
    }
  }
  return frame.take()
}

function writeError(frame: FieldWriter, { code, message, retryAfterMs, path }: WireError): void {
  frame.list(4)
  frame.text(code)
  frame.text(sendable(message))
  if (retryAfterMs === undefined) frame.nil()
  else frame.natural(Math.ceil(retryAfterMs))
  if (path === undefined) frame.nil()
  else frame.text(sendable(path))
}

/** Handlers throw any text; one that is too long or ill-formed must not cost the other replies of its frame. */
const sendable = (said: string) => said.slice(0, maxErrorTextLength).replace(/\p{Surrogate}/gu, '\uFFFD')

export function decodeReplyFrame(bytes: Uint8Array): ReplyFrame {
  const frame = new FieldReader(bytes, malformed)
  const count = countOf(frame.list('shape'), replyHead, replyFields)
  if (count > maxRequestsInFrame) throw malformed('number of fields')
  checkVersion(frame)
  const session = sessionId(frame.text())
  const values = new PieceCutter(frame.bytes())
  const replies = new Array<Reply>(count)
  for (let i = 0; i < count; i++) {
    const number = frame.natural()
    const kind = replyKinds[frame.natural()]
    if (kind === 'value') replies[i] = { number, kind, value: pieceOf(values, frame.natural()) }
    else if (kind === 'error') replies[i] = { number, kind, error: readError(frame) }
    else if (kind === 'moved') replies[i] = { number, kind, ...readMove(frame) }
    else throw malformed('reply kind')
  }
  if (!values.done) throw malformed('length of values')
  if (!frame.done) throw malformed('end')
  return { session, replies }
}

function readError(frame: FieldReader): WireError {
  if (frame.list() !== 4) throw malformed('error')
  const code = frame.text()
  if (!(errorCodes as readonly string[]).includes(code)) throw malformed('error code')
  return {
    code: code as ErrorCode,
    message: frame.text(),
    ...(frame.nil() ? {} : { retryAfterMs: frame.natural() }),
    ...(frame.nil() ? {} : { path: frame.text() }),
  }
}

function readMove(frame: FieldReader): { readonly owner: NodeId | null; readonly epoch: Epoch } {
  if (frame.list() !== 2) throw malformed('move')
  const owner = frame.nil() ? null : frame.text()
  if (owner !== null && !isNodeId(owner)) throw malformed('owner')
  return { owner, epoch: epoch(frame.natural()) }
}

function countOf(fields: number, head: number, each: number): number {
  const count = (fields - head) / each
  if (!Number.isInteger(count) || count < 0) throw malformed('number of fields')
  return count
}

function checkVersion(frame: FieldReader): void {
  if (frame.natural() !== frameVersion) throw malformed('version')
}

const malformed = (what: string) =>
  new HoldfastError('INVALID', `this is not a frame of version ${frameVersion}: bad ${what}`)

function idempotencyKeyOf(key: string): string {
  if (!isIdempotencyKey(key)) throw malformed('idempotency key')
  return key
}

function pieceOf(pieces: PieceCutter, length: number): Uint8Array {
  const piece = pieces.next(length)
  if (piece === undefined) throw malformed('length of bytes')
  return piece
}
