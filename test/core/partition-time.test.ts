import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { advanceTime, beginTime, type PartitionTime } from '../../src/core/partition-time.ts'

/** A node's two clocks, and the partition time that goes by them. */
class Owner {
  wallMs: number
  monotonicMs: number
  time: PartitionTime

  constructor(logTimeMs: number, wallMs: number, monotonicMs = 5_000) {
    this.wallMs = wallMs
    this.monotonicMs = monotonicMs
    this.time = beginTime(logTimeMs, wallMs, monotonicMs)
  }

  /** So much passes; the time is looked at once, at its end. */
  pass(ms: number): number {
    this.wallMs += ms
    this.monotonicMs += ms
    this.time = advanceTime(this.time, this.wallMs, this.monotonicMs)
    return this.time.timeMs
  }
}

const second = 1_000

describe('the beginning of an ownership (E6)', () => {
  it('is at the time of the log or of the own wall clock, whichever is later', () => {
    expect(beginTime(100, 250, 7)).toEqual({ timeMs: 250, monotonicMs: 7 })
    expect(beginTime(900, 250, 7)).toEqual({ timeMs: 900, monotonicMs: 7 })
    expect(beginTime(0, 0, 0)).toEqual({ timeMs: 0, monotonicMs: 0 })
  })
})

describe('partition time (E6)', () => {
  it('goes with the monotonic clock while it is not ahead of the wall clock', () => {
    const owner = new Owner(0, 10_000)
    expect(owner.pass(1)).toBe(10_001)
    expect(owner.pass(60_000)).toBe(70_001)
  })

  it('runs at half speed while it is ahead, never still', () => {
    const owner = new Owner(10_000 + second, 10_000)
    expect(owner.pass(100)).toBe(11_050)
    expect(owner.pass(1)).toBe(11_050.5)
    expect(owner.pass(899)).toBe(11_500)
  })

  it('has lost its lead of a second after two, and goes at full speed from there', () => {
    const owner = new Owner(10_000 + second, 10_000)
    for (let i = 0; i < 20; i++) owner.pass(100)
    expect(owner.time.timeMs).toBe(owner.wallMs)
    expect(owner.pass(500)).toBe(owner.wallMs)
  })

  it('has lost it just the same where it was looked at only once in a while', () => {
    for (const step of [1, 7, 100, 500, 700, 999, 1_000, 1_500, 1_999, 2_000, 5_000, 60_000]) {
      const owner = new Owner(10_000 + second, 10_000)
      for (let passed = 0; passed < 2_000; passed += step) owner.pass(step)
      expect(owner.time.timeMs).toBeCloseTo(owner.wallMs, 6)
    }
  })

  it('does not leap forward with a wall clock that does', () => {
    const owner = new Owner(0, 10_000)
    owner.wallMs += 3_600_000
    expect(owner.pass(10)).toBe(10_010)
  })

  it('goes on at half speed when the wall clock is set back, until that has caught up', () => {
    const owner = new Owner(0, 10_000)
    owner.wallMs -= 5 * second
    expect(owner.pass(10 * second)).toBe(15_000)
    expect(owner.pass(1)).toBe(15_001)
  })

  it('stands where the monotonic clock stands, and does not go back with one that is wrong', () => {
    const owner = new Owner(0, 10_000)
    owner.pass(500)
    expect(owner.pass(0)).toBe(10_500)
    const back = advanceTime(owner.time, owner.wallMs, owner.monotonicMs - 100)
    expect(back.timeMs).toBe(10_500)
  })

  const look = fc.record({
    passMs: fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 10_000 })),
    jumpMs: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: -20_000, max: 20_000 })),
  })

  it('moves at half to full speed whatever the wall clock does, and never back', () => {
    fc.assert(
      fc.property(fc.nat({ max: 30_000 }), fc.array(look, { maxLength: 50 }), (lead, looks) => {
        const owner = new Owner(20_000 + lead, 20_000)
        for (const { passMs, jumpMs } of looks) {
          const before = owner.time.timeMs
          owner.wallMs += jumpMs
          const went = owner.pass(passMs) - before
          expect(went).toBeGreaterThanOrEqual(passMs / 2 - 1e-6)
          expect(went).toBeLessThanOrEqual(passMs + 1e-6)
        }
      }),
    )
  })

  it('depends on how much time has passed, not on how often it was looked at', () => {
    fc.assert(
      fc.property(fc.nat({ max: 10_000 }), fc.array(fc.nat({ max: 3_000 }), { maxLength: 20 }), (lead, steps) => {
        const often = new Owner(20_000 + lead, 20_000)
        const once = new Owner(20_000 + lead, 20_000)
        for (const step of steps) often.pass(step)
        once.pass(steps.reduce((sum, step) => sum + step, 0))
        expect(often.time.timeMs).toBeCloseTo(once.time.timeMs, 6)
      }),
    )
  })

  it('never goes back from one owner to the next, whose clocks are others', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ wall: fc.nat({ max: 100_000 }), looks: fc.array(look, { maxLength: 5 }) }), {
          maxLength: 6,
        }),
        (owners) => {
          let logTime = 0
          for (const { wall, looks } of owners) {
            const owner = new Owner(logTime, wall)
            for (const { passMs, jumpMs } of looks) {
              owner.wallMs += jumpMs
              // Records and handlers see whole milliseconds.
              const time = Math.floor(owner.pass(passMs))
              expect(time).toBeGreaterThanOrEqual(logTime)
              logTime = time
            }
          }
        },
      ),
    )
  })
})
