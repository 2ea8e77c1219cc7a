/** The actor of the simulations: a list of the ids of the commands that took effect, so that the state itself is the history. */
import { actor } from '../../behaviour/actor.ts'

export const Ledger = actor('ledger', {
  version: 1,
  state: () => ({ ids: [] as string[] }),
  commands: {
    append(ctx, id: string) {
      ctx.state.ids.push(id)
      return ctx.state.ids.length
    },
    /** The same across ticks, so that turns of other keys run in between. */
    async appendLater(ctx, id: string) {
      const { ids } = ctx.state
      await Promise.resolve()
      ids.push(id)
      await Promise.resolve()
      return ids.length
    },
    fail(ctx, id: string): never {
      ctx.state.ids.push(id)
      throw new Error('on purpose')
    },
  },
  queries: { all: (state) => state.ids },
})
