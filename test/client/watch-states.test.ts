import { afterEach, describe, expect, it } from 'vitest'
import type { Message } from '../../src/ports/transport.ts'
import { parseCursor } from '../../src/protocol/cursor.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import { Cart, keysOf, subjects, WatchWorld } from './watch-world.ts'

let worlds: WatchWorld[] = []
afterEach(async () => {
  for (const world of worlds) await world.close()
  worlds = []
})

interface Said {
  readonly [field: string]: unknown
}

/** A plain client: JSON to the owner of partition 1, and what comes to its inbox. */
async function start(seed: number) {
  const world = await WatchWorld.start(seed)
  worlds.push(world)
  const { hf } = await world.client()
  const { transport } = world.cluster.world.start('plain')
  let asked = 0
  const ask = async (request: object): Promise<{ readonly changes: readonly Said[]; readonly last: Said }> => {
    const inbox = `_INBOX.plain.${++asked}`
    const said: Said[] = []
    const hear = ({ data }: Message) => void said.push(JSON.parse(Buffer.from(data).toString()) as Said)
    const subscription = transport.subscribe(inbox, hear)
    transport.publish(subjects.watch(partitionId(1)), Buffer.from(JSON.stringify(request)), { reply: inbox })
    await world.clock.runUntil(() => said.at(-1)?.end === true || said.at(-1)?.error !== undefined, 10_000)
    subscription.close()
    return { changes: said.slice(0, -1), last: said.at(-1)! }
  }
  const set = (key: string, n: number) => world.settle(hf.actor(Cart, key).set(n))
  return { world, hf, ask, set }
}

const keysIn = (changes: readonly Said[]) => changes.map(({ key }) => key)

describe('a page of states', () => {
  it('holds what is there of a type or prefix, as changes that say so, and where to go on (G4)', async () => {
    const { world, hf, ask, set } = await start(400)
    const [a, b, c] = keysOf(1, 3, 'eu/') as [string, string, string]
    const [other] = keysOf(1, 1, 'us/') as [string]
    for (const key of [c, b, a, other]) await set(key, 1)
    await set(b, 2)
    await world.settle(hf.actor(Cart, a).close())
    const { changes, last } = await ask({ from: 'state', type: 'cart' })
    expect(keysIn(changes)).toEqual([b, c, other])
    expect(changes[0]).toEqual({
      ...{ type: 'cart', key: b, rev: 2, state: { n: 2 }, cursor: last.next, reset: true },
      at: expect.any(Number) as number,
    })
    expect(last).toEqual({ end: true, next: last.head, head: last.head, more: false, count: 3 })
    expect(keysIn((await ask({ from: 'state', type: 'cart', prefix: 'eu/' })).changes)).toEqual([b, c])
    expect((await ask({ from: 'state', type: 'none' })).changes).toEqual([])
    await set(c, 2)
    const rest = await ask({ from: last.next as string, type: 'cart' })
    expect(rest.changes).toMatchObject([{ key: c, rev: 2 }])
    expect(rest.changes[0]).not.toHaveProperty('reset')
  })

  it('of one key holds that, there or not', async () => {
    const { world, hf, ask, set } = await start(401)
    const [a, never] = keysOf(1, 2) as [string, string]
    await set(a, 1)
    const there = await ask({ from: 'state', type: 'cart', key: a })
    expect(there.changes).toMatchObject([{ key: a, rev: 1, state: { n: 1 }, reset: true }])
    expect(there.last).toMatchObject({ count: 1, next: there.last.head })
    await world.settle(hf.actor(Cart, a).close())
    const gone = await ask({ from: 'state', type: 'cart', key: a })
    expect(gone.changes).toMatchObject([{ key: a, rev: 2, state: null, deleted: true, reset: true }])
    const none = await ask({ from: 'state', type: 'cart', key: never })
    expect(none.changes).toMatchObject([{ key: never, rev: 0, state: null, deleted: true, reset: true }])
  })

  it('goes on by its snapshot, all as of one record, until that is let go of', async () => {
    const { ask, set } = await start(402)
    const keys = keysOf(1, 7, 'eu/')
    for (const key of [...keysOf(1, 2, 'a'), ...keys, ...keysOf(1, 2, 'us/')]) await set(key, 1)
    const request = { from: 'state', type: 'cart', prefix: 'eu/', limit: 3 }
    const pages = [await ask(request)]
    await set(keys[6]!, 2)
    for (let i = 0; i < 2; i++) {
      const { snapshot, after } = pages.at(-1)!.last
      pages.push(await ask({ ...request, snapshot, after }))
    }
    expect(pages.flatMap(({ changes }) => keysIn(changes)).toSorted()).toEqual(keys.toSorted())
    expect(pages.flatMap(({ changes }) => changes).map(({ rev }) => rev)).toEqual(keys.map(() => 1))
    expect(new Set(pages.map(({ last }) => last.next)).size).toBe(1)
    expect(pages.map(({ last }) => [last.count, 'snapshot' in last, last.more])).toEqual([
      [3, true, false],
      [3, true, true],
      [1, false, true],
    ])
    const { snapshot } = pages[0]!.last
    expect((await ask({ from: 'state', type: 'cart', snapshot, done: true })).last).toMatchObject({ count: 0 })
    for (const name of [snapshot, 'never'])
      expect((await ask({ ...request, snapshot: name })).last).toMatchObject({ error: { code: 'NOT_FOUND' } })
  })

  it('is refused as a whole where the request is bad, or of a type that is nobody’s', async () => {
    const { ask } = await start(404)
    for (const request of [
      { from: 'state' },
      { from: 'state', type: '.own' },
      { from: 'state', type: '.own', key: 'a' },
      { from: 'state', type: 'cart', key: 'a', prefix: 'b' },
      { from: 'now', type: 'cart', snapshot: '1-1' },
    ])
      expect(await ask(request)).toMatchObject({ changes: [], last: { error: { code: 'INVALID' } } })
  })
})

describe('a plain client with a cursor that is too old', () => {
  it('hears EXPIRED, asks for the states, and goes on behind them', async () => {
    const { world, ask, set } = await start(405)
    const [a, b] = keysOf(1, 2) as [string, string]
    await set(a, 1)
    const first = await ask({ from: 'start', type: 'cart' })
    for (let n = 1; n <= 3; n++) await set(b, n)
    await world.purge(1)
    const { next } = first.last as { next: string }
    expect(parseCursor(next).seq).toBeGreaterThan(1)
    expect(await ask({ from: next, type: 'cart' })).toMatchObject({ changes: [], last: { error: { code: 'EXPIRED' } } })
    const states = await ask({ from: 'state', type: 'cart' })
    expect(states.changes.map(({ key, rev }) => [key, rev]).toSorted()).toEqual(
      [
        [a, 1],
        [b, 3],
      ].toSorted(),
    )
    await set(a, 2)
    expect((await ask({ from: states.last.next, type: 'cart' })).changes).toMatchObject([{ key: a, rev: 2 }])
  })
})
