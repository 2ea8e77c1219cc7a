/**
 * Replies on their way out: all that one session is owed at the end of what runs now travels in one frame.
 *
 * Q1. A client gives each frame a reply subject of its own under its inbox, `<inbox>.<n>`, and takes replies on any of them: so what is
 *     owed to one session at one inbox goes out together, to the subject that was heard of last.
 * Q2. Replies go only to subjects under the cluster's inbox prefixes; whoever puts another subject into `reply` would have this node
 *     speak with its own permissions. `accepts` is the check, made before anything is done for the asker.
 * Q3. A reply that does not fit into a message, as its server takes fewer bytes than when the node began, is `INVALID`, and says that a command
 *     was done; those that would have travelled with it go out.
 */
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Transport } from '../ports/transport.ts'
import { encodeReplyFrame, maxErrorTextLength, maxRequestsInFrame, type Reply } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
import { isInbox } from '../protocol/subjects.ts'
import type { Answer } from './turn.ts'

/** `frame`: that the request came in. */
type Owed = Reply & { readonly frame: number }

/** What one session is owed at one inbox. */
export interface ReplyBatch {
  readonly session: SessionId
  subject: string
  replies: Owed[]
  bytes: number
}

/** Inboxes that are remembered; beyond it the oldest are forgotten, and later frames of theirs begin a batch of their own. */
const maxInboxes = 16_384

/** Bytes that a reply adds to its frame beside its value; of an error, beside its texts. */
const overheadBytes = 24
const errorBytes = 64
/** UTF-8 takes at most three bytes for each unit of a text. */
const bytesOfUnit = 3

export class ReplyBatches {
  readonly #transport: Transport
  readonly #observer: Observer
  readonly #prefixes: readonly string[]
  readonly #batches = new Map<string, ReplyBatch>()
  #owed: ReplyBatch[] = []
  #scheduled = false
  #closed = false

  /** `inboxPrefixes`: without the dot, e.g. `_INBOX`. */
  constructor(transport: Transport, observer: Observer, inboxPrefixes: readonly string[]) {
    this.#transport = transport
    this.#observer = observer
    this.#prefixes = inboxPrefixes
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_reply_inboxes', this.#batches.size, maxInboxes)]
  }

  /** Whether this node may answer there; says so to the observer if not. */
  accepts(reply: string | undefined, subject: string): reply is string {
    if (reply !== undefined && isInbox(reply, this.#prefixes)) return true
    this.#observer.emit({
      type: 'message.dropped',
      subject,
      reason: reply === undefined ? 'no-reply' : 'reply-subject',
    })
    return false
  }

  /** The batch for the replies to a frame. */
  batchFor(subject: string, session: SessionId): ReplyBatch {
    const name = `${subject.slice(0, subject.lastIndexOf('.'))} ${session}`
    let batch = this.#batches.get(name)
    if (batch === undefined) {
      batch = { session, subject, replies: [], bytes: 0 }
      this.#batches.set(name, batch)
      if (this.#batches.size > maxInboxes) this.#batches.delete(this.#batches.keys().next().value!)
    }
    batch.subject = subject
    return batch
  }

  /** The answer to a request, which came in that frame. */
  add(batch: ReplyBatch, number: number, frame: number, answer: Answer): void {
    if (this.#closed) return
    const reply: Owed =
      answer.kind === 'value'
        ? { number, frame, kind: 'value', value: answer.value, at: answer.at }
        : { number, frame, ...answer }
    const bytes = overheadBytes + weight(reply)
    if (batch.replies.length === 0) this.#owed.push(batch)
    else if (batch.bytes + bytes > this.#transport.maxPayload / 2 || batch.replies.length === maxRequestsInFrame) {
      this.#send(batch)
    }
    batch.replies.push(reply)
    batch.bytes += bytes
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.flush())
  }

  /** Sends what is owed now. */
  flush(): void {
    this.#scheduled = false
    const owed = this.#owed
    this.#owed = []
    for (const batch of owed) this.#send(batch)
  }

  /** After this nothing is sent. */
  close({ flush }: { readonly flush: boolean }): void {
    if (flush) this.flush()
    this.#closed = true
    this.#batches.clear()
    this.#owed = []
  }

  #send(batch: ReplyBatch): void {
    const { subject, session, replies } = batch
    if (this.#closed || replies.length === 0) return
    batch.replies = []
    batch.bytes = 0
    const { maxPayload } = this.#transport
    const frame = encodeReplyFrame({ session, replies })
    if (frame.length <= maxPayload) return this.#transport.publish(subject, frame)
    for (const reply of replies) {
      const { length } = encodeReplyFrame({ session, replies: [reply] })
      const sent = length <= maxPayload ? reply : tooLarge(reply, length, maxPayload)
      this.#transport.publish(subject, encodeReplyFrame({ session, replies: [sent] }))
    }
  }
}

/** Q3 */
function tooLarge({ number, frame }: Owed, bytes: number, maxPayload: number): Reply {
  const sizes = `the reply takes a message of ${bytes} bytes, and the NATS server takes ${maxPayload} now (max_payload)`
  const message = `${sizes}: raise that, or ask for less. If it answers a command, that is done`
  return { number, frame, kind: 'error', error: { code: 'INVALID', message } }
}

function weight(reply: Reply): number {
  if (reply.kind === 'value') return reply.value.length
  if (reply.kind === 'moved') return errorBytes
  const { message, path = '' } = reply.error
  const units = Math.min(message.length, maxErrorTextLength) + Math.min(path.length, maxErrorTextLength)
  return errorBytes + units * bytesOfUnit
}
