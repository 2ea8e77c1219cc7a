/** Time. Only adapters know the real one; tests and the simulator move a virtual one. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. Never compared between nodes. */
  now(): number
  /** Milliseconds since an arbitrary start; never jumps, never goes back; stands still with no one. */
  monotonic(): number
  /** Calls `run` once, `delayMs` from now. */
  setTimeout(run: () => void, delayMs: number): Timer
  clearTimeout(timer: Timer | undefined): void
  /** Calls `run` soon: after all work that is ready now, before any timer that is not due yet. */
  defer(run: () => void): void
}

declare const timer: unique symbol
/** An opaque handle of one pending call. */
export interface Timer {
  readonly [timer]?: never
}
