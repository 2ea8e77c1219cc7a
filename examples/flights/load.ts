/**
 * Sends the flights, each as its three commands, at the rate that was asked for, and waits for every acknowledgement.
 *
 * The commands of a flight go out together; the demonstration relies on no order between them. Nothing is given up.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Holdfast } from '../../src/index.ts'
import { Airport, Route } from './actors.ts'
import { routeOf, type Flight } from './flights.ts'
import type { Meter } from './meter.ts'
import { untilDone } from '../support/until-done.ts'

export interface LoadOptions {
  readonly client: Holdfast
  readonly flights: readonly Flight[]
  /** Flights a second; may be infinite. */
  readonly rate: number
  readonly meter: Meter
  /** After each flight whose commands are all acknowledged, with the number of those flights. */
  readonly onFlight: (flown: number) => void
}

/** As fast as it goes means: with so many flights under way. */
const flightsUnderWay = 1_000
/** How often it looks what is due. */
const tickMs = 2

/** Resolves when everything is acknowledged; rejects with the first error that no repetition can mend. */
export async function flyAll(options: LoadOptions): Promise<void> {
  const { flights, rate, meter, onFlight } = options
  const paced = Number.isFinite(rate)
  const startMs = performance.now()
  let [sent, flown] = [0, 0]
  let failed = false
  const landings: Promise<void>[] = []
  meter.start()
  while (sent < flights.length && !failed) {
    const due = paced ? ((performance.now() - startMs) * rate) / 1_000 : flown + flightsUnderWay
    for (; sent < Math.min(due, flights.length); sent++) {
      const dueMs = paced ? startMs + (sent * 1_000) / rate : performance.now()
      const landing = fly(options, flights[sent]!, dueMs).then(() => onFlight(++flown))
      landing.catch(() => (failed = true))
      landings.push(landing)
    }
    await sleep(tickMs)
  }
  await Promise.all(landings)
}

async function fly({ client, meter }: LoadOptions, flight: Flight, dueMs: number): Promise<void> {
  const { origin, destination, delay } = flight
  const from = client.actor(Airport, origin)
  const to = client.actor(Airport, destination)
  const route = client.actor(Route, routeOf(flight))
  const send = async (command: (id: string | undefined) => Promise<unknown>) => {
    await untilDone(command)
    meter.acknowledged(dueMs)
  }
  await Promise.all([
    send((id) => (id === undefined ? from : from.with({ id })).departed(delay)),
    send((id) => (id === undefined ? to : to.with({ id })).arrived(delay)),
    send((id) => (id === undefined ? route : route.with({ id })).flew(delay)),
  ])
}
