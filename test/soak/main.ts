/**
 * `npm run soak`: the failure detector for as many simulated hours as one likes, and what it got wrong. The last line is the summary, a row of
 * a table in Markdown. The exit is 1 where somebody who lived was evicted, or where evictions came later than they may.
 */
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { quantile } from '../support/quantile.ts'
import { parseOptions } from './options.ts'
import { SoakWorld, usual } from './world.ts'

/** Of the evictions 99 % come within it. */
const mostMs = 1_500
const betweenProgressMs = 10_000

const { nodes, hours, seed, watchers, leasesOnly } = parseOptions(process.argv.slice(2))

const clock = new SystemClock()
const world = new SoakWorld({ ...usual, nodes, watchers: Math.min(nodes, watchers), seed, gossip: leasesOnly !== true })
const { result } = world

const ascending = (values: readonly number[]) => values.toSorted((a, b) => a - b)

function shown(values: readonly number[]): string {
  const sorted = ascending(values)
  return [0.5, 0.99, 1].map((q) => quantile(sorted, q)?.toFixed(0) ?? '–').join(' / ')
}

const row = () =>
  [
    nodes,
    result.hours.toFixed(0),
    result.kills,
    result.falseEvictions,
    shown(result.detections),
    result.falseSuspicions,
    shown(result.suspicions),
  ].join(' | ')

let saidAtMs = clock.monotonic()
for (let left = hours; left > 0; left -= 0.1) {
  await world.run(Math.min(0.1, left))
  if (clock.monotonic() - saidAtMs < betweenProgressMs) continue
  saidAtMs = clock.monotonic()
  process.stderr.write(`| ${row()} |\n`)
}
process.stdout.write(
  '| nodes | simulated hours | kills | false evictions | eviction p50 / p99 / last, ms | false suspicions | suspicion p50 / p99 / last, ms |\n',
)
process.stdout.write(`| ${row()} |\n`)
process.exitCode = result.falseEvictions > 0 || (quantile(ascending(result.detections), 0.99) ?? 0) > mostMs ? 1 : 0
