import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkLease, endLease, extendLease, newLease, serveFrom, type ReadLease } from '../../src/core/read-lease.ts'

const termMs = 500
const day = 86_400_000

/** An owner's two clocks and its lease. */
class Owner {
  wallMs = day
  monotonicMs = 1_000
  lease: ReadLease = newLease(termMs, { wallMs: this.wallMs, monotonicMs: this.monotonicMs })

  pass(ms: number): this {
    this.wallMs += ms
    this.monotonicMs += ms
    return this
  }

  /** An append that was sent so long ago is committed now. */
  committed(agoMs = 0): this {
    this.lease = extendLease(this.lease, this.monotonicMs - agoMs)
    return this
  }

  holds(): boolean {
    const [lease, valid] = checkLease(this.lease, { wallMs: this.wallMs, monotonicMs: this.monotonicMs })
    this.lease = lease
    return valid
  }
}

describe('a read lease (O3)', () => {
  it('is not there before an append of this ownership is committed', () => {
    expect(new Owner().holds()).toBe(false)
    expect(new Owner().pass(10).committed(11).holds()).toBe(false)
    expect(new Owner().pass(10).committed(10).holds()).toBe(true)
  })

  it('runs for its term from before the sending of the append, however late that was acknowledged', () => {
    const owner = new Owner().committed()
    expect(owner.pass(termMs - 1).holds()).toBe(true)
    expect(owner.pass(1).holds()).toBe(false)
    expect(new Owner().pass(termMs).committed(termMs).holds()).toBe(false)
    expect(
      new Owner()
        .pass(termMs)
        .committed(termMs - 1)
        .holds(),
    ).toBe(true)
  })

  it('is extended by later appends, and never shortened by the word of an earlier one', () => {
    const owner = new Owner().committed()
    owner.pass(400).committed(100)
    expect(owner.pass(399).holds()).toBe(true)
    owner.committed(399 + 400)
    expect(owner.holds()).toBe(true)
    expect(owner.pass(1).holds()).toBe(false)
    expect(owner.committed().holds()).toBe(true)
  })

  it.each([
    ['the wall clock leaps forward', termMs / 4 + 1, 0],
    ['the wall clock is set back', -termMs / 4 - 1, 0],
    ['the monotonic clock stood still while this process did', termMs, 0],
  ])('ends at once when %s', (_, wallMs) => {
    const owner = new Owner().committed()
    owner.wallMs += wallMs
    expect(owner.holds()).toBe(false)
    // It stays over, also when the clocks agree from now on.
    expect(owner.pass(1).holds()).toBe(false)
  })

  it('bears with a quarter of its term between the clocks', () => {
    for (const wallMs of [termMs / 4, -termMs / 4]) {
      const owner = new Owner().committed()
      owner.wallMs += wallMs
      expect(owner.holds()).toBe(true)
    }
  })

  it('is not extended after a disagreement by what was sent before it was seen', () => {
    const owner = new Owner().committed()
    owner.pass(10).wallMs += termMs
    expect(owner.holds()).toBe(false)
    owner.pass(5)
    expect(owner.committed(6).holds()).toBe(false)
    expect(owner.committed(15).holds()).toBe(false)
    expect(owner.committed(5).holds()).toBe(true)
  })

  it('takes small steps of the wall clock one by one, measured against where it last was found', () => {
    const owner = new Owner().committed()
    owner.wallMs += termMs
    expect(owner.holds()).toBe(false)
    owner.pass(1).committed()
    owner.wallMs += termMs / 4
    expect(owner.holds()).toBe(true)
    owner.wallMs += 1
    expect(owner.holds()).toBe(false)
  })

  it('is over for good before a hand-off is sent, whatever is committed after', () => {
    const owner = new Owner().committed()
    owner.lease = endLease(owner.lease)
    expect(owner.holds()).toBe(false)
    expect(owner.pass(10).committed().holds()).toBe(false)
    owner.wallMs += day
    expect(owner.holds()).toBe(false)
    expect(owner.pass(10).committed().holds()).toBe(false)
  })
})

describe('a claimer (O4)', () => {
  it('waits 1.1 terms from when it saw the last valid record itself', () => {
    expect(serveFrom(2_000, termMs, false)).toBeCloseTo(2_550, 9)
  })

  it('waits for nobody after a hand-off, or where nobody owned it', () => {
    expect(serveFrom(2_000, termMs, true)).toBe(2_000)
  })
})

/** Real time seen through a clock of another rate, off by an offset. */
const clockOf = (rate: number, offset: number) => (realMs: number) => offset + realMs * rate

describe('an owner and who claims after it (O3, O4)', () => {
  /** Of two clocks, the faster runs at most 10 % faster than the slower. */
  const rates = fc.tuple(
    fc.double({ min: 0.9, max: 1.1, noNaN: true }),
    fc.double({ min: 1 / 1.1, max: 1.1, noNaN: true }),
  )
  const append = fc.record({ gapMs: fc.nat({ max: 400 }), tookMs: fc.nat({ max: 900 }) })
  const world = {
    rates,
    offsets: fc.tuple(fc.nat({ max: day }), fc.nat({ max: day })),
    appends: fc.array(append, { minLength: 1, maxLength: 12 }),
    seenAfterMs: fc.nat({ max: 300 }),
    looks: fc.array(fc.nat({ max: 20_000 }), { minLength: 10, maxLength: 40 }),
  }

  /** Real times: when the owner could have used its lease last, and when the claimer serves. */
  function play(run: {
    rates: [number, number]
    offsets: [number, number]
    appends: { gapMs: number; tookMs: number }[]
    seenAfterMs: number
    looks: number[]
  }): { servedAt: number[]; claimerServesAt: number } {
    const [ownerRate, ratio] = run.rates
    const ownerClock = clockOf(ownerRate, run.offsets[0])
    const claimerClock = clockOf(ownerRate * ratio, run.offsets[1])
    const events: { at: number; sentAt?: number }[] = run.looks.map((at) => ({ at }))
    let sentAt = 0
    let lastStoredAt = 0
    for (const { gapMs, tookMs } of run.appends) {
      sentAt += gapMs
      // The log has it at once, and the owner learns of it later; or the other way round, nearly.
      lastStoredAt = Math.max(lastStoredAt, sentAt)
      events.push({ at: sentAt + tookMs, sentAt })
    }
    const instant = (real: number) => ({ wallMs: day + ownerClock(real), monotonicMs: ownerClock(real) })
    let lease = newLease(termMs, instant(0))
    const servedAt: number[] = []
    for (const { at, sentAt } of events.sort((a, b) => a.at - b.at)) {
      if (sentAt !== undefined) lease = extendLease(lease, ownerClock(sentAt))
      const [checked, valid] = checkLease(lease, instant(at))
      lease = checked
      if (valid) servedAt.push(at)
    }
    const sawLastAt = lastStoredAt + run.seenAfterMs
    const from = serveFrom(claimerClock(sawLastAt), termMs, false)
    const claimerServesAt = (from - run.offsets[1]) / (ownerRate * ratio)
    return { servedAt, claimerServesAt }
  }

  it('never answer at the same time, for any clocks whose rates differ by up to 10 %', () => {
    fc.assert(
      fc.property(fc.record(world), (run) => {
        const { servedAt, claimerServesAt } = play(run)
        for (const at of servedAt) expect(at).toBeLessThan(claimerServesAt + 1e-6)
      }),
      { numRuns: 2_000 },
    )
  })

  it('would, without the tenth that a claimer waits longer', () => {
    // The owner's clock is slow: its 500 ms last 549 ms.
    const run = { rates: [0.911, 1.0976] as [number, number], offsets: [0, 0] as [number, number], seenAfterMs: 0 }
    const { servedAt, claimerServesAt } = play({ ...run, appends: [{ gapMs: 0, tookMs: 0 }], looks: [540] })
    expect(servedAt).toContain(540)
    expect(claimerServesAt).toBeGreaterThan(540)
    expect(claimerServesAt - (termMs * 0.1) / (0.911 * 1.0976)).toBeLessThan(540)
  })
})
