import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NumberMap } from '../../src/core/number-map.ts'

const key = fc.oneof(
  fc.nat(40),
  fc.nat(),
  fc.maxSafeNat(),
  fc.nat(400).map((n) => n * 2 ** 32 + (Math.imul(n, 0x9e3779b1) >>> 0)),
  fc.constantFrom(0, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1),
)
const steps = fc.array(fc.tuple(fc.boolean(), key), { maxLength: 400 })

describe('a map of numbers', () => {
  it('has what a map has, whatever comes and goes (M1)', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const map = new NumberMap<number>()
        const model = new Map<number, number>()
        all.forEach(([adds, at], i) => {
          if (adds) {
            map.set(at, i)
            model.set(at, i)
          } else expect(map.delete(at)).toBe(model.delete(at))
          expect(map.size).toBe(model.size)
          expect(map.get(at)).toBe(model.get(at))
          expect(map.has(at)).toBe(model.has(at))
        })
        expect(new Map(map)).toEqual(model)
        expect(new Set(map.keys())).toEqual(new Set(model.keys()))
        expect([...map.values()].sort()).toEqual([...model.values()].sort())
        for (const [at, value] of model) expect(map.get(at)).toBe(value)
      }),
    )
  })

  it('finds neighbours that were put where others had been', () => {
    const map = new NumberMap<number>()
    for (let n = 0; n < 100_000; n++) {
      map.set(n, n)
      if (n >= 64 && !map.delete(n - 64)) expect.fail(`${n - 64} is gone`)
      if (n >= 64 && n % 997 === 0) for (let i = n - 63; i <= n; i++) expect(map.get(i)).toBe(i)
    }
    expect(map.size).toBe(64)
  })

  it('is as fast for numbers that were picked to collide (M3)', () => {
    const spread = 0x9e3779b1
    // Of one place in a table of any length: numbers whose upper word undoes what their lower one does.
    const numbers = Array.from({ length: 16_384 }, (_, high) => high * 2 ** 32 + (Math.imul(high, spread) >>> 0))
    const map = new NumberMap<number>()
    for (const n of numbers) map.set(n, n)
    // Most lie elsewhere: nothing is looked for here in more steps than there are places.
    expect(map.places).toBeLessThanOrEqual(512)
    for (const n of numbers) if (map.get(n) !== n || !map.has(n)) expect.fail(`${n} is gone`)
    expect(map.size).toBe(numbers.length)
    expect(new Set(map.keys())).toEqual(new Set(numbers))
    for (const n of numbers) if (!map.delete(n)) expect.fail(`${n} was gone`)
    expect([...map]).toEqual([])
  })

  it('takes memory for what it has, not for what it had (M2)', () => {
    const map = new NumberMap<object>()
    for (let n = 0; n < 10_000; n++) map.set(n, map)
    const most = map.places
    for (let n = 0; n < 10_000; n++) map.delete(n)
    expect(map.places).toBe(most)
    for (let n = 0; n < 40 * most; n++) {
      map.set(n, map)
      map.delete(n)
    }
    expect(map.places).toBe(8)
    expect([...map]).toEqual([])
  })
})
