import { describe, expect, it } from 'vitest'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import { clockConformance } from '../conformance/clock.ts'

clockConformance('the system clock', async () => ({ clock: new SystemClock(), close: async () => {} }))

describe('the system random', () => {
  it('is uniform in [0, 1), and never the same twice', () => {
    const random = new SystemRandom()
    const draws = Array.from({ length: 20_000 }, () => random.next())
    expect(draws.every((x) => x >= 0 && x < 1)).toBe(true)
    expect(new Set(draws).size).toBe(draws.length)
    const quarters = [0, 0, 0, 0]
    for (const x of draws) quarters[Math.floor(x * 4)]!++
    for (const count of quarters) expect(Math.abs(count - 5_000)).toBeLessThan(400)
  })

  it('gives names of 22 letters and digits, each its own', () => {
    const random = new SystemRandom()
    const ids = Array.from({ length: 5_000 }, () => random.id())
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9]{22}$/)
    expect(new Set(ids).size).toBe(ids.length)
    expect(new Set(ids.join('')).size).toBe(62)
  })
})
