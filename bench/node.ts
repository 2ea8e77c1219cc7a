/**
 * A node of the bench, as a process: default settings, and the word of how many partitions it serves.
 *
 *   node .bench/bench/node.js <servers> <cluster> <dataDir> <replicas>
 */
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { tellParent } from '../examples/support/parent.ts'
import { createNode } from '../src/index.ts'
import { Counter } from './counter.ts'
import { isTrouble } from './node-troubles.ts'

export type NodeMessage =
  | { readonly kind: 'serving'; readonly partitions: number }
  /** One partition. `atMs`: since the start of the process. */
  | { readonly kind: 'replayed'; readonly records: number; readonly bytes: number; readonly atMs: number }
  /** One partition, from a snapshot, likewise. */
  | { readonly kind: 'restored'; readonly bytes: number; readonly atMs: number }
  | { readonly kind: 'took-over'; readonly partition: number }
  | { readonly kind: 'trouble'; readonly event: string }

const tellEveryMs = 50

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
        tell({ kind: 'replayed', records: event.records, bytes: event.bytes, atMs: performance.now() })
      } else if (event.type === 'snapshot.restored') {
        tell({ kind: 'restored', bytes: event.bytes, atMs: performance.now() })
      } else if (event.type === 'partition.serving') {
        tell({ kind: 'took-over', partition: event.partition })
      } else if (isTrouble(event)) tell({ kind: 'trouble', event: JSON.stringify(event) })
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
