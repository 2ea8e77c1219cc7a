/**
 * A cluster as it is deployed: a real nats-server that syncs each write, nodes as processes of their own, clients in the test's process.
 *
 * H1. Nothing is waited for by time: `until` looks again whenever a node or a client has news, and fails with what happened if that takes
 *     too long.
 * H2. A node that is started again by its name gets its old directory.
 * H3. `close` ends everything and removes the folder, whatever a test has left behind; a guardian does where `close` is not reached.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NodeSettingsInput, NodeStatus } from '../../../actors/node.ts'
import { openNats, openNatsTransport, type NatsPorts } from '../../../src/adapters/nats/open.ts'
import { SystemClock } from '../../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../../src/adapters/system/random.ts'
import { connect, type Duration, type Holdfast, type HoldfastEvent } from '../../../src/index.ts'
import { silent } from '../../../src/ports/observer.ts'
import type { Transport } from '../../../src/ports/transport.ts'
import { startNatsServer, type TestServer } from '../../support/nats-server.ts'
import { Guardian } from './guardian.ts'
import { NodeHandle, type Exit, type Launch } from './node-handle.ts'
import type { NodeOrder } from './node-lines.ts'

export const clusterName = 'e2e'

/** Longer than anything takes here, also on a busy machine. */
const patienceMs = 60_000
const eventsInTrace = 25
/** Of nodes and clients, which look for a server that is away more often, and wait for one that is there on a busy machine. */
const quickReconnect = { reconnectWaitMs: 50, reconnectJitterMs: 50, connectTimeoutMs: patienceMs / 2 }

/** What each node has of its own, or of its cluster, is not among them. */
export type NodeSetup = Omit<StartOptions, 'servers' | 'cluster' | 'nodeId' | 'dataDir' | 'host' | 'partitions'>
type StartOptions = Extract<NodeOrder, { readonly do: 'start' }>['options']

/** A failover takes well below 2 s: leases are shorter than by default, and looked at more often. */
const quickSettings: NodeSettingsInput = {
  membership: { renewEveryMs: 150, leaseTermMs: 900 },
  placement: { pollTableEveryMs: 300, pollLeaderEveryMs: 200, planEveryMs: 100 },
}

export interface ProcessClusterOptions {
  readonly partitions: number
  /** On top of those that make failovers quick. */
  readonly settings?: NodeSettingsInput
  /** In place of all that makes a test quick, `settings` too: `{}` is what a user gets. */
  readonly setup?: NodeSetup
  /** Of one NATS cluster; `close` stops them. Default: one of its own. */
  readonly servers?: readonly TestServer[]
  /** Of a node by its name. Default: a process like any other, in a folder of the cluster. */
  readonly launch?: (name: string) => Launch
  readonly dataDir?: (name: string) => string
  /** How long `until` waits, ms. Default 60,000. */
  readonly patienceMs?: number
}

export class ProcessCluster {
  readonly servers: readonly TestServer[]
  readonly partitions: number
  /** By name, the last process of each. */
  readonly nodes = new Map<string, NodeHandle>()
  /** Every process that there ever was. */
  readonly processes: NodeHandle[] = []
  readonly #folder: string
  readonly #guardian: Guardian
  readonly #options: ProcessClusterOptions
  readonly #open: { close(): Promise<void> }[] = []
  readonly #waiting: (() => void)[] = []

  static async start(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-e2e-'))
    try {
      return new ProcessCluster(folder, options.servers ?? [await startNatsServer()], options)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  private constructor(folder: string, servers: readonly TestServer[], options: ProcessClusterOptions) {
    this.#folder = folder
    this.servers = servers
    this.partitions = options.partitions
    this.#options = options
    this.#guardian = new Guardian(folder)
  }

  /** The first of its servers, or the only one. */
  get nats(): TestServer {
    return this.servers[0]!
  }

  /** Starts a process, and the node in it. It is `ready` when it is a member of the cluster. */
  start(name: string): NodeHandle {
    if (this.nodes.get(name)?.running === true) throw new Error(`the node ${name} runs already`)
    const { launch, dataDir, setup } = this.#options
    const node = new NodeHandle({
      name,
      dataDir: dataDir?.(name) ?? join(this.#folder, name),
      launch: launch?.(name) ?? {},
      guardian: this.#guardian,
      onNews: () => this.tell(),
    })
    this.nodes.set(name, node)
    this.processes.push(node)
    node.order({
      do: 'start',
      tellAppends: setup === undefined,
      options: {
        ...(setup ?? this.#quickSetup),
        servers: this.#urls,
        cluster: clusterName,
        nodeId: name,
        dataDir: node.dataDir,
        host: name,
        partitions: this.partitions,
      },
    })
    return node
  }

  /** Resolves when it is a member. */
  async ready(node: NodeHandle): Promise<void> {
    await this.until(() => node.ready, `${node.name} is a member`)
  }

  async startAll(names: readonly string[]): Promise<void> {
    for (const node of names.map((name) => this.start(name))) await this.ready(node)
  }

  /** Resolves when every partition is served and every node has its share: then none moves by itself any more. */
  async balanced(): Promise<void> {
    await this.until(() => {
      const servers = Array.from({ length: this.partitions }, (_, partition) => this.serverOf(partition))
      const share = this.partitions / this.nodes.size
      const counts = [...this.nodes.values()].map((node) => servers.filter((server) => server === node).length)
      return servers.every(Boolean) && counts.every((count) => count >= Math.floor(share) && count <= Math.ceil(share))
    }, 'every node has its share')
  }

  async status(node: NodeHandle): Promise<NodeStatus> {
    node.lastStatus = undefined
    node.order({ do: 'status' })
    return this.until(() => node.lastStatus, `${node.name} tells its status`)
  }

  async drain(node: NodeHandle): Promise<void> {
    node.order({ do: 'drain' })
    await this.until(() => node.drained, `${node.name} has given everything away`)
  }

  /** Closes the node, and resolves when its process has ended by itself. */
  async stop(node: NodeHandle): Promise<Exit> {
    node.order({ do: 'close' })
    return this.until(() => node.exit, `${node.name} ends by itself`)
  }

  async kill(node: NodeHandle): Promise<void> {
    node.signal('SIGKILL')
    await node.exited
  }

  async client(timeout: Duration): Promise<Holdfast> {
    const client = await connect({ ...this.#connection, timeout })
    this.#open.push(client)
    return client
  }

  /** To say on the wire what no client says. */
  async transport(): Promise<Transport> {
    const transport = await openNatsTransport(this.#connection, parts)
    this.#open.push(transport)
    return transport
  }

  /** To read what is in the changelogs. */
  async ports(): Promise<NatsPorts> {
    const ports = await openNats(this.#connection, parts)
    this.#open.push(ports)
    return ports
  }

  /** Resolves to what `look` gives once that is something. `what` completes "… until <what>". */
  async until<T>(look: () => T | undefined | false, what: string): Promise<T> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.tell()
    }, this.#options.patienceMs ?? patienceMs)
    try {
      for (;;) {
        const found = look()
        if (found !== undefined && found !== false) return found
        const failed = this.processes.find((node) => node.failed !== undefined || node.endedUntold)
        if (failed !== undefined) throw new Error(`the node ${failed.name} failed\n${this.trace()}`)
        if (late) throw new Error(`waited in vain until ${what}\n${this.trace()}`)
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** There is news: who waits looks again. */
  tell(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** The node that was the last to serve a partition. */
  serverOf(partition: number): NodeHandle | undefined {
    let last: { readonly node: NodeHandle; readonly epoch: number } | undefined
    for (const node of this.processes) {
      for (const event of node.eventsOf('partition.serving')) {
        if (event.partition === partition && event.epoch > (last?.epoch ?? 0)) last = { node, epoch: event.epoch }
      }
    }
    return last?.node
  }

  /** What no node ever has to say, whatever is done to processes and servers, with the name of the node. */
  alarms(): readonly string[] {
    return this.processes.flatMap(({ name, events, errors }) => [
      ...events.filter(({ type }) => alarming.has(type)).map((event) => `${name}: ${JSON.stringify(event)}`),
      ...errors.map((line) => `${name} on its standard error: ${line}`),
    ])
  }

  async close(): Promise<void> {
    for (const node of this.processes) node.signal('SIGKILL')
    await Promise.all(this.processes.map(({ exited }) => exited))
    await Promise.all(this.#open.map((one) => one.close()))
    await Promise.all(this.servers.map((server) => server.stop()))
    await rm(this.#folder, { recursive: true, force: true })
    this.#guardian.dismiss()
  }

  /** What the last lives of all nodes have said, for a test that failed. */
  trace(): string {
    return [...this.nodes.values()]
      .map(({ name, exit, failed = '', events, errors }) => {
        const last = events.slice(-eventsInTrace).map((event) => `  ${JSON.stringify(event)}`)
        return [
          `${name}${exit === undefined ? '' : ` (ended: ${JSON.stringify(exit)})`}`,
          ...last,
          failed,
          ...errors,
        ].join('\n')
      })
      .join('\n')
  }

  get #urls(): readonly string[] {
    return this.servers.map(({ url }) => url)
  }

  get #connection() {
    return {
      servers: this.#urls,
      cluster: clusterName,
      ...(this.#options.setup === undefined ? quickReconnect : {}),
    }
  }

  get #quickSetup(): NodeSetup {
    return {
      lease: '200ms',
      storeMemory: 64 * 1_024 * 1_024,
      ...quickReconnect,
      settings: { ...quickSettings, ...this.#options.settings },
    }
  }
}

const alarming: ReadonlySet<HoldfastEvent['type']> = new Set([
  'partition.stopped',
  'partition.hash-mismatch',
  'store.set-aside',
  'handler.threw',
])

const parts = { clock: new SystemClock(), random: new SystemRandom(), observer: silent }
