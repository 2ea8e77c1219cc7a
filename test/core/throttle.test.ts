import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { idleThrottle, throttleAfter, throttleWaitMs } from '../../src/core/throttle.ts'

describe('a throttle', () => {
  it('lets the first piece go at once, and each later one when those before have had their time', () => {
    let throttle = throttleAfter(idleThrottle, 500, 1_000, 10)
    expect(throttleWaitMs(throttle, 10)).toBe(500)
    expect(throttleWaitMs(throttle, 510)).toBe(0)
    throttle = throttleAfter(throttle, 500, 1_000, 300)
    expect(throttleWaitMs(throttle, 300)).toBe(710)
  })

  it('has no bound where that is infinite', () => {
    expect(throttleWaitMs(throttleAfter(idleThrottle, 1e9, Number.POSITIVE_INFINITY, 5), 5)).toBe(0)
  })

  it('lets no more go over any stretch than its length allows and one piece (Q1)', () => {
    const pieces = fc.array(fc.record({ bytes: fc.nat({ max: 5_000 }), idleMs: fc.nat({ max: 300 }) }), {
      minLength: 2,
      maxLength: 30,
    })
    fc.assert(
      fc.property(pieces, fc.integer({ min: 10, max: 100_000 }), (given, bytesPerSecond) => {
        let throttle = idleThrottle
        let nowMs = 0
        const gone: { atMs: number; bytes: number }[] = []
        for (const { bytes, idleMs } of given) {
          nowMs += idleMs + throttleWaitMs(throttle, nowMs + idleMs)
          gone.push({ atMs: nowMs, bytes })
          throttle = throttleAfter(throttle, bytes, bytesPerSecond, nowMs)
        }
        gone.forEach((first, from) => {
          let sum = 0
          for (const { atMs, bytes } of gone.slice(from)) {
            expect(sum).toBeLessThanOrEqual(((atMs - first.atMs) * bytesPerSecond) / 1_000 + 0.01)
            sum += bytes
          }
        })
      }),
    )
  })
})
