/**
 * What every adapter of the Changelog port keeps (C1–C6), whatever it stores its records in.
 *
 * Call `changelogConformance` from the adapter's own test file; each test gets a world of its own from `makeWorld`.
 */
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AppendResult, Changelog, LogEntry, PartitionLog } from '../../src/ports/changelog.ts'
import type { Reading } from '../../src/ports/reading.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { FaultyChangelog } from '../../src/testing/faulty-changelog.ts'
import { bytes, pattern, same, text } from './bytes.ts'

export interface ChangelogWorld {
  /** The clock that the adapter runs on; only time-outs of the fault decorator use it here. */
  readonly clock: Clock
  /** A handle of one more node on the same logs. */
  connect(): Promise<Changelog>
  /** What is there of the way to the logs ends: all connections, or the server. */
  disconnect(): Promise<void>
  /** A record of so many bytes is certainly taken … */
  readonly maxRecord: number
  /** … and one of so many certainly not. */
  readonly tooLarge: number
  /** Only of adapters that outlive a restart: closes every handle, stops the server, starts it again on what it kept. */
  restart?(): Promise<void>
  close(): Promise<void>
}

export interface ChangelogTraits {
  /** The world has `restart`. */
  readonly durable: boolean
}

const p0 = partitionId(0)
const p1 = partitionId(1)
const g1 = generation('firstGeneration1234567')
const g2 = generation('otherGeneration1234567')
const genesis = bytes('genesis')

export async function entriesOf(log: PartitionLog, from: number, to: number): Promise<LogEntry[]> {
  const entries: LogEntry[] = []
  for await (const entry of log.read(seq(from), seq(to))) entries.push(entry)
  return entries
}

const textsOf = async (log: PartitionLog, from: number, to: number) =>
  (await entriesOf(log, from, to)).map((entry) => `${entry.seq}:${text(entry.record)}`)

const kinds = (results: readonly AppendResult[]) =>
  results.map((r) => (r.kind === 'accepted' ? `accepted ${r.seq}` : r.kind))

export function changelogConformance(
  name: string,
  makeWorld: () => Promise<ChangelogWorld>,
  traits: ChangelogTraits,
): void {
  describe(`${name} keeps the rules of a changelog`, () => {
    let world: ChangelogWorld
    let a: Changelog
    let b: Changelog
    let log: PartitionLog
    let other: PartitionLog

    beforeEach(async () => {
      world = await makeWorld()
      a = await world.connect()
      b = await world.connect()
      log = a.log(p0)
      other = b.log(p0)
    })
    afterEach(() => world.close())

    describe('a log that is not there (C5)', () => {
      it('has no info', async () => {
        expect(await log.info()).toBeNull()
      })

      it('refuses an append, and is not created by it', async () => {
        const result = await log.append(bytes('x'), seq(0))
        expect(result.kind).toBe('refused')
        expect(await log.info()).toBeNull()
      })

      it('answers a read with NOT_FOUND', async () => {
        await expect(entriesOf(log, 1, 1)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      })
    })

    describe('provisioning (C5)', () => {
      it('creates a log with its generation and its genesis record at sequence 1, for every node', async () => {
        expect(await a.provision(p0, g1, genesis)).toEqual({ created: true })
        for (const handle of [log, other]) {
          expect(await handle.info()).toEqual({ generation: g1, first: 1, last: 1 })
          expect(await textsOf(handle, 1, 1)).toEqual(['1:genesis'])
        }
      })

      it('leaves a log that is there as it is', async () => {
        await a.provision(p0, g1, genesis)
        await log.append(bytes('two'), seq(1))
        expect(await b.provision(p0, g2, bytes('another'))).toEqual({ created: false })
        expect(await other.info()).toEqual({ generation: g1, first: 1, last: 2 })
        expect(await textsOf(other, 1, 2)).toEqual(['1:genesis', '2:two'])
      })

      it('creates it once when two nodes provision at the same time', async () => {
        const results = await Promise.all([a.provision(p0, g1, genesis), b.provision(p0, g2, bytes('another'))])
        expect(results.filter((r) => r.created)).toHaveLength(1)
        const winner = results[0].created ? g1 : g2
        expect(await log.info()).toEqual({ generation: winner, first: 1, last: 1 })
        expect(await textsOf(log, 1, 1)).toEqual([winner === g1 ? '1:genesis' : '1:another'])
      })

      it('begins a log where it is told to: to every reader it was trimmed to there', async () => {
        const begin = seq(1_000_000_000_001)
        expect(await a.provision(p0, g1, genesis, begin)).toEqual({ created: true })
        expect(await b.provision(p0, g1, genesis, begin)).toEqual({ created: false })
        expect(await other.info()).toEqual({ generation: g1, first: begin, last: begin })
        expect(kinds([await log.append(bytes('late'), seq(7))])).toEqual(['refused'])
        expect(kinds([await log.append(bytes('two'), begin)])).toEqual([`accepted ${begin + 1}`])
        expect(await textsOf(other, begin, begin + 1)).toEqual([`${begin}:genesis`, `${begin + 1}:two`])
        const reading = other.follow(begin)
        expect(await reading.next()).toMatchObject({ seq: begin })
        expect(await reading.next()).toMatchObject({ seq: begin + 1 })
        reading.close()
      })

      it('keeps the logs of two partitions apart', async () => {
        await a.provision(p0, g1, genesis)
        await a.provision(p1, g2, bytes('genesis of 1'))
        await log.append(bytes('two'), seq(1))
        expect(await a.log(p1).info()).toEqual({ generation: g2, first: 1, last: 1 })
        expect(kinds([await a.log(p1).append(bytes('x'), seq(1))])).toEqual(['accepted 2'])
        expect(await textsOf(a.log(p1), 1, 2)).toEqual(['1:genesis of 1', '2:x'])
        expect(await textsOf(log, 1, 2)).toEqual(['1:genesis', '2:two'])
      })
    })

    describe('appending', () => {
      beforeEach(async () => {
        await a.provision(p0, g1, genesis)
      })

      it('stores a record behind the sequence that it expects, and tells its own (C1, C3)', async () => {
        expect(await log.append(bytes('two'), seq(1))).toEqual({ kind: 'accepted', seq: 2, duplicate: false })
        expect(await log.append(bytes('three'), seq(2))).toEqual({ kind: 'accepted', seq: 3, duplicate: false })
        expect(await textsOf(other, 1, 3)).toEqual(['1:genesis', '2:two', '3:three'])
      })

      it('refuses every other expectation with a reason, and stores nothing (C1, C3)', async () => {
        await log.append(bytes('two'), seq(1))
        for (const wrong of [0, 1, 3, 1_000_000]) {
          const result = await log.append(bytes('wrong'), seq(wrong))
          expect(result.kind).toBe('refused')
          if (result.kind === 'refused') expect(result.reason).not.toBe('')
        }
        expect(await log.info()).toEqual({ generation: g1, first: 1, last: 2 })
        expect(await textsOf(log, 1, 2)).toEqual(['1:genesis', '2:two'])
      })

      it('takes a pipeline of appends in the order of the calls (C2)', async () => {
        const results = await Promise.all(Array.from({ length: 64 }, (_, i) => log.append(bytes(`r${i}`), seq(i + 1))))
        expect(kinds(results)).toEqual(results.map((_, i) => `accepted ${i + 2}`))
        expect(await textsOf(other, 2, 65)).toEqual(results.map((_, i) => `${i + 2}:r${i}`))
      })

      it('accepts a later append of a pipeline after an earlier one was refused, if its number fits (C2)', async () => {
        expect(kinds([await other.append(bytes('claim of the new owner'), seq(1))])).toEqual(['accepted 2'])
        const stale = await Promise.all([log.append(bytes('stale 1'), seq(1)), log.append(bytes('stale 2'), seq(2))])
        expect(kinds(stale)).toEqual(['refused', 'accepted 3'])
        expect(await textsOf(log, 1, 3)).toEqual(['1:genesis', '2:claim of the new owner', '3:stale 2'])
      })

      it('gives each sequence to exactly one of two contending writers (C1)', async () => {
        const rounds = 40
        const mine = Array.from({ length: rounds }, (_, i) => log.append(bytes(`a${i}`), seq(i + 1)))
        const theirs = Array.from({ length: rounds }, (_, i) => other.append(bytes(`b${i}`), seq(i + 1)))
        const [byA, byB] = [await Promise.all(mine), await Promise.all(theirs)]
        const { last } = (await log.info())!
        const stored = await textsOf(log, 2, last)
        expect(stored).toHaveLength(last - 1)
        expect(last).toBe(rounds + 1)
        const accepted = [
          ...byA.flatMap((r, i) => (r.kind === 'accepted' ? [`${r.seq}:a${i}`] : [])),
          ...byB.flatMap((r, i) => (r.kind === 'accepted' ? [`${r.seq}:b${i}`] : [])),
        ]
        expect(accepted.toSorted()).toEqual(stored.toSorted())
      })

      it('has taken the bytes when the call returns, whatever becomes of the buffer', async () => {
        const buffer = bytes('before')
        const result = log.append(buffer, seq(1))
        buffer.fill(0x21)
        expect(kinds([await result])).toEqual(['accepted 2'])
        const read = await entriesOf(log, 2, 2)
        expect(text(read[0]!.record)).toBe('before')
        read[0]!.record.fill(0x21)
        expect(await textsOf(log, 2, 2)).toEqual(['2:before'])
      })

      it('keeps every byte of records of every size up to the limit', async () => {
        const sizes = [1, 255, 256, 4_095, 65_537, world.maxRecord]
        const records = [Uint8Array.from({ length: 256 }, (_, i) => i), ...sizes.map((size) => pattern(size))]
        for (const [i, record] of records.entries()) {
          expect(kinds([await log.append(record, seq(i + 1))])).toEqual([`accepted ${i + 2}`])
        }
        const read = await entriesOf(other, 2, records.length + 1)
        expect(read.map((entry) => entry.record.length)).toEqual(records.map((record) => record.length))
        for (const [i, entry] of read.entries()) expect(same(entry.record, records[i]!)).toBe(true)
      })

      it('refuses a record that is too large with a reason, and goes on', async () => {
        const result = await log.append(pattern(world.tooLarge), seq(1))
        expect(result.kind).toBe('refused')
        if (result.kind === 'refused') expect(result.reason).toMatch(/\d/)
        expect(kinds([await log.append(bytes('two'), seq(1))])).toEqual(['accepted 2'])
        expect(await textsOf(log, 1, 2)).toEqual(['1:genesis', '2:two'])
      })

      it('never rejects, also after close', async () => {
        await a.close()
        const result = await log.append(bytes('x'), seq(1))
        expect(['refused', 'unknown']).toContain(result.kind)
        expect(await other.info()).toEqual({ generation: g1, first: 1, last: 1 })
      })
    })

    describe('acknowledgements that go astray (C3)', () => {
      let faulty: FaultyChangelog
      let flaky: PartitionLog
      beforeEach(async () => {
        await a.provision(p0, g1, genesis)
        faulty = new FaultyChangelog(a, { clock: world.clock, appendTimeoutMs: 30 })
        flaky = faulty.log(p0)
      })

      it('says unknown where the acknowledgement is lost, and the record is there', async () => {
        faulty.next('lose-acknowledgement')
        expect(kinds([await flaky.append(bytes('two'), seq(1))])).toEqual(['unknown'])
        expect(await textsOf(other, 1, 2)).toEqual(['1:genesis', '2:two'])
      })

      it('says unknown where the request is lost; a later one is accepted if its number fits (C2)', async () => {
        faulty.next('lose-request', 'pass', 'pass')
        const results = await Promise.all([
          flaky.append(bytes('lost'), seq(1)),
          flaky.append(bytes('ahead'), seq(2)),
          flaky.append(bytes('fits'), seq(1)),
        ])
        expect(kinds(results)).toEqual(['unknown', 'refused', 'accepted 2'])
        expect(await textsOf(other, 1, 2)).toEqual(['1:genesis', '2:fits'])
      })

      it('may store a record after it was given up as unknown', async () => {
        faulty.next('delay')
        expect(kinds([await flaky.append(bytes('late'), seq(1))])).toEqual(['unknown'])
        expect((await other.info())!.last).toBe(1)
        await faulty.release()
        expect(await textsOf(other, 1, 2)).toEqual(['1:genesis', '2:late'])
      })

      it('does not store a delayed record whose number is taken meanwhile', async () => {
        faulty.next('delay')
        expect(kinds([await flaky.append(bytes('late'), seq(1))])).toEqual(['unknown'])
        expect(kinds([await other.append(bytes('claim'), seq(1))])).toEqual(['accepted 2'])
        await faulty.release()
        expect((await other.info())!.last).toBe(2)
        expect(await textsOf(other, 1, 2)).toEqual(['1:genesis', '2:claim'])
      })

      it('stores a delayed pipeline in its order, and not what was void before it (C2)', async () => {
        faulty.next('delay', 'delay', 'delay')
        const results = [1, 2, 3].map((n) => flaky.append(bytes(`late ${n}`), seq(n)))
        expect(kinds(await Promise.all(results))).toEqual(['unknown', 'unknown', 'unknown'])
        expect(kinds([await other.append(bytes('claim'), seq(1))])).toEqual(['accepted 2'])
        await faulty.release()
        expect(await textsOf(other, 1, (await other.info())!.last)).toEqual([
          '1:genesis',
          '2:claim',
          '3:late 2',
          '4:late 3',
        ])
      })
    })

    describe('reading (C4)', () => {
      const count = 700
      const at = (n: number) => (n === 1 ? '1:genesis' : `${n}:record ${n}`)
      const span = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => at(from + i))
      beforeEach(async () => {
        await a.provision(p0, g1, genesis)
        const results = await Promise.all(
          Array.from({ length: count - 1 }, (_, i) => log.append(bytes(`record ${i + 2}`), seq(i + 1))),
        )
        expect(results.every((r) => r.kind === 'accepted')).toBe(true)
      })

      it('gives each record of a span once, in order, both ends included', async () => {
        for (const [from, to] of [
          [1, 1],
          [count, count],
          [3, 260],
          [1, count],
        ] as const) {
          expect(await textsOf(other, from, to)).toEqual(span(from, to))
        }
      })

      it('gives nothing for an empty span', async () => {
        expect(await textsOf(log, 5, 4)).toEqual([])
      })

      it('stops exactly at the end of the span while others append', async () => {
        const appends = Array.from({ length: 20 }, (_, i) => log.append(bytes('more'), seq(count + i)))
        expect(await textsOf(other, 600, count)).toEqual(span(600, count))
        await Promise.all(appends)
      })

      it('throws RETRY instead of ending early where the log is shorter than the span', async () => {
        const read: number[] = []
        await expect(
          (async () => {
            for await (const entry of log.read(seq(count - 1), seq(count + 1))) read.push(entry.seq)
          })(),
        ).rejects.toMatchObject({ code: 'RETRY' })
        expect(read.every((n) => n <= count)).toBe(true)
      })

      it('can be left in the middle and begun again, also several times at once', async () => {
        for await (const entry of log.read(seq(1), seq(count))) if (entry.seq === 3) break
        const reads = await Promise.all([1, 2, 3].map(() => textsOf(log, 1, count)))
        for (const read of reads) expect(read).toEqual(span(1, count))
      })
    })

    describe('following (C6)', () => {
      const readings: Reading<LogEntry>[] = []
      const follow = (handle: PartitionLog, from: number) => {
        const reading = handle.follow(seq(from))
        readings.push(reading)
        return reading
      }
      const take = async (reading: Reading<LogEntry>, count: number) => {
        const texts: string[] = []
        while (texts.length < count) {
          const entry = await reading.next()
          if (entry === undefined) throw new Error('the reading was closed')
          texts.push(`${entry.seq}:${text(entry.record)}`)
        }
        return texts
      }
      beforeEach(async () => {
        await a.provision(p0, g1, genesis)
        for (const n of [2, 3]) await log.append(bytes(`r${n}`), seq(n - 1))
      })
      afterEach(() => {
        for (const reading of readings.splice(0)) reading.close()
      })

      it('gives what is there and what comes later, in order, each once', async () => {
        const reading = follow(other, 1)
        expect(await take(reading, 3)).toEqual(['1:genesis', '2:r2', '3:r3'])
        const later = take(reading, 2)
        await log.append(bytes('r4'), seq(3))
        await log.append(bytes('r5'), seq(4))
        expect(await later).toEqual(['4:r4', '5:r5'])
      })

      it('begins where it is told, also behind the last record', async () => {
        expect(await take(follow(other, 3), 1)).toEqual(['3:r3'])
        const behind = take(follow(other, 5), 1)
        await log.append(bytes('r4'), seq(3))
        await log.append(bytes('r5'), seq(4))
        expect(await behind).toEqual(['5:r5'])
      })

      it('keeps up with a pipeline, however far its reader is behind', async () => {
        const count = 1_500
        const reading = follow(other, 1)
        const expected = Array.from({ length: count }, (_, i) => `${i + 4}:${'x'.repeat(500)}${i + 4}`)
        const results = await Promise.all(
          expected.map((_, i) => log.append(bytes(`${'x'.repeat(500)}${i + 4}`), seq(i + 3))),
        )
        expect(results.every((result) => result.kind === 'accepted')).toBe(true)
        expect(await take(reading, count + 3)).toEqual(['1:genesis', '2:r2', '3:r3', ...expected])
      })

      it('knows nothing of another reading of the log, nor of another log', async () => {
        await a.provision(p1, g2, bytes('genesis of 1'))
        const [one, two, third] = [follow(log, 1), follow(other, 2), follow(b.log(p1), 1)]
        expect(await take(one, 2)).toEqual(['1:genesis', '2:r2'])
        expect(await take(two, 2)).toEqual(['2:r2', '3:r3'])
        two.close()
        expect(await take(one, 1)).toEqual(['3:r3'])
        expect(await take(third, 1)).toEqual(['1:genesis of 1'])
      })

      it('does not hear of what was refused', async () => {
        const reading = follow(other, 3)
        expect(kinds([await log.append(bytes('wrong'), seq(1))])).toEqual(['refused'])
        expect(kinds([await log.append(bytes('right'), seq(3))])).toEqual(['accepted 4'])
        expect(await take(reading, 2)).toEqual(['3:r3', '4:right'])
      })

      it('gives its own copy of each record', async () => {
        const first = await follow(other, 3).next()
        first!.record.fill(0x21)
        expect(await take(follow(other, 3), 1)).toEqual(['3:r3'])
      })

      it('gives undefined after close, also to who waits', async () => {
        const reading = follow(other, 3)
        await take(reading, 1)
        const waiting = reading.next()
        reading.close()
        reading.close()
        expect(await waiting).toBeUndefined()
        expect(await reading.next()).toBeUndefined()
      })

      it('is NOT_FOUND where there is no log', async () => {
        await expect(follow(b.log(p1), 1).next()).rejects.toMatchObject({ code: 'NOT_FOUND' })
      })

      it('is RETRY where the port is closed under it', async () => {
        const reading = follow(other, 3)
        await take(reading, 1)
        const ended = reading.next().catch((error: unknown) => error)
        await world.disconnect()
        expect(await ended).toMatchObject({ code: 'RETRY' })
      })
    })

    describe('trimming (C7)', () => {
      const count = 300
      beforeEach(async () => {
        await a.provision(p0, g1, genesis)
        await Promise.all(Array.from({ length: count - 1 }, (_, i) => log.append(bytes(`record ${i + 2}`), seq(i + 1))))
      })
      const span = (from: number, to: number) =>
        Array.from({ length: to - from + 1 }, (_, i) => `${from + i}:record ${from + i}`)

      it('removes what is before the record, which stays, for every reader', async () => {
        await log.trim(seq(131))
        for (const handle of [log, other]) {
          expect(await handle.info()).toEqual({ generation: g1, first: 131, last: count })
          expect(await textsOf(handle, 131, count)).toEqual(span(131, count))
          expect(await textsOf(handle, 1, count)).toEqual(span(131, count))
          expect(await textsOf(handle, 100, 140)).toEqual(span(131, 140))
          expect(await textsOf(handle, 290, 295)).toEqual(span(290, 295))
          expect(await textsOf(handle, 1, 130)).toEqual([])
        }
      })

      it('keeps the last record, and appends go on behind it', async () => {
        await log.trim(seq(count))
        expect(await log.info()).toEqual({ generation: g1, first: count, last: count })
        expect(
          kinds([await other.append(bytes('wrong'), seq(0)), await other.append(bytes('next'), seq(count))]),
        ).toEqual(['refused', `accepted ${count + 1}`])
        expect(await textsOf(log, 1, count + 1)).toEqual([`${count}:record ${count}`, `${count + 1}:next`])
        await other.trim(seq(count + 1))
        expect(await textsOf(log, 1, count + 1)).toEqual([`${count + 1}:next`])
      })

      it('leaves a log that begins there or later as it is, and one at its first record whole', async () => {
        await log.trim(seq(1))
        expect(await log.info()).toEqual({ generation: g1, first: 1, last: count })
        await log.trim(seq(50))
        for (const first of [50, 49, 1]) await other.trim(seq(first))
        expect(await log.info()).toEqual({ generation: g1, first: 50, last: count })
      })

      it('refuses a record that the log does not have as INVALID, and a log that is not there as NOT_FOUND', async () => {
        for (const first of [0, count + 1, 1_000_000]) {
          await expect(log.trim(seq(first))).rejects.toMatchObject({ code: 'INVALID' })
        }
        await expect(a.log(p1).trim(seq(1))).rejects.toMatchObject({ code: 'NOT_FOUND' })
        expect(await log.info()).toEqual({ generation: g1, first: 1, last: count })
      })

      it('loses no append of those that are under way meanwhile, and keeps their order', async () => {
        const appends: Promise<AppendResult>[] = []
        const append = () =>
          appends.push(log.append(bytes(`record ${count + appends.length + 1}`), seq(count + appends.length)))
        const trims: Promise<void>[] = []
        for (let i = 0; i < 60; i++) {
          append()
          if (i % 15 === 7) trims.push(other.trim(seq(100 + i)))
          if (i % 20 === 0) await appends.at(-1)
        }
        await Promise.all(trims)
        expect(kinds(await Promise.all(appends))).toEqual(appends.map((_, i) => `accepted ${count + i + 1}`))
        const { first, last } = (await log.info())!
        expect([first, last]).toEqual([152, count + 60])
        expect(await textsOf(other, 1, last)).toEqual(span(152, last))
      })

      it('interrupts a read at most, with RETRY: it gives no record twice and none that is another', async () => {
        const read: string[] = []
        try {
          for await (const entry of log.read(seq(1), seq(count))) {
            read.push(`${entry.seq}:${text(entry.record)}`)
            if (read.length === 10) await other.trim(seq(200))
          }
          expect(read.at(-1)).toBe(`${count}:record ${count}`)
        } catch (error) {
          expect(error).toMatchObject({ code: 'RETRY' })
        }
        expect(read.slice(1)).toEqual(
          read.slice(1).map((entry) => entry.replace(/record .*/, `record ${Number.parseInt(entry, 10)}`)),
        )
        expect(new Set(read).size).toBe(read.length)
        expect(await textsOf(log, 1, count)).toEqual(span(200, count))
      })

      if (traits.durable) {
        it('is for good: after a restart the log begins where it was trimmed', async () => {
          await log.trim(seq(200))
          await log.append(bytes(`record ${count + 1}`), seq(count))
          await world.restart!()
          const again = (await world.connect()).log(p0)
          expect(await again.info()).toEqual({ generation: g1, first: 200, last: count + 1 })
          expect(await textsOf(again, 1, count + 1)).toEqual(span(200, count + 1))
          await again.trim(seq(250))
          expect(kinds([await again.append(bytes('x'), seq(count + 1))])).toEqual([`accepted ${count + 2}`])
        })
      }
    })

    it('agrees with a plain list under any interleaving of two writers', async () => {
      const step = fc.record({
        writer: fc.constantFrom(0, 1),
        ahead: fc.constantFrom(0, 0, 0, 1, -1, 2),
        burst: fc.integer({ min: 1, max: 4 }),
      })
      let partition = 10
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
          const id = partitionId(partition++)
          await a.provision(id, g1, genesis)
          const writers = [a.log(id), b.log(id)]
          const model = ['genesis']
          let n = 0
          for (const { writer, ahead, burst } of steps) {
            const appends: { record: string; expected: number }[] = []
            for (let i = 0; i < burst; i++) {
              appends.push({ record: `${writer}-${n++}`, expected: Math.max(0, model.length + ahead + i) })
            }
            const results = await Promise.all(
              appends.map((append) => writers[writer]!.append(bytes(append.record), seq(append.expected))),
            )
            for (const [i, append] of appends.entries()) {
              const fits = append.expected === model.length
              expect(results[i]!.kind).toBe(fits ? 'accepted' : 'refused')
              if (fits) model.push(append.record)
            }
          }
          expect(await textsOf(a.log(id), 1, model.length)).toEqual(model.map((record, i) => `${i + 1}:${record}`))
          expect(await b.log(id).info()).toEqual({ generation: g1, first: 1, last: model.length })
        }),
        { numRuns: 8 },
      )
    })

    if (traits.durable) {
      it('has every accepted record after a restart, and goes on from there (C3)', async () => {
        await a.provision(p0, g1, genesis)
        await a.provision(p1, g2, genesis)
        const results = await Promise.all(
          Array.from({ length: 100 }, (_, i) => log.append(bytes(`r${i + 2}`), seq(i + 1))),
        )
        expect(results.every((r) => r.kind === 'accepted')).toBe(true)
        await world.restart!()
        const again = await world.connect()
        expect(await again.log(p0).info()).toEqual({ generation: g1, first: 1, last: 101 })
        expect(await again.log(p1).info()).toEqual({ generation: g2, first: 1, last: 1 })
        expect(await textsOf(again.log(p0), 2, 101)).toEqual(results.map((_, i) => `${i + 2}:r${i + 2}`))
        expect(await again.provision(p0, g2, bytes('another'))).toEqual({ created: false })
        expect(kinds([await again.log(p0).append(bytes('after'), seq(101))])).toEqual(['accepted 102'])
        expect(kinds([await again.log(p0).append(bytes('wrong'), seq(101))])).toEqual(['refused'])
      })
    }
  })
}
