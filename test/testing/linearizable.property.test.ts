/**
 * The checker against a second opinion that tries every order, on histories of few operations; and on long ones of clients of an object that
 * does one thing at a time, which are linearizable by the way they came about.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { counterOf, type CounterInput } from '../../src/testing/check/counter.ts'
import type { Operation } from '../../src/testing/check/history.ts'
import { checkLinearizable } from '../../src/testing/check/linearizable.ts'
import { listOf, type ListInput } from '../../src/testing/check/list.ts'
import type { ModelOf } from '../../src/testing/check/model.ts'
import { registerOf, type RegisterInput, type Scalar } from '../../src/testing/check/register.ts'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import {
  add,
  anyHistory,
  append,
  cas,
  counter,
  drawn,
  hasOrder,
  list,
  listByEnding,
  read,
  register,
  write,
  wrongOrder,
  type Apply,
  type Drawing,
} from './histories.ts'

const seed = fc.nat(1_000_000)
const value = fc.constantFrom(null, 1, 2, 3)
const registerInput: fc.Arbitrary<RegisterInput> = fc.oneof(
  fc.constant(read),
  value.map(write),
  fc.tuple(value, value).map(([expected, value]) => cas(expected, value)),
)
const counterInput: fc.Arbitrary<CounterInput> = fc.oneof(fc.constant(read), fc.integer({ min: -1, max: 3 }).map(add))
const ids = ['x', 'y', 'z', 'w']

/** The verdict, and that an order which is told is one. */
function judged<State, Plain, Input, Output>(
  history: readonly Operation<Input, Output>[],
  modelOf: ModelOf<State, Input, Output>,
  apply: Apply<Plain, Input, Output>,
  initial: Plain,
): string {
  const verdict = checkLinearizable(history, modelOf)
  if (verdict.kind === 'ok') expect(wrongOrder(verdict.order, history, apply, initial)).toEqual([])
  return verdict.kind
}

/** The same history with the outputs of two operations changed for each other; what a write tells means nothing. */
function swapped<Input, Output>(
  history: readonly Operation<Input, Output>[],
  [a, b]: readonly [number, number],
): Operation<Input, Output>[] {
  const tells = ({ input, outcome }: Operation<Input, Output>) =>
    outcome.kind === 'ok' && (input as { readonly kind: string }).kind !== 'write'
  const known = history.flatMap((operation, i) => (tells(operation) ? [i] : []))
  if (known.length === 0) return [...history]
  const [one, other] = [known[a % known.length]!, known[b % known.length]!]
  const outputOf = (i: number) => (history[i]!.outcome as { output: Output }).output
  return history.map((operation, i) => {
    const from = i === one ? other : i === other ? one : undefined
    if (from === undefined || operation.outcome.kind !== 'ok') return operation
    return { ...operation, outcome: { ...operation.outcome, output: outputOf(from) } }
  })
}

/** Counts verdicts: a property of histories that are all of one sort says little. */
function tally() {
  const counts = { ok: 0, violation: 0, undecided: 0 }
  return { counts, add: (kind: string) => void counts[kind as keyof typeof counts]++ }
}

describe('a few operations at random', () => {
  const both = <State, Plain, Input, Output>(
    histories: fc.Arbitrary<Operation<Input, Output>[]>,
    modelOf: ModelOf<State, Input, Output>,
    apply: Apply<Plain, Input, Output>,
    initial: Plain,
  ) => {
    const { counts, add } = tally()
    const waiting: ModelOf<State, Input, Output> = (of) => ({ ...modelOf(of), unknownsWait: false })
    fc.assert(
      fc.property(histories, (history) => {
        const kind = hasOrder(history, apply, initial) ? 'ok' : 'violation'
        add(kind)
        expect(judged(history, modelOf, apply, initial)).toBe(kind)
        // W6: what waiting saves changes nothing.
        expect(judged(history, waiting, apply, initial)).toBe(kind)
      }),
      { numRuns: 3_000 },
    )
    expect(Math.min(counts.ok, counts.violation)).toBeGreaterThan(300)
  }

  it('of a register are judged as by trying every order', { timeout: 60_000 }, () => {
    const outputOf = ({ kind }: RegisterInput): fc.Arbitrary<Scalar> =>
      kind === 'read' ? value : kind === 'write' ? fc.constant(true) : fc.boolean()
    both(anyHistory(registerInput, outputOf), registerOf, register, null)
  })

  it('of a counter are judged as by trying every order', { timeout: 60_000 }, () => {
    both(
      anyHistory(counterInput, () => fc.integer({ min: 0, max: 4 }), 5),
      counterOf,
      counter,
      0,
    )
  })

  it('of a list are judged as by trying every order', { timeout: 60_000 }, () => {
    const part = fc.shuffledSubarray(ids, { maxLength: 3 })
    const histories = fc
      .tuple(
        fc
          .shuffledSubarray(ids)
          .chain((some) => fc.tuple(...some.map((id) => operationOf(append(id), fc.integer({ min: 1, max: 3 }))))),
        fc.array(operationOf<ListInput, readonly string[]>(read, part), { maxLength: 2 }),
      )
      .map(([appends, reads]) => [...appends, ...reads])
    both(histories, listOf, list, [])
  })
})

const operationOf = <Input, Output>(input: Input, output: fc.Arbitrary<Output>) =>
  anyHistory(fc.constant(input), () => output, 1)
    .filter(({ length }) => length === 1)
    .map(([operation]) => operation!)

describe('clients of an object that does one thing at a time', () => {
  const drawRegister = (random: SeededRandom, nth: number, state: unknown) => {
    const dice = random.next()
    if (dice < 0.4) return read
    return dice < 0.8 ? write(nth) : cas(random.chance(0.7) ? (state as number | null) : nth - 1, -nth)
  }
  const few = (random: SeededRandom) => {
    const draw = () => random.below(3)
    return random.chance(0.4) ? read : random.chance(0.5) ? write(draw()) : cas(draw(), draw())
  }
  const drawCounter = (random: SeededRandom) => (random.chance(0.3) ? read : add(1 + random.below(3)))
  const drawList = (random: SeededRandom, nth: number) => (random.chance(0.4) ? read : append(`i${nth}`))

  type Any = Drawing<unknown, unknown, unknown>
  const sorts = [
    ['a register', { apply: register, initial: null, draw: drawRegister }, registerOf],
    ['a register of three values', { apply: register, initial: null, draw: few }, registerOf],
    ['a counter', { apply: counter, initial: 0, draw: drawCounter }, counterOf],
    ['a list', { apply: list, initial: [], draw: drawList }, listOf],
    ['a list whose reads tell its end', { apply: listByEnding, initial: [], draw: drawList }, listOf],
  ] as unknown as readonly [string, Pick<Any, 'apply' | 'initial' | 'draw'>, ModelOf<unknown, unknown, unknown>][]

  it.each(sorts)('%s are always believed', { timeout: 60_000 }, (_, sort, modelOf) => {
    fc.assert(
      fc.property(seed, fc.integer({ min: 1, max: 8 }), fc.constantFrom(0, 0.05, 0.2), (seed, clients, unknown) => {
        const history = drawn({ seed, clients, operations: 150, unknown, ...sort })
        expect(judged(history, modelOf, sort.apply, sort.initial)).toBe('ok')
      }),
      { numRuns: 150 },
    )
  })

  it.each(sorts)(
    '%s with two answers changed for each other are judged as by trying every order',
    { timeout: 60_000 },
    (_, sort, modelOf) => {
      const { counts, add } = tally()
      fc.assert(
        fc.property(
          seed,
          fc.integer({ min: 2, max: 4 }),
          fc.constantFrom(0, 0.3),
          fc.tuple(fc.nat(9), fc.nat(9)),
          (seed, clients, unknown, pair) => {
            const history = swapped(drawn({ seed, clients, operations: 7, unknown, ...sort }), pair)
            const kind = hasOrder(history, sort.apply, sort.initial) ? 'ok' : 'violation'
            add(kind)
            expect(judged(history, modelOf, sort.apply, sort.initial)).toBe(kind)
          },
        ),
        { numRuns: 1_000 },
      )
      expect(Math.min(counts.ok, counts.violation)).toBeGreaterThan(100)
    },
  )

  it('are explained up to what was changed, and no further', () => {
    fc.assert(
      fc.property(seed, (seed) => {
        const history = drawn({
          seed,
          clients: 4,
          operations: 60,
          unknown: 0.05,
          apply: counter,
          initial: 0,
          draw: drawCounter,
        })
        const at = history.findIndex(({ outcome }, i) => i > 20 && outcome.kind === 'ok')
        const wrong = history.map((operation, i) =>
          i === at
            ? { ...operation, outcome: { ...operation.outcome, output: -1 } as typeof operation.outcome }
            : operation,
        )
        const verdict = checkLinearizable(wrong, counterOf)
        expect(verdict.kind).toBe('violation')
        if (verdict.kind === 'violation') expect(verdict.unplaced).toEqual([wrong[at]])
      }),
      { numRuns: 50 },
    )
  })
})
