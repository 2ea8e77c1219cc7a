/**
 * How long what waits in a queue will take, judged by how fast it went of late: what a caller who is refused is told to wait.
 *
 * R1. The rate is what was done between two looks, of which the queue is given one whenever somebody is refused: nothing is measured in
 *     between. Looks are at least `leastSpanMs` apart; two that are further than `longestSpanMs` apart say nothing about the rush of now.
 * R2. Nobody is told to wait less than `leastMs` or longer than `mostMs`; where the rate is not known, or nothing at all was done, it is
 *     `unknownMs`.
 */

/** A look at a queue: how much had been done since it began, and when that was seen (monotonic ms). */
interface Look {
  readonly atMs: number
  readonly done: number
}

export interface Drain {
  readonly since: Look
  /** Done in a millisecond, by the last two looks; `undefined` before there are two. */
  readonly rate: number | undefined
}

const leastSpanMs = 100
const longestSpanMs = 1_000
const leastMs = 10
const mostMs = 5_000
const unknownMs = 100

export const beginDrain: Drain = { since: { atMs: Number.NEGATIVE_INFINITY, done: 0 }, rate: undefined }

/** Looks again, if the last look is long enough ago. */
export function lookAtDrain(drain: Drain, nowMs: number, done: number): Drain {
  const { since } = drain
  const spanMs = nowMs - since.atMs
  if (spanMs < leastSpanMs) return drain
  return { since: { atMs: nowMs, done }, rate: spanMs > longestSpanMs ? undefined : (done - since.done) / spanMs }
}

/** By when `waiting` are done, if they go on as they went: ms from now (R2). */
export const drainMs = ({ rate }: Drain, waiting: number): number =>
  rate === undefined || rate === 0 ? unknownMs : withinReason(waiting / rate)

/** R2 */
export const withinReason = (ms: number): number => Math.round(Math.min(mostMs, Math.max(leastMs, ms)))
