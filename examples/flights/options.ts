/** What the demonstration is asked for on its command line. */
import { parseArgs } from 'node:util'

export interface DemoOptions {
  /** On a real NATS server, each node a process. Default: embedded, all in this process. */
  readonly nats: boolean
  /** Flights a second. */
  readonly rate: number
  readonly flights: number
  /** Leaves the data where it is, and says where. */
  readonly keep: boolean
}

export const usage = `Usage: npm run demo -- [--nats] [--rate <n>|max] [--flights <n>] [--keep]

  --nats         on a real nats-server, every node and the watcher a process of its own (default: embedded, one process)
  --rate <n>     flights a second, three commands each (default 1500); max: as fast as it goes
  --flights <n>  only the first n of the 20,000 flights, 30 or more
  --keep         do not remove the data; print where it is`

/** Throws with a sentence for the user. */
export function parseOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      nats: { type: 'boolean', default: false },
      rate: { type: 'string', default: '1500' },
      flights: { type: 'string', default: '20000' },
      keep: { type: 'boolean', default: false },
    },
  })
  const rate = values.rate === 'max' ? Number.POSITIVE_INFINITY : Number(values.rate)
  if (!(rate > 0)) throw new Error(`--rate is a number above 0 or "max", not "${values.rate}"`)
  const flights = Number(values.flights)
  if (!Number.isInteger(flights) || flights < 30 || flights > 20_000) {
    throw new Error(`--flights is a whole number from 30 to 20000, not "${values.flights}"`)
  }
  return { nats: values.nats, rate, flights, keep: values.keep }
}
