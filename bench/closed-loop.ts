/**
 * A closed loop: `width` callers, each of which begins its next operation when it has the answer to the last.
 *
 * L1. Operations that have begun are waited for, and count; the time runs from the first beginning to the last answer.
 * L2. A failure ends the loop, and is thrown: a figure counts only what succeeded.
 * L3. Each operation's time goes into a histogram: 50 ns, also of millions of them.
 */
import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks'

export interface LoopOptions {
  readonly width: number
  readonly seconds: number
  /** ms; never goes back. Default: `performance.now`. */
  readonly now?: () => number
}

export interface LoopResult {
  readonly operations: number
  readonly elapsedMs: number
  /** Of the operations, ns, to three digits. */
  readonly times: RecordableHistogram
}

const longestNs = 600e9
const nsPerMs = 1e6

export const systemNow = (): number => performance.now()

export async function closedLoop(options: LoopOptions, once: () => Promise<unknown>): Promise<LoopResult> {
  const { width, seconds, now = systemNow } = options
  const times = createHistogram({ lowest: 1, highest: longestNs, figures: 3 })
  const startMs = now()
  const endMs = startMs + seconds * 1_000
  let operations = 0
  let failed = false
  const caller = async () => {
    let nowMs = now()
    while (nowMs < endMs && !failed) {
      const beganMs = nowMs
      await once()
      operations++
      nowMs = now()
      times.record(Math.max(1, Math.round((nowMs - beganMs) * nsPerMs)))
    }
  }
  await Promise.all(
    Array.from({ length: width }, () =>
      caller().catch((error: unknown) => {
        failed = true
        throw error
      }),
    ),
  )
  return { operations, elapsedMs: now() - startMs, times }
}

export const timeMs = (times: RecordableHistogram, percent: number): number => times.percentile(percent) / nsPerMs
