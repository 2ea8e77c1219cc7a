/** The actors of these tests. A ledger is the list of the commands that took effect, so that the state itself is the history. */
import { actor } from '../../../src/index.ts'

export const Ledger = actor('ledger', {
  version: 1,
  state: () => ({ ids: [] as string[] }),
  commands: {
    /** The reply is the place of the id in the list, from 1. */
    append(ctx, id: string) {
      ctx.state.ids.push(id)
      return ctx.state.ids.length
    },
  },
  queries: { all: (state) => state.ids },
})

export const Counter = actor('counter', {
  version: 1,
  state: () => 0,
  commands: {
    add: (ctx, amount: number) => (ctx.state += amount),
  },
  queries: { sum: (state) => state },
})
