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

/** Of a load under which a wait is one for the takeover and not for the processor. */
export const fewCallers = 256

export const killLightly: Fault = {
  ...kill,
  name: 'kill-under-light-load',
  what: 'As `kill`, with an eighth of the callers: a wait has less of the load in it, and more of the takeover.',
  count: 50,
  callers: fewCallers,
}

async function killed(world: World, victim: NodeHandle) {
  const partitions = world.owned(victim)
  await world.cluster.kill(victim)
  return { partitions, heal: () => world.restart(victim.name) }
}
