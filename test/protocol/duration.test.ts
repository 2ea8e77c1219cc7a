import { describe, expect, it } from 'vitest'
import { durationMs, type Duration } from '../../src/protocol/duration.ts'

describe('a duration', () => {
  it.each<[Duration, number]>([
    [0, 0],
    [1.5, 1.5],
    [250, 250],
    ['200ms', 200],
    ['2s', 2_000],
    ['0.5s', 500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['30d', 2_592_000_000],
  ])('%s is %d milliseconds', (text, ms) => {
    expect(durationMs(text, 'the timeout')).toBe(ms)
  })

  it.each([-1, Number.NaN, Infinity, '', '5', '5 s', '-5s', '5S', '1e3s', 's', '5s ', null, undefined, {}, 5n])(
    'is not %s',
    (value) => {
      expect(() => durationMs(value as Duration, 'the timeout')).toThrow(
        expect.objectContaining({ code: 'INVALID', message: expect.stringContaining('the timeout') as string }),
      )
    },
  )

  it('is a hundred years at most', () => {
    expect(durationMs('36600d', 'the timeout')).toBe(36_600 * 86_400_000)
    for (const longer of ['36601d', 1e16, Number.MAX_SAFE_INTEGER, Number.MAX_VALUE] as const) {
      expect(() => durationMs(longer, 'the timeout')).toThrow(
        expect.objectContaining({ code: 'INVALID', message: expect.stringContaining('100 years') as string }),
      )
    }
  })

  it('has a unit that the type knows', () => {
    // @ts-expect-error weeks are no unit
    expect(() => durationMs('2w', 'the timeout')).toThrow()
  })
})
