/**
 * Whether a cluster is as it should be when nothing goes wrong.
 *
 * G1. Every node that there should be is there and runs; none suspects another.
 * G2. Every partition has one owner, which the table names and which answers a strong query; nothing moves.
 * G3. Every partition has as many standbys as are wanted, or as there are other nodes, and they follow its log.
 */
import { addressOf, type Session } from '../../client/session.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { partitionOf } from '../../protocol/partitioning.ts'
import type { SimCluster } from './cluster.ts'
import { Ledger } from './ledger.ts'
import type { Plan } from './plan.ts'
import { tableOf } from './under-way.ts'

/** Virtual ms that it may take. */
export const convergeWithinMs = 30_000
const lookEveryMs = 50

/** Resolves with the virtual ms that it took, or with what is still not as it should be. */
export async function converge(cluster: SimCluster, plan: Plan, session: Session): Promise<number | string> {
  const { clock } = cluster
  const beganMs = clock.monotonic()
  const leftMs = () => convergeWithinMs - (clock.monotonic() - beganMs)
  for (;;) {
    let amiss = whatIsAmiss(cluster, plan)
    if (amiss === undefined) {
      const answers = Array.from({ length: cluster.partitions }, (_, n) =>
        probe(session, n, cluster.partitions, leftMs()),
      )
      const silent = await clock.settle(Promise.all(answers), convergeWithinMs + 1_000)
      amiss = silent.find((answer) => answer !== undefined) ?? whatIsAmiss(cluster, plan)
    }
    if (amiss === undefined) return clock.monotonic() - beganMs
    if (leftMs() <= 0) return amiss
    await clock.advance(lookEveryMs)
  }
}

/** A sentence for the first thing that is not as it should be. */
export function whatIsAmiss(cluster: SimCluster, { nodes: wanted, standbys }: Plan): string | undefined {
  const nodes = wanted.map((name) => cluster.nodes.get(name))
  const roles = new Map<string, string[]>()
  for (const [i, one] of nodes.entries()) {
    if (one === undefined) return `node ${wanted[i]} is not there`
    const { state, members, partitions } = one.node.status()
    if (state !== 'running' || one.leaving) return `node ${one.name} is ${one.leaving ? 'leaving' : state}`
    const known = members.filter(({ suspected }) => !suspected).map(({ member }) => member.id)
    for (const name of wanted) if (!known.some((id) => id === name)) return `${one.name} suspects ${name}`
    for (const { partition, role } of partitions) {
      const place = `${partition} ${role}`
      roles.set(place, [...(roles.get(place) ?? []), one.name])
    }
  }
  const table = tableOf(cluster.world)
  const wantedStandbys = Math.min(standbys, wanted.length - 1)
  for (let n = 0; n < cluster.partitions; n++) {
    const entry = table?.entries[n]
    const owners = roles.get(`${n} owner`) ?? []
    const following = roles.get(`${n} standby`) ?? []
    if (owners.length !== 1) return `partition ${n} has ${owners.length} owners: ${owners.join(', ')}`
    if (entry === undefined || entry.owner?.id !== owners[0]) {
      return `partition ${n} is owned by ${owners[0]}, not by ${entry?.owner?.id}, whom the table names`
    }
    if (entry.moving !== null) return `partition ${n} moves to ${entry.moving.id}`
    if (following.length < wantedStandbys) {
      return `partition ${n} has ${following.length} standbys of ${wantedStandbys}: ${following.join(', ')}`
    }
  }
  return undefined
}

/** `undefined`: the owner has answered. */
async function probe(
  session: Session,
  partition: number,
  partitions: number,
  timeoutMs: number,
): Promise<string | undefined> {
  try {
    const address = addressOf(Ledger.type, keyIn(partition, partitions))
    await session.request('query', address, 'all', null, { timeoutMs: Math.max(1, timeoutMs) })
    return undefined
  } catch (error) {
    if (error instanceof HoldfastError) return `the owner of partition ${partition} does not answer: ${error.message}`
    throw error
  }
}

function keyIn(partition: number, partitions: number): string {
  for (let i = 0; ; i++) if (partitionOf(`probe-${i}`, partitions) === partition) return `probe-${i}`
}
