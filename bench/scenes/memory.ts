/**
 * Resident memory of a node's process: with nothing to do, and after a store of a million entries has been written to it.
 *
 * M1. It is read when the process has come to rest, and no garbage collection is forced.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { keyName } from '../ledger.ts'
import { cpuMs, residentMb } from '../proc.ts'
import type { Bench, Scene } from '../scene.ts'
import { startCluster, type Cluster } from '../stage.ts'
import { value } from './kv.ts'

/** At rest a process takes less than this in each of some seconds that follow one another, ms of CPU time. */
const restMs = 200
const restSeconds = 3
const patienceSeconds = 60
/** Entries of the store for each key of the bench: a million by default. */
const entriesPerKey = 10

export const memory: Scene = {
  name: 'memory',
  figures: {
    'rss.idle': { unit: 'MB', what: 'a node with 16 partitions and nothing to do' },
    'rss.1m': {
      unit: 'MB',
      what: 'the same node at rest again, after 1,000,000 entries of 100 bytes were put (10 × --keys)',
    },
  },
  async run(bench) {
    const cluster = await startCluster(bench)
    const { pid } = cluster.nodes[0]!
    if (Number.isNaN(residentMb(pid))) {
      bench.absent(Object.keys(memory.figures), 'only Linux tells how much memory a process has')
      return
    }
    await atRest(pid)
    bench.report('rss.idle', { value: residentMb(pid) })
    if (!bench.wants('rss.1m')) return
    const entries = entriesPerKey * bench.keys
    await cluster.client.kv<string>('million').putAll(entriesOf(entries))
    await atRest(pid)
    bench.report('rss.1m', { value: residentMb(pid) })
    await verify(bench, cluster, entries)
  },
}

function* entriesOf(count: number): Generator<readonly [string, string]> {
  for (let i = 0; i < count; i++) yield [keyName(i), value]
}

/** Throws if it does not come to rest. */
async function atRest(pid: number): Promise<void> {
  let calm = 0
  let lastMs = cpuMs([pid])
  for (let second = 0; second < patienceSeconds; second++) {
    await delay(1_000)
    const nowMs = cpuMs([pid])
    calm = nowMs - lastMs < restMs ? calm + 1 : 0
    if (calm === restSeconds) return
    lastMs = nowMs
  }
  throw new Error(`the node did not come to rest within ${patienceSeconds} s`)
}

/** Throws unless each entry is there, with the rev of one put. */
async function verify({ troubles }: Bench, { client }: Cluster, entries: number): Promise<void> {
  let rows = 0
  for await (const { key, rev } of client.kv<string>('million').range()) {
    if (rev !== 1) troubles.push(`${key} has rev ${rev} after one put`)
    rows++
  }
  if (rows !== entries) throw new Error(`the store has ${rows} entries of ${entries}`)
}
