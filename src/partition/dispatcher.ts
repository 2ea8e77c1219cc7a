/**
 * Takes frames in and gives each request to the partition that its key belongs to.
 *
 * Y1. A frame that cannot be decoded, or whose reply subject is not an inbox, is dropped and counted: it is never half done.
 * Y2. The sender's count of partitions is checked (O6): routed by another count, everything is answered `moved`.
 * Y3. A session's name is `[A-Za-z0-9_-]{1,66}`, types and keys are what subjects can hold; else `INVALID`.
 */
import type { Observer } from '../ports/observer.ts'
import type { Outcome, Tracer, TurnSpan } from '../ports/tracer.ts'
import type { Message } from '../ports/transport.ts'
import { isHoldfastError, messageOf } from '../protocol/errors.ts'
import { decodeRequestFrame, type Request, type RequestFrame } from '../protocol/frames.ts'
import type { Epoch, PartitionId, SessionId } from '../protocol/ids.ts'
import { partitionOf, partitionOfPlain } from '../protocol/partitioning.ts'
import { checkName, headerNames } from '../protocol/subjects.ts'
import { decodeTraces } from '../protocol/traces.ts'
import type { Incoming } from './owner.ts'
import type { ReplyBatch, ReplyBatches } from './reply-batches.ts'
import type { Answer } from './turn.ts'

export interface DispatcherOptions {
  readonly partitions: number
  readonly replies: ReplyBatches
  readonly observer: Observer
  /** Default: nobody collects spans. */
  readonly tracer?: Tracer | undefined
  readonly submit: (partition: PartitionId, incoming: Incoming) => void
}

const sessionPattern = /^[A-Za-z0-9_-]{1,66}$/
const movedElsewhere: Answer = { kind: 'moved', owner: null, epoch: 0 as Epoch }

export class Dispatcher {
  readonly #options: DispatcherOptions
  /** Of the last request: most are of the same. */
  #goodType = ''

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  receive(message: Message): void {
    const { replies, observer, partitions, submit, tracer } = this.#options
    const { reply, subject } = message
    if (!replies.accepts(reply, subject)) return
    let frame: RequestFrame
    try {
      frame = decodeRequestFrame(message.data)
    } catch {
      observer.emit({ type: 'message.dropped', subject, reason: 'malformed' })
      return
    }
    const { session } = frame
    if (!sessionPattern.test(session)) {
      observer.emit({ type: 'message.dropped', subject, reason: 'malformed' })
      return
    }
    const batch = replies.batchFor(reply, session)
    const spans = tracer === undefined ? undefined : new FrameSpans(tracer, message, frame)
    for (const request of frame.requests) {
      const incoming = new FramedRequest(replies, batch, frame, request)
      if (frame.partitions !== partitions) incoming.respond(movedElsewhere)
      else {
        const partition = this.#partitionOf(request)
        if (typeof partition === 'number') {
          if (spans !== undefined) incoming.span = spans.begin(request, partition)
          submit(partition, incoming)
        } else incoming.respond(partition)
      }
    }
  }

  /** Its partition, or what is wrong with its names (Y3). */
  #partitionOf({ type, key }: Request): PartitionId | Answer {
    const { partitions } = this.#options
    try {
      if (type !== this.#goodType) {
        checkName(type, 'type')
        this.#goodType = type
      }
      const plain = partitionOfPlain(key, partitions)
      if (plain !== undefined) return plain
      checkName(key, 'key')
      return partitionOf(key, partitions)
    } catch (error) {
      const code = isHoldfastError(error) ? error.code : 'INTERNAL'
      return { kind: 'error', error: { code, message: messageOf(error) } }
    }
  }
}

/** A request of a frame: its answer goes with the others that its client is owed. */
class FramedRequest implements Incoming {
  readonly session: SessionId
  readonly low: number
  readonly request: Request
  span: TurnSpan | undefined = undefined
  readonly #replies: ReplyBatches
  readonly #batch: ReplyBatch
  readonly #frame: number

  constructor(replies: ReplyBatches, batch: ReplyBatch, { session, low, frame }: RequestFrame, request: Request) {
    this.session = session
    this.low = low
    this.request = request
    this.#replies = replies
    this.#batch = batch
    this.#frame = frame
  }

  respond(answer: Answer): void {
    this.span?.end(outcomeOf(answer))
    this.#replies.add(this.#batch, this.request.number, this.#frame, answer)
  }
}

/** The spans of a frame's requests: those that its client records, or all where it does not say (A2 of protocol/traces.ts). */
class FrameSpans {
  readonly #tracer: Tracer
  readonly #requests: readonly Request[]
  readonly #traces: ReadonlyMap<number, string> | undefined
  #next = 0

  constructor(tracer: Tracer, { headers }: Message, { requests }: RequestFrame) {
    const header = headers?.[headerNames.traces]
    this.#tracer = tracer
    this.#requests = requests
    this.#traces = header === undefined ? undefined : decodeTraces(header, requests.length)
  }

  /** In the order of the requests, of which some may be left out. */
  begin(request: Request, partition: PartitionId): TurnSpan | undefined {
    while (this.#requests[this.#next] !== request) this.#next++
    const parent = this.#traces?.get(this.#next)
    if (this.#traces !== undefined && parent === undefined) return undefined
    return this.#tracer.turn(request, partition, parent)
  }
}

const outcomeOf = (answer: Answer): Outcome =>
  answer.kind === 'value' ? 'OK' : answer.kind === 'moved' ? 'MOVED' : answer.error.code
