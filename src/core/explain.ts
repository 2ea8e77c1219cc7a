/**
 * Why a partition is where it is, and why it is not elsewhere: for people. Pure.
 *
 * EX1. It goes by what the planners go by, and decides nothing: who can have a partition is asked of the same members and the same table.
 * EX2. Every live node is told of, and every one that the table names though it is gone.
 */
import { sameNode, type NodeId, type NodeRef, type PartitionId } from '../protocol/ids.ts'
import { stepsOf, type NamedStep, type PlacementState, type StatedMember } from './placement-state.ts'
import { sharesOf } from './planner.ts'
import type { PlacementEntry } from './table.ts'

/** What keeps a live node from being given a partition. Weight 0 does only where another has more. */
export type Obstacle = 'draining' | 'weight 0' | 'avoided'

/** How a node is apart from the owner: in another zone, on another host of its zone, or neither. */
export type Apart = 'zone' | 'host' | 'no'

export interface Explanation {
  readonly partition: PartitionId
  readonly epoch: number
  /** The owner first, then who stands by, then the others. */
  readonly nodes: readonly ExplainedNode[]
  /** One for the owner, one for each standby, and one where standbys are missing. */
  readonly sentences: readonly string[]
}

export interface ExplainedNode {
  readonly id: NodeId
  /** `warming`: it is to stand by, and has not caught up yet. */
  readonly role: 'owner' | 'standby' | 'warming' | 'none'
  readonly canHave: 'yes' | Obstacle | 'dead'
  /** Where it is avoided: for how many ms more. */
  readonly avoidedForMs: number | null
  /** `null`: it is the owner, or one of both is not alive. */
  readonly apart: Apart | null
  /** Last record that it has applied; `null`: it has none of it. */
  readonly appliedSeq: number | null
  /** Partitions that it owns, that it should own, and that it has in all, as owner or standby. */
  readonly owns: number
  readonly share: number
  readonly replicas: number
}

export function obstacleTo(member: StatedMember, partition: PartitionId, { members }: PlacementState): Obstacle | null {
  if (member.draining) return 'draining'
  if (member.avoid.has(partition)) return 'avoided'
  return member.weight === 0 && members.some(({ weight, draining }) => weight > 0 && !draining) ? 'weight 0' : null
}

/** Why a partition cannot be moved to a node now, as a sentence; `null`: it can. */
export function whyNotMoved(state: PlacementState, partition: PartitionId, to: NodeId): string | null {
  const { members, table } = state
  const entry = table.entries[partition]
  if (entry === undefined) return noPartition(state, partition)
  const member = members.find(({ ref }) => ref.id === to)
  if (member === undefined) return noMember(state, to)
  if (!members.some(({ ref }) => sameNode(ref, entry.owner)))
    return `nobody owns partition ${partition} now: it is assigned first`
  if (sameNode(entry.owner, member.ref)) return `${to} owns partition ${partition} already`
  if (entry.moving !== null && !sameNode(entry.moving, member.ref))
    return `partition ${partition} is moving to ${entry.moving.id} already`
  switch (obstacleTo(member, partition, state)) {
    case 'draining':
      return `${to} is draining, and takes no partitions: restart it, or choose another node`
    case 'weight 0':
      return `the weight of ${to} is 0, so that what it is given would be moved away again: choose another node`
    case 'avoided':
      return `${to} could not have partition ${partition}, and is avoided for another ${seconds(member, partition)} s: try again then, or after "holdfast rebalance"`
    default:
      return null
  }
}

export const noPartition = ({ table }: PlacementState, partition: number): string =>
  `there is no partition ${partition}: the cluster has 0 to ${table.entries.length - 1}`

export const noMember = ({ members }: PlacementState, id: string): string =>
  `there is no node ${id}: the members are ${members.map(({ ref }) => ref.id).join(', ')}`

/** The partition has to be one of the table. */
export function explain(state: PlacementState, partition: PartitionId): Explanation {
  const { members, table } = state
  const entry = table.entries[partition]!
  const named = [entry.owner, ...entry.standbys, entry.moving].filter((ref) => ref !== null)
  const gone = named.filter((ref, i) => !alive(state, ref) && named.findIndex((one) => sameNode(one, ref)) === i)
  const shares = sharesOf(members, table)
  const nodes = [...members.map(({ ref }) => ref), ...gone]
    .map((ref) => nodeOf(state, entry, partition, ref, shares.get(ref.id) ?? 0))
    .toSorted((a, b) => order.indexOf(a.role) - order.indexOf(b.role) || (a.id < b.id ? -1 : 1))
  const next = stepsOf(state).find((step) => step.partition === partition && step.kind !== 'standbys')
  return {
    partition,
    epoch: entry.epoch,
    nodes,
    sentences: [
      ownerSentence(state, entry, partition, nodes, next),
      ...nodes
        .filter(({ role }) => role === 'standby' || role === 'warming')
        .map((node) => standbySentence(entry, node, nodes)),
      ...missingSentence(state, entry),
    ],
  }
}

const order: readonly ExplainedNode['role'][] = ['owner', 'standby', 'warming', 'none']

const alive = ({ members }: PlacementState, ref: NodeRef | null) => members.find((one) => sameNode(one.ref, ref))

function nodeOf(
  state: PlacementState,
  entry: PlacementEntry,
  partition: PartitionId,
  ref: NodeRef,
  share: number,
): ExplainedNode {
  const { entries } = state.table
  const member = alive(state, ref)
  const owner = alive(state, entry.owner)
  const hosted = member?.hosted.get(partition)
  const standsBy = entry.standbys.some((one) => sameNode(one, ref)) || sameNode(entry.moving, ref)
  const owns = entries.filter((one) => sameNode(one.owner, ref)).length
  return {
    id: ref.id,
    role: sameNode(entry.owner, ref)
      ? 'owner'
      : !standsBy
        ? 'none'
        : hosted?.role === 'standby' || member === undefined
          ? 'standby'
          : 'warming',
    canHave: member === undefined ? 'dead' : (obstacleTo(member, partition, state) ?? 'yes'),
    avoidedForMs: member?.avoidedForMs.get(partition) ?? null,
    apart: member === undefined || owner === undefined || owner === member ? null : apartOf(member, owner),
    appliedSeq: hosted?.appliedSeq ?? null,
    owns,
    share: member === undefined ? 0 : share,
    replicas: owns + entries.filter(({ standbys }) => standbys.some((one) => sameNode(one, ref))).length,
  }
}

const apartOf = (node: StatedMember, owner: StatedMember): Apart =>
  node.host === owner.host ? 'no' : node.zone === owner.zone ? 'host' : 'zone'

function ownerSentence(
  state: PlacementState,
  entry: PlacementEntry,
  partition: PartitionId,
  nodes: readonly ExplainedNode[],
  next: NamedStep | undefined,
): string {
  const { owner, epoch, moving } = entry
  const then = next === undefined || next.kind === 'standbys' ? 'nobody can have it' : `${next.to} is to have it next`
  if (owner === null) return `nobody ${epoch === 0 ? 'has owned it yet' : `owns it since epoch ${epoch}`}: ${then}`
  const node = nodes.find(({ role }) => role === 'owner')!
  const member = alive(state, owner)
  if (member === undefined) return `${owner.id} owned it at epoch ${epoch} and is gone: ${then}`
  const role = member.hosted.get(partition)?.role
  const serving = role === 'owner' ? '' : role === 'stopped' ? ', and has stopped it' : ', and does not serve it yet'
  const since = `${owner.id} owns it since epoch ${epoch}${serving}`
  if (moving !== null) return `${since}: it is moving to ${moving.id}`
  if (node.canHave === 'draining' || node.canHave === 'weight 0') {
    const why = node.canHave === 'draining' ? 'it drains' : 'its weight is 0'
    return `${since}: ${why}, and ${next === undefined ? 'nobody else can have it' : then}`
  }
  const placed = state.placedByHand.has(partition) ? ', and it was moved there by hand' : ''
  const leaves = next === undefined ? '' : `, so ${then}`
  const { length } = state.table.entries
  return `${since}: its share is ${node.share} of ${length}, of which it has ${node.owns}${placed}${leaves}`
}

function standbySentence(entry: PlacementEntry, node: ExplainedNode, nodes: readonly ExplainedNode[]): string {
  const { id, role, canHave, apart, appliedSeq } = node
  if (canHave === 'dead') return `${id} was to stand by and is gone`
  const owner = nodes.find((one) => one.role === 'owner')
  const end = entry.moving?.id === id ? 'own it next' : 'stand by'
  const does = role === 'standby' ? `${id} stands by` : `${id} is warming up to ${end}`
  const at = appliedSeq === null ? '' : `, at record ${appliedSeq} of ${owner?.appliedSeq ?? 'an unknown number'}`
  if (owner === undefined || apart === null) return `${does}${at}`
  const places = { zone: 'in another zone than', host: 'on another host than', no: 'on the same host as' } as const
  const farther = nodes.find(
    (one) => one.role === 'none' && one.canHave === 'yes' && one.apart !== null && rank[one.apart] < rank[apart],
  )
  const others =
    apart === 'zone'
      ? ''
      : farther === undefined
        ? '; nobody else that can have it is farther from there'
        : `; ${farther.id} would be farther from there`
  return `${does} ${places[apart]} ${owner.id}${at}${others}`
}

const rank: Readonly<Record<Apart, number>> = { zone: 0, host: 1, no: 2 }

function missingSentence(state: PlacementState, { standbys }: PlacementEntry): string[] {
  const there = standbys.filter((ref) => alive(state, ref) !== undefined).length
  if (there >= state.standbys) return []
  const wanted = `${state.standbys} ${state.standbys === 1 ? 'is' : 'are'} wanted to stand by`
  return [`${wanted}, and ${there === 0 ? 'none' : `only ${there}`} can be had at the moment`]
}

const seconds = (member: StatedMember, partition: PartitionId): number =>
  Math.ceil((member.avoidedForMs.get(partition) ?? 0) / 1_000)
