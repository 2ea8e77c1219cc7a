/**
 * How fast turns go while there are more of them than the processor can do: what one that comes now will wait is their number at this pace.
 *
 * That the next one has waited for long says it too late: by then as many have come as can be done in many times as long.
 *
 * P1. A look is taken between two slices of time, while turns wait for the next one. What went on in between, other partitions and a busy
 *     machine included, counts for at most `longestGapMs`: a process that was stopped is not slow.
 * P2. Each look counts for a quarter, the former ones for the rest.
 */

export interface Pace {
  /** When it was last looked at, monotonic ms; `undefined` where nothing waited then. */
  readonly atMs: number | undefined
  /** Turns that had begun by then. */
  readonly begun: number
  /** 0 before it is known. */
  readonly msPerTurn: number
}

export const unknownPace: Pace = { atMs: undefined, begun: 0, msPerTurn: 0 }

const longestGapMs = 100

/** Turns wait for the next slice; so many have begun up to now. */
export function lookAtPace({ atMs, begun: before, msPerTurn }: Pace, nowMs: number, begun: number): Pace {
  const turns = begun - before
  if (atMs === undefined || turns === 0) return { atMs: nowMs, begun, msPerTurn }
  const ms = Math.min(nowMs - atMs, longestGapMs) / turns
  return { atMs: nowMs, begun, msPerTurn: msPerTurn === 0 ? ms : (3 * msPerTurn + ms) / 4 }
}

/** None waits any more: until some do again there is nothing to see. */
export const restingPace = ({ begun, msPerTurn }: Pace): Pace => ({ atMs: undefined, begun, msPerTurn })
