import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { Counter } from '../../actors/keyed/counter.ts'
import { actor } from '../../src/behaviour/actor.ts'
import { reservedNames } from '../../src/behaviour/names.ts'
import { connectOver, type ClientOptions } from '../../src/client/connect.ts'
import type { Holdfast } from '../../src/client/holdfast.ts'
import type { CallOptions } from '../../src/client/call-options.ts'
import type { Reference } from '../../src/client/reference.ts'
import type { Change } from '../../src/client/watch.ts'
import type { MemoryProcess } from '../../src/adapters/memory/world.ts'
import { silent } from '../../src/ports/observer.ts'
import { isHoldfastError, type ErrorCode } from '../../src/protocol/errors.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { decodeValue } from '../../src/protocol/values.ts'
import { FakeCluster, value, type Behave } from './fake-cluster.ts'

interface Item {
  sku: string
  price: number
}

const Cart = actor('cart', {
  version: 1,
  state: () => ({ items: [] as Item[] }),
  commands: {
    add: (ctx, item: Item) => ctx.state.items.push(item),
    async find(ctx, sku: string) {
      return Promise.resolve(ctx.state.items.find((item) => item.sku === sku))
    },
    discount(ctx, percent?: number) {
      void [ctx, percent]
    },
    clear(ctx) {
      ctx.state.items = []
    },
  },
  queries: {
    total: (state) => state.items.length,
    dearer: (state, than: number) => state.items.filter((i) => i.price > than),
  },
})

let handles: Holdfast[] = []
afterEach(async () => {
  for (const handle of handles) await handle.close()
  handles = []
})

const echo: Behave = ({ kind, type, key, name, input }) => value({ kind, type, key, name, input: decodeValue(input) })

const portsOf = ({ transport, clock, random }: MemoryProcess) => ({ transport, clock, random, observer: silent })

async function start(behave: Behave = echo, options: Partial<ClientOptions> = {}) {
  const cluster = new FakeCluster()
  const node = cluster.node('n1', behave)
  const process = cluster.world.start('client')
  const released: number[] = []
  const ports = { ...portsOf(process), release: async () => void released.push(1) }
  const connecting = connectOver(ports, { cluster: 'test', ...options })
  const hf = await cluster.clock.settle(connecting, 1_000)
  handles.push(hf)
  return { cluster, clock: cluster.clock, node, hf, process, ports, released }
}

const codeOf = async (promise: Promise<unknown>): Promise<ErrorCode | 'none'> =>
  promise.then(
    () => 'none' as const,
    (error: unknown) => (isHoldfastError(error) ? error.code : Promise.reject(error as Error)),
  )

const invalid = (run: () => unknown) => expect(run).toThrow(expect.objectContaining({ code: 'INVALID' }))

describe('a reference', () => {
  it('has the commands, tells and queries of its definition as methods', async () => {
    const { hf, clock, node } = await start()
    const cart = hf.actor(Cart, 'c1')
    const item = { sku: 'a', price: 2 }
    expect(await clock.settle(cart.add(item) as Promise<unknown>, 100)).toEqual({
      kind: 'command',
      type: 'cart',
      key: 'c1',
      name: 'add',
      input: item,
    })
    expect(await clock.settle(cart.clear() as Promise<unknown>, 100)).toMatchObject({ name: 'clear', input: null })
    expect(await clock.settle(cart.total() as Promise<unknown>, 100)).toMatchObject({ kind: 'query', name: 'total' })
    expect(await clock.settle(cart.tell.add(item), 100)).toBeUndefined()
    expect(node.requests.map(({ kind, name }) => [kind, name])).toEqual([
      ['command', 'add'],
      ['command', 'clear'],
      ['query', 'total'],
      ['tell', 'add'],
    ])
  })

  it('tells its type and key, can be awaited and printed, and has nothing that was not defined', async () => {
    const { hf } = await start()
    const cart = hf.actor(Cart, 'c1')
    expect([cart.type, cart.key]).toEqual(['cart', 'c1'])
    const awaited: unknown = await (cart as unknown)
    expect(awaited).toBe(cart)
    expect(JSON.stringify(cart)).toBe('{"type":"cart","key":"c1"}')
    expect((cart as unknown as Record<string, unknown>).remove).toBeUndefined()
    expect((cart.tell as unknown as Record<string, unknown>).total).toBeUndefined()
  })

  it('is one of its own for each key', async () => {
    const { hf, clock, node } = await start()
    const references = ['a', 'b', 'ü'].map((key) => hf.actor(Counter, key))
    await clock.settle(Promise.all(references.map((counter) => counter.add(1))), 100)
    expect(node.requests.map(({ type, key }) => [type, key])).toEqual([
      ['counter', 'a'],
      ['counter', 'b'],
      ['counter', 'ü'],
    ])
  })

  it('takes options by with(), which adds to those it has and changes nothing else', async () => {
    const { hf, clock, node } = await start()
    const cart = hf.actor(Cart, 'c1')
    const hurried = cart.with({ timeout: '2s' })
    const identified = hurried.with({ id: 'mine' })
    await clock.settle(Promise.all([cart.clear(), hurried.clear(), identified.clear(), identified.total()]), 100)
    expect(
      node.received.flatMap(({ frame }) => frame.requests.map((r) => [frame.session, r.number, r.timeoutMs])),
    ).toEqual([
      [expect.any(String), 1, 10_000],
      [expect.any(String), 2, 2_000],
      ['x-mine', 1, 2_000],
      [expect.any(String), 3, 2_000],
    ])
  })

  it('sends an idempotency key with commands and tells, not with queries', async () => {
    const { hf, clock, node } = await start()
    const cart = hf.actor(Cart, 'c1').with({ idempotencyKey: 'órder 7' })
    await clock.settle(Promise.all([cart.clear(), cart.tell.clear(), cart.total()]), 100)
    const longest = `é${'x'.repeat(254)}`
    await clock.settle(cart.with({ idempotencyKey: longest }).clear(), 100)
    expect(node.requests.map(({ kind, idempotencyKey }) => [kind, idempotencyKey])).toEqual([
      ['command', 'órder 7'],
      ['tell', 'órder 7'],
      ['query', undefined],
      ['command', longest],
    ])
  })

  it('takes an option that is undefined for one that is not given', async () => {
    const { hf } = await start()
    const none = {
      timeout: undefined,
      signal: undefined,
      idempotencyKey: undefined,
      maxStaleness: undefined,
      after: undefined,
      id: undefined,
    }
    expect(() => hf.actor(Cart, 'c1').with(none)).not.toThrow()
  })

  it('sends with a query how old its answer may be, and after which cursor; with a command neither', async () => {
    const { hf, clock, node } = await start()
    const key = ['c1', 'c2', 'c3'].find((each) => partitionOf(each, 4) !== 0)!
    const cart = hf.actor(Cart, key)
    const after = `${partitionOf(key, 4)}-g1-7-0`
    const calls = [
      cart.total(),
      cart.with({ maxStaleness: 0 }).total(),
      cart.with({ maxStaleness: '500ms' }).total(),
      cart.with({ after }).total(),
      cart.with({ maxStaleness: '2s', after }).clear(),
    ]
    await clock.settle(Promise.all(calls), 100)
    expect(node.requests.map(({ bounds }) => bounds)).toEqual([
      undefined,
      undefined,
      { maxStalenessMs: 500, after: undefined },
      { maxStalenessMs: undefined, after: { generation: 'g1', seq: 7 } },
      undefined,
    ])
  })

  it.each<[option: string, values: unknown[]]>([
    ['timeout', ['soon', -1, null, Number.NaN]],
    ['signal', [true, null, {}, new AbortController()]],
    ['idempotencyKey', ['', 7, null, 'x'.repeat(257), `é${'x'.repeat(255)}`, '\ud800']],
    ['maxStaleness', ['soon', -1, null, Number.NaN]],
    ['after', [7, null, '', 'start', '0-g1-x-0', 'MC1n']],
    ['timeOut', [1]],
  ])('names the option that cannot be: %s', async (option, values) => {
    const { hf } = await start()
    const cart = hf.actor(Cart, 'c1')
    for (const given of values) {
      const [name] = option.split('.') as [string]
      const options = { [name]: option === name ? given : (given as { of: unknown }).of } as CallOptions
      expect(() => cart.with(options), JSON.stringify(given)).toThrow(
        expect.objectContaining({ code: 'INVALID', message: expect.stringMatching(`["\`]${option}["\`]`) }),
      )
    }
  })

  it('ends a call by its signal', async () => {
    const { hf, clock } = await start(() => null)
    const abort = new AbortController()
    const code = codeOf(hf.actor(Cart, 'c1').with({ signal: abort.signal }).clear())
    await clock.advance(10)
    abort.abort()
    expect(await code).toBe('UNKNOWN')
  })

  it('refuses what cannot be: keys, options, inputs', async () => {
    const { hf } = await start()
    for (const key of ['', 'x'.repeat(513), '\ud800', 7, null, undefined]) invalid(() => hf.actor(Cart, key as string))
    for (const definition of [null, undefined, {}, '', 'x'.repeat(513), '\ud800'])
      invalid(() => hf.actor(definition as unknown as typeof Cart, 'c1'))
    const cart = hf.actor(Cart, 'c1')
    for (const options of [{ id: 'a b' }, { id: '' }, { id: 'a:0' }, null, 7])
      invalid(() => cart.with(options as unknown as CallOptions))
    expect(await codeOf(cart.add({ sku: 'a', price: () => 1 } as unknown as Item))).toBe('INVALID')
  })

  it('is typed by its definition', async () => {
    const { hf, clock } = await start(({ name }) => value(name === 'total' ? 3 : null))
    const cart: Reference<typeof Cart> = hf.actor(Cart, 'c1')
    const total: number = await clock.settle(cart.total(), 100)
    expect(total).toBe(3)
    const found: Item | null = await clock.settle(cart.find('a'), 100)
    expect(found).toBeNull()
    const nothing: void = await clock.settle(cart.discount(), 100)
    expect(nothing).toBeNull()
    const calls = () => {
      // @ts-expect-error an item has a price
      void cart.add({ sku: 'a' })
      // @ts-expect-error add takes an item
      void cart.add()
      // @ts-expect-error clear takes nothing
      void cart.clear(1)
      // @ts-expect-error there is no such command
      void cart.remove
      // @ts-expect-error a query is not told
      void cart.tell.total
      // @ts-expect-error a total is a number
      const text: Promise<string> = cart.total()
      // @ts-expect-error what a handler may leave undefined arrives as null
      const item: Promise<Item> = cart.find('a')
      // @ts-expect-error weeks are no unit
      void cart.with({ timeout: '2w' })
      void cart.discount(5)
      void cart.dearer(5).then((items) => items[0]?.price)
      void cart.tell.discount(5)
      return [text, item]
    }
    expect(calls).toBeTypeOf('function')
    const read = (change: Change<{ items: Item[] }>) => change.state?.items[0]?.price
    const watched = async () => {
      for await (const change of cart.watch()) read(change)
      for await (const change of hf.watch(Cart)) read(change)
      // @ts-expect-error a counter's state is a number
      for await (const change of hf.watch(Counter)) read(change)
    }
    expect(watched).toBeTypeOf('function')
  })
})

describe('a reference by name', () => {
  it('asks the owner what a name is, and tells what is told', async () => {
    const { hf, clock, node } = await start()
    const cart = hf.actor<typeof Cart>('cart', 'c1')
    const item = { sku: 'a', price: 2 }
    const replies = [cart.add(item), cart.total(), cart.tell.add(item), cart.with({ idempotencyKey: 'k' }).clear()]
    await clock.settle(Promise.all<unknown>(replies), 100)
    expect(
      node.requests.map(({ kind, type, key, name, input, idempotencyKey }) => ({
        ...{ kind, type, key, name, idempotencyKey },
        input: decodeValue(input),
      })),
    ).toEqual([
      { kind: 'call', type: 'cart', key: 'c1', name: 'add', input: item, idempotencyKey: undefined },
      { kind: 'call', type: 'cart', key: 'c1', name: 'total', input: null, idempotencyKey: undefined },
      { kind: 'tell', type: 'cart', key: 'c1', name: 'add', input: item, idempotencyKey: undefined },
      { kind: 'call', type: 'cart', key: 'c1', name: 'clear', input: null, idempotencyKey: 'k' },
    ])
  })

  it('is as UNKNOWN as a command without an answer, and can be repeated', async () => {
    const { hf, clock, node } = await start(() => null)
    const cart = hf.actor<typeof Cart>('cart', 'c1').with({ timeout: 100 })
    const error = await clock.settle(
      cart.clear().catch((thrown: unknown) => thrown),
      300,
    )
    if (!isHoldfastError(error, 'UNKNOWN')) throw error
    node.behave = () => value('done')
    expect(await clock.settle(cart.with({ id: error.id }).clear() as Promise<unknown>, 100)).toBe('done')
    expect(new Set(node.requests.map(({ number }) => number)).size).toBe(1)
  })

  it('sends nothing when it is awaited, printed, compared, serialised or turned into a text (V3)', async () => {
    const { hf, clock, node } = await start()
    const cart = hf.actor<typeof Cart>('cart', 'c1')
    for (const each of [cart, cart.tell, cart.with({ timeout: 1 })] as unknown[]) {
      const awaited: unknown = await each
      expect(awaited).toBe(each)
      const said = [inspect(each, { depth: 9, showHidden: true }), JSON.stringify(each), String(each)]
      expect(said.join()).not.toContain('session')
      expect(each).toEqual(each)
      expect(each).not.toEqual({ asymmetricMatch: 1 })
      structuredClone(each)
      for (const name of reservedNames.filter(
        (reserved) => !['key', 'type', 'watch', 'tell', 'with'].includes(reserved),
      ))
        expect(typeof Reflect.get(each as object, name) === 'function' && !(name in Object.prototype), name).toBe(false)
      expect(Reflect.get(each as object, Symbol.toPrimitive)).toBeUndefined()
      expect(Reflect.get(each as object, 'no.name')).toBeUndefined()
    }
    expect([cart.type, cart.key]).toEqual(['cart', 'c1'])
    expect(JSON.stringify(cart)).toBe('{"type":"cart","key":"c1"}')
    expect(Reflect.apply(String, undefined, [cart])).toBe('[object Object]')
    expect(inspect(hf.actor(Cart, 'c1'), { depth: 9, showHidden: true })).not.toContain('session')
    await clock.advance(100)
    expect(node.requests).toEqual([])
  })

  it('is typed by the definition', async () => {
    const { hf, clock } = await start(({ name }) => value(name === 'total' ? 3 : null))
    const total: number = await clock.settle(hf.actor<typeof Cart>('cart', 'c1').total(), 100)
    expect(total).toBe(3)
    const refused = () => {
      // @ts-expect-error the type of a Cart is called cart
      void hf.actor<typeof Cart>('card', 'c1')
      // @ts-expect-error nor is it any text
      void hf.actor<typeof Cart>('cart' as string, 'c1')
      // @ts-expect-error without a type nothing would be known of it
      void hf.actor('cart', 'c1')
      // @ts-expect-error there is no such command
      void hf.actor<typeof Cart>('cart', 'c1').remove
      // @ts-expect-error an item has a price
      void hf.actor<typeof Cart>('cart', 'c1').add({ sku: 'a' })
      // @ts-expect-error a query is not told
      void hf.actor<typeof Cart>('cart', 'c1').tell.total
      // @ts-expect-error the type of a Cart is called cart
      void hf.watch<typeof Cart>('card')
    }
    expect(refused).toBeTypeOf('function')
    const watched = async () => {
      for await (const change of hf.watch<typeof Cart>('cart')) void change.state?.items[0]?.price
      // @ts-expect-error a cart is no number
      const numbers: AsyncIterable<Change<number>> = hf.watch<typeof Cart>('cart')
      return numbers
    }
    expect(watched).toBeTypeOf('function')
  })

  it('takes what a schema takes, and gives what the handler returns', async () => {
    const Priced = actor('priced', {
      version: 1,
      state: () => 0,
      input: { set: z.object({ price: z.string().transform(Number) }), above: z.number().optional() },
      commands: { set: (ctx, { price }) => (ctx.state = price) },
      queries: { above: (state, limit) => state > (limit ?? 0) },
    })
    const { hf, clock, node } = await start(() => value(5))
    const priced = hf.actor(Priced, 'p')
    const set: number = await clock.settle(priced.set({ price: '5' }), 100)
    expect(set).toBe(5)
    expect(decodeValue(node.requests[0]!.input)).toEqual({ price: '5' })
    const typed = () => {
      // @ts-expect-error callers give what the schema takes, not what it gives
      void priced.set({ price: 5 })
      // @ts-expect-error nor nothing
      void priced.set()
      void priced.above()
      void hf.actor<typeof Priced>('priced', 'p').tell.set({ price: '7' })
      return priced.above(3).then((is: boolean) => is)
    }
    expect(typed).toBeTypeOf('function')
  })
})

describe('connecting', () => {
  it('waits for the first node', async () => {
    const cluster = new FakeCluster()
    const process = cluster.world.start('client')
    const connecting = connectOver(portsOf(process), { cluster: 'test' })
    await cluster.clock.advance(3_000)
    cluster.node('n1', echo)
    const hf = await cluster.clock.settle(connecting, 300)
    await hf.close()
    expect(process.transport.connected).toBe(true)
  })

  it('fails where none comes, and leaves nothing behind', async () => {
    const cluster = new FakeCluster()
    const process = cluster.world.start('client')
    let released = 0
    const ports = { ...portsOf(process), release: async () => void released++ }
    const failed = connectOver(ports, { cluster: 'test', connectTimeout: '2s' }).catch((error: unknown) => error)
    const error = await cluster.clock.settle(failed, 2_100)
    expect(isHoldfastError(error, 'TIMEOUT')).toBe(true)
    expect((error as Error).message).toContain('"test"')
    expect(released).toBe(1)
    const { fired } = cluster.clock
    await cluster.clock.advance(60_000)
    expect(cluster.clock.fired - fired).toBeLessThan(10)
  })

  it.each([
    { cluster: 'Not A Name' },
    { cluster: 'test', timeout: 'soon' },
    { cluster: 'test', connectTimeout: -1 },
    { cluster: 'test', maxOutstanding: 0 },
  ])('refuses %o', async (options) => {
    const cluster = new FakeCluster()
    const process = cluster.world.start('client')
    expect(await codeOf(connectOver(portsOf(process), options as ClientOptions))).toBe('INVALID')
  })

  it('sets the patience of calls', async () => {
    const { hf, clock } = await start(() => null, { timeout: '300ms' })
    expect(await clock.settle(codeOf(hf.actor(Cart, 'c1').clear()), 310)).toBe('UNKNOWN')
  })
})

describe('closing a client', () => {
  it('ends its calls and releases what was opened for it, once', async () => {
    const { hf, clock, released } = await start(() => null)
    const code = codeOf(hf.actor(Cart, 'c1').clear())
    await clock.advance(10)
    await Promise.all([hf.close(), hf.close()])
    expect(await code).toBe('UNKNOWN')
    expect(released).toEqual([1])
    expect(await codeOf(hf.actor(Cart, 'c1').clear())).toBe('INVALID')
    invalid(() => hf.watch(Cart))
    invalid(() => hf.actor(Cart, 'c1').watch())
  })
})
