/**
 * Replies on their way out: all that one session is owed in one tick travels in one frame.
 *
 * Replies go only to subjects under the cluster's inbox prefix; whoever puts another subject into `reply` would have this node speak
 * with its own permissions. `accepts` is the check, made before anything is done for the asker.
 */
import type { Clock } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Transport } from '../ports/transport.ts'
import { encodeReplyFrame, type Reply } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'

interface Batch {
  readonly subject: string
  readonly session: SessionId
  replies: Reply[]
  bytes: number
}

/** Bytes that a reply adds to its frame beside its value. */
const overheadBytes = 24

export class ReplyBatches {
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #observer: Observer
  readonly #prefix: string
  #batches = new Map<string, Batch>()
  #scheduled = false
  #closed = false

  /** `inboxPrefix`: without the dot, e.g. `_INBOX`. */
  constructor(transport: Transport, clock: Clock, observer: Observer, inboxPrefix: string) {
    this.#transport = transport
    this.#clock = clock
    this.#observer = observer
    this.#prefix = `${inboxPrefix}.`
  }

  /** Whether this node may answer there; says so to the observer if not. */
  accepts(reply: string | undefined, subject: string): reply is string {
    if (reply?.startsWith(this.#prefix) === true) return true
    this.#observer.emit({ type: 'message.dropped', subject, reason: reply === undefined ? 'no-reply' : 'reply-subject' })
    return false
  }

  add(subject: string, session: SessionId, reply: Reply): void {
    if (this.#closed) return
    const name = `${subject} ${session}`
    let batch = this.#batches.get(name)
    if (batch === undefined) {
      batch = { subject, session, replies: [], bytes: 0 }
      this.#batches.set(name, batch)
    }
    const bytes = overheadBytes + (reply.kind === 'value' ? reply.value.length : 512)
    if (batch.replies.length > 0 && batch.bytes + bytes > this.#transport.maxPayload / 2) this.#send(batch)
    batch.replies.push(reply)
    batch.bytes += bytes
    if (this.#scheduled) return
    this.#scheduled = true
    this.#clock.defer(() => this.flush())
  }

  /** Sends what is owed now. */
  flush(): void {
    this.#scheduled = false
    const batches = this.#batches
    this.#batches = new Map()
    for (const batch of batches.values()) this.#send(batch)
  }

  /** After this nothing is sent. */
  close({ flush }: { readonly flush: boolean }): void {
    if (flush) this.flush()
    this.#closed = true
    this.#batches.clear()
  }

  #send(batch: Batch): void {
    if (this.#closed) return
    this.#transport.publish(batch.subject, encodeReplyFrame(batch))
    batch.replies = []
    batch.bytes = 0
  }
}
