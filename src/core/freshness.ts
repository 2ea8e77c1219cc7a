/**
 * How old the state of a standby is (Q1), and what it can say of expiry (E6). Pure.
 *
 * G1. Age counts from when the owner was asked, whatever has come since: that nothing has come proves nothing.
 * G2. Of wall clock and monotonic clock the one counts by which more time has passed: a machine that slept has a monotonic clock that did, too.
 * G3. What expires is there only where no reader can have been told that it is gone, and gone only where the owner's time is past it. In
 *     between a standby cannot tell.
 */
import type { CommittedPosition } from '../protocol/position.ts'
import type { LogPosition } from './log.ts'
import type { Instant } from './read-lease.ts'

/** What the owner said that it had committed, and when it was asked. */
export interface Confirmed extends CommittedPosition {
  readonly askedAt: Instant
}

/** Whole milliseconds, rounded up (G1, G2). */
export function ageMs(askedAt: Instant, now: Instant): number {
  const passed = Math.max(now.monotonicMs - askedAt.monotonicMs, now.wallMs - askedAt.wallMs)
  return Math.max(0, Math.ceil(passed))
}

/** Clocks of two machines may differ by so much of what has passed, and by a millisecond of rounding. */
const drift = 1.05

/** Whether what expires at `expiresAt`, partition time, is there still; `undefined`: this is for the owner to say (G3). */
export function isThere(
  expiresAt: number,
  { time, epoch, askedAt }: Confirmed,
  position: Pick<LogPosition, 'time' | 'epoch'>,
  now: Instant,
): boolean | undefined {
  if (expiresAt <= Math.max(time, position.time)) return false
  // Another owner may begin with a later time.
  if (epoch !== position.epoch) return undefined
  return expiresAt > time + ageMs(askedAt, now) * drift + 1 ? true : undefined
}
