/** The actor of these tests: the list of the commands that took effect, so that the state itself is the history. */
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
