/** What must come out, computed from the file alone: no actor, no Holdfast. */
import { routeOf, type Flight } from './flights.ts'

/** What is known of one keyed actor. */
export interface Totals {
  /** Counts and sums, by their names in the actor's state. */
  readonly state: Readonly<Record<string, number>>
  readonly rev: number
}

/** By `<type>/<key>`. */
export type TotalsByActor = ReadonlyMap<string, Totals>

export function expectedTotals(flights: readonly Flight[]): TotalsByActor {
  const totals = new Map<string, { state: Record<string, number>; rev: number }>()
  const add = (actor: string, empty: Record<string, number>, count: string, delay: number) => {
    let total = totals.get(actor)
    if (total === undefined) totals.set(actor, (total = { state: { ...empty }, rev: 0 }))
    total.state[count]! += 1
    total.state['delay']! += delay
    total.rev += 1
  }
  for (const flight of flights) {
    add(`airport/${flight.origin}`, { departures: 0, arrivals: 0, delay: 0 }, 'departures', flight.delay)
    add(`airport/${flight.destination}`, { departures: 0, arrivals: 0, delay: 0 }, 'arrivals', flight.delay)
    add(`route/${routeOf(flight)}`, { flights: 0, delay: 0 }, 'flights', flight.delay)
  }
  return totals
}

/** One rev for each command. */
export function totalRevs(totals: TotalsByActor): number {
  let revs = 0
  for (const { rev } of totals.values()) revs += rev
  return revs
}
