/** On NATS: a real server, each node a process, the watcher one, too, which knows the documented subjects only. A crash is a SIGKILL. */
import { join } from 'node:path'
import { connect } from '../../src/index.ts'
import { Child, runScript } from '../support/child.ts'
import { clusterName, type DemoCluster, type Watcher } from './cluster.ts'
import { startNatsServer } from '../support/nats-server.ts'
import type { NodeMessage } from './node.ts'
import type { Teardown } from '../support/teardown.ts'
import type { WatcherMessage } from './watcher.ts'

export async function natsCluster(
  folder: string,
  nodeIds: readonly string[],
  teardown: Teardown,
): Promise<DemoCluster> {
  const troubles: string[] = []
  const servers = await startNatsServer(join(folder, 'nats'), teardown, troubles)
  const nodes = new Map<string, Child<NodeMessage>>()
  const owned = new Map<string, number>()

  const start = async (nodeId: string) => {
    const script = runScript(new URL('node.ts', import.meta.url), [servers, clusterName, join(folder, nodeId), nodeId])
    const node = new Child<NodeMessage>(script, nodeId, troubles)
    teardown.add(() => node.end('disconnect'))
    node.onMessage((message) => {
      if (message.kind === 'owned' && nodes.has(nodeId)) owned.set(nodeId, message.partitions)
    })
    await node.message('ready')
    nodes.set(nodeId, node)
    owned.set(nodeId, owned.get(nodeId) ?? 0)
  }
  await Promise.all(nodeIds.map(start))

  const client = await connect({ servers, cluster: clusterName })
  teardown.add(() => client.close())
  const watcher = await startWatcher(servers, teardown, troubles)
  return {
    client,
    watcher,
    start,
    owned: () => new Map([...owned].sort(([a], [b]) => a.localeCompare(b))),
    async crash(nodeId) {
      const node = nodes.get(nodeId)!
      nodes.delete(nodeId)
      owned.delete(nodeId)
      await node.kill()
    },
    troubles,
  }
}

async function startWatcher(servers: string, teardown: Teardown, troubles: string[]): Promise<Watcher> {
  const script = runScript(new URL('watcher.ts', import.meta.url), [servers, clusterName])
  const child = new Child<WatcherMessage>(script, 'the watcher', troubles)
  teardown.add(() => child.end('disconnect'))
  let taken = 0
  child.onMessage((message) => {
    if (message.kind === 'taken') taken = message.taken
  })
  await child.message('ready')
  return {
    get taken() {
      return taken
    },
    async finish() {
      const report = child.message('report')
      child.send({ kind: 'finish' })
      return (await report).report
    },
  }
}
