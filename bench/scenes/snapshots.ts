/**
 * Snapshots: commands while they are cut, and a node with an empty directory that restores them.
 *
 * T1. Nearly all of the state is values of 64 KiB that nothing can compress.
 * T2. Cuts are ordered as an operator orders them, `holdfast snapshot --all`, again and again while commands are measured; rounds with and
 *     without take turns.
 * T3. The time of a restore runs from the start of the node's process, by its own clock, to the end of its last partition's restore: with the
 *     start of Node.js, finding the cluster, and being given the partitions.
 */
import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { untilDone } from '../../examples/support/until-done.ts'
import type { Holdfast } from '../../src/index.ts'
import { balanced, BenchNode, type Restored } from '../bench-node.ts'
import { closedLoop, timeMs } from '../closed-loop.ts'
import { CounterLoad } from '../counter-load.ts'
import { median } from '../figure.ts'
import { keyName, Ledger } from '../ledger.ts'
import type { Bench, Scene } from '../scene.ts'
import { clusterName, onItsOwn, openClient, startServers, urlsOf } from '../stage.ts'

const valueBytes = 64 * 1_024
/** Of 64 KiB: 328 MB by default. */
const keysPerValue = 20
const fillers = 64
const width = 64

const cli = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

export const snapshots: Scene = {
  name: 'snapshots',
  figures: {
    'uncut.w64.p99': { unit: 'ms', what: 'of 64 commands in flight, while no snapshot is cut' },
    'cutting.w64.p99': { unit: 'ms', what: 'the same while snapshots of all partitions are cut; ratio: to the former' },
    restore: {
      unit: 'MB/s',
      what: 'state, onto an empty directory, from the start of the process until the last partition is restored',
    },
  },
  async run(bench) {
    const servers = await startServers(bench, 1)
    const ledger = new Ledger(bench.keys)
    await onItsOwn(bench, async (own) => {
      await balanced([new BenchNode(own, urlsOf(servers), clusterName, 'cutter', 1)])
      const client = await openClient(own, servers)
      const load = new CounterLoad(client, ledger)
      // First: who has just taken in so much refuses a burst (docs/decisions/0023).
      await load.fill()
      await fill(client, bench.keys / keysPerValue)
      if (bench.wants('uncut.w64.p99') || bench.wants('cutting.w64.p99'))
        await measureCuts(bench, urlsOf(servers), load)
      await cutAll(urlsOf(servers))
    })
    if (!bench.wants('restore')) return
    const rounds: Restored[] = []
    for (let round = 0; round <= bench.rounds; round++) {
      const restored = await onItsOwn(bench, async (own) => {
        const node = new BenchNode(own, urlsOf(servers), clusterName, `restorer-${round}`, 1)
        await balanced([node])
        await new CounterLoad(await openClient(own, servers), ledger).verify()
        return node.restored
      })
      if (round > 0) rounds.push(restored)
    }
    bench.report('restore', { value: median(rounds.map(({ bytes, untilMs }) => bytes / 1e3 / untilMs)) })
  },
}

async function fill(client: Holdfast, values: number): Promise<void> {
  const store = client.kv<Uint8Array>('ballast')
  let next = 0
  const filler = async () => {
    while (next < values) {
      const [key, value] = [keyName(next++), randomFillSync(new Uint8Array(valueBytes))]
      // A node that is busy with another partition's may refuse one: nothing is measured yet.
      await untilDone(() => store.put(key, value))
    }
  }
  await Promise.all(Array.from({ length: fillers }, filler))
}

/** T2 */
async function measureCuts(bench: Bench, servers: string, load: CounterLoad): Promise<void> {
  const [uncut, cutting]: [number[], number[]] = [[], []]
  for (let round = 0; round <= bench.rounds; round++) {
    const without = await p99(bench, load)
    let ends = false
    const cuts = (async () => {
      while (!ends) await cutAll(servers)
    })()
    const beside = await p99(bench, load)
    ends = true
    await cuts
    await load.verify()
    if (round === 0) continue
    uncut.push(without)
    cutting.push(beside)
  }
  const [before, during] = [median(uncut), median(cutting)]
  bench.report('uncut.w64.p99', { value: before })
  bench.report('cutting.w64.p99', { value: during, ratio: during / before })
}

async function p99({ seconds }: Bench, load: CounterLoad): Promise<number> {
  const { times } = await closedLoop({ width, seconds }, load.add)
  return timeMs(times, 99)
}

async function cutAll(servers: string): Promise<void> {
  await promisify(execFile)(process.execPath, [
    cli,
    'snapshot',
    '--all',
    '--servers',
    servers,
    '--cluster',
    clusterName,
  ])
}
