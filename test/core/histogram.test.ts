import { expect, it } from 'vitest'
import { Histogram } from '../../src/core/histogram.ts'

it('counts each value under the first bound that is not below it, and sums all (B2)', () => {
  const histogram = new Histogram([1, 5, 10])
  for (const value of [0, 1, 1.01, 5, 9, 10, 10.5, 1_000]) histogram.observe(value)
  expect(histogram.reading).toEqual({ bounds: [1, 5, 10], counts: [2, 2, 2, 2], sum: 1_036.51 })
})

it('gives a reading that does not change any more', () => {
  const histogram = new Histogram([1])
  histogram.observe(0.5)
  const { counts } = histogram.reading
  histogram.observe(0.5)
  expect(counts).toEqual([1, 0])
})
