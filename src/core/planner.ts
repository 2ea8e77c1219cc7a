/**
 * Where partitions should be: members and table in, steps out. The caller carries the steps out and plans again; once a plan
 * is carried out and nothing changes, the next one is empty.
 *
 * N1. A partition without a live owner is assigned at once: of the node it was moving to and its live standbys to the one that has applied
 *     most of its log, else to a new process of its former node, which has its data, else to the node that is furthest below its share.
 * N2. Shares go by weight, rounded down or up; equal weights differ by one at most. Who already has more keeps what rounds up, so
 *     that no partition moves for the rounding alone.
 * N3. Only the surplus of a node is moved, and what a draining node has. From a balanced table a node that joins costs at most
 *     ⌈partitions / nodes⌉ moves; one that leaves costs those of its own partitions. What can be moved to a standby that has caught
 *     up is moved first, then what to another standby.
 * N4. Nothing is given to a draining node, nor to a node that is to be avoided for that partition. Where nobody is left, nothing is
 *     done: a live owner keeps the partition, a dead one's waits.
 * N5. A partition that is moving already, to a node that can have it, is counted there and left alone.
 * N6. The same members and table give the same steps, whatever the order of the members.
 * N7. What was placed by hand counts like all else, and is the last that its node gives away, also where another node stands by for it.
 * N8. Who has stopped a partition will not serve it, however far it has applied its log: without a live owner it goes there only where
 *     nobody else may have it, and it is not moved there for the balance.
 */
import { sameNode, type NodeId, type NodeRef, type PartitionId } from '../protocol/ids.ts'
import type { HostedPartition } from './membership.ts'
import type { PlacementEntry, PlacementTable } from './table.ts'

/** A node whose lease is alive. */
export interface PlanMember {
  readonly ref: NodeRef
  /** Nodes of one host, or of one zone, fail together: for the choice of standbys. */
  readonly host: string
  readonly zone: string
  /** Its share relative to the others'; 0 for none. If all have 0, all have the same. */
  readonly weight: number
  readonly draining: boolean
  /** What it says that it has, a short while ago; nothing of what it did not say. */
  readonly hosted: ReadonlyMap<PartitionId, Pick<HostedPartition, 'role' | 'appliedSeq'>>
  /** Partitions that it failed to open and that it is not to be given for now. */
  readonly avoid: ReadonlySet<PartitionId>
}

export type PlanStep =
  /** Name `to` as the owner, at the next epoch. */
  | { readonly kind: 'assign'; readonly partition: PartitionId; readonly to: NodeRef }
  /** Have `from`, which is alive, hand over to `to`. */
  | { readonly kind: 'move'; readonly partition: PartitionId; readonly from: NodeRef; readonly to: NodeRef }

export function plan(
  members: readonly PlanMember[],
  table: PlacementTable,
  placedByHand: ReadonlySet<PartitionId> = new Set(),
): readonly PlanStep[] {
  const takers = takersOf(members)
  if (takers.length === 0) return []
  const homeless = settle(members, takers, table)
  share(takers, table.entries.length)
  return [...place(homeless, takers), ...balance(takers, table, placedByHand)]
}

/** Partitions that each node should have (N2); 0 for one that drains. */
export function sharesOf(members: readonly PlanMember[], table: PlacementTable): ReadonlyMap<NodeId, number> {
  const takers = takersOf(members)
  settle(members, takers, table)
  share(takers, table.entries.length)
  const shares = new Map(takers.map((taker) => [taker.member.ref.id, taker.share]))
  return new Map(members.map(({ ref: { id } }) => [id, shares.get(id) ?? 0]))
}

const takersOf = (members: readonly PlanMember[]): readonly Taker[] =>
  members
    .filter(({ draining }) => !draining)
    .toSorted((a, b) => (a.ref.id < b.ref.id ? -1 : 1))
    .map((member) => ({ member, count: 0, share: 0, own: [] }))

/** A node that can be given partitions, as the plan goes on. */
interface Taker {
  readonly member: PlanMember
  /** Partitions that it has or is to get. */
  count: number
  /** Partitions that it should have. */
  share: number
  /** Those that it serves and could hand over. */
  readonly own: PartitionId[]
}

/** A partition that needs a place; `from` is its live owner, if it has one. */
interface Homeless {
  readonly partition: PartitionId
  readonly entry: PlacementEntry
  readonly from: NodeRef | null
}

/** Counts what stays where it is (N5), and gives the rest. */
function settle(members: readonly PlanMember[], takers: readonly Taker[], table: PlacementTable): Homeless[] {
  const homeless: Homeless[] = []
  const alive = new Map(members.map(({ ref }) => [ref.id, ref]))
  const taking = new Map(takers.map((taker) => [taker.member.ref.id, taker]))
  table.entries.forEach((entry, p) => {
    const partition = p as PartitionId
    const owner = entry.owner !== null && sameNode(alive.get(entry.owner.id), entry.owner) ? entry.owner : null
    const moving = entry.moving === null ? undefined : takerOf(taking, entry.moving)
    const serving = owner === null ? undefined : takerOf(taking, owner)
    if (owner !== null && moving !== undefined) moving.count++
    else if (serving !== undefined) {
      serving.count++
      serving.own.push(partition)
    } else homeless.push({ partition, entry, from: owner })
  })
  return homeless
}

function takerOf(taking: ReadonlyMap<NodeId, Taker>, ref: NodeRef): Taker | undefined {
  const taker = taking.get(ref.id)
  return sameNode(taker?.member.ref, ref) ? taker : undefined
}

/** N2 */
function share(takers: readonly Taker[], partitions: number): void {
  const total = takers.reduce((sum, { member }) => sum + member.weight, 0)
  let left = partitions
  const rounded = takers.map((taker) => {
    const exact = total > 0 ? (partitions * taker.member.weight) / total : partitions / takers.length
    taker.share = Math.floor(exact)
    left -= taker.share
    return { taker, exact, has: taker.count > taker.share, rest: exact - taker.share, id: taker.member.ref.id }
  })
  const upwards = rounded
    .filter(({ exact }) => exact > 0)
    .toSorted((a, b) => Number(b.has) - Number(a.has) || b.rest - a.rest || (a.id < b.id ? -1 : 1))
  for (const { taker } of upwards.slice(0, left)) taker.share++
}

/** N1: first those that have a node of their own preference, so that no other takes its place there. */
function place(homeless: readonly Homeless[], takers: readonly Taker[]): PlanStep[] {
  const placed = new Map<PartitionId, PlanStep>()
  const put = ({ partition, from }: Homeless, taker: Taker | undefined) => {
    if (taker === undefined) return
    taker.count++
    const { ref: to } = taker.member
    placed.set(partition, from === null ? { kind: 'assign', partition, to } : { kind: 'move', partition, from, to })
  }
  for (const one of homeless) put(one, preferred(one, takers))
  for (const one of homeless) if (!placed.has(one.partition)) put(one, emptiest(takers, one.partition))
  const steps = [...placed.values()].toSorted((a, b) => a.partition - b.partition)
  return [...steps.filter(({ kind }) => kind === 'assign'), ...steps.filter(({ kind }) => kind === 'move')]
}

function preferred({ partition, entry, from }: Homeless, takers: readonly Taker[]): Taker | undefined {
  const able = takers.filter(({ member }) => !member.avoid.has(partition) && !hasStopped(member, partition))
  const known = from === null && entry.moving !== null ? [entry.moving, ...entry.standbys] : entry.standbys
  const applied = ({ member }: Taker) => member.hosted.get(partition)?.appliedSeq ?? 0
  const standby = known
    .flatMap((ref) => able.find(({ member }) => sameNode(member.ref, ref)) ?? [])
    // Where there is no hurry it need not be moved on for the balance.
    .filter(({ count, share }) => from === null || count < share)
    .toSorted((a, b) => applied(b) - applied(a))[0]
  if (standby !== undefined) return standby
  return from === null ? able.find(({ member }) => member.ref.id === entry.owner?.id) : undefined
}

/** The node that is furthest below its share, or least above it, of those that may have the partition; who has stopped it last (N8). */
function emptiest(takers: readonly Taker[], partition: PartitionId): Taker | undefined {
  const stopped = ({ member }: Taker) => Number(hasStopped(member, partition))
  const above = ({ count, share }: Taker) => count - share
  let best: Taker | undefined
  for (const taker of takers) {
    if (taker.member.avoid.has(partition)) continue
    if (best === undefined || (stopped(taker) - stopped(best) || above(taker) - above(best)) < 0) best = taker
  }
  return best
}

export const roleOf = ({ hosted }: PlanMember, partition: PartitionId) => hosted.get(partition)?.role

export const hasStopped = (member: PlanMember, partition: PartitionId) => roleOf(member, partition) === 'stopped'

/** N3, N7: what is above one share goes where another is not reached. */
function balance(takers: readonly Taker[], table: PlacementTable, placedByHand: ReadonlySet<PartitionId>): PlanStep[] {
  const steps: PlanStep[] = []
  const ableTo = (partition: PartitionId) => takers.filter(({ member }) => !hasStopped(member, partition))
  const standbysOf = (partition: PartitionId) => {
    const { standbys } = table.entries[partition]!
    return ableTo(partition).filter(({ member }) => standbys.some((ref) => sameNode(ref, member.ref)))
  }
  const moved = new Set<PartitionId>()
  const give = (byHand: boolean, among: (partition: PartitionId) => readonly Taker[]) => {
    for (const giver of takers) {
      for (const partition of giver.own) {
        if (giver.count <= giver.share) break
        if (moved.has(partition) || placedByHand.has(partition) !== byHand) continue
        const taker = emptiest(among(partition), partition)
        if (taker === undefined || taker.count >= taker.share) continue
        giver.count--
        taker.count++
        moved.add(partition)
        steps.push({ kind: 'move', partition, from: giver.member.ref, to: taker.member.ref })
      }
    }
  }
  for (const byHand of [false, true]) {
    give(byHand, (partition) => standbysOf(partition).filter(({ member }) => roleOf(member, partition) === 'standby'))
    give(byHand, standbysOf)
    give(byHand, ableTo)
  }
  return steps
}
