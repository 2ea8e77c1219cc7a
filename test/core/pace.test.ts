import { describe, expect, it } from 'vitest'
import { lookAtPace, restingPace, unitMsAt, unknownPace, workOf, type Pace } from '../../src/core/pace.ts'

/** Looks every so many ms, each at as many turns more. */
function look(pace: Pace, times: number, everyMs: number, turns: number): Pace {
  let seen = pace.rests ? lookAtPace(pace, 0, pace.begun) : pace
  for (let i = 0; i < times; i++) seen = lookAtPace(seen, seen.atMs + everyMs, seen.begun + turns)
  return seen
}

describe('the pace of turns', () => {
  it('is not known before a quarter of a second of it was seen, and then what that was (P2)', () => {
    expect(look(unknownPace, 24, 10, 5).unitMs).toBe(0)
    expect(look(unknownPace, 25, 10, 5).unitMs).toBe(2)
  })

  it('follows what changes', () => {
    const fast = look(unknownPace, 25, 10, 10)
    expect(fast.unitMs).toBe(1)
    expect(look(fast, 25, 10, 1).unitMs).toBe(10)
    expect(look(look(fast, 25, 10, 1), 25, 10, 10).unitMs).toBe(1)
  })

  it('takes a process that was stopped for no slow one (P1)', () => {
    expect(look(look(unknownPace, 10, 10, 10), 2, 60_000, 100).unitMs).toBe(1)
  })

  it('is what it was after a short rest, which counts for nothing', () => {
    const busy = look(unknownPace, 25, 10, 10)
    const resting = restingPace(busy, 300)
    expect(restingPace(resting, 500)).toEqual(resting)
    expect(unitMsAt(resting, 1_300)).toBe(1)
    expect(lookAtPace(resting, 1_300, busy.begun + 5_000)).toEqual({ ...busy, atMs: 1_300, begun: busy.begun + 5_000 })
  })

  it('is forgotten after a long one, and with it what was seen by then (P3)', () => {
    const slow = look(look(unknownPace, 25, 10, 1), 24, 10, 1)
    const resting = restingPace(slow, 500)
    expect(unitMsAt(slow, 90_000)).toBe(10)
    expect(unitMsAt(resting, 1_501)).toBe(0)
    const again = lookAtPace(resting, 1_501, slow.begun)
    expect(look(again, 24, 10, 10).unitMs).toBe(0)
    expect(look(again, 25, 10, 10).unitMs).toBe(1)
  })

  it('counts what a turn has to read as so many turns (P4)', () => {
    expect([0, 100, 2_047, 2_048, 65_536].map(workOf)).toEqual([1, 1, 1, 2, 33])
  })

  it('waits for turns where none begin', () => {
    expect(look(unknownPace, 100, 10, 0).unitMs).toBe(0)
  })
})
