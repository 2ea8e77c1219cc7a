/**
 * The node under overload, as a process: it says how much memory it has and how full its parts are, and closes when its parent lets go of it.
 *
 *   node --import tsx bench/overload/node.ts <servers> <cluster> <dataDir>
 */
import { once } from 'node:events'
import { tellParent } from '../../examples/support/parent.ts'
import { createNode, type Metric } from '../../src/index.ts'
import { Work } from './work.ts'

export interface NodeState {
  readonly kind: 'state'
  readonly rssBytes: number
  readonly metrics: readonly Metric[]
}

export type NodeMessage = { readonly kind: 'ready' } | NodeState

const tellEveryMs = 250

const released = once(process, 'disconnect')
const [servers, cluster, dataDir] = process.argv.slice(2) as [string, string, string]
const node = await createNode({ servers, cluster, dataDir, nodeId: 'node', actors: [Work] })
const tell = (message: NodeMessage) => tellParent(message)
const telling = setInterval(
  () => tell({ kind: 'state', rssBytes: process.memoryUsage.rss(), metrics: node.metrics() }),
  tellEveryMs,
)
tell({ kind: 'ready' })

await released
clearInterval(telling)
await node.close()
