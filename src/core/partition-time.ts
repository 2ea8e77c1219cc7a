/**
 * A partition's own time (E6): what `ctx.now()` gives and records carry. It goes with the owner's monotonic clock and never back, also
 * across owners whose wall clocks differ; while it is ahead of the wall clock it runs at half speed until that has caught up.
 */
export interface PartitionTime {
  readonly timeMs: number
  readonly monotonicMs: number
}

/** A new owner begins at the log's time or its own wall clock, whichever is later. */
export function beginTime(logTimeMs: number, wallMs: number, monotonicMs: number): PartitionTime {
  return { timeMs: Math.max(logTimeMs, wallMs), monotonicMs }
}

export function advanceTime(time: PartitionTime, wallMs: number, monotonicMs: number): PartitionTime {
  const elapsed = Math.max(0, monotonicMs - time.monotonicMs)
  // How far it would be ahead by now at full speed.
  const ahead = Math.max(0, time.timeMs + elapsed - wallMs)
  // At half speed the lead shrinks by half a millisecond for each that passes.
  const slow = Math.min(elapsed, ahead * 2)
  return { timeMs: time.timeMs + slow / 2 + (elapsed - slow), monotonicMs }
}
