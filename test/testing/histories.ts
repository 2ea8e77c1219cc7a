/**
 * Histories for the tests of the checkers: written by hand, drawn at random, or of clients of an object that is linearizable indeed.
 *
 * The objects here know nothing of the models in src/testing/check: they are the second opinion.
 */
import fc from 'fast-check'
import type { CounterInput } from '../../src/testing/check/counter.ts'
import type { Operation, Outcome } from '../../src/testing/check/history.ts'
import type { Ending, ListInput, ListOutput } from '../../src/testing/check/list.ts'
import type { RegisterInput, Scalar } from '../../src/testing/check/register.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

/** What an operation does to a state, and what it tells. */
export type Apply<State, Input, Output> = (state: State, input: Input) => readonly [State, Output]

export const register: Apply<Scalar, RegisterInput, Scalar> = (state, input) => {
  if (input.kind === 'read') return [state, state]
  if (input.kind === 'write') return [input.value, true]
  return state === input.expected ? [input.value, true] : [state, false]
}

export const counter: Apply<number, CounterInput, number> = (state, input) => {
  const sum = input.kind === 'add' ? state + input.amount : state
  return [sum, sum]
}

export const list: Apply<readonly string[], ListInput, ListOutput> = (state, input) => {
  if (input.kind === 'read') return [state, state]
  return [[...state, input.id], state.length + 1]
}

/** Tells of a read how the list ended. */
export const listByEnding: Apply<readonly string[], ListInput, number | Ending> = (state, input) => {
  if (input.kind === 'read') return [state, { length: state.length, last: state.at(-1) }]
  return [[...state, input.id], state.length + 1]
}

/** Of a client: invoked, and returned with an output, unless that is unknown. */
export const op = <Input, Output>(
  client: string,
  invokedMs: number,
  returnedMs: number | 'unknown',
  input: Input,
  output?: Output,
): Operation<Input, Output> => {
  const outcome: Outcome<Output> =
    returnedMs === 'unknown' ? { kind: 'unknown' } : { kind: 'ok', output: output as Output, returnedMs }
  return { client, key: 'k', input, invokedMs, outcome }
}

export const read = { kind: 'read' } as const
export const write = (value: Scalar) => ({ kind: 'write', value }) as const
export const cas = (expected: Scalar, value: Scalar) => ({ kind: 'cas', expected, value }) as const
export const add = (amount: number) => ({ kind: 'add', amount }) as const
export const append = (id: string) => ({ kind: 'append', id }) as const

const returnOf = ({ outcome }: Operation): number => (outcome.kind === 'ok' ? outcome.returnedMs : Infinity)
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Tries every order of every choice of the operations. */
export function hasOrder<State, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  apply: Apply<State, Input, Output>,
  state: State,
): boolean {
  const left = operations.filter(({ outcome }) => outcome.kind !== 'failed')
  if (left.every(({ outcome }) => outcome.kind === 'unknown')) return true
  return left.some((operation) => {
    if (left.some((other) => returnOf(other) < operation.invokedMs)) return false
    const [next, output] = apply(state, operation.input)
    if (operation.outcome.kind === 'ok' && !same(operation.outcome.output, output)) return false
    return hasOrder(
      left.filter((other) => other !== operation),
      apply,
      next,
    )
  })
}

/** What is wrong with an order that is said to explain a history. */
export function wrongOrder<State, Input, Output>(
  order: readonly Operation<Input, Output>[],
  operations: readonly Operation<Input, Output>[],
  apply: Apply<State, Input, Output>,
  initial: State,
): string[] {
  const wrong: string[] = []
  let state = initial
  let latestMs = -Infinity
  for (const operation of order) {
    const [next, output] = apply(state, operation.input)
    if (operation.outcome.kind === 'ok' && !same(operation.outcome.output, output)) {
      wrong.push(`${JSON.stringify(operation)} told ${JSON.stringify(output)}`)
    }
    latestMs = Math.max(latestMs, operation.invokedMs)
    if (returnOf(operation) < latestMs) wrong.push(`${JSON.stringify(operation)} is behind what came after it`)
    state = next
  }
  const placed = new Set(order)
  if (placed.size < order.length) wrong.push('an operation is there twice')
  if (order.some((operation) => !operations.includes(operation))) wrong.push('an operation is there that never was')
  const missing = operations.filter((one) => one.outcome.kind === 'ok' && !placed.has(one))
  return missing.length === 0 ? wrong : [...wrong, `${missing.length} that returned are missing`]
}

export interface Drawing<State, Input, Output> {
  readonly seed: number
  readonly clients: number
  readonly operations: number
  /** Of an operation: that nobody hears of its end. Half of these take effect, some of them late. */
  readonly unknown: number
  readonly apply: Apply<State, Input, Output>
  readonly initial: State
  readonly draw: (random: SeededRandom, nth: number, state: State) => Input
}

interface Open<Input, Output> {
  readonly client: string
  readonly input: Input
  readonly invokedMs: number
  done?: { readonly output: Output }
}

/** Clients of one object that does one thing at a time: what they see is linearizable. */
export function drawn<State, Input, Output>(of: Drawing<State, Input, Output>): Operation<Input, Output>[] {
  const random = new SeededRandom(of.seed)
  const operations: Operation<Input, Output>[] = []
  const busy = new Map<number, Open<Input, Output>>()
  const late: Input[] = []
  let state = of.initial
  const perform = (input: Input): Output => {
    const [next, output] = of.apply(state, input)
    state = next
    return output
  }
  let begun = 0
  for (let nowMs = 0; begun < of.operations || busy.size > 0; nowMs++) {
    if (late.length > 0 && random.chance(0.1)) perform(late.splice(random.below(late.length), 1)[0]!)
    const client = random.below(of.clients)
    const open = busy.get(client)
    if (open === undefined) {
      if (begun === of.operations) continue
      const input = of.draw(random, begun++, state)
      busy.set(client, { client: `client ${client}`, input, invokedMs: nowMs })
    } else if (open.done !== undefined || random.chance(of.unknown)) {
      const { client: name, input, invokedMs, done } = open
      busy.delete(client)
      operations.push(op(name, invokedMs, done === undefined ? 'unknown' : nowMs, input, done?.output))
      if (done === undefined && random.chance(0.5)) late.push(input)
    } else open.done = { output: perform(open.input) }
  }
  return operations
}

/** Histories of a few operations that mean little: most are not linearizable, many nearly. */
export const anyHistory = <Input, Output>(
  input: fc.Arbitrary<Input>,
  outputOf: (input: Input) => fc.Arbitrary<Output>,
  maxLength = 6,
): fc.Arbitrary<Operation<Input, Output>[]> =>
  fc.array(
    input.chain((input) =>
      fc
        .record({ at: fc.nat(8), takes: fc.nat(5), output: outputOf(input), known: fc.nat(3) })
        .map(({ at, takes, output, known }) => op('c', at, known === 0 ? 'unknown' : at + takes, input, output)),
    ),
    { maxLength },
  )
