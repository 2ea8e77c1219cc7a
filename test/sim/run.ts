import { History } from '../../src/testing/check/history.ts'
import { wrongLists } from '../../src/testing/check/lists.ts'
import { SimCluster } from './cluster.ts'
import { workOnEntries, wrongEntries, type EntryHistory } from './entries.ts'
import { disturb } from './faults.ts'
import { ledgersIn, readLogs, wrongReplicas, wrongWatch } from './judge.ts'
import { Ledger } from './ledger.ts'
import { watchAll, work, type LedgerHistory, type Seen } from './workload.ts'

export interface Run {
  readonly seed: number
  /** What was wrong, a sentence each. */
  readonly wrong: readonly string[]
  readonly acknowledged: number
  readonly doubtful: number
  readonly takeovers: number
  readonly recoveries: number
  readonly fenced: number
  readonly voids: number
  readonly faults: readonly string[]
  readonly trace: string
}

const partitions = 4
const disturbedMs = 10_000
const keys = ['k0', 'k1', 'k2', 'k/3', 'ключ']

/** One run of a whole cluster from a seed. */
export async function simulate(seed: number): Promise<Run> {
  // Every turn is worth an append of its own, so that pipelines are long and their second halves get behind claims.
  const settings = { partition: { groupBytes: 1, appendWindow: 4 } }
  const cluster = new SimCluster({ seed, partitions, definitions: [Ledger], settings })
  const { clock, random } = cluster
  const history: LedgerHistory = new History()
  const seen: Seen[] = []
  const entries: EntryHistory = { puts: [], reads: [] }
  const faults: string[] = []
  try {
    for (const name of ['a', 'b', 'c']) cluster.start(name)
    await cluster.settled()
    const watcher = cluster.world.start('watcher')
    const watching = await clock.settle(watchAll(watcher, seen), 30_000)
    const untilMs = clock.monotonic() + disturbedMs
    const clients = ['x', 'y'].map((name) => ({ name, ...cluster.client(name) }))
    const workloads = clients.map(({ name, session, process }) => {
      // It misses some news of who owns what, and goes on asking who did.
      if (name === 'y') process.links.hub.dropProbability = 0.15
      return work({
        session,
        process,
        random: random.fork(name),
        keys,
        workers: 3,
        untilMs,
        timeoutMs: [2_000, 15_000],
        history,
      })
    })
    const sessions = clients.map(({ session }) => session)
    const { process } = clients[0]!
    workloads.push(workOnEntries({ sessions, process, random: random.fork('entries'), untilMs, history: entries }))
    disturb(cluster, random.fork('faults'), untilMs, (fault) => faults.push(fault))
    await clock.settle(Promise.all(workloads), 120_000)
    if (cluster.nodes.size === 0) cluster.start('a')
    await cluster.settled(60_000)
    const outcomes = [...history].map(({ outcome }) => outcome.kind)
    const ledgers = ledgersIn(readLogs(cluster.world, partitions))
    const total = [...ledgers.values()].reduce((sum, ledger) => sum + ledger.length, 0)
    await clock.runUntil(() => seen.length >= total, 30_000).catch(() => {})
    const logs = readLogs(cluster.world, partitions)
    const wrong = [
      ...wrongLists(history, ledgersIn(logs), clock.monotonic()),
      ...wrongReplicas(cluster, logs),
      ...wrongWatch(seen, ledgers),
      ...wrongEntries(entries),
    ]
    await clock.settle(watching.close(), 1_000)
    const count = (type: string) => cluster.events.filter(({ event }) => event.type === type).length
    for (const { event } of cluster.events) {
      if (
        event.type === 'partition.stopped' ||
        event.type === 'partition.hash-mismatch' ||
        event.type === 'handler.threw'
      ) {
        wrong.push(JSON.stringify(event))
      }
    }
    return {
      seed,
      wrong,
      acknowledged: outcomes.filter((kind) => kind === 'ok').length,
      doubtful: outcomes.filter((kind) => kind === 'unknown').length,
      takeovers: count('partition.claimed'),
      recoveries: count('partition.recovered'),
      fenced: count('partition.fenced'),
      voids: count('partition.void-record'),
      faults,
      trace: wrong.length === 0 ? '' : cluster.trace(400),
    }
  } catch (error) {
    throw new Error(`seed ${seed} after ${faults.join(', ')}: ${String(error)}\n${cluster.trace(80)}`, { cause: error })
  } finally {
    await cluster.close()
  }
}
