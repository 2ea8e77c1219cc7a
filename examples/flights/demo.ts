/**
 * The demonstration: 20,000 real flights through a cluster that loses a node and gains one on the way, and then every number checked.
 *
 *   npm run demo              embedded: three nodes in this process, RocksDB on disk, no server
 *   npm run demo -- --nats    a real nats-server, each node a process of its own, the crash a SIGKILL
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { differences } from './check.ts'
import { embeddedCluster } from './embedded-cluster.ts'
import { expectedTotals, totalRevs } from './expectation.ts'
import { flightDay } from './flight-day.ts'
import { loadFlights } from './flights.ts'
import { natsCluster } from './nats-cluster.ts'
import { parseOptions, usage, type DemoOptions } from './options.ts'
import { whole } from './progress.ts'
import { readBack } from './read-back.ts'
import { airportTable, measurements, verdict, watched } from './report.ts'
import { Teardown } from '../support/teardown.ts'

const firstNodes = ['node-1', 'node-2', 'node-3']

/** Resolves to whether everything was right. */
async function demonstrate(options: DemoOptions, teardown: Teardown): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-flights-'))
  // However this process ends.
  process.once('exit', () => {
    if (options.keep) console.log(`the data is in ${folder}`)
    else rmSync(folder, { recursive: true, force: true })
  })
  const flights = await loadFlights(options.flights)
  const expected = expectedTotals(flights)
  const revs = totalRevs(expected)
  console.log(
    `${whole(flights.length)} flights: ${whole(revs)} commands to ${whole(expected.size)} airports and routes`,
  )

  const cluster = await (options.nats ? natsCluster : embeddedCluster)(folder, firstNodes, teardown)
  const day = await flightDay(cluster, flights, options.rate, teardown)
  const actual = await readBack(cluster.client, expected)
  const report = await cluster.watcher.finish(revs)
  const wrong = [
    ...cluster.troubles,
    ...differences('the cluster', expected, actual),
    ...report.faults,
    ...differences('the watcher', expected, report.totals),
  ]
  console.log(
    ['', airportTable(actual), '', measurements(day), watched(report), '', verdict(expected.size, revs, wrong)].join(
      '\n',
    ),
  )
  return wrong.length === 0
}

async function main(): Promise<number> {
  let options: DemoOptions
  try {
    options = parseOptions(process.argv.slice(2))
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`)
    return 2
  }
  const teardown = new Teardown()
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve('interrupted'))
  })
  let outcome: boolean | 'interrupted' = false
  let clean = false
  try {
    outcome = await Promise.race([demonstrate(options, teardown), interrupted])
  } finally {
    clean = await teardown.run()
  }
  // What was interrupted may wait for something that does not come any more.
  if (outcome === 'interrupted') process.exit(130)
  return outcome && clean ? 0 : 1
}

process.exitCode = await main()
