/**
 * Nodes that join or leave, and one that is killed in the middle of a move that comes of it.
 *
 * V1. The steps are those of src/placement/moves.ts, as nodes tell them: the move is noted; its target stands by; its owner has handed off; its
 *     target has claimed the next epoch, and is named at it. The node that is killed is the move's owner, its target, or the leader.
 * V2. Strikes take turns, so that every step has met every node after as many strikes as there are pairs.
 */
import type { HoldfastEvent } from '../../../src/index.ts'
import type { NodeHandle } from '../../e2e/support/node-handle.ts'
import type { Fault } from '../fault.ts'
import type { World } from '../world.ts'

const roles = ['the owner', 'the target', 'the leader'] as const
type Role = (typeof roles)[number]

interface Move {
  readonly partition: number
  readonly from: string
  readonly to: string
}

/** Whether an event of a node is this step of a move. */
type Step = readonly [name: string, is: (event: HoldfastEvent, by: string, move: Move) => boolean]

const steps: readonly Step[] = [
  ['noted', (event) => event.type === 'placement.moving'],
  // Who stood by before says nothing: then it is at the hand-off, which comes at once.
  [
    'standing by',
    (event, by, move) => (event.type === 'partition.standing-by' && by === move.to) || isHandOff(event, by, move),
  ],
  ['handed off', isHandOff],
  ['named', (event, _by, { to }) => event.type === 'placement.assigned' && event.owner === to],
  ['claimed', (event, by, { to }) => event.type === 'partition.claimed' && by === to],
]

function isHandOff(event: HoldfastEvent, by: string, { from }: Move): boolean {
  return event.type === 'partition.handed-off' && by === from
}

const joining = 'd'

export const moveInterrupted: Fault = {
  name: 'move-interrupted',
  what: 'A fourth node joins, or one of three leaves, in turn, and in the middle of a move that comes of it a node is killed with SIGKILL: the owner, the target, or the leader of placement, at each step. Then what was killed is started again, and the fourth node leaves, or the one that left joins again.',
  count: 105,
  servers: 1,
  strikesPerWorld: 15,
  async strike(world, n) {
    const step = steps[n % steps.length]!
    const role = roles[Math.floor(n / steps.length) % roles.length]!
    const joins = Math.floor(n / (steps.length * roles.length)) % 2 === 0
    const leader = await world.leader()
    const leaving = world.memberOf(n)
    const seen = new Map(world.cluster.processes.map((node) => [node, node.events.length]))
    if (joins) world.cluster.start(joining)
    else leaving.order({ do: 'drain' })
    const move = await world.cluster.until(() => moveAt(world, step, seen), `a move is ${step[0]}`)
    const victim = { 'the owner': world.node(move.from), 'the target': world.node(move.to), 'the leader': leader }[role]
    const partitions = [...new Set([...world.owned(victim), move.partition])]
    await world.cluster.kill(victim)
    return { partitions, hit: () => hitOf(joins, step, role), heal: () => heal(world, joins, leaving, victim) }
  },
}

const hitOf = (joins: boolean, [step]: Step, role: Role) =>
  `${step}, ${role} killed, at ${joins ? 'a join' : 'a leave'}`

/** The first move that has come to a step since the events that were seen. */
function moveAt(world: World, [, is]: Step, seen: ReadonlyMap<NodeHandle, number>): Move | undefined {
  const news = world.cluster.processes.flatMap((node) =>
    node.events.slice(seen.get(node) ?? 0).map((event) => ({ by: node.name, event })),
  )
  const moves = news.flatMap(({ event }): Move[] => (event.type === 'placement.moving' ? [event] : []))
  return moves.find((move) =>
    news.some(({ by, event }) => 'partition' in event && event.partition === move.partition && is(event, by, move)),
  )
}

async function heal(world: World, joins: boolean, leaving: NodeHandle, victim: NodeHandle): Promise<void> {
  const { cluster } = world
  if (victim.name !== joining) await world.restart(victim.name)
  if (joins) {
    const fourth = world.node(joining)
    if (!fourth.running) return
    await cluster.ready(fourth)
    await cluster.drain(fourth)
    await cluster.stop(fourth)
  } else if (leaving !== victim) {
    await cluster.until(() => leaving.drained, `${leaving.name} has given everything away`)
    await cluster.stop(leaving)
    await world.restart(leaving.name)
  }
}
