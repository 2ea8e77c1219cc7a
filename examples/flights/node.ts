/**
 * One node of the demonstration, as a process: it says how many partitions it serves, and closes when its parent lets go of it.
 *
 *   node --import tsx examples/flights/node.ts <servers> <cluster> <dataDir> <nodeId>
 */
import { once } from 'node:events'
import { createNode } from '../../src/index.ts'
import { Airport, Route } from './actors.ts'
import { tellParent } from '../support/parent.ts'

export type NodeMessage = { readonly kind: 'ready' } | { readonly kind: 'owned'; readonly partitions: number }

const tellEveryMs = 200

const released = once(process, 'disconnect')
const tell = (message: NodeMessage) => tellParent(message)
const [servers, cluster, dataDir, nodeId] = process.argv.slice(2) as [string, string, string, string]
const node = await createNode({ servers, cluster, dataDir, nodeId, actors: [Airport, Route] })
const owned = () => node.status().partitions.filter(({ role }) => role === 'owner').length
const telling = setInterval(() => tell({ kind: 'owned', partitions: owned() }), tellEveryMs)
tell({ kind: 'ready' })

await released
clearInterval(telling)
await node.close()
