/**
 * A cluster under faults: NATS servers that sync each write, three nodes as processes, with the settings that a user gets, and clients.
 *
 * D1. `settled` resolves when every node that should run is a member, every partition has one owner and a standby elsewhere, and no node has
 *     more than its share: what a strike finds is a cluster at rest.
 * D2. What nodes say that they never should is in `alarms`.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../examples/support/free-port.ts'
import type { NodeStatus } from '../../actors/node.ts'
import type { Holdfast } from '../../src/index.ts'
import type { NodeHandle } from '../e2e/support/node-handle.ts'
import { ProcessCluster } from '../e2e/support/process-cluster.ts'
import { natsServerBinary, startNatsServer, type TestServer } from '../support/nats-server.ts'
import type { Fault } from './fault.ts'
import type { Place } from './places.ts'

/** The default of a new cluster. */
export const partitions = 16
export const allPartitions: readonly number[] = Array.from({ length: partitions }, (_, n) => n)
const names = ['a', 'b', 'c']
const lookEveryMs = 100

export class World {
  readonly cluster: ProcessCluster
  readonly place: Place
  /** For what a fault itself asks. */
  readonly client: Holdfast
  readonly #folder: string
  /** Names of nodes that are to run, besides those that a fault has taken away. */
  readonly members = new Set<string>(names)

  static async start(fault: Pick<Fault, 'servers' | 'place'>, patienceMs: number): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-chaos-'))
    let place: Place = {}
    let cluster: ProcessCluster | undefined
    try {
      if (fault.place !== undefined) place = await fault.place(folder)
      const servers = fault.servers === 1 ? [await startNatsServer(place.server?.(0) ?? {})] : await startTrio(place)
      cluster = await ProcessCluster.start({
        partitions,
        patienceMs,
        servers,
        setup: fault.servers === 3 ? { replicas: 3 } : {},
        ...(place.launch === undefined ? {} : { launch: place.launch }),
        ...(place.dataDir === undefined ? {} : { dataDir: place.dataDir }),
      })
      await cluster.startAll(names)
      const world = new World(cluster, place, folder, await cluster.client('60s'))
      await world.settled()
      return world
    } catch (error) {
      await cluster?.close()
      await place.close?.()
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  private constructor(cluster: ProcessCluster, place: Place, folder: string, client: Holdfast) {
    this.cluster = cluster
    this.place = place
    this.#folder = folder
    this.client = client
  }

  node(name: string): NodeHandle {
    const node = this.cluster.nodes.get(name)
    if (node === undefined) throw new Error(`there is no node ${name}`)
    return node
  }

  /** Takes turns over strikes. */
  memberOf(n: number): NodeHandle {
    const all = [...this.members]
    return this.node(all[n % all.length]!)
  }

  owned(node: NodeHandle): readonly number[] {
    return allPartitions.filter((partition) => this.cluster.serverOf(partition) === node)
  }

  /** The node that leads placement, by its own word. */
  async leader(): Promise<NodeHandle> {
    const statuses = await this.statuses()
    const leading = statuses.find(({ status }) => status.leading)
    if (leading === undefined) throw new Error('nobody leads placement')
    return leading.node
  }

  /** Starts again what was killed. */
  async restart(name: string): Promise<void> {
    await this.cluster.ready(this.cluster.start(name))
  }

  async statuses(): Promise<readonly { readonly node: NodeHandle; readonly status: NodeStatus }[]> {
    const statuses: { readonly node: NodeHandle; readonly status: NodeStatus }[] = []
    for (const name of this.members) {
      const node = this.node(name)
      statuses.push({ node, status: await this.cluster.status(node) })
    }
    return statuses
  }

  /** D1 */
  async settled(patienceMs = 120_000): Promise<void> {
    const endMs = performance.now() + patienceMs
    for (;;) {
      const statuses = await this.statuses()
      const unrest = unrestIn(statuses.map(({ status }) => status))
      if (unrest === undefined) return
      if (performance.now() > endMs) throw new Error(`the cluster is not at rest: ${unrest}\n${this.cluster.trace()}`)
      await delay(lookEveryMs)
    }
  }

  /** D2 */
  alarms(allows: Fault['allows'] = []): readonly string[] {
    return this.cluster.alarms().filter((alarm) => !allows.some((type) => alarm.includes(`"type":"${type}"`)))
  }

  async close(): Promise<void> {
    await this.cluster.close()
    await this.place.close?.()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

function unrestIn(statuses: readonly NodeStatus[]): string | undefined {
  const most = Math.ceil(partitions / statuses.length)
  for (const { id, state, partitions: hosted } of statuses) {
    if (state !== 'running') return `${id} is ${state}`
    const owned = hosted.filter(({ role }) => role === 'owner').length
    if (owned > most) return `${id} owns ${owned} partitions`
  }
  for (const partition of allPartitions) {
    const roles = statuses.flatMap(({ partitions: hosted }) =>
      hosted.filter((one) => one.partition === partition).map(({ role }) => role),
    )
    for (const wanted of ['owner', 'standby']) {
      const count = roles.filter((role) => role === wanted).length
      if (count !== 1) return `partition ${partition} has ${count} nodes as ${wanted}`
    }
  }
  return undefined
}

async function startTrio(place: Place): Promise<readonly TestServer[]> {
  const ports = await Promise.all([0, 1, 2].map(freePort))
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ')
  return Promise.all(
    ports.map((port, i) =>
      startNatsServer({
        ...place.server?.(i),
        config: `server_name: n${i}\ncluster { name: trio, listen: "127.0.0.1:${port}", routes: [ ${routes} ] }`,
      }),
    ),
  )
}

/** Of the nats-server that worlds run. */
export function serverVersion(): string {
  const said = execFileSync(natsServerBinary(), ['--version'], { encoding: 'utf8' })
  return /v(\d+\.\d+\.\d+)/.exec(said)?.[1] ?? said.trim()
}
