import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys } from '../../src/protocol/key-order.ts'
import { name } from '../protocol/arbitraries.ts'

describe('the order of keys', () => {
  it('is that of their UTF-8', () => {
    const key = fc.oneof(name, fc.string({ unit: fc.constantFrom('a', 'é', '\uD7FF', '\uE000', '\uFFFD', '😀', '🛒') }))
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(Math.sign(compareKeys(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
      }),
    )
  })

  it('is not that of JavaScript, where a pair of surrogates comes before the last letters of the first plane', () => {
    expect(['\uFFFD', '😀'].toSorted()).toEqual(['😀', '\uFFFD'])
    expect(compareKeys('😀', '\uFFFD')).toBeGreaterThan(0)
    expect(compareKeys('a', 'ab')).toBeLessThan(0)
    expect(compareKeys('', '')).toBe(0)
  })
})
