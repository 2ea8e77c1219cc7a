/** What the demonstration says at its end. */
import type { TotalsByActor } from './expectation.ts'
import type { FlightDay } from './flight-day.ts'
import type { Episode } from './meter.ts'
import { ms, whole } from './progress.ts'
import type { WatchReport } from './watch-report.ts'

/** An airport's mean says something only from so many flights on. */
const flightsForMean = 100
const rowsOfTable = 8

/** Airports by mean delay, the worst first, as text. `totals` are those that the cluster gave. */
export function airportTable(totals: TotalsByActor, fromFlights = flightsForMean): string {
  const airports = [...totals]
    .filter(([actor]) => actor.startsWith('airport/'))
    .map(([actor, { state }]) => {
      const flights = (state['departures'] ?? 0) + (state['arrivals'] ?? 0)
      return { code: actor.slice('airport/'.length), flights, meanDelay: (state['delay'] ?? 0) / flights }
    })
    .filter(({ flights }) => flights >= fromFlights)
    .sort((a, b) => b.meanDelay - a.meanDelay)
  const row = (code: string, flights: string, delay: string) =>
    `  ${code.padEnd(8)}${flights.padStart(8)}${delay.padStart(20)}`
  return [
    row('airport', 'flights', 'mean delay (min)'),
    ...airports
      .slice(0, rowsOfTable)
      .map(({ code, flights, meanDelay }) => row(code, whole(flights), meanDelay.toFixed(1))),
    `  … of ${airports.length} airports with ${fromFlights} flights or more`,
  ].join('\n')
}

export function measurements({ flights, meter, crash, join }: FlightDay): string {
  const { p50Ms, p99Ms, maxMs } = meter.overall
  const seconds = meter.elapsedMs / 1_000
  const felt = ({ longestSilenceMs, longestLatencyMs }: Episode) => {
    const slowest = longestLatencyMs > 0 ? `${ms(longestLatencyMs)} the slowest command` : 'no command was due any more'
    return `${ms(longestSilenceMs)} without any acknowledgement, ${slowest}`
  }
  return [
    `throughput    ${whole(flights)} flights = ${whole(meter.count)} commands in ${seconds.toFixed(1)} s: ${whole(meter.count / seconds)} commands/s`,
    `latency       p50 ${ms(p50Ms)}, p99 ${ms(p99Ms)}, longest ${ms(maxMs)}; from when a flight was due to the acknowledgement`,
    `the crash     ${felt(crash)}`,
    `the join      ${felt(join)}`,
  ].join('\n')
}

export function watched({ taken, repeated, replays }: WatchReport): string {
  return `the watcher   took ${counted(taken, 'change')}, ignored ${counted(repeated, 'repetition')}, asked for ${counted(replays, 'replay')} of a gap`
}

const counted = (n: number, what: string): string => `${whole(n)} ${what}${n === 1 ? '' : 's'}`

const differencesShown = 20

/** The last line says how it went. */
export function verdict(actors: number, revs: number, differences: readonly string[]): string {
  if (differences.length === 0) {
    return `OK: count, sum and rev of all ${whole(actors)} actors are those of the file, and each of ${whole(revs)} revs was seen once, in order`
  }
  const shown = differences.slice(0, differencesShown).map((difference) => `  ${difference}`)
  const rest = differences.length - shown.length
  if (rest > 0) shown.push(`  … and ${whole(rest)} more`)
  return [...shown, `FAILED: ${counted(differences.length, 'difference')}`].join('\n')
}
