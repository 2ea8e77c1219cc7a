/**
 * A register: what an entry of a key-value store is to those who put it, get it and compare and set it.
 *
 * V1. Values are told apart by `===`. Of what is no scalar a text stands for it. `null`: there is nothing.
 * V2. A value that no read returned and no compare-and-set expected is one of the *unseen*. All of these are one state: every operation
 *     that can follow does the same in each. So unknown writes of unseen values, however many, are of one kind.
 * V3. A value that only one operation writes, or that is there at first and none writes, is there once. So whoever saw it, by a read or a
 *     compare-and-set that went well, did so before it was overwritten: a state is a value and how many are yet to see it, and is not
 *     overwritten before these have. This is what keeps the search short: give each write a value of its own.
 *     An unknown compare-and-set that alone writes a value that was seen has certainly happened: it saw what it expected, too.
 * V4. Unknown operations wait. Let d be possible in s and after U. If d writes, the state after U and d is that after d. If d saw x, then x
 *     was there before U and is there after it. If x is there once U did nothing to it, and d alone does; if not, states of x are all one. If d
 *     compared and found another value it changes nothing, and U can come after it.
 */
import type { Asked, Model } from './model.ts'

export type Scalar = string | number | boolean | null

export type RegisterInput =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly value: Scalar }
  /** Writes `value` if `expected` is there. */
  | { readonly kind: 'cas'; readonly expected: Scalar; readonly value: Scalar }

/** Of a read the value, of a write anything but `undefined`, of a compare-and-set whether it wrote. */
export type RegisterOutput = Scalar

/** The number of a value, plus `width` for each that is yet to see it (V3). */
type RegisterState = number

/** V2: the number of all these values. */
const unseen = 0

export function registerOf(
  operations: readonly Asked<RegisterInput, RegisterOutput>[],
  initial: Scalar = null,
): Model<RegisterState, RegisterInput, RegisterOutput> {
  const { numbers, sights } = censusOf(operations, initial)
  const values = [...numbers.keys()]
  const width = values.length + 1
  const numberOf = (value: Scalar) => numbers.get(value) ?? unseen
  const become = (value: Scalar): RegisterState => numberOf(value) + width * sights[numberOf(value)]!
  const overwrite = (state: RegisterState, value: Scalar) => (state < width ? [become(value)] : [])
  /** Once seen by one more. */
  const seenOnce = (state: RegisterState) => (state < width ? state : state - width)
  return {
    initial: become(initial),
    step(state, input, output) {
      switch (input.kind) {
        case 'read':
          if (output === undefined) return [state]
          return numberOf(output) === state % width ? [seenOnce(state)] : []
        case 'write':
          return overwrite(state, input.value)
        case 'cas': {
          const fits = numberOf(input.expected) === state % width
          if (output !== undefined && output !== fits) return []
          if (!fits) return [state]
          const certain = output === true || sights[numberOf(input.value)]! > 0
          return overwrite(certain ? seenOnce(state) : state, input.value)
        }
      }
    },
    key: (state) => state,
    idle: (input, output) => input.kind === 'read' || (input.kind === 'cas' && output === false),
    missed: () => false,
    kind(input, output) {
      const told = output === undefined ? '' : ` = ${show(output)}`
      switch (input.kind) {
        case 'read':
          return `read${told}`
        case 'write':
          return numberOf(input.value)
        case 'cas':
          return `${numberOf(input.expected)} to ${numberOf(input.value)}${told}`
      }
    },
    unknownsWait: true,
    show(input, output) {
      const told = output === undefined ? '' : ` = ${show(output)}`
      switch (input.kind) {
        case 'read':
          return `read${told}`
        case 'write':
          return `write ${show(input.value)}`
        case 'cas':
          return `cas ${show(input.expected)} to ${show(input.value)}${told}`
      }
    },
    showState(state) {
      const number = state % width
      return number === unseen ? 'a value that nobody saw' : show(values[number - 1]!)
    },
  }
}

/** Texts in quotes, so that "1" is not 1. */
const show = (value: Scalar): string => JSON.stringify(value)

/** The numbers of the values that were seen, from 1, and by number how often a value that is there once was seen (V3); of others 0. */
function censusOf(
  operations: readonly Asked<RegisterInput, RegisterOutput>[],
  initial: Scalar,
): { readonly numbers: ReadonlyMap<Scalar, number>; readonly sights: readonly number[] } {
  const numbers = new Map<Scalar, number>()
  for (const { input, output } of operations) {
    const value = input.kind === 'read' ? output : input.kind === 'cas' ? input.expected : undefined
    if (value !== undefined && !numbers.has(value)) numbers.set(value, numbers.size + 1)
  }
  const writers = new Map<Scalar, number>([[initial, 1]])
  for (const { input, output } of operations) {
    if (input.kind === 'read' || (input.kind === 'cas' && output === false)) continue
    writers.set(input.value, (writers.get(input.value) ?? 0) + 1)
  }
  const sights = new Array<number>(numbers.size + 1).fill(0)
  /** By the value that it writes, what an unknown compare-and-set expects. */
  const expected = new Map<Scalar, Scalar>()
  const saw = (value: Scalar): void => {
    for (let seen: Scalar | undefined = value; seen !== undefined && (writers.get(seen) ?? 0) <= 1;) {
      // With the first who saw it its writer is certain.
      seen = sights[numbers.get(seen)!]!++ === 0 ? expected.get(seen) : undefined
    }
  }
  for (const { input, output } of operations) {
    if (input.kind === 'cas' && output === undefined && numbers.has(input.value)) {
      expected.set(input.value, input.expected)
    }
  }
  for (const { input, output } of operations) {
    if (input.kind === 'read' && output !== undefined) saw(output)
    if (input.kind === 'cas' && output === true) saw(input.expected)
  }
  return { numbers, sights }
}
