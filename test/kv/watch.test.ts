import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Change } from '../../src/client/watch.ts'
import { Mirror, WatchWorld } from '../client/watch-world.ts'

let worlds: WatchWorld[] = []
afterEach(async () => {
  for (const world of worlds) await world.close()
  worlds = []
})

async function start(seed: number, nodes: readonly string[] = ['n1'], tailBytes?: number) {
  const world = await WatchWorld.start(seed, nodes, tailBytes)
  worlds.push(world)
  const { hf } = await world.client()
  const settle = <T>(promise: Promise<T>) => world.settle(promise)
  return { world, hf, settle, clock: world.clock, users: hf.kv('users') }
}

const told = (changes: readonly Change<unknown>[]) =>
  changes.map(({ key, rev, state, deleted }) => [key, rev, state, deleted ?? false])

describe('a watch of a store', () => {
  it('is of the whole, of a prefix, or of an entry; deletions are changes, and null is a value', async () => {
    const { users, hf, settle, clock } = await start(500)
    const [whole, prefix, one] = [new Mirror(), new Mirror(), new Mirror()]
    void whole.follow((options) => users.watch(options))
    void prefix.follow((options) => users.watch({ ...options, prefix: 'eu/' }))
    void one.follow((options) => users.watch({ ...options, key: 'eu/a' }))
    await settle(users.put('eu/a', 1))
    await settle(users.put('us/a', { n: [1n, new Date(5)] }))
    await settle(users.put('eu/a', null))
    await settle(hf.kv('user').put('eu/a', 'of another store'))
    await settle(users.delete('eu/a'))
    await settle(users.delete('eu/none'))
    await settle(users.putIfAbsent('eu/a', 2))
    await clock.advance(100)
    const ofKey = [
      ['eu/a', 1, 1, false],
      ['eu/a', 2, null, false],
      ['eu/a', 3, null, true],
      ['eu/a', 4, 2, false],
    ]
    expect(told(one.changes)).toEqual(ofKey)
    expect(told(prefix.changes)).toEqual(ofKey)
    expect(told(whole.changes.filter(({ key }) => key === 'eu/a'))).toEqual(ofKey)
    expect(told(whole.changes).find(([key]) => key === 'us/a')).toEqual(['us/a', 1, { n: [1n, new Date(5)] }, false])
    expect(whole.changes).toHaveLength(5)
    expect(whole.changes[0]!.type).toBe('kv-users')
  })

  it('hears of expiry as a deletion, once, also when the owner changes before', async () => {
    const { world, users, settle, clock } = await start(501, ['n1', 'n2', 'n3'], 1_000_000)
    const [whole, prefix] = [new Mirror(), new Mirror()]
    void whole.follow((options) => users.watch(options))
    void prefix.follow((options) => users.watch({ ...options, prefix: 'eu/' }))
    const keys = Array.from({ length: 12 }, (_, i) => `${i % 2 === 0 ? 'eu' : 'us'}/${i}`)
    await settle(users.putAll(keys.map((key) => [key, 1]), { ttl: '5s' })) // prettier-ignore
    await settle(users.put('eu/stays', 1))
    await clock.advance(1_000)
    world.cluster.crash('n2')
    await clock.advance(20_000)
    expect(whole.entries.size).toBe(1)
    expect([...prefix.entries.keys()]).toEqual(['eu/stays'])
    expect(
      whole.changes
        .filter(({ deleted }) => deleted)
        .map(({ key, rev }) => `${key} ${rev}`)
        .toSorted(),
    ).toEqual(keys.map((key) => `${key} 2`).toSorted())
    await settle(users.put(keys[0]!, 2))
    await clock.advance(100)
    expect(whole.entries.get(keys[0]!)).toEqual({ rev: 3, state: 2 })
    expect([whole.error, prefix.error]).toEqual([undefined, undefined])
  })

  it('is reset where logs have lost their beginning: what was deleted or has expired is not there', async () => {
    const { world, users, settle, clock } = await start(502)
    const views = [
      [new Mirror(), {}],
      [new Mirror(), { prefix: 'eu/' }],
      [new Mirror(), { key: 'eu/1' }],
    ] as const
    const begin = (i: number) => {
      const [mirror, which] = views[i]!
      void mirror.follow((options) => users.watch({ ...options, ...which }))
    }
    const keys = Array.from({ length: 12 }, (_, i) => `${i % 2 === 0 ? 'us' : 'eu'}/${i}`)
    await settle(users.putAll(keys.map((key) => [key, 1])))
    for (const i of views.keys()) begin(i)
    await clock.advance(200)
    for (const [mirror] of views) mirror.leave()
    await settle(users.deleteAll(keys.slice(0, 4)))
    await settle(users.putAll(keys.slice(4, 8).map((key) => [key, 2]), { ttl: '2s' })) // prettier-ignore
    await settle(users.putAll(keys.slice(8).map((key) => [key, null])))
    await clock.advance(5_000)
    await world.purge()
    for (const i of views.keys()) begin(i)
    await clock.advance(500)
    const expected = keys.slice(8)
    expect([...views[0][0].entries.keys()].toSorted()).toEqual(expected.toSorted())
    expect([...views[1][0].entries.keys()].toSorted()).toEqual(
      expected.filter((key) => key.startsWith('eu')).toSorted(),
    )
    expect(views[2][0].changes.at(-1)).toMatchObject({ key: 'eu/1', rev: 2, state: null, deleted: true, reset: true })
    for (const [{ error }] of views) expect(error).toBe(undefined)
  })
})

describe('a snapshot, and a watch from its cursor', () => {
  it('miss and repeat nothing under concurrent writes, at any moment, also over a failover', async () => {
    let run = 0
    const key = fc.integer({ min: 0, max: 15 }).map((i) => `${i % 2 === 0 ? 'eu/' : ''}k${i}`)
    const write = fc.record({ key, deletes: fc.boolean(), pauseMs: fc.integer({ min: 0, max: 8 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.array(write, { minLength: 5, maxLength: 60 }),
        fc.nat({ max: 60 }),
        fc.boolean(),
        async (writes, snapshotAt, crash) => {
          const { world, users, settle, clock } = await start(600 + run++, crash ? ['n1', 'n2'] : ['n1'])
          const model = new Map<string, { rev: number; value: unknown }>()
          const follow = async () => {
            const snapshot = await users.snapshot()
            for await (const { key, rev, value } of snapshot.entries()) model.set(key, { rev, value })
            await snapshot.close()
            return snapshot.cursor
          }
          const revs = new Map([...model].map(([key, { rev }]) => [key, rev]))
          const problems: string[] = []
          const watching = async (from: string) => {
            for (const [key, { rev }] of model) revs.set(key, rev)
            for await (const { key, rev, state, deleted, reset } of users.watch({ from })) {
              const known = revs.get(key)
              // What is not in the snapshot was never there, or deleted at a rev that nobody told.
              if (reset || (known === undefined ? rev < 1 : rev !== known + 1)) problems.push(`${key} ${known} ${rev}`)
              revs.set(key, rev)
              if (deleted) model.delete(key)
              else model.set(key, { rev, value: state })
            }
          }
          const pending: Promise<unknown>[] = []
          for (const [i, { key, deletes, pauseMs }] of writes.entries()) {
            pending.push(deletes ? users.delete(key) : users.put(key, i))
            if (i === snapshotAt % writes.length) {
              pending.push(follow().then((cursor) => void watching(cursor)))
              if (crash) world.cluster.crash('n2')
            }
            await clock.advance(pauseMs)
          }
          const outcomes = await settle(Promise.allSettled(pending))
          // An owner that went while the snapshot was read has taken it along (S3).
          fc.pre(outcomes.every(({ status }) => status === 'fulfilled'))
          await clock.advance(5_000)
          const truth = new Map<string, unknown>()
          const reading = async () => {
            for await (const { key, rev, value } of users.range()) truth.set(key, { rev, value })
          }
          await settle(reading())
          expect(problems).toEqual([])
          expect(new Map([...model].toSorted())).toEqual(new Map([...truth].toSorted()))
          for (const world of worlds.splice(0)) await world.close()
        },
      ),
      { numRuns: 30 },
    )
  })
})
