/** Embedded: all nodes in this process, each with RocksDB in a folder of its own; the watcher is the client's own `watch`. */
import { join } from 'node:path'
import { connect, createNode, type HoldfastNode } from '../../src/index.ts'
import { Airport, Route } from './actors.ts'
import { ClientWatcher } from './client-watcher.ts'
import { clusterName, type DemoCluster } from './cluster.ts'
import type { Teardown } from '../support/teardown.ts'

export async function embeddedCluster(
  folder: string,
  nodeIds: readonly string[],
  teardown: Teardown,
): Promise<DemoCluster> {
  const nodes = new Map<string, HoldfastNode>()
  const start = async (nodeId: string) => {
    // The first node opens the local server, the others share it. It lives as long as any of them.
    const [first] = nodes.values()
    const embedded = first?.embedded ?? true
    const dataDir = join(folder, nodeId)
    const starting = createNode({ embedded, cluster: clusterName, nodeId, dataDir, actors: [Airport, Route] })
    teardown.add(async () => (await starting).close())
    nodes.set(nodeId, await starting)
  }
  for (const nodeId of nodeIds) await start(nodeId)

  const [first] = nodes.values()
  const client = await connect({ embedded: first!.embedded!, cluster: clusterName })
  teardown.add(() => client.close())
  const watcher = new ClientWatcher(client)
  teardown.add(() => watcher.close())
  await watcher.ready()
  return {
    client,
    watcher,
    start,
    owned: () => new Map([...nodes].map(([id, node]) => [id, ownedBy(node)])),
    async crash(nodeId) {
      const node = nodes.get(nodeId)!
      nodes.delete(nodeId)
      await node.crash()
    },
    troubles: [],
  }
}

const ownedBy = (node: HoldfastNode): number => node.status().partitions.filter(({ role }) => role === 'owner').length
