import { actor } from '../../src/index.ts'

const perSecond = 5
const burst = 10

/** A token bucket for each key: `burst` at once, `perSecond` in the long run, for all callers of the cluster together. */
export const Limiter = actor('limiter', {
  version: 1,
  state: () => ({ tokens: burst, at: 0 }),
  commands: {
    take(ctx, count: number) {
      // Never goes back, also when another node takes over.
      const now = ctx.now()
      const { tokens, at } = ctx.state
      const available = Math.min(burst, tokens + ((now - at) / 1_000) * perSecond)
      if (available < count)
        return { allowed: false, retryAfterMs: Math.ceil(((count - available) / perSecond) * 1_000) }
      ctx.state = { tokens: available - count, at: now }
      return { allowed: true, retryAfterMs: 0 }
    },
  },
})
