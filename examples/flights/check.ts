/** Compares what came out with what must come out. Every difference is a sentence; none is right. */
import type { Totals, TotalsByActor } from './expectation.ts'

/** `source` says whose word `actual` is. */
export function differences(source: string, expected: TotalsByActor, actual: TotalsByActor): readonly string[] {
  const found: string[] = []
  for (const [actor, totals] of expected) {
    const got = actual.get(actor)
    if (got === undefined) found.push(`${actor}: ${source} does not know it`)
    else found.push(...differencesOf(`${actor}: ${source}`, totals, got))
  }
  for (const actor of actual.keys()) {
    if (!expected.has(actor)) found.push(`${actor}: ${source} knows it, and the file has no such flight`)
  }
  return found
}

function differencesOf(who: string, expected: Totals, actual: Totals): readonly string[] {
  const numbers = (totals: Totals): Readonly<Record<string, number>> => ({ ...totals.state, rev: totals.rev })
  const [want, got] = [numbers(expected), numbers(actual)]
  return [...new Set([...Object.keys(want), ...Object.keys(got)])]
    .filter((name) => want[name] !== got[name])
    .map((name) => `${who} has ${name} ${got[name] ?? 'missing'}, and the file gives ${want[name] ?? 'none'}`)
}
