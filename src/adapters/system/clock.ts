/** The real clock. */
import { performance } from 'node:perf_hooks'
import type { Clock, Timer } from '../../ports/clock.ts'

/** The longest delay that a native timer takes; above it would fire at once. */
const maxNativeMs = 2 ** 31 - 1

class NativeTimer {
  handle: NodeJS.Timeout | undefined
}

export class SystemClock implements Clock {
  now(): number {
    return Date.now()
  }

  monotonic(): number {
    return performance.now()
  }

  setTimeout(run: () => void, delayMs: number): Timer {
    if (!Number.isFinite(delayMs)) throw new RangeError(`a delay is a finite number of milliseconds, not ${delayMs}`)
    const timer = new NativeTimer()
    const dueMs = performance.now() + delayMs
    const wait = () => {
      const leftMs = dueMs - performance.now()
      timer.handle = setTimeout(fire, Math.min(Math.max(leftMs, 0), maxNativeMs))
    }
    const fire = () => {
      // The event loop counts whole milliseconds from a time that it read earlier: a native timer may be early.
      if (performance.now() < dueMs) wait()
      else run()
    }
    wait()
    return timer as Timer
  }

  clearTimeout(timer: Timer | undefined): void {
    if (timer instanceof NativeTimer) clearTimeout(timer.handle)
  }

  defer(run: () => void): void {
    setImmediate(run)
  }
}
