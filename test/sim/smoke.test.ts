import { expect, it } from 'vitest'
import { actor } from '../../src/behaviour/actor.ts'
import { addressOf } from '../../src/client/session.ts'
import { SimCluster } from './cluster.ts'

const Ledger = actor('ledger', {
  version: 1,
  state: () => ({ ids: [] as string[] }),
  commands: {
    append(ctx, id: string) {
      ctx.state.ids.push(id)
      return ctx.state.ids.length
    },
  },
  queries: { all: (state) => state.ids },
})

it('works', async () => {
  const cluster = new SimCluster({ seed: 1, definitions: [Ledger] })
  try {
  const a = cluster.start('a')
  await cluster.clock.settle(a.started, 20_000)
  await cluster.settled()
  const { session } = cluster.client('c')
  const r = session.request('command', addressOf('ledger', 'k1'), 'append', 'x1')
  expect(await cluster.clock.settle(r, 20_000)).toBe(1)
  cluster.start('b')
  cluster.start('c2')
  await cluster.clock.advance(10_000)
  console.log([...cluster.nodes.values()].map(({node}) => JSON.stringify(node.status(), null, 0)).join('\n'))
  const all = session.request('query', addressOf('ledger', 'k1'), 'all', null)
  expect(await cluster.clock.settle(all, 20_000)).toEqual(['x1'])
  cluster.crash('a')
  const t0 = cluster.clock.monotonic()
  const r2 = await cluster.clock.settle(session.request('command', addressOf('ledger', 'k1'), 'append', 'x2'), 20_000)
  console.log('after crash', cluster.clock.monotonic() - t0)
  expect(r2).toBe(2)
  } finally {
  console.log(cluster.trace(150))
  await cluster.close()
  }
})
