import { afterEach, describe, expect, it } from 'vitest'
import { connect, type Change, type HoldfastEvent, type Watch } from '../../src/index.ts'
import { TestCluster, clusterName } from '../support/cluster.ts'
import { Cart, keysOf, WatchWorld } from './watch-world.ts'

let ending: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ending.toReversed()) await end()
  ending = []
})

/** Takes `count` changes, one when it is asked for. */
async function take(iterator: AsyncIterator<Change<unknown>>, count: number): Promise<readonly Change<unknown>[]> {
  const changes: Change<unknown>[] = []
  while (changes.length < count) {
    const { value, done } = await iterator.next()
    if (done) break
    changes.push(value)
  }
  return changes
}

const iterate = (watch: Watch<unknown>): AsyncIterator<Change<unknown>> => watch[Symbol.asyncIterator]()
const revs = (changes: readonly Change<unknown>[]) => changes.map(({ rev }) => rev)
const upTo = (last: number, from = 1) => Array.from({ length: last - from + 1 }, (_, i) => from + i)

describe('a watch whose consumer is slow (W8)', () => {
  async function start(seed: number) {
    const world = await WatchWorld.start(seed, ['n1'], 10_000_000)
    ending.push(() => world.close())
    const { hf, events } = await world.client()
    const writer = await world.client()
    const [key] = keysOf(0, 1) as [string]
    let written = 0
    /** So many changes of one key. */
    const write = async (count: number) => {
      const cart = writer.hf.actor(Cart, key)
      for (let left = count; left > 0; left -= 500) {
        const batch = Array.from({ length: Math.min(left, 500) }, () => cart.set(++written))
        await world.settle(Promise.all(batch))
      }
      await world.clock.advance(100)
    }
    const told = () => events.all.filter((event) => event.type === 'watch.cut-off' || event.type === 'watch.resumed')
    const metric = (name: string) => hf.metrics().find((each) => each.name === name)
    return { world, hf, key, write, told, metric }
  }

  it.each([
    ['of one key', (hf, key) => hf.actor(Cart, key).watch({ from: 'start' })],
    ['of a type', (hf) => hf.watch(Cart, { from: 'start' })],
  ] as [string, (hf: Awaited<ReturnType<typeof start>>['hf'], key: string) => Watch<unknown>][])(
    '%s is cut off from live messages, is told, and goes on from its cursor without a gap',
    async (_, begin) => {
      const { world, hf, key, write, told, metric } = await start(1)
      await write(10)
      const iterator = iterate(begin(hf, key))
      const first = await world.settle(take(iterator, 1))
      await write(990)
      expect(told()).toEqual([])
      expect(metric('holdfast_client_watch_unheeded_messages')).toMatchObject({ value: 990, limit: 1_000 })
      await write(500)
      expect(told()).toMatchObject([{ type: 'watch.cut-off', of: 'cart', prefix: null }])
      // From here on nothing is heard, and nothing is kept.
      await write(2_000)
      expect(metric('holdfast_client_watch_unheeded_messages')).toMatchObject({ value: 1_000 })
      expect(metric('holdfast_client_watch_pages')).toMatchObject({ value: 1 })
      const rest = await world.settle(take(iterator, 3_499))
      expect(revs([...first, ...rest])).toEqual(upTo(3_500))
      const next = iterator.next()
      await world.clock.advance(100)
      expect(told().map(({ type }) => type)).toEqual(['watch.cut-off', 'watch.resumed'])
      expect(metric('holdfast_client_watch_cut_offs_total')).toMatchObject({ value: 1 })
      // It is rung again: what comes now comes at once.
      await write(1)
      const { value } = await world.clock.settle(next, 10)
      expect((value as Change<unknown>).rev).toBe(3_501)
    },
  )

  it('is not cut off while it takes pages, however much is published', async () => {
    const { world, hf, write, told } = await start(2)
    const watch = hf.watch(Cart)
    let last = 0
    const reading = (async () => {
      for await (const { rev } of watch) last = rev
    })()
    await world.settle(watch.ready())
    await write(3_000)
    await world.clock.advance(1_000)
    expect(last).toBe(3_000)
    expect(told()).toEqual([])
    watch.close()
    await reading
  })

  it('is cut off also where nobody has begun to read it, and can be closed then', async () => {
    const { world, hf, write, told, metric } = await start(3)
    const watch = hf.watch(Cart)
    await world.settle(watch.ready())
    await write(500)
    await write(1_500)
    expect(told()).toHaveLength(1)
    watch.close()
    expect(metric('holdfast_client_watches')).toMatchObject({ value: 0 })
    expect(metric('holdfast_client_watch_cut_offs_total')).toMatchObject({ value: 1 })
  })
})

describe('on NATS', () => {
  it('a slow consumer is cut off, told, and has every change once in the end', async () => {
    const cluster = await TestCluster.open('nats', { actors: [Cart], partitions: 2 })
    ending.push(() => cluster.close())
    await cluster.start('a')
    await cluster.settled()
    const writer = await cluster.client()
    const events: HoldfastEvent[] = []
    let heard: (() => void) | undefined
    const observer = {
      emit: (event: HoldfastEvent) => {
        events.push(event)
        if (event.type.startsWith('watch.')) heard?.()
      },
    }
    const hf = await connect({ servers: cluster.nats!.url, cluster: clusterName, observer })
    ending.push(() => hf.close())
    const iterator = iterate(hf.watch(Cart, { from: 'start' }))
    const cart = writer.actor(Cart, 'c')
    await cart.set(-1)
    const first = await take(iterator, 1)
    const cutOff = new Promise<void>((resolve) => (heard = resolve))
    for (let i = 0; i < 8; i++) await Promise.all(Array.from({ length: 500 }, (_, n) => cart.set(500 * i + n)))
    await cutOff
    expect(revs([...first, ...(await take(iterator, 4_000))])).toEqual(upTo(4_001))
    const resumed = new Promise<void>((resolve) => (heard = resolve))
    const next = iterator.next()
    if (!events.some(({ type }) => type === 'watch.resumed')) await resumed
    await cart.set(-2)
    expect(((await next).value as Change<unknown>).rev).toBe(4_002)
  })
})
