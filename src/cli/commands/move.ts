/**
 * `move`: one partition to one node, by hand.
 *
 * MV1. An order that nobody answers in time is given again. Where the node has the partition by then, which it had not before, that is what
 *      was ordered: it is no conflict.
 */
import type { Command } from 'commander'
import { noMember, noPartition } from '../../core/explain.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { partitionId, sameNode, type NodeRef, type PartitionId } from '../../protocol/ids.ts'
import { begun } from '../begun.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseWhole } from '../parse.ts'
import { carriedOut, planOf } from '../placement-leader.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'
import type { CliSession } from '../session.ts'

const lookEveryMs = 200

export function addMove(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('move')
    .description('Moves a partition to a node.')
    .argument('<partition>', 'its number')
    .requiredOption('--to <node>', 'the id of a node, as in "holdfast members"')
    .option('--wait', 'until the node serves it, for as long as --timeout says')
  define(
    command,
    surroundings,
    {
      examples: ['holdfast move 3 --to node-2', 'holdfast move 3 --to node-2 --wait --timeout 5m'],
      exits: [...remoteExits, exitCodes.unknown, exitCodes.conflict],
      more: 'Placement goes on giving each node its share by weight: another partition may move back in exchange. The one that was moved is the last that its node gives away, as long as the same node leads placement. With --timeout over, the move goes on all the same, and the exit code is 4.',
    },
    async (run, given) => {
      const number = parseWhole(given)
      const { to, wait } = command.opts<{ to: string; wait?: true }>()
      const session = await run.session()
      const { state } = await planOf(session)
      const member = state.members.find(({ ref }) => ref.id === to)
      if (number >= state.table.entries.length) throw new HoldfastError('NOT_FOUND', noPartition(state, number))
      if (member === undefined) throw new HoldfastError('NOT_FOUND', noMember(state, to))
      const partition = partitionId(number)
      const { owner } = state.table.entries[partition]!
      const from = owner?.id ?? null
      await order(session, partition, owner, member.ref)
      if (wait !== true) {
        return run.output.result(
          { partition, from, to, moved: false },
          `partition ${partition} is moving from ${from} to ${to}: see "holdfast placement explain ${partition}"`,
        )
      }
      run.output.note(`partition ${partition} is moving from ${from} to ${to}`)
      const epoch = await begun(`the move of partition ${partition} to ${to}`, () =>
        untilServed(session, partition, member.ref),
      )
      run.output.result(
        { partition, from, to, moved: true, epoch },
        `${to} serves partition ${partition}, at epoch ${epoch}`,
      )
    },
  )
}

/** MV1 */
async function order(session: CliSession, partition: PartitionId, from: NodeRef | null, to: NodeRef): Promise<void> {
  try {
    await carriedOut(session, { op: 'move', partition, to: to.id })
  } catch (error) {
    if (!isHoldfastError(error, 'CONFLICT') || sameNode(from, to)) throw error
    const { state } = await planOf(session)
    if (!sameNode(state.table.entries[partition]!.owner, to)) throw error
  }
}

/** Gives the epoch at which the node serves the partition. */
async function untilServed(session: CliSession, partition: PartitionId, to: NodeRef): Promise<number> {
  const { clock, settings } = session
  const sinceMs = clock.monotonic()
  for (;;) {
    const { state } = await planOf(session)
    const { owner, moving, epoch } = state.table.entries[partition]!
    const owns = sameNode(owner, to)
    if (!owns && !sameNode(moving, to)) {
      throw new HoldfastError(
        'CONFLICT',
        `the move of partition ${partition} to ${to.id} was given up: see "holdfast placement explain ${partition}"`,
      )
    }
    const role = state.members.find(({ ref }) => sameNode(ref, to))?.hosted.get(partition)?.role
    if (owns && role === 'owner') return epoch
    if (clock.monotonic() - sinceMs > settings.timeoutMs) {
      throw new HoldfastError(
        'TIMEOUT',
        `${to.id} does not serve partition ${partition} after ${settings.timeoutMs} ms, see "holdfast placement explain ${partition}"`,
      )
    }
    await session.sleep(lookEveryMs)
  }
}
