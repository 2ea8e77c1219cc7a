/**
 * A session: numbers requests, sends them to the nodes that own their keys, and repeats them until there is an answer or no more time.
 *
 * It owns its outstanding requests, one inbox, and what it knows of placement. It never decodes a value that did not come for a request
 * of its own, and never gives up a command without saying what may have happened to it.
 *
 * S1. Requests of one tick to one node leave in one frame; each frame has a reply subject of its own, so that "no responders" names it.
 * S2. Every outcome follows pending.ts (A1–A3). Each call settles once, at the latest at its deadline or at `close`.
 * S3. While there is no connection or no placement nothing is sent, and nothing counts as sent. Once there is, everything outstanding
 *     is sent, again where it was sent before.
 * S4. An attempt is repeated with the same number: at once when it was moved or the owner of its key has changed; by way of the
 *     partition's subject when nobody listened or no answer came in time; after a back-off of 10 to 200 ms when it was refused. Never
 *     once the id is too old (R3): then it only waits.
 * S5. A request costs no timer and no closure beyond its promise: one alarm rings for the earliest that is due.
 */
import { decodeView, type PlacementView } from '../core/table.ts'
import type { Clock } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Random } from '../ports/random.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import { HoldfastError } from '../protocol/errors.ts'
import {
  decodeReplyFrame,
  encodeRequestFrame,
  type Reply,
  type ReplyFrame,
  type RequestKind,
} from '../protocol/frames.ts'
import { sessionId, type SessionId } from '../protocol/ids.ts'
import { fnv1a32 } from '../protocol/partitioning.ts'
import { encodeToken, subjectsOf } from '../protocol/subjects.ts'
import { decodeValue, encodeValue, type Value } from '../protocol/values.ts'
import { Alarm } from './alarm.ts'
import { frameHeadBytes, type Batch } from './batch.ts'
import { formatCommandId, type CommandId } from './command-id.ts'
import { defaultOutstanding, Outstanding } from './outstanding.ts'
import { Pending, type Address, type Waiter } from './pending.ts'
import { Routing } from './routing.ts'
import { SentFrames } from './sent-frames.ts'

export interface SessionPorts {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
}

export interface SessionOptions {
  readonly cluster: string
  /** Patience of a request that names none, ms. Default 10,000: longer than a takeover, shorter than a user's. */
  readonly timeoutMs?: number
  /** The first attempt is repeated after this, the second after twice that, and so on. Default 1,000. */
  readonly attemptTimeoutMs?: number
  /** Most requests outstanding; `OVERLOADED` beyond. Default 65,536. */
  readonly maxOutstanding?: number
}

export interface RequestOptions {
  /** Default: the session's. */
  readonly timeoutMs?: number | undefined
  /** Repeats this command instead of beginning a new one. Queries have no need of it and ignore it. */
  readonly id?: CommandId | undefined
  readonly signal?: AbortSignal | undefined
}

/** Asking for the placement again, at most this often. */
const refreshEveryMs = 100
/** Asking for it until it is known. */
const firstViewEveryMs = 250
const overloadedForMs = 100

export const addressOf = (type: string, key: string): Address => ({ type, key, hash: fnv1a32(encodeToken(key)) })

export class Session {
  readonly id: SessionId
  readonly timeoutMs: number
  readonly #ports: SessionPorts
  readonly #attemptTimeoutMs: number
  readonly #maxFrameBytes: number
  readonly #outstanding: Outstanding
  readonly #routing: Routing
  readonly #frames = new SentFrames()
  readonly #alarm: Alarm
  readonly #inbox: string
  readonly #placementGet: string
  readonly #subscriptions: Subscription[]
  readonly #flush = () => this.#sendQueue()
  #queue: Pending[] = []
  #flushing = false
  #refreshedMs = Number.NEGATIVE_INFINITY
  #sweptMs = Number.NEGATIVE_INFINITY
  #placed: { readonly resolve: () => void; readonly reject: (error: HoldfastError) => void }[] = []
  #closed = false

  constructor(ports: SessionPorts, options: SessionOptions) {
    const { transport, clock, random } = ports
    const subjects = subjectsOf(options.cluster)
    this.#ports = ports
    this.id = sessionId(random.id())
    this.timeoutMs = options.timeoutMs ?? 10_000
    this.#attemptTimeoutMs = options.attemptTimeoutMs ?? 1_000
    this.#maxFrameBytes = Math.floor(transport.maxPayload / 2)
    this.#outstanding = new Outstanding(options.maxOutstanding ?? defaultOutstanding)
    this.#routing = new Routing(subjects)
    this.#alarm = new Alarm(clock, () => this.#sweep())
    this.#inbox = transport.inbox()
    this.#placementGet = subjects.placementGet
    this.#subscriptions = [
      transport.subscribe(`${this.#inbox}.*`, (message) => this.#onReply(message)),
      transport.subscribe(subjects.placement, (message) => this.#onView(message)),
      transport.onStatus((status) => {
        if (status === 'connected') this.#onConnected()
      }),
    ]
    this.#refresh()
    this.#alarm.set(clock.monotonic() + firstViewEveryMs)
  }

  /** Requests that have no answer yet. */
  get outstanding(): number {
    return this.#outstanding.size
  }

  /** The count of partitions; 0 until the placement is known. */
  get partitions(): number {
    return this.#routing.partitions
  }

  /** Resolves once the placement is known; rejects with `INVALID` if the session is closed before. */
  async whenPlaced(): Promise<void> {
    if (this.#closed) throw closedError()
    if (this.#routing.partitions === 0)
      await new Promise<void>((resolve, reject) => this.#placed.push({ resolve, reject }))
  }

  /** Takes in a placement view; a node may know one before it is broadcast. */
  learn(view: PlacementView): void {
    if (!this.#routing.learn(view) || this.#closed) return
    for (const { resolve } of this.#placed.splice(0)) resolve()
    for (const pending of this.#outstanding.all()) {
      pending.viaPartition = false
      const { subject } = this.#routing.batchFor(pending.hash, false)
      if (pending.state !== 'queued' && (pending.state !== 'sent' || pending.subject !== subject))
        this.#enqueue(pending)
    }
  }

  /**
   * Sends a request and resolves to its result: a command's or a query's value, `undefined` of a tell. `input` must be a value.
   * Rejects with a `HoldfastError`.
   */
  request(
    kind: RequestKind,
    address: Address,
    name: string,
    input: unknown,
    options?: RequestOptions,
  ): Promise<Value | undefined> {
    let bytes: Uint8Array
    try {
      bytes = encodeValue(input)
    } catch (error) {
      return Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      const error = this.#begin(kind, address, name, bytes, options, { resolve, reject })
      if (error !== undefined) reject(error)
    })
  }

  /** Ends every outstanding request as A3 says, and releases everything. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const subscription of this.#subscriptions) subscription.close()
    this.#alarm.clear()
    for (const { reject } of this.#placed.splice(0)) reject(closedError())
    for (const pending of this.#outstanding.all())
      this.#fail(pending, pending.unanswered('the client was closed', false))
    this.#queue = []
  }

  #begin(
    kind: RequestKind,
    address: Address,
    name: string,
    input: Uint8Array,
    options: RequestOptions | undefined,
    waiter: Waiter,
  ): HoldfastError | undefined {
    if (this.#closed) return closedError()
    if (options?.signal?.aborted === true) {
      const message = `the ${kind} ${name} was aborted before anything was sent`
      return new HoldfastError('RETRY', message, { cause: options.signal.reason })
    }
    const outstanding = this.#outstanding
    const id = kind === 'query' ? undefined : options?.id
    const earlier = id === undefined ? undefined : this.#find(id)
    if (earlier !== undefined) return this.#join(earlier, kind, address, name, options, waiter)
    if (!outstanding.hasRoom(kind)) {
      const message = `nothing was sent of the ${kind} ${name}: ${outstanding.size} requests of this client have no answer yet, send fewer at a time`
      return new HoldfastError('OVERLOADED', message, { retryAfterMs: overloadedForMs })
    }
    const nowMs = this.#nowMs()
    const timeoutMs = options?.timeoutMs ?? this.timeoutMs
    const repeatedAtMs = id?.session === this.id ? outstanding.takeKept(id.number, nowMs) : undefined
    if (id?.session === this.id && repeatedAtMs === undefined) return notRepeatable(id)
    const number = id?.number ?? outstanding.number()
    const pending = new Pending(kind, id?.session ?? this.id, number, address, name, input, nowMs, timeoutMs, waiter)
    if (pending.frameBytes > this.#maxFrameBytes - frameHeadBytes) {
      const message = `the input of ${name} has ${input.length} bytes, more than fit into a message: at most ${this.#maxFrameBytes - 2_048}`
      return new HoldfastError('INVALID', message)
    }
    if (id !== undefined) {
      // A caller's own id (I2) stands for no earlier call that this session answered for.
      pending.repeated = formatCommandId(id).includes(':')
      pending.firstSentMs = repeatedAtMs ?? -1
    }
    if (pending.session === this.id) outstanding.add(pending)
    else outstanding.addForeign(formatCommandId(pending), pending)
    if (options?.signal !== undefined) this.#watchSignal(options.signal, pending, waiter)
    this.#alarm.set(pending.dueMs)
    this.#enqueue(pending)
    return undefined
  }

  /** Whole, as all due times are: a field that holds a fraction costs an allocation each time that it is set. */
  #nowMs(): number {
    return Math.floor(this.#ports.clock.monotonic())
  }

  #find(id: CommandId): Pending | undefined {
    return id.session === this.id ? this.#outstanding.get(id.number) : this.#outstanding.getForeign(formatCommandId(id))
  }

  /** The same command is on its way: one more waits for its answer, until the later of both deadlines. */
  #join(
    pending: Pending,
    kind: RequestKind,
    address: Address,
    name: string,
    options: RequestOptions | undefined,
    waiter: Waiter,
  ): HoldfastError | undefined {
    if (
      pending.kind !== kind ||
      pending.type !== address.type ||
      pending.key !== address.key ||
      pending.name !== name
    ) {
      const message = `the id ${formatCommandId(pending)} is that of the ${pending.kind} ${pending.name} of ${pending.type}/${pending.key}: take another`
      return new HoldfastError('INVALID', message)
    }
    ;(pending.joined ??= []).push(waiter)
    pending.extend(this.#nowMs() + (options?.timeoutMs ?? this.timeoutMs))
    if (options?.signal !== undefined) this.#watchSignal(options.signal, pending, waiter)
    return undefined
  }

  /** An abort ends the call with what is known then; the request itself, unless others wait for it. */
  #watchSignal(signal: AbortSignal, pending: Pending, waiter: Waiter): void {
    const abort = () => {
      const error = pending.unanswered('the call was aborted', false, signal.reason)
      if (pending.joined === undefined) this.#fail(pending, error)
      else waiter.reject(error)
    }
    signal.addEventListener('abort', abort, { once: true })
    const { release } = pending
    pending.release = () => {
      release?.()
      signal.removeEventListener('abort', abort)
    }
  }

  #enqueue(pending: Pending): void {
    pending.state = 'queued'
    this.#queue.push(pending)
    if (this.#flushing) return
    this.#flushing = true
    this.#ports.clock.defer(this.#flush)
  }

  #sendQueue(): void {
    this.#flushing = false
    const queue = this.#queue
    this.#queue = []
    const sendable = this.#ports.transport.connected && this.#routing.partitions > 0
    const nowMs = this.#nowMs()
    const filled: Batch[] = []
    for (const pending of queue) {
      if (pending.state !== 'queued') continue
      pending.dueMs = pending.deadlineMs
      if (nowMs >= pending.deadlineMs) this.#timeOut(pending)
      else if (!sendable) this.#hold(pending)
      else if (pending.tooOld(nowMs)) this.#stopRepeating(pending)
      else this.#put(pending, filled, nowMs)
    }
    for (const batch of filled) if (!batch.isEmpty) this.#send(batch, nowMs)
  }

  #hold(pending: Pending): void {
    pending.state = 'held'
    this.#alarm.set(pending.dueMs)
  }

  #put(pending: Pending, filled: Batch[], nowMs: number): void {
    const batch = this.#routing.batchFor(pending.hash, pending.viaPartition)
    const bytes = pending.frameBytes
    // A frame is one session's: a command of another one travels alone.
    const alone = pending.session !== this.id
    if (!batch.isEmpty && (alone || !batch.fits(bytes, this.#maxFrameBytes))) this.#send(batch, nowMs)
    if (batch.isEmpty) filled.push(batch)
    batch.push(pending, bytes)
    if (alone) this.#send(batch, nowMs)
  }

  #send(batch: Batch, nowMs: number): void {
    const requests = batch.take()
    const { subject } = batch
    let dueMs = Number.POSITIVE_INFINITY
    for (const pending of requests) {
      pending.sentAt(nowMs, subject, this.#attemptTimeoutMs)
      if (pending.dueMs < dueMs) dueMs = pending.dueMs
    }
    this.#alarm.set(dueMs)
    const session = requests[0]!.session
    const low = session === this.id ? this.#outstanding.low(nowMs) : 0
    const frame = encodeRequestFrame({ partitions: this.#routing.partitions, session, low, requests })
    this.#ports.transport.publish(subject, frame, { reply: `${this.#inbox}.${this.#frames.add(requests)}` })
  }

  #onReply(message: Message): void {
    const token = message.subject.slice(this.#inbox.length + 1)
    if (token === 'view') return message.noResponders ? undefined : this.#onView(message)
    const requests = this.#frames.take(Number(token))
    if (message.noResponders) return this.#onNobody(requests)
    let frame: ReplyFrame
    try {
      frame = decodeReplyFrame(message.data)
    } catch {
      this.#ports.observer.emit({ type: 'message.dropped', subject: message.subject, reason: 'malformed' })
      return
    }
    const { session } = frame
    for (const reply of frame.replies) {
      const pending =
        session === this.id ? this.#outstanding.get(reply.number) : this.#find({ session, number: reply.number })
      if (pending !== undefined) this.#onAnswer(pending, reply)
      else this.#ports.observer.emit({ type: 'message.dropped', subject: message.subject, reason: 'settled' })
    }
  }

  #onAnswer(pending: Pending, reply: Reply): void {
    if (reply.kind === 'value') return this.#succeed(pending, reply.value)
    if (reply.kind === 'error') {
      const { error } = reply
      if (pending.judge(error) === 'final')
        return this.#fail(pending, new HoldfastError(error.code, error.message, error))
      if (error.code === 'FENCED') this.#refresh()
      return this.#later(pending, error.retryAfterMs)
    }
    pending.refusals++
    if (reply.owner === null) {
      this.#refresh()
      return this.#later(pending)
    }
    this.#routing.moved(this.#routing.partitionOf(pending.hash), reply.owner, reply.epoch)
    pending.viaPartition = false
    if (++pending.hops > 1) this.#later(pending)
    else if (pending.state !== 'queued') this.#enqueue(pending)
  }

  /** Nobody listened where this frame went: none of its requests was received. */
  #onNobody(requests: readonly Pending[]): void {
    for (const pending of requests) {
      if (pending.state === 'settled') continue
      pending.refusals++
      if (pending.viaPartition) this.#later(pending)
      else {
        pending.viaPartition = true
        if (pending.state !== 'queued') this.#enqueue(pending)
      }
    }
    this.#refresh()
  }

  #later(pending: Pending, atLeastMs?: number): void {
    // It may be on its way again already, by another answer or a new placement.
    if (pending.state !== 'sent') return
    pending.backOff(this.#nowMs(), this.#ports.random.next(), atLeastMs)
    this.#alarm.set(pending.dueMs)
  }

  #onView(message: Message): void {
    let view: PlacementView
    try {
      view = decodeView(message.data)
    } catch {
      this.#ports.observer.emit({ type: 'message.dropped', subject: message.subject, reason: 'malformed' })
      return
    }
    this.learn(view)
  }

  /** S3. */
  #onConnected(): void {
    this.#refreshedMs = Number.NEGATIVE_INFINITY
    this.#refresh()
    for (const pending of this.#outstanding.all()) if (pending.state !== 'queued') this.#enqueue(pending)
  }

  #refresh(): void {
    const { transport } = this.#ports
    const nowMs = this.#nowMs()
    if (!transport.connected || nowMs - this.#refreshedMs < refreshEveryMs) return
    this.#refreshedMs = nowMs
    transport.publish(this.#placementGet, nothing, { reply: `${this.#inbox}.view` })
  }

  /** Looks for what is due, not more often than is cheap. */
  #sweep(): void {
    const nowMs = this.#nowMs()
    const gapMs = 2 + Math.floor(this.#outstanding.size / 2_048)
    const soonestMs = this.#sweptMs + gapMs
    if (nowMs < soonestMs) return this.#alarm.set(soonestMs)
    this.#sweptMs = nowMs
    let dueMs = Number.POSITIVE_INFINITY
    if (this.#routing.partitions === 0) {
      this.#refresh()
      dueMs = nowMs + firstViewEveryMs
    }
    for (const pending of this.#outstanding.all()) {
      if (nowMs >= pending.deadlineMs) this.#timeOut(pending)
      else if (pending.dueMs > nowMs) dueMs = Math.min(dueMs, pending.dueMs)
      else if (pending.state !== 'queued') {
        if (pending.state === 'sent') {
          pending.viaPartition = true
          this.#refresh()
        }
        this.#enqueue(pending)
      }
    }
    if (dueMs < Number.POSITIVE_INFINITY) this.#alarm.set(Math.max(dueMs, nowMs + gapMs))
  }

  #stopRepeating(pending: Pending): void {
    if (pending.refusedThroughout)
      return this.#fail(pending, pending.unanswered('it is too old to be sent again', true))
    pending.state = 'sent'
    this.#alarm.set(pending.dueMs)
  }

  #timeOut(pending: Pending): void {
    const patienceMs = Math.round(pending.deadlineMs - pending.startMs)
    let why = `${patienceMs} ms have passed`
    if (!this.#ports.transport.connected) why += ' and there is no connection'
    else if (this.#routing.partitions === 0) why += ' and no node of the cluster has told who owns what'
    this.#fail(pending, pending.unanswered(why, true))
  }

  #succeed(pending: Pending, bytes: Uint8Array): void {
    let value: Value | undefined
    try {
      value = pending.kind === 'tell' ? undefined : decodeValue(bytes)
    } catch (cause) {
      const message = `the ${pending.kind} ${pending.name} was answered with what is no value: update this client or that node`
      return this.#fail(pending, new HoldfastError('INTERNAL', message, { cause }))
    }
    this.#settle(pending)
    pending.resolve(value)
    if (pending.joined !== undefined) for (const waiter of pending.joined) waiter.resolve(value)
  }

  #fail(pending: Pending, error: HoldfastError): void {
    this.#settle(pending)
    if (error.code === 'UNKNOWN' && pending.session === this.id)
      this.#outstanding.keep(pending.number, pending.firstSentMs)
    pending.reject(error)
    if (pending.joined !== undefined) for (const waiter of pending.joined) waiter.reject(error)
  }

  #settle(pending: Pending): void {
    pending.state = 'settled'
    if (pending.session === this.id) this.#outstanding.remove(pending)
    else this.#outstanding.removeForeign(formatCommandId(pending))
    pending.release?.()
  }
}

const nothing = new Uint8Array(0)

const closedError = () => new HoldfastError('INVALID', 'this client is closed: connect again')

const notRepeatable = (id: CommandId) =>
  new HoldfastError(
    'INVALID',
    `${formatCommandId(id)} cannot be repeated: it has its answer, or its first attempt was more than 90 s ago and is no longer remembered`,
  )
