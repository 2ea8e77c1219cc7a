/**
 * JetStream's own interface, as far as a changelog and a registry need it: JSON questions to `$JS.API.>`.
 *
 * J1. Stream and message questions are answered by the stream's leader alone; nothing here reads from a replica.
 * J2. A question that the server does not let this user ask throws `Denied`, which is `INVALID`, at once. No answer, and every error that is not
 *     about the question itself, throws `RETRY`: a 503 during an election looks like a server without JetStream.
 */
import type { Msg } from '@nats-io/transport-node'
import { Denied } from '../../ports/denied.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import type { Requests } from './requests.ts'

/** The numbers that JetStream gives to its errors, where it matters which one it is. */
export const apiErrors = {
  consumerLimit: 10_026,
  messageNotFound: 10_037,
  notEnabledForAccount: 10_039,
  invalidConfig: 10_052,
  messageTooLarge: 10_054,
  streamNameInUse: 10_058,
  streamNotFound: 10_059,
  subjectsOverlap: 10_065,
  wrongLastSequence: 10_071,
  replicasNotSupported: 10_074,
  notEnabled: 10_076,
  storeFailed: 10_077,
  headersTooLarge: 10_097,
  streamSealed: 10_109,
  /** Newer servers say so where another append is ahead and not yet applied. */
  wrongLastSequenceUnknown: 10_164,
} as const

export interface ApiError {
  readonly number: number
  readonly description: string
}

export type ApiReply =
  { readonly error: ApiError; readonly body?: undefined } | { readonly error?: undefined; readonly body: Json }

/** What the server sent, before anyone has looked at it. */
export type Json = Readonly<Record<string, unknown>>

export interface StreamInfo {
  readonly config: Json
  readonly first: number
  readonly last: number
  /** Subjects that hold messages; only where they were asked for. */
  readonly subjects: readonly string[]
  /** When the server said so, ms since 1970 by its clock; NaN where it does not say. */
  readonly saidAt: number
}

export interface StoredMessage {
  readonly seq: number
  readonly subject: string
  readonly data: Uint8Array
  /** The block of headers as text, empty where there are none. */
  readonly headers: string
  /** When it was stored, ms since 1970 by the server's clock; NaN where it does not say. */
  readonly storedAt: number
}

export type WhichMessage =
  | { readonly seq: number }
  | { readonly last_by_subj: string }
  /** The first of the subject that is not before `seq`. */
  | { readonly seq: number; readonly next_by_subj: string }

/** What to remove: messages before `seq`, or all; of one subject, or all. */
export interface Purge {
  readonly filter?: string
  readonly seq?: number
}

const utf8 = new TextEncoder()
const noBytes = new Uint8Array()

export class JetStream {
  readonly #requests: Requests

  constructor(requests: Requests) {
    this.#requests = requests
  }

  /** `ifLost`: what it means that no answer came. */
  async call(
    question: string,
    body?: Json,
    timeoutMs?: number,
    ifLost: 'RETRY' | 'UNKNOWN' = 'RETRY',
  ): Promise<ApiReply> {
    const subject = `$JS.API.${question}`
    const data = body === undefined ? noBytes : utf8.encode(JSON.stringify(body))
    const answer = await this.#requests.ask({ subject, ...(timeoutMs === undefined ? {} : { timeoutMs }) }, data)
    switch (answer.kind) {
      case 'answered':
        return parseReply(answer.message, question)
      case 'no-responders':
        throw retry(
          `JetStream does not answer ${question}: its leader is being elected, or JetStream is not enabled on this NATS server`,
        )
      case 'denied':
        throw new Denied(answer.reason)
      case 'lost':
        if (ifLost === 'UNKNOWN') {
          throw new HoldfastError('UNKNOWN', `JetStream may have done ${question}: ${answer.reason}; ask for it again`)
        }
        throw retry(`JetStream has not answered ${question}: ${answer.reason}`)
      case 'not-sent':
        throw retry(`JetStream has not answered ${question}: ${answer.reason}`)
    }
  }

  /** `null`: there is no such stream. */
  async streamInfo(stream: string, subjectsFilter?: string): Promise<StreamInfo | null> {
    const filter = subjectsFilter === undefined ? undefined : { subjects_filter: subjectsFilter }
    const reply = await this.call(`STREAM.INFO.${stream}`, filter)
    if (reply.body !== undefined) return parseInfo(reply.body)
    if (reply.error.number === apiErrors.streamNotFound) return null
    throw failed(`STREAM.INFO.${stream}`, reply.error)
  }

  /** `null`: the stream holds no such message. Throws `NOT_FOUND` where there is no stream. */
  async message(stream: string, which: WhichMessage): Promise<StoredMessage | null> {
    const reply = await this.call(`STREAM.MSG.GET.${stream}`, { ...which })
    if (reply.body !== undefined) return parseMessage(reply.body)
    if (reply.error.number === apiErrors.messageNotFound) return null
    if (reply.error.number === apiErrors.streamNotFound) throw noStream(stream)
    throw failed(`STREAM.MSG.GET.${stream}`, reply.error)
  }

  /** Subjects of the stream that match and hold messages, in parts as large as one answer. Throws `NOT_FOUND` where there is no stream. */
  async subjects(stream: string, filter: string): Promise<readonly string[]> {
    const subjects = new Set<string>()
    for (let total = 1, offset = 0; offset < total;) {
      const reply = await this.call(`STREAM.INFO.${stream}`, { subjects_filter: filter, offset })
      if (reply.error?.number === apiErrors.streamNotFound) throw noStream(stream)
      if (reply.error !== undefined) throw failed(`STREAM.INFO.${stream}`, reply.error)
      const part = Object.keys(object(object(reply.body['state'])['subjects'] ?? {}))
      for (const subject of part) subjects.add(subject)
      total = part.length === 0 ? 0 : number(reply.body['total'] ?? 0)
      offset += part.length
    }
    return [...subjects]
  }

  /**
   * Removes messages. Throws `UNKNOWN` where no answer came, `NOT_FOUND` where there is no stream, `INVALID` where
   * the stream does not allow it.
   */
  async purge(stream: string, which: Purge): Promise<void> {
    const question = `STREAM.PURGE.${stream}`
    const reply = await this.call(question, { ...which }, undefined, 'UNKNOWN')
    if (reply.body !== undefined) return
    if (reply.error.number === apiErrors.streamNotFound) throw noStream(stream)
    if (!/purge not permitted/.test(reply.error.description)) throw failed(question, reply.error)
    throw new HoldfastError(
      'INVALID',
      `the stream ${stream} does not let anything be removed (${reply.error.description}): it was not made by Holdfast`,
    )
  }

  /**
   * Creates a consumer that acknowledges nothing, in memory. Throws `NOT_FOUND` where there is no stream. `ifFull`: what it means that the
   * stream has as many as it may.
   */
  async createConsumer(stream: string, config: Json, ifFull: 'RETRY' | 'INVALID' = 'RETRY'): Promise<CreatedConsumer> {
    const reply = await this.call(`CONSUMER.CREATE.${stream}`, {
      stream_name: stream,
      config: { ack_policy: 'none', replay_policy: 'instant', mem_storage: true, num_replicas: 1, ...config },
    })
    if (reply.body !== undefined) {
      return { name: text(reply.body['name']), pending: number(reply.body['num_pending'] ?? 0) }
    }
    if (reply.error.number === apiErrors.consumerLimit) {
      const reason = `the stream ${stream} has as many consumers as it may: allow more, or wait until others have read`
      throw new HoldfastError(ifFull, reason)
    }
    if (reply.error.number === apiErrors.streamNotFound) throw noStream(stream)
    throw failed(`CONSUMER.CREATE.${stream}`, reply.error)
  }

  /** Tells the server, and does not wait: a consumer that stays ends by itself. */
  deleteConsumer(stream: string, consumer: string): void {
    this.#requests.send({ subject: `$JS.API.CONSUMER.DELETE.${stream}.${consumer}` }, noBytes, () => {})
  }
}

export interface CreatedConsumer {
  readonly name: string
  /** Messages that it is to deliver, as far as they are stored. */
  readonly pending: number
}

/** Where a delivered message is in its stream, and how many its consumer has delivered, and has to deliver still. */
export interface Delivery {
  readonly seq: number
  readonly delivered: number
  readonly pending: number
  /** When the stream took it, ms since 1970. */
  readonly storedAtMs: number
}

/** JetStream reckons in nanoseconds. */
export const nanosPerMs = 1_000_000

/** Reads the reply subject of a delivered message; `undefined` if it is none. */
export function deliveryOf(reply: string | undefined): Delivery | undefined {
  // $JS.ACK.<stream>.<consumer>.<times>.<seq>.<delivered>.<time>.<pending>; newer ones have domain and account before the stream.
  const parts = reply?.split('.') ?? []
  if (parts[0] !== '$JS' || parts[1] !== 'ACK' || parts.length < 9) return undefined
  const at = parts.length === 9 ? 5 : 7
  const seq = Number(parts[at])
  const delivered = Number(parts[at + 1])
  const storedAtMs = Math.floor(Number(parts[at + 2]) / nanosPerMs)
  const pending = Number(parts[at + 3])
  if (![seq, delivered, pending].every(Number.isSafeInteger)) return undefined
  return { seq, delivered, pending, storedAtMs }
}

/** For an error that is not about the question itself (J2). */
export const failed = (question: string, error: ApiError) =>
  retry(`JetStream cannot answer ${question} now: ${error.description} (${error.number})`)

export const noStream = (stream: string) =>
  new HoldfastError('NOT_FOUND', `there is no stream ${stream} on this NATS server: provision it first`)

const retry = (message: string, cause?: unknown) => new HoldfastError('RETRY', `${message}; try again`, { cause })

function parseReply(message: Msg, question: string): ApiReply {
  let body: unknown
  try {
    body = message.json()
  } catch (cause) {
    throw retry(`what answers ${question} is not JetStream (${messageOf(cause)})`, cause)
  }
  const json = object(body)
  const error = errorOf(json)
  return error === undefined ? { body: json } : { error }
}

export function errorOf(json: Json): ApiError | undefined {
  if (json['error'] === undefined) return undefined
  const error = object(json['error'])
  // Before it has recovered a server answers with an HTTP code alone.
  return { number: number(error['err_code'] ?? error['code']), description: text(error['description']) }
}

function parseInfo(body: Json): StreamInfo {
  const state = object(body['state'])
  const subjects = Object.keys(object(state['subjects'] ?? {}))
  const total = number(body['total'] ?? 0)
  if (subjects.length < total) {
    throw new HoldfastError(
      'INTERNAL',
      `a stream has ${total} subjects, which is more than one answer holds: remove some`,
    )
  }
  return {
    config: object(body['config']),
    first: number(state['first_seq']),
    last: number(state['last_seq']),
    subjects,
    saidAt: time(body['ts']),
  }
}

function parseMessage(body: Json): StoredMessage {
  const message = object(body['message'])
  return {
    seq: number(message['seq']),
    subject: text(message['subject']),
    data: base64(message['data']),
    headers: Buffer.from(base64(message['hdrs'])).toString('utf8'),
    storedAt: time(message['time']),
  }
}

const base64 = (value: unknown): Uint8Array => (value === undefined ? noBytes : Buffer.from(text(value), 'base64'))

export function object(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw unreadable()
}

function number(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  throw unreadable()
}

const time = (value: unknown): number => (typeof value === 'string' ? Date.parse(value) : Number.NaN)

function text(value: unknown): string {
  if (typeof value === 'string') return value
  throw unreadable()
}

const unreadable = () => retry('JetStream has answered with something that this version of Holdfast cannot read')
