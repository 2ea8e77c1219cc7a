/**
 * Questions with one answer each, over one subscription for all answers.
 *
 * A1. Each question is settled exactly once: by its answer, by the server's word that nobody listens, at its time-out, or at
 *     once when the link breaks. What comes later for it is dropped.
 * A2. Questions go out in the order of the calls, before `send` returns.
 * A3. At most `maxPending` wait for an answer; one more is not sent.
 */
import type { Msg } from '@nats-io/transport-node'
import type { Timer } from '../../ports/clock.ts'
import { gauge, type Metric } from '../../ports/metrics.ts'
import type { Headers, Subscription } from '../../ports/transport.ts'
import type { Link } from './link.ts'
import { isNoResponders } from './message.ts'

export type Answer =
  | { readonly kind: 'answered'; readonly message: Msg }
  /** It never left this process. */
  | { readonly kind: 'not-sent'; readonly reason: string }
  /** The server gave it to nobody. */
  | { readonly kind: 'no-responders' }
  /** The server does not let this user ask, or hear the answer. */
  | { readonly kind: 'denied'; readonly reason: string }
  /** Nobody can say what became of it. */
  | { readonly kind: 'lost'; readonly reason: string }

export interface Question {
  readonly subject: string
  /** Where it differs from the requests' own. */
  readonly timeoutMs?: number
  readonly headers?: Headers
}

interface Pending {
  readonly subject: string
  readonly settle: (answer: Answer) => void
  timer: Timer | undefined
}

const maxPending = 65_536
const radix = 36

export class Requests {
  readonly #link: Link
  readonly #timeoutMs: number
  readonly #name: string
  /** Answers come to subjects that begin with it. */
  readonly #inbox: string
  readonly #pending = new Map<number, Pending>()
  readonly #listening: Subscription
  readonly #answers: Subscription
  #questions = 0
  /** Why no answer can come. */
  #deaf: string | undefined
  #closed = false

  /** `name` tells the subjects of several `Requests` of one link apart. */
  constructor(link: Link, name: string, timeoutMs: number) {
    this.#link = link
    this.#timeoutMs = timeoutMs
    this.#name = name
    this.#inbox = `${link.inboxRoot}.${name}.`
    this.#answers = link.subscribe(`${this.#inbox}*`, (message) => this.#answer(message))
    this.#listening = link.listen({
      down: () => this.#loseAll('the connection to NATS broke before the answer'),
      denied: ({ operation, subject }, reason) => {
        const deaf = operation === 'subscribe' && subject === `${this.#inbox}*`
        if (deaf) this.#deaf = reason
        for (const [token, pending] of this.#pending) {
          if (deaf || (operation === 'publish' && pending.subject === subject))
            this.#settle(token, { kind: 'denied', reason })
        }
      },
      allowed: (subject) => {
        if (subject === `${this.#inbox}*`) this.#deaf = undefined
      },
    })
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_nats_questions', this.#pending.size, maxPending, { of: this.#name })]
  }

  /** `settle` is called once, never within this call. */
  send(question: Question, data: Uint8Array, settle: (answer: Answer) => void): void {
    const { clock } = this.#link.parts
    const deaf = this.#deaf
    if (deaf !== undefined) return queueMicrotask(() => settle({ kind: 'denied', reason: deaf }))
    const never = (reason: string) => queueMicrotask(() => settle({ kind: 'not-sent', reason }))
    if (this.#closed) return never('the connection to NATS was closed')
    if (this.#pending.size >= maxPending) return never(`${maxPending} questions wait for their answers already`)
    const token = ++this.#questions
    const { subject, timeoutMs = this.#timeoutMs } = question
    if (!this.#link.send(subject, data, this.#inbox + token.toString(radix), question.headers)) {
      return never('there is no connection to NATS now')
    }
    const pending: Pending = { subject, settle, timer: undefined }
    pending.timer = clock.setTimeout(
      () => this.#settle(token, { kind: 'lost', reason: `no answer within ${timeoutMs} ms` }),
      timeoutMs,
    )
    this.#pending.set(token, pending)
  }

  ask(question: Question, data: Uint8Array): Promise<Answer> {
    return new Promise((resolve) => this.send(question, data, resolve))
  }

  /** Questions without an answer are lost. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#listening.close()
    this.#answers.close()
    this.#loseAll('the connection to NATS was closed before the answer')
  }

  #answer(message: Msg): void {
    const token = Number.parseInt(message.subject.slice(this.#inbox.length), radix)
    this.#settle(token, isNoResponders(message) ? { kind: 'no-responders' } : { kind: 'answered', message })
  }

  #loseAll(reason: string): void {
    for (const token of [...this.#pending.keys()]) this.#settle(token, { kind: 'lost', reason })
  }

  #settle(token: number, answer: Answer): void {
    const pending = this.#pending.get(token)
    if (pending === undefined) return
    this.#pending.delete(token)
    this.#link.parts.clock.clearTimeout(pending.timer)
    pending.settle(answer)
  }
}
