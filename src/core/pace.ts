/**
 * How fast turns go while there are more of them than the processor can do: what one that comes now will wait is their number at this pace.
 *
 * That the next one has waited for long says it too late: by then as many have come as can be done in many times as long.
 *
 * P1. A look is taken between two slices of time, while turns wait for the next one. What goes on in between, other partitions and a busy
 *     machine included, counts, but for more than `longestGapMs` at a time: a process that was stopped is not slow.
 * P2. The pace is that of the last `spanMs` or more of such time. Before so much has been seen it is not known: what is short says nothing,
 *     when a compiler or a collector of garbage may have had most of it.
 * P3. It is forgotten after a rest of `freshMs`: what was slow then, a takeover on a busy machine, say, tells nothing of a burst that comes
 *     hours later.
 */

export interface Pace {
  /** When it was last looked at, or since when nothing waits, monotonic ms. */
  readonly atMs: number
  /** Whether nothing waits. */
  readonly rests: boolean
  /** Turns that had begun by then. */
  readonly begun: number
  /** What was seen since the pace was last made of it. */
  readonly seenMs: number
  readonly seenTurns: number
  /** 0 before it is known. */
  readonly msPerTurn: number
}

export const unknownPace: Pace = {
  atMs: Number.NEGATIVE_INFINITY,
  rests: true,
  begun: 0,
  seenMs: 0,
  seenTurns: 0,
  msPerTurn: 0,
}

const longestGapMs = 100
const spanMs = 250
const freshMs = 1_000

/** Turns wait for the next slice; so many have begun up to now. */
export function lookAtPace(pace: Pace, nowMs: number, begun: number): Pace {
  if (pace.rests) return { ...(isFresh(pace, nowMs) ? pace : unknownPace), atMs: nowMs, rests: false, begun }
  const seenMs = pace.seenMs + Math.min(nowMs - pace.atMs, longestGapMs)
  const seenTurns = pace.seenTurns + begun - pace.begun
  const { msPerTurn } = pace
  const seen = { atMs: nowMs, rests: false, begun }
  if (seenMs < spanMs || seenTurns === 0) return { ...seen, seenMs, seenTurns, msPerTurn }
  return { ...seen, seenMs: 0, seenTurns: 0, msPerTurn: seenMs / seenTurns }
}

/** None waits any more: until some do again there is nothing to see. */
export const restingPace = (pace: Pace, nowMs: number): Pace =>
  pace.rests ? pace : { ...pace, atMs: nowMs, rests: true }

/** What a turn takes, ms; 0 where that is not known. */
export const msPerTurnAt = (pace: Pace, nowMs: number): number => (isFresh(pace, nowMs) ? pace.msPerTurn : 0)

const isFresh = ({ rests, atMs }: Pace, nowMs: number): boolean => !rests || nowMs - atMs <= freshMs
