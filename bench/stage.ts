/** What figures are measured on: NATS servers and nodes, each a process, and a client in this one. Ends with its teardown. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../examples/support/child.ts'
import { freePort } from '../examples/support/free-port.ts'
import { launchNatsServer, type NatsServer } from '../examples/support/nats-server.ts'
import { Teardown } from '../examples/support/teardown.ts'
import { connect, type Holdfast } from '../src/index.ts'
import { balanced, BenchNode } from './bench-node.ts'
import type { Pids } from './rounds.ts'
import type { Bench } from './scene.ts'
import type { Surroundings } from './surroundings.ts'

export const clusterName = 'bench'
const serverConfig = join(root, 'deploy/nats/server.conf')

/** One server, or three that are a cluster. `sync` false: as a server does by itself, which is to write through every two minutes. */
export async function startServers(
  { folder, teardown, troubles }: Surroundings,
  count: 1 | 3,
  sync = true,
): Promise<readonly NatsServer[]> {
  const config = sync ? serverConfig : unsynced(folder)
  const storeOf = (i: number) => join(folder, `nats-${i}`)
  if (count === 1) return [await launchNatsServer(storeOf(1), teardown, troubles, { config })]
  const ports = await Promise.all(Array.from({ length: count }, freePort))
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`)
  return Promise.all(
    ports.map((_, i) => {
      const name = `bench-${i + 1}`
      const args = ['--name', name, '--cluster_name', 'bench', '--cluster', routes[i]!, '--routes', routes.join(',')]
      return launchNatsServer(storeOf(i + 1), teardown, troubles, { config, args })
    }),
  )
}

export const urlsOf = (servers: readonly NatsServer[]): string => servers.map(({ url }) => url).join(',')

function unsynced(folder: string): string {
  const text = readFileSync(serverConfig, 'utf8')
  const changed = text.replace(/^\s*sync_interval: always$/m, '')
  if (changed === text) throw new Error(`${serverConfig} does not set sync_interval`)
  const file = join(folder, 'unsynced.conf')
  writeFileSync(file, changed)
  return file
}

export interface Cluster {
  readonly servers: readonly NatsServer[]
  readonly nodes: readonly BenchNode[]
  readonly client: Holdfast
}

export interface ClusterOptions {
  /** Default 1. With three each log has three replicas. */
  readonly servers?: 1 | 3
  /** Default 1. */
  readonly nodes?: number
  /** Default true; see `startServers`. */
  readonly sync?: boolean
}

export async function startCluster(
  surroundings: Surroundings,
  { servers: serverCount = 1, nodes: nodeCount = 1, sync = true }: ClusterOptions = {},
): Promise<Cluster> {
  const servers = await startServers(surroundings, serverCount, sync)
  const names = Array.from({ length: nodeCount }, (_, i) => `node-${i + 1}`)
  const nodes = names.map((name) => new BenchNode(surroundings, urlsOf(servers), clusterName, name, serverCount))
  await balanced(nodes)
  return { servers, nodes, client: await openClient(surroundings, servers) }
}

export async function openClient({ teardown }: Surroundings, servers: readonly NatsServer[]): Promise<Holdfast> {
  const client = await connect({ servers: servers.map(({ url }) => url), cluster: clusterName })
  teardown.add(() => client.close())
  return client
}

export const pidsOf = ({ nodes, servers }: Pick<Cluster, 'nodes' | 'servers'>): Pids => ({
  nodes: nodes.map(({ pid }) => pid),
  servers: servers.map(({ pid }) => pid),
})

/** Runs something whose processes end with it. */
export async function onItsOwn<T>(bench: Bench, run: (own: Surroundings) => Promise<T>): Promise<T> {
  const teardown = new Teardown()
  const end = async () => {
    if (!(await teardown.run())) throw new Error('not everything ended well')
  }
  bench.teardown.add(end)
  const result = await run({ ...bench, teardown })
  await end()
  return result
}
