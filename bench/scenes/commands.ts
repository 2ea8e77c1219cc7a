/** Commands of a counter over the public client: one node, three nodes, three servers with three replicas. */
import type { Cluster } from '../stage.ts'
import { startCluster } from '../stage.ts'
import { Counter } from '../counter.ts'
import { keyName, Ledger } from '../ledger.ts'
import { halfTime, rate } from '../rounds.ts'
import type { Bench, Scene } from '../scene.ts'

const verifyWidth = 1_024

/** What commands are compared with. */
export const comparison = 'nats.kv.put.w256'

export class CounterLoad {
  readonly #ledger: Ledger
  readonly #client: Cluster['client']

  constructor(client: Cluster['client'], keys: number) {
    this.#client = client
    this.#ledger = new Ledger(keys)
  }

  readonly add = async () => {
    const key = this.#ledger.pick()
    await this.#client.actor(Counter, keyName(key)).add(1)
    this.#ledger.wrote(key)
  }

  readonly query = () => this.#client.actor(Counter, keyName(this.#ledger.pick())).count()

  readonly verify = () =>
    this.#ledger.verify(verifyWidth, (key) => this.#client.actor(Counter, key).rev() as Promise<number>)
}

export const pidsOf = ({ nodes, servers }: Cluster) => ({
  nodes: nodes.map(({ pid }) => pid),
  servers: servers.map(({ pid }) => pid),
})

async function measure(bench: Bench, cluster: Cluster, widths: Readonly<Record<string, number>>): Promise<void> {
  const load = new CounterLoad(cluster.client, bench.keys)
  for (const [name, width] of Object.entries(widths)) {
    if (!bench.wants(name)) continue
    const figure = await rate(bench, { width, once: load.add, verify: load.verify, pids: pidsOf(cluster) })
    const other = bench.value(comparison)
    bench.report(name, other === undefined ? figure : { ...figure, ratio: figure.value / other })
  }
}

const widths = { 'commands.w64': 64, 'commands.w256': 256, 'commands.w1024': 1_024, 'commands.w4096': 4_096 }

const perSecond = (what: string) => ({ unit: '/s', what }) as const

export const commands: Scene = {
  figures: {
    'commands.w1.p50': { unit: 'ms', what: 'one command at a time; ratio: to nats.request.p50 + nats.append.p50' },
    'commands.w64': perSecond('64 commands in flight'),
    'commands.w256': perSecond('256'),
    'commands.w1024': perSecond('1,024'),
    'commands.w4096': perSecond('4,096'),
  },
  async run(bench) {
    const cluster = await startCluster(bench)
    if (bench.wants('commands.w1.p50')) {
      const load = new CounterLoad(cluster.client, bench.keys)
      const figure = await halfTime(bench, { once: load.add, verify: load.verify })
      const [request, append] = [bench.value('nats.request.p50'), bench.value('nats.append.p50')]
      const compared = request !== undefined && append !== undefined
      bench.report('commands.w1.p50', compared ? { ...figure, ratio: figure.value / (request + append) } : figure)
    }
    await measure(bench, cluster, widths)
  },
}

export const threeNodes: Scene = {
  figures: { 'commands.cluster3.w1024': perSecond('the same on three nodes') },
  run: async (bench) => measure(bench, await startCluster(bench, { nodes: 3 }), { 'commands.cluster3.w1024': 1_024 }),
}

export const threeServers: Scene = {
  figures: { 'commands.r3.w1024': perSecond('one node on three servers, three replicas of each log') },
  run: async (bench) => measure(bench, await startCluster(bench, { servers: 3 }), { 'commands.r3.w1024': 1_024 }),
}

export const queries: Scene = {
  figures: {
    'queries.w256': perSecond('256 strong queries in flight'),
    'queries.w1024': perSecond('1,024'),
  },
  async run(bench) {
    const cluster = await startCluster(bench)
    const load = new CounterLoad(cluster.client, bench.keys)
    for (const [name, width] of Object.entries({ 'queries.w256': 256, 'queries.w1024': 1_024 })) {
      if (bench.wants(name)) {
        bench.report(name, await rate(bench, { width, once: load.query, pids: pidsOf(cluster) }))
      }
    }
  },
}
