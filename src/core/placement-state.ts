/**
 * What placement goes by at the moment, as its leader tells an operator, and the steps that it would take next. Pure.
 *
 * PS1. It is what the planners are given, no more: who asks can plan with it, and comes to the same steps.
 * PS2. It is JSON with a format number; what is not exactly of that format is `INVALID`. What there is much of is written in rows, so that
 *      the state of the largest cluster is within what a reader takes.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { isNodeId, partitionId, seq, type NodeId, type PartitionId } from '../protocol/ids.ts'
import { hostedRoles, type HostedRole } from './membership.ts'
import { plan, type PlanMember } from './planner.ts'
import { planStandbys } from './standby-plan.ts'
import { nodeFrom, tableFrom, type PlacementTable } from './table.ts'

export interface PlacementState {
  /** Who leads, and says this. */
  readonly leader: NodeId
  readonly members: readonly StatedMember[]
  readonly table: PlacementTable
  /** Partitions that stay where an operator moved them, as far as their node has others to give away. */
  readonly placedByHand: ReadonlySet<PartitionId>
  /** Standbys of each partition that are wanted. */
  readonly standbys: number
  /** Partitions that may have one more for a while. */
  readonly maxExtraStandbys: number
}

export interface StatedMember extends PlanMember {
  /** Of those to avoid: for how many ms more. */
  readonly avoidedForMs: ReadonlyMap<PartitionId, number>
}

export type NamedStep =
  /** It has no live owner, and `to` is named. */
  | { readonly kind: 'assign'; readonly partition: PartitionId; readonly to: NodeId }
  | { readonly kind: 'move'; readonly partition: PartitionId; readonly from: NodeId; readonly to: NodeId }
  /** These are to stand by, in place of those that do. */
  | { readonly kind: 'standbys'; readonly partition: PartitionId; readonly standbys: readonly NodeId[] }

/** What the leader would do now, one after the other. Moves are begun a few at a time. */
export function stepsOf(state: PlacementState): readonly NamedStep[] {
  const { members, table, placedByHand, standbys, maxExtraStandbys: maxExtra } = state
  const steps = plan(members, table, placedByHand)
  const owners = new Map(steps.flatMap((step) => (step.kind === 'assign' ? [[step.partition, step.to]] : [])))
  const assigned: PlacementTable = {
    ...table,
    entries: table.entries.map((entry, p) => {
      const owner = owners.get(p as PartitionId)
      return owner === undefined ? entry : { ...entry, owner, moving: null }
    }),
  }
  return [
    ...steps.map((step): NamedStep => {
      const { partition, to } = step
      if (step.kind === 'assign') return { kind: 'assign', partition, to: to.id }
      return { kind: 'move', partition, from: step.from.id, to: to.id }
    }),
    ...planStandbys(members, assigned, { standbys, maxExtra }).map((step): NamedStep => ({
      kind: 'standbys',
      ...step,
      standbys: step.standbys.map(({ id }) => id),
    })),
  ]
}

const format = 1

/** PS2 */
export const stateToJson = (state: PlacementState): object => ({
  format,
  leader: state.leader,
  standbys: state.standbys,
  maxExtraStandbys: state.maxExtraStandbys,
  placedByHand: [...state.placedByHand],
  members: state.members.map(({ ref, host, zone, weight, draining, avoidedForMs, hosted }) => ({
    ...{ id: ref.id, incarnation: ref.incarnation, host, zone, weight, draining },
    avoided: [...avoidedForMs].map(([partition, ms]) => [partition, Math.round(ms)]),
    partitions: [...hosted].map(([partition, { role, appliedSeq }]) => [partition, role, appliedSeq]),
  })),
  table: state.table,
  steps: stepsOf(state),
})

/** Throws `INVALID` (PS2). The steps are those that the leader came to. */
export function stateFromJson(json: unknown): { readonly state: PlacementState; readonly steps: readonly NamedStep[] } {
  const { leader, standbys, maxExtraStandbys, placedByHand, members, table, steps, ...rest } = objectFrom(json)
  if (rest['format'] !== format) throw malformed('format')
  const state: PlacementState = {
    leader: nodeIdFrom(leader),
    standbys: naturalFrom(standbys),
    maxExtraStandbys: naturalFrom(maxExtraStandbys),
    placedByHand: new Set(listFrom(placedByHand).map(partitionFrom)),
    members: listFrom(members).map(memberFrom),
    table: tableFrom(table),
  }
  return { state, steps: listFrom(steps).map(stepFrom) }
}

function memberFrom(json: unknown): StatedMember {
  const { host, zone, weight, draining, avoided, partitions, ...rest } = objectFrom(json)
  if (typeof host !== 'string' || typeof zone !== 'string' || typeof draining !== 'boolean') throw malformed('member')
  if (typeof weight !== 'number' || weight < 0) throw malformed('weight')
  const avoidedForMs = new Map(
    listFrom(avoided).map((row) => {
      const [partition, ms] = listFrom(row)
      return [partitionFrom(partition), naturalFrom(ms)]
    }),
  )
  const hosted = new Map(
    listFrom(partitions).map((row) => {
      const [partition, role, applied] = listFrom(row)
      if (!hostedRoles.includes(role as HostedRole)) throw malformed('role')
      return [partitionFrom(partition), { role: role as HostedRole, appliedSeq: seq(naturalFrom(applied)) }]
    }),
  )
  const ref = nodeFrom(rest)
  return { ref, host, zone, weight, draining, hosted, avoidedForMs, avoid: new Set(avoidedForMs.keys()) }
}

function stepFrom(json: unknown): NamedStep {
  const { kind, partition, from, to, standbys } = objectFrom(json)
  const at = partitionFrom(partition)
  switch (kind) {
    case 'assign':
      return { kind, partition: at, to: nodeIdFrom(to) }
    case 'move':
      return { kind, partition: at, from: nodeIdFrom(from), to: nodeIdFrom(to) }
    case 'standbys':
      return { kind, partition: at, standbys: listFrom(standbys).map(nodeIdFrom) }
    default:
      throw malformed('step')
  }
}

function objectFrom(json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null) throw malformed('object')
  return json as Readonly<Record<string, unknown>>
}

function listFrom(json: unknown): readonly unknown[] {
  if (!Array.isArray(json)) throw malformed('list')
  return json
}

function naturalFrom(json: unknown): number {
  if (!Number.isSafeInteger(json) || (json as number) < 0) throw malformed('number')
  return json as number
}

const partitionFrom = (json: unknown): PartitionId => partitionId(naturalFrom(json))

function nodeIdFrom(json: unknown): NodeId {
  if (typeof json !== 'string' || !isNodeId(json)) throw malformed('node id')
  return json
}

const malformed = (what: string) =>
  new HoldfastError(
    'INVALID',
    `what answered is not a state of placement of format ${format} (bad ${what}): use the command line of the version that the nodes run`,
  )
