/**
 * A node with an empty directory, on the logs of a run before: how fast it catches up.
 *
 * P1. The time runs from the start of the node's process, by its own clock, to the end of its last partition's replay: with the start of
 *     Node.js, finding the cluster, and being given the partitions; without the claims and the read lease, for which it waits afterwards.
 * P2. A record is a commit of one or more turns. The logs are written by 64 callers, so that most have few.
 * P3. The logs are written on a server that does not sync, which is sooner done, and read from one that does.
 */
import { balanced, BenchNode, type Replayed } from '../bench-node.ts'
import { CounterLoad } from '../counter-load.ts'
import { median } from '../figure.ts'
import { Ledger } from '../ledger.ts'
import type { Scene } from '../scene.ts'
import { clusterName, onItsOwn, openClient, startCluster, startServers, urlsOf } from '../stage.ts'
import type { Surroundings } from '../surroundings.ts'

/** Commands in the logs for each key. */
const commandsPerKey = 4
const writers = 64

export const replay: Scene = {
  name: 'replay',
  figures: {
    replay: {
      unit: 'MB/s',
      what: 'records of all logs, from the start of the process until the last partition is replayed',
    },
    'replay.records': { unit: '/s', what: 'the same in records, each a commit of one or more commands' },
    'replay.commands': { unit: '/s', what: 'the same in commands' },
  },
  async run(bench) {
    const ledger = new Ledger(bench.keys)
    await onItsOwn(bench, (own) => writeLogs(own, ledger))
    const servers = await startServers(bench, 1)
    const rounds: Replayed[] = []
    for (let round = 0; round <= bench.rounds; round++) {
      const replayed = await onItsOwn(bench, async (own) => {
        const node = new BenchNode(own, urlsOf(servers), clusterName, `replayer-${round}`, 1)
        await balanced([node])
        const client = await openClient(own, servers)
        await new CounterLoad(client, ledger).verify()
        return node.replayed
      })
      if (round > 0) rounds.push(replayed)
    }
    const perSecond = (what: (replayed: Replayed) => number) =>
      median(rounds.map((replayed) => (what(replayed) / replayed.untilMs) * 1_000))
    bench.report('replay', { value: perSecond(({ bytes }) => bytes / 1e6) })
    bench.report('replay.records', { value: perSecond(({ records }) => records) })
    bench.report('replay.commands', { value: perSecond(() => ledger.total) })
  },
}

async function writeLogs(own: Surroundings, ledger: Ledger): Promise<void> {
  const { client } = await startCluster(own, { sync: false })
  const load = new CounterLoad(client, ledger)
  const total = commandsPerKey * ledger.keys
  let begun = 0
  const writer = async () => {
    while (begun++ < total) await load.add()
  }
  await Promise.all(Array.from({ length: writers }, writer))
}
