/** Waits for the partitions to be where they should be. */
import { setTimeout as sleep } from 'node:timers/promises'
import { partitions, type DemoCluster } from './cluster.ts'

const withinMs = 60_000

/** Resolves once every partition is served, by nodes whose shares differ by one at most; rejects if that takes too long. */
export async function settled(cluster: DemoCluster): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  while (!isSettled([...cluster.owned().values()])) {
    if (performance.now() > deadlineMs) {
      const shares = [...cluster.owned()].map(([node, owned]) => `${node} serves ${owned}`).join(', ')
      throw new Error(`after ${withinMs} ms the ${partitions} partitions are not shared out: ${shares}`)
    }
    await sleep(20)
  }
}

const isSettled = (shares: readonly number[]): boolean =>
  shares.reduce((sum, share) => sum + share, 0) === partitions && Math.max(...shares) - Math.min(...shares) <= 1
