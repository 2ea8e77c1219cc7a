import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys } from '../../src/protocol/key-order.ts'
import { MemoryWorld } from '../../src/adapters/memory/world.ts'
import { startOfLog } from '../../src/core/log.ts'
import { actorId } from '../../src/partition/names.ts'
import { maxSnapshots, ScanPages } from '../../src/partition/scan-pages.ts'
import { RowBatch } from '../../src/core/row-batch.ts'
import { actorKey, writeActor, type Version } from '../../src/partition/store-layout.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { epoch, rev } from '../../src/protocol/ids.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { g1, p0 } from '../partition/world.ts'
import { maxViews, type StoreView } from '../../src/ports/store.ts'
import { defaultPartitionSettings } from '../../src/partition/settings.ts'
import {
  decodeScanReply,
  encodeScanRequest,
  type ScanPage,
  type ScanReply,
  type ScanRequest,
} from '../../src/protocol/scan.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { OwnerBench, type Owned } from '../partition/owner-bench.ts'

type Wanted = Partial<ScanRequest>

const requestOf = (wanted: Wanted) =>
  encodeScanRequest({ kind: 'rows', type: 'kv-users', reverse: false, limit: 100, ...wanted })

async function replyTo(bench: OwnerBench, owned: Owned, wanted: Wanted | Uint8Array): Promise<ScanReply> {
  const data = wanted instanceof Uint8Array ? wanted : requestOf(wanted)
  return decodeScanReply(await bench.world.settle(owned.owner.scans.answer(data)))
}

async function pageOf(bench: OwnerBench, owned: Owned, wanted: Wanted = {}): Promise<ScanPage> {
  const reply = await replyTo(bench, owned, wanted)
  if (reply.kind === 'error') throw new Error(`${reply.code} ${reply.message}`)
  return reply
}

const codeOf = async (bench: OwnerBench, owned: Owned, wanted: Wanted | Uint8Array) => {
  const reply = await replyTo(bench, owned, wanted)
  return reply.kind === 'error' ? reply.code : 'none'
}

const keysOf = ({ rows }: ScanPage) => rows.map(({ key }) => key)

/** Page after page until there is no more; how many there were. */
async function all(bench: OwnerBench, owned: Owned, wanted: Wanted): Promise<{ keys: string[]; pages: number }> {
  const keys: string[] = []
  for (let after = wanted.after, pages = 1; ; pages++) {
    expect(pages).toBeLessThan(200)
    const page = await pageOf(bench, owned, { ...wanted, after })
    expect(page.count).toBe(page.rows.length)
    keys.push(...keysOf(page))
    after = page.last ?? after
    if (!page.more) return { keys, pages }
  }
}

async function start(seed: string, keys: readonly string[] = [], settings = {}) {
  const bench = new OwnerBench(seed, settings)
  const owned = await bench.own('a', 1)
  const put = (key: string, value: unknown = key, more = {}) =>
    owned.call('put', { value, ...more }, { type: 'kv-users', key })
  const remove = (key: string) => owned.call('delete', null, { type: 'kv-users', key })
  for (const key of keys) await put(key)
  return { bench, owned, put, remove }
}

const names = ['a', 'a/b', 'ab', 'b', 'c.d', 'é', '\uFEFFx', '\uFFFD', '😀']

describe('a page of entries', () => {
  it('has key, rev, state and expiry of each, in the order of bytes, and where it was read (N1, N3)', async () => {
    const { bench, owned, put } = await start('page', names.toReversed())
    await put('b', { n: 2 })
    await put('c.d', null, { ttlMs: 60_000 })
    await owned.call('add', 5, { key: 'a' })
    await owned.call('put', { value: 1 }, { type: 'kv-user', key: 'other' })
    const page = await pageOf(bench, owned)
    expect(keysOf(page)).toEqual(names)
    expect(page.rows.map(({ rev }) => rev)).toEqual([1, 1, 1, 2, 2, 1, 1, 1, 1])
    expect(decodeValue(page.rows[3]!.state)).toEqual({ n: 2 })
    expect(decodeValue(page.rows[4]!.state)).toBe(null)
    expect(page.rows.map(({ expiresAt }) => expiresAt !== null)).toEqual(names.map((key) => key === 'c.d'))
    expect(page).toMatchObject({ more: false, last: '😀', count: 9, snapshot: null })
    expect(page.seq).toBe(owned.owner.history.head)
    expect(page.generation).toBe(owned.replica.position.generation)
    expect(keysOf(await pageOf(bench, owned, { reverse: true }))).toEqual(names.toReversed())
    expect(keysOf(await pageOf(bench, owned, { type: 'counter' }))).toEqual(['a'])
    expect(await pageOf(bench, owned, { type: 'kv-none' })).toMatchObject({ rows: [], more: false, last: null })
  })

  it('shows what is committed as of the request, also what no store has yet', async () => {
    const { bench, owned } = await start('committed', [], { applyEveryMs: 3_600_000 })
    for (let round = 1; round <= 5; round++) {
      await owned.call('put', { value: round }, { type: 'kv-users', key: `k${round}` })
      const page = await pageOf(bench, owned)
      expect(keysOf(page)).toHaveLength(round)
      expect(page.seq).toBe(owned.owner.history.head)
    }
    // What is committed while a page is read is in it, or behind its position.
    const reading = owned.owner.scans.answer(requestOf({}))
    const putting = owned.ask('put', { value: 6 }, { type: 'kv-users', key: 'k6' })
    const page = decodeScanReply(await bench.world.settle(reading)) as ScanPage
    await bench.world.until(() => putting.answers.length > 0)
    expect(keysOf(page).includes('k6')).toBe(page.seq >= owned.owner.history.head)
  })

  it('has its lower bound and not its upper one, and what has the prefix (N1)', async () => {
    const { bench, owned } = await start('bounds', names)
    const keys = async (wanted: Wanted) => keysOf(await pageOf(bench, owned, wanted))
    expect(await keys({ from: 'a/b', to: 'c.d' })).toEqual(['a/b', 'ab', 'b'])
    expect(await keys({ from: 'aa', to: 'ba' })).toEqual(['ab', 'b'])
    expect(await keys({ from: '😀' })).toEqual(['😀'])
    expect(await keys({ to: 'a/b' })).toEqual(['a'])
    expect(await keys({ from: '', to: '' })).toEqual([])
    expect(await keys({ from: 'b', to: 'b' })).toEqual([])
    expect(await keys({ from: 'c', to: 'b' })).toEqual([])
    expect(await keys({ prefix: 'a' })).toEqual(['a', 'a/b', 'ab'])
    expect(await keys({ prefix: '' })).toEqual(names)
    expect(await keys({ prefix: '\uFFFD' })).toEqual(['\uFFFD'])
    expect(await keys({ prefix: 'a', from: 'a/', to: 'ab' })).toEqual(['a/b'])
    expect(await keys({ prefix: 'b', to: 'a' })).toEqual([])
  })

  it('goes on behind any key, there or not, in both directions (N2)', async () => {
    const { bench, owned } = await start('after', ['b', 'd', 'f'])
    const keys = async (wanted: Wanted) => keysOf(await pageOf(bench, owned, wanted))
    expect(await keys({ after: 'b' })).toEqual(['d', 'f'])
    expect(await keys({ after: 'c' })).toEqual(['d', 'f'])
    expect(await keys({ after: 'f' })).toEqual([])
    expect(await keys({ after: 'a', from: 'c' })).toEqual(['d', 'f'])
    expect(await keys({ after: 'd', reverse: true })).toEqual(['b'])
    expect(await keys({ after: 'z', reverse: true, to: 'f' })).toEqual(['d', 'b'])
    const first = await pageOf(bench, owned, { limit: 1 })
    expect(first).toMatchObject({ last: 'b', more: true, count: 1 })
  })

  it('gives every key once by any pages, as a sorted map does', async () => {
    const { bench, owned, put, remove } = await start('property')
    const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'é', '😀'), minLength: 1, maxLength: 3 })
    const bound = fc.option(key, { nil: undefined })
    const model = new Set<string>()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(key, fc.boolean()), { maxLength: 8 }),
        fc.record({
          from: bound,
          to: bound,
          prefix: bound,
          reverse: fc.boolean(),
          limit: fc.integer({ min: 1, max: 5 }),
        }),
        async (writes, wanted) => {
          for (const [name, gone] of writes) {
            if (gone) model.delete(name)
            else model.add(name)
            await (gone ? remove(name) : put(name))
          }
          const { from = '', to, prefix = '' } = wanted
          const expected = [...model]
            .filter((name) => compareKeys(name, from) >= 0 && (to === undefined || compareKeys(name, to) < 0))
            .filter((name) => name.startsWith(prefix))
            .toSorted(compareKeys)
          const { keys } = await all(bench, owned, wanted)
          expect(keys).toEqual(wanted.reverse ? expected.toReversed() : expected)
          expect((await pageOf(bench, owned, { ...wanted, kind: 'count' })).count).toBe(expected.length)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('leaves out what was deleted and what has expired, and may be empty and have more (B2, B3)', async () => {
    const { bench, owned, put, remove } = await start('gone', ['a', 'b', 'c', 'd'], { expireEveryMs: 3_600_000 })
    await remove('a')
    await put('b', 1, { ttlMs: 1_000 })
    await put('e', 1, { ttlMs: 1_000_000 })
    expect(keysOf(await pageOf(bench, owned))).toEqual(['b', 'c', 'd', 'e'])
    await bench.pass(1_000)
    expect(keysOf(await pageOf(bench, owned))).toEqual(['c', 'd', 'e'])
    expect(await pageOf(bench, owned, { limit: 1, to: 'c' })).toMatchObject({ rows: [], more: false, last: 'b' })
    expect(await pageOf(bench, owned, { kind: 'count' })).toMatchObject({ rows: [], count: 3, more: false })
  })

  it('is bounded in bytes, and a row that is larger is one alone (B3)', async () => {
    const { bench, owned, put } = await start('bytes')
    const large = 'x'.repeat(200_000)
    for (const key of ['a', 'b', 'c', 'd', 'e']) await put(key, large)
    await put('ca', 'x'.repeat(defaultPartitionSettings.maxRecordBytes - 20_000))
    const pages: string[] = []
    for (let after: string | undefined; ;) {
      const data = await bench.world.settle(owned.owner.scans.answer(requestOf({ after })))
      expect(data.length).toBeLessThan(owned.node.process.transport.maxPayload)
      const page = decodeScanReply(data) as ScanPage
      pages.push(keysOf(page).join(''))
      if (!page.more) break
      after = page.last!
    }
    expect(pages).toEqual(['ab', 'c', 'ca', 'de'])
  })

  it('leaves under the lease: an owner that was replaced says RETRY (B1)', async () => {
    const { bench, owned } = await start('lease', ['a'])
    const second = await bench.own('b', 2)
    expect(await codeOf(bench, owned, {})).toBe('RETRY')
    expect(keysOf(await pageOf(bench, second))).toEqual(['a'])
    expect(await codeOf(bench, owned, {})).toBe('RETRY')
  })

  it('is INVALID for what is no scan, and for types of the partition itself', async () => {
    const { bench, owned } = await start('invalid')
    expect(await codeOf(bench, owned, encodeValue('nonsense'))).toBe('INVALID')
    expect(await codeOf(bench, owned, { type: '.kept' })).toBe('INVALID')
    expect(await codeOf(bench, owned, { kind: 'close' })).toBe('INVALID')
  })

  it('is OVERLOADED where too many are being read', async () => {
    const { bench, owned } = await start('overloaded', ['a'])
    const replies = await bench.world.settle(
      Promise.all(Array.from({ length: 40 }, () => owned.owner.scans.answer(requestOf({})))),
    )
    const kinds = replies.map(decodeScanReply).map((reply) => (reply.kind === 'error' ? reply.code : 'page'))
    expect(kinds.filter((kind) => kind === 'page')).toHaveLength(32)
    expect(kinds.filter((kind) => kind === 'OVERLOADED')).toHaveLength(8)
    expect(keysOf(await pageOf(bench, owned))).toEqual(['a'])
  })
})

describe('a snapshot of a partition', () => {
  it('shows one moment, whatever is written after it, by pages in any order (N4)', async () => {
    const { bench, owned, put, remove } = await start('snapshot', ['a', 'b', 'c'])
    const opened = await pageOf(bench, owned, { kind: 'open' })
    const { snapshot } = opened as { snapshot: string }
    expect(opened).toMatchObject({ rows: [], seq: owned.owner.history.head, more: true })
    await put('a', 'later')
    await remove('b')
    await put('d')
    const at = (wanted: Wanted) => pageOf(bench, owned, { ...wanted, snapshot })
    const first = await at({ limit: 2 })
    expect(keysOf(first)).toEqual(['a', 'b'])
    expect(first.seq).toBe(opened.seq)
    expect(decodeValue(first.rows[0]!.state)).toBe('a')
    expect(keysOf(await at({ after: 'b' }))).toEqual(['c'])
    expect(keysOf(await at({}))).toEqual(['a', 'b', 'c'])
    expect((await at({ kind: 'count' })).count).toBe(3)
    expect(keysOf(await pageOf(bench, owned))).toEqual(['a', 'c', 'd'])
  })

  it('never shows what has expired since', async () => {
    const { bench, owned, put } = await start('expired', ['a'])
    await put('b', 1, { ttlMs: 1_000 })
    const snapshot = (await pageOf(bench, owned, { kind: 'open' })).snapshot!
    expect(keysOf(await pageOf(bench, owned, { snapshot }))).toEqual(['a', 'b'])
    await bench.pass(1_000)
    expect(keysOf(await pageOf(bench, owned, { snapshot }))).toEqual(['a'])
  })

  it('is gone 30 s after its last page, when it is closed, and with the ownership (B4)', async () => {
    const { bench, owned } = await start('gone', ['a'])
    const snapshot = (await pageOf(bench, owned, { kind: 'open' })).snapshot!
    await bench.pass(29_000)
    expect(await codeOf(bench, owned, { snapshot })).toBe('none')
    await bench.pass(29_000)
    expect(await codeOf(bench, owned, { snapshot })).toBe('none')
    await bench.pass(31_000)
    expect(await codeOf(bench, owned, { snapshot })).toBe('NOT_FOUND')
    const second = (await pageOf(bench, owned, { kind: 'open' })).snapshot!
    expect(await codeOf(bench, owned, { kind: 'close', snapshot: second })).toBe('none')
    expect(await codeOf(bench, owned, { snapshot: second })).toBe('NOT_FOUND')
    expect(await codeOf(bench, owned, { kind: 'close', snapshot: second })).toBe('NOT_FOUND')
    const third = (await pageOf(bench, owned, { kind: 'open' })).snapshot!
    const next = await bench.own('b', 2)
    expect(await codeOf(bench, owned, { snapshot: third })).toBe('RETRY')
    expect(await codeOf(bench, next, { snapshot: third })).toBe('NOT_FOUND')
    expect((await pageOf(bench, next, { kind: 'open' })).snapshot).not.toBe(snapshot)
  })

  it('is one of a bounded number, and lets go of its place (B4)', async () => {
    const { bench, owned } = await start('bounded', ['a'])
    const open = () => replyTo(bench, owned, { kind: 'open' })
    const answers = Array.from({ length: maxSnapshots + 3 }, () =>
      owned.owner.scans.answer(requestOf({ kind: 'open' })),
    )
    const opened = (await bench.world.settle(Promise.all(answers))).map(decodeScanReply)
    const snapshots = opened.flatMap((reply) => (reply.kind === 'page' ? [reply.snapshot!] : []))
    expect(snapshots).toHaveLength(maxSnapshots)
    expect(new Set(snapshots).size).toBe(maxSnapshots)
    for (const reply of opened) if (reply.kind === 'error') expect(reply.code).toBe('OVERLOADED')
    await pageOf(bench, owned, { kind: 'close', snapshot: snapshots[0]! })
    expect((await open()).kind).toBe('page')
    expect(await codeOf(bench, owned, { kind: 'open' })).toBe('OVERLOADED')
    await bench.pass(31_000)
    expect((await open()).kind).toBe('page')
    expect(keysOf(await pageOf(bench, owned))).toEqual(['a'])
  })

  it('lets go of its view with the ownership, and after its time (B4)', async () => {
    const { bench, owned } = await start('views', ['a'])
    const range = { gte: Buffer.from('a'), lt: Buffer.from('b') }
    const room = async () => {
      const opening = Array.from({ length: maxViews }, () => owned.replica.view(range))
      const views = await bench.world.settle(Promise.allSettled(opening))
      const opened = views.flatMap((each) => (each.status === 'fulfilled' ? [each.value.view] : []))
      await bench.world.settle(Promise.all(opened.map((view) => view.close())))
      return opened.length
    }
    for (let i = 0; i < 5; i++) await pageOf(bench, owned, { kind: 'open' })
    await pageOf(bench, owned)
    expect(await room()).toBe(maxViews - 5)
    await bench.pass(31_000)
    expect(await room()).toBe(maxViews)
    for (let i = 0; i < 5; i++) await pageOf(bench, owned, { kind: 'open' })
    owned.owner.end()
    expect(await room()).toBe(maxViews)
  })
})

/** Owners' pages over a view that a test makes up. */
function over(view: StoreView) {
  const failures: unknown[] = []
  const world = new MemoryWorld({ random: new SeededRandom('made up') })
  const scans = new ScanPages({
    clock: world.clock,
    replica: { view: async () => ({ view, position: startOfLog(p0, g1) }) },
    epoch: epoch(1),
    maxPageBytes: 1_000,
    now: () => 0,
    certainly: (run) => run(true),
    onStoreFailure: (error) => failures.push(error),
  })
  return {
    clock: world.clock,
    scans,
    failures,
    answer: async (wanted: Wanted) => decodeScanReply(await scans.answer(requestOf(wanted))),
  }
}

/** The value of an actor's row. */
function stored(version: Version): Uint8Array {
  const batch = new RowBatch()
  writeActor(batch, 'thing.k', version)
  return batch.rows()[0]!.value!
}

describe('a page of a store', () => {
  const base = actorKey(actorId('kv-users', ''))
  const rowOf = (i: number, state: Uint8Array | null) =>
    [
      Buffer.concat([base, Buffer.from(`k${String(i).padStart(6, '0')}`)]),
      stored({ rev: rev(1), state, expiresAt: null, hi: 1, lo: 1 }),
    ] as const

  /** Rows without end. */
  const endless = (state: Uint8Array | null): StoreView & { read: number } => ({
    read: 0,
    async rows(_, limit) {
      const rows = Array.from({ length: limit }, (__, i) => rowOf(this.read + i, state))
      this.read += limit
      return { rows, finished: false }
    },
    close: async () => {},
  })

  it('looks at a bounded number of rows, whatever it finds (B3)', async () => {
    const deleted = endless(null)
    const page = await over(deleted).answer({})
    expect(page).toMatchObject({
      rows: [],
      count: 0,
      more: true,
      last: `k${String(deleted.read - 1).padStart(6, '0')}`,
    })
    expect(deleted.read).toBe(10_000)
    const counted = endless(encodeValue(1))
    expect(await over(counted).answer({ kind: 'count' })).toMatchObject({ rows: [], count: 10_000, more: true })
    const large = endless(new Uint8Array(100_000))
    const looked = (await over(large).answer({ kind: 'count' })) as ScanPage
    expect(looked.more).toBe(true)
    expect(looked.count).toBeLessThan(1_000)
  })

  it('that is empty, though it is said not to be the last, is RETRY, and reported', async () => {
    let reads = 0
    const stuck: StoreView = {
      rows: async () => ({ rows: [], finished: ++reads > 100 }),
      close: async () => {},
    }
    const { failures, answer } = over(stuck)
    expect(await answer({ reverse: true })).toMatchObject({ code: 'RETRY' })
    expect([reads, failures.length]).toEqual([1, 1])
  })

  /** Like a store's: closed, it is read no more. Each reading waits for `go`. */
  function gated() {
    const going: (() => void)[] = []
    let closed = false
    let read = 0
    const view: StoreView = {
      async rows(_, limit) {
        await new Promise<void>((resolve) => going.push(resolve))
        if (closed) throw new HoldfastError('INTERNAL', 'this view is closed')
        read += limit
        return { rows: Array.from({ length: limit }, (__, i) => rowOf(read - limit + i, null)), finished: read > 2_000 }
      },
      async close() {
        closed = true
      },
    }
    const go = async () => {
      going.shift()?.()
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { view, go, isClosed: () => closed }
  }

  it('of a snapshot that is closed meanwhile is NOT_FOUND, and the store is not blamed (B5)', async () => {
    const { view, go, isClosed } = gated()
    const { failures, answer } = over(view)
    const { snapshot } = (await answer({ kind: 'open' })) as ScanPage
    const pages = [answer({ snapshot: snapshot! }), answer({ snapshot: snapshot! })]
    expect(await answer({ kind: 'close', snapshot: snapshot! })).toMatchObject({ kind: 'page' })
    expect(await answer({ snapshot: snapshot! })).toMatchObject({ code: 'NOT_FOUND' })
    await go()
    expect(isClosed()).toBe(false)
    await go()
    for (const page of pages) expect(await page).toMatchObject({ code: 'NOT_FOUND' })
    expect(isClosed()).toBe(true)
    expect(failures).toEqual([])
  })

  it('of a snapshot may take longer than an idle one is kept, which counts from its end (B4)', async () => {
    const { view, go, isClosed } = gated()
    const { clock, failures, answer } = over(view)
    const { snapshot } = (await answer({ kind: 'open' })) as ScanPage
    const page = answer({ snapshot: snapshot! })
    for (let i = 0; i < 21; i++) {
      await clock.advance(20_000)
      await go()
    }
    expect(await page).toMatchObject({ kind: 'page', more: false })
    await clock.advance(29_000)
    expect(isClosed()).toBe(false)
    await clock.advance(2_000)
    expect(isClosed()).toBe(true)
    expect(failures).toEqual([])
  })

  it('that cannot be read is RETRY, and reported, unless the ownership has ended', async () => {
    const broken: StoreView = {
      rows: () => Promise.reject(new HoldfastError('INTERNAL', 'a block is damaged')),
      close: async () => {},
    }
    const { scans, failures, answer } = over(broken)
    const opened = (await answer({ kind: 'open' })) as ScanPage
    expect(await answer({})).toMatchObject({ code: 'RETRY', message: expect.stringContaining('damaged') as string })
    expect(failures).toHaveLength(1)
    const late = answer({ snapshot: opened.snapshot! })
    scans.end()
    expect(await late).toMatchObject({ code: 'RETRY' })
    expect(await answer({})).toMatchObject({ code: 'RETRY' })
    expect(failures).toHaveLength(1)
  })
})
