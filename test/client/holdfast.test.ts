import { afterEach, describe, expect, it } from 'vitest'
import { Counter } from '../../actors/keyed/counter.ts'
import { actor } from '../../src/behaviour/actor.ts'
import { connectOver, type ClientOptions } from '../../src/client/connect.ts'
import type { Holdfast } from '../../src/client/holdfast.ts'
import type { Reference } from '../../src/client/reference.ts'
import type { Change } from '../../src/client/watch.ts'
import type { MemoryProcess } from '../../src/adapters/memory/world.ts'
import { silent } from '../../src/ports/observer.ts'
import { isHoldfastError, type ErrorCode } from '../../src/protocol/errors.ts'
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
    toString: () => 'a command like any other',
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
    expect(await clock.settle(cart.toString() as Promise<unknown>, 100)).toMatchObject({
      kind: 'command',
      name: 'toString',
    })
    expect(node.requests.map(({ kind, name }) => [kind, name])).toEqual([
      ['command', 'add'],
      ['command', 'clear'],
      ['query', 'total'],
      ['tell', 'add'],
      ['command', 'toString'],
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
    for (const definition of [null, undefined, {}, 'cart'])
      invalid(() => hf.actor(definition as unknown as typeof Cart, 'c1'))
    const cart = hf.actor(Cart, 'c1')
    for (const options of [{ timeout: 'soon' }, { timeout: -1 }, { id: 'a b' }, { id: '' }, { id: 'a:0' }]) {
      invalid(() => cart.with(options as Parameters<typeof cart.with>[0]))
    }
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
