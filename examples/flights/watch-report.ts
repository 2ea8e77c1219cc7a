import type { TotalsByActor } from './expectation.ts'

/** What a watcher has seen, from the first change to the last. */
export interface WatchReport {
  /** Changes that were new, and next in the order of their actor. */
  readonly taken: number
  /** Changes that came again and were ignored. */
  readonly repeated: number
  /** How often it had to ask for a replay, besides at its end. */
  readonly replays: number
  /** What must not be, a sentence each. */
  readonly faults: readonly string[]
  readonly totals: TotalsByActor
}
