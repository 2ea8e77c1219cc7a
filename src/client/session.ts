/**
 * A session: numbers requests, sends them to the nodes that own their keys, and repeats them until there is an answer or no more time.
 *
 * It owns its outstanding requests, one inbox, and what it knows of placement. It never decodes a value that did not come for a request
 * of its own, and never gives up a command without saying what may have happened to it.
 *
 * S1. Requests of one tick to one node leave in one frame (outbox.ts).
 * S2. Every outcome follows pending.ts (A1–A5). Each call settles once, at the latest at its deadline or at `close`; one that joined
 *     another, at the later deadline of both.
 * S3. While there is no connection or no placement nothing is sent, and nothing counts as sent. Once there is, everything outstanding
 *     is sent, again where it was sent before.
 * S4. An attempt is repeated with the same number: at once when it was moved or the owner of its key has changed; by way of the
 *     partition's subject when nobody listened or no answer came in time; after a back-off of 10 to 200 ms when it was refused. Never
 *     once the id is too old (R3): then it only waits.
 * S5. A request costs no timer and no closure beyond its promise: one alarm rings for the earliest that is due.
 * S6. What a standby does not answer, for whatever reason, goes to the owner within the same deadline. No read goes behind what the session
 *     has seen (positions.ts).
 */
import type { PlacementView } from '../core/table.ts'
import { Refusals, type Metric } from '../ports/metrics.ts'
import type { Message, Subscription } from '../ports/transport.ts'
import { HoldfastError } from '../protocol/errors.ts'
import {
  decodeReplyFrame,
  type Reply,
  type ReplyFrame,
  type ReplyPosition,
  type RequestKind,
} from '../protocol/frames.ts'
import { sessionId, type SessionId } from '../protocol/ids.ts'
import { fnv1a32 } from '../protocol/partitioning.ts'
import { encodeToken, subjectsOf } from '../protocol/subjects.ts'
import { decodeValue, encodeValue, type Value } from '../protocol/values.ts'
import { Alarm } from './alarm.ts'
import { formatCommandId, isOwnId, type CommandId } from './command-id.ts'
import { Outbox } from './outbox.ts'
import { defaultOutstanding, Outstanding } from './outstanding.ts'
import { boundsBytes, errorOf, frameBytes, Pending, unsent, whatOf, type Address, type Waiter } from './pending.ts'
import { closedError, PlacementWatch } from './placement-watch.ts'
import { cursorOf, Positions } from './positions.ts'
import { Routing } from './routing.ts'
import type { Measured, RequestOptions, SessionOptions, SessionPorts } from './session-options.ts'
import { Signals } from './signals.ts'

const overloadedForMs = 100
/** Calls that wait for the answer to one command besides its first. */
const mostJoined = 256

export const addressOf = (type: string, key: string): Address => ({ type, key, hash: fnv1a32(encodeToken(key)) })

export class Session {
  readonly id: SessionId
  readonly timeoutMs: number
  readonly #ports: SessionPorts
  readonly #outstanding: Outstanding
  readonly #routing: Routing
  readonly #placement: PlacementWatch
  readonly #outbox: Outbox
  readonly #positions = new Positions()
  readonly #remembers: boolean
  readonly #alarm: Alarm
  readonly #signals = new Signals()
  readonly #refusals = new Refusals<'requests' | 'joined'>('client', ['requests', 'joined'])
  readonly #viewInbox: string
  readonly #subscriptions: readonly Subscription[]
  #sweptMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(ports: SessionPorts, options: SessionOptions) {
    const { cluster, timeoutMs = 10_000, attemptTimeoutMs = 1_000, maxOutstanding = defaultOutstanding } = options
    const { maxOutstandingBytes, near, remembers = true } = options
    const { transport } = ports
    const subjects = subjectsOf(cluster)
    const inbox = transport.inbox()
    this.#ports = ports
    this.id = sessionId(ports.random.id())
    this.timeoutMs = timeoutMs
    this.#viewInbox = `${inbox}.view`
    this.#alarm = new Alarm(ports.clock, () => this.#sweep())
    this.#outstanding = new Outstanding(maxOutstanding, maxOutstandingBytes)
    this.#routing = new Routing(subjects, near)
    this.#remembers = remembers
    this.#outbox = new Outbox(ports, {
      session: this.id,
      inbox,
      routing: this.#routing,
      outstanding: this.#outstanding,
      positions: this.#positions,
      alarm: this.#alarm,
      attemptTimeoutMs,
      onOverdue: (pending) => this.#timeOut(pending),
      onTooOld: (pending) => this.#stopRepeating(pending),
      onUnsendable: (pending, error) => this.#onUnsendable(pending, error as HoldfastError),
    })
    this.#subscriptions = [
      transport.subscribe(`${inbox}.*`, (message) => this.#onMessage(message)),
      transport.onStatus((status) => {
        if (status === 'connected') this.#onConnected()
      }),
    ]
    this.#placement = new PlacementWatch(ports, {
      subjects,
      routing: this.#routing,
      inbox: this.#viewInbox,
      onLearned: () => this.#onPlacement(),
    })
  }

  metrics(): readonly Metric[] {
    return [...this.#outstanding.metrics(), ...this.#outbox.metrics(), ...this.#refusals.metrics()]
  }

  /** Requests that have no answer yet. */
  get outstanding(): number {
    return this.#outstanding.size
  }

  /** Requests that may begin beside them. */
  get room(): number {
    return this.#outstanding.room
  }

  /** The count of partitions; 0 until the placement is known. */
  get partitions(): number {
    return this.#routing.partitions
  }

  /** All that this session has seen, for `after` of another one; `undefined` until the placement is known. */
  get cursor(): string | undefined {
    return this.partitions === 0 ? undefined : this.#positions.cursor(this.partitions)
  }

  /** Resolves once the placement is known; rejects with `INVALID` if the session is closed before. */
  whenPlaced(): Promise<void> {
    return this.#placement.known()
  }

  /** Takes in a placement view; a node may know one before it is broadcast. */
  learn(view: PlacementView): void {
    this.#placement.learn(view)
  }

  /**
   * Sends a request and resolves to its result: a command's or a query's value, `undefined` of a tell. A `call` is for the owner to find
   * out whether it is a command or a query; here it counts as a command, which may have happened. `input` must be a value.
   * Rejects with a `HoldfastError`.
   */
  request(
    kind: RequestKind,
    address: Address,
    name: string,
    input: unknown,
    options?: RequestOptions,
  ): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      this.#begin(kind, address, name, encodeValue(input), options, { resolve, reject })
    })
  }

  /** As `request` does, and tells what the result was made from. */
  measure(
    kind: RequestKind,
    address: Address,
    name: string,
    input: unknown,
    options?: RequestOptions,
  ): Promise<Measured<Value | undefined>> {
    return new Promise((resolve, reject) => {
      const measured: Waiter = {
        reject,
        resolve: (value, at, sentMs = 0) => {
          if (at === undefined) return reject(new HoldfastError('INTERNAL', `the reply to ${name} names no position`))
          const sinceMs = this.#nowMs() - sentMs
          resolve({ value, ageMs: sinceMs + (at.ageMs ?? 0), cursor: cursorOf(at) })
        },
      }
      this.#begin(kind, address, name, encodeValue(input), options, measured)
    })
  }

  /** Ends every outstanding request as A3 says, and releases everything. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const subscription of this.#subscriptions) subscription.close()
    this.#alarm.clear()
    this.#placement.close()
    for (const pending of this.#outstanding.all()) {
      this.#fail(pending, pending.unanswered('the client was closed', false))
    }
  }

  /** Throws where nothing is to be sent. */
  #begin(
    kind: RequestKind,
    address: Address,
    name: string,
    input: Uint8Array,
    options: RequestOptions | undefined,
    waiter: Waiter,
  ): void {
    if (this.#closed) throw closedError()
    const id = kind === 'query' ? undefined : options?.id
    if (options?.signal?.aborted === true) {
      throw unsent('RETRY', whatOf(kind, name, address), id, 'the call was aborted', { cause: options.signal.reason })
    }
    const earlier = id && this.#find(id)
    if (earlier !== undefined) return this.#join(earlier, kind, address, name, options, waiter)
    if (!this.#outstanding.hasRoom(kind, input.length)) {
      this.#refusals.count('requests')
      const why = `${this.outstanding} requests of this client have no answer yet, send fewer at a time`
      throw unsent('OVERLOADED', whatOf(kind, name, address), id, why, { retryAfterMs: overloadedForMs })
    }
    const { maxRequestBytes } = this.#outbox
    const idempotencyKey = kind === 'query' ? undefined : options?.idempotencyKey
    if (frameBytes(address, name, input, idempotencyKey) + boundsBytes > maxRequestBytes) {
      const message = `the input of ${name} has ${input.length} bytes, more than fit into a message of at most ${maxRequestBytes}`
      throw new HoldfastError('INVALID', message)
    }
    const timeoutMs = options?.timeoutMs ?? this.timeoutMs
    const nowMs = this.#nowMs()
    const session = id?.session ?? this.id
    const number = id?.number ?? this.#outstanding.number()
    const pending = new Pending(kind, session, number, address, name, input, nowMs, timeoutMs, waiter, idempotencyKey)
    if (options?.maxStalenessMs !== undefined || options?.after !== undefined) {
      pending.reading = { maxStalenessMs: options.maxStalenessMs, after: options.after }
    }
    if (id !== undefined) this.#repeat(pending, id, nowMs)
    const { tracer } = this.#ports
    if (tracer !== undefined) pending.span = tracer.call(pending, options?.traceparent)
    if (session === this.id) this.#outstanding.add(pending)
    else this.#outstanding.addForeign(formatCommandId(pending), pending)
    if (options?.signal !== undefined) this.#watchSignal(options.signal, pending, waiter)
    this.#alarm.set(pending.dueMs)
    this.#outbox.add(pending)
  }

  #repeat(pending: Pending, id: CommandId, nowMs: number): void {
    // A caller's own id stands for no earlier call that this session answered for.
    pending.repeated = !isOwnId(id)
    if (id.session !== this.id) return
    const firstSentMs = this.#outstanding.takeKept(id.number, nowMs)
    if (firstSentMs !== undefined) pending.firstSentMs = firstSentMs
    else {
      const reason = 'it has its answer, or its first attempt was more than 90 s ago and is no longer remembered'
      throw new HoldfastError('INVALID', `${formatCommandId(id)} cannot be repeated: ${reason}`)
    }
  }

  /** The same command is on its way: one more waits for its answer, until the later of both deadlines. */
  #join(
    pending: Pending,
    kind: RequestKind,
    address: Address,
    name: string,
    options: RequestOptions | undefined,
    waiter: Waiter,
  ): void {
    if (
      pending.kind !== kind ||
      pending.type !== address.type ||
      pending.key !== address.key ||
      pending.name !== name
    ) {
      const owner = `the ${whatOf(pending.kind, pending.name, pending)}`
      throw new HoldfastError('INVALID', `the id ${formatCommandId(pending)} is that of ${owner}: take another`)
    }
    if ((pending.joined?.length ?? 0) >= mostJoined) {
      this.#refusals.count('joined')
      const why = `${mostJoined} calls wait for the answer to ${formatCommandId(pending)} already`
      throw unsent('OVERLOADED', whatOf(kind, name, address), pending, why, { retryAfterMs: overloadedForMs })
    }
    ;(pending.joined ??= []).push(waiter)
    pending.extend(this.#nowMs() + (options?.timeoutMs ?? this.timeoutMs))
    if (options?.signal !== undefined) this.#watchSignal(options.signal, pending, waiter)
  }

  /** An abort ends the call with what is known then; the request itself, unless others wait for it. */
  #watchSignal(signal: AbortSignal, pending: Pending, waiter: Waiter): void {
    const abort = () => {
      const error = pending.unanswered('the call was aborted', false, signal.reason)
      if (pending.joined === undefined) this.#fail(pending, error)
      else waiter.reject(error)
    }
    const letGo = this.#signals.on(signal, abort)
    const { release } = pending
    pending.release = () => {
      release?.()
      letGo()
    }
  }

  /** Whole, as all due times are: a field that holds a fraction costs an allocation each time that it is set. */
  #nowMs(): number {
    return Math.floor(this.#ports.clock.monotonic())
  }

  #find(id: CommandId): Pending | undefined {
    return id.session === this.id ? this.#outstanding.get(id.number) : this.#outstanding.getForeign(formatCommandId(id))
  }

  #onMessage(message: Message): void {
    if (message.subject === this.#viewInbox) return this.#placement.onMessage(message)
    const number = this.#outbox.numberOf(message)
    const requests = this.#outbox.answered(number)
    if (message.noResponders) return this.#onNobody(requests, number)
    const { observer } = this.#ports
    let frame: ReplyFrame
    try {
      frame = decodeReplyFrame(message.data)
    } catch {
      return observer.emit({ type: 'message.dropped', subject: message.subject, reason: 'malformed' })
    }
    const { session, replies } = frame
    let seen: ReplyPosition | undefined
    for (const reply of replies) {
      const { number } = reply
      if (this.#remembers && reply.kind !== 'moved' && reply.at !== undefined && reply.at !== seen) {
        this.#positions.saw((seen = reply.at))
      }
      const pending = session === this.id ? this.#outstanding.get(number) : this.#find({ session, number })
      if (pending !== undefined) this.#onAnswer(pending, reply)
      else observer.emit({ type: 'message.dropped', subject: message.subject, reason: 'settled' })
    }
  }

  #onAnswer(pending: Pending, reply: Reply): void {
    if (reply.kind === 'value') return this.#succeed(pending, reply.value, reply.at)
    if (reply.kind === 'error') {
      const { error } = reply
      const meaning = pending.judge(error, reply.frame, reply.at)
      if (meaning === 'final') return this.#fail(pending, errorOf(error))
      if (this.#isOver(pending) || meaning === 'wait') return
      if (pending.atStandby) return this.#askOwner(pending)
      if (error.code === 'FENCED') this.#placement.ask()
      return this.#later(pending, error.retryAfterMs)
    }
    const { owner, epoch, frame } = reply
    if (owner !== null) this.#routing.moved(this.#routing.partitionOf(pending.hash), owner, epoch)
    if (!pending.ended(frame) || this.#isOver(pending) || frame !== pending.frame) return
    if (pending.atStandby) return this.#askOwner(pending)
    if (owner === null) {
      this.#placement.ask()
      return this.#later(pending)
    }
    pending.viaPartition = false
    if (++pending.hops > 1) this.#later(pending)
    else this.#outbox.add(pending)
  }

  /** Nobody listened where this frame went: none of its requests was received. */
  #onNobody(requests: readonly Pending[], frame: number): void {
    for (const pending of requests) {
      if (pending.state === 'settled' || !pending.ended(frame)) continue
      if (this.#isOver(pending) || frame !== pending.frame) continue
      if (pending.atStandby) {
        this.#routing.readers.silent(pending.subject, this.#nowMs())
        this.#askOwner(pending)
      } else if (pending.viaPartition) this.#later(pending)
      else {
        pending.viaPartition = true
        this.#outbox.add(pending)
      }
    }
    this.#placement.ask()
  }

  /** This attempt was none: one before may be done, and if not, the server may yet take more. */
  #onUnsendable(pending: Pending, error: HoldfastError): void {
    pending.ended(pending.frame)
    if (pending.refusedThroughout) this.#fail(pending, error)
    else this.#isOver(pending)
  }

  /** This was the last word on its attempts, of which one has failed (A5): it has ended. */
  #isOver(pending: Pending): boolean {
    const { lastWord } = pending
    if (lastWord === undefined) return false
    this.#fail(pending, lastWord)
    return true
  }

  /** The server did not let what was published there through: what was never sent elsewhere did nothing, and never will. */
  denied(subject: string, reason: string): void {
    for (const pending of this.#outstanding.all()) {
      if (pending.state !== 'sent' || pending.subject !== subject || !pending.ended(pending.frame)) continue
      if (pending.refusedThroughout) this.#fail(pending, new HoldfastError('INVALID', reason))
      else this.#isOver(pending)
    }
  }

  /** S6, of one that a standby has left. */
  #askOwner(pending: Pending): void {
    const { readers } = this.#routing
    readers.left(this.#routing.partitionOf(pending.hash), pending.subject, this.#nowMs())
    pending.ownersAlone = true
    this.#outbox.add(pending)
  }

  #later(pending: Pending, atLeastMs?: number): void {
    // It may be on its way again already, by another answer or a new placement.
    if (pending.state !== 'sent') return
    pending.backOff(this.#nowMs(), this.#ports.random.next(), atLeastMs)
    this.#alarm.set(pending.dueMs)
  }

  /** S4: whatever waits, or was sent elsewhere, goes to the owner that is known now. */
  #onPlacement(): void {
    for (const pending of this.#outstanding.all()) {
      pending.viaPartition = false
      if (pending.atStandby && pending.state === 'sent' && this.#standsBy(pending)) continue
      const { subject } = this.#routing.batchFor(pending.hash, false)
      if (pending.state !== 'sent' || pending.subject !== subject) this.#outbox.add(pending)
    }
  }

  #standsBy({ hash, subject }: Pending): boolean {
    return this.#routing.readers.has(this.#routing.partitionOf(hash), subject)
  }

  /** S3. */
  #onConnected(): void {
    this.#placement.ask(true)
    for (const pending of this.#outstanding.all()) this.#outbox.add(pending)
  }

  /** Looks for what is due, not more often than is cheap. */
  #sweep(): void {
    const nowMs = this.#nowMs()
    const gapMs = 2 + Math.floor(this.#outstanding.size / 2_048)
    const soonestMs = this.#sweptMs + gapMs
    if (nowMs < soonestMs) return this.#alarm.set(soonestMs)
    this.#sweptMs = nowMs
    let dueMs = Number.POSITIVE_INFINITY
    for (const pending of this.#outstanding.now()) {
      if (pending.state === 'settled') continue
      if (nowMs >= pending.deadlineMs) this.#timeOut(pending)
      else if (pending.dueMs > nowMs) dueMs = Math.min(dueMs, pending.dueMs)
      else {
        if (pending.state === 'sent') {
          if (pending.atStandby) {
            this.#routing.readers.silent(pending.subject, nowMs)
            pending.ownersAlone = true
          }
          pending.viaPartition = true
          this.#placement.ask()
        }
        this.#outbox.add(pending)
      }
    }
    if (dueMs < Number.POSITIVE_INFINITY) this.#alarm.set(Math.max(dueMs, nowMs + gapMs))
  }

  #stopRepeating(pending: Pending): void {
    if (pending.refusedThroughout) {
      return this.#fail(pending, pending.unanswered('it is too old to be sent again', true))
    }
    pending.state = 'sent'
    this.#alarm.set(pending.dueMs)
  }

  #timeOut(pending: Pending): void {
    let why = `${pending.deadlineMs - pending.startMs} ms have passed`
    if (!this.#ports.transport.connected) why += ' and there is no connection'
    else if (this.#routing.partitions === 0) why += ' and no node of the cluster has told who owns what'
    this.#fail(pending, pending.unanswered(why, true))
  }

  #succeed(pending: Pending, bytes: Uint8Array, at: ReplyPosition | undefined): void {
    let value: Value | undefined
    try {
      value = pending.kind === 'tell' ? undefined : decodeValue(bytes)
    } catch (cause) {
      const message = `the ${pending.kind} ${pending.name} was answered with what is no value: update this client or that node`
      return this.#fail(pending, new HoldfastError('INTERNAL', message, { cause }))
    }
    this.#settle(pending)
    pending.span?.end('OK', pending.attempts)
    pending.resolve(value, at, pending.firstSentMs)
    if (pending.joined !== undefined) {
      for (const waiter of pending.joined) waiter.resolve(value, at, pending.firstSentMs)
    }
  }

  #fail(pending: Pending, error: HoldfastError): void {
    this.#settle(pending)
    pending.span?.end(error.code, pending.attempts)
    if (error.code === 'UNKNOWN' && pending.session === this.id) {
      this.#outstanding.keep(pending.number, pending.firstSentMs)
    }
    pending.reject(error)
    if (pending.joined !== undefined) for (const waiter of pending.joined) waiter.reject(error)
  }

  #settle(pending: Pending): void {
    if (pending.session === this.id) this.#outstanding.remove(pending)
    else this.#outstanding.removeForeign(formatCommandId(pending), pending)
    pending.settle()
  }
}
