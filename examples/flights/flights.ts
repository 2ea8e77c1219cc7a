/** The flights: 20,000 real ones of early 2001, of the U.S. Bureau of Transportation Statistics, in the npm package vega-datasets. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export interface Flight {
  readonly origin: string
  readonly destination: string
  /** Minutes; below 0: early. */
  readonly delay: number
}

/** The first `count` flights, in the order of the file, which is that of their dates. */
export async function loadFlights(count: number): Promise<readonly Flight[]> {
  const entry = createRequire(import.meta.url).resolve('vega-datasets')
  const file = join(dirname(entry), '../data/flights-20k.json')
  const flights = JSON.parse(await readFile(file, 'utf8')) as readonly Flight[]
  return flights.slice(0, count)
}

export const routeOf = ({ origin, destination }: Flight): string => `${origin}-${destination}`
