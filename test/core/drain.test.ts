import { describe, expect, it } from 'vitest'
import { beginDrain, drainMs, lookAtDrain, withinReason } from '../../src/core/drain.ts'

describe('how long a queue takes (R1, R2)', () => {
  it('follows from what was done between two looks', () => {
    const drain = lookAtDrain(lookAtDrain(beginDrain, 1_000, 500), 1_200, 900)
    expect(drainMs(drain, 3_000)).toBe(1_500)
    expect(drainMs(drain, 1)).toBe(10)
    expect(drainMs(drain, 1_000_000)).toBe(5_000)
  })

  it('is not known at first, after a silence, or where nothing is done', () => {
    expect(drainMs(beginDrain, 100)).toBe(100)
    const once = lookAtDrain(beginDrain, 1_000, 500)
    expect(drainMs(once, 100)).toBe(100)
    expect(drainMs(lookAtDrain(once, 10_000, 600), 100)).toBe(100)
    expect(drainMs(lookAtDrain(once, 1_500, 500), 100)).toBe(100)
  })

  it('is not looked at more often than is of use', () => {
    const drain = lookAtDrain(beginDrain, 1_000, 500)
    expect(lookAtDrain(drain, 1_099, 10_000)).toBe(drain)
  })

  it('is a whole number of milliseconds, within reason', () => {
    expect([0, 12.3, 1e9].map(withinReason)).toEqual([10, 12, 5_000])
  })
})
