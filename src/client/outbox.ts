/**
 * The way out of a session: requests of one tick leave together, one frame for each node.
 *
 * O1. Each frame has a reply subject of its own, `<inbox>.<number>`, so that "no responders" names the frame that it is about.
 * O2. While there is no connection or no placement a request is held: it is not sent, and does not count as sent.
 * O3. A request that is past its deadline, or whose id is too old to be repeated, is handed back instead of sent.
 * O4. What may go to standbys takes another way with each tick, and has less time for its attempt there: the owner is still to be asked.
 * O5. A request that cannot be written into a frame, or is larger than the server takes by now, is handed back, and those beside it leave
 *     without it: a node refuses frames as a whole.
 */
import type { Metric } from '../ports/metrics.ts'
import type { Message } from '../ports/transport.ts'
import { encodeRequestFrame } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
import { headerNames } from '../protocol/subjects.ts'
import { encodeTraces, traceBytes } from '../protocol/traces.ts'
import type { Alarm } from './alarm.ts'
import { frameHeadBytes, type Batch } from './batch.ts'
import type { Outstanding } from './outstanding.ts'
import { boundsBytes, frameBytes, type Pending } from './pending.ts'
import type { Positions } from './positions.ts'
import type { Routing } from './routing.ts'
import { SentFrames } from './sent-frames.ts'
import type { SessionPorts } from './session-options.ts'

export interface OutboxOptions {
  readonly session: SessionId
  readonly inbox: string
  readonly routing: Routing
  readonly outstanding: Outstanding
  readonly positions: Positions
  /** Is set to when something is due of what was sent or held. */
  readonly alarm: Alarm
  readonly attemptTimeoutMs: number
  /** O3. */
  readonly onOverdue: (pending: Pending) => void
  readonly onTooOld: (pending: Pending) => void
  /** O5. */
  readonly onUnsendable: (pending: Pending, error: unknown) => void
}

export class Outbox {
  readonly #ports: SessionPorts
  readonly #options: OutboxOptions
  readonly #frames = new SentFrames()
  readonly #flush = () => this.#sendAll()
  #queue: Pending[] = []
  #flushing = false
  /** O4 */
  #turn = 0

  constructor(ports: SessionPorts, options: OutboxOptions) {
    this.#ports = ports
    this.#options = options
  }

  metrics(): readonly Metric[] {
    return this.#frames.metrics()
  }

  /** Bytes that one request may take in a frame. */
  get maxRequestBytes(): number {
    return this.#maxFrameBytes - frameHeadBytes
  }

  /** As the server has it now: another one, or the same with other settings, may take less than it did. */
  get #maxFrameBytes(): number {
    return Math.floor(this.#ports.transport.maxPayload / 2)
  }

  /** Sends it with all others of this tick. */
  add(pending: Pending): void {
    if (pending.state === 'queued') return
    pending.state = 'queued'
    this.#queue.push(pending)
    if (this.#flushing) return
    this.#flushing = true
    this.#ports.clock.defer(this.#flush)
  }

  /** The frame whose reply subject a message came to. */
  numberOf(message: Message): number {
    return Number(message.subject.slice(this.#options.inbox.length + 1))
  }

  /** The requests of that frame, if they are still remembered: the first answer takes them. */
  answered(number: number): readonly Pending[] {
    return this.#frames.take(number)
  }

  #sendAll(): void {
    this.#flushing = false
    const queue = this.#queue
    this.#queue = []
    const { routing, alarm, onOverdue, onTooOld } = this.#options
    const sendable = this.#ports.transport.connected && routing.partitions > 0
    const nowMs = Math.floor(this.#ports.clock.monotonic())
    const filled: Batch[] = []
    const maxBytes = this.#maxFrameBytes
    this.#turn++
    for (const pending of queue) {
      if (pending.state !== 'queued') continue
      pending.dueMs = pending.deadlineMs
      if (nowMs >= pending.deadlineMs) onOverdue(pending)
      else if (!sendable) {
        pending.state = 'held'
        alarm.set(pending.dueMs)
      } else if (pending.tooOld(nowMs)) onTooOld(pending)
      else this.#put(pending, filled, maxBytes, nowMs)
    }
    for (const batch of filled) if (!batch.isEmpty) this.#send(batch, nowMs)
  }

  #put(pending: Pending, filled: Batch[], maxBytes: number, nowMs: number): void {
    const batch = this.#batchFor(pending, nowMs)
    let bytes = frameBytes(pending, pending.name, pending.input, pending.idempotencyKey)
    if (pending.span !== undefined) bytes += traceBytes
    if (pending.bounds !== undefined) bytes += boundsBytes
    // A frame is one session's: a command of another one travels alone.
    const alone = pending.session !== this.#options.session
    if (!batch.isEmpty && (alone || !batch.fits(bytes, maxBytes))) this.#send(batch, nowMs)
    if (batch.isEmpty) filled.push(batch)
    batch.push(pending, bytes)
    if (alone) this.#send(batch, nowMs)
  }

  #batchFor(pending: Pending, nowMs: number): Batch {
    const { routing, positions } = this.#options
    const { kind, hash, reading } = pending
    const owner = routing.batchFor(hash, pending.viaPartition)
    if (kind === 'command' || kind === 'tell') return owner
    const partition = routing.partitionOf(hash)
    pending.bounds = positions.bounds(partition, reading?.maxStalenessMs, reading?.after)
    const batch = pending.mayBeStale ? routing.readerFor(hash, this.#turn, nowMs) : owner
    pending.atStandby = batch !== owner
    return batch
  }

  #send(batch: Batch, nowMs: number): void {
    const { alarm, attemptTimeoutMs } = this.#options
    const requests = batch.take()
    let dueMs = Number.POSITIVE_INFINITY
    for (const pending of requests) {
      pending.sentAt(nowMs, batch, pending.atStandby ? attemptTimeoutMs / 2 : attemptTimeoutMs)
      if (pending.dueMs < dueMs) dueMs = pending.dueMs
      if (pending.attempts > 1) pending.span?.attempt(pending.attempts)
    }
    alarm.set(dueMs)
    this.#sendFrame(batch.subject, requests, nowMs)
  }

  /** O5 */
  #sendFrame(subject: string, requests: readonly Pending[], nowMs: number): void {
    try {
      this.#publish(subject, requests, nowMs)
    } catch (error) {
      const [first] = requests as readonly [Pending]
      if (requests.length === 1) return this.#options.onUnsendable(first, error)
      for (const pending of requests) this.#sendFrame(subject, [pending], nowMs)
    }
  }

  #publish(subject: string, requests: readonly Pending[], nowMs: number): void {
    const { routing, outstanding, inbox } = this.#options
    const { session } = requests[0]!
    // Of another session nobody here knows what it has settled.
    const low = session === this.#options.session ? outstanding.low(nowMs) : 0
    const number = this.#frames.add(requests)
    for (const pending of requests) pending.frame = number
    const frame = encodeRequestFrame({ partitions: routing.partitions, session, low, frame: number, requests })
    const reply = `${inbox}.${number}`
    const { transport, tracer } = this.#ports
    if (tracer === undefined) return transport.publish(subject, frame, { reply })
    const traces = encodeTraces(requests.map(({ span }) => span?.traceparent))
    transport.publish(subject, frame, { reply, headers: { [headerNames.traces]: traces } })
  }
}
