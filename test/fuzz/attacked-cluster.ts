/**
 * A cluster under attack: the modules that ship, in memory, under a virtual clock and a seed, with honest clients at work meanwhile.
 *
 * AC1. Two nodes, each with actors, a store and tasks. Whatever they tell their observers that an attack must not bring about is a
 *      violation: a handler that threw, a partition that stopped, a store that failed.
 * AC2. Three honest clients. Nobody knows the secrets of the `victim`: all that it does must come out right. The frames of the `echoed` one
 *      are heard and sent again: each takes effect once. The inboxes of the `exposed` one are written to: what it hears meanwhile may be
 *      wrong, but it fails in no other way than with a typed error, and is well when that ends.
 * AC3. A node speaks to inboxes only: whatever comes to a subject of the attacker's choice is a violation.
 */
import { createNodeActor, type Node } from '../../actors/node.ts'
import { MemoryStreams } from '../../src/adapters/memory/inputs.ts'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import { connectOver } from '../../src/client/connect.ts'
import type { Holdfast } from '../../src/client/holdfast.ts'
import { addressOf, Session } from '../../src/client/session.ts'
import { judge, startOfLog } from '../../src/core/log.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import { isHoldfastError, messageOf } from '../../src/protocol/errors.ts'
import { nextSeq, partitionId, type NodeId } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Ledger } from '../../src/testing/sim/ledger.ts'
import { HeardTransport } from './heard-transport.ts'
import { Prey, preyKeys, storeName, streamName, tallies } from './prey.ts'

export const clusterName = 'shop'
export const partitions = 4
export const nodeNames = ['n1', 'n2'] as const

/** Replies to it are never right. */
export const evilSubject = 'evil.reply'

const forbidden: ReadonlySet<HoldfastEvent['type']> = new Set([
  'handler.threw',
  'partition.stopped',
  'partition.hash-mismatch',
  'store.failed',
  'store.set-aside',
  'node.fenced',
  'node.crashed',
  'task.stopped',
])
const mostViolations = 20
const busyPaceMs = 60
const idlePaceMs = 10_000
const appendsToKey = 40

export class AttackedCluster {
  readonly random: SeededRandom
  readonly world: MemoryWorld
  readonly streams: MemoryStreams
  readonly subjects = subjectsOf(clusterName)
  readonly nodes = new Map<string, { readonly node: Node; readonly transport: HeardTransport }>()
  readonly attacker: MemoryProcess
  readonly violations: string[] = []
  /** Everything that honest parts listen to. */
  readonly heard: HeardTransport[] = []
  /** Messages that somebody refused to read, or to answer. */
  dropped = 0
  exposed!: { readonly client: Holdfast; readonly transport: HeardTransport }
  echoed!: HeardTransport
  readonly #sessions: Session[] = []
  readonly #appended = new Map<
    string,
    { readonly session: Session; readonly sent: Set<string>; readonly done: Set<string> }
  >()
  readonly #seen = new Map<string, number>()
  readonly #work: Promise<void>[] = []
  /** Between two things that an honest client does, virtual ms. */
  #paceMs = busyPaceMs
  #acknowledged = 0
  #stopped = false
  #closed = false

  private constructor(seed: string) {
    this.random = new SeededRandom(seed)
    this.world = new MemoryWorld({ random: this.random.fork('world'), latencyMs: [0.1, 0.2] })
    this.streams = new MemoryStreams(this.world.clock)
    this.streams.create(streamName)
    this.attacker = this.world.start('attacker')
    this.attacker.transport.subscribe('evil.>', ({ subject, noResponders }) => {
      if (!noResponders) this.violation(`a node spoke to ${subject}`)
    })
  }

  static async begin(seed: string): Promise<AttackedCluster> {
    const cluster = new AttackedCluster(seed)
    const started = nodeNames.map((name) => cluster.#startNode(name))
    await cluster.world.clock.settle(Promise.all(started), 60_000)
    await cluster.serving()
    await cluster.#startClients()
    return cluster
  }

  violation(what: string): void {
    if (this.violations.length < mostViolations) this.violations.push(what)
  }

  /** Commands of honest clients that were done. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Lets so much virtual time pass. Gives the longest time that the event loop was held meanwhile, real ms. */
  async pass(ms: number): Promise<number> {
    let [longestMs, lastMs, over] = [0, performance.now(), false]
    const look = () => {
      const nowMs = performance.now()
      longestMs = Math.max(longestMs, nowMs - lastMs)
      lastMs = nowMs
      if (!over) setImmediate(look)
    }
    setImmediate(look)
    try {
      await this.world.clock.advance(ms)
    } catch (error) {
      this.violation(`crash: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`)
    } finally {
      over = true
    }
    return longestMs
  }

  /** Time goes by: sessions end, entries expire, leases are renewed many times. Honest clients do little. */
  async age(ms: number): Promise<void> {
    this.#paceMs = idlePaceMs
    await this.pass(ms)
    this.#paceMs = busyPaceMs
  }

  /** Until every partition has an owner that serves. */
  async serving(): Promise<void> {
    const served = () => {
      const owned = [...this.nodes.values()].flatMap(({ node }) => node.status().partitions)
      return new Set(owned.filter(({ role }) => role === 'owner').map(({ partition }) => partition)).size === partitions
    }
    await this.world.clock.runUntil(served, 300_000)
  }

  /** After the attack: whether all is as honest clients were promised (AC1–AC3). */
  async judge(): Promise<void> {
    this.#stopped = true
    try {
      await this.world.clock.settle(Promise.all(this.#work), 120_000)
      await this.serving()
      await this.#judgeLiveness()
      await this.#judgeLedgers()
    } catch (error) {
      this.violation(`after the attack: ${messageOf(error)}, ${this.#standing()}`)
    }
    this.#judgeLogs()
  }

  async close(): Promise<void> {
    this.#stopped = true
    this.#closed = true
    for (const session of this.#sessions) session.close()
    await this.exposed.client.close()
    for (const { node } of this.nodes.values()) await this.world.clock.settle(node.crash(), 60_000)
    await this.pass(10)
  }

  /** Who has what, for a partition that nobody serves. */
  #standing(): string {
    const table = this.world.registry.get('table')
    const roles = [...this.nodes].map(([name, { node }]) => {
      const { state, leading, partitions: hosted } = node.status()
      return `${name} ${state}${leading ? ', leading' : ''}: ${hosted.map(({ role, epoch }) => `${role} ${epoch}`).join(', ')}`
    })
    return `${roles.join('; ')}; ${table === null ? 'no table' : Buffer.from(table.value).toString()}`
  }

  #startNode(name: string): Promise<void> {
    const observer = { emit: (event: HoldfastEvent) => this.#note(name, event) }
    const { transport, changelog, registry, objects, compression, stores, clock, random, links } = this.world.start(
      name,
      observer,
    )
    const heard = this.#hear(transport)
    const inputs = this.streams.connect({ link: links.hub, clock })
    const node = createNodeActor(
      { transport: heard, changelog, registry, objects, compression, stores, clock, random, observer, inputs },
      {
        cluster: clusterName,
        id: name as NodeId,
        host: name,
        zone: 'one',
        weight: 1,
        version: '0.0.0',
        definitions: [Prey, Ledger],
        tasks: tallies(),
        clusterSettings: { partitions },
      },
    )
    this.nodes.set(name, { node, transport: heard })
    return node.start()
  }

  #hear(transport: HeardTransport | MemoryProcess['transport']): HeardTransport {
    const heard = new HeardTransport(transport, () => this.world.clock.monotonic())
    this.heard.push(heard)
    return heard
  }

  #note(who: string, event: HoldfastEvent): void {
    if (event.type === 'message.dropped') this.dropped++
    if (!forbidden.has(event.type) || this.#closed) return
    const error = event.type === 'handler.threw' ? event.error : undefined
    this.violation(`${who}: ${JSON.stringify(event)} ${error instanceof Error ? error.stack : messageOf(error)}`)
  }

  async #startClients(): Promise<void> {
    for (const name of ['victim', 'echoed']) {
      const process = this.world.start(name)
      const transport = this.#hear(process.transport)
      if (name === 'echoed') this.echoed = transport
      const observer = { emit: (event: HoldfastEvent) => this.#note(name, event) }
      const session = new Session(
        { clock: process.clock, random: process.random, transport, observer },
        { cluster: clusterName, timeoutMs: 60_000 },
      )
      this.#sessions.push(session)
      this.#begin(process, () => this.#append(session))
    }
    const process = this.world.start('exposed')
    const transport = this.#hear(process.transport)
    const observer = { emit: (event: HoldfastEvent) => this.#note('exposed', event) }
    const client = await this.world.clock.settle(
      connectOver(
        { clock: process.clock, random: process.random, transport, observer },
        { cluster: clusterName, timeout: '5s' },
      ),
      60_000,
    )
    this.exposed = { client, transport }
    this.#begin(process, () => this.#poke(client))
    this.#begin(process, () => this.#read(client))
    void this.#watchPrey(process, client)
    await this.#watchLedger()
  }

  /** Again and again until the attack is over. */
  #begin(process: MemoryProcess, once: () => Promise<void>): void {
    const loop = async () => {
      while (!this.#stopped) {
        await once().catch((error: unknown) => {
          if (!isHoldfastError(error)) this.violation(`an error without a type: ${messageOf(error)}`)
        })
        await new Promise<void>((resolve) => process.clock.setTimeout(resolve, this.#paceMs))
      }
    }
    this.#work.push(loop())
  }

  /** A command of an honest client, on a key that nobody else knows. */
  async #append(session: Session): Promise<void> {
    let key = [...this.#appended].findLast(([, ledger]) => ledger.session === session)?.[0]
    if (key === undefined || this.#appended.get(key)!.sent.size >= appendsToKey) {
      key = this.random.id()
      this.#appended.set(key, { session, sent: new Set(), done: new Set() })
    }
    const { sent, done } = this.#appended.get(key)!
    const id = this.random.id()
    sent.add(id)
    const length = await session.request('command', addressOf(Ledger.type, key), 'append', id)
    done.add(id)
    this.#acknowledged++
    if (length !== sent.size && sent.size === done.size)
      this.violation(`${key} has ${JSON.stringify(length)} of ${sent.size}`)
  }

  async #poke(client: Holdfast): Promise<void> {
    const reference = client.actor(Prey, this.random.pick(preyKeys)!)
    await reference.add(1)
    await reference.read()
  }

  async #read(client: Holdfast): Promise<void> {
    const store = client.kv(storeName)
    await store.put(`e${this.random.below(50)}`, this.random.below(100))
    for await (const _ of store.range({ limit: 20 }));
    await store.count()
  }

  async #watchPrey(process: MemoryProcess, client: Holdfast): Promise<void> {
    while (!this.#stopped) {
      try {
        for await (const _ of client.watch(Prey, { from: 'now' })) if (this.#stopped) break
      } catch (error) {
        if (!isHoldfastError(error)) this.violation(`a watch ended without a type: ${messageOf(error)}`)
      }
      await new Promise<void>((resolve) => process.clock.setTimeout(resolve, this.#paceMs))
    }
  }

  /** A watcher whose inbox nobody knows: it sees every change, each once, in order. */
  async #watchLedger(): Promise<void> {
    const process = this.world.start('watcher')
    const { transport, clock, random } = process
    const ports = { transport, clock, random, observer: { emit() {} } }
    const client = await this.world.clock.settle(connectOver(ports, { cluster: clusterName }), 60_000)
    const watch = client.watch(Ledger, { from: 'start' })
    await this.world.clock.settle(watch.ready(), 60_000)
    void this.#follow(watch)
  }

  async #follow(changes: AsyncIterable<{ readonly key: string; readonly rev: number }>): Promise<void> {
    try {
      for await (const { key, rev } of changes) {
        const before = this.#seen.get(key) ?? 0
        if (rev !== before + 1) this.violation(`a watcher saw rev ${rev} of ${key} after ${before}`)
        this.#seen.set(key, rev)
      }
    } catch (error) {
      this.violation(`the watch of the ledgers ended: ${messageOf(error)}`)
    }
  }

  /** Each partition does a new command, of a new client and of the exposed one. */
  async #judgeLiveness(): Promise<void> {
    const { transport, clock, random } = this.world.start('after')
    const session = new Session({ transport, clock, random, observer: { emit() {} } }, { cluster: clusterName })
    this.#sessions.push(session)
    for (let n = 0; n < partitions * 4; n++) {
      const key = this.random.id()
      const first = session.request('command', addressOf(Ledger.type, key), 'append', 'a', { timeoutMs: 120_000 })
      if ((await this.world.clock.settle(first, 130_000)) !== 1) this.violation(`${key} is not new`)
      const ledger = this.exposed.client.actor(Ledger, key).with({ timeout: '120s' })
      if ((await this.world.clock.settle(ledger.append('b'), 130_000)) !== 2) this.violation(`${key} lost a turn`)
      this.#appended.set(key, { session, sent: new Set(['a', 'b']), done: new Set(['a', 'b']) })
    }
  }

  async #judgeLedgers(): Promise<void> {
    const session = this.#sessions.at(-1)!
    for (const [key, { sent, done }] of this.#appended) {
      const read = session.request('query', addressOf(Ledger.type, key), 'all', null, { timeoutMs: 60_000 })
      const ids = (await this.world.clock.settle(read, 70_000)) as string[]
      const unique = new Set(ids)
      if (unique.size !== ids.length) this.violation(`${key} has a command twice`)
      if ([...done].some((id) => !unique.has(id))) this.violation(`${key} lost a command that was acknowledged`)
      if (ids.some((id) => !sent.has(id))) this.violation(`${key} has what nobody sent`)
      const caughtUp = () => this.#seen.get(key) === ids.length
      await this.world.clock.runUntil(caughtUp, 30_000).catch(() => {
        this.violation(`a watcher saw ${this.#seen.get(key)} of ${ids.length} changes of ${key}`)
      })
    }
  }

  #judgeLogs(): void {
    for (let p = 0; p < partitions; p++) {
      const partition = partitionId(p)
      let position = startOfLog(partition, this.world.changelog.info(partition)!.generation)
      for (const record of this.world.changelog.recordsOf(partition)) {
        const verdict = judge(position, nextSeq(position.seq), record)
        if (verdict.kind === 'broken') return this.violation(`log ${p}: ${verdict.reason}`)
        ;({ position } = verdict)
      }
    }
  }
}
