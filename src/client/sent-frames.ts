/**
 * Which requests went in which frame, for as long as "no responders" may come back for it, and where the last 4,096 frames went: a node
 * answers to the reply subject of the frame that it heard last, and what it has heard of a client it has heard in the order of sending.
 *
 * Of an unanswered frame the last 16,384 requests are remembered: the server's word comes within a round trip. A frame that is
 * forgotten earlier is not refused but merely unanswered, and its requests are repeated when their attempt times out.
 */
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Pending } from './pending.ts'

const maxRequests = 16_384
const maxSubjects = 4_096

const none: readonly Pending[] = []

export class SentFrames {
  readonly #frames = new Map<number, readonly Pending[]>()
  /** Of the frame n at n modulo their number. */
  readonly #subjects: string[] = []
  #requests = 0
  #last = 0

  metrics(): readonly Metric[] {
    return [gauge('holdfast_client_sent_requests', this.#requests, maxRequests)]
  }

  /** The number of a new frame, which goes to `subject`. */
  add(requests: readonly Pending[], subject: string): number {
    for (const [number, { length }] of this.#frames) {
      if (this.#requests + requests.length <= maxRequests) break
      this.#frames.delete(number)
      this.#requests -= length
    }
    this.#frames.set(++this.#last, requests)
    this.#requests += requests.length
    this.#subjects[this.#last % maxSubjects] = subject
    return this.#last
  }

  /** Where a frame went, if that is still remembered. */
  subjectOf(number: number): string | undefined {
    return this.#last - number < maxSubjects ? this.#subjects[number % maxSubjects] : undefined
  }

  /** Forgets a frame, since somebody or nobody has received it; its requests, if they are remembered. */
  take(number: number): readonly Pending[] {
    const requests = this.#frames.get(number)
    if (requests === undefined) return none
    this.#frames.delete(number)
    this.#requests -= requests.length
    return requests
  }
}
