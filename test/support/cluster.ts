/**
 * A cluster in this process, as users build one: `createNode` and `connect`, with RocksDB on disk, on a local server or on a real
 * nats-server.
 *
 * H1. Nothing is waited for by time: `when` looks again at each event of any node, and fails with what happened when it takes too long.
 * H2. A node that is started again by its name gets its old directory.
 * H3. `close` ends everything, clients first, and removes the directory, whatever a test has left behind. If the test process is
 *     killed before that, a guardian removes it: it holds the other end of a pipe.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedServer } from '../../src/adapters/embedded/server.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import type { NodeSettings } from '../../actors/node.ts'
import { connect, createNode, type ActorDefinition, type HoldfastEvent, type HoldfastNode } from '../../src/index.ts'
import type { Holdfast } from '../../src/index.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { openNatsTransport } from '../../src/adapters/nats/open.ts'
import { startNatsServer, type TestServer } from './nats-server.ts'

export type World = 'embedded' | 'nats'

export interface TestClusterOptions {
  readonly actors: readonly ActorDefinition[]
  /** Default 4. */
  readonly partitions?: number
  readonly settings?: Partial<NodeSettings>
  /** Begins with a copy of what another one has left in its folder; that one must not run. */
  readonly copyOf?: string
}

export interface NodeOverrides {
  readonly settings?: Partial<NodeSettings>
  readonly actors?: readonly ActorDefinition[]
  readonly weight?: number
  readonly storeMemory?: number
}

export interface NodeEvent {
  readonly node: string
  readonly event: HoldfastEvent
}

export const clusterName = 'test'

/** Longer than anything takes here, also on a busy machine. */
const patienceMs = 60_000

const patientlyTo = ({ url }: TestServer) => ({ servers: url, connectTimeoutMs: patienceMs / 2 })

export class TestCluster {
  readonly world: World
  /** Holds a directory for each node, and that of the local server. */
  readonly folder: string
  readonly events: NodeEvent[] = []
  readonly nodes = new Map<string, HoldfastNode>()
  readonly nats: TestServer | undefined
  readonly #options: TestClusterOptions
  readonly #clients = new Set<Holdfast>()
  readonly #transports = new Set<Transport>()
  readonly #waiting = new Set<() => void>()
  readonly #guardian: ChildProcess
  #embedded: EmbeddedServer | undefined

  static async open(world: World, options: TestClusterOptions): Promise<TestCluster> {
    const nats = world === 'nats' ? await startNatsServer() : undefined
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-cluster-'))
    if (options.copyOf !== undefined) await cp(options.copyOf, folder, { recursive: true })
    return new TestCluster(world, folder, nats, options)
  }

  private constructor(world: World, folder: string, nats: TestServer | undefined, options: TestClusterOptions) {
    this.world = world
    this.folder = folder
    this.nats = nats
    this.#options = options
    const script = 'cat > /dev/null; rm -rf -- "$1"'
    this.#guardian = spawn('/bin/sh', ['-c', script, 'cluster-guardian', folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    this.#guardian.unref()
    ;(this.#guardian.stdin as Socket).unref()
  }

  get partitions(): number {
    return this.#options.partitions ?? 4
  }

  dirOf(name: string): string {
    return join(this.folder, name)
  }

  /** Directory of the local server. */
  get serverDir(): string {
    return join(this.folder, 'server')
  }

  /** Starts a node, or starts it again on its old directory (H2). */
  async start(name: string, overrides: NodeOverrides = {}): Promise<HoldfastNode> {
    const { actors, settings } = this.#options
    const merged = { ...settings, ...overrides.settings }
    const options = {
      actors,
      nodeId: name,
      dataDir: this.dirOf(name),
      cluster: clusterName,
      partitions: this.partitions,
      host: name,
      observer: { emit: (event: HoldfastEvent) => this.#note({ node: name, event }) },
      ...overrides,
      settings: merged,
    }
    const where = this.nats === undefined ? { embedded: await this.embedded() } : patientlyTo(this.nats)
    const node = await createNode({ ...options, ...where })
    this.nodes.set(name, node)
    return node
  }

  /** The local server; opened again after its last node has closed it. */
  async embedded(): Promise<EmbeddedServer> {
    if (this.nodes.size === 0) {
      await this.#embedded?.close()
      this.#embedded = undefined
    }
    this.#embedded ??= await EmbeddedServer.open({
      dataDir: this.serverDir,
      clock: new SystemClock(),
      random: new SystemRandom(),
    })
    return this.#embedded
  }

  node(name: string): HoldfastNode {
    const node = this.nodes.get(name)
    if (node === undefined) throw new Error(`node ${name} does not run`)
    return node
  }

  async stop(name: string): Promise<void> {
    await this.node(name).close()
    this.nodes.delete(name)
  }

  async crash(name: string): Promise<void> {
    await this.node(name).crash()
    this.nodes.delete(name)
  }

  async client(timeout = patienceMs / 2): Promise<Holdfast> {
    const options = { cluster: clusterName, timeout }
    const client =
      this.nats === undefined
        ? await connect({ ...options, embedded: await this.embedded() })
        : await connect({ ...options, ...patientlyTo(this.nats) })
    this.#clients.add(client)
    return client
  }

  /** A bare connection to the cluster's message server. */
  async transport(): Promise<Transport> {
    const observer = { emit: (event: HoldfastEvent) => this.#note({ node: '(transport)', event }) }
    const transport =
      this.nats === undefined
        ? (await this.embedded()).connect(observer).transport
        : await openNatsTransport(patientlyTo(this.nats), {
            clock: new SystemClock(),
            random: new SystemRandom(),
            observer,
          })
    this.#transports.add(transport)
    return transport
  }

  /** Events of one type, in their order; of one node if it is named. */
  eventsOf<T extends HoldfastEvent['type']>(type: T, node?: string): Extract<HoldfastEvent, { type: T }>[] {
    return this.events
      .filter((each) => node === undefined || each.node === node)
      .map(({ event }) => event)
      .filter((event): event is Extract<HoldfastEvent, { type: T }> => event.type === type)
  }

  /** Forgets the events so far. */
  forget(): void {
    this.events.length = 0
  }

  /** Resolves once `condition` holds (H1). */
  async when(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const done = (settle: () => void) => {
        clearTimeout(late)
        this.#waiting.delete(look)
        settle()
      }
      // An event is told before what it tells of is in force everywhere.
      const look = () => void setImmediate(() => this.#waiting.has(look) && condition() && done(resolve))
      const late = setTimeout(
        () => done(() => reject(new Error(`${what}: not within ${patienceMs} ms\n${this.trace()}`))),
        patienceMs,
      )
      this.#waiting.add(look)
    })
  }

  /** Resolves once every partition is served, by one of the nodes that run and by these alone if they are named. */
  async settled(...names: readonly string[]): Promise<void> {
    const served = () => {
      const nodes = names.length === 0 ? [...this.nodes.keys()] : names
      const owned = nodes.flatMap((name) => this.owned(name))
      return new Set(owned).size === this.partitions
    }
    await this.when(served, `all partitions are served by ${names.length === 0 ? 'the nodes' : names.join(', ')}`)
  }

  /** Partitions that a node serves now. */
  owned(name: string): number[] {
    const { partitions } = this.node(name).status()
    return partitions.filter(({ role }) => role === 'owner').map(({ partition }) => partition)
  }

  /** What happened, for a failing test. */
  trace(last = 60): string {
    return this.events
      .slice(-last)
      .map(({ node, event }) => `${node} ${JSON.stringify(event)}`)
      .join('\n')
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#clients].map((client) => client.close()))
    await Promise.allSettled([...this.#transports].map((transport) => transport.close()))
    await Promise.allSettled([...this.nodes.values()].map((node) => node.close()))
    await this.#embedded?.close()
    await this.nats?.stop()
    await rm(this.folder, { recursive: true, force: true })
    this.#guardian.kill('SIGKILL')
  }

  #note(event: NodeEvent): void {
    this.events.push(event)
    for (const look of this.#waiting) look()
  }
}
