/**
 * Whether the history of a key is linearizable: whether each operation can be given one moment between its invocation and its return so
 * that, one after the other in the order of these moments, all do what the model says (Herlihy and Wing, 1990).
 *
 * The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the memory of Lowe ("Testing for
 * linearizability", 2017): depth first, it places one operation after the other, each among those that no unplaced one came before, and
 * never goes on twice from the same configuration, which is the set of those placed and the state. Keys are checked one by one: a history is
 * linearizable if and only if that of each key is (Herlihy and Wing; P-compositionality of Horn and Kroening, 2015). Both papers walk a
 * linked list of events and remember a bit for each operation; here the placed ones are a number and its holes (F1), which also says which
 * come next. What the search leaves out because it cannot matter is told in search.ts.
 *
 * W1. `ok` comes with an order of the operations that shows it. `violation` means that there is none. Over `maxSteps` it is `undecided`.
 * W2. Failed operations are not there. An unknown one is placed after its invocation or never: nothing waits for it.
 */
import type { History, Operation } from './history.ts'
import type { ModelOf } from './model.ts'
import { outputOf, returnOf, Search, type Found } from './search.ts'

export interface CheckOptions {
  /** Most steps of the model in the search for one key. Default 20,000,000, a matter of ten seconds. */
  readonly maxSteps?: number
}

export type Verdict<Input, Output> =
  | {
      readonly kind: 'ok'
      readonly steps: number
      /** All operations that returned, and the unknown ones that it took. */
      readonly order: readonly Operation<Input, Output>[]
    }
  | ({ readonly kind: 'violation' | 'undecided'; readonly steps: number } & Stuck<Input, Output>)

export interface Stuck<Input, Output> {
  /**
   * An order of the longest beginning of the history that has one: of what had returned by then, and what it takes of the rest, as unknown.
   * Of what is undecided, the longest that was tried.
   */
  readonly placed: readonly Operation<Input, Output>[]
  /** What returned next, with which there is no order any more, or none was found. */
  readonly unplaced: readonly Operation<Input, Output>[]
  /** All of this in words. */
  readonly explanation: string
}

export function checkLinearizable<State, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  modelOf: ModelOf<State, Input, Output>,
  { maxSteps = 20_000_000 }: CheckOptions = {},
): Verdict<Input, Output> {
  const there = operations.filter(({ outcome }) => outcome.kind !== 'failed')
  const search = (of: readonly Operation<Input, Output>[]) => {
    const model = modelOf(of.map(({ input, outcome }) => ({ input, output: outputOf(outcome) })))
    return new Search(of, model, maxSteps).run()
  }
  const found = search(there)
  const { kind, steps, order } = found
  if (kind === 'ok') return { kind, steps, order }
  return { kind, steps, ...(kind === 'violation' ? longestBeginning(there, search) : stuckAt(found)) }
}

/**
 * Of a history without an order the longest beginning that has one. Every beginning of one that has an order has one, too, so it is found by
 * halving. A search looks ahead; one of a beginning does not know what comes, so what it finds stands by itself.
 */
function longestBeginning<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  search: (of: readonly Operation<Input, Output>[]) => Found<Input, Output>,
): Stuck<Input, Output> {
  const ends = [...new Set(operations.map(returnOf))].filter(Number.isFinite).sort((a, b) => a - b)
  let best = search([])
  let [fits, not] = [0, ends.length]
  while (not - fits > 1) {
    const middle = (fits + not) >>> 1
    const found = search(beginningOf(operations, ends[middle - 1]!))
    if (found.kind !== 'ok') not = middle
    else [fits, best] = [middle, found]
  }
  return stuckAt({ ...best, next: operations.filter((operation) => returnOf(operation) === ends[not - 1]) })
}

/** As it was known at a time: what had not returned was unknown. */
const beginningOf = <Input, Output>(operations: readonly Operation<Input, Output>[], endMs: number) =>
  operations
    .filter(({ invokedMs }) => invokedMs <= endMs)
    .map((operation): Operation<Input, Output> =>
      returnOf(operation) <= endMs ? operation : { ...operation, outcome: { kind: 'unknown' } },
    )

const stuckAt = <Input, Output>({ order, next, explain }: Found<Input, Output>): Stuck<Input, Output> => ({
  placed: order,
  unplaced: next,
  explanation: explain(next),
})

/** Key by key: a sentence for each that is not linearizable, or for which that could not be told, with what does not fit. */
export function notLinearizable<State, Input, Output>(
  history: History<Input, Output>,
  modelOf: ModelOf<State, Input, Output>,
  options: CheckOptions = {},
): readonly string[] {
  const wrong: string[] = []
  for (const key of history.keys()) {
    const verdict = checkLinearizable(history.of(key), modelOf, options)
    if (verdict.kind === 'violation') wrong.push(`${key} is not linearizable: ${verdict.explanation}`)
    if (verdict.kind === 'undecided') {
      wrong.push(`${key}: no order was found in ${verdict.steps} steps, which proves nothing: ${verdict.explanation}`)
    }
  }
  return wrong
}
