/** The partition actor of a node in a world in memory, with everything that it has to say to its node. */
import { createPartition, type Partition, type PartitionOptions } from '../../actors/partition.ts'
import type { Answer } from '../../src/partition/turn.ts'
import type { Message } from '../../src/ports/transport.ts'
import type { Store, Stores } from '../../src/ports/store.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { epoch, sessionId, type Epoch, type NodeId } from '../../src/protocol/ids.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { counterOf, Gate, said, type Asked, type AskOptions } from './owner-bench.ts'
import { g1, p0, settingsWith, subjects, type PartitionWorld, type TestNode } from './world.ts'

export class PartitionNode {
  readonly node: TestNode
  readonly partition: Partition
  readonly gate = new Gate()
  readonly spent: number[] = []
  readonly cannotOpen: string[] = []
  /** Subscriptions in force. */
  listening = 0
  knownOwner: NodeId | null = null
  readonly #world: PartitionWorld
  #number = 0

  constructor(world: PartitionWorld, name: string, changes: Partial<PartitionOptions> = {}) {
    this.#world = world
    this.node = world.start(name)
    const { process } = this.node
    this.partition = createPartition({
      partition: p0,
      generation: g1,
      node: this.node.ref,
      clock: process.clock,
      observer: this.node.events,
      transport: process.transport,
      changelog: process.changelog,
      registry: process.registry,
      objects: process.objects,
      compression: process.compression,
      random: process.random,
      stores: process.stores,
      subjects,
      definitions: new Map([['counter', counterOf(this.gate)]]),
      settings: settingsWith({}),
      knownOwner: () => ({ owner: this.knownOwner, epoch: epoch(99) }),
      onEpochSpent: (at) => this.spent.push(at),
      onCannotOpen: (at, reason) => this.cannotOpen.push(`${at} ${reason}`),
      listen: () => {
        this.listening++
        const answer = ({ reply }: Message) => void this.partition.position(reply!)
        const positions = process.transport.subscribe(subjects.position(p0), answer, { queue: 'owner' })
        const close = () => {
          this.listening--
          positions.close()
        }
        return [{ close }]
      },
      ...changes,
    })
  }

  get role() {
    return this.partition.status().role
  }

  want(at: number | null): void {
    this.partition.want(at === null ? null : { role: 'owner', epoch: at as Epoch })
  }

  ask(name: string, input: unknown = null, options: AskOptions = {}): Asked {
    const { key = 'k', session = this.node.ref.incarnation, low = 0, kind = 'command', timeoutMs = 10_000 } = options
    const { type = 'counter', bounds } = options
    const asked: Asked = { number: options.number ?? ++this.#number, answers: [] }
    this.partition.submit({
      session: sessionId(session),
      low,
      request: { kind, number: asked.number, type, key, name, input: encodeValue(input).slice(), timeoutMs, bounds },
      respond: (answer: Answer) => asked.answers.push(answer),
    })
    return asked
  }

  async call(name: string, input: unknown = null, options: AskOptions = {}): Promise<unknown> {
    const asked = this.ask(name, input, options)
    await this.#world.until(() => asked.answers.length > 0)
    return said(asked)
  }

  /** Wanted at this epoch, until it serves. */
  async serve(at: number): Promise<this> {
    this.want(at)
    await this.#world.until(() => this.role === 'owner')
    return this
  }

  async until(role: ReturnType<Partition['status']>['role']): Promise<void> {
    await this.#world.until(() => this.role === role)
  }
}

/** Stores that answer some of their calls otherwise. */
export const storesWith = (inner: Stores, changes: Partial<Stores>): Stores => ({
  open: (partition) => inner.open(partition),
  setAside: (partition, reason) => inner.setAside(partition, reason),
  discard: (partition) => inner.discard(partition),
  discardAside: (path) => inner.discardAside(path),
  close: () => inner.close(),
  ...changes,
})

/** A store that fails as told. */
export const storeThatFails = (inner: Store, fails: () => boolean, code: 'INTERNAL' | 'INVALID'): Store => {
  const check = () => {
    if (fails()) throw new HoldfastError(code, 'the disk says no')
  }
  return {
    async getMany(keys) {
      check()
      return inner.getMany(keys)
    },
    async write(batch) {
      check()
      return inner.write(batch)
    },
    range: (gte, lt) => inner.range(gte, lt),
    view: (range) => inner.view(range),
    close: () => inner.close(),
  }
}
