/** Nodes that are killed when there is a lot of state. */
import { randomFillSync } from 'node:crypto'
import type { Fault } from '../fault.ts'
import type { World } from '../world.ts'
import { kill } from './kills.ts'

const valueBytes = 64 * 1_024
const inFlight = 64
const settlePatienceMs = 1_800_000

const large = (name: string, gigabytes: number, count: number): Fault => ({
  name,
  what: `As \`kill\`, with ${gigabytes} GB of other state in the cluster, in values of 64 KiB that cannot be compressed.`,
  count,
  servers: 1,
  // Logs of that length are trimmed meanwhile.
  auditsLogs: false,
  prepare: (world) => put(world, Math.round((gigabytes * 1e9) / valueBytes)),
  strike: (world, n) => kill.strike(world, n),
})

async function put(world: World, values: number): Promise<void> {
  const store = (await world.cluster.client('60s')).kv<Uint8Array>('ballast')
  let next = 0
  const worker = async () => {
    while (next < values) await store.put(`b${next++}`, randomFillSync(new Uint8Array(valueBytes)))
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  await world.settled(settlePatienceMs)
}

export const states: readonly Fault[] = [
  large('kill-with-100-mb', 0.1, 10),
  large('kill-with-1-gb', 1, 10),
  large('kill-with-5-gb', 5, 5),
]
