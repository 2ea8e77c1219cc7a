/** Wall clocks of nodes that jump, there and back. */
import { writeFileSync } from 'node:fs'
import { fakeClocks } from '../needs.ts'
import { clockFile, withFakeClocks } from '../places.ts'
import type { Fault } from '../fault.ts'
import { allPartitions } from '../world.ts'

const jumps = ['+10', '-10', '+3600', '-3600']
const elsewhereMs = 5_000

export const jumpClock: Fault = {
  name: 'jump-clock',
  what: `The wall clock of a node jumps by libfaketime and jumps back after ${elsewhereMs / 1_000} s: by ${jumps.join(', ')} s, in turn.`,
  count: 20,
  servers: 1,
  needs: [fakeClocks],
  place: withFakeClocks,
  async strike(world, n) {
    const victim = world.memberOf(n)
    const jump = jumps[n % jumps.length]!
    const file = clockFile(victim.dataDir)
    writeFileSync(file, jump)
    return {
      partitions: allPartitions,
      openMs: elsewhereMs,
      hit: () => `${jump} s`,
      heal: async () => writeFileSync(file, '+0'),
    }
  },
}
