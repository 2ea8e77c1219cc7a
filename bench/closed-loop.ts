/**
 * A closed loop: `width` callers, each of which begins its next operation when it has the answer to the last.
 *
 * L1. Operations that have begun are waited for, and count; the time runs from the first beginning to the last answer.
 * L2. A failure ends the loop, and is thrown: a figure counts only what succeeded.
 */
import { performance } from 'node:perf_hooks'

export interface LoopOptions {
  readonly width: number
  readonly seconds: number
  /** Keeps each operation's time. Default false: for a rate it is not wanted. */
  readonly times?: boolean
}

export interface LoopResult {
  readonly operations: number
  readonly perSecond: number
  /** ms of each operation. */
  readonly times: readonly number[]
}

export async function closedLoop(
  { width, seconds, times: keep = false }: LoopOptions,
  once: () => Promise<unknown>,
): Promise<LoopResult> {
  const times: number[] = []
  const startMs = performance.now()
  const endMs = startMs + seconds * 1_000
  let operations = 0
  let failed = false
  const caller = async () => {
    let nowMs = performance.now()
    while (nowMs < endMs && !failed) {
      const beganMs = nowMs
      await once()
      operations++
      nowMs = performance.now()
      if (keep) times.push(nowMs - beganMs)
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
  return { operations, perSecond: (operations / (performance.now() - startMs)) * 1_000, times }
}
