import { beforeEach, describe, expect, it } from 'vitest'
import { actor, type CommandContext } from '../../src/behaviour/index.ts'
import type { ActorDefinition } from '../../src/behaviour/definition.ts'
import { forgotten, inDoubt, notExecuted } from '../../src/partition/answers.ts'
import { actorId } from '../../src/partition/names.ts'
import { defaultNodeMemory, NodeMemory } from '../../src/partition/node-memory.ts'
import { Replica } from '../../src/partition/replica.ts'
import { catchUp } from '../../src/partition/log-tail.ts'
import { TurnLoop, type TurnLoopOptions } from '../../src/partition/turn-loop.ts'
import type { Answer, FinishedTurn, Turn } from '../../src/partition/turn.ts'
import type { Clock, Timer } from '../../src/ports/clock.ts'
import type { Metric } from '../../src/ports/metrics.ts'
import type { Store } from '../../src/ports/store.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { sessionId, seq } from '../../src/protocol/ids.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { LogWriter } from './log-writer.ts'
import { g1, p0, PartitionWorld, replicaOptions, type TestNode } from './world.ts'

/** Promises that a test settles by name: what an asynchronous handler waits for. */
class Gates {
  readonly #open = new Map<string, { go: (value?: unknown) => void; fail: (error: unknown) => void }>()
  readonly begun: string[] = []

  wait(name: string): Promise<unknown> {
    this.begun.push(name)
    return new Promise((go, fail) => this.#open.set(name, { go, fail }))
  }

  go(name: string, value?: unknown): void {
    this.#open.get(name)!.go(value)
  }

  fail(name: string, error: unknown): void {
    this.#open.get(name)!.fail(error)
  }
}

/** The clock of a process whose handlers take their time: they move it while they run. */
class BusyClock implements Clock {
  readonly #clock: Clock
  spentMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  now(): number {
    return this.#clock.now() + this.spentMs
  }

  monotonic(): number {
    return this.#clock.monotonic() + this.spentMs
  }

  setTimeout(run: () => void, delayMs: number): Timer {
    return this.#clock.setTimeout(run, delayMs)
  }

  clearTimeout(timer: Timer | undefined): void {
    this.#clock.clearTimeout(timer)
  }

  defer(run: () => void): void {
    this.#clock.defer(run)
  }
}

type State = { readonly log: string[] }

const thingOf = (gates: Gates, onAdd: () => void): ActorDefinition =>
  actor('thing', {
    version: 1,
    state: (): State => ({ log: [] }),
    commands: {
      add(ctx: CommandContext<State>, what: string) {
        onAdd()
        ctx.state.log.push(what)
        return [...ctx.state.log]
      },
      async slow(ctx: CommandContext<State>, what: string) {
        const before = ctx.state.log.length
        const said = await gates.wait(what)
        ctx.state.log.push(what)
        return { before, said: said ?? null }
      },
      look: (ctx: CommandContext<State>) => ({
        log: ctx.state.log,
        rev: ctx.rev,
        key: ctx.key,
        type: ctx.type,
        now: ctx.now(),
      }),
      nothing: () => {},
      replace(ctx: CommandContext<State>, log: string[]) {
        ctx.state = { log }
      },
      destroy: (ctx: CommandContext<State>) => ctx.destroy(),
      throwing(ctx: CommandContext<State>, what: unknown) {
        ctx.state.log.push('no trace of this')
        if (what === 'invalid') throw new HoldfastError('INVALID', 'wrong', { path: '$.a' })
        if (what === 'odd') throw Object.create(null)
        if (what === 'undefined') throw undefined
        throw new Error(`thrown: ${String(what)}`)
      },
      leak(ctx: CommandContext<State>) {
        const { state } = ctx
        setImmediate(() => state.log.push('after the turn'))
        return state
      },
      function: () => () => 1,
      unstorable(ctx: CommandContext<State>) {
        ctx.state = { log: [(() => 1) as unknown as string] }
      },
      large: (_: CommandContext<State>, length: number) => 'x'.repeat(length),
      thenable: () => ({ then: (resolve: (value: unknown) => void) => resolve('from a thenable') }),
      throwingThenable: () => ({
        then() {
          throw new Error('then threw')
        },
      }),
      throwingGetter: () => ({
        get then(): unknown {
          throw new Error('the getter threw')
        },
      }),
    },
  })

class Bench {
  readonly world: PartitionWorld
  readonly node: TestNode
  readonly clock: BusyClock
  readonly gates = new Gates()
  onAdd: () => void = () => {}
  readonly definition = thingOf(this.gates, () => this.onAdd())
  readonly finished: FinishedTurn[] = []
  readonly answers = new Map<string, Answer[]>()
  readonly waitingForCommits: ((certain: boolean) => void)[] = []
  replica!: Replica
  loop!: TurnLoop
  uncommittedBytes = 0
  #now = 1_000

  constructor(seed: string) {
    this.world = new PartitionWorld(seed)
    this.node = this.world.start('n1')
    this.clock = new BusyClock(this.node.process.clock)
  }

  async open(changes: Partial<TurnLoopOptions> = {}, store?: Store, maxStaged = 50_000): Promise<this> {
    const opened = store ?? (await this.world.settle(this.node.process.stores.open(p0)))
    const options = { ...replicaOptions(this.node), maxStaged, onStoreFailure: () => {} }
    this.replica = await this.world.settle(Replica.open(opened, p0, g1, options))
    this.loop = new TurnLoop({
      clock: this.clock,
      replica: this.replica,
      at: () => ({ partition: p0, generation: g1, seq: seq(7), ageMs: undefined }),
      mailboxTurns: 1_000,
      keyTurns: 1_000,
      memory: new NodeMemory(),
      maxWaitMs: 500,
      sliceMs: 2,
      uncommittedBytes: () => this.uncommittedBytes,
      maxUncommittedBytes: () => 1_000,
      mailboxBytes: 1_000_000,
      maxSessions: 1_000,
      maxReplies: 10_000,
      maxReplyBytes: 1_000_000,
      maxKeptKeys: 100,
      maxKeptKeyBytes: 10_000,
      tombstoneMs: 1_000,
      maxTurnBytes: 10_000,
      handlerTimeoutMs: 30_000,
      now: () => ++this.#now,
      signal: new AbortController().signal,
      finish: (finished) => this.finished.push(finished),
      afterCommits: (run) => this.waitingForCommits.push(run),
      ...changes,
    })
    return this
  }

  /** The answers to `session` and `number` so far. */
  of(number: number, session = 's'): Answer[] {
    return this.answers.get(`${session} ${number}`) ?? []
  }

  gauge(name: string): Metric | undefined {
    return this.loop.metrics().find((metric) => metric.name === name)
  }

  valueOf(number: number, session = 's'): unknown {
    const [answer] = this.of(number, session)
    return answer?.kind === 'value' ? decodeValue(answer.value) : answer
  }

  submit(number: number, name: string, input: unknown = null, changes: Partial<Turn> & { key?: string } = {}): void {
    const { session = sessionId('s'), type = 'thing', key = 'k' } = changes
    const turn: Turn = {
      session,
      number,
      low: 0,
      tell: false,
      definition: this.definition,
      handler: this.definition.commands[name]!,
      type,
      key,
      name,
      input: encodeValue(input).slice(),
      keptId: undefined,
      sinceMs: this.clock.monotonic(),
      deadlineMs: Number.POSITIVE_INFINITY,
      askers: [],
      finished: false,
      actor: undefined,
      ...changes,
    }
    const answers = this.of(number, session)
    this.answers.set(`${session} ${number}`, answers)
    this.loop.submit({ ...turn, askers: [{ respond: (answer) => answers.push(answer) }] })
  }

  /** Commits the first `count` finished turns, as the owner does. */
  commit(count = this.finished.length): void {
    for (const finished of this.finished.splice(0, count)) {
      for (const { actor, type, after } of finished.mutations) {
        this.replica.applyChange(actor, type, after)
        actor.holds--
      }
      this.loop.committed(finished)
    }
  }

  commitsAreThrough(certain = true): void {
    for (const run of this.waitingForCommits.splice(0)) run(certain)
  }

  pass(ms = 1): Promise<void> {
    return this.world.clock.advance(ms)
  }

  stateOf(key = 'k'): unknown {
    const state = this.replica.peek(actorId('thing', key))?.tip.state
    return state == null ? null : decodeValue(state)
  }
}

describe('turns of one key (N1, N2)', () => {
  let bench: Bench
  beforeEach(async () => {
    bench = await new Bench('one key').open()
  })

  it('run in the order of arrival, each from the outcome of the one before it, committed or not', async () => {
    bench.submit(1, 'add', 'a')
    bench.submit(2, 'add', 'b')
    await bench.pass()
    bench.submit(3, 'add', 'c')
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1, 2, 3])
    expect(bench.stateOf()).toEqual({ log: ['a', 'b', 'c'] })
    expect(bench.of(1)).toEqual([])
    bench.commit()
    expect([1, 2, 3].map((n) => bench.valueOf(n))).toEqual([['a'], ['a', 'b'], ['a', 'b', 'c']])
  })

  it('run strictly one at a time while a handler is asynchronous', async () => {
    bench.submit(1, 'slow', 'a')
    bench.submit(2, 'slow', 'b')
    bench.submit(3, 'add', 'c')
    await bench.pass()
    expect(bench.gates.begun).toEqual(['a'])
    expect(bench.finished).toEqual([])
    bench.gates.go('a')
    await bench.pass()
    expect(bench.gates.begun).toEqual(['a', 'b'])
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1])
    bench.gates.go('b')
    await bench.pass()
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1, 2, 3])
    bench.commit()
    expect(bench.valueOf(2)).toEqual({ before: 1, said: null })
    expect(bench.valueOf(3)).toEqual(['a', 'b', 'c'])
  })

  it('keep their order when the first of them waits for its state to be read', async () => {
    for (let n = 1; n <= 5; n++) bench.submit(n, 'add', String(n))
    expect(bench.finished).toEqual([])
    await bench.pass()
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1, 2, 3, 4, 5])
  })

  it('count each change as one rev, and what changes nothing as none', async () => {
    bench.submit(1, 'nothing')
    bench.submit(2, 'look')
    bench.submit(3, 'add', 'a')
    bench.submit(4, 'replace', ['a'])
    bench.submit(5, 'replace', ['b'])
    bench.submit(6, 'destroy')
    bench.submit(7, 'destroy')
    bench.submit(8, 'look')
    bench.submit(9, 'add', 'z')
    await bench.pass()
    expect(bench.finished.map(({ mutations }) => mutations[0]?.after.rev)).toEqual([
      undefined,
      undefined,
      1,
      undefined,
      2,
      3,
      undefined,
      undefined,
      4,
    ])
    expect(bench.finished[5]!.mutations[0]!.after.state).toBeNull()
    bench.commit()
    expect(bench.valueOf(1)).toBeNull()
    expect(bench.valueOf(2)).toEqual({ log: [], rev: 0, key: 'k', type: 'thing', now: 1_001 })
    expect(bench.valueOf(8)).toEqual({ log: [], rev: 3, key: 'k', type: 'thing', now: 1_003 })
    expect(bench.valueOf(9)).toEqual(['z'])
  })

  it('keep nothing of what a handler does to its state after its turn', async () => {
    bench.submit(1, 'leak')
    await bench.pass(5)
    expect(bench.stateOf()).toBeNull()
    bench.submit(2, 'look')
    bench.commit()
    expect(bench.valueOf(2)).toMatchObject({ log: [] })
  })

  it('give the sender of a tell nothing but the word that it is committed', async () => {
    bench.submit(1, 'add', 'a', { tell: true })
    await bench.pass()
    expect(bench.of(1)).toEqual([])
    bench.commit()
    expect(bench.valueOf(1)).toBeNull()
  })
})

describe('turns of different keys (N1)', () => {
  it('overlap while their handlers wait, and finish in whatever order', async () => {
    const bench = await new Bench('many keys').open()
    for (const [n, key] of ['a', 'b', 'c'].entries()) bench.submit(n, 'slow', key, { key })
    await bench.pass()
    expect(bench.gates.begun).toEqual(['a', 'b', 'c'])
    for (const key of ['c', 'a', 'b']) bench.gates.go(key)
    await bench.pass()
    expect(bench.finished.map(({ turn }) => turn?.key)).toEqual(['c', 'a', 'b'])
  })

  it('read what they need from the store together', async () => {
    const bench = new Bench('one read')
    const store = await bench.world.settle(bench.node.process.stores.open(p0))
    const reads: number[] = []
    const counting = new Proxy(store, {
      get: (target, name: keyof Store) =>
        name === 'getMany'
          ? (keys: Uint8Array[]) => (reads.push(keys.length), target.getMany(keys))
          : (target[name] as () => unknown).bind(target),
    })
    await bench.open({}, counting)
    reads.length = 0
    for (let n = 0; n < 20; n++) bench.submit(n, 'add', 'x', { key: `k${n % 10}` })
    await bench.pass()
    expect(bench.finished).toHaveLength(20)
    expect(reads).toEqual([10])
  })

  it('of two types with one key are two actors', async () => {
    const bench = await new Bench('two types').open()
    bench.submit(1, 'add', 'a')
    bench.submit(2, 'add', 'b', { type: 'other' })
    await bench.pass()
    bench.commit()
    expect(bench.valueOf(2)).toEqual(['b'])
  })
})

describe('a handler that throws (N3, R1)', () => {
  it('leaves no trace, and is told when all that it can have seen is committed', async () => {
    const bench = await new Bench('throws').open()
    bench.submit(1, 'add', 'a')
    bench.submit(2, 'throwing', 'why')
    bench.submit(3, 'add', 'b')
    await bench.pass()
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1, 3])
    expect(bench.of(2)).toEqual([])
    bench.commit()
    expect(bench.of(2)).toEqual([])
    bench.commitsAreThrough()
    expect(bench.of(2)).toMatchObject([
      { kind: 'error', error: { code: 'FAILED', message: 'the handler threw: thrown: why' } },
    ])
    expect(bench.valueOf(3)).toEqual(['a', 'b'])
  })

  it('says RETRY in place of its failure where it was not certain that this node is the owner', async () => {
    const bench = await new Bench('uncertain').open()
    bench.submit(1, 'throwing', 'why')
    await bench.pass()
    bench.commitsAreThrough(false)
    expect(bench.of(1)).toEqual([notExecuted])
  })

  it('is not remembered: the same id runs again', async () => {
    const bench = await new Bench('again').open()
    bench.submit(1, 'throwing', 'why')
    await bench.pass()
    bench.commitsAreThrough()
    bench.submit(1, 'add', 'a')
    await bench.pass()
    bench.commit()
    expect(bench.of(1)).toHaveLength(2)
    expect(bench.of(1)[1]).toMatchObject({ kind: 'value' })
  })

  it.each([
    ['throwing', 'odd', 'FAILED'],
    ['throwing', 'undefined', 'FAILED'],
    ['throwing', 'invalid', 'INVALID'],
    ['function', null, 'INVALID'],
    ['unstorable', null, 'INVALID'],
    ['large', 10_001, 'INVALID'],
    ['throwingThenable', null, 'FAILED'],
    ['throwingGetter', null, 'FAILED'],
  ])('or gives what it cannot: %s %j is %s, and the next turn runs', async (name, input, code) => {
    const bench = await new Bench(`bad ${name}`).open()
    bench.submit(1, name, input)
    bench.submit(2, 'add', 'next')
    await bench.pass()
    bench.commitsAreThrough()
    expect(bench.of(1)).toMatchObject([{ kind: 'error', error: { code } }])
    bench.commit()
    expect(bench.valueOf(2)).toEqual(['next'])
    expect(bench.replica.peek(actorId('thing', 'k'))!.holds).toBe(1)
  })

  it('rejects later just the same', async () => {
    const bench = await new Bench('rejects').open()
    bench.submit(1, 'slow', 'a')
    bench.submit(2, 'add', 'b')
    await bench.pass()
    bench.gates.fail('a', new Error('late'))
    await bench.pass()
    bench.commitsAreThrough()
    bench.commit()
    expect(bench.of(1)).toMatchObject([{ error: { code: 'FAILED', message: 'the handler threw: late' } }])
    expect(bench.valueOf(2)).toEqual(['b'])
  })

  it('gets no input that is not a value: INVALID, and the handler is not called', async () => {
    const bench = await new Bench('bad input').open()
    bench.submit(1, 'add', null, { input: Uint8Array.of(0xc1) })
    await bench.pass()
    bench.commitsAreThrough()
    expect(bench.of(1)).toMatchObject([{ error: { code: 'INVALID' } }])
    expect(bench.stateOf()).toBeNull()
  })

  it('may return any thenable', async () => {
    const bench = await new Bench('thenable').open()
    bench.submit(1, 'thenable')
    await bench.pass()
    bench.commit()
    expect(bench.valueOf(1)).toBe('from a thenable')
  })
})

describe('a handler that does not settle', () => {
  it('fails after its time, its late outcome counts for nothing, and the key goes on', async () => {
    const bench = await new Bench('time-out').open({ handlerTimeoutMs: 1_000 })
    bench.submit(1, 'slow', 'a')
    bench.submit(2, 'add', 'b')
    await bench.pass(999)
    expect(bench.waitingForCommits).toEqual([])
    await bench.pass(2)
    bench.commitsAreThrough()
    expect(bench.of(1)).toMatchObject([{ error: { code: 'FAILED', message: expect.stringContaining('1000 ms') } }])
    bench.gates.go('a')
    await bench.pass()
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([2])
    bench.commit()
    expect(bench.stateOf()).toEqual({ log: ['b'] })
    expect(bench.of(1)).toHaveLength(1)
  })

  it('leaves no timer behind when it settles, or when all of it ends', async () => {
    const bench = await new Bench('timers').open({ handlerTimeoutMs: 10_000 })
    const before = bench.world.clock.fired
    bench.submit(1, 'slow', 'a')
    bench.submit(2, 'slow', 'b', { key: 'other' })
    await bench.pass()
    bench.gates.go('a')
    await bench.pass()
    bench.loop.stop(inDoubt)
    const begun = bench.world.clock.fired
    expect(begun).toBeGreaterThan(before)
    await bench.pass(20_000)
    expect(bench.world.clock.fired).toBe(begun)
  })
})

describe('a deadline', () => {
  it('keeps a turn that waited too long from beginning: nothing happened', async () => {
    const bench = await new Bench('deadline').open()
    const { clock } = bench.node.process
    bench.submit(1, 'slow', 'a')
    bench.submit(2, 'add', 'late', { deadlineMs: clock.monotonic() + 50 })
    bench.submit(3, 'add', 'in time', { deadlineMs: clock.monotonic() + 500 })
    await bench.pass(100)
    bench.gates.go('a')
    await bench.pass()
    bench.commitsAreThrough()
    expect(bench.of(2)).toMatchObject([{ error: { code: 'RETRY' } }])
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1, 3])
  })
})

describe('one id (N4, R1, R3)', () => {
  it('is one turn while it runs: repetitions join it and all get its reply', async () => {
    const bench = await new Bench('join').open()
    bench.submit(1, 'slow', 'a')
    await bench.pass()
    bench.submit(1, 'slow', 'a')
    bench.submit(1, 'add', 'other input')
    bench.gates.go('a')
    await bench.pass()
    bench.submit(1, 'slow', 'a')
    expect(bench.finished).toHaveLength(1)
    bench.commit()
    expect(bench.of(1)).toHaveLength(4)
    expect(new Set(bench.of(1)).size).toBe(1)
  })

  it('joins a bounded number of repetitions, the latest of them', async () => {
    const bench = await new Bench('joins').open()
    const answered: number[] = []
    bench.submit(1, 'slow', 'a')
    await bench.pass()
    const turn = { ...bench.finished[0]?.turn } as Turn
    for (let i = 0; i < 10_000; i++) {
      const askers = [{ respond: () => answered.push(i) }]
      bench.loop.submit({ ...turn, session: sessionId('s'), number: 1, askers })
    }
    bench.gates.go('a')
    await bench.pass()
    bench.commit()
    expect(answered.length).toBeLessThanOrEqual(16)
    expect(answered.at(-1)).toBe(9_999)
  })

  it('gets its first reply again, after all that it could have seen is committed', async () => {
    const bench = new Bench('remembered')
    new LogWriter(bench.world)
      .claim('old')
      .commit([{ key: 'k', state: { log: ['x'] }, session: 's', number: 7, low: 5, reply: 'first' }])
    await bench.open()
    await bench.world.settle(catchUp(bench.replica, bench.world.takeover(bench.node)))
    bench.submit(7, 'add', 'again')
    expect(bench.of(7)).toEqual([])
    bench.commitsAreThrough()
    expect(bench.valueOf(7)).toBe('first')
    bench.submit(7, 'add', 'again')
    bench.commitsAreThrough(false)
    expect(bench.of(7)).toMatchObject([{ kind: 'value' }, notExecuted])
    expect(bench.finished).toEqual([])
  })

  it('that its session has settled is refused, and not done again', async () => {
    const bench = new Bench('settled')
    new LogWriter(bench.world).claim('old').commit([{ key: 'k', session: 's', number: 7, low: 5 }])
    await bench.open()
    await bench.world.settle(catchUp(bench.replica, bench.world.takeover(bench.node)))
    bench.submit(4, 'add', 'again')
    await bench.pass()
    bench.commitsAreThrough()
    expect(bench.of(4)).toEqual([forgotten])
    expect(bench.finished).toEqual([])
  })

  it('of another session is another turn', async () => {
    const bench = await new Bench('sessions').open()
    bench.submit(1, 'add', 'a')
    bench.submit(1, 'add', 'b', { session: sessionId('t') })
    await bench.pass()
    bench.commit()
    expect(bench.valueOf(1, 't')).toEqual(['a', 'b'])
  })
})

describe('the bounds of the mailbox (N5)', () => {
  it('hold turns that are not answered yet, and let go of them when they are', async () => {
    const bench = await new Bench('turns').open({ mailboxTurns: 3 })
    for (let n = 1; n <= 4; n++) bench.submit(n, 'add', 'x', { key: `k${n}` })
    expect(bench.of(4)).toMatchObject([{ error: { code: 'OVERLOADED', retryAfterMs: expect.any(Number) } }])
    await bench.pass()
    bench.submit(5, 'add', 'x')
    expect(bench.of(5)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    bench.commit(1)
    bench.submit(6, 'add', 'x')
    expect(bench.of(6)).toEqual([])
    await bench.pass()
    bench.commit()
    expect(bench.of(6)).toMatchObject([{ kind: 'value' }])
    expect(bench.of(4)).toHaveLength(1)
  })

  it('hold bytes of inputs', async () => {
    const bench = await new Bench('bytes').open({ mailboxBytes: 1_000 })
    bench.submit(1, 'add', 'x'.repeat(600))
    bench.submit(2, 'add', 'x'.repeat(600))
    bench.submit(3, 'add', 'x'.repeat(300))
    await bench.pass()
    expect(bench.of(2)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1, 3])
    bench.commit()
    bench.submit(2, 'add', 'x'.repeat(600))
    await bench.pass()
    expect(bench.finished).toHaveLength(1)
  })

  it('never count a repetition, and answer one also where they are reached', async () => {
    const bench = await new Bench('full').open({ mailboxTurns: 1 })
    bench.submit(1, 'add', 'a')
    bench.submit(1, 'add', 'a')
    await bench.pass()
    bench.commit()
    expect(bench.of(1)).toMatchObject([{ kind: 'value' }, { kind: 'value' }])
  })

  it('hold turns of one key, that run, wait, or are on their way to the log, and leave room for others', async () => {
    const bench = await new Bench('key').open({ keyTurns: 3 })
    bench.submit(1, 'slow', 'a')
    await bench.pass()
    for (const n of [2, 3, 4]) bench.submit(n, 'nothing')
    bench.submit(5, 'nothing', null, { key: 'other' })
    expect([1, 2, 3, 4, 5].map((n) => bench.of(n).length)).toEqual([0, 0, 0, 1, 0])
    expect(bench.of(4)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    expect(bench.gauge('holdfast_mailbox_key_turns')).toMatchObject({ value: 3, limit: 3 })
    bench.gates.go('a')
    await bench.pass()
    bench.submit(6, 'nothing')
    expect(bench.of(6)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    bench.commit()
    bench.submit(7, 'nothing')
    expect(bench.of(7)).toEqual([])
    expect(bench.gauge('holdfast_mailbox_key_turns')).toMatchObject({ value: 1 })
  })

  it('hold the inputs of all partitions of the node together', async () => {
    const memory = new NodeMemory({ ...defaultNodeMemory, mailboxBytes: 1_000 })
    const bench = await new Bench('node').open({ memory })
    memory.waitingBytes += 500
    bench.submit(1, 'add', 'x'.repeat(600))
    expect(bench.of(1)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    bench.submit(2, 'add', 'x'.repeat(300))
    bench.submit(3, 'slow', 'x'.repeat(150), { key: 'other' })
    expect(memory.waitingBytes).toBeGreaterThan(950)
    await bench.pass()
    bench.gates.go('x'.repeat(150))
    await bench.pass()
    // What has run has given back its room.
    expect(memory.waitingBytes).toBe(500)
  })

  it('hold what is not in the log yet: no turn begins beyond it, and what waited for its key is refused, too', async () => {
    const bench = await new Bench('uncommitted').open()
    bench.submit(1, 'slow', 'a')
    await bench.pass()
    bench.submit(2, 'add', 'b')
    bench.uncommittedBytes = 1_000
    bench.submit(3, 'add', 'c', { key: 'other' })
    await bench.pass()
    expect(bench.of(3)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    bench.gates.go('a')
    await bench.pass()
    expect(bench.of(2)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    bench.uncommittedBytes = 0
    bench.submit(2, 'add', 'b')
    bench.commit()
    expect(bench.of(2)[1]).toMatchObject({ kind: 'value' })
    expect(bench.stateOf()).toEqual({ log: ['a', 'b'] })
  })

  it('hold what the store has not written yet', async () => {
    const bench = await new Bench('store').open({}, undefined, 3)
    for (const n of [1, 2, 3]) bench.submit(n, 'add', 'x', { key: `k${n}` })
    await bench.pass()
    bench.commit()
    bench.submit(4, 'add', 'x')
    expect(bench.of(4)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    await bench.world.settle(bench.replica.flush())
    bench.submit(5, 'add', 'x')
    await bench.pass()
    expect(bench.finished).toHaveLength(1)
  })

  it('hold bytes of replies that are remembered', async () => {
    const bench = await new Bench('reply bytes').open({ maxReplyBytes: 1_000 })
    const writer = new LogWriter(bench.world).claim('old')
    writer.commit([{ key: 'k', session: 's', number: 1, reply: 'x'.repeat(1_000) }])
    await bench.world.settle(catchUp(bench.replica, bench.world.takeover(bench.node)))
    bench.submit(2, 'add', 'x')
    expect(bench.of(2)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    writer.commit([{ key: 'k', session: 's', number: 2, low: 2, reply: 1 }])
    await bench.world.settle(catchUp(bench.replica, bench.world.takeover(bench.node)))
    bench.submit(3, 'add', 'x')
    expect(bench.of(3)).toEqual([])
  })

  it('hold repetitions of commands whose replies are remembered, as many as turns', async () => {
    const bench = await new Bench('repetitions').open({ mailboxTurns: 2 })
    const writer = new LogWriter(bench.world).claim('old')
    writer.commit([{ key: 'k', session: 's', number: 1 }])
    await bench.world.settle(catchUp(bench.replica, bench.world.takeover(bench.node)))
    for (let i = 0; i < 3; i++) bench.submit(1, 'add', 'x')
    expect(bench.of(1)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    expect(bench.gauge('holdfast_repetitions')).toMatchObject({ value: 2, limit: 2 })
    bench.commitsAreThrough()
    expect(bench.of(1)).toHaveLength(3)
    expect(bench.gauge('holdfast_repetitions')).toMatchObject({ value: 0 })
  })

  it('tell how long it takes until there is room: as long as the mailbox takes at the rate of now', async () => {
    const bench = await new Bench('estimate').open({ mailboxTurns: 100 })
    let number = 0
    const waits: (number | undefined)[] = []
    // 10 are done in each 20 ms, and more come.
    for (let i = 0; i < 20; i++) {
      bench.commit(10)
      for (let n = 0; n < 20; n++) bench.submit(++number, 'nothing', null, { key: `k${number % 7}` })
      const [answer] = bench.of(number)
      waits.push(answer?.kind === 'error' ? answer.error.retryAfterMs : undefined)
      await bench.pass(20)
    }
    expect(waits.slice(0, 5)).toContain(undefined)
    expect(waits.at(-1)).toBe(200)
  })

  it('tell of a key that is slow as long as its next turn has waited', async () => {
    const bench = await new Bench('slow key').open({ keyTurns: 2 })
    bench.submit(1, 'slow', 'a')
    await bench.pass(1)
    bench.submit(2, 'add', 'b')
    await bench.pass(700)
    bench.submit(3, 'add', 'c')
    expect(bench.of(3)).toMatchObject([{ error: { code: 'OVERLOADED', retryAfterMs: 700 } }])
  })

  it('copy an input that has to wait, and let go of it when it has run: it may be a view of a whole frame', async () => {
    const bench = await new Bench('views').open()
    const frame = new Uint8Array(100_000)
    const text = 'x'.repeat(100)
    const input = encodeValue(text)
    frame.set(input, 50)
    bench.submit(1, 'slow', 'a')
    const view = frame.subarray(50, 50 + input.length)
    bench.submit(2, 'add', null, { input: view })
    bench.submit(3, 'add', null, { input: view, key: 'cold' })
    frame.fill(0)
    await bench.pass()
    bench.gates.go('a')
    await bench.pass()
    bench.commit()
    expect([bench.valueOf(2), bench.valueOf(3)]).toEqual([['a', text], [text]])
    expect(bench.gauge('holdfast_mailbox_bytes')).toMatchObject({ value: 0 })
  })

  it('hold sessions and replies that are remembered; those that are known go on (D3)', async () => {
    const bench = new Bench('sessions full')
    const writer = new LogWriter(bench.world).claim('old')
    writer.commit([
      { key: 'k', session: 's', number: 1 },
      { key: 'k', session: 't', number: 1 },
    ])
    await bench.open({ maxSessions: 2, maxReplies: 4 })
    await bench.world.settle(catchUp(bench.replica, bench.world.takeover(bench.node)))
    bench.submit(5, 'add', 'x', { session: sessionId('new') })
    expect(bench.of(5, 'new')).toMatchObject([{ error: { code: 'OVERLOADED' } }])
    bench.submit(2, 'add', 'x')
    bench.submit(3, 'add', 'x')
    bench.submit(4, 'add', 'x')
    expect([2, 3, 4].map((n) => bench.of(n).length)).toEqual([0, 0, 1])
  })
})

describe('turns that take their time (N8)', () => {
  /** Handlers of `add` take a millisecond; all keys are in memory. */
  async function busy(name: string, changes: Partial<TurnLoopOptions> = {}) {
    const bench = new Bench(name)
    bench.onAdd = () => (bench.clock.spentMs += 1)
    await bench.open(changes)
    for (const [i, key] of ['a', 'b', 'c', 'hot'].entries()) bench.submit(i + 1, 'look', null, { key })
    await bench.pass()
    bench.commit()
    return bench
  }
  const ran = (bench: Bench) => bench.finished.map(({ turn }) => turn!.number)

  it('run for a slice, and go on in the next tick, after what has arrived meanwhile', async () => {
    const bench = await busy('slices')
    for (let n = 11; n <= 16; n++) bench.submit(n, 'add', 'x', { key: 'hot' })
    expect(ran(bench)).toEqual([11, 12])
    bench.submit(17, 'add', 'x', { key: 'hot' })
    await bench.pass(0)
    expect(ran(bench)).toEqual([11, 12, 13, 14, 15, 16, 17])
    bench.commit()
    expect(bench.valueOf(17)).toHaveLength(7)
  })

  it('of another key come after a slice of the key that has many, not behind all of them', async () => {
    const bench = await busy('fair')
    for (let n = 11; n <= 40; n++) bench.submit(n, 'add', 'x', { key: 'hot' })
    for (const [i, key] of ['a', 'b', 'c'].entries()) bench.submit(51 + i, 'add', 'x', { key })
    await bench.pass(0)
    const places = [51, 52, 53].map((n) => ran(bench).indexOf(n))
    expect(places).toEqual([4, 5, 6])
    expect(ran(bench).filter((n) => n < 51)).toEqual(Array.from({ length: 30 }, (_, i) => 11 + i))
  })

  it('keep new ones out while the next of them has waited too long, and tell for how long', async () => {
    const bench = await busy('waiting', { maxWaitMs: 50 })
    for (let n = 11; n <= 110; n++) bench.submit(n, 'add', 'x', { key: ['a', 'b', 'c', 'hot'][n % 4]! })
    expect(bench.of(110)).toEqual([])
    bench.clock.spentMs += 60
    bench.submit(111, 'add', 'x', { key: 'a' })
    expect(bench.of(111)).toMatchObject([{ error: { code: 'OVERLOADED', retryAfterMs: expect.any(Number) } }])
    await bench.pass(0)
    bench.submit(112, 'add', 'x', { key: 'a' })
    expect(bench.of(112)).toEqual([])
  })

  it.each([
    ['right after slow ones are kept out at their pace', 0, true],
    ['long after slow ones are not', 2_000, false],
  ])('that come %s', async (name, laterMs, keptOut) => {
    const bench = await busy(name, { maxWaitMs: 400 })
    bench.onAdd = () => (bench.clock.spentMs += 20)
    for (let n = 11; n <= 40; n++) bench.submit(n, 'add', 'x', { key: 'hot' })
    await bench.pass(0)
    bench.commit()
    expect(bench.valueOf(40)).toHaveLength(30)
    bench.onAdd = () => (bench.clock.spentMs += 1)
    bench.clock.spentMs += laterMs
    for (let n = 51; n <= 80; n++) bench.submit(n, 'add', 'x', { key: 'a' })
    expect(bench.of(80).length > 0).toBe(keptOut)
  })

  it('that are small are not kept out at the pace of large ones, and large ones are (P4 of the pace)', async () => {
    const bench = await busy('large', { maxWaitMs: 400 })
    bench.onAdd = () => (bench.clock.spentMs += 20)
    const large = 'x'.repeat(40_000)
    for (let n = 11; n <= 30; n++) bench.submit(n, 'add', large, { key: 'hot' })
    await bench.pass(0)
    bench.commit()
    for (let n = 51; n <= 80; n++) bench.submit(n, 'add', 'x', { key: 'a' })
    expect(bench.of(80)).toEqual([])
    for (let n = 81; n <= 110; n++) bench.submit(n, 'add', large, { key: 'b' })
    expect(bench.of(110)).toMatchObject([{ error: { code: 'OVERLOADED' } }])
  })

  it('are refused as soon as it is known that they cannot begin in time, the last of each key (N9)', async () => {
    const bench = await busy('late', { maxWaitMs: 400 })
    bench.onAdd = () => (bench.clock.spentMs += 20)
    for (let n = 11; n <= 110; n++) bench.submit(n, 'add', 'x', { key: 'hot' })
    for (let n = 111; n <= 115; n++) bench.submit(n, 'add', 'x', { key: 'a' })
    const refused = () => Array.from({ length: 105 }, (_, i) => 11 + i).filter((n) => bench.of(n).length > 0)
    expect(refused()).toEqual([])
    await bench.pass(0)
    // Thirteen took the quarter of a second, and then twenty more go into 400 ms: all of the key with few, as many as there is time for of the other.
    const begun = ran(bench)
    expect(begun.length).toBeGreaterThanOrEqual(32)
    expect(begun.length).toBeLessThanOrEqual(34)
    expect(begun.filter((n) => n > 110)).toEqual([111, 112, 113, 114, 115])
    const ofHot = begun.filter((n) => n <= 110)
    expect(ofHot).toEqual(ofHot.map((_, i) => 11 + i))
    expect(refused()).toEqual(Array.from({ length: 100 - ofHot.length }, (_, i) => 11 + ofHot.length + i))
    expect(bench.of(110)).toMatchObject([{ error: { code: 'OVERLOADED', retryAfterMs: expect.any(Number) } }])
    expect(bench.gauge('holdfast_mailbox_turns')).toMatchObject({ value: begun.length })
    bench.commit()
    bench.submit(110, 'add', 'x', { key: 'hot' })
    await bench.pass(0)
    bench.commit()
    expect(bench.of(110)[1]).toMatchObject({ kind: 'value' })
    expect(bench.stateOf('hot')).toMatchObject({ log: { length: ofHot.length + 1 } })
  })

  it('are all answered, and hold no actor, where the loop is stopped between two slices', async () => {
    const bench = await busy('stopped')
    for (let n = 11; n <= 20; n++) bench.submit(n, 'add', 'x', { key: 'hot' })
    bench.loop.stop(inDoubt)
    await bench.pass(0)
    expect(ran(bench)).toEqual([11, 12])
    for (let n = 11; n <= 20; n++) expect(bench.of(n)).toEqual([inDoubt])
  })
})

describe('a state that cannot be read', () => {
  it('is INTERNAL for all who wait for it, and blocks nothing that comes later', async () => {
    const bench = new Bench('unreadable')
    const store = await bench.world.settle(bench.node.process.stores.open(p0))
    let failing = false
    const sometimes = new Proxy(store, {
      get: (target, name: keyof Store) =>
        name === 'getMany' && failing
          ? () => Promise.reject(new HoldfastError('INTERNAL', 'bad block'))
          : (target[name] as () => unknown).bind(target),
    })
    await bench.open({}, sometimes)
    failing = true
    bench.submit(1, 'add', 'a')
    bench.submit(2, 'add', 'b')
    bench.submit(3, 'add', 'c', { key: 'other' })
    await bench.pass()
    bench.commitsAreThrough()
    for (const n of [1, 2, 3]) {
      expect(bench.of(n)).toMatchObject([
        { error: { code: 'INTERNAL', message: expect.stringContaining('bad block') } },
      ])
    }
    failing = false
    bench.submit(4, 'add', 'd')
    await bench.pass()
    bench.commit()
    expect(bench.valueOf(4)).toEqual(['d'])
  })
})

describe('the end of an ownership', () => {
  const running = async (seed: string) => {
    const bench = await new Bench(seed).open()
    bench.submit(1, 'add', 'finished')
    await bench.pass()
    bench.submit(2, 'slow', 'running')
    bench.submit(3, 'add', 'waiting')
    bench.submit(4, 'add', 'loading', { key: 'other' })
    return bench
  }

  it('is idle when every handler has returned', async () => {
    const bench = await running('idle')
    let idle = false
    void bench.loop.idle().then(() => (idle = true))
    await bench.pass()
    expect(idle).toBe(false)
    bench.gates.go('running')
    await bench.pass()
    expect(idle).toBe(true)
    expect(bench.finished.map(({ turn }) => turn?.number).sort()).toEqual([1, 2, 3, 4])
    await bench.loop.idle()
  })

  it('abandons what has not returned, and still tells what has, once it is committed', async () => {
    const bench = await running('abandon')
    let idle = false
    void bench.loop.idle().then(() => (idle = true))
    bench.loop.abandonUnfinished(notExecuted)
    await bench.pass()
    expect(idle).toBe(true)
    for (const n of [2, 3, 4]) expect(bench.of(n)).toEqual([notExecuted])
    bench.gates.go('running')
    await bench.pass()
    expect(bench.finished.map(({ turn }) => turn?.number)).toEqual([1])
    bench.commit()
    expect(bench.valueOf(1)).toEqual(['finished'])
  })

  it('answers everyone when it stops, each once, and nothing after', async () => {
    const bench = await running('stop')
    bench.submit(3, 'add', 'joined')
    bench.loop.stop(inDoubt)
    bench.gates.go('running')
    await bench.pass(60_000)
    bench.commitsAreThrough()
    bench.commit()
    for (const n of [1, 2, 4]) expect(bench.of(n)).toEqual([inDoubt])
    expect(bench.of(3)).toEqual([inDoubt, inDoubt])
  })
})
