/** Handlers that do what none should: each is told with a code, leaves nothing behind, and harms nobody else. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { actor, type CommandContext } from '../../src/behaviour/index.ts'
import { addressOf, type Session } from '../../src/client/session.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import { decodeRecord } from '../../src/protocol/record.ts'
import { clusterName, SimCluster } from '../../src/testing/sim/cluster.ts'

interface State {
  n: number
  more?: unknown
}

const never = () => new Promise<never>(() => {})

class Instance {
  readonly field = 1
}

const trap = (): never => {
  throw new Error('a trap was sprung')
}

/** Throws whatever is asked of it. */
const trapped = (target: object) =>
  new Proxy(target, { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap, getOwnPropertyDescriptor: trap })

const withGetter = (name: string) => Object.defineProperty(new Error('x'), name, { get: trap })

/** What looks like our own error, and is none. */
const impostor = (fields: object) =>
  Object.assign(new Error('said'), { name: 'HoldfastError', code: 'INVALID' }, fields)

const thrown: Record<string, () => unknown> = {
  undefined: () => undefined,
  null: () => null,
  text: () => 'why',
  symbol: () => Symbol('why'),
  function: () => trap,
  'an object without a prototype': () => Object.create(null) as unknown,
  'an error whose message throws': () => withGetter('message'),
  'an error whose name throws': () => withGetter('name'),
  'an error whose code throws': () => Object.defineProperty(impostor({}), 'code', { get: trap }),
  'an error whose message is a symbol': () => Object.assign(new Error('x'), { message: Symbol('x') }),
  'an error whose message is an object': () => Object.assign(new Error('x'), { message: { toString: trap } }),
  'an error with a huge message': () => new Error('x'.repeat(5_000_000)),
  'an error with a lone surrogate': () => new Error('\uD800'),
  'a proxy that throws': () => trapped({}),
  'a proxy of an error': () => trapped(new Error('x')),
  'a revoked proxy': () => {
    const { proxy, revoke } = Proxy.revocable(new Error('x'), {})
    revoke()
    return proxy
  },
  'an impostor with a path that is no text': () => impostor({ path: { a: 1 } }),
  'an impostor whose path throws': () => Object.defineProperty(impostor({}), 'path', { get: trap }),
  'an impostor with a message that is no text': () => impostor({ message: 42 }),
  'our own error of another code': () => new HoldfastError('RETRY', 'not for handlers to say'),
}

const cycle = () => {
  const self: { self?: unknown } = {}
  self.self = self
  return self
}

const returned: Record<string, () => unknown> = {
  function: () => trap,
  symbol: () => Symbol('x'),
  cycle,
  'an instance of a class': () => new Instance(),
  'a map': () => new Map([[1, 2]]),
  'not a number': () => Number.NaN,
  'a hole in a list': () => new Array(3),
  'an object with an own __proto__': () => JSON.parse('{"__proto__":1}') as unknown,
  'a lone surrogate': () => '\uDC00',
  'an invalid date': () => new Date(Number.NaN),
  'promises inside': () => [Promise.resolve(1)],
  'a generator': function* () {},
  'an asynchronous generator': async function* () {},
  'a proxy that throws': () => trapped({}),
  'a thenable whose then is trapped': () => Object.defineProperty({}, 'then', { get: trap }),
  'a thenable that throws': () => ({ then: trap }),
  'a promise of a function': () => Promise.resolve(trap),
  'a promise of a cycle': () => Promise.resolve(cycle()),
  'a promise of a thenable that rejects with a proxy': () =>
    Promise.resolve({ then: (_: unknown, fail: (why: unknown) => void) => fail(trapped({})) }),
  'a promise that says that it is none': () => Object.defineProperty(Promise.resolve(1), 'constructor', { get: trap }),
  'more than a record holds': () => 'x'.repeat(600_000),
  'more levels than there may be': () => JSON.parse('['.repeat(200) + ']'.repeat(200)) as unknown,
}

/** The last context that a handler was given, and its state. */
let kept: { ctx: CommandContext<State>; state: State } | undefined

const Odd = actor('odd', {
  version: 1,
  state: (): State => ({ n: 0 }),
  commands: {
    add(ctx) {
      ctx.state.n++
      return ctx.state.n
    },
    throws(ctx, what: string) {
      ctx.state.n = 1_000
      throw thrown[what]!()
    },
    async rejects(ctx, what: string) {
      ctx.state.n = 1_000
      await Promise.resolve()
      throw thrown[what]!()
    },
    returns(ctx, what: string) {
      ctx.state.n = 1_000
      return returned[what]!()
    },
    becomes(ctx, what: string) {
      ctx.state.more = returned[what]!()
    },
    never(ctx) {
      ctx.state.n = 1_000
      return never()
    },
    settlesTwice(ctx) {
      ctx.state.n++
      return {
        then(done: (value: unknown) => void, fail: (why: unknown) => void) {
          done(ctx.state.n)
          done(1_000)
          fail(new Error('too late'))
        },
      }
    },
    keeps(ctx) {
      ctx.state.n++
      kept = { ctx, state: ctx.state }
      return ctx.state.n
    },
    grows(ctx, bytes: number) {
      ctx.state.more = 'x'.repeat(bytes)
    },
  },
  queries: {
    read: (state) => state,
    fails: (_state, what: string) => {
      throw thrown[what]!()
    },
    gives: (_state, what: string) => returned[what]!(),
  },
})

type Outcome = { readonly value: unknown } | { readonly code: string; readonly message: string }

describe('a handler that misbehaves', () => {
  let cluster: SimCluster
  let session: Session
  beforeEach(async () => {
    kept = undefined
    cluster = new SimCluster({ seed: 1, partitions: 1, definitions: [Odd] })
    cluster.start('n1')
    await cluster.settled()
    ;({ session } = cluster.client('client', 60_000))
    expect(await ask('add')).toEqual({ value: 1 })
  })
  afterEach(() => cluster.close())

  const ask = (name: string, input: unknown = null, key = 'k', kind: 'command' | 'query' = 'command') =>
    cluster.clock.settle(
      session.request(kind, addressOf('odd', key), name, input).then(
        (value): Outcome => ({ value }),
        (error: HoldfastError): Outcome => ({ code: error.code, message: error.reason }),
      ),
      120_000,
    )

  /** Changes of the type, as the log has them. */
  const changes = () =>
    cluster.world.changelog.recordsOf(partitionId(0)).flatMap((bytes) => {
      const record = decodeRecord(bytes)
      return record.kind === 'commit' ? record.turns.flatMap(({ mutations }) => mutations) : []
    }).length

  /** That `what` was refused with a code, and that nothing else has come of it. */
  async function leavesNoTrace(what: Promise<Outcome>, codes: readonly string[]): Promise<void> {
    const before = changes()
    const outcome = await what
    expect(codes, JSON.stringify(outcome)).toContain((outcome as { code?: string }).code)
    expect(typeof (outcome as { message?: unknown }).message).toBe('string')
    expect(changes()).toBe(before)
    expect(await ask('read', null, 'k', 'query')).toEqual({ value: { n: 1 } })
    expect(await ask('add')).toEqual({ value: 2 })
    expect(await ask('add', null, 'other')).toEqual({ value: 1 })
    expect(cluster.events.filter(({ event }) => event.type === 'handler.threw')).toEqual([])
  }

  it.each(Object.keys(thrown))('by throwing %s fails, and leaves no trace', async (what) => {
    await leavesNoTrace(ask('throws', what), ['FAILED', 'INVALID'])
  })

  it.each(Object.keys(thrown))('by rejecting later with %s fails, and leaves no trace', async (what) => {
    await leavesNoTrace(ask('rejects', what), ['FAILED', 'INVALID'])
  })

  it.each(Object.keys(thrown))('of a query, by throwing %s fails, and is no trouble to others', async (what) => {
    await leavesNoTrace(ask('fails', what, 'k', 'query'), ['FAILED', 'INVALID'])
  })

  it.each(Object.keys(returned))('by returning %s is refused, and leaves no trace', async (what) => {
    await leavesNoTrace(ask('returns', what), ['INVALID', 'FAILED'])
  })

  /** Where nobody looks for a `then`, an object without properties is a value. */
  const unawaited = Object.keys(returned).filter((what) => what !== 'a thenable whose then is trapped')

  it.each(unawaited)('of a query, by returning %s is refused, and is no trouble to others', async (what) => {
    await leavesNoTrace(ask('gives', what, 'k', 'query'), ['INVALID', 'FAILED'])
  })

  it.each(unawaited.filter((what) => !/^(more than|a promise of a thenable)/.test(what)))(
    'by making its state hold %s is refused, and leaves no trace',
    async (what) => {
      await leavesNoTrace(ask('becomes', what), ['INVALID', 'FAILED'])
    },
  )

  it('whose failures share a frame with the replies of others costs those nothing', async () => {
    const some = Object.keys(thrown).flatMap((what) => [ask2('throws', what), ask2('add', null, `of ${what}`)])
    const outcomes = await cluster.clock.settle(Promise.allSettled(some), 120_000)
    const others = outcomes.filter((_, i) => i % 2 === 1)
    expect(others).toEqual(others.map(() => ({ status: 'fulfilled', value: 1 })))
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(Object.keys(thrown).length)
  })

  /** Sent with all others of this tick. */
  const ask2 = (name: string, input: unknown, key = 'k') =>
    session.request('command', addressOf('odd', key), name, input)

  it('that never settles fails at its time, and holds up its own key alone until then', async () => {
    const hanging = session.request('command', addressOf('odd', 'k'), 'never', null)
    const failed = hanging.catch((error: HoldfastError) => error.code)
    expect(await ask('add', null, 'other')).toEqual({ value: 1 })
    const behind = session.request('command', addressOf('odd', 'k'), 'add', null)
    expect(await cluster.clock.settle(failed, 60_000)).toBe('FAILED')
    expect(await cluster.clock.settle(behind, 1_000)).toBe(2)
    expect(cluster.clock.monotonic()).toBeGreaterThan(30_000)
  })

  it('whose thenable settles twice counts once', async () => {
    expect(await ask('settlesTwice')).toEqual({ value: 2 })
    expect(await ask('add')).toEqual({ value: 3 })
  })

  it('that goes on with its state and its context afterwards changes nothing', async () => {
    expect(await ask('keeps')).toEqual({ value: 2 })
    const before = changes()
    const { ctx, state } = kept!
    state.n = 1_000
    ctx.state.n = 1_000
    ctx.state = { n: 1_000 }
    ctx.destroy()
    expect(ctx.now()).toBeGreaterThan(0)
    await cluster.clock.advance(1_000)
    expect(changes()).toBe(before)
    expect(await ask('read', null, 'k', 'query')).toEqual({ value: { n: 2 } })
    expect(await ask('add')).toEqual({ value: 3 })
  })

  it('that grows its state past what a record holds is refused, and the state stays as it was', async () => {
    await leavesNoTrace(ask('grows', 600_000), ['INVALID'])
    expect(await ask('grows', 100_000)).toEqual({ value: null })
  })

  it('is heard of by nobody who listens to changes', async () => {
    const heard: string[] = []
    cluster.world
      .start('listener')
      .transport.subscribe(`${clusterName}.changes.>`, ({ subject }) => heard.push(subject))
    await cluster.clock.advance(10)
    for (const what of ['null', 'a proxy of an error']) await ask('throws', what)
    for (const what of ['cycle', 'a promise of a function']) await ask('returns', what)
    await cluster.clock.advance(1_000)
    expect(heard).toEqual([])
    await ask('add')
    await cluster.clock.advance(1_000)
    expect(heard).toEqual([`${clusterName}.changes.odd.k`])
  })
})
