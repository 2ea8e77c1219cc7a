/** What definitions, references and options promise, held by a node with RocksDB on disk. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { actor } from '../../src/behaviour/actor.ts'
import type { Holdfast } from '../../src/client/holdfast.ts'
import { isHoldfastError, type HoldfastError } from '../../src/protocol/errors.ts'
import { clusterName, TestCluster } from '../support/cluster.ts'

interface Item {
  readonly sku: string
  readonly qty: number
}

const later = <Schema extends z.ZodType>(schema: Schema) => schema.refine(async () => Promise.resolve(true))

/** One for all keys, as nobody should do; frozen, it would break every command that writes to it. */
const firstState = { items: [] as Item[], notes: { at: new Date(0), bytes: new Uint8Array(2) } }

const Cart = actor('cart', {
  version: 1,
  state: () => structuredClone(firstState),
  input: {
    add: z.object({ sku: z.string().min(1), qty: z.string().transform(Number).or(z.number()) }),
    slow: later(z.number().transform((n) => n * 2)),
    note: z.string().optional(),
    above: z.number().positive(),
    slowly: later(z.number()),
  },
  commands: {
    add(ctx, item) {
      ctx.state.items.push(item)
      return ctx.state.items.length
    },
    slow: (_ctx, doubled) => doubled + 1,
    note: (_ctx, text) => text ?? 'nothing',
    free: (_ctx, input: unknown) => input,
  },
  queries: {
    items: (state) => state.items,
    above: (state, qty) => state.items.filter((item) => item.qty > qty).length,
    slowly: (state, n) => state.items.length + n,
    writes(state) {
      state.items.push({ sku: 'lost', qty: 1 })
    },
    assigns(state) {
      ;(state as { items: unknown }).items = []
    },
    writesDates(state) {
      state.notes.at.setTime(1)
      state.notes.bytes[0] = 1
      return state.notes
    },
  },
})

const Shared = actor('shared', {
  version: 1,
  state: () => firstState,
  commands: { add: (ctx, item: Item) => ctx.state.items.push(item) },
  queries: { count: (state) => state.items.length },
})

async function errorOf(promise: Promise<unknown>): Promise<HoldfastError> {
  const error: unknown = await promise.then(
    () => new Error('it was not rejected'),
    (thrown: unknown) => thrown,
  )
  if (isHoldfastError(error)) return error
  throw error as Error
}

let cluster: TestCluster
let hf: Holdfast
beforeAll(async () => {
  cluster = await TestCluster.open('embedded', { actors: [Cart, Shared] })
  await cluster.start('a')
  hf = await cluster.client()
})
afterAll(() => cluster.close())

describe('a schema at the node', () => {
  it('gives the handler what it makes of an input, and refuses the rest with its place', async () => {
    const cart = hf.actor(Cart, 'schema')
    expect(await cart.add({ sku: 'tea', qty: '2' })).toBe(1)
    expect(await cart.items()).toEqual([{ sku: 'tea', qty: 2 }])
    const error = await errorOf(cart.add({ sku: '', qty: 1 }))
    expect(error).toMatchObject({ code: 'INVALID', path: '$.sku' })
    expect(error.reason).toMatch(/^the input of add of cart is refused at \$\.sku: /)
    expect(await errorOf(cart.tell.add({ sku: '', qty: 1 }))).toMatchObject({ code: 'INVALID', path: '$.sku' })
    expect(await cart.items()).toEqual([{ sku: 'tea', qty: 2 }])
    expect(await cart.note()).toBe('nothing')
    expect(await cart.note('x')).toBe('x')
    expect(await cart.free({ any: 'thing' })).toEqual({ any: 'thing' })
  })

  it('may take its time', async () => {
    const cart = hf.actor(Cart, 'slow')
    expect(await Promise.all([cart.slow(4), cart.add({ sku: 'a', qty: 1 }), cart.slow(5)])).toEqual([9, 1, 11])
    expect(await errorOf(cart.slow('4' as unknown as number))).toMatchObject({ code: 'INVALID', path: '$' })
    expect(await cart.slowly(3)).toBe(4)
    expect(await errorOf(cart.slowly('3' as unknown as number))).toMatchObject({ code: 'INVALID', path: '$' })
  })

  it('checks queries, too', async () => {
    const cart = hf.actor(Cart, 'query')
    await cart.add({ sku: 'a', qty: 3 })
    expect(await cart.above(2)).toBe(1)
    expect(await errorOf(cart.above(-1))).toMatchObject({ code: 'INVALID', path: '$' })
  })

  it('checks what plain clients send; its reply has the bare sentence', async () => {
    const transport = await cluster.transport()
    const inbox = transport.inbox()
    const reply = new Promise<string>((resolve) => {
      transport.subscribe(inbox, ({ data }) => resolve(Buffer.from(data).toString()))
    })
    transport.publish(`${clusterName}.call.cart.json.add`, Buffer.from('{"sku":7}'), { reply: inbox })
    const { error } = JSON.parse(await reply) as { error: { code: string; message: string; path: string } }
    expect(error).toMatchObject({ code: 'INVALID', path: '$.sku' })
    expect(error.message).not.toContain('docs/errors.md')
  })
})

describe('a query', () => {
  it('of a key that was never written answers from the first state, and stores nothing', async () => {
    const changes = hf.watch(Cart, { from: 'start' })
    await changes.ready()
    const cart = hf.actor(Cart, 'never')
    expect(await cart.items()).toEqual([])
    expect(await cart.items()).toEqual([])
    await cart.add({ sku: 'a', qty: 1 })
    for await (const { key, rev } of changes) {
      if (key !== 'never') continue
      expect(rev).toBe(1)
      break
    }
  })

  it('fails where it writes to its argument, whether there is a state or not', async () => {
    const cart = hf.actor(Cart, 'frozen')
    for (const written of [false, true]) {
      if (written) await cart.add({ sku: 'a', qty: 1 })
      expect(await errorOf(cart.writes())).toMatchObject({
        code: 'FAILED',
        reason: expect.stringMatching(/not extensible/),
      })
      expect(await errorOf(cart.assigns())).toMatchObject({
        code: 'FAILED',
        reason: expect.stringMatching(/read only/),
      })
    }
    expect(await cart.items()).toEqual([{ sku: 'a', qty: 1 }])
  })

  it('loses what it writes to bytes and dates, which cannot be frozen', async () => {
    const cart = hf.actor(Cart, 'dates')
    await cart.add({ sku: 'a', qty: 1 })
    for (let i = 0; i < 2; i++)
      expect(await cart.writesDates()).toEqual({ at: new Date(1), bytes: new Uint8Array([1, 0]) })
    expect(firstState.notes).toEqual({ at: new Date(0), bytes: new Uint8Array(2) })
  })

  it('does not freeze what the definition keeps of its first state', async () => {
    expect(await hf.actor(Shared, 's').count()).toBe(0)
    expect(Object.isFrozen(firstState)).toBe(false)
    expect(await hf.actor(Shared, 's').add({ sku: 'a', qty: 1 })).toBe(1)
    firstState.items.length = 0
  })

  it('is not checked where the node is told so, as in production', async () => {
    const unchecked = await TestCluster.open('embedded', {
      actors: [Cart],
      settings: { partition: { freezeQueries: false } },
    })
    try {
      await unchecked.start('a')
      const cart = (await unchecked.client()).actor(Cart, 'k')
      expect(await cart.writes()).toBeNull()
      expect(await cart.items()).toEqual([])
    } finally {
      await unchecked.close()
    }
  })
})

describe('a reference by name', () => {
  it('calls commands and queries of what the node knows', async () => {
    const cart = hf.actor<typeof Cart>('cart', 'named')
    expect(await cart.add({ sku: 'tea', qty: 2 })).toBe(1)
    await cart.tell.add({ sku: 'jam', qty: 1 })
    expect((await cart.items()).map(({ sku }) => sku)).toEqual(['tea', 'jam'])
    expect(await cart.above(1)).toBe(1)
    expect(await hf.actor(Cart, 'named').items()).toEqual(await cart.items())
  })

  it('is NOT_FOUND where the owner knows no such name', async () => {
    const cart = hf.actor<typeof Cart>('cart', 'named') as unknown as Record<string, () => Promise<unknown>>
    expect(await errorOf(cart.remove!())).toMatchObject({ code: 'NOT_FOUND' })
    const tell = (cart as unknown as { tell: typeof cart }).tell
    expect(await errorOf(tell.remove!())).toMatchObject({ code: 'NOT_FOUND' })
    // A query is not told.
    expect(await errorOf(tell.items!())).toMatchObject({ code: 'NOT_FOUND' })
    const shop = hf.actor<never>('shop' as never, 's') as unknown as typeof cart
    expect(await errorOf(shop.add!())).toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('an idempotency key', () => {
  it('gives the first reply again, to typed references and to those by name', async () => {
    const cart = hf.actor(Cart, 'once').with({ idempotencyKey: 'órder 7' })
    const item = { sku: 'tea', qty: 2 }
    expect([await cart.add(item), await cart.add(item)]).toEqual([1, 1])
    const named = hf.actor<typeof Cart>('cart', 'once').with({ idempotencyKey: 'órder 7' })
    expect(await named.add(item)).toBe(1)
    await named.tell.add(item)
    expect((await named.items()).length).toBe(1)
    expect(await errorOf(cart.add({ sku: 'jam', qty: 2 }))).toMatchObject({ code: 'CONFLICT' })
    expect(await cart.with({ idempotencyKey: 'other' }).add({ sku: 'jam', qty: 2 })).toBe(2)
  })
})
