/**
 * Publishes the outputs of committed records: what units of the partition send.
 *
 * P1. Nothing is published before its record is committed. Outputs leave in the order of their records and within them.
 * P2. An output for a stream (`Nats-Expected-Stream`) counts as published when that stream has acknowledged it, any other one when the
 *     server has confirmed what was sent up to it (T3). `confirmed` is the last record before the first that has an output which does not
 *     count yet; records carry it, and the next owner publishes everything after it again. So none is lost, and one that comes again is
 *     byte for byte the same: whoever ignores an `Nats-Msg-Id` that it has seen, as streams do within their window, has each once.
 * P3. What a stream refuses or does not acknowledge is sent again, after growing pauses, until it is acknowledged; each refusal is told.
 *     What comes behind it goes on meanwhile: a stream that refuses one and takes the next has them in that order.
 * P4. At most `window` wait for their acknowledgement; beyond it publishing waits. What is committed meanwhile is read again later.
 * P5. When the connection was lost, everything after `confirmed` is sent again. Where it has no room for an output for nobody in particular
 *     (T1), all of that record and what comes after it is sent a little later.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import { messageOf } from '../protocol/errors.ts'
import type { PartitionId, Seq } from '../protocol/ids.ts'
import type { OutputRecord } from '../protocol/record.ts'
import type { History } from './history.ts'
import { Pump } from './pump.ts'

/** The stream that has to store an output, by this header of NATS. */
export const expectedStream = 'Nats-Expected-Stream'

export interface OutputPublisherOptions {
  readonly partition: PartitionId
  readonly transport: Transport
  readonly observer: Observer
  readonly clock: Clock
  readonly history: History
  /** Everything up to here was published by former owners. */
  readonly published: Seq
}

/** An output that no stream has acknowledged yet. */
interface Open {
  readonly token: string
  readonly seq: Seq
  readonly output: OutputRecord
  refusals: number
  timer: Timer | undefined
}

const window = 256
const acknowledgeWithinMs = 5_000
const firstPauseMs = 100
const longestPauseMs = 10_000

export class OutputPublisher {
  readonly #options: OutputPublisherOptions
  /** By their tokens, those of earlier records first. */
  readonly #open = new Map<string, Open>()
  /** Every output up to this record has been sent. */
  #sent: Seq
  #confirmed: Seq
  /** The last record with an output for nobody in particular, and how far the server has confirmed such. */
  #lastPlain: Seq
  #flushed: Seq
  #flushing = false
  #stopped = false
  /** Grows when the connection was lost: what an earlier attempt sent does not count. */
  #attempt = 0
  #tokens = 0
  #inbox: string | undefined
  #acknowledgements: Subscription | undefined
  readonly #pump: Pump
  #onRoom: (() => void) | undefined

  constructor(options: OutputPublisherOptions) {
    this.#options = options
    this.#sent = options.published
    this.#confirmed = options.published
    this.#lastPlain = options.published
    this.#flushed = options.published
    const { partition, clock, observer, history, transport } = options
    this.#pump = new Pump({
      ...{ partition, clock, observer, what: 'outputs' },
      isOwed: () => this.#sent < history.head && transport.connected,
      publishOwed: () => this.#publishOwed(),
      onDone: () => this.#confirm(),
    })
  }

  get confirmed(): Seq {
    return this.#confirmed
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_outputs_unacknowledged', this.#open.size, window)]
  }

  /** A record is committed and in the history. The common case, nothing owed before it, is sent at once. */
  committed(seq: Seq, outputs: readonly OutputRecord[], previous: Seq): void {
    if (this.#stopped) return
    const room =
      outputs.length === 0 || (this.#options.transport.connected && this.#open.size + outputs.length <= window)
    if (this.#pump.runs || this.#sent !== previous || !room) return this.pump()
    for (const output of outputs) if (!this.#send(seq, output)) return this.#rest(seq)
    this.#sent = seq
    this.#confirm()
  }

  /** Publishes what is owed: at the start of an ownership, and when the connection is back. */
  pump(): void {
    this.#pump.run()
  }

  /** The connection is back: what was not confirmed may be lost (P5). */
  resume(): void {
    if (this.#stopped) return
    this.#attempt++
    for (const { timer } of this.#open.values()) this.#options.clock.clearTimeout(timer)
    this.#open.clear()
    this.#sent = this.#confirmed
    this.#lastPlain = this.#confirmed
    this.#flushed = this.#confirmed
    this.#onRoom?.()
    this.pump()
  }

  stop(): void {
    this.#stopped = true
    const { clock } = this.#options
    this.#pump.stop()
    for (const { timer } of this.#open.values()) clock.clearTimeout(timer)
    this.#open.clear()
    this.#acknowledgements?.close()
    this.#onRoom?.()
  }

  async #publishOwed(): Promise<void> {
    const { history, transport } = this.#options
    while (this.#sent < history.head && !this.#stopped && transport.connected) {
      const head = history.head
      const attempt = this.#attempt
      for await (const { seq, outputs } of history.outputsAfter(this.#sent)) {
        for (const output of outputs) {
          while (this.#open.size >= window && attempt === this.#attempt && !this.#stopped) await this.#room()
          if (attempt !== this.#attempt || this.#stopped) break
          if (!this.#send(seq, output)) return this.#rest(seq)
        }
        if (attempt !== this.#attempt || this.#stopped) break
        this.#sent = seq
        this.#confirm()
      }
      if (attempt === this.#attempt && this.#sent < head) this.#sent = head
    }
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = () => {
        this.#onRoom = undefined
        resolve()
      }
    })
  }

  /** P5: something of this record was lost. */
  #rest(seq: Seq): void {
    for (const open of this.#open.values()) {
      if (open.seq !== seq) continue
      this.#options.clock.clearTimeout(open.timer)
      this.#open.delete(open.token)
    }
    this.#pump.rest()
  }

  /** False: it was lost (P5). What a stream is to store is asked for until it has. */
  #send(seq: Seq, output: OutputRecord): boolean {
    if (output.headers[expectedStream] === undefined) {
      const { transport } = this.#options
      const { lost } = transport
      this.#publish(output)
      if (transport.lost !== lost) return false
      this.#lastPlain = seq
      return true
    }
    const open: Open = { token: String(++this.#tokens), seq, output, refusals: 0, timer: undefined }
    this.#open.set(open.token, open)
    this.#ask(open)
    return true
  }

  /** Sends an output to its stream, and waits for the acknowledgement. */
  #ask(open: Open): void {
    const { clock, transport } = this.#options
    if (this.#inbox === undefined) {
      this.#inbox = transport.inbox()
      this.#acknowledgements = transport.subscribe(`${this.#inbox}.*`, (message) => this.#onAnswer(message))
    }
    open.timer = clock.setTimeout(
      () => this.#refused(open, `no acknowledgement within ${acknowledgeWithinMs} ms`),
      acknowledgeWithinMs,
    )
    this.#publish(open.output, `${this.#inbox}.${open.token}`)
  }

  #publish({ subject, data, headers }: OutputRecord, reply?: string): void {
    try {
      this.#options.transport.publish(subject, data, { headers, ...(reply === undefined ? {} : { reply }) })
    } catch (error) {
      // It was checked when it was made. A server that takes less than the one then, by and by one that takes it.
      this.#tell(subject, messageOf(error))
    }
  }

  #onAnswer(message: Message): void {
    const open = this.#open.get(message.subject.slice(this.#inbox!.length + 1))
    if (open === undefined) return
    const refusal = refusalOf(message, open.output.headers[expectedStream]!)
    if (refusal !== undefined) return this.#refused(open, refusal)
    this.#options.clock.clearTimeout(open.timer)
    this.#open.delete(open.token)
    this.#onRoom?.()
    this.#confirm()
  }

  #refused(open: Open, reason: string): void {
    const { clock } = this.#options
    clock.clearTimeout(open.timer)
    this.#tell(open.output.subject, reason)
    const pauseMs = Math.min(firstPauseMs * 2 ** open.refusals++, longestPauseMs)
    open.timer = clock.setTimeout(() => this.#ask(open), pauseMs)
  }

  #tell(subject: string, reason: string): void {
    const { observer, partition } = this.#options
    observer.emit({ type: 'output.refused', partition, subject, reason })
  }

  /** P2 */
  #confirm(): void {
    if (this.#stopped) return
    const [first] = this.#open.values()
    const acknowledged = first === undefined ? this.#sent : first.seq - 1
    const flushed = this.#lastPlain <= this.#flushed ? this.#sent : this.#flushed
    const confirmed = Math.min(acknowledged, flushed, this.#sent) as Seq
    if (confirmed > this.#confirmed) this.#confirmed = confirmed
    // Of a record that waits in its middle nothing counts before all of it has been sent: until then there is nothing to be learnt.
    if (this.#lastPlain > this.#flushed && this.#sent > this.#flushed) this.#flush()
  }

  #flush(): void {
    if (this.#flushing) return
    this.#flushing = true
    const [sent, attempt] = [this.#sent, this.#attempt]
    this.#options.transport.flush().then(
      () => {
        this.#flushing = false
        if (attempt === this.#attempt && sent > this.#flushed) this.#flushed = sent
        this.#confirm()
      },
      () => {
        // The connection broke (T3).
        this.#flushing = false
        this.resume()
      },
    )
  }
}

/** What a stream says when it has stored a message is JSON with its name; anything else is why it has not. */
function refusalOf(message: Message, stream: string): string | undefined {
  if (message.noResponders) return `no stream takes this subject, or the stream ${stream} has no leader now`
  let answer: unknown
  try {
    answer = JSON.parse(Buffer.from(message.data).toString())
  } catch {
    return 'the answer is not that of a stream'
  }
  const said = (typeof answer === 'object' && answer !== null ? answer : {}) as Readonly<Record<string, unknown>>
  const error = said['error'] as { readonly description?: string } | undefined
  if (error != null) return `the stream ${stream} refuses it: ${error.description ?? 'without a reason'}`
  return said['stream'] === stream
    ? undefined
    : `it was not taken by the stream ${stream} but ${String(said['stream'])}`
}
