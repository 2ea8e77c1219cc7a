/**
 * One node of the demonstration, as a process: `node --import tsx examples/flights/node.ts <servers> <cluster> <dataDir> <nodeId>`.
 * It tells its parent how many partitions it serves, and closes when its parent lets go of it.
 */
import { once } from 'node:events'
import { createNode } from '../../src/index.ts'
import { Airport, Route } from './actors.ts'

export type NodeMessage = { readonly kind: 'ready' } | { readonly kind: 'owned'; readonly partitions: number }

const tellEveryMs = 200

const released = once(process, 'disconnect')
const [servers, cluster, dataDir, nodeId] = process.argv.slice(2) as [string, string, string, string]
const node = await createNode({ servers, cluster, dataDir, nodeId, actors: [Airport, Route] })

const tell = (message: NodeMessage) => {
  if (process.connected) process.send?.(message)
}
const telling = setInterval(() => {
  tell({ kind: 'owned', partitions: node.status().partitions.filter(({ role }) => role === 'owner').length })
}, tellEveryMs)
tell({ kind: 'ready' })

await released
clearInterval(telling)
await node.close()
