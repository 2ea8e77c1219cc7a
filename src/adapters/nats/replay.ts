/**
 * A long stretch of a stream, by a consumer of its own: several times faster than asking for each record.
 *
 * D1. It ends at its last sequence, which the stream has, and nowhere else: a lost message, a broken link, a consumer that is
 *     gone or that says nothing for too long throw `RETRY`. That nothing is pending means nothing.
 * D2. What was asked for and what waits here to be read is bounded in records and in bytes: the reader sets the pace.
 * D3. The consumer is deleted at the end; one that nobody deletes ends by itself.
 */
import type { Msg } from '@nats-io/transport-node'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Seq } from '../../protocol/ids.ts'
import type { LogEntry } from '../../protocol/log.ts'
import { plainBytes } from './bytes.ts'
import { deliveryOf, type JetStream } from './jetstream.ts'
import type { Link } from './link.ts'

/** Records of one pull; the next one goes out when so few are still to come or to be read. */
const pullRecords = 256
/** Bytes of one pull, and those above which no other goes out. */
const pullBytes = 4 * 1024 * 1024
/** A reader that pauses for longer has to begin anew. */
const longestPauseMs = 60_000
const nanosPerMs = 1_000_000

const utf8 = new TextEncoder()

export class Replay {
  readonly #link: Link
  readonly #jetstream: JetStream
  readonly #stream: string
  readonly #inbox: string
  readonly #entries: LogEntry[] = []
  #consumer = ''
  /** Asked for, and not yet here. */
  #outstanding = 0
  #unreadBytes = 0
  #delivered = 0
  #deliveredBeforePause = 0
  #failure: HoldfastError | undefined
  #wake: (() => void) | undefined

  constructor(link: Link, jetstream: JetStream, stream: string) {
    this.#link = link
    this.#jetstream = jetstream
    this.#stream = stream
    this.#inbox = `${link.inboxRoot}.replay.${link.parts.random.id()}`
  }

  /** What the stream has from `from` to `to`, which must be there. */
  async *entries(from: number, to: number): AsyncGenerator<LogEntry> {
    const subscriptions: Subscription[] = [
      this.#link.subscribe(this.#inbox, (message) => this.#receive(message)),
      this.#link.listen({ down: () => this.#fail('the connection to NATS broke') }),
    ]
    try {
      this.#consumer = await this.#jetstream.createConsumer(this.#stream, {
        deliver_policy: 'by_start_sequence',
        opt_start_seq: from,
        inactive_threshold: longestPauseMs * nanosPerMs,
      })
      let last = from - 1
      while (last < to) {
        const entry = await this.#next(to - last)
        last = entry.seq
        if (last <= to) yield entry
      }
    } finally {
      for (const subscription of subscriptions) subscription.close()
      if (this.#consumer !== '') this.#jetstream.deleteConsumer(this.#stream, this.#consumer)
    }
  }

  async #next(remaining: number): Promise<LogEntry> {
    const { clock } = this.#link.parts
    while (true) {
      this.#pull(remaining)
      const entry = this.#entries.shift()
      if (entry !== undefined) {
        this.#unreadBytes -= entry.record.length
        return entry
      }
      if (this.#failure !== undefined) throw this.#failure
      const timer = clock.setTimeout(() => this.#fail('no record came'), 2 * this.#patienceMs)
      await new Promise<void>((resolve) => (this.#wake = resolve))
      clock.clearTimeout(timer)
    }
  }

  #pull(remaining: number): void {
    const ahead = this.#outstanding + this.#entries.length
    if (ahead > pullRecords || ahead >= remaining || this.#unreadBytes > pullBytes) return
    const asked = Math.min(pullRecords, remaining - ahead)
    const body = {
      batch: asked,
      max_bytes: Math.max(pullBytes, 2 * this.#link.maxPayload),
      expires: this.#patienceMs * nanosPerMs,
    }
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${this.#consumer}`
    if (!this.#link.send(subject, utf8.encode(JSON.stringify(body)), this.#inbox)) {
      return this.#fail('there is no connection to NATS now')
    }
    this.#outstanding += asked
  }

  #receive(message: Msg): void {
    const code = message.headers?.code ?? 0
    if (code >= 400) this.#endPull(message, code)
    else if (code === 0) this.#take(message)
    this.#wake?.()
  }

  #take(message: Msg): void {
    const delivery = deliveryOf(message.reply)
    if (delivery?.delivered !== this.#delivered + 1) return this.#fail('a record was lost on its way')
    this.#delivered++
    this.#outstanding--
    this.#unreadBytes += message.data.length
    this.#entries.push({ seq: delivery.seq as Seq, record: plainBytes(message.data) })
  }

  /** The server ends a pull at its bound in bytes or time, and says how much of it is left. */
  #endPull(message: Msg, code: number): void {
    const description = message.headers?.description ?? ''
    const left = Number(message.headers?.get('Nats-Pending-Messages') || Number.NaN)
    const late = code === 408
    const full = code === 409 && /maxbytes|batch completed/i.test(description)
    if (!Number.isSafeInteger(left) || !(late || full))
      return this.#fail(`the consumer ended: ${description} (${code})`)
    if (late && this.#delivered === this.#deliveredBeforePause) return this.#fail('no record came')
    if (late) this.#deliveredBeforePause = this.#delivered
    this.#outstanding -= left
  }

  #fail(reason: string): void {
    this.#failure ??= new HoldfastError('RETRY', `reading ${this.#stream} was interrupted (${reason}): try again`)
    this.#wake?.()
  }

  get #patienceMs(): number {
    return this.#link.settings.requestTimeoutMs
  }
}
