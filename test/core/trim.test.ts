import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkTrim, defaultRetention, Retention, retentionOf, trimPoint, type TrimFacts } from '../../src/core/trim.ts'
import { partitionId, seq } from '../../src/protocol/ids.ts'

const facts = (changes: Partial<TrimFacts> = {}): TrimFacts => ({
  first: seq(1),
  snapshots: [{ validSeq: seq(900) }, { validSeq: seq(500) }],
  published: seq(950),
  keptFrom: seq(800),
  ...changes,
})

describe('the point up to which a log may be trimmed', () => {
  it('is the record of the older of the kept snapshots, which stays (R1)', () => {
    expect(trimPoint(facts())).toBe(500)
    expect(trimPoint(facts({ snapshots: [{ validSeq: seq(900) }], keptFrom: seq(2_000) }))).toBe(900)
  })

  it('is none without a snapshot (R1)', () => {
    expect(trimPoint(facts({ snapshots: [] }))).toBeNull()
  })

  it('keeps what has not been published (R2)', () => {
    expect(trimPoint(facts({ published: seq(300) }))).toBe(301)
    expect(trimPoint(facts({ published: seq(0) }))).toBeNull()
  })

  it('keeps what is kept for watchers (R3)', () => {
    expect(trimPoint(facts({ keptFrom: seq(400) }))).toBe(400)
    expect(trimPoint(facts({ keptFrom: seq(0) }))).toBeNull()
  })

  it('is none where the log begins there already', () => {
    expect(trimPoint(facts({ first: seq(499) }))).toBe(500)
    for (const first of [500, 501]) expect(trimPoint(facts({ first: seq(first) }))).toBeNull()
  })

  it('never passes anything that is still needed, whatever is known', () => {
    const n = fc.nat({ max: 50 }).map(seq)
    const snapshot = fc.record({ validSeq: fc.integer({ min: 1, max: 50 }).map(seq) })
    fc.assert(
      fc.property(n, fc.array(snapshot, { maxLength: 2 }), n, n, (first, snapshots, published, keptFrom) => {
        const point = trimPoint({ first, snapshots, published, keptFrom })
        if (point === null) return
        expect(point).toBeGreaterThan(first)
        for (const { validSeq } of snapshots) expect(point).toBeLessThanOrEqual(validSeq)
        expect(point).toBeLessThanOrEqual(published + 1)
        expect(point).toBeLessThanOrEqual(keptFrom)
      }),
    )
  })
})

describe('what is kept for watchers', () => {
  it('is a day and a gigabyte for a cluster, shared by its partitions', () => {
    expect(defaultRetention).toEqual({ ageMs: 24 * 3_600_000, bytes: 2 ** 30 })
    expect(retentionOf(defaultRetention, 16)).toEqual({ ageMs: 86_400_000, bytes: 67_108_864 })
  })

  it('is everything before anything is known to be old', () => {
    const retention = new Retention({ ageMs: 1_000, bytes: 1_000 })
    expect(retention.keptFrom(1e9)).toBe(0)
    retention.note(seq(70), 5_000, 10)
    expect(retention.keptFrom(5_500)).toBe(0)
    // What lies before the first that was seen is older than that.
    expect(retention.keptFrom(6_001)).toBe(70)
  })

  it('never lets go of what is young and within the bytes, and in time of all else, with few marks (R3, R5)', () => {
    const record = fc.record({ bytes: fc.integer({ min: 1, max: 400 }), afterMs: fc.nat({ max: 40 }) })
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 800 }), (records) => {
        const settings = { ageMs: 2_000, bytes: 20_000 }
        const retention = new Retention(settings)
        const seen: { seq: number; time: number; bytes: number }[] = []
        let time = 10_000
        for (const { bytes, afterMs } of records) {
          time += afterMs
          seen.push({ seq: seen.length + 1, time, bytes })
          retention.note(seq(seen.length), time, bytes)
        }
        const keptFrom = retention.keptFrom(time)
        let behind = 0
        for (const each of seen.toReversed()) {
          behind += each.bytes
          const needed = time - each.time <= settings.ageMs && behind <= settings.bytes
          if (needed) expect(keptFrom).toBeLessThanOrEqual(each.seq)
          // A mark and a record late at most.
          const long = time - each.time > settings.ageMs + 60 || behind > settings.bytes + 1_000
          if (long) expect(keptFrom).toBeGreaterThan(each.seq)
        }
        expect(retention.size).toBeLessThan(520)
      }),
    )
  })
})

describe('the check of adapters', () => {
  it('takes the records of a log, and refuses all else as INVALID', () => {
    for (const first of [1, 5, 9]) expect(() => checkTrim(partitionId(3), first, 9)).not.toThrow()
    for (const first of [0, -1, 10, 1.5, Number.NaN]) {
      expect(() => checkTrim(partitionId(3), first, 9)).toThrow(
        expect.objectContaining({ code: 'INVALID', message: expect.stringContaining('partition 3') }),
      )
    }
  })
})
