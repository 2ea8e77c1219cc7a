import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  beginLeaseWatch,
  dropLease,
  foundAbsent,
  judgeLeases,
  observeLease,
  quietLeases,
  registryAnswered,
  watchRestarted,
  type LeaseSettings,
  type LeaseWatch,
  type Verdict,
} from '../../src/core/leases.ts'

const settings: LeaseSettings = { termMs: 1_000, quietMs: 400, absentMs: 100, stallMs: 300, answerMs: 400 }

/** An observer on a clock, with a lease of its own that it renews while the registry is there. */
class Observer {
  watch: LeaseWatch = beginLeaseWatch
  now = 0
  #revision = 0
  #ticks = 0
  readonly #renewing = new Set<string>()

  constructor(keys: readonly string[]) {
    for (const key of keys) this.#renewing.add(key)
  }

  stopsRenewing(...keys: readonly string[]): void {
    for (const key of keys) this.#renewing.delete(key)
  }

  renews(key: string): void {
    this.#renewing.add(key)
  }

  observe(key: string): void {
    this.watch = observeLease(this.watch, key, ++this.#revision, this.now)
  }

  judge(): readonly Verdict[] {
    const [watch, verdicts] = judgeLeases(this.watch, this.now, settings)
    this.watch = watch
    return verdicts
  }

  /** Ticks of 100 ms; gives the keys that were condemned, and when first. */
  run(forMs: number, registry: 'there' | 'away' = 'there'): Map<string, number> {
    const condemned = new Map<string, number>()
    for (const end = this.now + forMs; this.now < end;) {
      this.now += 100
      if (registry === 'there') {
        this.watch = registryAnswered(this.watch, this.now, settings)
        if (++this.#ticks % 3 === 0) for (const key of this.#renewing) this.observe(key)
      }
      for (const { key } of this.judge()) if (!condemned.has(key)) condemned.set(key, this.now)
    }
    return condemned
  }
}

const five = ['me', 'a', 'b', 'c', 'd']

describe('a lease', () => {
  it('that is renewed is never condemned', () => {
    expect(new Observer(five).run(60_000)).toEqual(new Map())
  })

  it('that is not renewed for a term is, at the revision that was seen (LW2)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('b')
    const { revision } = observer.watch.observed.get('b')!
    expect(observer.run(1_000 - 100)).toEqual(new Map())
    expect(observer.run(100)).toEqual(new Map([['b', 4_000]]))
    expect(observer.judge()).toEqual([{ key: 'b', revision }])
  })

  it('is condemned again at each judgement until it is seen renewed or is dropped', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('b')
    observer.run(1_200)
    expect(observer.judge()).toHaveLength(1)
    expect(observer.judge()).toHaveLength(1)
    observer.observe('b')
    expect(observer.judge()).toEqual([])
    expect([...observer.run(1_200).keys()]).toEqual(['b'])
    observer.watch = dropLease(observer.watch, 'b')
    expect(observer.run(5_000)).toEqual(new Map())
    expect(dropLease(observer.watch, 'b')).toBe(observer.watch)
  })

  it('runs from when this observer first saw its revision, not from older news of it (LW1)', () => {
    let watch = observeLease(beginLeaseWatch, 'a', 7, 0)
    watch = observeLease(watch, 'a', 7, 900)
    watch = observeLease(watch, 'a', 6, 950)
    expect(watch.observed.get('a')).toEqual({ revision: 7, seen: 0, since: 0 })
    expect(observeLease(watch, 'a', 8, 990).observed.get('a')).toEqual({ revision: 8, seen: 990, since: 990 })
  })
})

describe('nobody is condemned', () => {
  it('for what passed while the observer itself was stopped (LW3)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('a')
    observer.run(800)
    observer.now += 10_000
    observer.watch = registryAnswered(observer.watch, observer.now, settings)
    expect(observer.judge()).toEqual([])
    const resumed = observer.now
    const condemned = observer.run(3_000)
    expect([...condemned.keys()]).toEqual(['a'])
    expect(condemned.get('a')! - resumed).toBeGreaterThanOrEqual(settings.termMs)
  })

  it('for a stall that the registry did not notice: a judgement after it starts anew (LW3)', () => {
    const observer = new Observer(['me', 'a'])
    observer.run(3_000)
    observer.stopsRenewing('a')
    observer.run(900)
    // Answers that came in together after the stall, before the judgement.
    observer.now += settings.stallMs + 1
    observer.watch = registryAnswered(observer.watch, observer.now, settings)
    expect(observer.judge()).toEqual([])
    expect([...observer.run(900).keys()]).toEqual([])
    expect([...observer.run(200).keys()]).toEqual(['a'])
  })

  it('for what passed while the watch was broken (LW3)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('a')
    observer.run(900)
    observer.watch = watchRestarted(observer.watch, observer.now)
    expect(observer.run(900)).toEqual(new Map())
    expect([...observer.run(200).keys()]).toEqual(['a'])
  })

  it('while the registry is away, nor at once when it is back (LW4)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('a')
    expect(observer.run(60_000, 'away')).toEqual(new Map())
    const back = observer.now
    const condemned = observer.run(5_000)
    expect([...condemned.keys()]).toEqual(['a'])
    expect(condemned.get('a')! - back).toBeGreaterThanOrEqual(settings.termMs)
  })

  it('before the registry has answered at all (LW4)', () => {
    let watch = observeLease(beginLeaseWatch, 'a', 1, 0)
    let verdicts: readonly Verdict[] = []
    for (let now = 0; now < 5_000; now += 100) [watch, verdicts] = judgeLeases(watch, now, settings)
    expect(verdicts).toEqual([])
  })
})

describe('when more than half expire together', () => {
  it('one more term is waited, and then they are condemned (LW5)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('a', 'b', 'c')
    const condemned = observer.run(5_000)
    expect(condemned).toEqual(
      new Map([
        ['a', 5_000],
        ['b', 5_000],
        ['c', 5_000],
      ]),
    )
  })

  it('and they come back within that term, nobody is condemned (LW5)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('a', 'b', 'c')
    expect(observer.run(1_500)).toEqual(new Map())
    for (const key of ['a', 'b', 'c']) observer.renews(key)
    expect(observer.run(10_000)).toEqual(new Map())
  })

  it('and most come back, those that did not are condemned without waiting on (LW5)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('a', 'b', 'c')
    observer.run(1_500)
    observer.renews('a')
    const from = observer.now
    const condemned = observer.run(5_000)
    expect([...condemned.keys()].sort()).toEqual(['b', 'c'])
    expect(Math.max(...condemned.values()) - from).toBeLessThanOrEqual(300)
  })

  it('a second time, a term is waited again (LW5)', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    observer.stopsRenewing('a', 'b', 'c')
    observer.run(1_500)
    for (const key of ['a', 'b', 'c']) observer.renews(key)
    observer.run(3_000)
    observer.stopsRenewing('a', 'b', 'c')
    const from = observer.now
    const condemned = observer.run(5_000)
    expect(Math.min(...condemned.values()) - from).toBeGreaterThanOrEqual(2 * settings.termMs - 300)
  })

  it('half is not more than half: the other of two nodes is condemned after one term (LW5)', () => {
    const observer = new Observer(['me', 'a'])
    observer.run(3_000)
    observer.stopsRenewing('a')
    expect(observer.run(5_000)).toEqual(new Map([['a', 4_000]]))
  })
})

describe('whatever happens', () => {
  const action = fc.oneof(
    fc.record({ what: fc.constant('run' as const), ms: fc.integer({ min: 1, max: 40 }).map((n) => n * 100) }),
    fc.record({ what: fc.constant('away' as const), ms: fc.integer({ min: 1, max: 40 }).map((n) => n * 100) }),
    fc.record({ what: fc.constant('stall' as const), ms: fc.integer({ min: 1, max: 50 }).map((n) => n * 100) }),
    fc.record({ what: fc.constant('rewatch' as const), ms: fc.constant(0) }),
  )

  it('who renews while the registry is there is never condemned, and who stopped is, after two quiet terms (LW2–LW5)', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
        const observer = new Observer(five)
        observer.run(1_000)
        observer.stopsRenewing('d')
        const condemned = new Set<string>()
        for (const { what, ms } of actions) {
          if (what === 'stall') observer.now += ms
          else if (what === 'rewatch') observer.watch = watchRestarted(observer.watch, observer.now)
          else for (const key of observer.run(ms, what === 'away' ? 'away' : 'there').keys()) condemned.add(key)
        }
        for (const key of observer.run(2 * settings.termMs + 500).keys()) condemned.add(key)
        expect([...condemned]).toEqual(['d'])
      }),
      { numRuns: 500 },
    )
  })
})

describe('a node without a connection (LW6)', () => {
  /** Asked after at each tick while it is quiet; `absent` says what is found. Gives when it was condemned. */
  function condemnedAt(observer: Observer, absent: (key: string, now: number) => boolean, forMs = 3_000) {
    for (const end = observer.now + forMs; observer.now < end;) {
      if (observer.run(100).has('b')) return observer.now
      for (const quiet of quietLeases(observer.watch, observer.now, settings)) {
        if (absent(quiet.key, observer.now)) observer.watch = foundAbsent(observer.watch, quiet, observer.now)
      }
    }
    return undefined
  }
  const quietSince = (observer: Observer) => {
    observer.run(3_000)
    observer.stopsRenewing('b')
    return observer.watch.observed.get('b')!.since
  }

  it('is condemned when it was found absent twice, and not waited for to the end of its term', () => {
    const observer = new Observer(five)
    const since = quietSince(observer)
    const at = condemnedAt(observer, (key) => key === 'b')!
    expect(at - since).toBe(settings.quietMs + 2 * settings.absentMs)
  })

  it('has its whole term where it is only silent', () => {
    const observer = new Observer(five)
    const since = quietSince(observer)
    expect(condemnedAt(observer, () => false)! - since).toBe(settings.termMs)
  })

  it('has its whole term where it was found absent once', () => {
    const observer = new Observer(five)
    const since = quietSince(observer)
    let once = false
    const found = () => !once && (once = true)
    expect(condemnedAt(observer, found)! - since).toBe(settings.termMs)
  })

  it('is not asked after while it renews, and what was found before it renewed does not count', () => {
    const observer = new Observer(five)
    observer.run(3_000)
    const asked = new Set<string>()
    expect(condemnedAt(observer, (key) => !asked.add(key))).toBeUndefined()
    expect([...asked]).toEqual([])
    quietSince(observer)
    observer.run(settings.quietMs)
    const [quiet] = quietLeases(observer.watch, observer.now, settings)
    observer.watch = foundAbsent(observer.watch, quiet!, observer.now)
    observer.renews('b')
    observer.run(300)
    observer.watch = foundAbsent(observer.watch, quiet!, observer.now)
    expect(observer.run(2_000)).toEqual(new Map())
  })

  it('is not asked after for a term after the observer was cut off itself: it may come back as well (LW3)', () => {
    const observer = new Observer(five)
    quietSince(observer)
    observer.watch = watchRestarted(observer.watch, observer.now)
    const asked: number[] = []
    const restartedAt = observer.now
    condemnedAt(observer, (_, now) => asked.push(now) === 0)
    expect(asked.every((now) => now - restartedAt >= settings.termMs)).toBe(true)
  })

  it('is not asked after for a term after the registry was away: its server may have cut off others as well', () => {
    const observer = new Observer(five)
    quietSince(observer)
    observer.run(settings.answerMs + 500, 'away')
    observer.run(100)
    const backAt = observer.now
    const at = condemnedAt(observer, () => true)!
    expect(at - backAt).toBeGreaterThanOrEqual(settings.termMs)
  })

  it('is not condemned for what was found before the registry was back', () => {
    const observer = new Observer(five)
    quietSince(observer)
    observer.run(settings.quietMs)
    for (const awayMs of [settings.answerMs + 100, 100]) {
      const [quiet] = quietLeases(observer.watch, observer.now, settings)
      observer.watch = foundAbsent(observer.watch, quiet!, observer.now)
      expect(observer.run(awayMs, 'away')).toEqual(new Map())
    }
    const backAt = observer.now
    expect(condemnedAt(observer, () => false)! - backAt).toBeGreaterThanOrEqual(settings.termMs)
  })

  it.each(['an answer', 'a judgement'])(
    'is asked after soon after a stall of the observer: %s is first after it',
    (first) => {
      const observer = new Observer(five)
      quietSince(observer)
      observer.now += 2 * settings.stallMs
      const thawedAt = observer.now
      if (first === 'a judgement') expect(observer.judge()).toEqual([])
      const at = condemnedAt(observer, (key) => key === 'b')!
      expect(at - thawedAt).toBeLessThan(settings.termMs)
    },
  )

  it('is one of those that have expired: more than half of them are waited for (LW5)', () => {
    const observer = new Observer(five)
    const since = quietSince(observer)
    observer.stopsRenewing('a', 'c')
    const at = condemnedAt(observer, (key) => key !== 'me' && key !== 'd')!
    expect(at - since).toBeGreaterThanOrEqual(settings.quietMs + settings.termMs)
  })
})
