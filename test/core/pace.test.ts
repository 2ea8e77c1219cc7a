import { describe, expect, it } from 'vitest'
import { lookAtPace, restingPace, unknownPace, type Pace } from '../../src/core/pace.ts'

/** Looks every so many ms, each at as many turns more. */
function look(pace: Pace, times: number, everyMs: number, turns: number): Pace {
  let seen = pace.atMs === undefined ? lookAtPace(pace, 0, pace.begun) : pace
  for (let i = 0; i < times; i++) seen = lookAtPace(seen, seen.atMs! + everyMs, seen.begun + turns)
  return seen
}

describe('the pace of turns', () => {
  it('is not known before a quarter of a second of it was seen, and then what that was (P2)', () => {
    expect(look(unknownPace, 24, 10, 5).msPerTurn).toBe(0)
    expect(look(unknownPace, 25, 10, 5).msPerTurn).toBe(2)
  })

  it('follows what changes', () => {
    const fast = look(unknownPace, 25, 10, 10)
    expect(fast.msPerTurn).toBe(1)
    expect(look(fast, 25, 10, 1).msPerTurn).toBe(10)
    expect(look(look(fast, 25, 10, 1), 25, 10, 10).msPerTurn).toBe(1)
  })

  it('takes a process that was stopped for no slow one (P1)', () => {
    expect(look(look(unknownPace, 10, 10, 10), 2, 60_000, 100).msPerTurn).toBe(1)
  })

  it('is what it was after a rest, which counts for nothing', () => {
    const busy = look(unknownPace, 25, 10, 10)
    const again = lookAtPace(restingPace(busy), 90_000, busy.begun + 5_000)
    expect(again).toEqual({ ...busy, atMs: 90_000, begun: busy.begun + 5_000 })
  })

  it('waits for turns where none begin', () => {
    expect(look(unknownPace, 100, 10, 0).msPerTurn).toBe(0)
  })
})
