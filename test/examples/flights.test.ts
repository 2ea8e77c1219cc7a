import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { differences } from '../../examples/flights/check.ts'
import { expectedTotals, totalRevs, type Totals } from '../../examples/flights/expectation.ts'
import { loadFlights } from '../../examples/flights/flights.ts'
import { Follower } from '../../examples/flights/follower.ts'
import { Ledger } from '../../examples/flights/ledger.ts'
import { Meter } from '../../examples/flights/meter.ts'
import type { PlainChange } from '../../examples/flights/plain-nats.ts'
import { parseOptions } from '../../examples/flights/options.ts'
import { verdict } from '../../examples/flights/report.ts'
import { importsOf } from '../support/syntax.ts'

describe('the options', () => {
  it('are 20,000 flights at 1,500 a second, embedded, where nothing is said', () => {
    expect(parseOptions([])).toEqual({ nats: false, rate: 1_500, flights: 20_000, keep: false })
  })

  it('are read as they are given', () => {
    const args = ['--nats', '--rate', 'max', '--flights', '30', '--keep']
    expect(parseOptions(args)).toEqual({ nats: true, rate: Number.POSITIVE_INFINITY, flights: 30, keep: true })
  })

  it.each([
    [['--rate', '0'], '--rate is a number above 0 or "max", not "0"'],
    [['--rate', 'fast'], '--rate is a number above 0 or "max", not "fast"'],
    [['--flights', '29'], '--flights is a whole number from 30 to 20000, not "29"'],
    [['--flights', '20001'], '--flights is a whole number from 30 to 20000, not "20001"'],
    [['--flights', '99.5'], '--flights is a whole number from 30 to 20000, not "99.5"'],
    [['--bare'], "Unknown option '--bare'"],
    [['many'], "Unexpected argument 'many'"],
  ])('%j are refused', (args, sentence) => {
    expect(() => parseOptions(args)).toThrow(sentence)
  })
})

describe('the expectation', () => {
  it('is computed from the file alone', async () => {
    const flights = await loadFlights(20_000)
    expect(flights).toHaveLength(20_000)
    const expected = expectedTotals(flights)
    expect(expected.size).toBe(224 + 2_977)
    expect(totalRevs(expected)).toBe(60_000)
    const fromDfw = flights.filter(({ origin }) => origin === 'DFW')
    const toDfw = flights.filter(({ destination }) => destination === 'DFW')
    expect(expected.get('airport/DFW')).toEqual({
      state: {
        departures: fromDfw.length,
        arrivals: toDfw.length,
        delay: [...fromDfw, ...toDfw].reduce((sum, { delay }) => sum + delay, 0),
      },
      rev: fromDfw.length + toDfw.length,
    })
  })
})

describe('the check', () => {
  const flights = [
    { origin: 'A', destination: 'B', delay: 5 },
    { origin: 'B', destination: 'A', delay: -2 },
  ]
  const expected = expectedTotals(flights)
  const tampered = (actor: string, change: (totals: Totals) => Totals) =>
    new Map([...expected].map(([name, totals]) => [name, name === actor ? change(totals) : totals]))
  const check = (actual: ReadonlyMap<string, Totals>) => differences('the cluster', expected, actual)

  it('finds nothing where nothing is wrong', () => {
    expect(check(new Map(expected))).toEqual([])
    expect(verdict(4, 6, [])).toMatch(/^OK: /)
  })

  it.each<[string, (totals: Totals) => Totals, string]>([
    [
      'a count',
      ({ state, rev }) => ({ state: { ...state, departures: 2 }, rev }),
      'has departures 2, and the file gives 1',
    ],
    ['a sum', ({ state, rev }) => ({ state: { ...state, delay: 4 }, rev }), 'has delay 4, and the file gives 3'],
    ['a rev', ({ state }) => ({ state, rev: 3 }), 'has rev 3, and the file gives 2'],
    [
      'a count that is gone',
      ({ state: { departures, delay }, rev }) => ({ state: { departures: departures!, delay: delay! }, rev }),
      'has arrivals missing, and the file gives 1',
    ],
    ['too much', ({ state, rev }) => ({ state: { ...state, x: 1 }, rev }), 'has x 1, and the file gives none'],
  ])('finds %s that is wrong', (_what, change, sentence) => {
    const found = check(tampered('airport/A', change))
    expect(found).toEqual([`airport/A: the cluster ${sentence}`])
    expect(verdict(4, 6, found)).toMatch(/FAILED: 1 difference$/)
  })

  it('finds an actor that is missing, and one that should not be', () => {
    const actual = new Map(expected)
    actual.delete('route/A-B')
    actual.set('route/B-C', { state: { flights: 1, delay: 0 }, rev: 1 })
    expect(check(actual)).toEqual([
      'route/A-B: the cluster does not know it',
      'route/B-C: the cluster knows it, and the file has no such flight',
    ])
  })
})

const changeOf = (key: string, rev: number, cursor = '0-g-1-0'): PlainChange => ({
  ...{ type: 'airport', key, rev, cursor },
  state: { delay: rev },
})

describe('the ledger', () => {
  it('takes each rev of an actor once and in order (L1)', () => {
    const ledger = new Ledger()
    expect([1, 1, 3, 2, 3, 2].map((rev) => ledger.take(changeOf('A', rev)))).toEqual([
      'taken',
      'repeated',
      'gap',
      'taken',
      'taken',
      'repeated',
    ])
    expect(ledger.take(changeOf('B', 1))).toBe('taken')
    expect(ledger.taken).toBe(4)
    expect(ledger.totals.get('airport/A')).toEqual({ state: { delay: 3 }, rev: 3 })
  })
})

describe('the follower', () => {
  /** A log of one partition. Its cursors count from 1, and a page has two changes at most. */
  const logOf = (keys: readonly string[]) => {
    const revs = new Map<string, number>()
    const log = keys.map((key, i) => {
      const rev = (revs.get(key) ?? 0) + 1
      revs.set(key, rev)
      return changeOf(key, rev, `0-g-${i + 1}-0`)
    })
    const pulled: string[] = []
    let head = log.length
    const pull = async (_partition: number, from: string) => {
      pulled.push(from)
      const at = from === 'start' ? 0 : Number(from.split('-')[2])
      const changes = log.slice(at, Math.min(at + 2, head))
      const next = at + changes.length
      return { changes, next: `0-g-${next}-0`, more: next < head }
    }
    return { log, revs, pulled, pull, setHead: (to: number) => (head = to) }
  }

  it('asks for nothing while nothing is missing, and ignores what it has seen (F1)', () => {
    const { log, pulled, pull } = logOf(['A', 'B', 'A'])
    const follower = new Follower(pull)
    for (const change of [...log, ...log]) follower.onChange(change)
    expect(pulled).toEqual([])
    expect(follower.report).toMatchObject({ taken: 3, repeated: 3, replays: 0, faults: [] })
  })

  it('replays from before the gap, to the head (F2, F3)', async () => {
    const { log, pulled, pull } = logOf(['A', 'A', 'B', 'A', 'A'])
    const follower = new Follower(pull)
    follower.onChange(log[0]!)
    follower.onChange(log[3]!)
    // Everything that it does now is under way already.
    await follower.replay(0)
    expect(pulled.slice(0, 2)).toEqual(['0-g-1-0', '0-g-3-0'])
    expect(follower.report).toMatchObject({ taken: 5, replays: 1, faults: [] })
  })

  it('asks once more for what was dropped while it replayed (F2)', async () => {
    const { log, pulled, pull, setHead } = logOf(['A', 'A', 'A', 'A'])
    setHead(2)
    const follower = new Follower(pull)
    const replaying = follower.replay(0)
    setHead(4)
    follower.onChange(log[3]!)
    await replaying
    expect(pulled.length).toBeGreaterThan(1)
    expect(follower.report).toMatchObject({ taken: 4, replays: 1, faults: [] })
  })

  it('takes a gap within a page for a fault (F4)', async () => {
    const { log } = logOf(['A', 'A', 'A'])
    const follower = new Follower(async () => ({ changes: [log[0]!, log[2]!], next: '0-g-3-0', more: false }))
    await follower.replay(0)
    expect(follower.report.faults).toEqual(['airport/A: after rev 1 a replay gave 3'])
  })

  it('takes a replay that cannot be had for a fault', async () => {
    const follower = new Follower(() => Promise.reject(new Error('no owner')))
    await follower.replay(7)
    expect(follower.report.faults).toEqual(['partition 7 cannot be replayed: Error: no owner'])
  })

  it('has every rev once in the end, whatever is lost and repeated on the way', async () => {
    const key = fc.constantFrom('A', 'B', 'C')
    const fate = fc.constantFrom('comes', 'comes', 'comes', 'comes twice', 'comes later', 'is lost')
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(key, fate), { maxLength: 60 }), async (script) => {
        const { log, revs, pull, setHead } = logOf(script.map(([key]) => key))
        let connect = () => {}
        let connected: Promise<void> | undefined
        const follower = new Follower(async (partition, from) => {
          await connected
          return pull(partition, from)
        })
        for (const [i, [, fate]] of script.entries()) {
          setHead(i + 1)
          if (fate === 'is lost') {
            if (connected !== undefined) continue
            connected = new Promise((resolve) => (connect = resolve))
            void follower.replay(0)
            continue
          }
          connect()
          connected = undefined
          if (fate === 'comes later') await new Promise((resolve) => setImmediate(resolve))
          if (fate === 'comes twice') for (const change of log.slice(Math.max(0, i - 3), i)) follower.onChange(change)
          follower.onChange(log[i]!)
        }
        connect()
        await follower.replay(0)
        expect(follower.report.faults).toEqual([])
        expect(follower.report.taken).toBe(script.length)
        for (const [key, rev] of revs) expect(follower.report.totals.get(`airport/${key}`)?.rev).toBe(rev)
      }),
    )
  })
})

describe('the meter', () => {
  it('gives silences and latencies to the episode in which they began (M1–M3)', () => {
    let nowMs = 0
    const meter = new Meter(() => nowMs)
    const acknowledged = (atMs: number, dueMs: number) => {
      nowMs = atMs
      meter.acknowledged(dueMs)
    }
    meter.start()
    acknowledged(100, 10)
    nowMs = 150
    const crash = meter.episode()
    // Both under way at the crash: the silence since 100, the command due at 90.
    acknowledged(400, 90)
    nowMs = 450
    const join = meter.episode()
    acknowledged(470, 160)
    acknowledged(500, 460)
    expect(crash).toMatchObject({ longestSilenceMs: 300, longestLatencyMs: 310 })
    expect(join).toMatchObject({ longestSilenceMs: 30, longestLatencyMs: 40 })
    expect(meter.count).toBe(4)
    expect(meter.elapsedMs).toBe(500)
    expect(meter.overall).toEqual({ count: 4, p50Ms: 310, p99Ms: 310, maxMs: 310 })
  })
})

describe('the watcher of the NATS mode', () => {
  it('imports nothing of Holdfast, nor does what it imports', () => {
    const seen = new Set<string>()
    const packages = new Set<string>()
    const visit = (path: string) => {
      if (seen.has(path)) return
      seen.add(path)
      for (const { specifier } of importsOf({ path, text: readFileSync(path, 'utf8') })) {
        if (specifier.startsWith('.')) visit(fileURLToPath(new URL(specifier, `file://${path}`)))
        else if (!specifier.startsWith('node:')) packages.add(specifier)
      }
    }
    visit(fileURLToPath(new URL('../../examples/flights/watcher.ts', import.meta.url)))
    expect([...seen].filter((path) => !/\/examples\/(flights\/[^/]+|support\/parent\.ts)$/.test(path))).toEqual([])
    expect([...packages].sort()).toEqual(['@nats-io/nats-core', '@nats-io/transport-node'])
  })
})
