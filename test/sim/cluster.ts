/**
 * A whole cluster in one process: the modules that ship, on the in-memory adapters, under a virtual clock and a seed.
 */
import { createNodeActor, type Node, type NodeOptions, type NodeSettingsInput } from '../../actors/node.ts'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import type { ActorDefinition } from '../../src/behaviour/definition.ts'
import { Session } from '../../src/client/session.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import { isNodeId, type NodeId } from '../../src/protocol/ids.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

export const clusterName = 'sim'

export interface SimNode {
  readonly name: string
  readonly process: MemoryProcess
  readonly node: Node
  readonly started: Promise<void>
}

export interface SimOptions {
  readonly seed: number
  readonly partitions?: number
  readonly definitions: readonly ActorDefinition[]
  readonly settings?: NodeSettingsInput
}

export interface SimEvent {
  readonly atMs: number
  readonly node: string
  readonly event: HoldfastEvent
}

export class SimCluster {
  readonly random: SeededRandom
  readonly world: MemoryWorld
  readonly nodes = new Map<string, SimNode>()
  readonly events: SimEvent[] = []
  readonly #options: SimOptions
  readonly #sessions: Session[] = []

  constructor(options: SimOptions) {
    this.#options = options
    this.random = new SeededRandom(options.seed)
    this.world = new MemoryWorld({ random: this.random.fork('world') })
  }

  get clock() {
    return this.world.clock
  }

  /** Starts a node, or starts it again on its old disk. */
  start(name: string): SimNode {
    const { definitions, partitions = 4, settings } = this.#options
    if (!isNodeId(name)) throw new Error(`${name} is no node id`)
    const observer = {
      emit: (event: HoldfastEvent) => void this.events.push({ atMs: this.clock.monotonic(), node: name, event }),
    }
    const process = this.world.start(name, observer)
    const { transport, changelog, registry, objects, compression, stores, clock, random } = process
    const options: NodeOptions = {
      cluster: clusterName,
      id: name as NodeId,
      host: name,
      zone: 'one',
      weight: 1,
      version: '0.0.0',
      definitions,
      clusterSettings: { partitions },
      ...(settings === undefined ? {} : { settings }),
    }
    const node = createNodeActor(
      { transport, changelog, registry, objects, compression, stores, clock, random, observer },
      options,
    )
    const started = node.start()
    started.catch(() => {})
    const simNode = { name, process, node, started }
    this.nodes.set(name, simNode)
    return simNode
  }

  /** SIGKILL. */
  crash(name: string): void {
    this.nodes.get(name)?.process.crash()
    this.nodes.delete(name)
  }

  /** A client in a process of its own. */
  client(name: string, timeoutMs?: number): { readonly session: Session; readonly process: MemoryProcess } {
    const process = this.world.start(name)
    const { transport, clock, random } = process
    const session = new Session(
      { transport, clock, random, observer: { emit() {} } },
      { cluster: clusterName, ...(timeoutMs === undefined ? {} : { timeoutMs }) },
    )
    this.#sessions.push(session)
    return { session, process }
  }

  /** Until every partition has an owner that serves. */
  async settled(limitMs = 30_000): Promise<void> {
    const { partitions = 4 } = this.#options
    const serving = () => {
      const owners = [...this.nodes.values()].flatMap(({ node }) =>
        node.status().partitions.filter(({ role }) => role === 'owner'),
      )
      return new Set(owners.map(({ partition }) => partition)).size === partitions
    }
    await this.clock.runUntil(serving, limitMs)
  }

  /** Ends everything. */
  async close(): Promise<void> {
    for (const session of this.#sessions) session.close()
    for (const name of [...this.nodes.keys()]) this.crash(name)
    await this.clock.advance(0)
  }

  /** What happened, for a failing run. */
  trace(last = 60): string {
    return this.events
      .slice(-last)
      .map(({ atMs, node, event }) => `${atMs.toFixed(1)} ${node} ${JSON.stringify(event)}`)
      .join('\n')
  }
}
