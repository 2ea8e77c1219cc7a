/**
 * A cluster whose owners do what a test tells them, in a world of memory and virtual time: for tests of the client's side alone.
 */
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionOptions } from '../../src/client/session-options.ts'
import { encodeView } from '../../src/core/table.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import type { Message } from '../../src/ports/transport.ts'
import {
  decodeRequestFrame,
  encodeReplyFrame,
  type Reply,
  type ReplyPosition,
  type Request,
  type RequestFrame,
} from '../../src/protocol/frames.ts'
import { epoch, generation, partitionId, seq as seqOf, type NodeId } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

export const cluster = 'test'
export const subjects = subjectsOf(cluster)

type Body<R> = R extends Reply ? Omit<R, 'number' | 'frame'> : never
/** `null`: says nothing. */
export type Answer = Body<Reply> | null
export type Behave = (request: Request, frame: RequestFrame, reply: (answer: Answer) => void) => Answer | undefined

/** `seq` and `ageMs`: of where partition 0 was; with an age it comes of a standby. */
export const value = (of: unknown, seq = 1, ageMs?: number): Answer => ({
  kind: 'value',
  value: encodeValue(of),
  at: positionOf(seq, ageMs),
})

const positionOf = (seq: number, ageMs?: number): ReplyPosition => ({
  partition: partitionId(0),
  generation: generation('g1'),
  seq: seqOf(seq),
  ageMs,
})

export const failure = (
  code: 'RETRY' | 'FENCED' | 'OVERLOADED' | 'UNKNOWN' | 'FAILED' | 'TIMEOUT' | 'NOT_FOUND' | 'INVALID',
  retryAfterMs?: number,
): Answer => ({
  kind: 'error',
  error: { code, message: `told to say ${code}`, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
})
export const moved = (owner: string | null, at = 1): Answer => ({
  kind: 'moved',
  owner: owner as NodeId | null,
  epoch: epoch(at),
})

export interface Received {
  readonly subject: string
  readonly atMs: number
  readonly frame: RequestFrame
}

export class FakeCluster {
  readonly world: MemoryWorld
  readonly partitions: number
  readonly nodes = new Map<string, FakeNode>()
  version = 1
  owners: (string | null)[]
  /** Of each partition; those that are named need not be nodes. */
  standbys: string[][] = []

  constructor(options: { readonly partitions?: number; readonly seed?: string; readonly maxPayload?: number } = {}) {
    const { partitions = 4, seed = 'client', maxPayload } = options
    this.partitions = partitions
    this.world = new MemoryWorld({
      random: new SeededRandom(seed),
      latencyMs: [0.2, 0.3],
      ...(maxPayload === undefined ? {} : { maxPayload }),
    })
    this.owners = Array.from({ length: partitions }, () => null)
  }

  get clock() {
    return this.world.clock
  }

  /** A node that says `behave` to each request. It owns `owns`, by default every partition. */
  node(name: string, behave: Behave, owns?: readonly number[]): FakeNode {
    const node = new FakeNode(this, name, behave, owns ?? this.owners.map((_, p) => p))
    this.nodes.set(name, node)
    for (const p of owns ?? this.owners.keys()) this.owners[p] = name
    return node
  }

  /** Tells everyone who owns what. */
  publishView(from: FakeNode): void {
    this.version++
    from.process.transport.publish(subjects.placement, this.view())
  }

  view(): Uint8Array {
    const standbys = this.owners.map((_, p) => this.standbys[p] ?? [])
    return encodeView({
      version: this.version,
      owners: this.owners as (NodeId | null)[],
      standbys: standbys as NodeId[][],
    })
  }

  client(options: Partial<SessionOptions> = {}): FakeClient {
    return new FakeClient(this, options)
  }

  /** A key of this partition. */
  keyOf(partition: number, salt = ''): string {
    for (let i = 0; ; i++) if (partitionOf(`k${salt}${i}`, this.partitions) === partition) return `k${salt}${i}`
  }
}

export class FakeNode {
  readonly process: MemoryProcess
  readonly name: string
  readonly received: Received[] = []
  behave: Behave
  readonly #placement: { close(): void }
  readonly #cluster: FakeCluster
  readonly #subscriptions: { close(): void }[] = []

  constructor(cluster: FakeCluster, name: string, behave: Behave, owns: readonly number[]) {
    this.#cluster = cluster
    this.process = cluster.world.start(name)
    this.name = name
    this.behave = behave
    const { transport } = this.process
    const listen = (subject: string, queue?: string) =>
      this.#subscriptions.push(
        transport.subscribe(subject, (m) => this.#onFrame(m), queue === undefined ? {} : { queue }),
      )
    listen(subjects.nodeFrame(name as NodeId))
    for (const p of owns) listen(subjects.partition(partitionId(p)), 'owner')
    const onGet = ({ reply }: Message) => transport.publish(reply!, cluster.view())
    this.#placement = transport.subscribe(subjects.placementGet, onGet, { queue: 'gateway' })
    this.#subscriptions.push(this.#placement)
  }

  /** Leaves questions for the placement to others. */
  keepPlacement(): void {
    this.#placement.close()
  }

  /** All requests that came, in their order. */
  get requests(): Request[] {
    return this.received.flatMap(({ frame }) => frame.requests)
  }

  /** Listens no longer: the server says "no responders". */
  leave(): void {
    for (const subscription of this.#subscriptions) subscription.close()
  }

  #onFrame(message: Message): void {
    const frame = decodeRequestFrame(message.data)
    this.received.push({ subject: message.subject, atMs: this.#cluster.clock.monotonic(), frame })
    for (const request of frame.requests) {
      const send = (answer: Answer) => {
        if (answer === null) return
        const more = answer.kind === 'value' ? { at: positionOf(1) } : { frame: frame.frame }
        const reply = { number: request.number, ...more, ...answer } as Reply
        this.process.transport.publish(message.reply!, encodeReplyFrame({ session: frame.session, replies: [reply] }))
      }
      const now = this.behave(request, frame, send)
      if (now !== undefined) send(now)
    }
  }
}

export class FakeClient {
  readonly process: MemoryProcess
  readonly session: Session
  readonly events: HoldfastEvent[] = []

  constructor(cluster: FakeCluster, options: Partial<SessionOptions>) {
    this.process = cluster.world.start('client')
    const { transport, clock, random } = this.process
    const observer = { emit: (event: HoldfastEvent) => void this.events.push(event) }
    this.session = new Session({ transport, clock, random, observer }, { cluster: 'test', ...options })
  }
}
