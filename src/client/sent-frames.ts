/**
 * Which requests went in which frame, for as long as "no responders" may come back for it.
 *
 * Of an unanswered frame the last 16,384 requests are remembered: the server's word comes within a round trip. A frame that is
 * forgotten earlier is not refused but merely unanswered, and its requests are repeated when their attempt times out.
 */
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Pending } from './pending.ts'

const maxRequests = 16_384

const none: readonly Pending[] = []

export class SentFrames {
  readonly #frames = new Map<number, readonly Pending[]>()
  #requests = 0
  #last = 0

  metrics(): readonly Metric[] {
    return [gauge('holdfast_client_sent_requests', this.#requests, maxRequests)]
  }

  /** The number of a new frame. */
  add(requests: readonly Pending[]): number {
    for (const [number, { length }] of this.#frames) {
      if (this.#requests + requests.length <= maxRequests) break
      this.#frames.delete(number)
      this.#requests -= length
    }
    this.#frames.set(++this.#last, requests)
    this.#requests += requests.length
    return this.#last
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
