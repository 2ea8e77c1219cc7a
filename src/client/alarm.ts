/**
 * One timer for many due times: it rings at the earliest that was asked for, and then has to be set anew. So a request costs a
 * comparison and no timer of its own.
 */
import type { Clock, Timer } from '../ports/clock.ts'

/** Timers beyond this overflow in some clocks; the alarm just rings early. */
const longestMs = 86_400_000

export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #atMs = Number.POSITIVE_INFINITY
  #timer: Timer | undefined = undefined

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings at `atMs` (monotonic) or before. */
  set(atMs: number): void {
    if (atMs >= this.#atMs) return
    this.#clock.clearTimeout(this.#timer)
    this.#atMs = atMs
    const delayMs = Math.max(0, Math.min(longestMs, atMs - this.#clock.monotonic()))
    this.#timer = this.#clock.setTimeout(() => {
      this.clear()
      this.#ring()
    }, delayMs)
  }

  clear(): void {
    this.#clock.clearTimeout(this.#timer)
    this.#timer = undefined
    this.#atMs = Number.POSITIVE_INFINITY
  }
}
