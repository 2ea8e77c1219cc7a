/** The actor of the commands: a counter whose state has 100 bytes. */
import { actor } from '../src/index.ts'

export const Counter = actor('counter', {
  version: 1,
  // As msgpack: 1 + (1 + 5) + 5 + (1 + 3) + (2 + 82) bytes with a count that needs four bytes.
  state: () => ({ count: 0, pad: 'x'.repeat(82) }),
  commands: {
    add: (ctx, n: number) => (ctx.state.count += n),
    /** Of a counter to which only ones were added: its rev, or −1 where that is not its count. */
    rev: (ctx) => (ctx.rev === ctx.state.count ? ctx.rev : -1),
  },
  queries: { count: (state) => state.count },
})
