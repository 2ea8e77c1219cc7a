/**
 * One node of the example, as a process: it says what happens to its tasks, and closes when its parent lets go of it.
 *
 *   node --import tsx examples/sample-task/node.ts <servers> <dataDir> <nodeId>
 */
import { once } from 'node:events'
import { createNode } from '../../src/index.ts'
import { tellParent } from '../support/parent.ts'
import { clusterName, sample } from './sample.ts'

export type NodeMessage =
  { readonly kind: 'serving'; readonly partition: number } | { readonly kind: 'trouble'; readonly text: string }

const released = once(process, 'disconnect')
const tell = (message: NodeMessage) => tellParent(message)
const [servers, dataDir, nodeId] = process.argv.slice(2) as [string, string, string]
const node = await createNode({
  servers,
  dataDir,
  nodeId,
  cluster: clusterName,
  actors: [],
  tasks: [sample],
  observer: {
    emit(event) {
      if (event.type === 'task.serving') tell({ kind: 'serving', partition: event.partition })
      if (event.type === 'task.failed' || event.type === 'task.stopped' || event.type === 'task.gap') {
        tell({ kind: 'trouble', text: `${nodeId}: ${JSON.stringify(event)}` })
      }
    },
  },
})

await released
await node.close()
