import { afterEach, describe, expect, it } from 'vitest'
import { judgeEveryMs, leaseSettingsOf, missedMs } from '../../actors/membership.ts'
import { MemoryWorld } from '../../src/adapters/memory/world.ts'
import { LeaseWatch, type LeaseWatchOptions } from '../../src/membership/lease-watch.ts'
import { encodeLease, leaseKey } from '../../src/membership/lease.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import type { Registry } from '../../src/ports/registry.ts'
import { incarnation, type NodeId } from '../../src/protocol/ids.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

const membership = { renewEveryMs: 500, leaseTermMs: 2_000 }
const idOf = (n: number) => `node-${n}` as NodeId

/** Leases of as many nodes, renewed until each is stopped. */
class Nodes {
  readonly #world: MemoryWorld
  readonly #registry: Registry
  readonly #stopped = new Set<number>()

  constructor(world: MemoryWorld, count: number) {
    this.#world = world
    this.#registry = world.start('nodes').registry
    for (let n = 0; n < count; n++) void this.#live(n)
  }

  /** When it last renewed, at most so long ago, nobody hears. */
  stop(n: number): void {
    this.#stopped.add(n)
  }

  async #live(n: number): Promise<void> {
    const lease = { id: idOf(n), incarnation: incarnation(`i${n}`), host: '', zone: '', weight: 1, draining: false }
    const key = leaseKey(lease.id)
    let written = await this.#registry.create(key, encodeLease({ ...lease, state: 'alive', renewal: 0 }))
    for (let renewal = 1; written.kind === 'written'; renewal++) {
      await new Promise<void>((resolve) => this.#world.clock.setTimeout(resolve, membership.renewEveryMs))
      if (this.#stopped.has(n)) return
      const value = encodeLease({ ...lease, state: 'alive', renewal })
      written = await this.#registry.update(key, value, written.revision)
    }
  }
}

const open: LeaseWatch[] = []
afterEach(() => {
  for (const watch of open.splice(0)) watch.stop()
})

/** A watch that has seen the leases of so many nodes for long. `asked`: after whom, and when. `deleted`: so many others, which a list still has. */
async function watching(
  count: number,
  options: Partial<LeaseWatchOptions>,
  world = new MemoryWorld({ random: new SeededRandom(1) }),
  deleted = 0,
) {
  const nodes = new Nodes(world, count)
  const events: HoldfastEvent[] = []
  const asked: { readonly id: NodeId; readonly atMs: number }[] = []
  const { registry, transport, clock } = world.start('watcher')
  let read = 0
  const list = registry.list.bind(registry)
  const gone = Array.from({ length: deleted }, (_, n) => ({
    key: leaseKey(idOf(count + n)),
    value: null,
    revision: n + 1,
  }))
  registry.list = async (prefix) => {
    const entries = [...(await list(prefix)), ...gone]
    read += entries.length
    return entries
  }
  const { isAbsent = () => Promise.resolve(false) } = options
  const watch = new LeaseWatch({
    self: 'watcher' as NodeId,
    registry,
    transport,
    clock,
    observer: { emit: (event) => void events.push(event) },
    settings: leaseSettingsOf(membership),
    pollEveryMs: 500,
    judgeEveryMs: judgeEveryMs(membership),
    mayDeclare: () => true,
    isClose: () => true,
    missedMs: missedMs(membership),
    onChange() {},
    ...options,
    isAbsent: (id) => {
      asked.push({ id, atMs: clock.monotonic() })
      return isAbsent(id)
    },
  })
  open.push(watch)
  watch.start()
  // As by the renewals of its own lease.
  const answered = () => {
    watch.answered()
    clock.setTimeout(answered, membership.renewEveryMs)
  }
  answered()
  await world.clock.advance(5_000)
  asked.length = 0
  return { world, nodes, events, asked, read: () => read }
}

describe('a watch over leases', () => {
  it('declares a node without a connection dead within 700 ms of its last renewal (LW6)', async () => {
    const { world, nodes, events } = await watching(5, { isAbsent: (id) => Promise.resolve(id === idOf(3)) })
    nodes.stop(3)
    await world.clock.advance(700)
    expect(events).toContainEqual({ type: 'member.died', node: idOf(3), by: 'watcher' })
  })

  it('asks after it at each look once it was found absent: answers may be lost', async () => {
    let questions = 0
    const isAbsent = () => (++questions === 1 ? Promise.resolve(true) : new Promise<boolean>(() => {}))
    let stopped = false
    const { world, nodes, asked } = await watching(1, {
      isAbsent: () => (stopped ? isAbsent() : Promise.resolve(false)),
    })
    nodes.stop(0)
    await world.clock.advance(membership.renewEveryMs)
    stopped = true
    asked.length = 0
    await world.clock.advance(550)
    const [first, ...others] = asked.map(({ atMs }) => Math.round(atMs))
    expect(others.map((atMs) => atMs - first!)).toEqual([100, 200, 300, 400])
  })

  it('declares it so as soon as it is known, and not at its next look', async () => {
    let found = 0
    let stopped = false
    const world = new MemoryWorld({ random: new SeededRandom(1) })
    const options: Partial<LeaseWatchOptions> = {
      judgeEveryMs: 400,
      isAbsent: async (id) => {
        // The answer comes a little later.
        await new Promise<void>((resolve) => void world.clock.setTimeout(resolve, 5))
        const absent = stopped && id === idOf(0)
        if (absent) found++
        return absent
      },
    }
    const { nodes, events } = await watching(3, options, world)
    nodes.stop(0)
    await world.clock.advance(membership.renewEveryMs)
    stopped = true
    while (found < 2) await world.clock.advance(10)
    await world.clock.advance(50)
    expect(events).toContainEqual({ type: 'member.died', node: idOf(0), by: 'watcher' })
  })

  it('asks after eight of forty at a time at most, and first after those that are quiet longest', async () => {
    const { world, nodes, events, asked } = await watching(40, { isAbsent: (id) => Promise.resolve(id === idOf(3)) })
    nodes.stop(3)
    await world.clock.advance(membership.renewEveryMs + 800)
    expect(events).toContainEqual({ type: 'member.died', node: idOf(3), by: 'watcher' })
    const together = new Map<number, number>()
    for (const { atMs } of asked) together.set(atMs, (together.get(atMs) ?? 0) + 1)
    expect(Math.max(...together.values())).toBe(8)
  })

  it('asks after no more where eight do not answer', async () => {
    const { world, asked } = await watching(40, { isAbsent: () => new Promise(() => {}) })
    await world.clock.advance(5_000)
    // They were asked before.
    expect(asked).toEqual([])
  })

  it('reads as many leases in a minute where there are a hundred, or were, as where there are ten', async () => {
    const readOf = async (count: number, deleted = 0) => {
      const { world, read } = await watching(count, {}, undefined, deleted)
      const before = read()
      await world.clock.advance(60_000)
      return read() - before
    }
    const ten = await readOf(10)
    expect(ten).toBeGreaterThan(1_000)
    expect(Math.abs((await readOf(100)) / ten - 1)).toBeLessThan(0.1)
    expect(Math.abs((await readOf(10, 90)) / ten - 1)).toBeLessThan(0.1)
  })

  it('deletes the leases of those that are gone, also after a poll that had read one before it was deleted', async () => {
    const { world } = await watching(1, {})
    const { registry } = world.start('gone')
    const leaveOf = (n: number) => {
      const lease = { id: idOf(n), incarnation: incarnation(`i${n}`), host: '', zone: '', weight: 1, draining: false }
      return registry.create(leaseKey(lease.id), encodeLease({ ...lease, state: 'left', renewal: 1 }))
    }
    const there = (n: number) => world.registry.get(leaseKey(idOf(n)))
    await world.clock.settle(leaveOf(7), 1_000)
    const old = there(7)!
    await world.clock.advance(600_500)
    expect(there(7)).toBeNull()
    const list = world.registry.list.bind(world.registry)
    world.registry.list = (prefix) => [...list(prefix), old]
    await world.clock.advance(1_000)
    world.registry.list = list
    await world.clock.settle(leaveOf(8), 1_000)
    await world.clock.advance(601_000)
    expect(there(8)).toBeNull()
  })

  it('declares a node dead, and deletes its lease, also where that was overwritten by what is none', async () => {
    const { world, nodes, events } = await watching(3, {})
    const key = leaseKey(idOf(1))
    nodes.stop(1)
    await world.clock.advance(membership.renewEveryMs)
    world.registry.write(key, Buffer.from('no lease'), undefined)
    await world.clock.advance(membership.leaseTermMs + 500)
    expect(events).toContainEqual({ type: 'message.dropped', subject: key, reason: 'malformed' })
    expect(events).toContainEqual({ type: 'member.died', node: idOf(1), by: 'watcher' })
    world.registry.write(key, Buffer.from('nor is this'), undefined)
    await world.clock.advance(601_000)
    expect(world.registry.get(key)).toBeNull()
  })

  it('asks again where nobody answers', async () => {
    const { world, nodes, asked } = await watching(1, { isAbsent: () => new Promise(() => {}) })
    nodes.stop(0)
    await world.clock.advance(1_500)
    expect(asked.length).toBeGreaterThan(2)
  })

  it('does not ask after a node that renews, and that it is not close to', async () => {
    const { world, nodes, asked } = await watching(5, { isClose: () => false })
    await world.clock.advance(5_000)
    expect(asked).toEqual([])
    nodes.stop(2)
    const stoppedAtMs = world.clock.monotonic()
    await world.clock.advance(1_900)
    expect(new Set(asked.map(({ id }) => id))).toEqual(new Set([idOf(2)]))
    // Its last renewal was at most half a second before.
    expect(asked[0]!.atMs - stoppedAtMs).toBeGreaterThanOrEqual(missedMs(membership) - membership.renewEveryMs)
  })
})
