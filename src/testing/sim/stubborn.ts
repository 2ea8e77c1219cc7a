/**
 * A client that hears nothing of who owns what: it asks a node of its choice for a while, whatever that says, and asks others the same again.
 * What it is told counts like what any client is told.
 *
 * - Reads: a former owner that does not know yet that it is one must not answer from what it has (O3, O4). Where there is one, it writes by
 *   the present owner and reads from the former one: chance would seldom do both in the few moments that there are.
 * - Appends to a former owner: what it says did not happen never does (R2). Where there is a node that does not hear of its appends in time, it
 *   appends there and asks nobody else.
 * - Appends, said again to any node after they were answered, at once or much later: done once (R1, R3), also where the partition has moved
 *   meanwhile, or was restored from a snapshot; and also where they are settled, as a message that was held up on its way says them again.
 */
import type { MemoryProcess } from '../../adapters/memory/world.ts'
import type { Transport } from '../../ports/transport.ts'
import { partitionOf } from '../../protocol/partitioning.ts'
import { decodeReplyFrame, encodeRequestFrame, type Reply, type Request } from '../../protocol/frames.ts'
import { sessionId, type NodeId } from '../../protocol/ids.ts'
import { subjectsOf } from '../../protocol/subjects.ts'
import { decodeValue, encodeValue } from '../../protocol/values.ts'
import { outcomeOf } from '../check/history.ts'
import type { ListInput, ListOutput } from '../check/list.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { clusterName } from './cluster.ts'
import { Ledger } from './ledger.ts'
import type { LedgerHistory } from './workload.ts'

/** A partition that two nodes take for their own. */
export interface Contested {
  readonly partition: number
  readonly owner: string
  readonly former: string
}

/** A node that does not hear of its appends in time, and what it owns. */
export interface Tardy {
  readonly owner: string
  readonly partitions: readonly number[]
}

export interface StubbornOptions {
  readonly name: string
  readonly process: MemoryProcess
  readonly transport: Transport
  readonly random: SeededRandom
  readonly keys: readonly string[]
  readonly nodes: readonly string[]
  readonly partitions: number
  readonly contested: () => Contested | undefined
  readonly tardy: () => Tardy | undefined
  readonly history: LedgerHistory
}

/** How long it waits for an answer, and how long it keeps to one node at most, virtual ms. */
const patiencesMs = [1_000, 6_000] as const
const loyalForMs = 4_000
const restMs = 60
/** How long an append is kept to be said again, virtual ms. */
const keptForMs = [1_000, 30_000] as const

/** How long after that; sessions are remembered for twice as long as both. */
const settledForMs = 20_000

/** An append that was answered. */
interface Kept {
  readonly number: number
  readonly key: string
  readonly untilMs: number
}

export class StubbornClient {
  readonly #options: StubbornOptions
  readonly #inbox: string
  #number = 0
  #questions = 0
  /** Of the request that waits for its answer. */
  #asked = 0
  /** Not settled. */
  #kept: Kept | undefined
  /** The last that was kept. */
  #settled: Kept | undefined
  #answered: ((reply: Reply) => void) | undefined

  constructor(options: StubbornOptions) {
    this.#options = options
    const { transport } = options
    this.#inbox = transport.inbox()
    transport.subscribe(`${this.#inbox}.*`, ({ subject, data, noResponders }) => {
      // What a network doubles must not pass for the answer of the node that was asked next.
      if (noResponders || subject !== this.#replyTo) return
      for (const reply of decodeReplyFrame(data).replies) if (reply.number === this.#asked) this.#answered?.(reply)
    })
  }

  get #replyTo(): string {
    return `${this.#inbox}.${this.#questions}`
  }

  /** Resolves after the last answer. */
  async until(untilMs: number): Promise<void> {
    const { process, random, keys, nodes, contested, tardy } = this.#options
    const { clock } = process
    while (clock.monotonic() < untilMs) {
      const node = random.pick(nodes)!
      const leavesAtMs = clock.monotonic() + random.between(0, loyalForMs)
      while (clock.monotonic() < Math.min(leavesAtMs, untilMs)) {
        const contest = contested()
        const late = tardy()
        if (contest !== undefined) await this.#compare(contest)
        else if (late !== undefined) await this.#believe(late)
        else if (this.#kept !== undefined && random.chance(0.1)) await this.#sayAgain(this.#kept, node)
        else if (this.#settled !== undefined && random.chance(0.05)) await this.#sayOnceMore(this.#settled, node)
        else if (random.chance(0.8)) await this.#read(random.pick(keys)!, node)
        else await this.#append(random.pick(keys)!, this.#askedInTurn(node))
        await this.#pause(random.between(0, restMs))
      }
    }
  }

  async #believe({ owner, partitions }: Tardy): Promise<void> {
    const key = this.#keyIn(partitions)
    if (key !== undefined) await this.#append(key, [owner])
  }

  async #compare({ partition, owner, former }: Contested): Promise<void> {
    const key = this.#keyIn([partition])
    if (key === undefined) return
    if (this.#options.random.chance(0.3)) await this.#append(key, [former])
    await this.#append(key, [owner])
    await this.#read(key, former)
  }

  #keyIn(some: readonly number[]): string | undefined {
    const { random, keys, partitions } = this.#options
    return random.pick(keys.filter((each) => some.includes(partitionOf(each, partitions))))
  }

  async #sayAgain(kept: Kept, node: string): Promise<void> {
    if (this.#isOver(kept)) {
      this.#settled = { ...kept, untilMs: kept.untilMs + settledForMs }
      this.#kept = undefined
    } else await this.#ask(node, this.#appendOf(kept))
  }

  /** What is settled: the frame says so. */
  async #sayOnceMore(settled: Kept, node: string): Promise<void> {
    if (this.#isOver(settled)) this.#settled = undefined
    else await this.#ask(node, this.#appendOf(settled), this.#kept?.number ?? this.#number + 1)
  }

  #isOver({ untilMs }: Kept): boolean {
    return this.#options.process.clock.monotonic() > untilMs
  }

  #appendOf({ number, key }: Pick<Kept, 'number' | 'key'>) {
    return { kind: 'command', number, key, name: 'append', input: `${this.#options.name}-${number}` } as const
  }

  /** One node, and at times others after it. */
  #askedInTurn(first: string): string[] {
    const { random, nodes } = this.#options
    const asked = [first]
    for (let left = random.pick([0, 1, 2]); left > 0; left--) asked.push(random.pick(nodes)!)
    return asked
  }

  async #read(key: string, node: string): Promise<void> {
    const { name, process, history } = this.#options
    const operation = history.invoke(name, key, { kind: 'read' }, process.clock.monotonic())
    const number = ++this.#number
    this.#settle(operation, [await this.#ask(node, { kind: 'query', number, key, name: 'all', input: null })])
  }

  async #append(key: string, asked: readonly string[]): Promise<void> {
    const { name, process, random, history } = this.#options
    const number = ++this.#number
    const id = `${name}-${number}`
    const input: ListInput = { kind: 'append', id }
    const operation = history.invoke(name, key, input, process.clock.monotonic())
    const replies: (Reply | undefined)[] = []
    for (const node of asked) {
      replies.push(await this.#ask(node, this.#appendOf({ number, key })))
      await this.#pause(random.between(0, restMs))
    }
    if (this.#settle(operation, replies) === 'done' && this.#kept === undefined) {
      this.#kept = { number, key, untilMs: process.clock.monotonic() + random.between(...keptForMs) }
    }
  }

  /** Nothing happened only where every node has said so. */
  #settle(operation: number, replies: readonly (Reply | undefined)[]): 'done' | 'not done' {
    const { history, process } = this.#options
    const told = replies.findLast((reply) => reply?.kind === 'value')
    if (told?.kind === 'value') {
      history.ok(operation, decodeValue(told.value) as ListOutput, process.clock.monotonic())
      return 'done'
    }
    if (replies.every((reply) => reply !== undefined && isRefusal(reply))) history.failed(operation, 'RETRY')
    else history.unknown(operation)
    return 'not done'
  }

  /** `undefined`: no answer came. */
  #ask(
    node: string,
    { kind, number, key, name, input }: Pick<Request, 'kind' | 'number' | 'key' | 'name'> & { readonly input: unknown },
    // All before the one that is kept are settled, or before this one.
    low = this.#kept?.number ?? number,
  ): Promise<Reply | undefined> {
    const { transport, process, partitions, name: session } = this.#options
    this.#questions++
    this.#asked = number
    const patienceMs = this.#options.random.pick(patiencesMs)
    const request = { kind, number, type: Ledger.type, key, name, input: encodeValue(input), timeoutMs: patienceMs }
    const frame = { partitions, session: sessionId(session), low, frame: this.#questions, requests: [request] }
    return new Promise((resolve) => {
      const end = (reply: Reply | undefined) => {
        process.clock.clearTimeout(timer)
        this.#answered = undefined
        resolve(reply)
      }
      const timer = process.clock.setTimeout(() => end(undefined), patienceMs)
      this.#answered = end
      const subject = subjectsOf(clusterName).nodeFrame(node as NodeId)
      transport.publish(subject, encodeRequestFrame(frame), { reply: this.#replyTo })
    })
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.process.clock.setTimeout(resolve, ms))
  }
}

const isRefusal = (reply: Reply): boolean =>
  reply.kind === 'moved' || (reply.kind === 'error' && outcomeOf(reply.error.code).kind === 'failed')
