/**
 * What is asked of a NATS server before there is a node that goes on by itself. Streams that were created a moment ago, or whose servers have
 * just begun, have no leader yet, and say nothing: older servers take seconds to elect one.
 */
import type { Clock } from '../ports/clock.ts'
import { isHoldfastError } from '../protocol/errors.ts'

const patienceMs = 30_000
const betweenTriesMs = 200

/** Asks again while the answer is `RETRY` or `UNKNOWN`, for up to 30 s; what is asked for may be done twice. */
export async function patiently<T>(clock: Clock, ask: () => Promise<T>): Promise<T> {
  const deadlineMs = clock.monotonic() + patienceMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const passing = isHoldfastError(error, 'RETRY') || isHoldfastError(error, 'UNKNOWN')
      if (!passing || clock.monotonic() >= deadlineMs) throw error
    }
    await new Promise<void>((resolve) => clock.setTimeout(resolve, betweenTriesMs))
  }
}
