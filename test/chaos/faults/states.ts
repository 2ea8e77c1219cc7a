/** Nodes that are killed when there is a lot of state. */
import { ballastBytes, putBallast } from '../ballast.ts'
import type { Fault } from '../fault.ts'
import { fewCallers, killLightly } from './kills.ts'

const settlePatienceMs = 1_800_000

const large = (name: string, gigabytes: number, count: number): Fault => ({
  name,
  what: `As \`${killLightly.name}\`, with ${gigabytes} GB of other state in the cluster, in values of 64 KiB that cannot be compressed.`,
  count,
  callers: fewCallers,
  servers: 1,
  // Logs of that length are trimmed meanwhile.
  auditsLogs: false,
  async prepare(world) {
    await putBallast(world, Math.round((gigabytes * 1e9) / ballastBytes))
    await world.settled(settlePatienceMs)
  },
  strike: (world, n) => killLightly.strike(world, n),
})

export const states: readonly Fault[] = [
  large('kill-with-100-mb', 0.1, 10),
  large('kill-with-1-gb', 1, 10),
  large('kill-with-5-gb', 5, 5),
]
