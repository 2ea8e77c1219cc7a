/** What a search for an order has come to, for people: the end of what fits, and what does not. */
import type { Operation } from './history.ts'
import type { Model } from './model.ts'

/** Of each of the two lists no more are shown. */
const shownOperations = 12

export function explain<State, Input, Output>(
  model: Model<State, Input, Output>,
  placed: readonly Operation<Input, Output>[],
  state: State,
  unplaced: readonly Operation<Input, Output>[],
): string {
  const lines = (operations: readonly Operation<Input, Output>[]) =>
    operations.map((operation) => `  ${describe(model, operation)}`)
  const left = placed.length - shownOperations
  return [
    left > 0 ? `these fit in this order, after ${left} more:` : 'these fit in this order:',
    ...lines(placed.slice(-shownOperations)),
    `then it is ${model.showState(state)}, and no order was found of these and of what returned next:`,
    ...lines(unplaced.slice(0, shownOperations)),
    ...(unplaced.length > shownOperations ? [`  and ${unplaced.length - shownOperations} more`] : []),
  ].join('\n')
}

/** `3 … 7  client a  write 1`, times in ms. */
function describe<State, Input, Output>(
  model: Model<State, Input, Output>,
  { client, input, invokedMs, outcome }: Operation<Input, Output>,
): string {
  const until = outcome.kind === 'ok' ? outcome.returnedMs : '(unknown)'
  return `${invokedMs} … ${until}  ${client}: ${model.show(input, outcome.kind === 'ok' ? outcome.output : undefined)}`
}
