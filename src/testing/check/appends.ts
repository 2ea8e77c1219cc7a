/**
 * Appends of ids to lists, each id sent once: what clients were told of them, against the lists at the end.
 *
 * P1. An acknowledged append is in the list of its key exactly once, at the place that its reply named.
 * P2. An unknown one is there at most once; one that failed is not there.
 * P3. Nothing is in a list that was not sent to it.
 */
import type { Operation } from './history.ts'

/** Told apart from reads and from what is to fail by the caller, who knows the inputs. */
export interface Append {
  readonly key: string
  readonly id: string
  /** Of an acknowledged one the length of the list with it, where that was told. */
  readonly outcome: Operation<unknown, number | undefined>['outcome']
}

/** A sentence for each thing that is wrong. */
export function wrongAppends(
  appends: Iterable<Append>,
  lists: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  const wrong: string[] = []
  const places = new Map<string, { readonly key: string; readonly place: number; times: number }>()
  for (const [key, ids] of lists) {
    ids.forEach((id, i) => {
      const there = places.get(id)
      if (there === undefined) places.set(id, { key, place: i + 1, times: 1 })
      else if (there.times++ === 1)
        wrong.push(`${id} is in ${there.key} and again in ${key}: it was applied more than once`)
    })
  }
  for (const { key, id, outcome } of appends) {
    const there = places.get(id)
    places.delete(id)
    if (there === undefined) {
      if (outcome.kind === 'ok') wrong.push(`${id} was acknowledged and is not in ${key}`)
      continue
    }
    if (there.key !== key) wrong.push(`${there.key} has ${id}, which was sent to ${key}`)
    if (outcome.kind === 'failed') wrong.push(`${id} failed (${outcome.code}) and is in ${there.key}`)
    if (outcome.kind !== 'ok' || outcome.output === undefined || outcome.output === there.place) continue
    wrong.push(`${id} was acknowledged as number ${outcome.output} of ${key}, where it is number ${there.place}`)
  }
  for (const [id, { key }] of places) wrong.push(`${key} has ${id}, which nobody sent`)
  return wrong
}
