/** Two actor types whose handlers call each other by way of a client. What is promised of it is held by the type checker. */
import { describe, expect, it } from 'vitest'
import { actor, type CommandsOf } from '../../src/behaviour/actor.ts'
import type { Holdfast } from '../../src/client/holdfast.ts'

declare const hf: Holdfast

const Cart = actor('cart', {
  version: 1,
  state: () => ({ items: 0 }),
  commands: {
    // What is returned does not come from the other type: nothing to write down.
    async add(ctx, sku: string) {
      await hf.actor(Stock, sku).reserve(1)
      ctx.state.items++
      return ctx.state.items
    },
    drop(ctx) {
      ctx.state.items = 0
    },
  },
})

const Stock = actor('stock', {
  version: 1,
  state: () => 10,
  commands: {
    async reserve(ctx, n: number) {
      if (ctx.state < n) await hf.actor(Cart, 'c1').drop()
      ctx.state -= n
      return ctx.state
    },
    // By name the result is the other type's all the same.
    async sell(ctx, cart: string) {
      const items: number = await hf.actor<typeof Cart>('cart', cart).add(ctx.key)
      ctx.state -= items
    },
  },
})

// The one case that needs a type: a result that comes from the other type, whose result comes from this one.
const Ping = actor('ping', {
  version: 1,
  state: () => 0,
  commands: {
    async hit(_ctx, left: number): Promise<number> {
      return left === 0 ? 0 : hf.actor(Pong, 'p').hit(left - 1)
    },
  },
})

const Pong = actor('pong', {
  version: 1,
  state: () => 0,
  commands: {
    async hit(_ctx, left: number) {
      return left === 0 ? 0 : hf.actor(Ping, 'p').hit(left - 1)
    },
  },
})

/* oxlint-disable typescript/no-unsafe-call -- that nothing is known of the other is what these show. */

// @ts-expect-error without it the compiler goes round in a circle
const Tick = actor('tick', {
  version: 1,
  state: () => 0,
  commands: {
    // @ts-expect-error and says here where
    async hit(_ctx, left: number) {
      // @ts-expect-error so that nothing is known of the other
      return left === 0 ? 0 : hf.actor(Tock, 'p').hit(left - 1)
    },
  },
})

// @ts-expect-error and here
const Tock = actor('tock', {
  version: 1,
  state: () => 0,
  commands: {
    // @ts-expect-error and here
    async hit(_ctx, left: number) {
      // @ts-expect-error so that nothing is known of the other
      return left === 0 ? 0 : hf.actor(Tick, 'p').hit(left - 1)
    },
  },
})

/* oxlint-enable typescript/no-unsafe-call */

type ResultOf<Handler> = Handler extends (...all: never) => infer R ? Awaited<R> : never

describe('actor types that call each other', () => {
  it('infer their results, unless these go in a circle', () => {
    const added: number = 1 as ResultOf<CommandsOf<typeof Cart>['add']>
    // @ts-expect-error a count is no text
    const text: string = 1 as ResultOf<CommandsOf<typeof Cart>['add']>
    const reserved: number = 1 as ResultOf<CommandsOf<typeof Stock>['reserve']>
    const hit: number = 1 as ResultOf<CommandsOf<typeof Pong>['hit']>
    // @ts-expect-error neither is this
    const wrong: string = 1 as ResultOf<CommandsOf<typeof Pong>['hit']>
    expect([added, text, reserved, hit, wrong]).toEqual([1, 1, 1, 1, 1])
    expect([Cart, Stock, Ping, Pong, Tick, Tock].length).toBe(6)
  })
})
