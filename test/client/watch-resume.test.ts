import { afterEach, describe, expect, it } from 'vitest'
import type { TypeWatchOptions, Watch } from '../../src/client/watch.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Cart, keysOf, Mirror, partitions, WatchWorld } from './watch-world.ts'

let worlds: WatchWorld[] = []
afterEach(async () => {
  for (const world of worlds) await world.close()
  worlds = []
})

async function start(seed: number, nodes: readonly string[], tailBytes?: number) {
  const world = await WatchWorld.start(seed, nodes, tailBytes)
  worlds.push(world)
  return world
}

type Begin = (options: TypeWatchOptions) => Watch<unknown>

describe('one cursor', () => {
  it.each(Array.from({ length: 10 }, (_, i) => i))(
    'goes on without gap or repeat over reconnects, failovers and moves, of a key, a prefix, a type and a store (seed %i)',
    async (seed) => {
      const random = new SeededRandom(`resume ${seed}`)
      const world = await start(200 + seed, ['n1', 'n2', 'n3'], random.pick([1, 2_000, 1_000_000])!)
      const { cluster, clock } = world
      const { hf } = await world.client()
      const { hf: watcher, process } = await world.client()
      const store = hf.kv<number>('users')
      const watched = watcher.kv<number>('users')
      const keys = Array.from({ length: 16 }, (_, i) => `${i % 4 === 0 ? 'eu/' : ''}k${i}`)
      const views: [Mirror, Begin][] = [
        [new Mirror(), (options) => watcher.actor(Cart, 'k5').watch(options)],
        [new Mirror(), (options) => watcher.watch(Cart, { ...options, prefix: 'eu/' })],
        [new Mirror(), (options) => watcher.watch(Cart, options)],
        [new Mirror(), (options) => watched.watch(options)],
        [new Mirror(), (options) => watched.watch({ ...options, prefix: 'eu/' })],
        [new Mirror(), (options) => watched.watch({ ...options, key: 'k5' })],
      ]
      // They begin while some partitions have nothing: those parts of their cursors are the start.
      for (const [mirror, begin] of views) void mirror.follow(begin)
      const writes: Promise<unknown>[] = []
      const drained = new Set<string>()
      // Who drains is given nothing any more, until its process is another one.
      const revive = () => {
        for (const name of ['n1', 'n2', 'n3']) {
          if (drained.delete(name) && cluster.nodes.has(name)) cluster.crash(name)
          restart(world, name)
        }
      }
      let moves = 0
      for (let step = 0; step < 80; step++) {
        const key = random.pick(keys)!
        const dice = random.next()
        if (dice < 0.4) writes.push(hf.actor(Cart, key).set(step))
        else if (dice < 0.5) writes.push(hf.actor(Cart, key).close())
        else if (dice < 0.9) writes.push(store.put(key, step))
        else writes.push(store.delete(key))
        if (random.chance(0.06)) {
          const name = random.pick(['n1', 'n2', 'n3'])!
          const node = cluster.nodes.get(name)
          moves++
          if (node === undefined || cluster.nodes.size < 3) revive()
          else if (random.chance(0.3)) {
            drained.add(name)
            void node.node.drain().catch(() => {})
          } else if (random.chance(0.5)) cluster.crash(name)
          else {
            node.process.freeze()
            clock.setTimeout(() => node.process.thaw(), random.between(100, 4_000))
          }
        }
        if (random.chance(0.05)) process.cut({ noticeAfterMs: random.between(0, 500) })
        else process.heal()
        process.links.hub.dropProbability = random.chance(0.2) ? 0.2 : 0
        const [mirror, begin] = random.pick(views)!
        if (random.chance(0.25)) {
          if (mirror.ended) void mirror.follow(begin)
          else mirror.leave()
        }
        await clock.advance(random.between(0, 400))
      }
      process.heal()
      process.links.hub.dropProbability = 0
      revive()
      await world.settle(Promise.allSettled(writes))
      for (const [mirror, begin] of views) if (mirror.ended) void mirror.follow(begin)
      await clock.advance(10_000)
      const [carts, entries] = [new Mirror(), new Mirror()]
      void carts.follow((options) => hf.watch(Cart, options))
      void entries.follow((options) => store.watch(options))
      await clock.advance(3_000)
      const sets = [
        (key: string) => key === 'k5',
        (key: string) => key.startsWith('eu/'),
        () => true,
        () => true,
        (key: string) => key.startsWith('eu/'),
        (key: string) => key === 'k5',
      ]
      views.forEach(([mirror], i) => {
        const truth = i < 3 ? carts : entries
        expect([mirror.error, mirror.resets], `view ${i}`).toEqual([undefined, []])
        const told = ({ changes }: Mirror) =>
          changes
            .filter(({ key }) => sets[i]!(key))
            .map(({ key, rev, state, deleted }) => JSON.stringify([key, rev, state, deleted]))
            .toSorted()
        expect(told(mirror), `view ${i}`).toEqual(told(truth))
      })
      expect(carts.changes.length + entries.changes.length).toBeGreaterThan(40)
      expect(moves).toBeGreaterThan(0)
    },
  )

  it('covers nothing that was not delivered, where the watch was closed in the middle of a page (W3)', async () => {
    const world = await start(300, ['n1'])
    const { hf } = await world.client()
    const key = keysOf(0, 1)[0]!
    for (let n = 1; n <= 5; n++) await world.settle(hf.actor(Cart, key).set(n))
    const watch = hf.watch(Cart, { from: 'start' })
    const revs: number[] = []
    const following = (async () => {
      for await (const { rev } of watch) {
        revs.push(rev)
        if (rev === 2) watch.close()
      }
    })()
    await world.settle(following)
    const rest = new Mirror()
    rest.take = ({ rev }) => void revs.push(rev)
    void rest.follow((options) => hf.watch(Cart, options), watch.cursor)
    await world.clock.advance(100)
    expect(revs).toEqual([1, 2, 3, 4, 5])
  })

  it('is one of positions: it serves a narrower watch, and another type, from the same moment on', async () => {
    const world = await start(301, ['n1'])
    const { hf } = await world.client()
    const users = hf.kv<number>('users')
    for (const key of ['eu/a', 'us/a']) await world.settle(users.put(key, 1))
    const whole = new Mirror()
    void whole.follow((options) => users.watch(options))
    await world.clock.advance(100)
    whole.leave()
    for (const key of ['eu/a', 'us/a']) await world.settle(users.put(key, 2))
    await world.settle(hf.actor(Cart, 'eu/a').set(1))
    const of = async (begin: Begin) => {
      const changes: string[] = []
      const mirror = new Mirror()
      mirror.take = ({ type, key, rev }) => void changes.push(`${type}/${key} ${rev}`)
      void mirror.follow(begin, whole.cursor)
      await world.clock.advance(100)
      return changes
    }
    expect(await of((options) => users.watch({ ...options, prefix: 'eu/' }))).toEqual(['kv-users/eu/a 2'])
    expect(await of((options) => hf.watch(Cart, options))).toEqual(['cart/eu/a 1'])
  })
})

describe('the last live message of a partition', () => {
  it('may be lost: the change comes within 2 s (W2)', async () => {
    const world = await start(302, ['n1', 'n2'])
    const { hf } = await world.client()
    const { hf: watcher, process } = await world.client()
    const keys = Array.from({ length: partitions }, (_, p) => keysOf(p, 1)[0]!)
    const mirror = new Mirror()
    void mirror.follow((options) => watcher.watch(Cart, options), 'now')
    await world.clock.advance(1_000)
    // Everything to and from the watcher.
    process.links.hub.dropProbability = 1
    await world.settle(Promise.all(keys.map((key) => hf.actor(Cart, key).set(1))))
    await world.clock.advance(10)
    process.links.hub.dropProbability = 0
    const sinceMs = world.clock.monotonic()
    expect(mirror.changes).toEqual([])
    await world.clock.runUntil(() => mirror.changes.length === partitions, 5_000)
    expect(world.clock.monotonic() - sinceMs).toBeLessThanOrEqual(2_000)
  })
})

function restart({ cluster }: WatchWorld, name: string): void {
  if (!cluster.nodes.has(name)) cluster.start(name)
}
