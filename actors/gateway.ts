/**
 * The gateway actor: answers plain NATS clients, in JSON, for whatever node owns what they call.
 *
 *   open ──drain──▶ draining ──idle──▶ closed
 *     └────────────── close ─────────────▲
 *
 * Z1. Each request has one reply: `{"ok":true,"value":…}`, or `{"ok":false,"error":{"code","message",…}}`. What is refused here is answered
 *     at once.
 * Z2. It speaks only to subjects under the inbox prefixes. A request with another reply subject, or none, is dropped and told to the observer
 *     before anything is done for it: this node's permissions are not the asker's.
 * Z3. At most `maxInFlight` requests are on their way at a time, and as many bytes as its session has room for; one more is `OVERLOADED`,
 *     or stays `UNKNOWN` where it repeats what is.
 * Z4. It keeps nothing of a request once it is answered. Its session is the session of those who have none (R3); a request with `Hf-Id` is
 *     command 1 of a session of its own, so that repeating it by any node takes effect once.
 * Z5. Draining takes no new requests, and ends when those on their way are answered. After `close` nothing is sent.
 * Z6. What is answered well has its cursor and its age in headers; a query says in headers how old its answer may be, and after which cursor.
 */
import { createActor, setup, waitFor } from 'xstate'
import { parseCommandId } from '../src/client/command-id.ts'
import { unsent, whatOf } from '../src/client/pending.ts'
import { parseAfter } from '../src/client/positions.ts'
import { addressOf, type Session } from '../src/client/session.ts'
import type { Measured, RequestOptions } from '../src/client/session-options.ts'
import { encodeView, type PlacementView } from '../src/core/table.ts'
import type { Clock } from '../src/ports/clock.ts'
import { gauge, Refusals, type Metric } from '../src/ports/metrics.ts'
import type { Observer } from '../src/ports/observer.ts'
import type { Headers, Message, Subscription, Transport } from '../src/ports/transport.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../src/protocol/errors.ts'
import { isIdempotencyKey, maxIdempotencyKeyBytes, type RequestKind } from '../src/protocol/frames.ts'
import { parseJsonText } from '../src/protocol/json-text.ts'
import {
  callKinds,
  headerNames,
  isInbox,
  subjectsOf,
  unescapeText,
  type CallKind,
  type CallTarget,
} from '../src/protocol/subjects.ts'
import { fromJson, toJson, type Value } from '../src/protocol/values.ts'

export interface GatewayOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly observer: Observer
  readonly cluster: string
  /** Carries the requests. Whoever gives it closes it, after the gateway. */
  readonly session: Session
  /** What `<cluster>.placement.get` is answered with; while it is undefined there is no answer. */
  readonly view: () => PlacementView | undefined
  /** First tokens of the subjects that may be answered, without the last dot. */
  readonly inboxPrefixes: readonly string[]
  /** Default 4,096. */
  readonly maxInFlight?: number
}

export interface Gateway {
  metrics(): readonly Metric[]
  readonly state: 'open' | 'draining' | 'closed'
  /** Takes nothing new; resolves when everything is answered, at the latest at the deadline of the last, or when it is closed. */
  drain(): Promise<void>
  /** Ends at once; what is on its way is not answered. Idempotent. */
  close(): void
}

const queue = 'gateway'
const overloadedForMs = 100
const longestTimeoutMs = 3_600_000
/** At most so many bytes of an answer are headers (Z6): a cursor, and an age. */
const headerBytes = 256

const requestKinds: Readonly<Record<CallKind, RequestKind>> = { call: 'command', tell: 'tell', query: 'query' }

type Event = { readonly type: 'drain' } | { readonly type: 'idle' } | { readonly type: 'close' }

/** Opens at once. */
export function createGateway(options: GatewayOptions): Gateway {
  const calls = new Calls(options, () => actor.send({ type: 'idle' }))
  const machine = setup({
    types: {} as { events: Event },
    actions: { listen: () => calls.listen(), stopListening: () => calls.stopListening(), end: () => calls.end() },
    guards: { idle: () => calls.inFlight === 0 },
  }).createMachine({
    initial: 'open',
    states: {
      open: { entry: 'listen', exit: 'stopListening', on: { drain: 'draining', close: 'closed' } },
      draining: { always: { guard: 'idle', target: 'closed' }, on: { idle: 'closed', close: 'closed' } },
      closed: { type: 'final', entry: 'end' },
    },
  })
  const actor = createActor(machine, { clock: options.clock })
  actor.start()
  return {
    metrics: () => calls.metrics(),
    get state() {
      return actor.getSnapshot().value
    },
    async drain() {
      if (actor.getSnapshot().value === 'open') actor.send({ type: 'drain' })
      await waitFor(actor, (snapshot) => snapshot.status === 'done', { timeout: Infinity })
    },
    close() {
      if (actor.getSnapshot().status === 'active') actor.send({ type: 'close' })
    },
  }
}

/** The requests of plain clients: from a message in to a message out. */
class Calls {
  inFlight = 0
  readonly #options: GatewayOptions
  readonly #onIdle: () => void
  readonly #maxInFlight: number
  readonly #subjects
  readonly #refusals = new Refusals<'requests'>('gateway', ['requests'])
  #subscriptions: Subscription[] = []
  #ended = false

  constructor(options: GatewayOptions, onIdle: () => void) {
    this.#options = options
    this.#onIdle = onIdle
    this.#maxInFlight = options.maxInFlight ?? 4_096
    this.#subjects = subjectsOf(options.cluster)
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_gateway_requests', this.inFlight, this.#maxInFlight), ...this.#refusals.metrics()]
  }

  listen(): void {
    const { transport } = this.#options
    this.#subscriptions = [
      ...callKinds.map((kind) =>
        transport.subscribe(this.#subjects.allCalls(kind), (message) => this.#onCall(message), { queue }),
      ),
      transport.subscribe(this.#subjects.placementGet, (message) => this.#onPlacementGet(message), { queue }),
    ]
  }

  stopListening(): void {
    for (const subscription of this.#subscriptions) subscription.close()
    this.#subscriptions = []
  }

  end(): void {
    this.#ended = true
  }

  #onPlacementGet({ reply, subject }: Message): void {
    const view = this.#options.view()
    if (this.#mayAnswer(reply, subject) && view !== undefined) this.#publish(reply, encodeView(view), subject)
  }

  #onCall(message: Message): void {
    const { subject, reply } = message
    if (!this.#mayAnswer(reply, subject)) return
    if (this.inFlight >= this.#maxInFlight) {
      this.#refusals.count('requests')
      return this.#publish(reply, failure(this.#full(message)), subject)
    }
    this.inFlight++
    void this.#respond(message, reply)
  }

  async #respond(message: Message, reply: string): Promise<void> {
    let data: Uint8Array
    let headers: Headers | undefined
    try {
      const { value, cursor, ageMs } = await this.#call(message)
      data = this.#success(value)
      headers = { [headerNames.cursor]: cursor, [headerNames.age]: String(ageMs) }
    } catch (error) {
      data = failure(error)
    }
    this.inFlight--
    if (this.#ended) return
    this.#publish(reply, data, message.subject, headers)
    if (this.inFlight === 0 && this.#subscriptions.length === 0) this.#onIdle()
  }

  /** Z3 */
  #full(message: Message): unknown {
    try {
      const { subject, headers } = message
      const { kind, type, key, name }: CallTarget = this.#subjects.parseCall(subject, headers)
      const id = kind === 'query' ? undefined : optionsOf(headers)?.id
      const why = 'this node has as many requests on their way as it may, try again a little later'
      const what = whatOf(requestKinds[kind], name, { type, key })
      return unsent('OVERLOADED', what, id, why, { retryAfterMs: overloadedForMs })
    } catch (error) {
      return error
    }
  }

  /** Async, so that what is wrong with the message rejects like what is wrong with the call. */
  async #call({ subject, headers, data }: Message): Promise<Measured<Value | undefined>> {
    const { kind, type, key, name }: CallTarget = this.#subjects.parseCall(subject, headers)
    return this.#options.session.measure(
      requestKinds[kind],
      addressOf(type, key),
      name,
      inputOf(data),
      optionsOf(headers),
    )
  }

  #success(value: Value | undefined): Uint8Array {
    const data = jsonBytes({ ok: true, value: toJson(value ?? null) })
    const most = this.#options.transport.maxPayload - headerBytes
    if (data.length <= most) return data
    throw new HoldfastError(
      'INVALID',
      `it was done, but its result has ${data.length} bytes of JSON and a message room for ${most}: return less`,
    )
  }

  /** Z2. */
  #mayAnswer(reply: string | undefined, subject: string): reply is string {
    if (reply !== undefined && isInbox(reply, this.#options.inboxPrefixes)) return true
    this.#options.observer.emit({
      type: 'message.dropped',
      subject,
      reason: reply === undefined ? 'no-reply' : 'reply-subject',
    })
    return false
  }

  #publish(reply: string, data: Uint8Array, subject: string, headers?: Headers): void {
    try {
      this.#options.transport.publish(reply, data, headers && { headers })
    } catch {
      // A subject that passed the check above, and that the transport will not have.
      this.#options.observer.emit({ type: 'message.dropped', subject, reason: 'reply-subject' })
    }
  }
}

/** An empty payload is null. */
export function inputOf(data: Uint8Array): Value {
  if (data.length === 0) return null
  let json: unknown
  try {
    json = parseJsonText(data)
  } catch (cause) {
    const reason = cause instanceof RangeError ? cause.message : 'send one JSON value in UTF-8, or nothing'
    throw new HoldfastError('INVALID', `the payload is not JSON that can be taken: ${reason}`, { cause })
  }
  return fromJson(json)
}

export function optionsOf(headers: Headers | undefined): RequestOptions | undefined {
  const id = headers?.[headerNames.id]
  const timeout = headers?.[headerNames.timeout]
  const idempotencyKey = headers?.[headerNames.idempotencyKey]
  const traceparent = headers?.[headerNames.traceparent] ?? headers?.[canonicalTraceparent]
  const maxStaleness = headers?.[headerNames.maxStaleness]
  const after = headers?.[headerNames.after]
  if ([id, timeout, idempotencyKey, traceparent, maxStaleness, after].every((header) => header === undefined)) {
    return undefined
  }
  return {
    timeoutMs: timeout === undefined ? undefined : millisecondsOf(headerNames.timeout, timeout),
    maxStalenessMs: maxStaleness === undefined ? undefined : millisecondsOf(headerNames.maxStaleness, maxStaleness),
    after: after === undefined ? undefined : parseAfter(after),
    id: id === undefined ? undefined : parseCommandId(id),
    idempotencyKey: idempotencyKey === undefined ? undefined : idempotencyKeyOf(idempotencyKey),
    traceparent,
  }
}

function millisecondsOf(header: string, text: string): number {
  const ms = Number(text)
  if (/^[0-9]{1,7}$/.test(text) && ms >= 1 && ms <= longestTimeoutMs) return ms
  throw new HoldfastError('INVALID', `the header ${header} is a whole number of milliseconds, 1 to ${longestTimeoutMs}`)
}

/** Clients that think of headers as those of HTTP write it so. */
const canonicalTraceparent = 'Traceparent'

function idempotencyKeyOf(escaped: string): string {
  const refused = (cause?: unknown) =>
    new HoldfastError(
      'INVALID',
      `the header ${headerNames.idempotencyKey} is 1 to ${maxIdempotencyKeyBytes} bytes of UTF-8, each byte outside A-Z a-z 0-9 _ - written as = and two upper-case hex digits`,
      { cause },
    )
  if (escaped.length > maxIdempotencyKeyBytes * 3) throw refused()
  let key: string
  try {
    key = unescapeText(escaped)
  } catch (cause) {
    throw refused(cause)
  }
  if (!isIdempotencyKey(key)) throw refused()
  return key
}

export function failure(error: unknown): Uint8Array {
  if (!isHoldfastError(error)) return jsonBytes({ ok: false, error: { code: 'INTERNAL', message: messageOf(error) } })
  const { code, id, retryAfterMs, path, cycle } = error
  return jsonBytes({ ok: false, error: { code, message: messageOf(error), id, retryAfterMs, path, cycle } })
}

const jsonBytes = (body: object): Uint8Array => Buffer.from(JSON.stringify(body))
