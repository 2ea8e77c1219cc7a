/**
 * Frames: the binary requests and replies between a client and the node that owns a partition.
 * Everything that one client sends to one node in one tick travels in one frame; replies likewise.
 *
 *   request frame  [version, partitions, session, low, frame, inputs,
 *                    (kind, number, type, key, name, length of input, timeout, idempotency key | bounds of a read | nil)*]
 *   reply frame    [version, session, values, (number, kind, length of value | error | where it moved | position)*]
 *
 * F1. A frame is one msgpack array, its first element the version. An unknown version or shape is `INVALID`, as a whole.
 * F2. Inputs and results are opaque value bytes (protocol/values.ts), joined into one piece: a frame is routed without decoding
 *     them. Those of a decoded frame are views of its bytes, unless they are small (own-bytes.ts).
 * F3. Every request of a frame belongs to the frame's session; `low` is the lowest command number of that session that is
 *     still outstanding, so that the owner can forget the replies below it (R3).
 * F4. An idempotency key is 1 to 256 bytes of well-formed UTF-8; without one its field is nil. A frame with any other is `INVALID`, to
 *     whoever reads it and to whoever would write it.
 * F5. A position stands once before all replies that are of it, number 0: replies of one commit cost one. Values and errors of an owner or
 *     a standby have one; what was refused without a look at the state may stand behind that of another.
 * F6. Every attempt of a request goes in another frame, and a reply that says what did not happen names that frame: it is about this attempt
 *     alone, however often it is heard.
 */
import { HoldfastError, errorCodes, type ErrorCode } from './errors.ts'
import { FieldReader, FieldWriter } from './fields.ts'
import {
  epoch,
  generation,
  isGeneration,
  isNodeId,
  partitionId,
  seq,
  sessionId,
  type Epoch,
  type Generation,
  type NodeId,
  type PartitionId,
  type Seq,
  type SessionId,
} from './ids.ts'
import { PieceCutter } from './pieces.ts'

export const frameVersion = 4

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
  /** Numbers the frames of its sender (F6). */
  readonly frame: number
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
  /** Of a query, or of a call without an idempotency key. Default: strong. */
  readonly bounds?: ReadBounds | undefined
}

/** What a read may be answered from. */
export interface ReadBounds {
  /** A standby may answer, if what it has was the owner's state at most so long ago, ms. `undefined`: the owner alone. */
  readonly maxStalenessMs: number | undefined
  /** At least what this record left. */
  readonly after: LogPoint | undefined
}

export interface LogPoint {
  readonly generation: Generation
  readonly seq: Seq
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
  | {
      readonly number: number
      readonly kind: 'value'
      readonly value: Uint8Array
      readonly at?: ReplyPosition | undefined
    }
  | {
      readonly number: number
      readonly kind: 'error'
      readonly error: WireError
      /** That the request came in (F6). */
      readonly frame: number
      readonly at?: ReplyPosition | undefined
    }
  /** Not executed here; the owner, if the sender of the reply knows one. */
  | {
      readonly number: number
      readonly kind: 'moved'
      readonly owner: NodeId | null
      readonly epoch: Epoch
      /** As of an error. */
      readonly frame: number
    }

/** How far the state had come that a reply was made from. Replies that share one are to have the same object. */
export interface ReplyPosition extends LogPoint {
  readonly partition: PartitionId
  /** Of a standby: the owner's state was this one at most so long before the reply, ms. `undefined`: it comes of the owner. */
  readonly ageMs: number | undefined
}

export interface WireError {
  readonly code: ErrorCode
  readonly message: string
  readonly retryAfterMs?: number
  readonly path?: string
}

/** Fields of a frame before those of its requests or replies, and of each of these. */
const requestHead = 6
const requestFields = 8
const replyHead = 3
const replyFields = 3

const writer = new FieldWriter()

/** Throws `INVALID` for what `decodeRequestFrame` would refuse: texts, idempotency keys, numbers. */
export function encodeRequestFrame({ partitions, session, low, frame: of, requests }: RequestFrame): Uint8Array {
  const frame = writer.begin()
  frame.list(requestHead + requests.length * requestFields)
  frame.natural(frameVersion)
  frame.natural(partitions)
  frame.text(session)
  frame.natural(low)
  frame.natural(of)
  let inputBytes = 0
  for (const { input } of requests) inputBytes += input.length
  frame.bytesHead(inputBytes)
  for (const { input } of requests) frame.piece(input)
  for (const { kind, number, type, key, name, input, timeoutMs, idempotencyKey, bounds } of requests) {
    frame.natural(requestKinds.indexOf(kind))
    frame.natural(number)
    frame.text(type)
    frame.text(key)
    frame.text(name)
    frame.natural(input.length)
    frame.natural(Math.ceil(timeoutMs))
    if (idempotencyKey !== undefined) frame.text(idempotencyKeyOf(idempotencyKey))
    else if (bounds !== undefined) writeBounds(frame, bounds)
    else frame.nil()
  }
  return frame.take()
}

function writeBounds(frame: FieldWriter, { maxStalenessMs, after }: ReadBounds): void {
  frame.list(after === undefined ? 1 : 3)
  if (maxStalenessMs === undefined) frame.nil()
  else frame.natural(Math.floor(maxStalenessMs))
  if (after === undefined) return
  frame.text(after.generation)
  frame.natural(after.seq)
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
  const of = frame.natural()
  const inputs = new PieceCutter(frame.bytes())
  const requests = new Array<Request>(count)
  let type = ''
  let name = ''
  for (let i = 0; i < count; i++) {
    const kind = requestKinds[frame.natural()]
    if (kind === undefined) throw malformed('kind')
    const number = frame.natural()
    // Most requests of a frame are to one type and of one name.
    type = frame.text(type)
    const key = frame.text()
    name = frame.text(name)
    const input = pieceOf(inputs, frame.natural())
    const timeoutMs = frame.natural()
    const bounds = frame.isList() ? readBounds(frame) : undefined
    const idempotencyKey = bounds !== undefined || frame.nil() ? undefined : idempotencyKeyOf(frame.text())
    requests[i] = { kind, number, type, key, name, input, timeoutMs, idempotencyKey, bounds }
  }
  if (!inputs.done) throw malformed('length of inputs')
  if (!frame.done) throw malformed('end')
  return { partitions, session, low, frame: of, requests }
}

const replyKinds = ['value', 'error', 'moved', 'at'] as const
const positionKind = replyKinds.indexOf('at')

export function encodeReplyFrame({ session, replies }: ReplyFrame): Uint8Array {
  const frame = writer.begin()
  let valueBytes = 0
  let positions = 0
  let at: ReplyPosition | undefined
  for (const reply of replies) {
    if (reply.kind === 'value') valueBytes += reply.value.length
    if (isOther(reply, at)) {
      at = reply.at
      positions++
    }
  }
  frame.list(replyHead + (replies.length + positions) * replyFields)
  frame.natural(frameVersion)
  frame.text(session)
  frame.bytesHead(valueBytes)
  for (const reply of replies) if (reply.kind === 'value') frame.piece(reply.value)
  at = undefined
  for (const reply of replies) {
    if (isOther(reply, at)) writePosition(frame, (at = reply.at))
    frame.natural(reply.number)
    frame.natural(replyKinds.indexOf(reply.kind))
    if (reply.kind === 'value') frame.natural(reply.value.length)
    else if (reply.kind === 'error') writeError(frame, reply.error, reply.frame)
    else {
      frame.list(3)
      if (reply.owner === null) frame.nil()
      else frame.text(reply.owner)
      frame.natural(reply.epoch)
      frame.natural(reply.frame)
    }
  }
  return frame.take()
}

/** Whether it has a position, and another one than the reply before it. */
const isOther = (
  reply: Reply,
  at: ReplyPosition | undefined,
): reply is Exclude<Reply, { kind: 'moved' }> & { readonly at: ReplyPosition } =>
  reply.kind !== 'moved' && reply.at !== undefined && reply.at !== at

function writePosition(frame: FieldWriter, { partition, generation: of, seq: at, ageMs }: ReplyPosition): void {
  frame.natural(0)
  frame.natural(positionKind)
  frame.list(ageMs === undefined ? 3 : 4)
  frame.natural(partition)
  frame.text(of)
  frame.natural(at)
  if (ageMs !== undefined) frame.natural(Math.ceil(ageMs))
}

function writeError(frame: FieldWriter, { code, message, retryAfterMs, path }: WireError, of: number): void {
  frame.list(5)
  frame.text(code)
  frame.text(sendable(message))
  if (retryAfterMs === undefined) frame.nil()
  else frame.natural(Math.ceil(retryAfterMs))
  if (path === undefined) frame.nil()
  else frame.text(sendable(path))
  frame.natural(of)
}

/** Handlers throw any text; one that is too long or ill-formed must not cost the other replies of its frame. */
const sendable = (said: string) => said.slice(0, maxErrorTextLength).replace(/\p{Surrogate}/gu, '\uFFFD')

export function decodeReplyFrame(bytes: Uint8Array): ReplyFrame {
  const frame = new FieldReader(bytes, malformed)
  const count = countOf(frame.list('shape'), replyHead, replyFields)
  // Each reply may have a position of its own.
  if (count > 2 * maxRequestsInFrame) throw malformed('number of fields')
  checkVersion(frame)
  const session = sessionId(frame.text())
  const values = new PieceCutter(frame.bytes())
  const replies: Reply[] = []
  let at: ReplyPosition | undefined
  for (let i = 0; i < count; i++) {
    const number = frame.natural()
    const kind = replyKinds[frame.natural()]
    if (kind === 'value') replies.push({ number, kind, value: pieceOf(values, frame.natural()), at })
    else if (kind === 'error') replies.push({ number, kind, error: readError(frame), frame: frame.natural(), at })
    else if (kind === 'moved') replies.push({ number, kind, ...readMove(frame), frame: frame.natural() })
    else if (kind === 'at' && number === 0) at = readPosition(frame)
    else throw malformed('reply kind')
  }
  if (replies.length > maxRequestsInFrame) throw malformed('number of fields')
  if (!values.done) throw malformed('length of values')
  if (!frame.done) throw malformed('end')
  return { session, replies }
}

/** Most positions are of one log. */
let lastGeneration = ''

function readPosition(frame: FieldReader): ReplyPosition {
  const fields = frame.list()
  if (fields !== 3 && fields !== 4) throw malformed('position')
  return {
    partition: partitionId(frame.natural()),
    ...readPoint(frame),
    ageMs: fields === 4 ? frame.natural() : undefined,
  }
}

function readPoint(frame: FieldReader): LogPoint {
  const of = frame.text(lastGeneration)
  if (of !== lastGeneration && !isGeneration(of)) throw malformed('generation')
  return { generation: generation((lastGeneration = of)), seq: seq(frame.natural()) }
}

function readBounds(frame: FieldReader): ReadBounds {
  const fields = frame.list()
  if (fields !== 1 && fields !== 3) throw malformed('bounds')
  const maxStalenessMs = frame.nil() ? undefined : frame.natural()
  return { maxStalenessMs, after: fields === 3 ? readPoint(frame) : undefined }
}

function readError(frame: FieldReader): WireError {
  if (frame.list() !== 5) throw malformed('error')
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
  if (frame.list() !== 3) throw malformed('move')
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
