/** The functional form of a task: what each customer has spent, kept and told. */
import { createNode, task, type HoldfastNode } from '../../src/index.ts'

interface Order {
  readonly customer: string
  readonly cents: number
}

export const totals = task<Order>('totals', {
  input: { stream: 'ORDERS' },
  key: ({ value }) => value.customer,
  stores: ['totals'],
  async process({ key, value }, { store, send }) {
    const total = ((await store<number>('totals').get(key)) ?? 0) + value.cents
    await store<number>('totals').put(key, total)
    send({ subject: `totals.${key}`, value: total })
  },
})

export function start(servers: string, dataDir: string): Promise<HoldfastNode> {
  return createNode({ servers, dataDir, actors: [], tasks: [totals] })
}
