import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { VirtualClock } from '../../src/adapters/memory/virtual-clock.ts'
import { clockConformance } from '../conformance/clock.ts'

const running = async () => {
  const clock = new VirtualClock()
  clock.start()
  return { clock, close: async () => clock.stop() }
}
clockConformance('the virtual clock', running)
clockConformance('a node’s view of a virtual clock', async () => {
  const { clock, close } = await running()
  return { clock: clock.nodeClock(), close }
})

describe('the virtual clock', () => {
  it('fires in the order of time, ties in the order of the calls, and stands at the end of the advance (V1)', async () => {
    const clock = new VirtualClock()
    const fired: string[] = []
    const note = (name: string) => () => fired.push(`${name}@${clock.monotonic()}`)
    clock.setTimeout(note('c'), 20)
    clock.setTimeout(note('a'), 10)
    clock.setTimeout(note('b'), 10)
    clock.setTimeout(note('too late'), 31)
    clock.defer(note('now'))
    await clock.advance(30)
    expect(fired).toEqual(['now@0', 'a@10', 'b@10', 'c@20'])
    expect(clock.monotonic()).toBe(30)
    expect(clock.now()).toBe(Date.UTC(2024, 0, 1) + 30)
  })

  it('does all promise work of an event before the next one (V2)', async () => {
    const clock = new VirtualClock()
    const order: string[] = []
    clock.setTimeout(() => {
      void (async () => {
        for (let i = 0; i < 200; i++) await Promise.resolve()
        order.push('first, after 200 awaits')
      })()
    }, 5)
    clock.setTimeout(() => order.push('second'), 5)
    await clock.advance(5)
    expect(order).toEqual(['first, after 200 awaits', 'second'])
  })

  it('runs until something is so, and says so where it never is', async () => {
    const clock = new VirtualClock()
    let ticks = 0
    const tick = () => {
      ticks++
      clock.setTimeout(tick, 10)
    }
    tick()
    await clock.runUntil(() => ticks === 5, 1_000)
    expect(clock.monotonic()).toBe(40)
    await expect(clock.runUntil(() => false, 1_000)).rejects.toThrow('within 1000 ms')
    expect(clock.monotonic()).toBe(1_040)
  })

  it('settles a promise as it settles, and gives up at the limit', async () => {
    const clock = new VirtualClock()
    const later = new Promise<string>((resolve) => void clock.setTimeout(() => resolve('done'), 700))
    expect(await clock.settle(later, 1_000)).toBe('done')
    expect(clock.monotonic()).toBe(700)
    const failing = new Promise<string>((_, reject) => void clock.setTimeout(() => reject(new Error('no')), 5))
    await expect(clock.settle(failing, 1_000)).rejects.toThrow('no')
    await expect(clock.settle(new Promise(() => {}), 1_000)).rejects.toThrow('within 1000 ms')
  })

  it('reports a world that makes no progress, and an event that throws, to who moves it', async () => {
    const stuck = new VirtualClock()
    const again = () => stuck.defer(again)
    again()
    await expect(stuck.advance(1)).rejects.toThrow('defers itself for ever')
    const clock = new VirtualClock()
    clock.setTimeout(() => {
      throw new Error('thrown by a test')
    }, 1)
    await expect(clock.advance(2)).rejects.toThrow('thrown by a test')
    await clock.advance(2)
  })

  it('is not moved by two at once', async () => {
    const clock = new VirtualClock()
    const first = clock.advance(10)
    await expect(clock.advance(10)).rejects.toThrow('already')
    await first
    expect(clock.monotonic()).toBe(10)
  })

  it('forgets cleared timers, however many', async () => {
    const clock = new VirtualClock()
    let fired = 0
    for (let i = 0; i < 20_000; i++) {
      const timer = clock.setTimeout(() => fired++, 1_000 + (i % 13))
      if (i % 10 !== 0) clock.clearTimeout(timer)
    }
    await clock.advance(2_000)
    expect(fired).toBe(2_000)
  })

  it('fires nothing of a frozen node, and all that is due once it is thawed, in its order (V4)', async () => {
    const world = new VirtualClock()
    const node = world.nodeClock()
    const order: string[] = []
    node.setTimeout(() => order.push(`20 at ${node.monotonic()}`), 20)
    node.setTimeout(() => order.push(`10 at ${node.monotonic()}`), 10)
    const cleared = node.setTimeout(() => order.push('cleared'), 15)
    node.setTimeout(() => order.push(`80 at ${node.monotonic()}`), 80)
    node.freeze()
    world.setTimeout(() => order.push('the world goes on'), 30)
    await world.advance(50)
    expect(order).toEqual(['the world goes on'])
    node.clearTimeout(cleared)
    node.thaw()
    await world.advance(50)
    expect(order.slice(1)).toEqual(['10 at 50', '20 at 50', '80 at 80'])
  })

  it('fires nothing of a crashed node ever again (V4)', async () => {
    const world = new VirtualClock()
    const node = world.nodeClock()
    const order: string[] = []
    node.setTimeout(() => order.push('before'), 5)
    node.setTimeout(() => order.push('after'), 15)
    await world.advance(10)
    node.crash()
    node.defer(() => order.push('deferred by the dead'))
    await world.advance(10)
    node.thaw()
    await world.advance(10)
    expect(order).toEqual(['before'])
    expect(node.state).toBe('crashed')
  })

  it('lets the wall clock of a node drift, and jump while it does, and its monotonic clock not', async () => {
    const clock = new VirtualClock()
    const node = clock.nodeClock()
    node.skewMs = 100
    node.driftPpm = 50_000
    await clock.advance(1_000)
    expect(node.now() - clock.now()).toBeCloseTo(150)
    node.driftPpm = -10_000
    await clock.advance(1_000)
    expect(node.now() - clock.now()).toBeCloseTo(140)
    node.skewMs += 1_000
    node.driftPpm = 0
    await clock.advance(1_000)
    expect(node.now() - clock.now()).toBeCloseTo(1_140)
    expect(node.monotonic()).toBe(3_000)
  })

  it('lets the wall clock of a node differ and jump, and its monotonic clock not', async () => {
    const world = new VirtualClock()
    const node = world.nodeClock()
    node.skewMs = -5_000
    await world.advance(100)
    expect(node.now()).toBe(world.now() - 5_000)
    node.skewMs = 60_000
    expect(node.now()).toBe(world.now() + 60_000)
    expect(node.monotonic()).toBe(100)
  })
})

describe('the seeded random', () => {
  it('gives the same for the same seed, and something else for another', () => {
    const draw = (seed: string | number) => {
      const random = new SeededRandom(seed)
      return [random.next(), random.id(), random.below(1_000), random.fork('x').next()]
    }
    expect(draw(7)).toEqual(draw(7))
    expect(draw(7)).toEqual(draw('7'))
    expect(draw(7)).not.toEqual(draw(8))
  })

  it('gives the numbers of sfc32 that are written down here, on every machine and in every version', () => {
    const random = new SeededRandom('golden')
    expect([random.next(), random.next(), random.next(), random.id()]).toMatchInlineSnapshot(`
      [
        0.27471617526298897,
        0.7309148896168487,
        0.8674853561111728,
        "llXabVew1Q9RsFZaAtkitB",
      ]
    `)
  })

  it('forks streams that do not shift one another', () => {
    const one = new SeededRandom(1)
    const fresh = new SeededRandom(1).fork('network').next()
    for (let i = 0; i < 100; i++) one.next()
    expect(one.fork('network').next()).toBe(fresh)
    expect(one.fork('disk').next()).not.toBe(fresh)
  })

  it('is uniform', () => {
    const random = new SeededRandom('uniform')
    const buckets = Array.from({ length: 16 }, () => 0)
    for (let i = 0; i < 64_000; i++) buckets[random.below(16)]!++
    for (const count of buckets) expect(Math.abs(count - 4_000)).toBeLessThan(300)
    const ids = Array.from({ length: 2_000 }, () => random.id())
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9]{22}$/)
    expect(new Set(ids).size).toBe(ids.length)
  })
})
