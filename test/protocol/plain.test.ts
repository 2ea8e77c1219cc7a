/** Plain values against the way that they are a shortcut for: msgpackr, with its check and its scan. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { notPlain as notRead, readPlain } from '../../src/protocol/plain-read.ts'
import { notPlain, writePlain } from '../../src/protocol/plain-write.ts'
import { readWithLibrary, writeWithLibrary } from '../../src/protocol/value-bytes.ts'
import { encodeValue, type Value } from '../../src/protocol/values.ts'
import { value } from './arbitraries.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

function written(v: unknown, room = 1_048_576, begin = 3): Uint8Array | undefined {
  const block = Buffer.alloc(room)
  const end = writePlain(v, block, begin)
  if (end === notPlain) return undefined
  expect(block.subarray(0, begin)).toEqual(Buffer.alloc(begin))
  return block.subarray(begin, end)
}

const libraryReads = (bytes: Uint8Array, weight: number): Value | undefined => {
  try {
    return readWithLibrary(bytes, false, weight)
  } catch {
    return undefined
  }
}

const plainValue = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<Value>(null, true, false, 0, -0, 0.1, 2 ** 32, 2 ** 53, -1, -32, -33, -129, -40_000, 1e300, 5e-324),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: 'grapheme-ascii', maxLength: 80 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 20 }),
    // No object may have the key __proto__.
    fc.dictionary(
      fc.string({ maxLength: 40 }).filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 15 },
    ),
  ),
})).value

describe('a plain value', () => {
  it('has the bytes that it has by the library (W1)', () => {
    let plain = 0
    fc.assert(
      fc.property(plainValue, (v) => {
        const bytes = written(v)
        if (bytes === undefined) return
        plain++
        expect(hex(bytes)).toBe(hex(writeWithLibrary(v)))
      }),
      { numRuns: 2_000 },
    )
    expect(plain).toBeGreaterThan(1_500)
  })

  it('is what the library reads of the same bytes (R1)', () => {
    let plain = 0
    fc.assert(
      fc.property(plainValue, (v) => {
        const bytes = encodeValue(v)
        const read = readPlain(bytes, false, Number.POSITIVE_INFINITY)
        if (read === notRead) return
        plain++
        expect(isDeepStrictEqual(read, readWithLibrary(bytes, false, Number.POSITIVE_INFINITY))).toBe(true)
      }),
      { numRuns: 2_000 },
    )
    expect(plain).toBeGreaterThan(1_500)
  })

  it.each([0, 1, 23, 24, 25, 31, 32, 33, 255, 256, 257, 65_535, 65_536, 70_000])(
    'of %i has the head that it should',
    (n) => {
      for (const v of ['x'.repeat(n), 'é'.repeat(n), new Uint8Array(n), new Array<number>(n).fill(1)]) {
        const bytes = writeWithLibrary(v)
        expect(hex(written(v)!)).toBe(hex(bytes))
        expect(readPlain(bytes, false, Number.POSITIVE_INFINITY)).toEqual(v)
      }
    },
  )
})

describe('what is left to the library', () => {
  it.each([
    ['what is no value', undefined],
    ['a function', () => {}],
    ['a number that is not finite', Number.NaN],
    ['a lone surrogate', '\uD800'],
    ['a bigint', 1n],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['an object of sixteen keys', Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, i]))],
    ['the key __proto__', JSON.parse('{"__proto__":1}') as unknown],
    ['a hole', Object.assign(new Array<number>(3), { 0: 1, 2: 2 })],
    ['more levels than there may be', JSON.parse(`${'['.repeat(101)}${']'.repeat(101)}`) as unknown],
  ])('%s (W2)', (_, v) => {
    expect(written(v)).toBeUndefined()
    expect(written({ before: 1, v: [v ?? Symbol('no value')] })).toBeUndefined()
    expect(written({ after: 1 })).toBeDefined()
  })

  it('what has no room, wherever that ends (W2)', () => {
    const v = { text: 'x'.repeat(40), more: ['é'.repeat(20), 1.5, new Uint8Array(10), 70_000] }
    const { length } = written(v)!
    for (let room = 3; room <= length + 3; room++) {
      const bytes = written(v, room)
      if (bytes !== undefined) expect(hex(bytes)).toBe(hex(writeWithLibrary(v)))
    }
  })

  it('a value that a getter of another one encodes (W3)', () => {
    let inner: Uint8Array | undefined
    const v = {
      get a() {
        inner = written({ b: 1 })
        return encodeValue({ c: 2 }).length
      },
    }
    expect(hex(written(v)!)).toBe(hex(writeWithLibrary({ a: 4 })))
    expect(inner).toBeUndefined()
    expect(() =>
      written({
        get a(): never {
          throw new Error('mine')
        },
      }),
    ).toThrow('mine')
    expect(written({ b: 1 })).toBeDefined()
  })

  it('bytes that mean anything else, or weigh too much (R2)', () => {
    const some = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(value, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([v, at, flip]) => {
        const bytes = encodeValue(v).slice()
        bytes[at % bytes.length]! ^= flip
        return bytes
      }),
    )
    const weight = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.nat(60))
    fc.assert(
      fc.property(some, weight, (bytes, most) => {
        const read = readPlain(bytes, false, most)
        if (read !== notRead) expect(isDeepStrictEqual(read, libraryReads(bytes, most))).toBe(true)
      }),
      { numRuns: 20_000 },
    )
  })
})
