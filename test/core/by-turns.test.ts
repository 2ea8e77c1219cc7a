import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { takeBeyond } from '../../src/core/by-turns.ts'

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
    expect(takeBeyond(queues, 6)).toEqual([4, 8])
    expect(queues).toEqual([[1, 2, 3], [5], [], [6, 7]])
    expect(takeBeyond(queues, 4)).toEqual([3, 7])
    expect(takeBeyond(queues, 2.9)).toEqual([2, 6])
    expect(takeBeyond(queues, 2)).toEqual([])
    expect(takeBeyond(queues, 0)).toEqual([1, 5])
    expect(takeBeyond(queues, 0)).toEqual([])
    expect(takeBeyond([[1], [2]], Number.POSITIVE_INFINITY)).toEqual([])
  })

  it('is what a count turn by turn says', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 9 }), { maxLength: 9 }), fc.nat({ max: 60 }), (lengths, most) => {
        const queues = lengths.map((length, queue) => Array.from({ length }, (_, i) => ({ queue, i })))
        const { kept, taken } = byHand(lengths, most)
        expect(takeBeyond(queues, most)).toHaveLength(taken)
        expect(queues.map(({ length }) => length)).toEqual(kept)
        for (const [i, queue] of queues.entries()) expect(queue).toEqual(queue.map((_, n) => ({ queue: i, i: n })))
      }),
    )
  })
})
