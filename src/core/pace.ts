/**
 * How fast turns go while there are more of them than the processor can do: what one that comes now will wait is their work at this pace.
 *
 * That the next one has waited for long says it too late: by then as many have come as can be done in many times as long.
 *
 * P1. A look is taken between two slices of time, while turns wait for the next one. What goes on in between, other partitions and a busy
 *     machine included, counts, but for more than `longestGapMs` at a time: a process that was stopped is not slow.
 * P2. The pace is that of the last `spanMs` or more of such time. Before so much has been seen it is not known: what is short says nothing,
 *     when a compiler or a collector of garbage may have had most of it.
 * P3. It is forgotten after a rest of `freshMs`: what was slow then, a takeover on a busy machine, say, tells nothing of a burst that comes
 *     hours later.
 * P4. A turn is a unit of work, and so is each `bytesOfUnit` of its input: a burst of small ones right behind large ones is not as slow as they
 *     were. What else makes a turn long, its handler or its state, nobody knows before it has run.
 */

export interface Pace {
  /** When it was last looked at, or since when nothing waits, monotonic ms. */
  readonly atMs: number
  /** Whether nothing waits. */
  readonly rests: boolean
  /** Work that had begun by then (P4). */
  readonly begun: number
  /** What was seen since the pace was last made of it. */
  readonly seenMs: number
  readonly seenWork: number
  /** Of a unit of work; 0 before it is known. */
  readonly unitMs: number
}

export const unknownPace: Pace = {
  atMs: Number.NEGATIVE_INFINITY,
  rests: true,
  begun: 0,
  seenMs: 0,
  seenWork: 0,
  unitMs: 0,
}

const longestGapMs = 100
const spanMs = 250
const freshMs = 1_000

/** Measured: docs/decisions/0023-bounds-by-key-and-by-time.md. */
const bytesOfUnit = 2_048

/** P4 */
export const workOf = (inputBytes: number): number => 1 + Math.floor(inputBytes / bytesOfUnit)

/** Turns wait for the next slice; so much work has begun up to now. */
export function lookAtPace(pace: Pace, nowMs: number, begun: number): Pace {
  if (pace.rests) return { ...(isFresh(pace, nowMs) ? pace : unknownPace), atMs: nowMs, rests: false, begun }
  const seenMs = pace.seenMs + Math.min(nowMs - pace.atMs, longestGapMs)
  const seenWork = pace.seenWork + begun - pace.begun
  const { unitMs } = pace
  const seen = { atMs: nowMs, rests: false, begun }
  if (seenMs < spanMs || seenWork === 0) return { ...seen, seenMs, seenWork, unitMs }
  return { ...seen, seenMs: 0, seenWork: 0, unitMs: seenMs / seenWork }
}

/** None waits any more: until some do again there is nothing to see. */
export const restingPace = (pace: Pace, nowMs: number): Pace =>
  pace.rests ? pace : { ...pace, atMs: nowMs, rests: true }

/** What a unit of work takes, ms; 0 where that is not known. */
export const unitMsAt = (pace: Pace, nowMs: number): number => (isFresh(pace, nowMs) ? pace.unitMs : 0)

const isFresh = ({ rests, atMs }: Pace, nowMs: number): boolean => !rests || nowMs - atMs <= freshMs
