/** `placement explain` and `rebalance`: why partitions are where they are, and having that thought over. */
import type { Command } from 'commander'
import { explain, noPartition, type ExplainedNode } from '../../core/explain.ts'
import { stepsOf, type NamedStep, type PlacementState } from '../../core/placement-state.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { partitionId } from '../../protocol/ids.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { parseWhole } from '../parse.ts'
import { carriedOut, planOf } from '../placement-leader.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'

export function addPlacement(program: Command, surroundings: Surroundings): void {
  const placement = program.command('placement').description('Tells why partitions are where they are.')
  addExplain(placement, surroundings)
  addRebalance(program, surroundings)
}

function addExplain(placement: Command, surroundings: Surroundings): void {
  const command = placement
    .command('explain')
    .description('Tells why a partition is where it is, and which nodes could have it.')
    .argument('<partition>', 'its number')
  define(
    command,
    surroundings,
    {
      examples: ['holdfast placement explain 3', "holdfast placement explain 3 --json | jq '.sentences[]'"],
      exits: [...remoteExits, exitCodes.conflict],
      more: 'It is what the node that leads placement goes by at the moment.',
    },
    async (run, given) => {
      const number = parseWhole(given)
      const { state } = await planOf(await run.session())
      if (number >= state.table.entries.length) throw new HoldfastError('NOT_FOUND', noPartition(state, number))
      const explanation = explain(state, partitionId(number))
      run.output.result(explanation, () =>
        [...explanation.sentences, '', nodesTable(explanation.nodes, run.output)].join('\n'),
      )
    },
  )
}

function nodesTable(nodes: readonly ExplainedNode[], output: Output): string {
  const rows = nodes.map((node) => [
    node.id,
    node.role === 'none' ? '-' : node.role,
    node.canHave === 'yes' ? 'yes' : output.mark('warn', `no: ${obstacleOf(node)}`),
    node.apart === null ? '-' : places[node.apart],
    node.appliedSeq ?? '-',
    node.owns,
    node.share,
    node.replicas,
  ])
  return output.table(['NODE', 'ROLE', 'CAN HAVE IT', 'FROM OWNER', 'SEQ', 'OWNS', 'SHARE', 'REPLICAS'], rows)
}

const places = { zone: 'another zone', host: 'another host', no: 'same host' } as const

const obstacleOf = ({ canHave, avoidedForMs }: ExplainedNode): string =>
  avoidedForMs === null ? canHave : `${canHave} for ${Math.ceil(avoidedForMs / 1_000)} s`

function addRebalance(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('rebalance')
    .description('Has placement forget which nodes could not have which partitions, and plan anew.')
    .option('--dry-run', 'only prints what it would do')
  define(
    command,
    surroundings,
    {
      examples: ['holdfast rebalance --dry-run', 'holdfast rebalance'],
      exits: [...remoteExits, exitCodes.unknown, exitCodes.conflict],
      more: 'Placement plans by itself several times a second: this is for nodes that are avoided because they failed to open a partition, and can open it now. It does not wait for the moves.',
    },
    async (run) => {
      const session = await run.session()
      if (command.opts<{ dryRun?: true }>().dryRun === true) {
        const steps = stepsOf(withoutAvoided((await planOf(session)).state))
        return run.output.result({ done: false, steps }, () => stepsText('nothing is to be done', steps, run.output))
      }
      await carriedOut(session, { op: 'rebalance' })
      const { state, steps } = await planOf(session)
      const all = [...movesOf(state), ...steps]
      run.output.result({ done: true, steps: all }, () =>
        stepsText('placement has planned anew, and nothing is to be done', all, run.output),
      )
    },
  )
}

/** What it would go by then. */
const withoutAvoided = (state: PlacementState): PlacementState => ({
  ...state,
  members: state.members.map((member) => ({ ...member, avoid: new Set(), avoidedForMs: new Map() })),
})

/** Those that are under way. */
const movesOf = ({ table }: PlacementState): readonly NamedStep[] =>
  table.entries.flatMap(({ owner, moving }, p) =>
    owner === null || moving === null
      ? []
      : [{ kind: 'move' as const, partition: partitionId(p), from: owner.id, to: moving.id }],
  )

function stepsText(none: string, steps: readonly NamedStep[], output: Output): string {
  if (steps.length === 0) return none
  const rows = steps.map((step) => {
    const { kind, partition } = step
    if (kind === 'standbys') return [partition, 'stand by', '', step.standbys.join(', ') || 'nobody']
    return [partition, kind, kind === 'move' ? step.from : '', step.to]
  })
  return output.table(['PARTITION', 'STEP', 'FROM', 'TO'], rows)
}
