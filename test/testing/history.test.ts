import { describe, expect, it } from 'vitest'
import { errorCodes } from '../../src/protocol/errors.ts'
import { History, outcomeOf } from '../../src/testing/check/history.ts'

describe('a history', () => {
  it('gives back what was written down, key by key, in the order of the invocations', () => {
    const history = new History<string, number>()
    const [a, b, c, d] = [
      history.invoke('x', 'k', 'first', 1),
      history.invoke('y', 'other', 'second', 2),
      history.invoke('y', 'k', 'third', 3),
      history.invoke('x', 'k', 'fourth', 5),
    ]
    history.failed(c, 'RETRY')
    history.ok(a, 42, 4)
    history.unknown(b)
    const ofK = [
      { client: 'x', key: 'k', input: 'first', invokedMs: 1, outcome: { kind: 'ok', output: 42, returnedMs: 4 } },
      { client: 'y', key: 'k', input: 'third', invokedMs: 3, outcome: { kind: 'failed', code: 'RETRY' } },
      { client: 'x', key: 'k', input: 'fourth', invokedMs: 5, outcome: { kind: 'unknown' } },
    ]
    expect(history.of('k')).toEqual(ofK)
    expect([...history].map(({ input }) => input)).toEqual(['first', 'third', 'fourth', 'second'])
    expect([...history.keys()]).toEqual(['k', 'other'])
    expect(history.size).toBe(4)
    expect(history.of('none')).toEqual([])
    history.ok(d, 43, 5)
    expect(history.of('k')[2]!.outcome).toEqual({ kind: 'ok', output: 43, returnedMs: 5 })
  })

  it('refuses a second outcome, and a return before the invocation (H1)', () => {
    const history = new History<null, null>()
    const id = history.invoke('x', 'k', null, 10)
    expect(() => history.ok(id, null, 9)).toThrow(RangeError)
    expect(() => history.ok(id, null, Number.NaN)).toThrow(RangeError)
    history.ok(id, null, 10)
    expect(() => history.ok(id, null, 11)).toThrow(RangeError)
    expect(() => history.unknown(id)).toThrow(RangeError)
    expect(() => history.unknown(7)).toThrow(RangeError)
  })

  it('lets go of a key whose operations have all ended, and gives their places to others (H3)', () => {
    const history = new History<number, number>()
    for (let round = 0; round < 100; round++) {
      const ids = Array.from({ length: 100 }, (_, i) => history.invoke('x', `k${round}`, i, i))
      expect(Math.max(...ids)).toBeLessThan(100)
      expect(() => history.take(`k${round}`)).toThrow(RangeError)
      for (const id of ids) history.ok(id, id, 200)
      expect(history.take(`k${round}`)).toHaveLength(100)
      expect(() => history.unknown(ids[0]!)).toThrow(RangeError)
    }
    expect([history.size, ...history.keys()]).toEqual([0])
  })

  it('keeps a million operations of a thousand keys apart (H3)', () => {
    const history = new History<number, number>()
    for (let i = 0; i < 1_000_000; i++) history.ok(history.invoke('x', `k${i % 1_000}`, i, i), -i, i + 1)
    const one = history.take('k7')
    expect(one).toHaveLength(1_000)
    expect(one.every(({ input }, i) => input === 1_000 * i + 7)).toBe(true)
    expect(history.size).toBe(999_000)
  })
})

it('an error says that nothing happened, but for those that cannot know (H2)', () => {
  const unknown = errorCodes.filter((code) => outcomeOf(code).kind === 'unknown')
  expect(unknown).toEqual(['UNKNOWN', 'INTERNAL'])
  expect(outcomeOf('RETRY')).toEqual({ kind: 'failed', code: 'RETRY' })
})
