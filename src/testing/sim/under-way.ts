/**
 * What is under way at this moment: the steps of a node (E1), those at its ports and those that its status, its events and the table tell of; and
 * who owns what by their own word.
 */
import { decodeTable, type PlacementTable } from '../../core/table.ts'
import type { MemoryWorld } from '../../adapters/memory/world.ts'
import type { HoldfastEvent } from '../../ports/observer.ts'
import { sameNode } from '../../protocol/ids.ts'
import type { SimCluster, SimNode } from './cluster.ts'
import type { Contested } from './stubborn.ts'
import type { Step, Steps } from './steps.ts'

export function underWay({ world }: SimCluster, { node, steps, leaving }: SimNode): ReadonlySet<Step> {
  const found = new Set<Step>(steps.atPorts())
  const { id, incarnation, state, partitions } = node.status()
  if (state === 'starting') found.add('joining')
  if (leaving || state === 'leaving') found.add('leaving')
  const table = tableOf(world)
  for (const { partition, role } of partitions) {
    if (role === 'standby') found.add('standing by')
    const entry = table?.entries[partition]
    const owns = entry?.owner?.id === id && entry.owner.incarnation === incarnation
    if (owns && (role === 'replaying' || role === 'standby')) {
      found.add(steps.isMarked('promoted', partition) ? 'promoted' : 'taking over')
      if (steps.isMarked('waiting out a lease', partition)) found.add('waiting out a lease')
    }
    if ((role === 'owner' || role === 'handing-off') && steps.isMarked('reading back', partition)) {
      found.add('reading back')
    }
    if (entry === undefined || entry.moving === null) continue
    if (owns) {
      const handedOff = role !== 'owner' && steps.isMarked('handed off, not named', partition)
      found.add(handedOff ? 'handed off, not named' : 'moving away')
    } else if (sameNode(entry.moving, { id, incarnation: entry.moving.incarnation })) {
      found.add(role === 'standby' ? 'level for a move' : 'warming up')
    }
  }
  const holding = node.metrics().some(({ name, value }) => name === 'holdfast_held_requests' && value > 0)
  if (holding) found.add('holding requests')
  return found
}

/** A partition that two nodes take for their own, if there is one: the former owner does not know yet that it is one. */
export function contestedIn({ nodes }: SimCluster): Contested | undefined {
  const owners = new Map<number, { readonly name: string; readonly epoch: number }>()
  for (const { name, node } of nodes.values()) {
    for (const { partition, role, epoch } of node.status().partitions) {
      if (role !== 'owner') continue
      const other = owners.get(partition)
      if (other === undefined) owners.set(partition, { name, epoch })
      else if (other.epoch < epoch) return { partition, owner: name, former: other.name }
      else return { partition, owner: other.name, former: name }
    }
  }
  return undefined
}

/** What it takes for its own, or stands by for; nothing where there is no such node. */
export const partitionsOf = (node: SimNode | undefined, role: 'owner' | 'standby'): readonly number[] =>
  (node?.node.status().partitions ?? []).filter((held) => held.role === role).map(({ partition }) => partition)

/** As the registry has it, whoever knows. */
export function tableOf({ registry }: MemoryWorld): PlacementTable | undefined {
  const entry = registry.get('table')
  return entry === null ? undefined : decodeTable(entry.value)
}

/** Marks what an event of a node says of steps, its own and others'. */
export function follow(event: HoldfastEvent, steps: Steps, nodes: ReadonlyMap<string, SimNode>): void {
  switch (event.type) {
    case 'partition.claimed':
      return steps.mark('waiting out a lease', event.partition)
    case 'partition.serving':
      steps.unmark('promoted', event.partition)
      steps.unmark('handed off, not named', event.partition)
      steps.unmark('reading back', event.partition)
      return steps.unmark('waiting out a lease', event.partition)
    case 'partition.standing-by':
      // As the target of a move, perhaps.
      steps.unmark('waiting out a lease', event.partition)
      return steps.mark('level for a move', event.partition)
    case 'partition.trouble':
      return steps.mark('reading back', event.partition)
    case 'partition.recovered':
    case 'partition.fenced':
      return steps.unmark('reading back', event.partition)
    case 'partition.handed-off':
      return steps.mark('handed off, not named', event.partition)
    case 'placement.moving':
      nodes.get(event.from)?.steps.mark('moving away', event.partition)
      return nodes.get(event.to)?.steps.mark('warming up', event.partition)
    case 'placement.assigned': {
      const named = nodes.get(event.owner)
      if (named === undefined) return
      const { role } = named.node.status().partitions[event.partition] ?? {}
      named.steps.unmark('waiting out a lease', event.partition)
      named.steps.unmark('promoted', event.partition)
      if (role === 'standby') named.steps.mark('promoted', event.partition)
      else named.steps.mark('taking over', event.partition)
      return named.steps.mark('holding requests', event.partition)
    }
    default:
  }
}
