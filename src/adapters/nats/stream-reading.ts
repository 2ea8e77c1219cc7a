/**
 * Reading on in a stream (I1–I3, C6), by a consumer of its own that acknowledges nothing: ephemeral, in order, pulled. Over a long stretch it
 * is several times faster than asking for each message.
 *
 * D1. The consumer numbers what it delivers: a number that is missing is a message that was lost on its way, and ends the reading with
 *     `RETRY`. The server's heartbeat says the last number, so that the loss of the last message is noticed, too.
 *     What comes before `from` is passed over: asked to begin beyond the last message that it has itself, a server begins right behind that, and
 *     one that holds the consumer may not have all that was stored yet.
 * D2. One pull at a time, and the next one when little of what came has still to be read: the reader sets the pace. A consumer that says
 *     nothing at all for `silentMs`, though a pull is open, is gone.
 *     Each has an inbox of its own: what the server says behind its last message (`409 Batch Completed`) may come when the next one is under way,
 *     and is not meant for that.
 * D3. The consumer is deleted at the end; one that nobody deletes ends by itself. Where the stream has as many as it may, a reading that has an end
 *     is `INVALID`, as it is for who may not make any: what is stored can be read without one.
 * D4. What has an end (`to`) is there to be sent at once, and there may be a lot of it: all such readings of a connection pull from one budget
 *     (pull-budget.ts). Ahead of its reader one takes only what nobody else waits for; one whose reader has nothing left waits in line.
 * D5. A stored message is known by its reply subject, which the server writes; what the server says itself has none. Headers do not tell: whoever
 *     filled the stream wrote those, also with a status line, and servers store them unread.
 */
import type { Msg } from '@nats-io/transport-node'
import type { Timer } from '../../ports/clock.ts'
import type { Reading } from '../../ports/reading.ts'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { deliveryOf, nanosPerMs, type Delivery, type JetStream } from './jetstream.ts'
import type { Link } from './link.ts'
import { PullBudget, pullBytesFor } from './pull-budget.ts'

const pullMessages = 256
const pullMs = 10_000
/** D2: above either of them no other pull goes out. */
const unreadMessages = 128
const unreadBytes = 1024 * 1024
const heartbeatMs = 1_000
const silentMs = 4_000
/** A reader that pauses for longer has to begin anew. */
const longestPauseMs = 60_000

/** Of those that wait for what is stored later: mostly there is nothing to send. */
const unbounded = new PullBudget(Number.POSITIVE_INFINITY)
const utf8 = new TextEncoder()

export interface StreamReadingOptions<T> {
  readonly stream: string
  /** Only messages with such subjects. Default: all. */
  readonly filter?: string | undefined
  readonly from: number
  /**
   * The last that is wanted, which the stream has already (D4): behind it `next` gives `undefined`. `now`: what is stored, as far as the server
   * that holds the consumer has it. Default: there is no end.
   */
  readonly to?: number | 'now'
  /** What is given for a message. */
  readonly take: (message: Msg, delivery: Delivery) => T
}

interface Unread<T> {
  readonly value: T
  readonly bytes: number
}

export class StreamReading<T> implements Reading<T> {
  readonly #link: Link
  readonly #jetstream: JetStream
  readonly #options: StreamReadingOptions<T>
  readonly #inbox: string
  readonly #budget: PullBudget
  readonly #unread: Unread<T>[] = []
  readonly #subscriptions: Subscription[]
  #consumer: string | undefined
  #creating: Promise<void> | undefined
  #pullBytes: number
  /** Of the open pull: messages still to come, and bytes of the budget; both 0 where none is open. */
  #outstanding = 0
  #taken = 0
  #unreadBytes = 0
  #delivered = 0
  #deliveredBeforePull = 0
  #pulls = 0
  /** Of the next message at the earliest. */
  #nextSeq: number
  /** Nothing more was stored when the last message was sent. */
  #exhausted = false
  #heardAtMs = 0
  #look: Timer | undefined
  #failure: HoldfastError | undefined
  #closed = false
  #wake: (() => void) | undefined

  constructor(link: Link, jetstream: JetStream, options: StreamReadingOptions<T>) {
    this.#link = link
    this.#jetstream = jetstream
    this.#options = options
    this.#inbox = `${link.inboxRoot}.reading.${link.parts.random.id()}`
    this.#budget = options.to === undefined ? unbounded : link.pullBudget
    this.#pullBytes = pullBytesFor(link.maxPayload)
    this.#nextSeq = options.from
    this.#subscriptions = [
      link.subscribe(`${this.#inbox}.*`, (message) => this.#receive(message)),
      link.listen({ down: () => this.#fail('the connection to NATS broke') }),
    ]
  }

  async next(): Promise<T | undefined> {
    await (this.#creating ??= this.#create())
    while (!this.#closed) {
      const message = this.#unread.shift()
      if (message !== undefined) this.#unreadBytes -= message.bytes
      if (this.#mayPull && this.#budget.tryTake(this.#pullBytes)) this.#pull()
      if (message !== undefined) return message.value
      if (this.#failure !== undefined) throw this.#failure
      if (this.#wanted === 0) return undefined
      if (this.#outstanding > 0) await new Promise<void>((resolve) => (this.#wake = resolve))
      else await this.#pullInTurn()
    }
    return undefined
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#pullIsOver()
    for (const subscription of this.#subscriptions) subscription.close()
    this.#deleteConsumer()
    this.#wake?.()
  }

  async #create(): Promise<void> {
    const { stream, filter, from, to } = this.#options
    const config = {
      deliver_policy: 'by_start_sequence',
      opt_start_seq: from,
      inactive_threshold: longestPauseMs * nanosPerMs,
      ...(filter === undefined ? {} : { filter_subject: filter }),
    }
    const ifFull = to === undefined ? 'RETRY' : 'INVALID'
    const { name, pending } = await this.#jetstream.createConsumer(stream, config, ifFull)
    this.#consumer = name
    this.#exhausted = pending === 0
    if (this.#closed) this.#deleteConsumer()
  }

  #deleteConsumer(): void {
    if (this.#consumer !== undefined) this.#jetstream.deleteConsumer(this.#options.stream, this.#consumer)
  }

  get #mayPull(): boolean {
    if (this.#outstanding > 0 || this.#failure !== undefined || this.#wanted === 0) return false
    return this.#unread.length <= unreadMessages && this.#unreadBytes <= unreadBytes
  }

  get #wanted(): number {
    const { to = Number.POSITIVE_INFINITY } = this.#options
    if (to === 'now') return this.#exhausted ? 0 : pullMessages
    return Math.max(0, Math.min(pullMessages, to - this.#nextSeq + 1))
  }

  async #pullInTurn(): Promise<void> {
    const bytes = this.#pullBytes
    await this.#budget.take(bytes)
    if (this.#mayPull && !this.#closed) this.#pull()
    else this.#budget.giveBack(bytes)
  }

  /** Its bytes have been taken. */
  #pull(): void {
    this.#taken = this.#pullBytes
    const waiting = { expires: pullMs * nanosPerMs, idle_heartbeat: heartbeatMs * nanosPerMs }
    const body = {
      batch: this.#wanted,
      max_bytes: this.#pullBytes,
      // What is deleted while it is read never comes.
      ...(this.#options.to === 'now' ? { no_wait: true } : waiting),
    }
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#options.stream}.${this.#consumer}`
    this.#pulls++
    if (!this.#link.send(subject, utf8.encode(JSON.stringify(body)), this.#pullInbox)) {
      return this.#fail('there is no connection to NATS now')
    }
    this.#outstanding = body.batch
    this.#deliveredBeforePull = this.#delivered
    this.#heardAtMs = this.#link.parts.clock.monotonic()
    this.#lookLater()
  }

  /** Of the last pull. */
  get #pullInbox(): string {
    return `${this.#inbox}.${this.#pulls}`
  }

  #pullIsOver(): void {
    this.#outstanding = 0
    this.#link.parts.clock.clearTimeout(this.#look)
    if (this.#taken > 0) this.#budget.giveBack(this.#taken)
    this.#taken = 0
  }

  /** D2 */
  #lookLater(): void {
    const { clock } = this.#link.parts
    this.#look = clock.setTimeout(() => {
      if (clock.monotonic() - this.#heardAtMs >= silentMs) this.#fail('its consumer says nothing any more')
      else this.#lookLater()
    }, silentMs)
  }

  #receive(message: Msg): void {
    if (this.#closed || this.#failure !== undefined) return
    this.#heardAtMs = this.#link.parts.clock.monotonic()
    if (message.reply) this.#take(message)
    else this.#hear(message)
    this.#wake?.()
  }

  /** The server's own word (D5). */
  #hear(message: Msg): void {
    const code = message.headers?.code ?? 0
    if (code === 100) this.#onHeartbeat(message)
    else if (message.subject === this.#pullInbox) this.#endPull(message, code)
  }

  #take(message: Msg): void {
    const delivery = deliveryOf(message.reply)
    if (delivery?.delivered !== this.#delivered + 1) return this.#fail('a message was lost on its way')
    this.#delivered++
    this.#exhausted = delivery.pending === 0
    if (delivery.seq >= this.#nextSeq) {
      this.#nextSeq = delivery.seq + 1
      const bytes = message.data.length
      this.#unread.push({ value: this.#options.take(message, delivery), bytes })
      this.#unreadBytes += bytes
    }
    if (--this.#outstanding === 0 || this.#wanted === 0) this.#pullIsOver()
  }

  #onHeartbeat(message: Msg): void {
    const delivered = Number(message.headers?.get('Nats-Last-Consumer') || Number.NaN)
    if (delivered > this.#delivered) this.#fail('a message was lost on its way')
  }

  /** The server ends a pull at its bound in bytes or time, and says how much of it is left. */
  #endPull(message: Msg, code: number): void {
    const isAll = this.#options.to === 'now' && (this.#exhausted || code === 404 || code === 408)
    if (isAll) {
      this.#exhausted = true
      return this.#pullIsOver()
    }
    const description = message.headers?.description ?? ''
    const left = Number(message.headers?.get('Nats-Pending-Messages') || Number.NaN)
    const full = code === 409 && /maxbytes|batch completed/i.test(description)
    if (!(full || code === 408) || !Number.isSafeInteger(left)) {
      return this.#fail(`its consumer ended: ${description} (${code})`)
    }
    if (left !== this.#outstanding) return this.#fail('a message was lost on its way')
    // The next message is larger: of a time when the server took such ones.
    if (full && this.#delivered === this.#deliveredBeforePull) this.#pullBytes *= 2
    this.#pullIsOver()
  }

  #fail(reason: string): void {
    this.#failure ??= new HoldfastError(
      'RETRY',
      `reading ${this.#options.stream} was interrupted (${reason}): read on behind the last message`,
    )
    this.#pullIsOver()
    this.#wake?.()
  }
}
