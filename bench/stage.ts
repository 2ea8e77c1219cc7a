/** What a figure is measured on: NATS servers and nodes, each a process, and a client in this one. Ends with its teardown. */
import { fork } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child, root } from '../examples/support/child.ts'
import { launchNatsServer, type NatsServer } from '../examples/support/nats-server.ts'
import type { Teardown } from '../examples/support/teardown.ts'
import { connect, type Holdfast } from '../src/index.ts'
import type { NodeMessage } from './node.ts'

export const clusterName = 'bench'
const partitions = 16
const serverConfig = join(root, 'deploy/nats/server.conf')

export interface Surroundings {
  /** Of this stage alone; removed at the end. */
  readonly folder: string
  readonly teardown: Teardown
  /** What must not happen. */
  readonly troubles: string[]
}

/** One server, or three that are a cluster. `sync` false: as a server does by itself, which is to write through every two minutes. */
export async function startServers(
  { folder, teardown, troubles }: Surroundings,
  count: 1 | 3,
  sync = true,
): Promise<readonly NatsServer[]> {
  const config = sync ? serverConfig : await unsynced(folder)
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

async function unsynced(folder: string): Promise<string> {
  const text = readFileSync(serverConfig, 'utf8')
  const changed = text.replace(/^\s*sync_interval: always$/m, '')
  if (changed === text) throw new Error(`${serverConfig} does not set sync_interval`)
  await mkdir(folder, { recursive: true })
  const file = join(folder, 'unsynced.conf')
  writeFileSync(file, changed)
  return file
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A node as a process, from compiled code, as its users run it. */
export class BenchNode {
  readonly child: Child<NodeMessage>
  /** Of its replays so far. */
  replayed = { records: 0, bytes: 0 }
  #serving = 0
  #onServing = () => {}

  constructor({ folder, teardown, troubles }: Surroundings, servers: string, name: string, replicas: number) {
    const script = fileURLToPath(new URL('node.js', import.meta.url))
    const profile = process.env['BENCH_PROFILE']
    const process_ = fork(script, [servers, clusterName, join(folder, name), String(replicas)], {
      cwd: folder,
      env: { ...process.env, NODE_ENV: 'production' },
      execArgv: profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`],
      detached: true,
    })
    this.child = new Child<NodeMessage>(process_, name, troubles)
    teardown.add(() => this.child.end('disconnect'))
    this.child.onMessage((message) => {
      if (message.kind === 'trouble') troubles.push(`${name}: ${message.event}`)
      else if (message.kind === 'replayed') {
        this.replayed.records += message.records
        this.replayed.bytes += message.bytes
      } else {
        this.#serving = message.partitions
        this.#onServing()
      }
    })
  }

  get pid(): number {
    return this.child.pid
  }

  get serving(): number {
    return this.#serving
  }

  onServing(run: () => void): void {
    this.#onServing = run
  }
}

/** Resolves when the nodes serve all partitions, none much more than its share. */
export async function balanced(nodes: readonly BenchNode[]): Promise<void> {
  const share = Math.ceil(partitions / nodes.length)
  const done = new Promise<void>((resolve) => {
    const look = () => {
      const counts = nodes.map(({ serving }) => serving)
      if (counts.reduce((a, b) => a + b) === partitions && counts.every((count) => count <= share)) resolve()
    }
    for (const node of nodes) node.onServing(look)
    look()
  })
  await Promise.race(nodes.map(({ child }) => child.before(done)))
}

export interface Cluster {
  readonly servers: readonly NatsServer[]
  readonly nodes: readonly BenchNode[]
  readonly client: Holdfast
}

export async function startCluster(
  surroundings: Surroundings,
  { servers: serverCount = 1, nodes: nodeCount = 1 }: { readonly servers?: 1 | 3; readonly nodes?: number } = {},
): Promise<Cluster> {
  const { teardown } = surroundings
  const servers = await startServers(surroundings, serverCount)
  const urls = urlsOf(servers)
  const nodes: BenchNode[] = []
  for (let i = 1; i <= nodeCount; i++) {
    const node = new BenchNode(surroundings, urls, `node-${i}`, serverCount)
    nodes.push(node)
  }
  await balanced(nodes)
  const client = await connect({ servers: urls.split(','), cluster: clusterName })
  teardown.add(() => client.close())
  return { servers, nodes, client }
}
