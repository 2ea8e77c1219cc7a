import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultDetectorSettings, heard, noArrivals, phi, suspectPhi, type Arrivals } from '../../src/core/detector.ts'

const settings = defaultDetectorSettings

/** Arrivals with these intervals, and the time of the last. */
const after = (intervals: readonly number[], from = 1_000): readonly [Arrivals, number] => {
  let now = from
  let arrivals = heard(noArrivals, now)
  for (const interval of intervals) {
    now += interval
    arrivals = heard(arrivals, now)
  }
  return [arrivals, now]
}

const steady = (intervalMs: number, count = 100) => after(new Array<number>(count).fill(intervalMs))

/** The silence after which phi reaches the level of suspicion. */
const patience = ([arrivals, now]: readonly [Arrivals, number], lagMs = 0) => {
  let silence = 0
  while (phi(arrivals, now + silence, lagMs) < suspectPhi) {
    silence += 10
    if (silence > 100_000) throw new Error('it is never suspected')
  }
  return silence
}

const intervals = fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 150 })

describe('phi', () => {
  it('is 0 before anything was heard, and low right after a heartbeat (D4)', () => {
    expect(phi(noArrivals, 1e9, 0)).toBe(0)
    const [arrivals, now] = steady(200)
    expect(phi(arrivals, now, 0)).toBeLessThan(0.01)
  })

  it('never falls while nothing is heard, and is a number for any silence (D4)', () => {
    fc.assert(
      fc.property(intervals, fc.nat(1e6), fc.nat(1e6), (list, a, b) => {
        const [arrivals, now] = after(list)
        const early = phi(arrivals, now + Math.min(a, b), 0)
        const late = phi(arrivals, now + Math.max(a, b), 0)
        expect(late).toBeGreaterThanOrEqual(early)
        expect(early).toBeGreaterThanOrEqual(0)
        expect(Number.isFinite(phi(arrivals, now + 1e12, 0))).toBe(true)
        expect(phi(arrivals, now + 1e12, 0)).toBeGreaterThan(suspectPhi)
      }),
    )
  })

  it('is −log₁₀ of the normal tail: 0.301 at the mean, 2.87 at three deviations', () => {
    const [arrivals, now] = steady(200, 1_000)
    // A steady member: mean 200, deviation at its least.
    const mean = 200 + settings.pauseMs
    expect(phi(arrivals, now + mean + 4, 0)).toBeCloseTo(0.301, 1)
    expect(phi(arrivals, now + mean + 4 + 3 * settings.leastDeviationMs, 0)).toBeCloseTo(2.87, 1)
  })

  it('suspects a steady member about a second after it fell silent, and not for a pause (D2, D3)', () => {
    expect(patience(steady(200))).toBeGreaterThan(200 + settings.pauseMs)
    expect(patience(steady(200))).toBeLessThan(1_500)
  })

  it('has more patience with an irregular member', () => {
    const irregular = after(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 50 : 1_000)))
    expect(patience(irregular)).toBeGreaterThan(patience(steady(525)) + 500)
  })

  it('has more patience by as much as the own event loop was late (D3)', () => {
    const lagged = patience(steady(200), 3_000) - patience(steady(200))
    expect(lagged).toBe(3_000)
  })

  it('suspects after the first heartbeat, too, when no second one comes', () => {
    expect(patience(after([]))).toBeLessThan(5_000)
  })
})

describe('the window', () => {
  it('forgets all but the last samples (D1)', () => {
    fc.assert(
      fc.property(intervals, (list) => {
        const [arrivals] = after(list)
        expect(arrivals.intervals).toEqual(list.slice(-settings.samples))
      }),
    )
    const [changed] = after([...new Array<number>(100).fill(2_000), ...new Array<number>(100).fill(200)])
    expect(changed).toEqual({ ...steady(200)[0], last: changed.last })
  })

  it('does not take an absence for a sample (D1)', () => {
    const [arrivals, now] = steady(200)
    const back = heard(arrivals, now + settings.longestIntervalMs + 1)
    expect(back).toEqual({ last: now + settings.longestIntervalMs + 1, intervals: arrivals.intervals })
    const slow = heard(arrivals, now + settings.longestIntervalMs)
    expect(slow.intervals.at(-1)).toBe(settings.longestIntervalMs)
  })
})
