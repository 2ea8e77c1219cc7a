import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { Counter } from '../../actors/keyed/counter.ts'
import { actor, type CommandsOf, type QueriesOf, type StateOf } from '../../src/behaviour/actor.ts'
import type { CommandContext } from '../../src/behaviour/definition.ts'
import { reservedNames } from '../../src/behaviour/names.ts'

interface Item {
  sku: string
  price: number
}

const Cart = actor('cart', {
  version: 1,
  state: () => ({ items: [] as Item[], status: 'open' as 'open' | 'paid' }),
  commands: {
    add(ctx, item: Item) {
      ctx.state.items.push(item)
      return ctx.state.items.length
    },
    async pay(ctx, by?: string) {
      await Promise.resolve(by)
      ctx.state.status = 'paid'
    },
    close(ctx) {
      ctx.destroy()
    },
  },
  queries: {
    total: (state) => state.items.length,
    dearerThan: (state, price: number) => state.items.filter((i) => i.price > price),
  },
})

const invalid = (run: () => unknown, message: RegExp) =>
  expect(run).toThrow(expect.objectContaining({ code: 'INVALID', message: expect.stringMatching(message) as string }))

/** A definition whose parts are of any type, as a user of plain JavaScript could write it. */
const loosely = (type: unknown, options: unknown) =>
  (actor as (type: unknown, options: unknown) => unknown)(type, options)

/** What the runtime tells queries of stores besides. */
const entry = { exists: true, rev: 1, expiresAt: null }

const context = <S>(state: S): CommandContext<S> => ({
  state,
  type: 'cart',
  key: 'c1',
  rev: 0,
  now: () => 0,
  destroy() {},
  signal: new AbortController().signal,
})

describe('a definition', () => {
  it('is data that a node can host', async () => {
    expect(Cart.kind).toBe('actor')
    expect(Cart.type).toBe('cart')
    expect(Cart.version).toBe(1)
    expect(Cart.initialState()).toEqual({ items: [], status: 'open' })
    expect(Object.keys(Cart.commands)).toEqual(['add', 'pay', 'close'])
    expect(Object.keys(Cart.queries)).toEqual(['total', 'dearerThan'])
    const ctx = context(Cart.initialState())
    expect(await Cart.commands.add?.(ctx, { sku: 'a', price: 2 })).toBe(1)
    expect(Cart.queries.total?.(ctx.state, null, entry)).toBe(1)
    expect(Cart.inputs).toEqual({})
  })

  it('finds nothing that was not defined (its maps have no prototype)', () => {
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(Cart.commands[name]).toBeUndefined()
      expect(Cart.queries[name]).toBeUndefined()
    }
  })

  it('is frozen and independent of the object it was made from (B3)', () => {
    const commands: Record<string, (ctx: CommandContext<number>) => void> = { a() {} }
    const made = actor('x', { version: 1, state: () => 0, commands })
    commands.b = () => {}
    expect(Object.keys(made.commands)).toEqual(['a'])
    expect(Object.isFrozen(made)).toBe(true)
    expect(Object.isFrozen(made.commands)).toBe(true)
    expect(Object.isFrozen(made.queries)).toBe(true)
    expect(Object.isFrozen(made.inputs)).toBe(true)
  })

  it('needs no queries', () => {
    expect(Object.keys(actor('x', { version: 1, state: () => 0, commands: {} }).queries)).toEqual([])
  })
})

describe('what cannot be a definition is refused where it is written (B1)', () => {
  const part = { version: 1, state: () => 0, commands: {} }

  it.each(reservedNames)('the reserved name %s', (name) => {
    const handlers = Object.defineProperty({}, name, { value() {}, enumerable: true })
    invalid(() => loosely('x', { ...part, commands: handlers }), /reserved/)
    invalid(() => loosely('x', { ...part, queries: handlers }), /reserved/)
  })

  it('handlers that hide in a prototype', () => {
    invalid(() => loosely('x', { ...part, commands: { __proto__: { add() {} } } }), /object of functions/)
    class Handlers {
      add() {}
    }
    invalid(() => loosely('x', { ...part, commands: new Handlers() }), /object of functions/)
  })

  it('types that cannot be in a subject', () => {
    for (const type of ['', 'x'.repeat(513), '\ud800', 7, undefined, null]) {
      invalid(() => loosely(type, part), /type/)
    }
  })

  it('types of stores', () => {
    invalid(() => loosely('kv-users', part), /those of stores/)
    invalid(() => loosely('kv-', part), /those of stores/)
    expect(() => loosely('kvusers', part)).not.toThrow()
    expect(() => loosely('my-kv-users', part)).not.toThrow()
  })

  it('schemas that are none, or of nothing', () => {
    const add = { ...part, commands: { add() {} }, queries: { get() {} } }
    expect(() => loosely('x', { ...add, input: { add: z.number(), get: z.string() } })).not.toThrow()
    invalid(() => loosely('x', { ...add, input: { sub: z.number() } }), /neither a command nor a query/)
    invalid(() => loosely('x', { ...add, input: { toString: z.number() } }), /neither a command nor a query/)
    for (const input of [null, 7, [], z.number()]) invalid(() => loosely('x', { ...add, input }), /object of schemas/)
    const standard = z.number()['~standard']
    for (const schema of [
      null,
      7,
      {},
      () => true,
      { '~standard': null },
      { '~standard': { ...standard, version: 2 } },
      { '~standard': { ...standard, validate: 7 } },
    ])
      invalid(() => loosely('x', { ...add, input: { add: schema } }), /no Standard Schema/)
  })

  it('names that cannot be in a subject', () => {
    for (const name of ['', 'a b', 'a.b', 'ü', 'x'.repeat(129), '$'.repeat(43)]) {
      invalid(() => loosely('x', { ...part, commands: { [name]() {} } }), /cannot name/)
    }
    expect(() => loosely('x', { ...part, commands: { $add_1() {}, ['x'.repeat(128)]() {} } })).not.toThrow()
  })

  it('one name for a command and a query', () => {
    invalid(() => loosely('x', { ...part, commands: { a() {} }, queries: { a() {} } }), /both a command and a query/)
  })

  it('parts of a wrong kind', () => {
    for (const version of [0, -1, 1.5, Number.NaN, '1', undefined])
      invalid(() => loosely('x', { ...part, version }), /version/)
    for (const state of [0, null, undefined, {}]) invalid(() => loosely('x', { ...part, state }), /state/)
    for (const commands of [null, undefined, 7, []]) invalid(() => loosely('x', { ...part, commands }), /commands/)
    for (const handler of [null, 7, {}])
      invalid(() => loosely('x', { ...part, commands: { a: handler } }), /not a function/)
    for (const options of [null, undefined, 7, []]) invalid(() => loosely('x', options), /second argument/)
  })
})

describe('the types of a definition', () => {
  it('are inferred from its parts (B2)', () => {
    const state: StateOf<typeof Cart> = { items: [], status: 'open' }
    state.status = 'paid'
    // @ts-expect-error 'lost' is no status
    state.status = 'lost'
    const counter: number = 1 as StateOf<typeof Counter>
    expect(counter).toBe(1)

    actor('types', {
      version: 1,
      state: () => ({ n: 0, names: [] as string[] }),
      commands: {
        add(ctx, by: number) {
          const n: number = ctx.state.n
          // @ts-expect-error a number is no text
          const wrong: string = ctx.state.n
          // @ts-expect-error there is no such part of the state
          void ctx.state.m
          // @ts-expect-error the rev is not the handler's to set
          ctx.rev = by
          return [n, wrong]
        },
      },
      queries: {
        n: (s) => s.n,
        set(s) {
          // @ts-expect-error a query reads
          s.n = 1
        },
      },
    })
  })

  it('have one input at most', () => {
    const part = { version: 1, state: () => 0 }
    const three = (ctx: CommandContext<number>, a: number, b: number) => [ctx, a, b]
    // @ts-expect-error two
    expect(actor('x', { ...part, commands: { three } })).toBeTypeOf('object')
    // @ts-expect-error two
    expect(actor('x', { ...part, commands: {}, queries: { q: (_: number, a: 1, b: 2) => [a, b] } })).toBeTypeOf(
      'object',
    )
  })

  it('include its name (B4)', () => {
    const name: 'cart' = Cart.type
    // @ts-expect-error it is no shop
    const other: 'shop' = Cart.type
    expect([name, other]).toEqual(['cart', 'cart'])
  })

  it('need a type of each input (B2)', () => {
    const part = { version: 1, state: () => ({ n: 0 }) }
    // @ts-expect-error an input without a type
    actor('x', { ...part, commands: { add: (_ctx, input) => input } })
    // @ts-expect-error nor has an optional one
    actor('x', { ...part, commands: { add: (_ctx, input?) => input } })
    // @ts-expect-error nor one that is taken apart
    actor('x', { ...part, commands: { add: (_ctx, [first]) => first as number } })
    // @ts-expect-error nor has a query's
    actor('x', { ...part, commands: {}, queries: { add: (_state, input) => input } })
    const typed = actor('x', {
      ...part,
      commands: {
        none() {},
        ctxOnly: (ctx) => ctx.rev,
        annotated: (_ctx, input: string) => input,
        unknown: (_ctx, input: unknown) => typeof input,
        optional: (_ctx, input?: string) => input ?? '',
        byDefault: (_ctx, input = 3) => input,
      },
      queries: { one: () => 1 as const, more: (state, more: number) => state.n + more },
    })
    expect(Object.keys(typed.commands).length).toBe(6)
  })

  it('give a handler with a schema what the schema gives (B2)', () => {
    const schemas = { add: z.object({ n: z.string().transform(Number) }), above: z.number().optional() }
    const made = actor('x', {
      version: 1,
      state: () => [0],
      input: schemas,
      commands: {
        add(ctx, { n }) {
          ctx.state.push(n)
          // @ts-expect-error it is a number by now
          const wrong: string = n
          return [n, wrong] as const
        },
        other: (_ctx, input: string) => input,
      },
      queries: { above: (state, limit) => state.filter((n) => n > (limit ?? 0)) },
    })
    const add: CommandsOf<typeof made>['add'] = (_ctx, { n }) => [n.toFixed().length, ''] as never
    const above: QueriesOf<typeof made>['above'] = (state) => [...state]
    expect([add, above].length).toBe(2)
    actor('x', {
      version: 1,
      state: () => 0,
      input: { add: z.string() },
      // @ts-expect-error the schema gives a text
      commands: { add: (_ctx, n: number) => n },
    })
    const none = () =>
      actor('x', {
        version: 1,
        state: () => 0,
        // @ts-expect-error no schema
        input: { add: { parse: () => 1 } },
        commands: { add: (_ctx, n: number) => n },
      })
    expect(none).toThrow('no Standard Schema')
  })

  it('refuse reserved and repeated names', () => {
    const part = { version: 1, state: () => 0 }
    // @ts-expect-error `then` would make a reference a promise
    expect(() => actor('x', { ...part, commands: { then() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { constructor() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { catch() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { finally() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { toJSON() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { valueOf() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { type() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { watch() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { tell() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: { with() {} } })).toThrow()
    // @ts-expect-error reserved
    expect(() => actor('x', { ...part, commands: {}, queries: { key: () => 1 } })).toThrow()
    // @ts-expect-error `a` is a command
    expect(() => actor('x', { ...part, commands: { a() {} }, queries: { a: () => 1 } })).toThrow()
    // @ts-expect-error a state is made by a function
    expect(() => actor('x', { version: 1, state: 0, commands: {} })).toThrow()
  })
})

describe('Counter', () => {
  it('adds, resets and tells its value', () => {
    const ctx = context(0) as CommandContext
    expect(Counter.commands.add?.(ctx, 3)).toBe(3)
    expect(Counter.commands.add?.(ctx, -1)).toBe(2)
    expect(Counter.queries.value?.(ctx.state, null, entry)).toBe(2)
    Counter.commands.reset?.(ctx, null)
    expect(ctx.state).toBe(0)
  })

  it('refuses what is not a finite number, and stays as it was', () => {
    const ctx = context(5) as CommandContext
    for (const n of [Number.NaN, Infinity, '1', null, undefined])
      expect(() => Counter.commands.add?.(ctx, n)).toThrow(/finite/)
    expect(ctx.state).toBe(5)
  })
})
