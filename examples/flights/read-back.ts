/** Reads every actor of the expectation back from the cluster: its state by a query, its rev by a command that changes nothing. */
import type { Holdfast } from '../../src/index.ts'
import { Airport, Route } from './actors.ts'
import type { Totals, TotalsByActor } from './expectation.ts'
import { untilDone } from '../support/until-done.ts'

export async function readBack(client: Holdfast, expected: TotalsByActor): Promise<TotalsByActor> {
  const read = async (actor: string): Promise<readonly [string, Totals]> => {
    const [type, key] = actor.split('/') as [string, string]
    const reference = type === Airport.type ? client.actor(Airport, key) : client.actor(Route, key)
    const [state, rev] = await Promise.all([
      untilDone<Totals['state']>(() => reference.totals()),
      // Changes nothing, so that it may be asked for again without an id.
      untilDone(() => reference.rev()),
    ])
    return [actor, { state, rev }]
  }
  return new Map(await Promise.all([...expected.keys()].map(read)))
}
