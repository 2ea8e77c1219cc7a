import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { closedLoop, timeMs } from '../../bench/closed-loop.ts'
import { median, type Figure } from '../../bench/figure.ts'
import { toJson } from '../../bench/json.ts'
import { Ledger } from '../../bench/ledger.ts'
import { rate } from '../../bench/rounds.ts'
import { digits, table } from '../../bench/table.ts'

/** A clock that goes only where time is spent. */
function handTurned() {
  let nowMs = 0
  const spend = async (ms: number) => {
    await nextTurn()
    nowMs += ms
  }
  return { now: () => nowMs, spend }
}

describe('a median', () => {
  it.each([
    [[], Number.NaN],
    [[3], 3],
    [[9, 1, 10], 9],
    [[10, 2, 4, 100], 7],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected)
  })

  it('leaves the values in their order', () => {
    const values = [3, 1, 2]
    median(values)
    expect(values).toEqual([3, 1, 2])
  })
})

describe('a closed loop', () => {
  it('keeps as many operations in flight as it is wide, and counts each, also those that end late (L1)', async () => {
    let begun = 0
    let ended = 0
    let most = 0
    const { now, spend } = handTurned()
    const result = await closedLoop({ width: 7, seconds: 0.05, now }, async () => {
      most = Math.max(most, ++begun - ended)
      await spend(2)
      ended++
    })
    expect(most).toBe(7)
    expect(ended).toBe(begun)
    expect(result.operations).toBe(ended)
    expect(result.times.count).toBe(ended)
    expect(result.elapsedMs).toBe(now())
    expect(result.elapsedMs).toBeGreaterThanOrEqual(50)
  })

  it('ends with the first failure, and throws it (L2)', async () => {
    let begun = 0
    const failing = closedLoop({ width: 4, seconds: 600 }, async () => {
      if (++begun === 10) throw new Error('the tenth')
      await delay(1)
    })
    await expect(failing).rejects.toThrow('the tenth')
    expect(begun).toBeLessThan(20)
  })

  it('tells the times of the operations in milliseconds (L3)', async () => {
    const { now, spend } = handTurned()
    let calls = 0
    const { times } = await closedLoop({ width: 1, seconds: 0.5, now }, () => spend(calls++ === 0 ? 100 : 10))
    expect(timeMs(times, 50)).toBeCloseTo(10, 1)
    expect(timeMs(times, 99)).toBeCloseTo(100, 0)
  })
})

describe('rounds', () => {
  it('are as many as asked for and one to warm up, each verified (R2)', async () => {
    let verified = 0
    const verify = async () => void verified++
    await rate({ rounds: 3, seconds: 0.01 }, { width: 1, once: () => delay(1), verify })
    expect(verified).toBe(4)
  })

  it('count the time that a round takes to settle, and none that verifying takes (R2)', async () => {
    const { now, spend } = handTurned()
    const plan = { rounds: 1, seconds: 0.05, now }
    const work = { width: 1, once: () => spend(5) }
    const { value: plain } = await rate(plan, { ...work, verify: () => spend(200) })
    const { value: settled } = await rate(plan, { ...work, settle: () => spend(200) })
    expect(plain).toBe(10 / 0.05)
    expect(settled).toBe(10 / 0.25)
  })

  it('count several operations for a call that is several, and give that no times', async () => {
    const { now, spend } = handTurned()
    const plan = { rounds: 1, seconds: 0.05, now }
    const one = await rate(plan, { width: 1, once: () => spend(5) })
    const thousand = await rate(plan, { width: 1, once: () => spend(5), operations: 1_000 })
    expect(one.value).toBe(200)
    expect(thousand.value).toBe(200_000)
    expect(one.times).toBeDefined()
    expect(thousand.times).toBeUndefined()
  })

  it('fail where one cannot be verified', async () => {
    const verify = async () => {
      throw new Error('not so')
    }
    const failing = rate({ rounds: 1, seconds: 0.01 }, { width: 1, once: () => delay(1), verify })
    await expect(failing).rejects.toThrow('not so')
  })
})

describe('a ledger', () => {
  const written = () => {
    const ledger = new Ledger(3)
    for (const key of [0, 1, 1]) ledger.wrote(key)
    return ledger
  }

  it('is content with exactly what was acknowledged', async () => {
    const revs = new Map([
      ['key-0', 1],
      ['key-1', 2],
      ['key-2', 0],
    ])
    await expect(written().verify(2, async (key) => revs.get(key)!)).resolves.toBeUndefined()
    expect(written().total).toBe(3)
  })

  it.each([
    ['fewer', 1],
    ['more', 3],
  ])('throws where a key has %s writes than were acknowledged (G1)', async (_what, found) => {
    const revs = new Map([
      ['key-0', 1],
      ['key-1', found],
      ['key-2', 0],
    ])
    const verifying = written().verify(1, async (key) => revs.get(key)!)
    await expect(verifying).rejects.toThrow(`key-1 has ${found} writes after 2 acknowledged ones`)
  })

  it('throws where a key was written that nobody wrote to (G1)', async () => {
    const verifying = written().verify(1, async (key) => ({ 'key-0': 1, 'key-1': 2 })[key] ?? 1)
    await expect(verifying).rejects.toThrow('key-2 has 1 writes after 0')
  })

  it('picks every key sooner or later, and no other', () => {
    const ledger = new Ledger(10)
    const picked = new Set(Array.from({ length: 1_000 }, () => ledger.pick()))
    expect([...picked].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })
})

describe('figures', () => {
  const figures = new Map<string, Figure>([
    [
      'commands.w64',
      {
        value: 12_345.678,
        unit: '/s',
        ratio: 0.123_456,
        times: { p50Ms: 5.234, p99Ms: 9 },
        cpu: { client: 7.12, nodes: 20, servers: 0 },
      },
    ],
    ['rss.idle', { value: 99.5, unit: 'MB' }],
  ])

  it('are JSON with value, unit and, where there is one, ratio', () => {
    expect(toJson(figures)).toEqual({
      'commands.w64': { value: 12_350, unit: '/s', ratio: 0.1235 },
      'rss.idle': { value: 99.5, unit: 'MB' },
    })
  })

  it('are a table in Markdown, blank where nothing is known', () => {
    expect(table(figures).split('\n')).toEqual([
      '| figure       |  value | unit | ratio | p50 ms | p99 ms | CPU µs: client | nodes | servers |',
      '| ------------ | -----: | ---- | ----: | -----: | -----: | -------------: | ----: | ------: |',
      '| commands.w64 | 12,346 | /s   | 0.123 |   5.23 |      9 |           7.12 |    20 |         |',
      '| rss.idle     |   99.5 | MB   |       |        |        |                |       |         |',
    ])
  })

  it.each([
    [1_234.5, '1,235'],
    [99.94, '99.9'],
    [0.012_34, '0.0123'],
    [Number.NaN, ''],
    [undefined, ''],
  ])('%d is printed as "%s"', (value, text) => {
    expect(digits(value)).toBe(text)
  })
})
