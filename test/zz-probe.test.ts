import { expect, it } from 'vitest'
import { TestCluster } from './support/cluster.ts'
import { Ledger } from './support/ledger.ts'
it('probe', async () => {
  const cluster = await TestCluster.open('embedded', { actors: [Ledger], partitions: 8 })
  try {
    await cluster.start('a'); await cluster.settled()
    const c = await cluster.client(5000)
    for (const n of [1, 8, 40, 160]) {
      const t = performance.now()
      const r = await Promise.allSettled(Array.from({ length: n }, (_, i) => c.actor(Ledger, `k${i}`).fill({ seed: i, count: 1500 })))
      console.log(n, r.filter(x => x.status === 'rejected').length, (performance.now() - t).toFixed(), (r.find(x => x.status === 'rejected') as any)?.reason.message)
    }
    expect(1).toBe(1)
    console.log(cluster.trace(3))
  } finally { await cluster.close() }
}, 60_000)
