/**
 * A counter, ready to be hosted: the smallest useful keyed actor type.
 */
import { actor } from '../../src/behaviour/actor.ts'

export const Counter = actor('counter', {
  version: 1,
  state: () => 0,
  commands: {
    /** Adds `n`, which may be negative, and returns the sum. Fails for anything that is not a finite number. */
    add(ctx, n: number) {
      if (!Number.isFinite(n)) throw new TypeError('add takes a finite number')
      ctx.state += n
      return ctx.state
    },
    /** Back to 0. */
    reset(ctx) {
      ctx.state = 0
    },
  },
  queries: {
    value: (state) => state,
  },
})
