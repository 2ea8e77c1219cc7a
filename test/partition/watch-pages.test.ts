import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sendPage } from '../../src/partition/watch-pages.ts'
import type { StateSource } from '../../src/partition/watch-states.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { endOfRecord, formatCursor, parseCursor } from '../../src/protocol/cursor.ts'
import { generation, seq } from '../../src/protocol/ids.ts'
import {
  decodePageMessage,
  encodeWatchRequest,
  type PageChange,
  type PageEnd,
  type PageMessage,
  type WatchRequest,
} from '../../src/protocol/watch.ts'
import { HistoryBench } from './changes.ts'
import { g1, p0 } from './world.ts'

/** Nobody asks for them here. */
const noStates: StateSource = {
  scans: { answer: () => Promise.reject(new Error('not here')) },
  time: 0,
  present: () => Promise.reject(new Error('not here')),
}

/** An owner with a history, and a watcher with an inbox. */
class Bench extends HistoryBench {
  readonly inbox: string
  readonly #watcher: Transport
  #heard: PageMessage[] = []

  constructor(seed: string) {
    super(seed)
    const { transport } = this.world.start('watcher').process
    this.#watcher = transport
    this.inbox = transport.inbox()
    transport.subscribe(this.inbox, ({ data }) => this.#heard.push(decodePageMessage(data)))
  }

  /** Everything that one request brings. */
  async ask(request: WatchRequest | Uint8Array): Promise<PageMessage[]> {
    const data = request instanceof Uint8Array ? request : encodeWatchRequest(request)
    await this.world.settle(this.#watcher.flush())
    const { transport } = this.node.process
    const options = { partition: p0, generation: g1, history: this.history, states: noStates, transport }
    await this.world.settle(sendPage(options, data, this.inbox))
    await this.world.clock.advance(10)
    const heard = this.#heard
    this.#heard = []
    return heard
  }

  async page(request: WatchRequest): Promise<{ changes: PageChange[]; end: PageEnd }> {
    const heard = await this.ask(request)
    const end = heard.at(-1)!
    if (end.kind !== 'end') throw new Error(JSON.stringify(end))
    const changes = heard.slice(0, -1) as PageChange[]
    expect(changes.every(({ kind }) => kind === 'change')).toBe(true)
    expect(end.count).toBe(changes.length)
    return { changes, end }
  }

  /** Page after page until there is no more. */
  async all(request: WatchRequest): Promise<PageChange[]> {
    const all: PageChange[] = []
    let from = request.from
    for (let pages = 0; ; pages++) {
      expect(pages).toBeLessThan(200)
      const { changes, end } = await this.page({ ...request, from })
      all.push(...changes)
      from = end.next
      if (!end.more) return all
    }
  }

  /** Cursors of all changes, in order. */
  cursors(of: (change: { type: string; key: string }) => boolean = () => true): string[] {
    return this.changes.filter(of).map(({ seq, index }) => formatCursor({ partition: p0, generation: g1, seq, index }))
  }
}

const cursorsOf = (changes: readonly PageChange[]) => changes.map(({ cursor }) => cursor)

describe('a page of changes', () => {
  it('holds every change after a cursor, in order, and an end that names where to go on and the head', async () => {
    const bench = new Bench('page').begin() as Bench
    bench.commit({ key: 'a', state: 1 }, { key: 'a' }, { key: 'b', state: 2 })
    bench.commit({ key: 'a', state: null })
    const { changes, end } = await bench.page({ from: 'start' })
    expect(changes).toEqual([
      expect.objectContaining({ type: 'thing', key: 'a', rev: 1, state: 1, cursor: `0-${g1}-3-0` }),
      expect.objectContaining({ key: 'b', rev: 1, state: 2, cursor: `0-${g1}-3-1` }),
      expect.objectContaining({ key: 'a', rev: 2, state: null, cursor: `0-${g1}-4-0` }),
    ])
    expect(end.more).toBe(false)
    expect(end.next).toBe(end.head)
    expect(parseCursor(end.head).seq).toBe(4)
    expect(cursorsOf((await bench.page({ from: changes[0]!.cursor })).changes)).toEqual(cursorsOf(changes).slice(1))
    expect((await bench.page({ from: end.next })).changes).toEqual([])
  })

  it('is empty from "now", and goes on from there', async () => {
    const bench = new Bench('now').begin() as Bench
    bench.commit({ key: 'a', state: 1 })
    const { changes, end } = await bench.page({ from: 'now' })
    expect(changes).toEqual([])
    bench.commit({ key: 'a', state: 2 })
    expect((await bench.page({ from: end.next })).changes).toMatchObject([{ rev: 2 }])
  })

  it('ends at its limit in the middle of a record, and the next one begins right there', async () => {
    const bench = new Bench('limit').begin() as Bench
    for (let i = 0; i < 5; i++) bench.commit(...Array.from({ length: 4 }, (_, n) => ({ key: `k${n}`, state: i })))
    const { changes, end } = await bench.page({ from: 'start', limit: 6 })
    expect(changes).toHaveLength(6)
    expect(end).toMatchObject({ more: true, next: changes[5]!.cursor })
    expect(cursorsOf(await bench.all({ from: 'start', limit: 6 }))).toEqual(bench.cursors())
  })

  it('holds 1,000 changes or half a MiB at most, whatever was asked for', async () => {
    const bench = new Bench('bounds').begin() as Bench
    for (let i = 0; i < 12; i++) bench.commit(...Array.from({ length: 100 }, (_, n) => ({ key: `k${n}`, state: i })))
    expect((await bench.page({ from: 'start' })).changes).toHaveLength(1_000)
    for (let i = 0; i < 10; i++) bench.commit({ key: 'big', state: 'x'.repeat(200_000) })
    const big = await bench.page({ from: 'start', type: 'thing', key: 'big' })
    expect(big.changes).toHaveLength(3)
    expect(big.end.more).toBe(true)
  })

  it('holds what matches type and key alone, and its end is past all that it looked at', async () => {
    const bench = new Bench('filter').begin() as Bench
    bench.commit({ key: 'a', state: 1 }, { key: 'b', state: 1 }, { type: 'other', key: 'a', state: 1 })
    bench.commit({ key: 'b', state: 2 })
    expect((await bench.page({ from: 'start', type: 'thing' })).changes).toHaveLength(3)
    expect((await bench.page({ from: 'start', type: 'thing', key: 'a' })).changes).toHaveLength(1)
    const none = await bench.page({ from: 'start', type: 'nobody' })
    expect(none.changes).toEqual([])
    expect(none.end.next).toBe(none.end.head)
  })

  it('holds the keys that begin so alone, and ends past all others', async () => {
    const bench = new Bench('prefix').begin() as Bench
    bench.commit({ key: 'eu/a', state: 1 }, { key: 'us/eu/a', state: 1 }, { type: 'other', key: 'eu/a', state: 1 })
    bench.commit({ key: 'eu/b', state: 1 }, { key: 'eu', state: 2 })
    const { changes, end } = await bench.page({ from: 'start', type: 'thing', prefix: 'eu/' })
    expect(changes.map(({ key }) => key)).toEqual(['eu/a', 'eu/b'])
    expect(end.next).toBe(end.head)
  })

  it('never begins later in silence: what the log does not keep any more is EXPIRED (K1)', async () => {
    const bench = new Bench('purged')
    for (let i = 0; i < 20; i++) bench.commit({ key: 'a', state: i }, { key: 'b', state: i })
    bench.begin(1)
    const cursors = bench.cursors()
    const expired = { kind: 'error', code: 'EXPIRED' }
    const at = (n: number) => parseCursor(cursors[n]!)
    const purge = (first: number) => bench.world.world.changelog.purge(p0, seq(first))
    for (const from of ['start', cursors[9]!]) expect(await bench.ask({ from })).not.toMatchObject([expired])
    purge(at(9).seq)
    // Of its own record the rest is kept, or was the last.
    for (const n of [8, 9]) expect((await bench.page({ from: cursors[n]! })).changes.length).toBe(39 - n)
    for (const from of ['start', cursors[7]!]) expect(await bench.ask({ from })).toMatchObject([expired])
    purge(at(9).seq + 1)
    for (const n of [8, 9]) expect(await bench.ask({ from: cursors[n]! })).toMatchObject([expired])
    const end = formatCursor({ ...at(9), index: endOfRecord })
    expect((await bench.page({ from: end })).changes.length).toBe(30)
    purge(1_000)
    expect(await bench.ask({ from: end })).toMatchObject([expired])
    expect((await bench.page({ from: 'now' })).changes).toEqual([])
    // What an owner has in memory it needs no log for.
    for (let i = 0; i < 3; i++) bench.commit({ key: 'a', state: i })
    purge(1_000)
    const beforeLast = formatCursor({ ...parseCursor(bench.cursors().at(-2)!), index: endOfRecord })
    expect((await bench.page({ from: beforeLast })).changes).toHaveLength(1)
  })

  it('ends in time also where nothing matches in a long log, and says that there is more', async () => {
    const bench = new Bench('rare')
    for (let i = 0; i < 5_000; i++) bench.commit({ key: 'common', state: i })
    bench.commit({ key: 'rare', state: 'here' })
    bench.begin(1_000)
    const first = await bench.page({ from: 'start', type: 'thing', key: 'rare' })
    expect(first.changes).toEqual([])
    expect(first.end.more).toBe(true)
    expect(parseCursor(first.end.next).seq).toBeLessThan(3_000)
    expect(await bench.all({ from: 'start', type: 'thing', key: 'rare' })).toMatchObject([{ state: 'here' }])
  })

  it('ends in time also where what does not match is large', async () => {
    const bench = new Bench('large and rare').begin(1_000) as Bench
    for (let i = 0; i < 60; i++) bench.commit({ key: 'large', state: 'x'.repeat(400_000) })
    bench.commit({ key: 'rare', state: 'here' })
    const { end } = await bench.page({ from: 'start', type: 'thing', key: 'rare' })
    expect(end.more).toBe(true)
    expect(await bench.all({ from: 'start', type: 'thing', key: 'rare' })).toHaveLength(1)
  })

  it('ends in time also where records are large and have no changes', async () => {
    const bench = new Bench('large replies').begin(1_000) as Bench
    for (let i = 0; i < 60; i++) bench.commit({ key: 'large', reply: 'x'.repeat(400_000) })
    bench.commit({ key: 'rare', state: 'here' })
    const { changes, end } = await bench.page({ from: 'start', type: 'thing' })
    expect([changes, end.more]).toEqual([[], true])
    expect(parseCursor(end.next).seq).toBeLessThan(30)
    expect(await bench.all({ from: 'start', type: 'thing' })).toHaveLength(1)
  })

  it('is one of any number that together hold each change once, for every limit, filter and start', async () => {
    let run = 0
    const turn = fc.record({ type: fc.constantFrom('t', 'u'), key: fc.constantFrom('a', 'b'), changes: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(turn, { maxLength: 4 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat(),
        fc.option(fc.constantFrom('t', 'u')),
        fc.constantFrom(200, 1_000_000),
        async (records, limit, start, type, tailBytes) => {
          const bench = new Bench(`any ${run++}`).begin(tailBytes) as Bench
          records.forEach((turns, i) => {
            bench.commit(...turns.map(({ type, key, changes }) => (changes ? { type, key, state: i } : { type, key })))
            if (i % 3 === 1) bench.stray()
          })
          const cursors = bench.cursors()
          const at = start % (cursors.length + 1)
          const from = at === 0 ? 'start' : cursors[at - 1]!
          const expected = bench.cursors((change) => type === null || change.type === type)
          const read = await bench.all({ from, limit, ...(type === null ? {} : { type }) })
          expect(cursorsOf(read)).toEqual(expected.filter((cursor) => cursors.indexOf(cursor) >= at))
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('a request that cannot be answered', () => {
  const bench = async () => {
    const bench = new Bench('errors').begin() as Bench
    bench.commit({ key: 'a', state: 1 })
    return bench
  }

  it.each([
    ['no JSON', 'x'],
    ['no object', '[]'],
    ['no cursor', '{"from":"yesterday"}'],
    ['no limit', '{"from":"start","limit":0}'],
    ['a key without a type', '{"from":"start","key":"a"}'],
    ['nothing', ''],
  ])('has %s: INVALID, and no page', async (_, text) => {
    expect(await (await bench()).ask(Buffer.from(text))).toMatchObject([{ kind: 'error', code: 'INVALID' }])
  })

  it('has a cursor of another partition or generation', async () => {
    const { ask } = bindAsk(await bench())
    const cursor = { partition: p0, generation: g1, seq: seq(3), index: 0 }
    const other = formatCursor({ ...cursor, partition: 1 as typeof p0 })
    expect(await ask({ from: other })).toMatchObject([{ kind: 'error', code: 'INVALID' }])
    const former = formatCursor({ ...cursor, generation: generation('formerLife') })
    expect(await ask({ from: former })).toMatchObject([{ kind: 'error', code: 'EXPIRED' }])
  })

  it('has a cursor ahead of this owner: RETRY, never silence', async () => {
    const { ask } = bindAsk(await bench())
    const ahead = formatCursor({ partition: p0, generation: g1, seq: seq(99), index: 0 })
    expect(await ask({ from: ahead })).toMatchObject([{ kind: 'error', code: 'RETRY' }])
  })

  it('meets a log that cannot be read', async () => {
    const b = new Bench('unreadable')
    b.commit({ key: 'a', state: 1 })
    b.begin()
    b.node.process.links.changelog.cut()
    expect(await b.ask({ from: 'start' })).toMatchObject([{ kind: 'error', code: 'RETRY' }])
  })
})

const bindAsk = (bench: Bench) => ({ ask: bench.ask.bind(bench) })
