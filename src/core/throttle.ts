/**
 * A bound on bytes in a time: each piece is due when the ones before it have had theirs.
 *
 * Q1. Over any stretch no more goes than the bound times its length and one piece: time in which nothing went is not made up for.
 */
export interface Throttle {
  /** When the next piece may go, monotonic ms. */
  readonly dueMs: number
}

export const idleThrottle: Throttle = { dueMs: Number.NEGATIVE_INFINITY }

/** A piece goes now; `bytesPerSecond` is above 0, and may be infinite. */
export function throttleAfter({ dueMs }: Throttle, bytes: number, bytesPerSecond: number, nowMs: number): Throttle {
  return { dueMs: Math.max(dueMs, nowMs) + (1_000 * bytes) / bytesPerSecond }
}

export const throttleWaitMs = ({ dueMs }: Throttle, nowMs: number): number => Math.max(0, dueMs - nowMs)
