/**
 * Going through many bytes without holding others up.
 *
 * A1. After every 256 KiB the event loop has its turn, and the bound on bytes in a second is kept.
 * A2. A wait ends at once when it is aborted; whoever waits looks at the signal itself.
 */
import { idleThrottle, throttleAfter, throttleWaitMs } from '../../core/throttle.ts'
import type { Clock } from '../../ports/clock.ts'

export const sliceBytes = 262_144

export interface PacerOptions {
  readonly clock: Clock
  readonly signal?: AbortSignal
  /** Default: as fast as it goes. */
  readonly bytesPerSecond?: number
}

export class Pacer {
  readonly #options: PacerOptions
  #throttle = idleThrottle
  #bytes = 0

  constructor(options: PacerOptions) {
    this.#options = options
  }

  /** So many bytes more have been gone through. True: it is time to `rest`. */
  spend(bytes: number): boolean {
    return (this.#bytes += bytes) >= sliceBytes
  }

  rest(): Promise<void> {
    const { clock, signal, bytesPerSecond = Number.POSITIVE_INFINITY } = this.#options
    const nowMs = clock.monotonic()
    this.#throttle = throttleAfter(this.#throttle, this.#bytes, bytesPerSecond, nowMs)
    this.#bytes = 0
    const waitMs = throttleWaitMs(this.#throttle, nowMs)
    if (waitMs === 0) return new Promise((resolve) => clock.defer(resolve))
    return new Promise((resolve) => {
      const end = () => {
        clock.clearTimeout(timer)
        signal?.removeEventListener('abort', end)
        resolve()
      }
      const timer = clock.setTimeout(end, waitMs)
      signal?.addEventListener('abort', end, { once: true })
      if (signal?.aborted === true) end()
    })
  }
}
