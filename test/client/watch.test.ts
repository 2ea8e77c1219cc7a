import { afterEach, describe, expect, it } from 'vitest'
import { actor } from '../../src/behaviour/actor.ts'
import { Holdfast } from '../../src/client/holdfast.ts'
import type { Denial, DenialListener } from '../../src/client/denials.ts'
import type { Change, Watch } from '../../src/client/watch.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { FakeCluster, subjects, value } from './fake-cluster.ts'
import { FakeLog, FakeWatchOwner, tooLarge, type Committed, type Logged } from './fake-log.ts'

const Cart = actor('cart', { version: 1, state: () => ({ n: 0 }), commands: {} })

let handles: Holdfast[] = []
afterEach(async () => {
  for (const handle of handles) await handle.close()
  handles = []
})

async function start(seed = 'watch', partitions = 4) {
  const cluster = new FakeCluster({ seed, partitions })
  cluster.node('placement', () => value(null))
  const log = new FakeLog(partitions)
  const owner = new FakeWatchOwner(cluster.world.start('owner'), log)
  const { clock } = cluster
  const connect = async () => {
    const client = cluster.client()
    await clock.settle(client.session.whenPlaced(), 1_000)
    const { process, session } = client
    const observer = { emit() {} }
    const listeners: DenialListener[] = []
    const deny = (denial: Denial, reason: string) => listeners.forEach((listener) => listener(denial, reason))
    const hf = new Holdfast({
      transport: process.transport,
      clock: process.clock,
      random: process.random,
      observer,
      session,
      subjects,
      onDenied: (listener) => void listeners.push(listener),
    })
    handles.push(hf)
    return { hf, process, deny }
  }
  const { hf, process, deny } = await connect()
  /** Commits and publishes. */
  const change = (...changes: readonly Committed[]) => {
    const logged = log.commit(...changes)
    owner.publish(...logged)
    return logged
  }
  return { cluster, clock, log, owner, hf, process, deny, connect, change }
}

/** Collects what a watch delivers. */
function collect<S>(watch: Watch<S>) {
  const changes: Change<S>[] = []
  const collected = { changes, ended: false, error: undefined as unknown }
  void (async () => {
    try {
      for await (const change of watch) changes.push(change)
    } catch (error) {
      collected.error = error
    }
    collected.ended = true
  })()
  return collected
}

const short = (changes: readonly { key: string; rev: number }[]) => changes.map(({ key, rev }) => `${key}:${rev}`)
const n = (from: number) => ({ key: 'a', state: { n: from } })

describe('a watch of one keyed actor', () => {
  it('delivers each change after it is ready, and nothing from before', async () => {
    const { hf, clock, change } = await start()
    change(n(1), n(2))
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    change(n(3))
    change({ type: 'other', key: 'a', state: 1 }, { key: 'b', state: { n: 9 } }, { key: 'a', state: null })
    await clock.advance(100)
    expect(got.changes.map(({ type, key, rev, state, at }) => ({ type, key, rev, state, at }))).toEqual([
      { type: 'cart', key: 'a', rev: 3, state: { n: 3 }, at: 3_000 },
      { type: 'cart', key: 'a', rev: 4, state: null, at: 4_000 },
    ])
    expect(Object.keys(got.changes[0]!)).toEqual(['type', 'key', 'rev', 'state', 'at', 'cursor'])
  })

  it('delivers soon after the live message, not only when it polls', async () => {
    const { hf, clock, change } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    await clock.advance(500)
    change(n(1))
    await clock.advance(5)
    expect(short(got.changes)).toEqual(['a:1'])
  })

  it('notices by itself that a last message was lost (W2)', async () => {
    const { hf, clock, log } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    log.commit(n(1))
    await clock.advance(2_100)
    expect(short(got.changes)).toEqual(['a:1'])
  })

  it('delivers a change once, however often it is published (E2)', async () => {
    const { hf, clock, owner, change } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    const logged = change(n(1), n(2))
    await clock.advance(50)
    const { length } = owner.requests
    for (let i = 0; i < 5; i++) owner.publish(...logged)
    await clock.advance(100)
    expect(short(got.changes)).toEqual(['a:1', 'a:2'])
    // And repeats are known for what they are, without asking.
    expect(owner.requests.length).toBe(length)
  })

  it('sees a change that rings while a page from before it is on its way', async () => {
    const { hf, clock, log, owner, change } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    await clock.advance(500)
    // The owner is asked because of the first change. The second one comes when the page is cut, and rings before the page ends.
    owner.beforeSending = () => {
      owner.beforeSending = () => {}
      owner.publish(...log.commit(n(2)))
    }
    change(n(1))
    await clock.advance(100)
    expect(short(got.changes)).toEqual(['a:1', 'a:2'])
  })

  it('starts with all that is kept, over many pages', async () => {
    const { hf, clock, log, owner } = await start()
    owner.limit = 7
    for (let i = 0; i < 50; i++) log.commit(n(i), n(i), { key: 'b', state: 1 })
    const got = collect(hf.actor(Cart, 'a').watch({ from: 'start' }))
    await clock.advance(500)
    expect(got.changes.map(({ rev }) => rev)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
  })

  it('resumes after any change, in the middle of a record, too', async () => {
    const { hf, clock, log } = await start()
    for (let i = 0; i < 5; i++) log.commit(n(i), n(i), n(i))
    const got = collect(hf.actor(Cart, 'a').watch({ from: 'start' }))
    await clock.advance(100)
    expect(got.changes.length).toBe(15)
    for (const [i, { cursor }] of got.changes.entries()) {
      const rest = collect(hf.actor(Cart, 'a').watch({ from: cursor }))
      await clock.advance(100)
      expect(rest.changes.map(({ rev }) => rev)).toEqual(got.changes.slice(i + 1).map(({ rev }) => rev))
    }
  })

  it('tells its own cursor, before the first change and after each', async () => {
    const { hf, clock, log, change } = await start()
    log.commit(n(1))
    const watch = hf.actor(Cart, 'a').watch()
    expect(watch.cursor).toBe('now')
    await clock.settle(watch.ready(), 100)
    const { cursor } = watch
    change(n(2))
    const rest = collect(hf.actor(Cart, 'a').watch({ from: cursor }))
    const iterator = watch[Symbol.asyncIterator]()
    const { value: first } = await clock.settle(iterator.next(), 100)
    expect(watch.cursor).toBe((first as Change<unknown>).cursor)
    await clock.advance(100)
    expect(short(rest.changes)).toEqual(['a:2'])
    watch.close()
  })

  it('asks again when some of a page was lost, and uses nothing of it (G2)', async () => {
    const { hf, clock, log, owner } = await start()
    for (let i = 0; i < 20; i++) log.commit(n(i))
    let times = 0
    owner.mood = () => (times++ < 3 ? 'lose one' : undefined)
    const got = collect(hf.actor(Cart, 'a').watch({ from: 'start' }))
    await clock.advance(1_000)
    expect(times).toBeGreaterThan(3)
    expect(got.changes.map(({ rev }) => rev)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  })

  it('gives up a page that stops coming, and asks again (G6)', async () => {
    const { hf, clock, log, owner } = await start()
    for (let i = 0; i < 20; i++) log.commit(n(i))
    let times = 0
    owner.mood = () => (times++ === 0 ? 'cut' : undefined)
    const got = collect(hf.actor(Cart, 'a').watch({ from: 'start' }))
    await clock.advance(1_900)
    expect(got.changes).toEqual([])
    await clock.advance(400)
    expect(got.changes.map(({ rev }) => rev)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  })

  it('does not mix in what comes late for a pull that it gave up (G1)', async () => {
    const { hf, clock, log, owner } = await start()
    for (let i = 0; i < 20; i++) log.commit(n(i))
    let times = 0
    owner.mood = () => (times++ === 0 ? 'late' : undefined)
    // The late ones come while the second page is awaited.
    owner.beforeSending = () => owner.sendLate()
    const got = collect(hf.actor(Cart, 'a').watch({ from: 'start' }))
    await clock.advance(2_500)
    expect(got.changes.map(({ rev }) => rev)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    expect(owner.requests.length).toBe(2)
  })

  it('waits for an owner that is away, and goes on with the next one (W6)', async () => {
    const { hf, clock, log, owner, cluster, change } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    change(n(1))
    await clock.advance(100)
    owner.mood = () => 'not the owner'
    await clock.advance(3_000)
    owner.leave()
    await clock.advance(3_000)
    const missed = log.commit(n(2), n(3))
    const next = new FakeWatchOwner(cluster.world.start('next owner'), log)
    await clock.advance(10)
    // It publishes again what its predecessor may not have.
    next.publish(...log.changes(parseInt(got.changes[0]!.cursor, 10)), ...missed)
    await clock.advance(500)
    expect(short(got.changes)).toEqual(['a:1', 'a:2', 'a:3'])
  })

  it('goes on after a lost connection, at once when it is back (W6)', async () => {
    const { hf, clock, process, log, change } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    change(n(1))
    await clock.advance(100)
    process.cut()
    await clock.advance(100)
    change(n(2))
    log.commit(n(3))
    await clock.advance(5_000)
    process.heal()
    await clock.advance(20)
    expect(short(got.changes)).toEqual(['a:1', 'a:2', 'a:3'])
  })

  it('ends where the server does not let it ask, and only then (W6)', async () => {
    const { hf, clock, deny } = await start()
    const [watch, another] = [hf.actor(Cart, 'a').watch(), hf.actor(Cart, 'b').watch()]
    const got = [collect(watch), collect(another)]
    await clock.advance(100)
    const subject = subjects.watch(partitionId(partitionOf('a', 4)))
    deny({ operation: 'subscribe', subject }, 'it may not hear')
    await clock.advance(1)
    expect(got.map(({ error }) => error)).toEqual([undefined, undefined])
    deny({ operation: 'publish', subject }, 'it may not ask')
    await clock.advance(1)
    expect(got[0]!.error).toMatchObject({ code: 'INVALID', reason: 'it may not ask' })
    expect(got[1]!.error).toBeUndefined()
    another.close()
  })

  it('ends with an error that asking again cannot mend', async () => {
    const { hf, clock, owner } = await start()
    owner.mood = () => 'denied'
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    const ready = watch.ready().catch((error: unknown) => error)
    await clock.advance(100)
    expect(isHoldfastError(got.error, 'CONFLICT')).toBe(true)
    expect(isHoldfastError(await ready, 'CONFLICT')).toBe(true)
  })

  it('asks every 2 s while nothing happens, and no more (G5)', async () => {
    const { hf, clock, owner } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    await clock.settle(watch.ready(), 100)
    owner.requests.length = 0
    await clock.advance(20_100)
    expect(owner.requests.length).toBeGreaterThanOrEqual(9)
    expect(owner.requests.length).toBeLessThanOrEqual(10)
  })

  it('shares pages under a steady stream (G5)', async () => {
    const { hf, clock, owner, change } = await start()
    const watch = hf.actor(Cart, 'a').watch()
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    owner.requests.length = 0
    for (let i = 0; i < 1_000; i++) {
      change(n(i))
      await clock.advance(1)
    }
    await clock.advance(50)
    expect(got.changes.map(({ rev }) => rev)).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1))
    expect(owner.requests.length).toBeLessThan(60)
  })

  it('keeps one page for a slow consumer, and asks for no more until that is delivered (W5)', async () => {
    const { hf, clock, owner, log, change } = await start()
    owner.limit = 10
    for (let i = 0; i < 100; i++) log.commit(n(i))
    const iterator = hf.actor(Cart, 'a').watch({ from: 'start' })[Symbol.asyncIterator]()
    await clock.settle(iterator.next(), 100)
    for (let i = 0; i < 50; i++) change(n(i))
    await clock.advance(10_000)
    expect(owner.requests.length).toBe(1)
    const revs: number[] = []
    for (let i = 0; i < 149; i++) {
      const { value: change } = await clock.settle(iterator.next(), 100)
      revs.push((change as Change<unknown>).rev)
    }
    expect(revs).toEqual(Array.from({ length: 149 }, (_, i) => i + 2))
    await iterator.return?.()
  })
})

describe('a watch of very many partitions', () => {
  it('keeps sixteen pages at most for a slow consumer, and brings all of them in the end (W5)', async () => {
    const partitions = 64
    const { hf, clock, owner, log } = await start('many', partitions)
    const keys = Array.from({ length: 1_000 }, (_, i) => `k${i}`)
    for (const key of keys) log.commit({ key, state: { n: 1 } })
    const watch = hf.watch(Cart, { from: 'start' })
    await clock.advance(30_000)
    expect(owner.requests).toHaveLength(16)
    const pages = () => hf.metrics().find(({ name }) => name === 'holdfast_client_watch_pages')
    expect(pages()).toMatchObject({ value: 16, limit: 16 })
    const got = collect(watch)
    await clock.advance(1_000)
    expect(got.changes.map(({ key }) => key).toSorted()).toEqual(keys.toSorted())
    await clock.advance(3_000)
    expect(pages()).toMatchObject({ value: 0 })
  })

  it("from 'start' or a cursor is ready before anybody reads it, however many have changes (W4)", async () => {
    const { hf, clock, log, change } = await start('fixed', 64)
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`)
    log.commit(...keys.map((key) => ({ key, state: { n: 1 } })))
    const watch = hf.watch(Cart, { from: 'start' })
    await clock.settle(watch.ready(), 1_000)
    const got = collect(watch)
    await clock.advance(5_000)
    expect(got.changes.map(({ key }) => key).toSorted()).toEqual(keys.toSorted())
    // At its end there is nothing that a page could bring.
    const later = hf.watch(Cart, { from: watch.cursor })
    await clock.settle(later.ready(), 1_000)
    const gotLater = collect(later)
    change({ key: 'k7', state: { n: 2 } })
    await clock.advance(1_000)
    expect(short(gotLater.changes)).toEqual(['k7:2'])
  })

  it('from now is ready also where more of them have changes than there are places, and one answers late (W4)', async () => {
    const { hf, clock, owner, log, change } = await start('late', 64)
    owner.mood = (_, partition) => (partition === 63 ? 'silence' : undefined)
    const watch = hf.watch(Cart)
    const got = collect(watch)
    await clock.advance(500)
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`)
    change(...keys.map((key) => ({ key, state: { n: 1 } })))
    await clock.advance(5_000)
    expect(got.changes).toEqual([])
    owner.mood = () => undefined
    await clock.settle(watch.ready(), 10_000)
    await clock.advance(5_000)
    const inLate = new Set(log.changes(63).map(({ key }) => key))
    const others = keys.filter((key) => !inLate.has(key)).toSorted()
    expect(got.changes.map(({ key }) => key).toSorted()).toEqual(others)
  })

  it('gives up an owner who sends more than a page may have (G8)', async () => {
    const { hf, clock, owner, log } = await start('flood', 1)
    for (let i = 0; i < 2_000; i++) log.commit(n(i))
    owner.limit = 1_500
    const got = collect(hf.actor(Cart, 'a').watch({ from: 'start' }))
    await clock.advance(300)
    expect(got.changes).toEqual([])
    owner.limit = 1_000
    await clock.advance(1_000)
    expect(got.changes.map(({ rev }) => rev)).toEqual(Array.from({ length: 2_000 }, (_, i) => i + 1))
  })
})

describe('a watch of a type', () => {
  const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

  it('delivers the changes of every key, each once and in its order', async () => {
    const { hf, clock, change } = await start()
    const watch = hf.watch(Cart)
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    for (let i = 0; i < 20; i++)
      change(...keys.map((key) => ({ key, state: { n: i } })), { type: 'other', key: 'a', state: 1 })
    await clock.advance(200)
    for (const key of keys) {
      expect(got.changes.filter((c) => c.key === key).map(({ rev }) => rev)).toEqual(
        Array.from({ length: 20 }, (_, i) => i + 1),
      )
    }
    expect(got.changes.length).toBe(160)
  })

  it('resumes after any change: nothing is lost and nothing comes twice (W3)', async () => {
    const { hf, clock, log, owner } = await start()
    owner.limit = 3
    for (let i = 0; i < 4; i++) log.commit(...keys.map((key) => ({ key, state: { n: i } })))
    const got = collect(hf.watch(Cart, { from: 'start' }))
    await clock.advance(1_000)
    expect(got.changes.length).toBe(32)
    for (const [i, { cursor }] of got.changes.entries()) {
      const rest = collect(hf.watch(Cart, { from: cursor }))
      await clock.advance(1_000)
      expect([...short(got.changes.slice(0, i + 1)), ...short(rest.changes)].toSorted()).toEqual(
        short(got.changes).toSorted(),
      )
    }
  })

  it('from now delivers nothing before it knows where it starts in every partition (W4)', async () => {
    const { hf, clock, cluster, log, owner, change, connect } = await start()
    owner.mood = (_request, partition) => (partition === 2 ? 'silence' : undefined)
    const watch = hf.watch(Cart)
    const got = collect(watch)
    await clock.advance(100)
    change(...keys.map((key) => ({ key, state: { n: 1 } })))
    await clock.advance(1_000)
    expect(got.changes).toEqual([])
    owner.mood = () => undefined
    await clock.settle(watch.ready(), 3_000)
    change(...keys.map((key) => ({ key, state: { n: 2 } })))
    await clock.advance(100)
    const second = got.changes.filter(({ rev }) => rev === 2)
    expect(second.length).toBe(8)
    // Its cursors cover partition 2 as well.
    const { hf: other } = await connect()
    const logged = log.commit({ key: cluster.keyOf(2), state: { n: 3 } })
    const rest = collect(other.watch(Cart, { from: got.changes.at(-1)!.cursor }))
    await clock.advance(3_000)
    expect(short(rest.changes)).toEqual(short(logged))
  })

  it('shows its cursor where a change is copied or printed', async () => {
    const { hf, clock, log } = await start()
    log.commit(n(1))
    const got = collect(hf.watch(Cart, { from: 'start' }))
    await clock.advance(100)
    const [first] = got.changes
    expect({ ...first }.cursor).toMatch(/^[A-Za-z0-9_-]{20,}$/)
    expect((JSON.parse(JSON.stringify(first)) as { cursor: string }).cursor).toBe(first?.cursor)
  })

  it('says so when a state was too large for a message', async () => {
    const { hf, clock, log } = await start()
    log.commit({ key: 'a', state: tooLarge }, n(2))
    const got = collect(hf.watch(Cart, { from: 'start' }))
    await clock.advance(100)
    expect(got.changes.map(({ rev, state, omitted }) => [rev, state, omitted])).toEqual([
      [1, null, true],
      [2, { n: 2 }, undefined],
    ])
  })
})

describe('a watch of a prefix', () => {
  it('delivers the keys that begin so, and asks their owners for no others', async () => {
    const { hf, clock, owner, change } = await start()
    const watch = hf.watch(Cart, { prefix: 'eu/' })
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    const keys = ['eu/a', 'eu/b/c', 'eu', 'EU/a', 'us/eu/a', 'eu/é']
    change(...keys.map((key) => ({ key, state: { n: 1 } })))
    await clock.advance(100)
    expect(short(got.changes).toSorted()).toEqual(['eu/a:1', 'eu/b/c:1', 'eu/é:1'])
    expect(new Set(owner.requests.map(({ type, prefix }) => `${type} ${prefix}`))).toEqual(new Set(['cart eu/']))
  })

  it('is rung by those keys alone, also by one whose token is a hash', async () => {
    const { hf, clock, owner, change } = await start()
    const long = `eu/${'x'.repeat(200)}`
    const watch = hf.watch(Cart, { prefix: 'eu/' })
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    await clock.advance(500)
    const asked = owner.requests.length
    for (let i = 0; i < 20; i++) change({ key: `us/${i}`, state: { n: 1 } }, { key: `us/${long}`, state: { n: 1 } })
    await clock.advance(100)
    expect(owner.requests.length).toBe(asked)
    change({ key: long, state: { n: 1 } })
    await clock.advance(5)
    expect(short(got.changes)).toEqual([`${long}:1`])
  })

  it('is that of the whole type where the prefix is empty', async () => {
    const { hf, clock, owner, log } = await start()
    log.commit(n(1))
    const got = collect(hf.watch(Cart, { prefix: '', from: 'start' }))
    await clock.advance(100)
    expect(short(got.changes)).toEqual(['a:1'])
    expect(owner.requests[0]).not.toHaveProperty('prefix', '')
  })
})

it('that begins with a signal that has aborted does not stay on it', async () => {
  const { hf } = await start()
  const signal = AbortSignal.abort()
  const heard: string[] = []
  signal.addEventListener = (type: string) => void heard.push(type)
  const watch = hf.watch(Cart, { signal })
  expect(isHoldfastError(await watch.ready().catch((error: unknown) => error), 'INVALID')).toBe(true)
  expect(heard).toEqual([])
})

describe('what cannot be watched', () => {
  const bad = (run: () => unknown) => expect(run).toThrow(expect.objectContaining({ code: 'INVALID' }))

  it('is refused: texts that are no cursor, and cursors of the other kind', async () => {
    const { hf, clock, log } = await start()
    log.commit(n(1))
    const [one, all] = [
      collect(hf.actor(Cart, 'a').watch({ from: 'start' })),
      collect(hf.watch(Cart, { from: 'start' })),
    ]
    await clock.advance(100)
    const [cursor, vector] = [one.changes[0]!.cursor, all.changes[0]!.cursor]
    for (const from of ['', 'x', '1-2-3', vector, `${cursor} `]) bad(() => hf.actor(Cart, 'a').watch({ from }))
    const swapped = Buffer.from(
      [...Buffer.from(vector, 'base64url').toString().split(',')].toReversed().join(','),
    ).toString('base64url')
    for (const from of ['', 'x', cursor, 'AAAA', swapped]) bad(() => hf.watch(Cart, { from }))
  })

  it('is refused: prefixes that no key has, and other bad options', async () => {
    const { hf, owner } = await start()
    for (const options of [null, 'start', 5]) {
      bad(() => hf.watch(Cart, options as never))
      bad(() => hf.actor(Cart, 'a').watch(options as never))
    }
    for (const prefix of ['x'.repeat(513), '\uD800', 5, null, {}]) {
      bad(() => hf.watch(Cart, { prefix: prefix as string }))
      bad(() => hf.kv('users').watch({ prefix: prefix as string }))
    }
    bad(() => hf.kv('users').watch({ key: 'a', prefix: 'a' }))
    bad(() => hf.actor(Cart, 'a').watch({ prefix: 'a' } as object))
    for (const options of [{ onExpired: 'ignore' }, { onReset: 5 }, { onResetEnd: 'x' }, { from: 5 }, { from: null }])
      bad(() => hf.watch(Cart, options as object))
    expect(owner.requests).toEqual([])
  })

  it("is refused once the partitions are known: a cursor of another key's partition, or another count of partitions", async () => {
    const { hf, clock, log, cluster } = await start()
    const [k0, k1] = [cluster.keyOf(0), cluster.keyOf(1)]
    log.commit({ key: k0, state: 1 })
    const [one, all] = [
      collect(hf.actor(Cart, k0).watch({ from: 'start' })),
      collect(hf.watch(Cart, { from: 'start' })),
    ]
    await clock.advance(100)
    const other = collect(hf.actor(Cart, k1).watch({ from: one.changes[0]!.cursor }))
    const halved = Buffer.from(all.changes[0]!.cursor, 'base64url').toString().split(',').slice(0, 2).join(',')
    const half = collect(hf.watch(Cart, { from: Buffer.from(halved).toString('base64url') }))
    await clock.advance(10)
    expect([isHoldfastError(other.error, 'INVALID'), isHoldfastError(half.error, 'INVALID')]).toEqual([true, true])
  })

  it('is refused a second time: a watch is iterated once', async () => {
    const { hf } = await start()
    const watch = hf.watch(Cart)
    const first = watch[Symbol.asyncIterator]()
    const pending = first.next()
    let thrown: unknown
    await watch[Symbol.asyncIterator]()
      .next()
      .catch((error: unknown) => {
        thrown = error
      })
    expect(isHoldfastError(thrown, 'INVALID')).toBe(true)
    watch.close()
    expect(await pending).toEqual({ value: undefined, done: true })
  })
})

describe('a watch ends', () => {
  const endings: [
    name: string,
    end: (parts: { watch: Watch<unknown>; abort: AbortController; hf: Holdfast }) => unknown,
  ][] = [
    ['by close', ({ watch }) => watch.close()],
    ['by its signal', ({ abort }) => abort.abort()],
    ['with its client', ({ hf }) => hf.close()],
  ]
  it.each(endings)('%s, and leaves nothing behind', async (_name, end) => {
    const { hf, clock, owner, process, cluster, change } = await start()
    const abort = new AbortController()
    const watch = hf.watch(Cart, { signal: abort.signal })
    const got = collect(watch)
    await clock.settle(watch.ready(), 100)
    change(n(1))
    await clock.advance(100)
    await end({ watch, abort, hf })
    change(n(2))
    await clock.advance(100)
    expect(got).toMatchObject({ ended: true, error: undefined })
    expect(short(got.changes)).toEqual(['a:1'])
    expect(cluster.world.hub.listenersOf(process.transport, 'test.changes.cart.a')).toEqual([])
    const { length } = owner.requests
    await clock.advance(10_000)
    expect(owner.requests.length).toBe(length)
    let closed: unknown
    await watch.ready().catch((error: unknown) => {
      closed = error
    })
    expect(isHoldfastError(closed, 'INVALID')).toBe(true)
  })

  it('by leaving the loop', async () => {
    const { hf, clock, owner, log } = await start()
    log.commit(n(1), n(2))
    const watch = hf.actor(Cart, 'a').watch({ from: 'start' })
    const left = (async () => {
      for await (const { rev } of watch) return rev
      return 0
    })()
    expect(await clock.settle(left, 100)).toBe(1)
    const { length } = owner.requests
    await clock.advance(10_000)
    expect(owner.requests.length).toBe(length)
  })

  it('before it began, where its signal was aborted already', async () => {
    const { hf, clock, owner } = await start()
    const watch = hf.watch(Cart, { signal: AbortSignal.abort() })
    const got = collect(watch)
    await clock.advance(100)
    expect(got).toMatchObject({ ended: true, error: undefined, changes: [] })
    expect(owner.requests).toEqual([])
  })

  it('is not begun by a closed client', async () => {
    const { hf } = await start()
    await hf.close()
    expect(() => hf.watch(Cart)).toThrow(/closed/)
  })
})

describe('whatever is lost on the way', () => {
  it.each(Array.from({ length: 30 }, (_, i) => i))(
    'every change comes once and in its order, resumed or not (seed %i)',
    async (seed) => {
      const random = new SeededRandom(`watch ${seed}`)
      const { hf, clock, cluster, log, process, owner: first } = await start(`watch ${seed}`)
      let owner = first
      const keys = Array.from({ length: 6 }, (_, i) => `key${i}`)
      const committed: Logged[] = []
      process.links.hub.dropProbability = random.between(0, 0.15)
      owner.limit = 1 + random.below(8)
      const seen: { key: string; rev: number }[] = []
      const seenOfKey: number[] = []
      let over = false
      let watch = hf.watch(Cart, { from: 'start' })
      /** Watches for a while, then goes away and comes back with its cursor. */
      const follow = async () => {
        while (!over) {
          let from = watch.cursor
          for await (const { key, rev, cursor } of watch) {
            seen.push({ key, rev })
            from = cursor
            if (random.chance(0.05)) break
          }
          if (!over) watch = hf.watch(Cart, { from })
        }
      }
      const following = follow()
      const ofKey = hf.actor(Cart, 'key3').watch({ from: 'start' })
      const followingKey = (async () => {
        for await (const { rev } of ofKey) seenOfKey.push(rev)
      })()
      for (let i = 0; i < 60; i++) {
        const logged = log.commit(
          ...Array.from({ length: 1 + random.below(5) }, () => ({ key: random.pick(keys)!, state: { n: i } })),
        )
        committed.push(...logged)
        if (random.chance(0.7)) owner.publish(...logged)
        const dice = random.next()
        if (dice < 0.05) process.cut({ noticeAfterMs: random.between(0, 300) })
        else if (dice < 0.2) process.heal()
        else if (dice < 0.25) {
          owner.leave()
          owner = new FakeWatchOwner(cluster.world.start(`owner ${i}`), log)
          owner.limit = 1 + random.below(8)
          owner.publish(...committed.slice(-10))
        } else if (dice < 0.4) {
          const mood = random.pick(['lose one', 'cut', 'silence', 'not the owner'] as const)
          owner.mood = () => (random.chance(0.5) ? mood : undefined)
        }
        await clock.advance(random.between(0, 200))
      }
      process.heal()
      process.links.hub.dropProbability = 0
      owner.mood = () => undefined
      await clock.advance(10_000)
      over = true
      watch.close()
      ofKey.close()
      await Promise.all([following, followingKey])
      for (const key of keys) {
        const revs = committed.filter((c) => c.key === key).map(({ rev }) => rev)
        expect(
          seen.filter((c) => c.key === key).map(({ rev }) => rev),
          `revs of ${key}`,
        ).toEqual(revs)
      }
      expect(seenOfKey).toEqual(committed.filter(({ key }) => key === 'key3').map(({ rev }) => rev))
      expect(committed.length).toBeGreaterThan(60)
    },
  )
})
