/**
 * Judges a run from outside: what clients were told against what the logs hold. J1 to J3 are `wrongLists`, of src/testing/check;
 * J6 to J8 are in entries.ts.
 *
 * J1. Every acknowledged append is in its ledger exactly once, at the place that its reply named.
 * J2. A doubtful one is there at most once; one that was refused, or failed, is not there.
 * J3. Appends and strong reads of a ledger are linearizable, and so that they end with what the logs hold: no read is stale.
 * J4. A watcher saw every rev of every key, once, in order, with the state of that rev.
 * J5. The logs are unbroken, each epoch has one writer, and nodes have the states that the logs say.
 * J9. Reads that may be stale are no staler than they say, and behind nothing that their client has seen (check/staleness.ts).
 */
import type { MemoryWorld } from '../../adapters/memory/world.ts'
import { partitionId, seq } from '../../protocol/ids.ts'
import { LogCheck } from '../check/logs.ts'
import { ReplicaCheck } from '../check/replicas.ts'
import { WatchCheck } from '../check/watch.ts'
import type { SimCluster } from './cluster.ts'
import { Ledger } from './ledger.ts'
import type { Seen } from './workload.ts'

type Ledgers = ReadonlyMap<string, readonly string[]>

export interface Logs {
  readonly check: LogCheck
  readonly replicas: ReplicaCheck
}

/** Reads all logs; throws where one is broken (J5). */
export function readLogs(world: MemoryWorld, partitions: number): Logs {
  const check = new LogCheck()
  const replicas = new ReplicaCheck()
  for (let n = 0; n < partitions; n++) {
    const partition = partitionId(n)
    const info = world.changelog.info(partition)
    if (info === null) throw new Error(`partition ${n} has no log`)
    const read = check.log(partition, info.generation)
    world.changelog.recordsOf(partition).forEach((bytes, i) => {
      const { seq: at, stateHash } = read(seq(i + 1), bytes)
      replicas.saw({ of: 'the log', partition: n, seq: at, hash: stateHash })
    })
  }
  return { check, replicas }
}

/** The ledgers as the logs have them, by key. */
export function ledgersIn({ check }: Logs): Ledgers {
  const states = check.statesOf(Ledger.type) as ReadonlyMap<string, { readonly ids: readonly string[] }>
  return new Map([...states].map(([key, { ids }]) => [key, ids]))
}

export const ledgersOf = (world: MemoryWorld, partitions: number): Ledgers => ledgersIn(readLogs(world, partitions))

/** A sentence for each thing that is wrong (J4). */
export function wrongWatch(seen: readonly Seen[], ledgers: Ledgers): string[] {
  const check = new WatchCheck()
  const wrong: string[] = []
  for (const { key, rev, ids, reset } of seen) {
    check.saw({ key, rev, reset })
    if (ids.length !== rev) wrong.push(`${key}: the watcher saw ${ids.length} ids at rev ${rev}`)
  }
  check.end([...ledgers].map(([key, { length }]) => [key, length]))
  return [...wrong, ...check.wrong]
}

/** A sentence for each thing that is wrong (J5). Throws where there was nothing to compare. */
export function wrongReplicas(cluster: SimCluster, { check, replicas }: Logs): string[] {
  for (const { name, node } of cluster.nodes.values()) {
    for (const { partition, role, progress } of node.status().partitions) {
      if (role !== 'owner' && role !== 'standby' && role !== 'replaying') continue
      replicas.saw({ of: name, partition, seq: progress.appliedSeq, hash: progress.stateHash })
    }
  }
  if (replicas.compared === 0) throw new Error('no node had a state to compare with the logs')
  return [...check.wrong, ...replicas.wrong]
}
