/** Inputs for the property tests of the protocol. */
import fc from 'fast-check'
import { checkName } from '../../src/protocol/subjects.ts'
import type { Value } from '../../src/protocol/values.ts'

/** Well-formed text of any characters, plain ones often. */
export const text = (constraints: fc.StringConstraints = {}) =>
  fc.oneof(
    fc.string({ ...constraints, unit: 'grapheme-ascii' }),
    fc.string({ ...constraints, unit: 'binary' }),
    fc.string({
      ...constraints,
      unit: fc.constantFrom('a', 'Z', '9', '_', '-', '=', '.', '*', '>', '$', ' ', '/', 'é', '🛒', '\uFEFF'),
    }),
  )

/** Every type and key that is allowed, long ones too. */
export const name = fc
  .oneof(text({ minLength: 1, maxLength: 20 }), text({ minLength: 20, maxLength: 512 }))
  .filter((candidate) => {
    try {
      checkName(candidate, 'key')
      return true
    } catch {
      return false
    }
  })

const bigint = fc.oneof(
  fc.bigInt({ min: -(2n ** 1023n), max: 2n ** 1023n - 1n }),
  fc.constantFrom(0n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 63n), -(2n ** 63n) - 1n),
)

const number = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(
    -32,
    -33,
    -128,
    -129,
    -32_768,
    -32_769,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
  ),
)

export const value = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    number.map((n) => (n === 0 ? 0 : n)),
    text(),
    text({ minLength: 30, maxLength: 300 }),
    bigint,
    fc.date({ noInvalidDate: true }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(
      fc
        .oneof(text(), fc.constantFrom('$bytes', '$date', 'constructor', 'toString'))
        .filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 20, noNullPrototype: true },
    ),
    fc
      .constantFrom('$bytes', '$bigint', '$date', '$object')
      .chain((key) => tie('value').map((inner) => ({ [key]: inner }))),
  ),
})).value
