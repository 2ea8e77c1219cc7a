/**
 * Takes frames in and gives each request to the partition that its key belongs to.
 *
 * Y1. A frame that cannot be decoded, or whose reply subject is not an inbox, is dropped and counted: it is never half done.
 * Y2. The sender's count of partitions is checked (O6): routed by another count, everything is answered `moved`.
 * Y3. A session's name is `[A-Za-z0-9_-]{1,66}`, types and keys are what subjects can hold; else `INVALID`.
 */
import type { Observer } from '../ports/observer.ts'
import type { Message } from '../ports/transport.ts'
import { isHoldfastError, messageOf } from '../protocol/errors.ts'
import { decodeRequestFrame, type Request, type RequestFrame } from '../protocol/frames.ts'
import type { Epoch, PartitionId } from '../protocol/ids.ts'
import { partitionOf } from '../protocol/partitioning.ts'
import { checkName } from '../protocol/subjects.ts'
import type { Incoming } from './owner.ts'
import type { ReplyBatches } from './reply-batches.ts'
import type { Answer, Respond } from './turn.ts'

export interface DispatcherOptions {
  readonly partitions: number
  readonly replies: ReplyBatches
  readonly observer: Observer
  readonly submit: (partition: PartitionId, incoming: Incoming) => void
}

const sessionPattern = /^[A-Za-z0-9_-]{1,66}$/
const movedElsewhere: Answer = { kind: 'moved', owner: null, epoch: 0 as Epoch }

export class Dispatcher {
  readonly #options: DispatcherOptions

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  receive(message: Message): void {
    const { replies, observer, partitions, submit } = this.#options
    const { reply, subject } = message
    if (!replies.accepts(reply, subject)) return
    let frame: RequestFrame
    try {
      frame = decodeRequestFrame(message.data)
    } catch {
      observer.emit({ type: 'message.dropped', subject, reason: 'malformed' })
      return
    }
    const { session, low } = frame
    if (!sessionPattern.test(session)) {
      observer.emit({ type: 'message.dropped', subject, reason: 'malformed' })
      return
    }
    const batch = replies.batchFor(reply, session)
    for (const request of frame.requests) {
      const respond: Respond = (answer) => replies.add(batch, request.number, answer)
      const refusal = frame.partitions === partitions ? refuse(request) : movedElsewhere
      if (refusal !== undefined) respond(refusal)
      else submit(partitionOf(request.key, partitions), { session, low, request, respond })
    }
  }
}

function refuse({ type, key }: Request): Answer | undefined {
  try {
    checkName(type, 'type')
    checkName(key, 'key')
    return undefined
  } catch (error) {
    const code = isHoldfastError(error) ? error.code : 'INTERNAL'
    return { kind: 'error', error: { code, message: messageOf(error) } }
  }
}
