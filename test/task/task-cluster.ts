/** Nodes with tasks, a stream that they read and one that they fill: the modules that ship, in memory, under a virtual clock and a seed. */
import { createNodeActor, type Node } from '../../actors/node.ts'
import { MemoryStreams } from '../../src/adapters/memory/inputs.ts'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import type { TaskDefinition } from '../../src/behaviour/task.ts'
import { Holdfast } from '../../src/client/holdfast.ts'
import { Session } from '../../src/client/session.ts'
import type { PartitionSettings } from '../../src/partition/settings.ts'
import type { Inputs } from '../../src/ports/inputs.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { isNodeId, partitionId, type NodeId } from '../../src/protocol/ids.ts'
import { decodeRecord } from '../../src/protocol/record.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

export const cluster = 'test'
/** What nodes read, where a test says nothing else. */
export const input = 'ORDERS'
/** What nodes fill: it stores everything on `out.>`. */
export const output = 'OUT'

export interface TaskNode {
  readonly name: string
  readonly process: MemoryProcess
  readonly node: Node
}

export interface SentOutput {
  readonly subject: string
  readonly value: unknown
  readonly id: string
}

export interface TaskClusterOptions {
  readonly tasks: () => readonly TaskDefinition[]
  /** Default 4. */
  readonly partitions?: number
  readonly settings?: Partial<Omit<PartitionSettings, 'leaseMs'>>
  readonly streams?: boolean
  /** What stands between nodes and the streams. Default: nothing. */
  readonly between?: (inputs: Inputs) => Inputs
}

const limitMs = 120_000

export class TaskCluster {
  readonly world: MemoryWorld
  readonly random: SeededRandom
  readonly streams: MemoryStreams
  readonly nodes = new Map<string, TaskNode>()
  readonly events: { readonly node: string; readonly event: HoldfastEvent }[] = []
  /** What the output stream has stored, repetitions left out. */
  readonly stored: SentOutput[] = []
  /** All that came to it, repetitions included. */
  readonly arrived: SentOutput[] = []
  /** What the output stream says instead of storing anything. */
  refusal: string | undefined
  readonly server: Transport
  readonly #options: TaskClusterOptions
  readonly #session: Session
  readonly client: Holdfast

  constructor(seed: string | number, options: TaskClusterOptions) {
    this.#options = options
    this.random = new SeededRandom(seed)
    this.world = new MemoryWorld({ random: this.random.fork('world') })
    this.streams = new MemoryStreams(this.world.clock)
    this.streams.create(input)
    this.server = this.world.start('streams').transport
    this.server.subscribe('out.>', ({ subject, data, headers = {}, reply }) => {
      const sent = { subject, value: JSON.parse(Buffer.from(data).toString()) as unknown, id: headers['Nats-Msg-Id']! }
      this.arrived.push(sent)
      if (this.refusal === undefined && !this.stored.some(({ id }) => id === sent.id)) this.stored.push(sent)
      const answer = this.refusal === undefined ? { stream: output, seq: 1 } : { error: { description: this.refusal } }
      if (reply !== undefined) this.server.publish(reply, Buffer.from(JSON.stringify(answer)))
    })
    const { transport, clock, random } = this.world.start('client')
    const ports = { transport, clock, random, observer: { emit() {} } }
    this.#session = new Session(ports, { cluster, timeoutMs: 60_000 })
    this.client = new Holdfast({ ...ports, session: this.#session, subjects: subjectsOf(cluster) })
  }

  start(name: string): TaskNode {
    if (!isNodeId(name)) throw new Error(`${name} is no node id`)
    const observer = { emit: (event: HoldfastEvent) => void this.events.push({ node: name, event }) }
    const process = this.world.start(name, observer)
    const { tasks, partitions = 4, settings, streams = true, between = (inputs) => inputs } = this.#options
    const { transport, changelog, registry, objects, compression, stores, clock, random, links } = process
    const inputs = streams ? { inputs: between(this.streams.connect({ link: links.hub, clock })) } : {}
    const node = createNodeActor(
      { transport, changelog, registry, objects, compression, stores, clock, random, observer, ...inputs },
      {
        cluster,
        id: name as NodeId,
        host: name,
        zone: 'one',
        weight: 1,
        version: '0.0.0',
        definitions: [],
        tasks: tasks(),
        clusterSettings: { partitions },
        ...(settings === undefined ? {} : { settings: { partition: settings } }),
      },
    )
    node.start().catch(() => {})
    const started = { name, process, node }
    this.nodes.set(name, started)
    return started
  }

  /** SIGKILL. */
  crash(name: string): void {
    this.nodes.get(name)?.process.crash()
    this.nodes.delete(name)
  }

  async stop(name: string): Promise<void> {
    await this.settle(this.nodes.get(name)!.node.close())
    this.nodes.delete(name)
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.world.clock.settle(promise, limitMs)
  }

  until(done: () => boolean): Promise<void> {
    return this.world.clock.runUntil(done, limitMs).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.trace()}`)
    })
  }

  pass(ms: number): Promise<void> {
    return this.world.clock.advance(ms)
  }

  /** Puts a message into the input stream; its subject is its key. */
  send(key: string, value: unknown): number {
    return this.streams.add(input, key, Buffer.from(JSON.stringify(value)))
  }

  eventsOf<T extends HoldfastEvent['type']>(type: T): Extract<HoldfastEvent, { type: T }>[] {
    return this.events
      .map(({ event }) => event)
      .filter((event): event is Extract<HoldfastEvent, { type: T }> => event.type === type)
  }

  /** Until every partition is served and its tasks have begun. */
  async serving(tasks = 1): Promise<void> {
    const { partitions = 4 } = this.#options
    await this.until(() => this.eventsOf('task.serving').length >= partitions * tasks)
  }

  /** Entries of a store by their keys, as a client reads them. */
  async entries(store: string): Promise<Record<string, unknown>> {
    const read = async () => {
      const found: Record<string, unknown> = {}
      for await (const { key, value } of this.client.kv(store).range()) found[key] = value
      return found
    }
    return this.settle(read())
  }

  /** The units that are in the logs: how many turns of the partitions' own changed a task's position. */
  positions(): number[] {
    const { partitions = 4 } = this.#options
    return Array.from({ length: partitions }, (_, n) => {
      const records = this.world.changelog.recordsOf(partitionId(n)).map(decodeRecord)
      return records.reduce((sum, record) => {
        const turns = record.kind === 'commit' ? record.turns : []
        return sum + turns.filter(({ mutations }) => mutations.some(({ type }) => type === '.task')).length
      }, 0)
    })
  }

  trace(last = 40): string {
    return this.events
      .slice(-last)
      .map(({ node, event }) => `${node} ${JSON.stringify(event)}`)
      .join('\n')
  }

  async close(): Promise<void> {
    this.#session.close()
    for (const name of [...this.nodes.keys()]) this.crash(name)
    await this.pass(0)
  }
}
