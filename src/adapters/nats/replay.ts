/**
 * A long stretch of a stream, by a consumer of its own: several times faster than asking for each record.
 *
 * D1. A consumer may live on a replica that lags or, in the worst case, lies. So it ends by comparing its last record with the
 *     leader's (each record is linked to the one before), and what it leaves out is asked of the leader.
 * D2. Two pulls are out at a time, each bounded in records and bytes, and the next goes out when a former one has been read by
 *     the caller: what waits here is bounded by two pulls.
 * D3. It ends at its last sequence and nowhere else: a lost message, a broken link, a consumer that is gone or says nothing
 *     for too long throw `RETRY`. That nothing is pending means nothing.
 */
import type { Msg } from '@nats-io/transport-node'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Seq } from '../../protocol/ids.ts'
import type { LogEntry } from '../../protocol/log.ts'
import { plainBytes } from './bytes.ts'
import { deliveryOf, type JetStream } from './jetstream.ts'
import type { Link } from './link.ts'

const pullRecords = 256
const pullsOut = 2
const least = 4 * 1024 * 1024
/** A reader that pauses for longer begins anew. */
const pauseMs = 60_000
/** What the server waits for a record before it says so; it never has to, all of them exist. */
const nanosPerMs = 1_000_000

interface Pull {
  asked: number
  received: number
  /** The server will send no more for it. */
  ended: boolean
  /** Received and not yet read. */
  unread: number
}

export class Replay {
  readonly #link: Link
  readonly #jetstream: JetStream
  readonly #stream: string
  readonly #to: number
  readonly #inbox: string
  readonly #pulls = new Map<string, Pull>()
  readonly #entries: { readonly entry: LogEntry; readonly pull: Pull }[] = []
  #consumer = ''
  #pullsMade = 0
  #delivered = 0
  #askedFor = 0
  #failure: HoldfastError | undefined
  #wake: (() => void) | undefined

  constructor(link: Link, jetstream: JetStream, stream: string, to: number) {
    this.#link = link
    this.#jetstream = jetstream
    this.#stream = stream
    this.#to = to
    this.#inbox = `${link.inboxRoot}.replay.${link.parts.random.id()}.`
  }

  /** Each record from `from` to `to` that the consumer has, in order. */
  async *entries(from: number): AsyncGenerator<LogEntry> {
    const messages = this.#link.subscribe(`${this.#inbox}*`, (message) => this.#receive(message))
    const link = this.#link.listen({ down: () => this.#fail('the connection to NATS broke') })
    try {
      this.#consumer = await this.#jetstream.createConsumer(this.#stream, {
        deliver_policy: 'by_start_sequence',
        opt_start_seq: from,
        inactive_threshold: pauseMs * nanosPerMs,
      })
      this.#askedFor = from - 1
      while (true) {
        this.#ask()
        const { entry, pull } = await this.#next()
        if (entry.seq > this.#to) return
        pull.unread--
        yield entry
        if (entry.seq === this.#to) return
      }
    } finally {
      messages.close()
      link.close()
      if (this.#consumer !== '') this.#jetstream.deleteConsumer(this.#stream, this.#consumer)
    }
  }

  #ask(): void {
    for (const [reply, pull] of this.#pulls) {
      if (pull.ended && pull.unread === 0) {
        // What it did not bring is still to come.
        this.#askedFor -= pull.asked - pull.received
        this.#pulls.delete(reply)
      }
    }
    while (this.#pulls.size < pullsOut && this.#askedFor < this.#to) {
      const asked = Math.min(pullRecords, this.#to - this.#askedFor)
      const reply = `${this.#inbox}${++this.#pullsMade}`
      const body = {
        batch: asked,
        max_bytes: Math.max(least, 2 * this.#link.maxPayload),
        expires: this.#patienceMs * nanosPerMs,
      }
      const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${this.#consumer}`
      if (!this.#link.send(subject, new TextEncoder().encode(JSON.stringify(body)), reply)) {
        return this.#fail('there is no connection to NATS now')
      }
      this.#askedFor += asked
      this.#pulls.set(reply, { asked, received: 0, ended: false, unread: 0 })
    }
  }

  async #next(): Promise<{ readonly entry: LogEntry; readonly pull: Pull }> {
    const { clock } = this.#link.parts
    while (true) {
      const next = this.#entries.shift()
      if (next !== undefined) return next
      if (this.#failure !== undefined) throw this.#failure
      this.#ask()
      const timer = clock.setTimeout(() => this.#fail('no record came'), 2 * this.#patienceMs)
      await new Promise<void>((resolve) => (this.#wake = resolve))
      clock.clearTimeout(timer)
    }
  }

  #receive(message: Msg): void {
    const pull = this.#pulls.get(message.subject)
    if (pull === undefined) return
    const code = message.headers?.code ?? 0
    if (code !== 0) return this.#status(pull, code, message.headers?.description ?? '')
    const delivery = deliveryOf(message.reply)
    if (delivery?.delivered !== ++this.#delivered) return this.#fail('a record was lost on its way')
    pull.received++
    pull.unread++
    pull.ended ||= pull.received === pull.asked
    this.#entries.push({ entry: { seq: delivery.seq as Seq, record: plainBytes(message.data) }, pull })
    this.#wake?.()
  }

  #status(pull: Pull, code: number, description: string): void {
    if (code < 400) return
    const spent = code === 409 && /maxbytes|batch completed/i.test(description)
    if (!spent) return this.#fail(`the consumer ended: ${description} (${code})`)
    pull.ended = true
    this.#wake?.()
  }

  #fail(reason: string): void {
    this.#failure ??= new HoldfastError('RETRY', `reading ${this.#stream} was interrupted (${reason}): try again`)
    this.#wake?.()
  }

  get #patienceMs(): number {
    return this.#link.settings.requestTimeoutMs
  }
}
