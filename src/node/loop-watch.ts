/**
 * How late timers are: what the event loop keeps waiting, because handlers compute or the machine has no time for the process.
 *
 * L1. One timer at a time, every `everyMs`; its lateness is one value. A loop that is held up for long gives one large value, not many.
 */
import { Histogram } from '../core/histogram.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Family } from '../ports/families.ts'

const everyMs = 20
/** Seconds. */
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export class LoopWatch {
  readonly #clock: Clock
  readonly #delays = new Histogram(bounds)
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  start(): void {
    const dueMs = this.#clock.monotonic() + everyMs
    this.#timer = this.#clock.setTimeout(() => {
      this.#delays.observe(Math.max(0, this.#clock.monotonic() - dueMs) / 1_000)
      this.start()
    }, everyMs)
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer)
  }

  families(): readonly Family[] {
    return [
      {
        kind: 'histogram',
        name: 'holdfast_event_loop_delay_seconds',
        help: `How late a timer is, looked at every ${everyMs} ms`,
        series: [{ labels: {}, value: this.#delays.reading }],
      },
    ]
  }
}
