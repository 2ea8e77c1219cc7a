/**
 * A node of the bench, as a process: default settings, and the word of how many partitions it serves.
 *
 *   node .bench/bench/node.js <servers> <cluster> <dataDir> <replicas>
 */
import { once } from 'node:events'
import { tellParent } from '../examples/support/parent.ts'
import { createNode } from '../src/index.ts'
import { Counter } from './counter.ts'

export type NodeMessage =
  | { readonly kind: 'serving'; readonly partitions: number }
  | { readonly kind: 'replayed'; readonly records: number; readonly bytes: number }
  | { readonly kind: 'trouble'; readonly event: string }

const tellEveryMs = 50
/** What does not happen to a cluster that nobody disturbs. */
const troubles: readonly string[] = [
  'handler.threw',
  'node.fenced',
  'output.refused',
  'partition.fenced',
  'partition.hash-mismatch',
  'partition.stopped',
  'partition.trouble',
  'store.failed',
  'transport.disconnected',
]

const tell = (message: NodeMessage) => tellParent(message)
const released = once(process, 'disconnect')
const [servers, cluster, dataDir, replicas] = process.argv.slice(2) as [string, string, string, string]
const node = await createNode({
  servers: servers.split(','),
  cluster,
  dataDir,
  replicas: Number(replicas),
  actors: [Counter],
  observer: {
    emit(event) {
      if (event.type === 'partition.replayed') {
        tell({ kind: 'replayed', records: event.records, bytes: event.bytes })
      } else if (troubles.includes(event.type)) tell({ kind: 'trouble', event: JSON.stringify(event) })
    },
  },
})
let serving = -1
const telling = setInterval(() => {
  const owned = node.status().partitions.filter(({ role }) => role === 'owner').length
  if (owned !== serving) tell({ kind: 'serving', partitions: (serving = owned) })
}, tellEveryMs)

await released
clearInterval(telling)
await node.close()
