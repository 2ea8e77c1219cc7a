/**
 * Reading on in a stream (I1–I3, C6), by a consumer of its own that acknowledges nothing: ephemeral, in order, pulled.
 *
 * D1. The consumer numbers what it delivers: a number that is missing is a message that was lost on its way, and ends the reading with
 *     `RETRY`. The server's heartbeat says the last number, so that the loss of the last message is noticed, too.
 * D2. One pull at a time, and the next one when half of what came has been read. A consumer that says nothing at all for `silentMs`, though a
 *     pull is open, is gone.
 * D3. The consumer is deleted at the end; one that nobody deletes ends by itself.
 */
import type { Msg } from '@nats-io/transport-node'
import type { Timer } from '../../ports/clock.ts'
import type { Reading } from '../../ports/reading.ts'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { deliveryOf, type Delivery, type JetStream } from './jetstream.ts'
import type { Link } from './link.ts'

const pullMessages = 256
const pullBytes = 4 * 1024 * 1024
const pullMs = 10_000
const heartbeatMs = 1_000
const silentMs = 4_000
/** A reader that pauses for longer has to begin anew. */
const longestPauseMs = 60_000
const nanosPerMs = 1_000_000

const utf8 = new TextEncoder()

export interface StreamReadingOptions<T> {
  readonly stream: string
  /** Only messages with such subjects. Default: all. */
  readonly filter?: string | undefined
  readonly from: number
  /** What is given for a message. */
  readonly take: (message: Msg, delivery: Delivery) => T
}

export class StreamReading<T> implements Reading<T> {
  readonly #link: Link
  readonly #jetstream: JetStream
  readonly #options: StreamReadingOptions<T>
  readonly #inbox: string
  readonly #messages: T[] = []
  readonly #subscriptions: Subscription[]
  #consumer: string | undefined
  #creating: Promise<void> | undefined
  /** Of the open pull: still to come. */
  #outstanding = 0
  #delivered = 0
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
    this.#subscriptions = [
      link.subscribe(this.#inbox, (message) => this.#receive(message)),
      link.listen({ down: () => this.#fail('the connection to NATS broke') }),
    ]
  }

  async next(): Promise<T | undefined> {
    await (this.#creating ??= this.#create())
    while (!this.#closed) {
      const message = this.#messages.shift()
      if (this.#failure === undefined && 2 * this.#messages.length <= pullMessages) this.#pull()
      if (message !== undefined) return message
      if (this.#failure !== undefined) throw this.#failure
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return undefined
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const subscription of this.#subscriptions) subscription.close()
    this.#link.parts.clock.clearTimeout(this.#look)
    this.#deleteConsumer()
    this.#wake?.()
  }

  async #create(): Promise<void> {
    const { stream, filter, from } = this.#options
    this.#consumer = await this.#jetstream.createConsumer(stream, {
      deliver_policy: 'by_start_sequence',
      opt_start_seq: from,
      inactive_threshold: longestPauseMs * nanosPerMs,
      ...(filter === undefined ? {} : { filter_subject: filter }),
    })
    if (this.#closed) this.#deleteConsumer()
  }

  #deleteConsumer(): void {
    if (this.#consumer !== undefined) this.#jetstream.deleteConsumer(this.#options.stream, this.#consumer)
  }

  #pull(): void {
    if (this.#outstanding > 0) return
    const body = {
      batch: pullMessages,
      max_bytes: Math.max(pullBytes, 2 * this.#link.maxPayload),
      expires: pullMs * nanosPerMs,
      idle_heartbeat: heartbeatMs * nanosPerMs,
    }
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#options.stream}.${this.#consumer}`
    if (!this.#link.send(subject, utf8.encode(JSON.stringify(body)), this.#inbox)) {
      return this.#fail('there is no connection to NATS now')
    }
    this.#outstanding = pullMessages
    this.#heardAtMs = this.#link.parts.clock.monotonic()
    this.#lookLater()
  }

  /** D2 */
  #lookLater(): void {
    const { clock } = this.#link.parts
    clock.clearTimeout(this.#look)
    this.#look = clock.setTimeout(() => {
      if (this.#outstanding === 0) return
      if (clock.monotonic() - this.#heardAtMs >= silentMs) this.#fail('its consumer says nothing any more')
      else this.#lookLater()
    }, silentMs)
  }

  #receive(message: Msg): void {
    if (this.#closed || this.#failure !== undefined) return
    this.#heardAtMs = this.#link.parts.clock.monotonic()
    const code = message.headers?.code ?? 0
    if (code === 0) this.#take(message)
    else if (code === 100) this.#onHeartbeat(message)
    else this.#endPull(message, code)
    this.#wake?.()
  }

  #take(message: Msg): void {
    const delivery = deliveryOf(message.reply)
    if (delivery?.delivered !== this.#delivered + 1) return this.#fail('a message was lost on its way')
    this.#delivered++
    this.#outstanding--
    this.#messages.push(this.#options.take(message, delivery))
  }

  #onHeartbeat(message: Msg): void {
    const delivered = Number(message.headers?.get('Nats-Last-Consumer') || Number.NaN)
    if (delivered > this.#delivered) this.#fail('a message was lost on its way')
  }

  /** The server ends a pull at its bound in bytes or time, and says how much of it is left. */
  #endPull(message: Msg, code: number): void {
    const description = message.headers?.description ?? ''
    const left = Number(message.headers?.get('Nats-Pending-Messages') || Number.NaN)
    const atItsBound = code === 408 || (code === 409 && /maxbytes|batch completed/i.test(description))
    if (!atItsBound || !Number.isSafeInteger(left)) return this.#fail(`its consumer ended: ${description} (${code})`)
    if (left !== this.#outstanding) return this.#fail('a message was lost on its way')
    this.#outstanding = 0
  }

  #fail(reason: string): void {
    this.#failure ??= new HoldfastError(
      'RETRY',
      `reading ${this.#options.stream} was interrupted (${reason}): read on behind the last message`,
    )
    this.#wake?.()
  }
}
