/** What no node could be faster than here: the client alone, and the work of an owner alone. */
import { Counter } from '../counter.ts'
import type { FloorMessage } from '../floor-node.ts'
import type { FloorWorkMessage } from '../floor-work.ts'
import { keyName, Ledger } from '../ledger.ts'
import { rate } from '../rounds.ts'
import type { Scene } from '../scene.ts'
import { openClient, pidsOf, startServers, urlsOf } from '../stage.ts'
import { startScript } from '../surroundings.ts'

const width = 1_024

export const floor: Scene = {
  name: 'floor',
  figures: {
    'floor.answers.w1024': { unit: '/s', what: 'a node that answers at once and does nothing, 1,024 in flight' },
    'floor.work': {
      unit: '/s',
      what: 'what an owner does for a command, in a loop by itself, without log, disk or socket',
    },
  },
  async run(bench) {
    if (bench.wants('floor.answers.w1024')) {
      const servers = await startServers(bench, 1)
      const node = startScript<FloorMessage>(bench, 'floor-node', 'floor-node', [urlsOf(servers)])
      await node.message('ready')
      const client = await openClient(bench, servers)
      const ledger = new Ledger(bench.keys)
      const once = () => client.actor(Counter, keyName(ledger.pick())).add(1)
      const pids = { ...pidsOf({ servers, nodes: [] }), nodes: [node.pid] }
      bench.report('floor.answers.w1024', await rate(bench, { width, once, pids }))
    }
    if (bench.wants('floor.work')) {
      const args = [bench.keys, bench.seconds * bench.rounds].map(String)
      const work = startScript<FloorWorkMessage>(bench, 'floor-work', 'floor-work', args)
      bench.report('floor.work', { value: (await work.message('measured')).perSecond })
    }
  },
}
