/** An actor to begin with: `holdfast call counter c1 add 5`. */
import { actor } from 'holdfast'

export const Counter = actor('counter', {
  version: 1,
  state: () => 0,
  commands: {
    add(ctx, n) {
      if (typeof n !== 'number') throw new TypeError('add takes a number')
      ctx.state += n
      return ctx.state
    },
  },
  queries: { value: (state) => state },
})
