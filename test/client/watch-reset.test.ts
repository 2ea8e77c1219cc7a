import { afterEach, describe, expect, it } from 'vitest'
import type { Change, TypeWatchOptions, Watch } from '../../src/client/watch.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Cart, keysOf, Mirror, partitions, subjects, WatchWorld } from './watch-world.ts'

let worlds: WatchWorld[] = []
afterEach(async () => {
  for (const world of worlds) await world.close()
  worlds = []
})

async function start(seed: number) {
  const world = await WatchWorld.start(seed)
  worlds.push(world)
  const { hf, process } = await world.client()
  const set = (key: string, n: number) => world.settle(hf.actor(Cart, key).set(n))
  const remove = (key: string) => world.settle(hf.actor(Cart, key).close())
  return { world, hf, process, set, remove, clock: world.clock }
}

/** Collects what a watch delivers, until it ends. */
function collect(watch: Watch<unknown>) {
  const collected = { changes: [] as Change<unknown>[], error: undefined as unknown, ended: false }
  void (async () => {
    try {
      for await (const change of watch) collected.changes.push(change)
    } catch (error) {
      collected.error = error
    }
    collected.ended = true
  })()
  return collected
}

const told = (changes: readonly Change<unknown>[]) =>
  changes.map(({ key, rev, state, reset, deleted }) => ({ key, rev, state, reset, deleted }))

const plain = { reset: undefined, deleted: undefined }

describe('a cursor of one key that the log does not go back to', () => {
  it('gives the present state as one reset, and the changes right behind it (W7)', async () => {
    const { world, hf, set, clock } = await start(1)
    await set('a', 1)
    const before = collect(hf.actor(Cart, 'a').watch({ from: 'start' }))
    await clock.advance(100)
    await set('a', 2)
    await set('a', 3)
    await world.purge()
    const { cursor } = before.changes[0]!
    const calls: string[] = []
    const after = collect(
      hf.actor(Cart, 'a').watch({
        from: cursor,
        onReset: ({ type, covers }) => void calls.push(`begin ${type} ${covers('a')} ${covers('b')}`),
        onResetEnd: () => void calls.push(`end ${after.changes.length}`),
      }),
    )
    await clock.advance(100)
    await set('a', 4)
    await clock.advance(100)
    expect(told(after.changes)).toEqual([
      { key: 'a', rev: 3, state: { n: 3 }, reset: true, deleted: undefined },
      { key: 'a', rev: 4, state: { n: 4 }, ...plain },
    ])
    expect(calls).toEqual(['begin cart true false', 'end 1'])
    // The watch that was never away saw all of it.
    expect(before.changes.map(({ rev }) => rev)).toEqual([1, 2, 3, 4])
    // And the cursor of the reset is a cursor like any other.
    const again = collect(hf.actor(Cart, 'a').watch({ from: after.changes[0]!.cursor }))
    await clock.advance(100)
    expect(told(again.changes)).toEqual([{ key: 'a', rev: 4, state: { n: 4 }, ...plain }])
  })

  it('says that it is not there, with the rev of its deletion, or 0 where it never was', async () => {
    const { world, hf, set, remove, clock } = await start(2)
    await set('a', 1)
    const { cursor } = collect(hf.actor(Cart, 'a').watch({ from: 'start' })).changes[0] ?? { cursor: 'start' }
    await remove('a')
    await set('b', 1)
    await world.purge()
    const [a, never] = [
      collect(hf.actor(Cart, 'a').watch({ from: cursor })),
      collect(hf.actor(Cart, 'never').watch({ from: 'start' })),
    ]
    await clock.advance(200)
    expect(told(a.changes)).toEqual([{ key: 'a', rev: 2, state: null, reset: true, deleted: true }])
    expect(told(never.changes)).toEqual([{ key: 'never', rev: 0, state: null, reset: true, deleted: true }])
    await set('a', 5)
    await clock.advance(100)
    expect(told(a.changes).at(-1)).toEqual({ key: 'a', rev: 3, state: { n: 5 }, ...plain })
  })

  it('ends the watch with EXPIRED where that was chosen, and never begins later in silence', async () => {
    const { world, hf, set, clock } = await start(3)
    for (let n = 1; n <= 3; n++) await set('a', n)
    const kept = collect(hf.actor(Cart, 'a').watch({ from: 'start', onExpired: 'fail' }))
    await clock.advance(100)
    expect(kept.changes.map(({ rev }) => rev)).toEqual([1, 2, 3])
    await world.purge()
    const cases = [kept.changes[0]!.cursor, 'start'].map((from) =>
      collect(hf.actor(Cart, 'a').watch({ from, onExpired: 'fail' })),
    )
    const whole = collect(hf.watch(Cart, { from: 'start', onExpired: 'fail' }))
    await clock.advance(100)
    for (const { error, changes } of [...cases, whole]) {
      expect(isHoldfastError(error, 'EXPIRED')).toBe(true)
      expect((error as Error).message).toContain("onExpired: 'reset'")
      expect(changes).toEqual([])
    }
    // What is still kept, in the log or in memory, is no reset.
    const newest = collect(hf.actor(Cart, 'a').watch({ from: kept.changes[2]!.cursor, onExpired: 'fail' }))
    await set('a', 4)
    await clock.advance(100)
    expect(told(newest.changes)).toEqual([{ key: 'a', rev: 4, state: { n: 4 }, ...plain }])
  })

  it('is treated alike where it is of another generation of the log', async () => {
    const { hf, set, clock } = await start(4)
    await set('a', 1)
    await set('a', 2)
    const p = partitionOf('a', partitions)
    const from = `${p}-anotherGeneration-99-0`
    const reset = collect(hf.actor(Cart, 'a').watch({ from }))
    const failed = collect(hf.actor(Cart, 'a').watch({ from, onExpired: 'fail' }))
    const vector = Buffer.from(
      Array.from({ length: partitions }, (_, n) => (n === p ? from : 'start')).join(','),
    ).toString('base64url')
    const type = collect(hf.watch(Cart, { from: vector }))
    await clock.advance(200)
    for (const { changes } of [reset, type])
      expect(told(changes)).toEqual([{ key: 'a', rev: 2, state: { n: 2 }, reset: true, deleted: undefined }])
    expect(isHoldfastError(failed.error, 'EXPIRED')).toBe(true)
  })
})

describe('a cursor of a type or prefix that logs do not go back to', () => {
  const prefixes = ['', 'eu/'] as const

  it.each(prefixes)('resets the partitions that have expired, and no others (prefix "%s")', async (prefix) => {
    const { world, hf, set, remove, clock } = await start(5)
    const keys = Array.from({ length: partitions }, (_, p) => keysOf(p, 3, 'eu/')).flat()
    const others = Array.from({ length: partitions }, (_, p) => keysOf(p, 1, 'us/')).flat()
    for (const key of [...keys, ...others]) await set(key, 1)
    const mirror = new Mirror()
    const begin = (options: TypeWatchOptions) => hf.watch(Cart, { ...options, prefix })
    void mirror.follow(begin)
    await clock.advance(100)
    expect(mirror.entries.size).toBe(prefix === '' ? 16 : 12)
    mirror.leave()
    const seen = mirror.changes.length
    for (const key of keys) await set(key, 2)
    for (let p = 0; p < partitions; p++) await remove(keysOf(p, 1, 'eu/')[0]!)
    await set(keysOf(1, 4, 'eu/')[3]!, 7)
    await set(keysOf(1, 4, 'us/')[3]!, 7)
    await world.purge(1, 3)
    void mirror.follow(begin)
    await clock.advance(200)
    const came = mirror.changes.slice(seen)
    expect(new Set(came.filter(({ reset }) => reset).map(({ key }) => partitionOf(key, partitions)))).toEqual(
      new Set([1, 3]),
    )
    expect(new Set(came.filter(({ reset }) => !reset).map(({ key }) => partitionOf(key, partitions)))).toEqual(
      new Set([0, 2]),
    )
    expect(mirror.resets).toEqual(['begin', 'end', 'begin', 'end'])
    const expected = new Map(keys.filter((_, i) => i % 3 !== 0).map((key) => [key, { rev: 2, state: { n: 2 } }]))
    expected.set(keysOf(1, 4, 'eu/')[3]!, { rev: 1, state: { n: 7 } })
    if (prefix === '') {
      for (const key of others) expected.set(key, { rev: 1, state: { n: 1 } })
      expected.set(keysOf(1, 4, 'us/')[3]!, { rev: 1, state: { n: 7 } })
    }
    expect(new Map([...mirror.entries].toSorted())).toEqual(new Map([...expected].toSorted()))
    for (const key of keys.slice(1)) await set(key, 3)
    await clock.advance(100)
    for (const key of keys.slice(1)) expect(mirror.entries.get(key)?.state, key).toEqual({ n: 3 })
    expect(mirror.error).toBe(undefined)
  })

  it('tells of an empty partition by its begin and end alone', async () => {
    const { world, hf, set, remove, clock } = await start(6)
    const [a, b] = keysOf(2, 2) as [string, string]
    await set(a, 1)
    const mirror = new Mirror()
    void mirror.follow((options) => hf.watch(Cart, options))
    await clock.advance(100)
    mirror.leave()
    await remove(a)
    await set(b, 1)
    await remove(b)
    await world.purge(2)
    void mirror.follow((options) => hf.watch(Cart, options))
    await clock.advance(100)
    expect(mirror.resets).toEqual(['begin', 'end'])
    expect(mirror.entries.size).toBe(0)
    expect(mirror.changes.length).toBe(1)
  })

  it('is complete from the start of logs that have lost theirs', async () => {
    const { world, hf, set, clock } = await start(7)
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
    for (const key of keys) await set(key, 1)
    await world.purge()
    const mirror = new Mirror()
    void mirror.follow((options) => hf.watch(Cart, options))
    await clock.advance(200)
    expect([...mirror.entries.keys()].toSorted()).toEqual(keys.toSorted())
  })

  it('expires also where nothing of a partition had been delivered', async () => {
    const { world, hf, set, clock } = await start(8)
    const keys = Array.from({ length: partitions }, (_, p) => keysOf(p, 1)[0]!)
    for (const key of keys) await set(key, 1)
    const mirror = new Mirror()
    for await (const change of withClock(clock, hf.watch(Cart, { from: 'start' }))) {
      mirror.take(change)
      break
    }
    const positions = Buffer.from(mirror.cursor!, 'base64url').toString().split(',')
    expect(positions.filter((position) => position === 'start').length).toBe(partitions - 1)
    for (const key of keys) await set(key, 2)
    await world.purge()
    void mirror.follow((options) => hf.watch(Cart, options))
    await clock.advance(200)
    expect([...mirror.entries.values()]).toEqual(keys.map(() => ({ rev: 2, state: { n: 2 } })))
    expect(mirror.resets.length).toBe(2 * partitions)
  })
})

describe('a reset of many pages', () => {
  const count = 2_300

  async function startLarge(seed: number) {
    const started = await start(seed)
    const { world, hf, clock } = started
    const keys = keysOf(0, count, 'k')
    await world.settle(Promise.all(keys.map((key) => hf.actor(Cart, key).set(1))))
    await world.purge(0)
    const snapshots = { opened: 0, closed: 0, asked: 0 }
    const { transport } = world.cluster.world.start('spy')
    transport.subscribe(subjects.watch(0 as never), ({ data }) => {
      const request = JSON.parse(Buffer.from(data).toString()) as { snapshot?: string; done?: true; limit?: number }
      if (request.done === true) snapshots.closed++
      else if (request.snapshot !== undefined) snapshots.asked++
    })
    await clock.advance(10)
    return { ...started, keys, snapshots }
  }

  it('is of one moment: changes that come meanwhile follow it, each once (G7)', async () => {
    const { world, hf, clock, keys, snapshots } = await startLarge(9)
    const mirror = new Mirror()
    void mirror.follow((options) => hf.watch(Cart, options))
    await clock.runUntil(() => mirror.changes.length > 0, 5_000)
    expect(mirror.changes.length).toBeLessThan(count)
    const writes = Promise.all(keys.filter((_, i) => i % 7 === 0).map((key) => hf.actor(Cart, key).set(2)))
    await world.settle(writes)
    await clock.advance(500)
    const resets = mirror.changes.filter(({ reset }) => reset)
    expect(resets.length).toBe(count)
    expect(new Set(resets.map(({ rev }) => rev))).toEqual(new Set([1]))
    expect(mirror.changes.filter(({ reset }) => !reset).length).toBe(Math.ceil(count / 7))
    for (const [i, key] of keys.entries()) expect(mirror.entries.get(key)!.rev).toBe(i % 7 === 0 ? 2 : 1)
    expect(mirror.resets).toEqual(['begin', 'end'])
    expect(snapshots).toMatchObject({ asked: 2, closed: 1 })
  })

  it('begins again for who left in the middle, and is done for who had the last of it (W7)', async () => {
    const { hf, clock } = await startLarge(10)
    const got = collect(hf.watch(Cart, { from: 'start' }))
    await clock.advance(500)
    const resets = got.changes.filter(({ reset }) => reset)
    const [middle, last] = [resets[1_500]!.cursor, resets.at(-1)!.cursor]
    const again = collect(hf.watch(Cart, { from: middle }))
    const rest = collect(hf.watch(Cart, { from: last }))
    await clock.advance(500)
    expect(again.changes.length).toBe(count)
    expect(rest.changes).toEqual([])
  })

  it('waits for a consumer that takes minutes (G7)', async () => {
    const { hf, clock, snapshots } = await startLarge(11)
    const iterator = hf.watch(Cart, { from: 'start' })[Symbol.asyncIterator]()
    const keys = new Set<string>()
    for (let i = 0; i < count; i++) {
      const { value } = await clock.settle(iterator.next(), 5_000)
      keys.add((value as Change<unknown>).key)
      if (i === 10 || i === 1_500) await clock.advance(95_000)
    }
    expect(keys.size).toBe(count)
    // Reminders, and no second reading.
    expect(snapshots.asked).toBe(2 + 9 + 9)
    await iterator.return?.()
  })

  it('is let go of by who leaves it', async () => {
    const { hf, clock, snapshots } = await startLarge(12)
    for await (const _ of withClock(clock, hf.watch(Cart, { from: 'start' }))) break
    await clock.advance(100)
    expect(snapshots.closed).toBe(1)
  })

  it('begins anew when the owner changes in the middle, and ends once', async () => {
    const { world, hf, clock, keys } = await startLarge(13)
    const mirror = new Mirror()
    let pause: Promise<void> | undefined
    let goOn = () => {}
    void mirror.follow((options) =>
      hf.watch(Cart, {
        ...options,
        onReset: async (reset) => {
          await options.onReset?.(reset)
          if (pause !== undefined) return
          pause = new Promise((resolve) => (goOn = resolve))
          await pause
        },
      }),
    )
    await clock.runUntil(() => pause !== undefined, 5_000)
    await clock.advance(100)
    world.cluster.crash('n1')
    world.cluster.start('n1')
    await world.cluster.settled()
    goOn()
    await clock.advance(5_000)
    expect(mirror.resets).toEqual(['begin', 'begin', 'end'])
    expect([...mirror.entries.keys()].toSorted()).toEqual(keys.toSorted())
    expect(mirror.error).toBe(undefined)
  })
})

describe('what a reset does not survive', () => {
  it('is an error of the callbacks: the watch ends with it', async () => {
    const { world, hf, set, clock } = await start(14)
    await set('a', 1)
    await set('a', 2)
    await world.purge()
    const thrown = new Error('the copy cannot be written')
    for (const name of ['onReset', 'onResetEnd'] as const) {
      const got = collect(hf.watch(Cart, { from: 'start', [name]: () => Promise.reject(thrown) }))
      await clock.advance(100)
      expect(got.error).toBe(thrown)
      expect(got.ended).toBe(true)
    }
  })
})

describe('whatever is purged, whoever is away', () => {
  it.each(Array.from({ length: 12 }, (_, i) => i))('a copy comes to be what is there (seed %i)', async (seed) => {
    const random = new SeededRandom(`resets ${seed}`)
    const { world, hf, set, remove, clock, process } = await start(100 + seed)
    const keys = Array.from({ length: 24 }, (_, i) => `${i % 3 === 0 ? 'eu/' : ''}k${i}`)
    const key = keys[5]!
    const views: [Mirror, (options: TypeWatchOptions) => Watch<unknown>, (key: string) => boolean][] = [
      [new Mirror(), (options) => hf.watch(Cart, options), () => true],
      [new Mirror(), (options) => hf.watch(Cart, { ...options, prefix: 'eu/' }), (each) => each.startsWith('eu/')],
      [new Mirror(), (options) => hf.actor(Cart, key).watch(options), (each) => each === key],
    ]
    for (const [mirror, begin] of views) void mirror.follow(begin)
    for (let step = 0; step < 60; step++) {
      const dice = random.next()
      if (dice < 0.6) await set(random.pick(keys)!, step)
      else if (dice < 0.7) await remove(random.pick(keys)!)
      else if (dice < 0.8) await world.purge(random.below(partitions))
      else if (dice < 0.83) process.cut({ noticeAfterMs: random.between(0, 300) })
      const [mirror, begin] = random.pick(views)!
      if (random.chance(0.2)) {
        if (mirror.ended) void mirror.follow(begin)
        else mirror.leave()
      }
      process.heal()
      await clock.advance(random.between(0, 50))
    }
    for (const [mirror, begin] of views) if (mirror.ended) void mirror.follow(begin)
    await clock.advance(5_000)
    const truth = new Mirror()
    void truth.follow((options) => hf.watch(Cart, options))
    await clock.advance(500)
    for (const [mirror, , matches] of views) {
      expect(mirror.error).toBe(undefined)
      const expected = [...truth.entries].filter(([each]) => matches(each)).toSorted()
      expect([...mirror.entries].toSorted()).toEqual(expected)
    }
    // Or the seeds show nothing.
    expect(truth.entries.size).toBeGreaterThan(5)
  })
})

/** Moves the clock while a loop waits. */
async function* withClock<T>(clock: WatchWorld['clock'], iterable: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = iterable[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await clock.settle(iterator.next(), 5_000)
      if (next.done === true) return
      yield next.value
    }
  } finally {
    await iterator.return?.()
  }
}
