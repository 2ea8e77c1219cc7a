/**
 * Additions to counters: what clients were told of them, against the sums at the end.
 *
 * A1. A sum is at least what was acknowledged and at most that and all that is unknown; amounts below zero count the other way round.
 * A2. Where it is known which additions took effect, by their ids, these are all that were acknowledged, none that failed, each once, and
 *     the sum is theirs to the last unit.
 */
import { wrongAppends } from './appends.ts'
import type { Outcome } from './history.ts'

export interface Addition {
  readonly key: string
  /** One for each addition. */
  readonly id: string
  readonly amount: number
  readonly outcome: Outcome<unknown>
}

export interface Sum {
  readonly sum: number
  /** Of the additions that took effect, in order, where the counter or its log tells them. */
  readonly applied?: readonly string[]
}

/** A sentence for each thing that is wrong. A key without a sum has 0. */
export function wrongSums(additions: readonly Addition[], sums: ReadonlyMap<string, Sum>): readonly string[] {
  const wrong: string[] = []
  const byKey = new Map<string, Addition[]>()
  for (const addition of additions) {
    const ofKey = byKey.get(addition.key)
    if (ofKey === undefined) byKey.set(addition.key, [addition])
    else ofKey.push(addition)
  }
  for (const key of new Set([...byKey.keys(), ...sums.keys()])) {
    const asked = byKey.get(key) ?? []
    const { sum, applied } = sums.get(key) ?? { sum: 0 }
    let [least, most] = [0, 0]
    for (const { amount, outcome } of asked) {
      if (outcome.kind === 'failed') continue
      if (outcome.kind === 'ok' || amount < 0) least += amount
      if (outcome.kind === 'ok' || amount > 0) most += amount
    }
    if (sum < least || sum > most)
      wrong.push(`${key} is ${sum}, where acknowledged and unknown make ${least} to ${most}`)
    if (applied !== undefined) wrong.push(...wrongApplied(key, asked, sum, applied))
  }
  return wrong
}

/** A2 */
function wrongApplied(
  key: string,
  asked: readonly Addition[],
  sum: number,
  applied: readonly string[],
): readonly string[] {
  const amounts = new Map(asked.map(({ id, amount }) => [id, amount]))
  const exact = applied.reduce((total, id) => total + (amounts.get(id) ?? 0), 0)
  const appends = asked.map(({ id, outcome }) => ({
    key,
    id,
    outcome: outcome.kind === 'ok' ? { ...outcome, output: undefined } : outcome,
  }))
  const wrong = wrongAppends(appends, new Map([[key, applied]]))
  return exact === sum ? wrong : [...wrong, `${key} is ${sum}, where what was applied makes ${exact}`]
}
