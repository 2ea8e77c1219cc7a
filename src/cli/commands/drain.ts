/** `drain`: moves everything away from one node. */
import type { Command } from 'commander'
import { decodeNodeReply, encodeControl } from '../../placement/control.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { isNodeId } from '../../protocol/ids.ts'
import { begun } from '../begun.ts'
import { exitCodes } from '../exit-codes.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'
import type { CliSession } from '../session.ts'

const lookEveryMs = 200

export function addDrain(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('drain')
    .description('Moves every partition of a node to others, and waits until it owns none.')
    .argument('<node>', 'its id, as in "holdfast members"')
  define(
    command,
    surroundings,
    {
      examples: ['holdfast drain node-2', 'holdfast drain node-2 --timeout 5m'],
      exits: [...remoteExits, exitCodes.unknown, exitCodes.conflict],
      more: 'A drained node takes no partition again until it is restarted. With --timeout over, the moves go on all the same, and the exit code is 4.',
    },
    async (run, node) => {
      const session = await run.session()
      const before = await ownedBy(session, node)
      if (before.others === 0) {
        throw new HoldfastError(
          'CONFLICT',
          `there is no other node to take the partitions of ${node}: start one, and drain again`,
        )
      }
      run.output.note(`${node} owns ${before.owned} partitions; moving them to ${before.others} other nodes`)
      const reply = decodeNodeReply(await session.orderNode(before.id, encodeControl({ op: 'drain' })))
      if (!reply.done) throw new HoldfastError('RETRY', `${node} could not note it in the registry: try again`)
      const left = await begun(`the drain of ${node}`, () => untilDrained(session, node))
      run.output.result(
        { node, drained: left === 0, moved: before.owned - left },
        `${node} owns nothing any more: it can be stopped`,
      )
    },
  )
}

async function untilDrained(session: CliSession, node: string): Promise<number> {
  const sinceMs = session.clock.monotonic()
  for (;;) {
    const { owned, coming } = await ownedBy(session, node)
    const left = owned + coming
    if (left === 0) return 0
    if (session.clock.monotonic() - sinceMs > session.settings.timeoutMs) {
      throw new HoldfastError(
        'TIMEOUT',
        `${node} still owns ${left} partitions, or is about to, after ${session.settings.timeoutMs} ms, see "holdfast partitions"`,
      )
    }
    await session.sleep(lookEveryMs)
  }
}

async function ownedBy(session: CliSession, node: string) {
  const { members, partitions } = await session.report()
  const member = members.find(({ id, lease }) => id === node && lease !== 'expired')
  if (member === undefined || !isNodeId(node)) {
    const living = members.filter(({ lease }) => lease !== 'expired').map(({ id }) => id)
    throw new HoldfastError('NOT_FOUND', `there is no node ${node}: the members are ${living.join(', ')}`)
  }
  const others = members.filter(({ id, lease }) => id !== node && lease === 'alive').length
  // What is on its way may still come, and then has to go, too.
  const coming = partitions.filter(({ moving }) => moving === node).length
  return { id: node, owned: member.owned, coming, others }
}
