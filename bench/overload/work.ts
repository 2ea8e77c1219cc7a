/** What is done under overload: each command computes for a while and counts itself, so that nothing of it can be lost or done twice. */
import { actor } from '../../src/index.ts'

/** How long a command keeps the processor, ms. So one node does a little less than a thousand in a second. */
const computeMs = 1

export const Work = actor('work', {
  version: 1,
  state: () => ({ done: 0 }),
  commands: {
    compute(ctx) {
      keepBusy(computeMs)
      return ++ctx.state.done
    },
    /** Four times as much: more than a node can do also where the load comes slowly. */
    toil(ctx) {
      keepBusy(4 * computeMs)
      return ++ctx.state.done
    },
    /** Next to no work. */
    touch: (ctx) => ++ctx.state.done,
  },
  queries: { done: (state) => state.done },
})

function keepBusy(forMs: number): void {
  const untilMs = performance.now() + forMs
  while (performance.now() < untilMs);
}

export const hotKey = 'hot'
export const keysOf = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `key-${i}`)
