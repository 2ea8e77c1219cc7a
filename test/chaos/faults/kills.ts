/** Nodes that are killed, with no time to say or flush anything. */
import type { Fault } from '../fault.ts'
import type { World } from '../world.ts'
import type { NodeHandle } from '../../e2e/support/node-handle.ts'

export const kill: Fault = {
  name: 'kill',
  what: 'A node is killed with SIGKILL; when its partitions have answered it is started again on its directory.',
  count: 100,
  servers: 1,
  strike: (world, n) => killed(world, world.memberOf(n)),
}

export const killLeader: Fault = {
  name: 'kill-leader',
  what: 'The node that leads placement is killed with SIGKILL: another one has to be elected before its partitions can be taken over.',
  count: 50,
  servers: 1,
  strike: async (world) => killed(world, await world.leader()),
}

async function killed(world: World, victim: NodeHandle) {
  const partitions = world.owned(victim)
  await world.cluster.kill(victim)
  return { partitions, heal: () => world.restart(victim.name) }
}
