/**
 * What goes on for ever, read one by one at the reader's pace: what waits here to be read is bounded. It ends by throwing alone, as the
 * port that gives it says, or by `close`.
 */
export interface Reading<T> {
  /** The next one, once there is one; `undefined` after `close`. One call at a time. */
  next(): Promise<T | undefined>
  /** Idempotent. */
  close(): void
}
