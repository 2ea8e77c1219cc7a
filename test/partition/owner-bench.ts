/** A partition with an owner, or several one after the other, and askers who keep what they hear. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { expect } from 'vitest'
import type { ActorDefinition } from '../../src/behaviour/definition.ts'
import { actor, type CommandContext } from '../../src/behaviour/index.ts'
import type { BrokenLog, LogPosition } from '../../src/core/log.ts'
import { NodeMemory } from '../../src/partition/node-memory.ts'
import { Owner } from '../../src/partition/owner.ts'
import type { Replica } from '../../src/partition/replica.ts'
import type { PartitionSettings } from '../../src/partition/settings.ts'
import { claim, openReplica } from '../../src/partition/takeover.ts'
import type { Answer } from '../../src/partition/turn.ts'
import { epoch, sessionId } from '../../src/protocol/ids.ts'
import type { ReadBounds, RequestKind } from '../../src/protocol/frames.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { FaultyChangelog } from '../../src/testing/faulty-changelog.ts'
import { p0, PartitionWorld, settingsWith, subjects, type TestNode } from './world.ts'

/** What a test lets an asynchronous handler, or a schema, wait for. */
export class Gate {
  open: () => void = () => {}
  aborted = false
  /** Handlers that have begun behind a schema. */
  begun = 0
}

const waitingSchema = (gate: Gate): StandardSchemaV1<unknown, unknown> => ({
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) =>
      new Promise((resolve) => {
        gate.open = () => resolve({ value })
      }),
  },
})

export const counterOf = (gate: Gate): ActorDefinition =>
  actor('counter', {
    version: 1,
    state: () => 0,
    input: { checked: waitingSchema(gate), checkedValue: waitingSchema(gate) },
    commands: {
      checked(ctx: CommandContext<number>) {
        gate.begun++
        ctx.state += 1
        return ctx.state
      },
      add(ctx: CommandContext<number>, n: number) {
        ctx.state += n
        return ctx.state
      },
      pad(ctx: CommandContext<number>, bytes: number) {
        ctx.state += 1
        return 'x'.repeat(bytes)
      },
      read: (ctx: CommandContext<number>) => ctx.state,
      throwing: (ctx: CommandContext<number>) => {
        throw new Error(`saw ${ctx.state}`)
      },
      destroy: (ctx: CommandContext<number>) => ctx.destroy(),
      async slow(ctx: CommandContext<number>) {
        ctx.signal.addEventListener('abort', () => (gate.aborted = true))
        await new Promise<void>((resolve) => (gate.open = resolve))
        ctx.state += 1
        return ctx.state
      },
    },
    queries: {
      value: (state: number) => state,
      checkedValue: (state: number) => state,
      fill: (_: number, bytes: number) => 'x'.repeat(bytes),
      failing: () => {
        throw new Error('a query threw')
      },
      later: () => Promise.resolve(1),
    },
  }) as ActorDefinition

export class OwnerBench {
  readonly world: PartitionWorld
  readonly gate = new Gate()
  readonly changes: string[] = []
  readonly settings: PartitionSettings
  #number = 0

  constructor(seed: string, settings: Partial<PartitionSettings> = {}) {
    this.world = new PartitionWorld(seed)
    this.settings = settingsWith(settings)
    const { transport } = this.world.start('watcher').process
    transport.subscribe(subjects.allChanges, ({ data }) => {
      const { key, rev, state } = JSON.parse(Buffer.from(data).toString()) as {
        key: string
        rev: number
        state: unknown
      }
      this.changes.push(`${key}${rev}=${JSON.stringify(state)}`)
    })
  }

  /** A node takes the partition over at this epoch, waits as it must, and serves. Its wall clock is `skewMs` ahead. */
  async own(name: string, at: number, skewMs = 0): Promise<Owned> {
    const node = this.world.start(name)
    node.process.clock.skewMs = skewMs
    const faulty = new FaultyChangelog(node.process.changelog, { clock: node.process.clock })
    const log = faulty.log(p0)
    const options = this.world.takeover(node, { log, onStoreFailure: () => {} })
    const replica = await this.world.settle(openReplica(options))
    const result = await this.world.settle(claim(replica, epoch(at), options))
    if (result.kind !== 'claimed') throw new Error(result.kind)
    await this.world.clock.advance(Math.max(0, result.serveFromMs - node.process.clock.monotonic()))
    return new Owned(this, node, faulty, replica)
  }

  nextNumber(): number {
    return ++this.#number
  }

  pass(ms = 20): Promise<void> {
    return this.world.clock.advance(ms)
  }
}

export interface Asked {
  readonly number: number
  readonly answers: Answer[]
}

export interface AskOptions {
  readonly key?: string
  readonly type?: string
  readonly session?: string
  readonly number?: number
  readonly low?: number
  readonly kind?: RequestKind
  readonly timeoutMs?: number
  readonly idempotencyKey?: string
  readonly bounds?: ReadBounds
}

export class Owned {
  readonly node: TestNode
  readonly faulty: FaultyChangelog
  readonly replica: Replica
  readonly owner: Owner
  readonly fenced: (LogPosition | null)[] = []
  readonly broken: BrokenLog[] = []
  readonly #bench: OwnerBench

  constructor(bench: OwnerBench, node: TestNode, faulty: FaultyChangelog, replica: Replica) {
    this.#bench = bench
    this.node = node
    this.faulty = faulty
    this.replica = replica
    const definition = counterOf(bench.gate)
    this.owner = new Owner({
      clock: node.process.clock,
      observer: node.events,
      transport: node.process.transport,
      subjects,
      log: faulty.log(p0),
      replica,
      definitions: new Map([['counter', definition]]),
      settings: bench.settings,
      memory: new NodeMemory(),
      onRecord: () => {},
      onFenced: (by) => this.fenced.push(by),
      onStoreFailure: (error) => {
        throw error
      },
      onBroken: (error) => this.broken.push(error),
      onUnwritable: () => {
        throw new Error('a record cannot be written')
      },
    })
  }

  ask(name: string, input: unknown = null, options: AskOptions = {}): Asked {
    const { key = 'k', type = 'counter', session = 's', low = 0, kind = 'command', timeoutMs = 10_000 } = options
    const { idempotencyKey, bounds } = options
    const asked: Asked = { number: options.number ?? this.#bench.nextNumber(), answers: [] }
    this.owner.submit({
      session: sessionId(session),
      low,
      request: {
        kind,
        number: asked.number,
        type,
        key,
        name,
        input: encodeValue(input).slice(),
        timeoutMs,
        idempotencyKey,
        bounds,
      },
      respond: (answer) => asked.answers.push(answer),
    })
    return asked
  }

  query(name: string, input: unknown = null, options: AskOptions = {}): Asked {
    return this.ask(name, input, { ...options, kind: 'query' })
  }

  /** Asks, and waits for the one answer. */
  async call(name: string, input: unknown = null, options: AskOptions = {}): Promise<unknown> {
    const asked = this.ask(name, input, options)
    await this.#bench.world.until(() => asked.answers.length > 0)
    return said(asked)
  }
}

/** The value of the one answer, or its error's code, or `moved`; `undefined` while there is none. */
export function said({ answers }: Asked): unknown {
  expect(answers.length).toBeLessThanOrEqual(1)
  const [answer] = answers
  if (answer?.kind === 'value') return decodeValue(answer.value)
  return answer?.kind === 'error' ? answer.error.code : answer?.kind
}
