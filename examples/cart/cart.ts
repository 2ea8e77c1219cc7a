import { z } from 'zod'
import { actor } from '../../src/index.ts'

const Item = z.object({ sku: z.string().min(1), qty: z.int().positive(), cents: z.int().nonnegative() })

export const Cart = actor('cart', {
  version: 1,
  state: () => ({ items: [] as z.infer<typeof Item>[], order: null as string | null }),
  // The node checks what comes in, whoever sends it; `item` has the type that the schema gives.
  input: { add: Item },
  commands: {
    add(ctx, item) {
      if (ctx.state.order !== null) throw new Error(`this cart was ordered as ${ctx.state.order}`)
      const same = ctx.state.items.find(({ sku }) => sku === item.sku)
      if (same === undefined) ctx.state.items.push(item)
      else same.qty += item.qty
      return ctx.state.items.length
    },
    checkout(ctx) {
      ctx.state.order ??= `order-${ctx.key}-${ctx.rev + 1}`
      return { order: ctx.state.order, cents: total(ctx.state.items) }
    },
  },
  queries: { total: (state) => total(state.items) },
})

const total = (items: readonly z.infer<typeof Item>[]) => items.reduce((sum, { qty, cents }) => sum + qty * cents, 0)
