/** Changes as another process sees them that subscribes to their subject, while commands run. */
import type { Child } from '../../examples/support/child.ts'
import { CounterLoad } from '../counter-load.ts'
import { Ledger } from '../ledger.ts'
import { rate } from '../rounds.ts'
import type { Bench, Scene } from '../scene.ts'
import { clusterName, pidsOf, startCluster, urlsOf } from '../stage.ts'
import { startScript } from '../surroundings.ts'
import type { WatcherMessage, WatcherRequest } from '../watcher.ts'

const lateMs = 30_000

export const changes: Scene = {
  name: 'changes',
  figures: {
    'changes.delivered': {
      unit: '/s',
      what: 'changes seen by a plain subscriber in a process of its own, 1,024 commands in flight',
    },
  },
  async run(bench) {
    const cluster = await startCluster(bench)
    const load = new CounterLoad(cluster.client, new Ledger(bench.keys))
    const watcher = new Watcher(bench, urlsOf(cluster.servers))
    await watcher.child.message('ready')
    let expected = 0
    const figure = await rate(bench, {
      width: 1_024,
      once: load.add,
      settle: (commands) => watcher.hasSeen((expected += commands)),
      verify: load.verify,
      pids: { ...pidsOf(cluster), clients: [watcher.child.pid] },
    })
    bench.report('changes.delivered', figure)
  },
}

class Watcher {
  readonly child: Child<WatcherMessage>
  #onSeen = (_changes: number) => {}

  constructor(bench: Bench, servers: string) {
    this.child = startScript(bench, 'watcher', 'watcher', [servers, `${clusterName}.changes.counter.*`])
    this.child.onMessage((message) => {
      if (message.kind === 'seen') this.#onSeen(message.changes)
      else if (message.kind === 'loss') {
        bench.troubles.push(`the watcher saw ${message.subject} with rev ${message.rev} after ${message.last}`)
      }
    })
  }

  /** Resolves once it has seen exactly so many changes since it began. */
  async hasSeen(changes: number): Promise<void> {
    let late: NodeJS.Timeout | undefined
    const seen = new Promise<number>((resolve, reject) => {
      this.#onSeen = resolve
      late = setTimeout(() => reject(new Error(`the watcher has not seen ${changes} changes`)), lateMs)
    })
    this.child.send({ changes } satisfies WatcherRequest)
    const found = await this.child.before(seen).finally(() => clearTimeout(late))
    if (found !== changes) throw new Error(`the watcher has seen ${found} changes of ${changes}`)
  }
}
