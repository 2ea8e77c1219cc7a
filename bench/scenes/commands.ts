/** Commands and queries of a counter over the public client: one node, three nodes, three servers with three replicas. */
import { CounterLoad } from '../counter-load.ts'
import { Ledger } from '../ledger.ts'
import { halfTime, rate, type Measured } from '../rounds.ts'
import type { Bench, Scene } from '../scene.ts'
import { pidsOf, startCluster, type Cluster } from '../stage.ts'

/** What commands are compared with. */
const comparison = 'nats.kv.put.w256'

/** Adds the ratio to the comparison, if that was measured in this run. */
export function compared(bench: Bench, figure: Measured): Measured {
  const other = bench.value(comparison)
  return other === undefined ? figure : { ...figure, ratio: figure.value / other }
}

const perSecond = (what: string) => ({ unit: '/s', what }) as const

const widths = { 'commands.w64': 64, 'commands.w256': 256, 'commands.w1024': 1_024, 'commands.w4096': 4_096 }

async function measure(
  bench: Bench,
  cluster: Cluster,
  load: CounterLoad,
  widthOf: Readonly<Record<string, number>>,
): Promise<void> {
  for (const [name, width] of Object.entries(widthOf)) {
    if (!bench.wants(name)) continue
    const work = { width, once: load.add, verify: load.verify, pids: pidsOf(cluster) }
    bench.report(name, compared(bench, await rate(bench, work)))
  }
}

export const commands: Scene = {
  name: 'commands',
  figures: {
    'commands.w1.p50': { unit: 'ms', what: 'one command at a time; ratio: to nats.request.p50 + nats.append.p50' },
    'commands.w64': perSecond('64 commands in flight; ratio of these and the following: to nats.kv.put.w256'),
    'commands.w256': perSecond('256 in flight'),
    'commands.w1024': perSecond('1,024 in flight'),
    'commands.w4096': perSecond('4,096 in flight'),
  },
  async run(bench) {
    const cluster = await startCluster(bench)
    const load = new CounterLoad(cluster.client, new Ledger(bench.keys))
    if (bench.wants('commands.w1.p50')) {
      const figure = await halfTime(bench, { once: load.add, verify: load.verify, pids: pidsOf(cluster) })
      const [request, append] = [bench.value('nats.request.p50'), bench.value('nats.append.p50')]
      const both = request !== undefined && append !== undefined
      bench.report('commands.w1.p50', both ? { ...figure, ratio: figure.value / (request + append) } : figure)
    }
    await measure(bench, cluster, load, widths)
  },
}

/** A scene of the commands with 1,024 in flight, on another stage. */
function elsewhere(name: string, what: string, options: Parameters<typeof startCluster>[1]): Scene {
  const figure = `commands.${name}.w1024`
  return {
    name,
    figures: { [figure]: perSecond(what) },
    async run(bench) {
      const cluster = await startCluster(bench, options)
      await measure(bench, cluster, new CounterLoad(cluster.client, new Ledger(bench.keys)), { [figure]: 1_024 })
    },
  }
}

export const threeNodes = elsewhere('cluster3', 'three nodes, 1,024 in flight', { nodes: 3 })

export const threeServers = elsewhere('r3', 'one node on three servers, three replicas of each log, 1,024 in flight', {
  servers: 3,
})

export const queries: Scene = {
  name: 'queries',
  figures: {
    'queries.w256': perSecond('256 strong queries in flight'),
    'queries.w1024': perSecond('1,024 in flight'),
  },
  async run(bench) {
    const cluster = await startCluster(bench)
    const load = new CounterLoad(cluster.client, new Ledger(bench.keys))
    await load.fill()
    for (const [name, width] of Object.entries({ 'queries.w256': 256, 'queries.w1024': 1_024 })) {
      if (!bench.wants(name)) continue
      bench.report(name, await rate(bench, { width, once: load.query, pids: pidsOf(cluster) }))
    }
  },
}
