import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  checkPartitionCount,
  fnv1a32,
  isPartitionCount,
  partitionOf,
  partitionOfPlain,
} from '../../src/protocol/partitioning.ts'
import { encodeToken } from '../../src/protocol/subjects.ts'
import { name } from './arbitraries.ts'

const counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]

describe('fnv1a32', () => {
  it.each([
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['foobar', 0xbf9cf968],
  ])('of %j is the published test vector (K1)', (text, expected) => {
    expect(fnv1a32(text)).toBe(expected)
  })
})

describe('partitionOfPlain', () => {
  const plainKey = fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/)

  it('is that of the key for every key that is its own token, and of no other', () => {
    fc.assert(
      fc.property(fc.oneof(name, plainKey), fc.constantFrom(1, 16, 512), (key, partitions) => {
        const expected = encodeToken(key) === key ? partitionOf(key, partitions) : undefined
        expect(partitionOfPlain(key, partitions)).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
    for (const key of ['', 'x'.repeat(129), 'a.b', 'a b', 'é', '\u0000'])
      expect(partitionOfPlain(key, 16)).toBeUndefined()
  })
})

describe('partitionOf', () => {
  it('is the hash of the token modulo the count, whatever the key (K1)', () => {
    fc.assert(
      fc.property(name, fc.constantFrom(...counts), (key, partitions) => {
        const p = partitionOf(key, partitions)
        expect(Number.isInteger(p) && p >= 0 && p < partitions).toBe(true)
      }),
    )
    expect(partitionOf('c1', 16)).toBe(fnv1a32('c1') % 16)
    expect(partitionOf('a/b', 16)).toBe(fnv1a32('a=2Fb') % 16)
  })

  it('keeps each key in p or sends it to p + count when the count doubles (K3)', () => {
    fc.assert(
      fc.property(name, fc.constantFrom(...counts.slice(0, -1)), (key, partitions) => {
        const before = partitionOf(key, partitions)
        expect([before, before + partitions]).toContain(partitionOf(key, partitions * 2))
      }),
    )
  })

  it('spreads numbered keys evenly', () => {
    const sizes = new Array<number>(16).fill(0)
    for (let i = 0; i < 16_000; i++) sizes[partitionOf(`c${i}`, 16)]!++
    expect(Math.min(...sizes)).toBeGreaterThan(800)
    expect(Math.max(...sizes)).toBeLessThan(1_200)
  })
})

describe('a count of partitions', () => {
  it('is a power of two from 1 to 512 (K3)', () => {
    expect(Array.from({ length: 2_000 }, (_, n) => n).filter(isPartitionCount)).toEqual(counts)
    expect([-1, -2, 1.5, 0.5, Number.NaN, Infinity, 2 ** 32].some(isPartitionCount)).toBe(false)
    expect(() => checkPartitionCount(12)).toThrow('use a power of two from 1 to 512')
    expect(() => checkPartitionCount(16)).not.toThrow()
  })
})
