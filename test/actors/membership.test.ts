import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createMembership, spareForMs, type Membership, type MembershipSettings } from '../../actors/membership.ts'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import { defaultGossipSettings } from '../../src/membership/gossiper.ts'
import { isAbsent } from '../../src/membership/presence.ts'
import { decodeLease, encodeLease, leaseKey } from '../../src/membership/lease.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import type { Registry } from '../../src/ports/registry.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { incarnation, type NodeId } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

/** A registry that hangs: requests are taken and do nothing until it goes on, when it does them in an order of its own. */
class HangingRegistry {
  readonly #held: { readonly first: boolean; readonly go: () => void }[] = []
  #hangs = false

  hang(): void {
    this.#hangs = true
  }

  /** Declarations of death first: the worst order. */
  goOn(): void {
    this.#hangs = false
    for (const first of [true, false]) for (const held of this.#held) if (held.first === first) held.go()
    this.#held.length = 0
  }

  connect(registry: Registry): Registry {
    const later = <T>(first: boolean, work: () => Promise<T>): Promise<T> =>
      this.#hangs
        ? new Promise((resolve, reject) => this.#held.push({ first, go: () => void work().then(resolve, reject) }))
        : work()
    return {
      get: (key) => later(false, () => registry.get(key)),
      list: (prefix) => later(false, () => registry.list(prefix)),
      create: (key, value) => later(false, () => registry.create(key, value)),
      update: (key, value, revision) =>
        later(Buffer.from(value).includes('"dead"'), () => registry.update(key, value, revision)),
      delete: (key, revision) => later(false, () => registry.delete(key, revision)),
      watch: (prefix, listener) => registry.watch(prefix, listener),
      close: () => registry.close(),
    }
  }
}

const settings: MembershipSettings = { renewEveryMs: 500, leaseTermMs: 2_000 }

const open: Membership[] = []
afterEach(() => {
  for (const membership of open.splice(0)) membership.close()
})

function member(
  world: MemoryWorld,
  registry: HangingRegistry,
  name: NodeId,
  events: HoldfastEvent[] = [],
  lost: string[] = [],
  started?: MemoryProcess,
): Membership {
  const observer = { emit: (event: HoldfastEvent) => void events.push(event) }
  const { transport, registry: own, spare, clock, random } = started ?? world.start(name, observer)
  const membership = createMembership({
    transport,
    clock,
    random,
    registry: registry.connect(own),
    spare: { ...spare, registry: registry.connect(spare.registry) },
    observer,
    self: { id: name, incarnation: incarnation(`${name}1`) },
    host: name,
    zone: '',
    weight: 1,
    draining: false,
    subjects: subjectsOf('test'),
    settings,
    gossip: defaultGossipSettings,
    details: () => ({ host: name, zone: '', version: '', load: 0, leaving: false, partitions: [] }),
    mayDeclare: () => true,
    isClose: () => true,
    onChange() {},
    onLost: (how, reason) => void lost.push(`${name} ${how}: ${reason}`),
  })
  open.push(membership)
  return membership
}

async function threeMembers(seed: number) {
  const world = new MemoryWorld({ random: new SeededRandom(seed) })
  const registry = new HangingRegistry()
  const events: HoldfastEvent[] = []
  const lost: string[] = []
  for (const [i, name] of (['a', 'b', 'c'] as NodeId[]).entries()) {
    const membership = member(world, registry, name, events, lost)
    await world.clock.settle(membership.join(), 5_000)
    // So that they do not renew at the same moments.
    await world.clock.advance(i * 130)
  }
  return { world, registry, events, lost }
}

/** Of the process that went by the id `a` before. */
const leaseOfFormer = encodeLease({
  id: 'a' as NodeId,
  incarnation: incarnation('a0'),
  state: 'alive',
  host: 'a',
  zone: '',
  weight: 1,
  draining: false,
  renewal: 7,
})

/** Whether it has sent a renewal since. */
function renewing({ registry }: MemoryProcess): () => boolean {
  const update = registry.update.bind(registry)
  let sent = false
  registry.update = (...given) => {
    sent = true
    return update(...given)
  }
  return () => sent
}

it('declares nobody dead for having been unable to renew while the registry hung (O5)', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { world, registry, events, lost } = await threeMembers(seed)
    await world.clock.advance(3_000 + seed * 37)
    registry.hang()
    await world.clock.advance(1_000 + seed * 100)
    registry.goOn()
    await world.clock.advance(6_000)
    expect(events.filter(({ type }) => type === 'member.died')).toEqual([])
    expect(lost).toEqual([])
    for (const membership of open.splice(0)) {
      expect(membership.alive().map(({ id }) => id)).toEqual(['a', 'b', 'c'])
      membership.close()
    }
  }
})

it('declares a member dead that does not renew, while the registry answers the others', async () => {
  const { world, events } = await threeMembers(1)
  await world.clock.advance(3_000)
  open.shift()!.close()
  await world.clock.runUntil(() => events.some(({ type }) => type === 'member.died'), 3 * settings.leaseTermMs)
  expect(events.filter((event) => event.type === 'member.died').map(({ node }) => node)).toEqual(['a'])
})

it('gives up joining where it may not write its lease, and says why', async () => {
  const world = new MemoryWorld({ random: new SeededRandom(1) })
  const process = world.start('a')
  const denied = new HoldfastError('INVALID', 'it may not publish $KV.test_registry.lease.a')
  process.registry.create = () => Promise.reject(denied)
  const membership = member(world, new HangingRegistry(), 'a' as NodeId, [], [], process)
  await expect(world.clock.settle(membership.join(), 5_000)).rejects.toBe(denied)
})

describe('a member that is asked to drain', () => {
  let world: MemoryWorld
  let process: MemoryProcess
  beforeEach(() => {
    world = new MemoryWorld({ random: new SeededRandom(1) })
    process = world.start('a')
  })
  const drains = () => decodeLease(world.registry.get(leaseKey('a' as NodeId))!.value).draining

  it('says whether its lease says so: a renewal that was on its way does not', async () => {
    const membership = member(world, new HangingRegistry(), 'a' as NodeId, [], [], process)
    await world.clock.settle(membership.join(), 5_000)
    await world.clock.runUntil(renewing(process), 1_000)
    expect(await world.clock.settle(membership.drain(), 1_000)).toBe(true)
    expect(drains()).toBe(true)
    for (const link of [process.links.registry, process.links.spare]) link.cut()
    expect(await world.clock.settle(membership.drain(), 5_000)).toBe(false)
  })

  it('has it in its lease from the start, where it has none yet', async () => {
    const membership = member(world, new HangingRegistry(), 'a' as NodeId, [], [], process)
    expect(await membership.drain()).toBe(false)
    await world.clock.settle(membership.join(), 5_000)
    expect(drains()).toBe(true)
  })
})

it('leaves in an orderly way also while a renewal of its lease is on its way', async () => {
  const world = new MemoryWorld({ random: new SeededRandom(1) })
  const events: HoldfastEvent[] = []
  const registry = new HangingRegistry()
  const process = world.start('b')
  const other = member(world, registry, 'a' as NodeId, events)
  const membership = member(world, registry, 'b' as NodeId, [], [], process)
  for (const each of [other, membership]) await world.clock.settle(each.join(), 5_000)
  await world.clock.runUntil(renewing(process), 1_000)
  await world.clock.settle(membership.leave(), 1_000)
  const gone = () => events.find(({ type }) => type === 'member.left' || type === 'member.died')
  await world.clock.runUntil(() => gone() !== undefined, 5_000)
  expect(gone()).toEqual({ type: 'member.left', node: 'b', by: 'a' })
})

it('leaves in an orderly way also where the answer to its last renewal was lost', async () => {
  const world = new MemoryWorld({ random: new SeededRandom(1) })
  const process = world.start('a')
  const membership = member(world, new HangingRegistry(), 'a' as NodeId, [], [], process)
  await world.clock.settle(membership.join(), 5_000)
  let unanswered = 0
  for (const registry of [process.registry, process.spare.registry]) {
    const update = registry.update.bind(registry)
    registry.update = async (...given) => {
      const result = await update(...given)
      if (++unanswered > 2) return result
      throw new HoldfastError('UNKNOWN', 'the answer was lost')
    }
    registry.get = () => Promise.reject(new HoldfastError('RETRY', 'the registry is away'))
  }
  await world.clock.runUntil(() => unanswered === 2, 1_000)
  Reflect.deleteProperty(process.registry, 'get')
  await world.clock.settle(membership.leave(), 1_000)
  expect(decodeLease(world.registry.get(leaseKey('a' as NodeId))!.value).state).toBe('left')
})

it('does not take itself for replaced where a former leader of the registry says what was there before (G1)', async () => {
  const world = new MemoryWorld({ random: new SeededRandom(1) })
  const key = leaseKey('a' as NodeId)
  world.registry.write(key, leaseOfFormer, undefined)
  const old = world.registry.get(key)
  const lost: string[] = []
  const process = world.start('a')
  const update = process.registry.update.bind(process.registry)
  const get = process.registry.get.bind(process.registry)
  let stale = false
  process.registry.update = (...given) => (stale ? Promise.resolve({ kind: 'conflict' }) : update(...given))
  process.registry.get = (...given) => (stale ? Promise.resolve(old) : get(...given))
  const membership = member(world, new HangingRegistry(), 'a' as NodeId, [], lost, process)
  await world.clock.settle(membership.join(), 5_000)
  stale = true
  await world.clock.advance(1_000)
  stale = false
  const before = world.registry.get(key)!.revision
  await world.clock.advance(1_000)
  expect(lost).toEqual([])
  expect(world.registry.get(key)!.revision).toBeGreaterThan(before)
})

it('may come back where its lease was overwritten by what is none', async () => {
  const world = new MemoryWorld({ random: new SeededRandom(1) })
  const key = leaseKey('a' as NodeId)
  for (const value of ['no lease', JSON.stringify({ ...decodeLease(leaseOfFormer), id: 'b' })]) {
    const lost: string[] = []
    const membership = member(world, new HangingRegistry(), 'a' as NodeId, [], lost)
    await world.clock.settle(membership.join(), 5_000)
    world.registry.write(key, Buffer.from(value), undefined)
    await world.clock.advance(1_000)
    expect(lost).toEqual(['a dead: its lease was overwritten by what is none'])
  }
})

it('is there for who asks whether it has a connection from before it has a lease, by either of them (LW6)', async () => {
  const world = new MemoryWorld({ random: new SeededRandom(1) })
  const registry = new HangingRegistry()
  registry.hang()
  const process = world.start('a')
  const { links } = process
  const membership = member(world, registry, 'a' as NodeId, [], [], process)
  const joined = membership.join()
  const { transport, clock } = world.start('asker')
  const absent = () => world.clock.settle(isAbsent('a' as NodeId, subjectsOf('test'), transport, clock), 1_000)
  await world.clock.advance(500)
  expect(await absent()).toBe(false)
  registry.goOn()
  await world.clock.settle(joined, 5_000)
  for (const one of [links.hub, links.spare]) {
    one.cut()
    expect(await absent()).toBe(false)
    one.heal()
    await world.clock.advance(100)
  }
  links.hub.cut()
  links.spare.cut()
  expect(await absent()).toBe(true)
  links.hub.heal()
  await world.clock.advance(100)
  expect(await absent()).toBe(false)
  membership.close()
  await world.clock.advance(100)
  expect(await absent()).toBe(true)
})

it('deletes the lease of a node that is gone after ten minutes, and not before, nor one that lives', async () => {
  const { world } = await threeMembers(1)
  await world.clock.advance(3_000)
  open.shift()!.close()
  const looker = world.start('looker')
  const keys = async () => {
    const entries = await world.clock.settle(looker.registry.list('lease'), 1_000)
    return entries.map(({ key }) => key.split('.').at(-1))
  }
  await world.clock.advance(9 * 60_000)
  expect(await keys()).toEqual(['a', 'b', 'c'])
  await world.clock.advance(2 * 60_000)
  expect(await keys()).toEqual(['b', 'c'])
  const leases = open[0]!.metrics().find(({ name }) => name === 'holdfast_leases')
  expect(leases).toMatchObject({ value: 2 })
})

describe('a renewal that is not answered by the main way', () => {
  const expiredMs = settings.leaseTermMs + 2 * settings.renewEveryMs

  /** Two members, and the process of the second one. */
  async function pair(seed: number) {
    const world = new MemoryWorld({ random: new SeededRandom(seed) })
    const registry = new HangingRegistry()
    const events: HoldfastEvent[] = []
    const lost: string[] = []
    const process = world.start('b')
    const other = member(world, registry, 'a' as NodeId, events, lost)
    const membership = member(world, registry, 'b' as NodeId, events, lost, process)
    for (const each of [other, membership]) await world.clock.settle(each.join(), 5_000)
    await world.clock.advance(3_000 + seed * 37)
    const died = () => events.filter(({ type }) => type === 'member.died').length
    return { world, process, membership, died, lost }
  }

  it.each(['toServer', 'toNode'] as const)('goes by the spare one, where that stalls %s for 3 s', async (direction) => {
    for (let seed = 1; seed <= 10; seed++) {
      const { world, process, membership, died, lost } = await pair(seed)
      process.links.registry.stall(direction)
      for (let ms = 0; ms < 3_000; ms += 100) {
        await world.clock.advance(100)
        // An interval, half of one for patience, and what the ways take.
        expect(membership.own().renewedMsAgo).toBeLessThan(1_000)
      }
      process.links.registry.resume()
      await world.clock.advance(6_000)
      expect([died(), lost, membership.own().held]).toEqual([0, [], true])
      for (const each of open.splice(0)) each.close()
    }
  })

  it('goes by the spare one for a while only: who can do nothing else is replaced', async () => {
    const { world, process, died, lost } = await pair(1)
    process.links.registry.stall('toServer')
    await world.clock.advance(spareForMs(settings))
    expect(died()).toBe(0)
    await world.clock.advance(expiredMs)
    expect(died()).toBe(1)
    process.links.registry.resume()
    await world.clock.advance(6_000)
    expect(lost).toEqual(['b dead: its lease was marked dead'])
  })

  it('goes by the spare one where the main one has failed, at once', async () => {
    const { world, process, membership, died, lost } = await pair(1)
    process.links.registry.cut()
    for (let ms = 0; ms < 3_000; ms += 100) {
      await world.clock.advance(100)
      expect(membership.own().renewedMsAgo).toBeLessThan(settings.renewEveryMs + 100)
    }
    process.links.registry.heal()
    await world.clock.advance(6_000)
    expect([died(), lost, membership.own().held]).toEqual([0, [], true])
  })

  it('is waited for to the end of its term while the main one is dialled anew, also where it is late for another reason', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { world, process, membership, died, lost } = await pair(seed)
      for (const link of [process.links.hub, process.links.registry]) link.cut()
      await world.clock.advance(100 * seed)
      process.freeze()
      await world.clock.advance(1_000)
      process.thaw()
      await world.clock.advance(2_000)
      for (const link of [process.links.hub, process.links.registry]) link.heal()
      await world.clock.advance(6_000)
      expect([died(), lost, membership.own().held]).toEqual([0, [], true])
      for (const each of open.splice(0)) each.close()
    }
  })

  it('is lost with both', async () => {
    const { world, process, died } = await pair(1)
    for (const link of [process.links.registry, process.links.spare]) link.stall('toServer')
    await world.clock.advance(expiredMs)
    expect(died()).toBe(1)
  })
})
