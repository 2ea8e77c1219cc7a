/** Nodes that are stopped where they stand (SIGSTOP) and go on as if nothing had been. */
import type { Fault } from '../fault.ts'

const pause = (seconds: number, count: number, what: string): Fault => ({
  name: `pause-${seconds}s`,
  what: `A node is stopped with SIGSTOP for ${seconds} s${what}`,
  count,
  servers: 1,
  async strike(world, n) {
    const victim = world.memberOf(n)
    const partitions = world.owned(victim)
    victim.signal('SIGSTOP')
    return { partitions, openMs: seconds * 1_000, heal: async () => victim.signal('SIGCONT') }
  },
})

export const pauses: readonly Fault[] = [
  pause(1, 20, ', which is less than the term of its lease.'),
  pause(5, 20, ', and goes on when others have taken over.'),
  pause(30, 10, ', and goes on when everybody has forgotten it.'),
]
