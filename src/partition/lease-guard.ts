/**
 * Holds back whatever may only be said while this node is certainly the owner: answers to queries, to repeated ids, failures (R1, O3).
 *
 * What waits here was computed before; it is let go when the lease is looked at after that and still runs, or when an append that was
 * sent after that is committed. Either proves that nobody else had claimed when it was computed.
 */
import { checkLease, endLease, extendLease, newLease, type ReadLease } from '../core/read-lease.ts'
import type { Clock } from '../ports/clock.ts'

interface Waiter {
  readonly sinceMs: number
  readonly release: (certain: boolean) => void
}

export class LeaseGuard {
  readonly #clock: Clock
  readonly #renew: () => void
  #lease: ReadLease
  #waiting: Waiter[] = []
  #ended = false

  /** `renew` sees to it that an append is sent soon. */
  constructor(clock: Clock, termMs: number, renew: () => void) {
    this.#clock = clock
    this.#renew = renew
    this.#lease = newLease(termMs, { wallMs: clock.now(), monotonicMs: clock.monotonic() })
  }

  /** Calls `release(true)` once it is certain that this node was the owner just now, `release(false)` if that will never be known. */
  certainly(release: (certain: boolean) => void): void {
    if (this.#ended) return release(false)
    const nowMs = this.#clock.monotonic()
    const [lease, valid] = checkLease(this.#lease, { wallMs: this.#clock.now(), monotonicMs: nowMs })
    this.#lease = lease
    if (valid) return release(true)
    this.#waiting.push({ sinceMs: nowMs, release })
    if (this.#waiting.length === 1) this.#renew()
  }

  /** An append that was sent at `sentAtMs` is committed. */
  extend(sentAtMs: number): void {
    this.#lease = extendLease(this.#lease, sentAtMs)
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = waiting.filter((waiter) => waiter.sinceMs > sentAtMs)
    for (const waiter of waiting) if (waiter.sinceMs <= sentAtMs) waiter.release(true)
    if (this.#waiting.length > 0) this.#renew()
  }

  /** Before a hand-off is sent: nothing passes any more. */
  end(): void {
    this.#lease = endLease(this.#lease)
    this.#ended = true
    const waiting = this.#waiting
    this.#waiting = []
    for (const waiter of waiting) waiter.release(false)
  }
}
