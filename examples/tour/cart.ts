import { actor } from '../../src/index.ts'

export interface Item {
  readonly sku: string
  readonly qty: number
}

export const Cart = actor('cart', {
  version: 1,
  // What a key has before its first command, and after `destroy`.
  state: () => ({ items: [] as Item[], paid: false }),
  // Each runs alone for its key, may be async, and changes the state in place or assigns it.
  commands: {
    add(ctx, item: Item) {
      if (ctx.state.paid) throw new Error('this cart is paid')
      ctx.state.items.push(item)
      return ctx.state.items.length
    },
    pay(ctx) {
      ctx.state.paid = true
    },
    clear(ctx) {
      ctx.destroy()
    },
  },
  // Read the committed state; what they change goes nowhere.
  queries: {
    count: (state) => state.items.reduce((sum, { qty }) => sum + qty, 0),
  },
})
