/** What the clusters of these tests host: a list of the ids of the commands that took effect, so that the state itself is the history. */
import { actor } from '../../src/index.ts'

export const Ledger = actor('ledger', {
  version: 1,
  state: () => ({ ids: [] as string[] }),
  commands: {
    append(ctx, id: string) {
      ctx.state.ids.push(id)
      return ctx.state.ids.length
    },
    /** Takes its time, so that others can come in between. */
    async appendSlowly(ctx, { id, ms }: { readonly id: string; readonly ms: number }) {
      await new Promise((resolve) => setTimeout(resolve, ms))
      ctx.state.ids.push(id)
      return ctx.state.ids.length
    },
    /** `count` characters that compress badly and differ by `seed`. */
    fillUp(ctx, { seed, count }: { readonly seed: number; readonly count: number }) {
      ctx.state.ids = [noise(seed, count)]
    },
    fail(ctx, id: string): never {
      ctx.state.ids.push(id)
      throw new Error('on purpose')
    },
  },
  queries: {
    all: (state) => state.ids,
    /** More than any state holds. */
    large: (_, bytes: number) => new Uint8Array(bytes),
  },
})

/** Text of a linear congruential generator: the same for the same seed. */
export function noise(seed: number, count: number): string {
  let x = (seed * 2_654_435_761 + 1) >>> 0
  let text = ''
  for (let i = 0; i < count; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0
    text += String.fromCharCode(33 + ((x >>> 16) % 90))
  }
  return text
}
