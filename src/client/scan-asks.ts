/**
 * Asks owners for pages of entries (protocol/scan.ts), each until there is an answer or no more time.
 *
 * Q1. A question changes nothing, so it is asked again as often as need be: after a back-off when it was refused, when nobody listened,
 *     or when no answer came within 2 s; at once over a new connection.
 * Q2. Each question has an inbox of its own, the same for all its attempts: the first answer to any of them counts, and no other.
 * Q3. It ends at its deadline, when its signal aborts, or at `close`, with `RETRY` or what the owner said last: nothing happened.
 * Q4. At most `maxAsks` questions wait at a time; one more is `OVERLOADED`.
 * Q5. What the server does not let this user ask is `INVALID` at once: asking again changes nothing.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import { gauge, Refusals, type Metric } from '../ports/metrics.ts'
import type { Random } from '../ports/random.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { partitionId } from '../protocol/ids.ts'
import {
  decodeScanReply,
  encodeScanRequest,
  type ScanPage,
  type ScanReply,
  type ScanRequest,
} from '../protocol/scan.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { backOffMs, transientCodes } from './ask-again.ts'

export interface ScanAsksPorts {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly subjects: Subjects
}

export interface AskOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

const attemptMs = 2_000
const maxAsks = 4_096

interface Ask {
  readonly subject: string
  readonly data: Uint8Array
  readonly deadlineMs: number
  readonly inbox: string
  failures: number
  /** What the owner said last. */
  refusal: HoldfastError | undefined
  timer: Timer | undefined
  readonly settle: (outcome: ScanPage | HoldfastError) => void
}

export class ScanAsks {
  readonly #ports: ScanAsksPorts
  readonly #asks = new Map<string, Ask>()
  /** Opened with the first question. */
  #inbox: string | undefined
  #subscriptions: Subscription[] = []
  readonly #refusals = new Refusals<'pages'>('scan-asks', ['pages'])
  #asked = 0
  #closed = false

  constructor(ports: ScanAsksPorts) {
    this.#ports = ports
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_scan_asks', this.#asks.size, maxAsks), ...this.#refusals.metrics()]
  }

  /** The page of one partition. Rejects with a `HoldfastError`. */
  ask(partition: number, request: ScanRequest, { timeoutMs, signal }: AskOptions): Promise<ScanPage> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw closedError()
      if (signal?.aborted === true) throw abortedError(signal)
      if (this.#asks.size >= maxAsks) {
        this.#refusals.count('pages')
        const message = `${maxAsks} pages have been asked for and not come yet: read fewer ranges at a time`
        throw new HoldfastError('OVERLOADED', message)
      }
      const { clock, subjects } = this.#ports
      const inbox = `${this.#listen()}.${++this.#asked}`
      const abort = () => ask.settle(abortedError(signal!))
      const ask: Ask = {
        subject: subjects.scan(partitionId(partition)),
        data: encodeScanRequest(request),
        deadlineMs: clock.monotonic() + timeoutMs,
        inbox,
        failures: 0,
        refusal: undefined,
        timer: undefined,
        settle: (outcome) => {
          if (!this.#asks.delete(inbox)) return
          clock.clearTimeout(ask.timer)
          signal?.removeEventListener('abort', abort)
          if (outcome instanceof HoldfastError) reject(outcome)
          else resolve(outcome)
        },
      }
      this.#asks.set(inbox, ask)
      signal?.addEventListener('abort', abort, { once: true })
      this.#send(ask)
    })
  }

  /** The server did not let a question to this subject through (Q5). */
  denied(subject: string, reason: string): void {
    for (const ask of this.#asks.values()) {
      if (ask.subject === subject) ask.settle(new HoldfastError('INVALID', reason))
    }
  }

  /** Ends every question with `RETRY`. Idempotent. */
  close(): void {
    this.#closed = true
    for (const subscription of this.#subscriptions) subscription.close()
    this.#subscriptions = []
    for (const ask of this.#asks.values()) ask.settle(new HoldfastError('RETRY', 'the client was closed'))
  }

  #listen(): string {
    if (this.#inbox !== undefined) return this.#inbox
    const { transport } = this.#ports
    this.#inbox = transport.inbox()
    this.#subscriptions = [
      transport.subscribe(`${this.#inbox}.*`, (message) => this.#onMessage(message)),
      transport.onStatus((status) => {
        if (status === 'connected') for (const ask of this.#asks.values()) this.#send(ask)
      }),
    ]
    return this.#inbox
  }

  #send(ask: Ask): void {
    const { transport } = this.#ports
    // While there is no connection it is lost; the next one brings it back.
    transport.publish(ask.subject, ask.data, { reply: ask.inbox })
    this.#wait(ask, attemptMs)
  }

  #onMessage(message: Message): void {
    const ask = this.#asks.get(message.subject)
    if (ask === undefined) return
    if (message.noResponders) return this.#later(ask)
    let reply: ScanReply
    try {
      reply = decodeScanReply(message.data)
    } catch (cause) {
      const sentence = 'an owner answered with what is no page: update this client or that node'
      return ask.settle(new HoldfastError('INTERNAL', sentence, { cause }))
    }
    if (reply.kind === 'page') return ask.settle(reply)
    const error = new HoldfastError(reply.code, reply.message)
    if (!transientCodes.has(reply.code)) return ask.settle(error)
    ask.refusal = error
    this.#later(ask)
  }

  #later(ask: Ask): void {
    this.#wait(ask, backOffMs(ask.failures++, this.#ports.random.next()))
  }

  /** The next attempt, or the end. */
  #wait(ask: Ask, delayMs: number): void {
    const { clock } = this.#ports
    clock.clearTimeout(ask.timer)
    const leftMs = ask.deadlineMs - clock.monotonic()
    const run = () => (delayMs < leftMs ? this.#send(ask) : ask.settle(ask.refusal ?? lateError()))
    ask.timer = clock.setTimeout(run, Math.max(0, Math.min(delayMs, leftMs)))
  }
}

const lateError = () =>
  new HoldfastError(
    'RETRY',
    'the owner of a partition gave no page of the entries in time: nothing happened, try again',
  )

const closedError = () => new HoldfastError('INVALID', 'this client is closed: connect again')

const abortedError = (signal: AbortSignal) =>
  new HoldfastError('RETRY', 'the reading was aborted: nothing happened', { cause: signal.reason })
