import { describe, expect, it } from 'vitest'
import { ageMs, isThere, type Confirmed } from '../../src/core/freshness.ts'
import { epoch, generation, seq } from '../../src/protocol/ids.ts'

const at = (monotonicMs: number, wallMs = monotonicMs) => ({ monotonicMs, wallMs })

describe('the age of a standby', () => {
  it('counts from when the owner was asked, in whole milliseconds, rounded up (G1)', () => {
    expect(ageMs(at(100), at(100))).toBe(0)
    expect(ageMs(at(100), at(100.2))).toBe(1)
    expect(ageMs(at(100), at(350))).toBe(250)
  })

  it('counts by the clock by which more time has passed, and is never below 0 (G2)', () => {
    expect(ageMs(at(100, 1_000), at(110, 9_000))).toBe(8_000)
    expect(ageMs(at(100, 1_000), at(600, 900))).toBe(500)
    expect(ageMs(at(100, 1_000), at(100, 500))).toBe(0)
  })
})

describe('what expires, as a standby sees it (G3)', () => {
  const confirmed: Confirmed = {
    generation: generation('g1'),
    epoch: epoch(2),
    seq: seq(9),
    time: 10_000,
    askedAt: at(0),
  }
  const position = { time: 10_050, epoch: epoch(2) }
  const there = (expiresAt: number, nowMs = 0, of = position) => isThere(expiresAt, confirmed, of, at(nowMs))

  it('is gone once the time of the owner, or of a record, is past it', () => {
    expect(there(10_050)).toBe(false)
    expect(there(10_000, 500, { ...position, time: 0 })).toBe(false)
  })

  it('is there while no owner can have said that it is gone, also if its clock is a little faster', () => {
    expect(there(11_000)).toBe(true)
    expect(there(11_000, 900)).toBe(true)
    expect(there(11_000, 970)).toBeUndefined()
    expect(there(11_000, 2_000)).toBeUndefined()
  })

  it('cannot be told after another claim than that of the owner that was asked', () => {
    expect(there(99_000, 0, { ...position, epoch: epoch(3) })).toBeUndefined()
    expect(there(10_050, 0, { ...position, epoch: epoch(3) })).toBe(false)
  })
})
