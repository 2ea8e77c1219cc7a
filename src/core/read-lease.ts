/**
 * The lease under which an owner answers from its own memory (O3). It lives in the partition's log: whoever claims next waits until
 * it must have ended (O4), so that no answer given under it is stale.
 *
 * - It runs for `termMs` from before the sending of the last committed append.
 * - It ends at once when the wall clock and the monotonic clock disagree by more than a quarter of it: one of them was stopped or
 *   set, and which one is not known.
 * - It ends for good before a hand-off is sent.
 */
export interface ReadLease {
  readonly termMs: number
  /** Monotonic ms; at or after it there is no lease. */
  readonly untilMs: number
  /** Appends sent before this do not extend it. */
  readonly notBeforeMs: number
  /** Wall minus monotonic, when last looked at. */
  readonly skewMs: number
}

/** Shares of the term: how far clocks may disagree, and how long a claimer waits. */
const toleratedSkew = 1 / 4
const claimerPatience = 1.1

export interface Instant {
  readonly wallMs: number
  readonly monotonicMs: number
}

export function newLease(termMs: number, at: Instant): ReadLease {
  return { termMs, untilMs: 0, notBeforeMs: at.monotonicMs, skewMs: at.wallMs - at.monotonicMs }
}

/** An append that was sent at `sentAtMs` is committed. */
export function extendLease(lease: ReadLease, sentAtMs: number): ReadLease {
  const untilMs = sentAtMs + lease.termMs
  return sentAtMs < lease.notBeforeMs || untilMs <= lease.untilMs ? lease : { ...lease, untilMs }
}

/** Looks at both clocks; call it before each use. */
export function checkLease(lease: ReadLease, at: Instant): readonly [ReadLease, valid: boolean] {
  const skewMs = at.wallMs - at.monotonicMs
  if (Math.abs(skewMs - lease.skewMs) > lease.termMs * toleratedSkew) {
    const notBeforeMs = Math.max(lease.notBeforeMs, at.monotonicMs)
    return [{ ...lease, untilMs: 0, notBeforeMs, skewMs }, false]
  }
  return [lease, at.monotonicMs < lease.untilMs]
}

export function endLease(lease: ReadLease): ReadLease {
  return { ...lease, untilMs: 0, notBeforeMs: Number.POSITIVE_INFINITY }
}

/**
 * Monotonic ms from which a claimer may release replies, changes and queries (O4), having seen the last valid record of the former
 * epoch at `sawLastAtMs`. After a hand-off, or where nobody ever owned it, at once.
 */
export function serveFrom(sawLastAtMs: number, termMs: number, formerOwnerIsGone: boolean): number {
  return formerOwnerIsGone ? sawLastAtMs : sawLastAtMs + termMs * claimerPatience
}
