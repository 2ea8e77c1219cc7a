/**
 * Who stands by for which partition: members and table in, other lists of standbys out. Planned again and again, as the planner of owners is;
 * once a plan is carried out and all have caught up, the next one is empty.
 *
 * B1. A partition has so many standbys as are wanted, or as many as there are other nodes. Nodes that are gone or that own the partition
 *     are none; nobody of weight 0, who drains or who is to be avoided for it becomes one. Who is one already and is to be avoided goes on:
 *     it may only be slow, and what it has replayed would be lost. One that cannot open it says so, and is none by that (PL4 of leader.ts).
 * B2. A standby is as far from the owner and from other standbys as can be had: in another zone, else on another host, else where it is.
 *     Among equals the node with the fewest replicas for its weight.
 * B3. One that is better placed comes first, and the other goes when it has caught up: never is there less than there was. So a partition has
 *     one more than wanted for a while. At most `maxExtra` partitions have that at a time, for it costs a replay.
 *     One that has stopped the partition is replaced like one that drains, before that one, and goes without waiting: it keeps nothing up.
 * B4. Nodes of equal weight have about equally many replicas: a standby moves where that takes two off the difference.
 */
import { sameNode, type NodeRef, type PartitionId } from '../protocol/ids.ts'
import { hasStopped, roleOf, type PlanMember } from './planner.ts'
import type { PlacementTable } from './table.ts'

export interface StandbyPlanOptions {
  /** Standbys of each partition that are wanted. */
  readonly standbys: number
  /** B3 */
  readonly maxExtra: number
}

export interface StandbyStep {
  readonly partition: PartitionId
  readonly standbys: readonly NodeRef[]
}

export function planStandbys(
  members: readonly PlanMember[],
  table: PlacementTable,
  { standbys: wanted, maxExtra }: StandbyPlanOptions,
): readonly StandbyStep[] {
  const nodes = members.toSorted((a, b) => (a.ref.id < b.ref.id ? -1 : 1))
  const replicas = replicasOf(nodes, table)
  const load = (node: PlanMember) => (replicas.get(node) ?? 0) / node.weight
  const memberOf = (ref: NodeRef | null) => nodes.find((node) => sameNode(node.ref, ref))
  const steps: StandbyStep[] = []
  let extras = table.entries.filter(({ standbys }) => standbys.length > wanted).length

  table.entries.forEach((entry, p) => {
    const partition = p as PartitionId
    // Without an owner there is nothing to keep a distance from, nor anything to follow: first it gets one.
    const owner = memberOf(entry.owner)
    if (owner === undefined) return
    const list = entry.standbys.map(memberOf).filter((node) => node !== undefined && node !== owner) as PlanMember[]
    const becomesOne = (node: PlanMember) =>
      parting(node, partition) === 0 && node.weight > 0 && !node.avoid.has(partition)
    const free = nodes.filter((node) => node !== owner && becomesOne(node) && !list.includes(node))
    const add = (node: PlanMember) => {
      free.splice(free.indexOf(node), 1)
      list.push(node)
      replicas.set(node, (replicas.get(node) ?? 0) + 1)
    }
    const drop = (node: PlanMember) => {
      list.splice(list.indexOf(node), 1)
      replicas.set(node, (replicas.get(node) ?? 0) - 1)
    }
    const farthest = (others: readonly PlanMember[]) =>
      free.toSorted((a, b) => nearness(a, others, partition) - nearness(b, others, partition) || load(a) - load(b))[0]

    while (list.length < wanted) {
      const node = farthest([owner, ...list])
      if (node === undefined) break
      add(node)
    }
    while (list.length > wanted) {
      const worst = worstOf(list, owner, partition, load)
      const others = list.filter((node) => node !== worst)
      if (!hasStopped(worst, partition) && others.some((node) => roleOf(node, partition) !== 'standby')) break
      drop(worst)
    }
    if (wanted > 0 && list.length === wanted && extras < maxExtra) {
      const worst = worstOf(list, owner, partition, load)
      const others = [owner, ...list.filter((node) => node !== worst)]
      const better = farthest(others)
      if (better !== undefined && isBetter(better, worst, others, partition, load)) {
        add(better)
        extras++
      }
    }
    const standbys = list.map(({ ref }) => ref)
    if (!isSame(standbys, entry.standbys)) steps.push({ partition, standbys })
  })
  return steps
}

/** How many partitions each node has, as owner or standby. */
function replicasOf(nodes: readonly PlanMember[], table: PlacementTable): Map<PlanMember, number> {
  const counts = new Map<PlanMember, number>()
  for (const { owner, standbys } of table.entries) {
    for (const ref of [owner, ...standbys]) {
      const node = nodes.find((one) => sameNode(one.ref, ref))
      if (node !== undefined) counts.set(node, (counts.get(node) ?? 0) + 1)
    }
  }
  return counts
}

/** What fails together with it, of those: 2 for each on its host, 1 for each in its zone. Who is to part is nearer than any. */
function nearness(node: PlanMember, others: readonly PlanMember[], partition: PartitionId): number {
  const shared = others.reduce((sum, { host, zone }) => sum + (host === node.host ? 2 : zone === node.zone ? 1 : 0), 0)
  return shared + parting(node, partition)
}

/** B3 */
const parting = (node: PlanMember, partition: PartitionId): number =>
  (hasStopped(node, partition) ? 2_000 : 0) + (node.draining ? 1_000 : 0)

/** Whom to do without: the one that is nearest to the rest, then the one that has most to do. */
function worstOf(
  list: readonly PlanMember[],
  owner: PlanMember,
  partition: PartitionId,
  load: (node: PlanMember) => number,
): PlanMember {
  const near = (node: PlanMember) => nearness(node, [owner, ...list.filter((other) => other !== node)], partition)
  return list.toSorted((a, b) => near(b) - near(a) || load(b) - load(a))[0]!
}

/** B2, B4: worth a replay. One of weight 0 has too much, whatever it has. */
function isBetter(
  node: PlanMember,
  worst: PlanMember,
  others: readonly PlanMember[],
  partition: PartitionId,
  load: (node: PlanMember) => number,
): boolean {
  const [near, far] = [nearness(worst, others, partition), nearness(node, others, partition)]
  if (near !== far) return far < near
  return worst.weight === 0 || load(worst) - 1 / worst.weight >= load(node) + 1 / node.weight
}

const isSame = (one: readonly NodeRef[], other: readonly NodeRef[]) =>
  one.length === other.length && one.every((ref, i) => sameNode(ref, other[i]))
