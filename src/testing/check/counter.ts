/**
 * A counter: an operation adds to it and is told the sum, or reads the sum.
 *
 * V1. Where no amount is negative the sum only grows: an operation that was told less than it is now is missed. Where some are and
 *     unknown there are as many sums as there are choices of them: let these be few.
 * V2. Unknown additions of one amount are of one kind.
 * V3. Unknown operations wait. Let d be possible in s and after U. If its output is a sum, then s and the state after U are the same, so U
 *     did nothing and d alone does. If it has none, it adds the same before U as after.
 */
import type { Asked, Model } from './model.ts'

export type CounterInput = { readonly kind: 'add'; readonly amount: number } | { readonly kind: 'read' }

export function counterOf(
  operations: readonly Asked<CounterInput, number>[],
  initial = 0,
): Model<number, CounterInput, number> {
  const grows = operations.every(({ input }) => amountOf(input) >= 0)
  return {
    initial,
    step(state, input, output) {
      const sum = state + amountOf(input)
      return output === undefined || output === sum ? [sum] : []
    },
    key: (state) => state,
    idle: (input) => amountOf(input) === 0,
    missed: (state, input, output) => grows && output !== undefined && output < state + amountOf(input),
    kind: (input, output) => `${amountOf(input)} = ${output}`,
    unknownsWait: true,
    show: (input, output) =>
      (input.kind === 'add' ? `add ${input.amount}` : 'read') + (output === undefined ? '' : ` = ${output}`),
    showState: String,
  }
}

const amountOf = (input: CounterInput): number => (input.kind === 'add' ? input.amount : 0)
