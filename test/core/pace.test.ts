import { describe, expect, it } from 'vitest'
import { lookAtPace, restingPace, unknownPace } from '../../src/core/pace.ts'

describe('the pace of turns', () => {
  it('is not known before two looks, and then what they saw', () => {
    const first = lookAtPace(unknownPace, 1_000, 50)
    expect(first.msPerTurn).toBe(0)
    expect(lookAtPace(first, 1_020, 60).msPerTurn).toBe(2)
  })

  it('follows what changes, a quarter at a time (P2)', () => {
    let pace = lookAtPace(lookAtPace(unknownPace, 0, 0), 10, 10)
    expect(pace.msPerTurn).toBe(1)
    for (let look = 1; look <= 20; look++) pace = lookAtPace(pace, 10 + 50 * look, 10 + 10 * look)
    expect(pace.msPerTurn).toBeGreaterThan(4.9)
    expect(pace.msPerTurn).toBeLessThan(5)
  })

  it('takes a process that was stopped for no slow one (P1)', () => {
    const pace = lookAtPace(lookAtPace(unknownPace, 0, 0), 60_000, 100)
    expect(pace.msPerTurn).toBe(1)
  })

  it('is what it was after a rest, which counts for nothing', () => {
    const busy = lookAtPace(lookAtPace(unknownPace, 0, 0), 10, 10)
    const again = lookAtPace(restingPace(busy), 5_000, 500)
    expect(again).toEqual({ atMs: 5_000, begun: 500, msPerTurn: 1 })
  })

  it('is not asked where nothing has begun', () => {
    const pace = lookAtPace(lookAtPace(unknownPace, 0, 7), 10, 7)
    expect(pace).toEqual({ atMs: 10, begun: 7, msPerTurn: 0 })
  })
})
