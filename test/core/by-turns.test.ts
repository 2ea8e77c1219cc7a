import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { takeBeyond } from '../../src/core/by-turns.ts'

const one = () => 1

/** The same, one turn after another. */
function byHand(lengths: readonly number[], most: number): { kept: number[]; taken: number } {
  const kept = lengths.map(() => 0)
  let left = most
  for (let depth = 0; depth < Math.max(0, ...lengths); depth++) {
    for (const [i, length] of lengths.entries()) if (length > depth && left-- > 0) kept[i]!++
  }
  return { kept, taken: lengths.reduce((sum, length, i) => sum + length - kept[i]!, 0) }
}

describe('what comes after the first of queues that have their turns one after another', () => {
  it('is taken from the ends of the longest, in order', () => {
    const queues = [[1, 2, 3, 4], [5], [], [6, 7, 8]]
    expect(takeBeyond(queues, 6, one)).toEqual([4, 8])
    expect(queues).toEqual([[1, 2, 3], [5], [], [6, 7]])
    expect(takeBeyond(queues, 4, one)).toEqual([3, 7])
    expect(takeBeyond(queues, 2.9, one)).toEqual([2, 6])
    expect(takeBeyond(queues, 2, one)).toEqual([])
    expect(takeBeyond(queues, 0, one)).toEqual([1, 5])
    expect(takeBeyond(queues, 0, one)).toEqual([])
    expect(takeBeyond([[1], [2]], Number.POSITIVE_INFINITY, one)).toEqual([])
  })

  it('begins with the one that is too much, whatever comes after it', () => {
    const queues = [[1, 5, 1], [2, 1], [9]]
    expect(takeBeyond(queues, 13, (weight) => weight)).toEqual([5, 1, 1])
    expect(queues).toEqual([[1], [2], [9]])
    expect(takeBeyond(queues, 12, (weight) => weight)).toEqual([])
  })

  it('is what a count turn by turn says', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 9 }), { maxLength: 9 }), fc.nat({ max: 60 }), (lengths, most) => {
        const queues = lengths.map((length, queue) => Array.from({ length }, (_, i) => ({ queue, i })))
        const { kept, taken } = byHand(lengths, most)
        expect(takeBeyond(queues, most, one)).toHaveLength(taken)
        expect(queues.map(({ length }) => length)).toEqual(kept)
        for (const [i, queue] of queues.entries()) expect(queue).toEqual(queue.map((_, n) => ({ queue: i, i: n })))
      }),
    )
  })
})
