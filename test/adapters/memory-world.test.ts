/** Faults of the world in memory: what the simulator relies on. */
import { describe, expect, it } from 'vitest'
import { RowBatch } from '../../src/core/row-batch.ts'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import type { AppendResult } from '../../src/ports/changelog.ts'
import type { Store } from '../../src/ports/store.ts'
import type { TransportStatus } from '../../src/ports/transport.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { bytes, text } from '../conformance/bytes.ts'

const p0 = partitionId(0)
const worldOf = (seed: string | number) => new MemoryWorld({ random: new SeededRandom(seed) })

async function listening(world: MemoryWorld, process: MemoryProcess, subject: string): Promise<string[]> {
  const heard: string[] = []
  process.transport.subscribe(subject, (message) => heard.push(text(message.data)!))
  await world.clock.settle(process.transport.flush(), 100)
  return heard
}

describe('a world in memory', () => {
  it('runs the same way for the same seed, and another way for another (W1)', async () => {
    const run = async (seed: number) => {
      const world = worldOf(seed)
      const trace: string[] = []
      const nodes = ['a', 'b', 'c'].map((name) => world.start(name))
      world.changelog.provision(p0, generation('g'), bytes('genesis'))
      for (const node of nodes) {
        node.links.hub.dropProbability = 0.1
        node.changelog.faults.delay = 0.2
        node.transport.subscribe('x', (m) => trace.push(`${node.clock.monotonic()} ${node.name} heard ${text(m.data)}`))
        const tick = () => {
          node.transport.publish('x', bytes(`${node.name}${node.random.next()}`))
          void node.changelog
            .log(p0)
            .append(bytes(node.name), seq(world.changelog.recordsOf(p0).length))
            .then((result) => trace.push(`${node.clock.monotonic()} ${node.name} ${result.kind}`))
          node.clock.setTimeout(tick, 5 + node.random.next() * 20)
        }
        tick()
      }
      world.clock.setTimeout(() => nodes[1]!.freeze(), 400)
      world.clock.setTimeout(() => nodes[1]!.thaw(), 600)
      world.clock.setTimeout(() => nodes[2]!.cut({ noticeAfterMs: 50 }), 500)
      world.clock.setTimeout(() => nodes[2]!.heal(), 800)
      await world.clock.advance(2_000)
      expect(trace.length).toBeGreaterThan(500)
      return `${trace.join('\n')}\n${world.clock.fired}`
    }
    const first = await run(1)
    expect(await run(1)).toBe(first)
    expect(await run(2)).not.toBe(first)
  })

  it('has links that stray: messages of one sender arrive in their order, and far behind those of another (N4)', async () => {
    const world = worldOf('stray')
    const [a, b, c] = [world.start('a'), world.start('b'), world.start('c')]
    const heard = await listening(world, c, 'x')
    Object.assign(a.links.hub, { strayProbability: 0.3, strayMs: 200 })
    for (let i = 0; i < 50; i++) {
      a.transport.publish('x', bytes(`a${i}`))
      b.transport.publish('x', bytes(`b${i}`))
      await world.clock.advance(2)
    }
    await world.clock.advance(500)
    for (const name of ['a', 'b']) {
      const own = heard.filter((body) => body.startsWith(name))
      expect(own).toEqual(Array.from({ length: 50 }, (_, i) => `${name}${i}`))
    }
    const behind = heard.indexOf('a0') - heard.indexOf('b0')
    const places = Array.from({ length: 50 }, (_, i) => heard.indexOf(`a${i}`) - heard.indexOf(`b${i}`))
    expect(Math.max(behind, ...places)).toBeGreaterThan(5)
  })

  it('has links that double messages: the second comes later, behind others, and never over a link that broke (N4)', async () => {
    const world = worldOf('double')
    const [a, b] = [world.start('a'), world.start('b')]
    const heard = await listening(world, b, 'x')
    a.links.hub.duplicateProbability = 1
    for (let i = 0; i < 20; i++) {
      a.transport.publish('x', bytes(String(i)))
      await world.clock.advance(10)
    }
    await world.clock.advance(1_000)
    expect(heard).toHaveLength(40)
    for (let i = 0; i < 20; i++) expect(heard.filter((body) => body === String(i))).toHaveLength(2)
    expect(heard).not.toEqual(heard.toSorted((x, y) => Number(x) - Number(y)))
    a.transport.publish('x', bytes('last'))
    await world.clock.advance(2)
    a.links.hub.cut()
    await world.clock.advance(1_000)
    expect(heard.filter((body) => body === 'last')).toHaveLength(1)
  })

  it('has connections that are gone once the server notices, with all that arrived over them last (N2)', async () => {
    const world = worldOf('last words')
    const [asker, dead] = [world.start('a'), world.start('b')]
    dead.links.hub.delayMs = 5_000
    for (let i = 0; i < 50; i++) dead.transport.subscribe('x', () => {})
    await world.clock.advance(10)
    // Some of it still arrives. A cut is mended from outside, though nobody comes any more.
    dead.crash({ noticeAfterMs: 1_000 })
    dead.links.hub.heal()
    await world.clock.advance(10_000)
    let answered = false
    asker.transport.subscribe('reply', ({ noResponders }) => (answered = noResponders))
    asker.transport.publish('x', bytes('?'), { reply: 'reply' })
    await world.clock.advance(100)
    expect(answered).toBe(true)
  })

  it('has slow networks that recover: what was held up arrives at once, in its order, and before what is sent later (N5)', async () => {
    const world = worldOf(3)
    const [sender, receiver] = [world.start('a'), world.start('b')]
    const heard = await listening(world, receiver, 'x')
    sender.links.hub.delayMs = 60_000
    for (const word of ['one', 'two']) sender.transport.publish('x', bytes(word))
    await world.clock.advance(10)
    expect(heard).toEqual([])
    sender.links.hub.delayMs = 0
    sender.links.hub.hurry()
    sender.transport.publish('x', bytes('three'))
    await world.clock.advance(10)
    expect(heard).toEqual(['one', 'two', 'three'])
  })

  it('has one-way partitions: what is stalled arrives late and in order, the other direction goes on (N3)', async () => {
    const world = worldOf('stall')
    const [a, b] = [world.start('a'), world.start('b')]
    const heardByA = await listening(world, a, 'to.a')
    const heardByB = await listening(world, b, 'to.b')
    a.links.hub.stall('toServer')
    for (let i = 0; i < 5; i++) {
      a.transport.publish('to.b', bytes(String(i)))
      b.transport.publish('to.a', bytes(String(i)))
      await world.clock.advance(10)
    }
    expect(heardByA).toEqual(['0', '1', '2', '3', '4'])
    expect(heardByB).toEqual([])
    expect(a.transport.connected).toBe(true)
    a.links.hub.resume()
    a.transport.publish('to.b', bytes('5'))
    await world.clock.advance(10)
    expect(heardByB).toEqual(['0', '1', '2', '3', '4', '5'])
  })

  it('does not break a link for a stall that is over, though it is stalled again by then (N3)', async () => {
    const world = worldOf('stall again')
    const [a, b] = [world.start('a'), world.start('b')]
    const heardByA = await listening(world, a, 'y')
    a.links.hub.stall('toNode', { breakAfterMs: 100 })
    await world.clock.advance(50)
    a.links.hub.resume()
    a.links.hub.stall('toNode')
    b.transport.publish('y', bytes('kept'))
    await world.clock.advance(1_000)
    expect(a.transport.connected).toBe(true)
    a.links.hub.resume()
    await world.clock.advance(10)
    expect(heardByA).toEqual(['kept'])
  })

  it('breaks a link that is stalled for too long, with what it held, and mends it as any other (N3)', async () => {
    const world = worldOf('stall and break')
    const [a, b] = [world.start('a'), world.start('b')]
    const heard = await listening(world, b, 'x')
    const heardByA = await listening(world, a, 'y')
    a.links.hub.stall('toNode', { breakAfterMs: 100 })
    b.transport.publish('y', bytes('lost'))
    await world.clock.advance(99)
    expect(a.transport.connected).toBe(true)
    await world.clock.advance(2)
    expect(a.transport.connected).toBe(false)
    a.links.hub.heal()
    await world.clock.advance(10)
    expect(a.transport.connected).toBe(true)
    expect(heardByA).toEqual([])
    a.transport.publish('x', bytes('after'))
    b.transport.publish('y', bytes('after'))
    await world.clock.advance(10)
    expect([heard, heardByA]).toEqual([['after'], ['after']])
  })

  it('has slow disks: answers come late and in the order of the questions, writes are there at once (D4)', async () => {
    const world = worldOf('slow disk')
    const a = world.start('a')
    const store = await world.clock.settle(a.stores.open(p0), 10)
    const disk = world.disk('a')
    Object.assign(disk, { readMs: 20, writeMs: 300 })
    const told: string[] = []
    const batch = new RowBatch()
    batch.put(bytes('k'), bytes('v'))
    const note = (what: string) => () => void told.push(`${what} at ${a.clock.monotonic() - beganMs}`)
    const beganMs = a.clock.monotonic()
    const written = store.write(batch).then(note('written'))
    const read = store.getMany([bytes('k')])
    const readNoted = read.then(note('read'))
    disk.writeMs = 0
    const writtenAgain = store.write(new RowBatch()).then(note('written'))
    await world.clock.settle(Promise.all([written, readNoted, writtenAgain]), 1_000)
    expect(told).toEqual(['written at 300', 'read at 300', 'written at 300'])
    expect(text((await read)[0])).toBe('v')
  })

  it('reorders messages of different senders, and never those of one', async () => {
    const world = worldOf('order')
    const [a, b, c] = [world.start('a'), world.start('b'), world.start('c')]
    const heard = await listening(world, c, 'x')
    for (let i = 0; i < 200; i++) {
      a.transport.publish('x', bytes(`a${i}`))
      b.transport.publish('x', bytes(`b${i}`))
      if (i % 10 === 0) await world.clock.advance(0.3)
    }
    await world.clock.advance(20)
    for (const name of ['a', 'b']) {
      expect(heard.filter((body) => body.startsWith(name))).toEqual(
        Array.from({ length: 200 }, (_, i) => `${name}${i}`),
      )
    }
    const alternating = Array.from({ length: 200 }, (_, i) => [`a${i}`, `b${i}`]).flat()
    expect(heard).not.toEqual(alternating)
  })

  it('delivers nothing to a frozen node, fires none of its timers, and gives it all once it is thawed (W2)', async () => {
    const world = worldOf('freeze')
    const [a, b] = [world.start('a'), world.start('b')]
    const heard = await listening(world, b, 'x')
    let timers = 0
    b.clock.setTimeout(() => timers++, 100)
    const append = b.changelog.provision(p0, generation('g'), bytes('genesis'))
    let provisioned = false
    void append.then(() => (provisioned = true))
    b.freeze()
    a.transport.publish('x', bytes('1'))
    await world.clock.advance(1_000)
    expect([heard, timers, provisioned]).toEqual([[], 0, false])
    expect(world.changelog.recordsOf(p0)).toHaveLength(1)
    b.thaw()
    await world.clock.advance(10)
    expect([heard, timers, provisioned]).toEqual([['1'], 1, true])
  })

  it('runs nothing of a crashed node, and the server forgets it', async () => {
    const world = worldOf('crash')
    const [a, b] = [world.start('a'), world.start('b')]
    const heard = await listening(world, b, 'x')
    const inbox = a.transport.inbox()
    const replies: boolean[] = []
    a.transport.subscribe(inbox, (message) => replies.push(message.noResponders))
    let settled = false
    void b.changelog
      .log(p0)
      .info()
      .finally(() => (settled = true))
    b.crash()
    b.transport.publish('x', bytes('from the dead'))
    await world.clock.advance(10)
    a.transport.publish('x', bytes('to the dead'), { reply: inbox })
    await world.clock.advance(5_000)
    expect(heard).toEqual([])
    expect(settled).toBe(false)
    expect(replies).toEqual([true])
  })

  it('starts a node again with new connections on its old disk (W3)', async () => {
    const world = worldOf('again')
    const first = world.start('a')
    const store = await world.clock.settle(first.stores.open(p0), 100)
    await world.clock.settle(store.write(RowBatch.of([{ key: bytes('k'), value: bytes('safe') }])), 100)
    await world.clock.settle(store.close(), 100)
    const second = world.start('a')
    await expect(world.clock.settle(second.stores.open(p0), 100)).rejects.toMatchObject({ code: 'CONFLICT' })
    first.crash()
    const again = await world.clock.settle(second.stores.open(p0), 100)
    const [value] = await world.clock.settle(again.getMany([bytes('k')]), 100)
    expect(text(value)).toBe('safe')
    expect(second.transport.inbox()).not.toBe(first.transport.inbox())
    expect(second.random.id()).not.toBe(first.random.id())
  })
})

describe('a link that is cut', () => {
  it('tells both ends when they notice, and loses what is sent meanwhile', async () => {
    const world = worldOf('cut')
    const [a, b] = [world.start('a'), world.start('b')]
    const statuses: TransportStatus[] = []
    b.transport.onStatus((status) => statuses.push(status))
    const heard = await listening(world, b, 'x')
    b.cut({ noticeAfterMs: 200 })
    await world.clock.advance(100)
    expect(b.transport.connected).toBe(true)
    a.transport.publish('x', bytes('into the void'))
    const flush = b.transport.flush()
    await expect(world.clock.settle(flush, 300)).rejects.toMatchObject({ code: 'RETRY' })
    expect(statuses).toEqual(['disconnected'])
    b.heal()
    await world.clock.runUntil(() => b.transport.connected, 100)
    a.transport.publish('x', bytes('back'))
    await world.clock.advance(10)
    expect(heard).toEqual(['back'])
    expect(statuses).toEqual(['disconnected', 'connected'])
  })

  it('forgets what a node does not listen to any more, whenever that was while it comes back', async () => {
    for (let atMs = 0; atMs < 4; atMs += 0.1) {
      const world = worldOf(`closed at ${atMs}`)
      const [a, b, c] = [world.start('a'), world.start('b'), world.start('c')]
      const heard: string[] = []
      const closing = a.transport.subscribe('x', () => {}, { queue: 'q' })
      b.transport.subscribe('x', ({ data }) => heard.push(text(data)!), { queue: 'q' })
      await world.clock.advance(5)
      a.cut()
      await world.clock.advance(5)
      a.heal()
      world.clock.setTimeout(() => closing.close(), atMs)
      await world.clock.advance(20)
      for (let i = 0; i < 20; i++) c.transport.publish('x', bytes(String(i)))
      await world.clock.advance(5)
      expect(heard.length, `closed after ${atMs} ms`).toBe(20)
    }
  })

  it('can be cut again while it comes back', async () => {
    const world = worldOf('flapping')
    const a = world.start('a')
    a.cut()
    await world.clock.advance(1)
    a.heal()
    a.cut()
    await world.clock.advance(50)
    expect(a.transport.connected).toBe(false)
    a.heal()
    await world.clock.advance(50)
    expect(a.transport.connected).toBe(true)
  })

  it('delivers a first part of what was under way to the server, or all, or nothing (N2)', async () => {
    const arrived = new Set<number>()
    for (let seed = 0; seed < 60; seed++) {
      const world = worldOf(seed)
      const [a, b] = [world.start('a'), world.start('b')]
      const heard = await listening(world, b, 'x')
      for (let i = 0; i < 4; i++) a.transport.publish('x', bytes(`${i}`))
      a.cut()
      await world.clock.advance(50)
      expect(heard).toEqual(['0', '1', '2', '3'].slice(0, heard.length))
      arrived.add(heard.length)
    }
    expect([...arrived].toSorted()).toEqual([0, 1, 2, 3, 4])
  })

  it('delivers nothing to a node that has learnt of the cut, though it was under way (K3)', async () => {
    const heardBefore = new Set<boolean>()
    for (let seed = 0; seed < 40; seed++) {
      const world = worldOf(seed)
      const [a, b] = [world.start('a'), world.start('b')]
      const heard = await listening(world, b, 'x')
      let heardAtNotice = 0
      b.transport.onStatus(() => (heardAtNotice = heard.length))
      a.transport.publish('x', bytes('1'))
      await world.clock.advance(0.9)
      b.cut({ noticeAfterMs: 0.3 })
      await world.clock.advance(0.3)
      expect(b.transport.connected).toBe(false)
      await world.clock.advance(50)
      expect(heard).toHaveLength(heardAtNotice)
      heardBefore.add(heard.length === 1)
    }
    expect(heardBefore.size).toBe(2)
  })

  it('makes appends unknown or refused, reads RETRY, and writes of the registry UNKNOWN or RETRY', async () => {
    const world = worldOf('requests')
    const a = world.start('a')
    const log = a.changelog.log(p0)
    await world.clock.settle(a.changelog.provision(p0, generation('g'), bytes('genesis')), 100)
    const underway = Promise.allSettled([
      log.append(bytes('x'), seq(1)),
      log.info(),
      a.registry.create('k', bytes('x')),
      a.registry.get('k'),
    ])
    a.cut()
    expect(await world.clock.settle(underway, 100)).toMatchObject([
      { value: { kind: 'unknown' } },
      { reason: { code: 'RETRY' } },
      { reason: { code: 'UNKNOWN' } },
      { reason: { code: 'RETRY' } },
    ])
    expect((await world.clock.settle(log.append(bytes('x'), seq(1)), 100)).kind).toBe('refused')
    await expect(a.registry.create('k', bytes('x'))).rejects.toMatchObject({ code: 'RETRY' })
  })
})

describe('a registry that does not answer', () => {
  it('times out: UNKNOWN for a write, RETRY for a read', async () => {
    const world = worldOf('silence')
    const a = world.start('a')
    a.links.registry.cut({ noticeAfterMs: 60_000 })
    const started = world.clock.monotonic()
    await expect(world.clock.settle(a.registry.update('k', bytes('x'), 1), 5_000)).rejects.toMatchObject({
      code: 'UNKNOWN',
    })
    expect(world.clock.monotonic() - started).toBe(2_000)
    await expect(world.clock.settle(a.registry.list(''), 5_000)).rejects.toMatchObject({ code: 'RETRY' })
    expect(a.transport.connected).toBe(true)
  })

  it('says nothing to watches while it is stalled, and everything again after a reconnect', async () => {
    const world = worldOf('stall')
    const a = world.start('a')
    const heard: string[] = []
    a.registry.watch('', (change) => heard.push(`${change.key}=${text(change.value)}`))
    await world.clock.advance(10)
    world.registry.stalled = true
    world.registry.write('k', bytes('1'), undefined)
    await world.clock.advance(1_000)
    expect(heard).toEqual([])
    world.registry.stalled = false
    a.cut()
    await world.clock.advance(10)
    a.heal()
    await world.clock.advance(10)
    expect(heard).toEqual(['k=1'])
    world.registry.write('k', bytes('2'), undefined)
    await world.clock.advance(10)
    expect(heard).toEqual(['k=1', 'k=2'])
  })
})

describe('appends in memory with faults', () => {
  const outcome = async (faults: Partial<MemoryProcess['changelog']['faults']>) => {
    const world = worldOf('faults')
    const a = world.start('a')
    world.changelog.provision(p0, generation('g'), bytes('genesis'))
    Object.assign(a.changelog.faults, faults)
    const started = world.clock.monotonic()
    const result: AppendResult = await world.clock.settle(a.changelog.log(p0).append(bytes('x'), seq(1)), 10_000)
    const tookMs = world.clock.monotonic() - started
    const storedThen = world.changelog.recordsOf(p0).length - 1
    await world.clock.advance(10_000)
    return { kind: result.kind, tookMs, storedThen, storedLater: world.changelog.recordsOf(p0).length - 1 }
  }

  it('are lost, stored without an answer, refused or late, as told', async () => {
    expect(await outcome({})).toMatchObject({ kind: 'accepted', storedLater: 1 })
    expect(await outcome({ loseRequest: 1 })).toEqual({ kind: 'unknown', tookMs: 2_000, storedThen: 0, storedLater: 0 })
    expect(await outcome({ loseAcknowledgement: 1 })).toEqual({
      kind: 'unknown',
      tookMs: 2_000,
      storedThen: 1,
      storedLater: 1,
    })
    expect(await outcome({ refuse: 1 })).toMatchObject({ kind: 'refused', storedLater: 0 })
    expect(await outcome({ delay: 1, delayMs: 10_000 })).toEqual({
      kind: 'unknown',
      tookMs: 2_000,
      storedThen: 0,
      storedLater: 1,
    })
  })
})

describe('a delayed append in memory', () => {
  it('holds back what was appended after it (C2)', async () => {
    const world = worldOf('delay')
    const a = world.start('a')
    world.changelog.provision(p0, generation('g'), bytes('genesis'))
    const log = a.changelog.log(p0)
    Object.assign(a.changelog.faults, { delay: 1, delayMs: 1_500 })
    const late = log.append(bytes('late'), seq(1))
    a.changelog.faults.delay = 0
    const behind = log.append(bytes('behind'), seq(2))
    await world.clock.advance(5)
    expect(world.changelog.recordsOf(p0)).toHaveLength(1)
    expect(await world.clock.settle(Promise.all([late, behind]), 2_000)).toMatchObject([{ seq: 2 }, { seq: 3 }])
    expect(world.changelog.recordsOf(p0).map(text)).toEqual(['genesis', 'late', 'behind'])
  })
})

describe('a disk in memory', () => {
  const write = (store: Store, i: number) =>
    store.write(
      RowBatch.of([
        { key: bytes('latest'), value: bytes('written twice in one batch') },
        { key: bytes('latest'), value: bytes(`${i}`) },
        { key: bytes(`batch ${i}`), value: bytes('x') },
        { key: bytes(`batch ${i - 2}`), value: null },
      ]),
    )

  it('holds the effect of some first batches after a crash, whole, and of no others (S1)', async () => {
    const kept = new Set<number>()
    for (let seed = 0; seed < 100; seed++) {
      const world = worldOf(seed)
      const process = world.start('a')
      const store = await world.clock.settle(process.stores.open(p0), 100)
      for (let i = 1; i <= 5; i++) await world.clock.settle(write(store, i), 100)
      process.crash()
      void store.write(RowBatch.of([{ key: bytes('latest'), value: bytes('written by the dead') }]))
      const again = await world.clock.settle(world.start('a').stores.open(p0), 100)
      const keys = ['latest', ...[1, 2, 3, 4, 5].map((i) => `batch ${i}`)].map(bytes)
      const [latest, ...batches] = await world.clock.settle(again.getMany(keys), 100)
      const last = Number(text(latest) ?? 0)
      expect(batches.map((value) => value !== undefined)).toEqual(
        [1, 2, 3, 4, 5].map((i) => i === last || i === last - 1),
      )
      kept.add(last)
    }
    expect([...kept].toSorted()).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('loses nothing of a store that was closed, and nothing old', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const world = worldOf(seed)
      const process = world.start('a')
      const store = await world.clock.settle(process.stores.open(p0), 100)
      for (let i = 1; i <= 100; i++) await world.clock.settle(write(store, i), 100)
      if (seed % 2 === 0) await world.clock.settle(store.close(), 100)
      process.crash()
      const again = await world.clock.settle(world.start('a').stores.open(p0), 100)
      const latest = Number(text((await world.clock.settle(again.getMany([bytes('latest')]), 100))[0]))
      if (seed % 2 === 0) expect(latest).toBe(100)
      else expect(latest).toBeGreaterThanOrEqual(36)
    }
  })

  it('does not open what is damaged, until it is set aside (S4)', async () => {
    const world = worldOf('damage')
    const { stores } = world.start('a')
    const store = await world.clock.settle(stores.open(p0), 100)
    await world.clock.settle(store.close(), 100)
    world.disk('a').damage(p0)
    await expect(world.clock.settle(stores.open(p0), 100)).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('memory:p0'),
    })
    const path = await world.clock.settle(stores.setAside(p0, 'damaged'), 100)
    expect(world.disk('a').aside).toEqual([path])
    await world.clock.settle(stores.open(p0), 100)
  })

  it('leaves open what became of an object that was put when its link broke, and says what was never sent (B4)', async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const world = worldOf(seed)
      const [a, b] = [world.start('a'), world.start('b')]
      const put = a.objects.put('one', bytes('content')).then(
        () => 'stored',
        (error: { code: string }) => error.code,
      )
      a.links.objects.cut()
      const outcome = await world.clock.settle(put, 5_000)
      const found = text(await world.clock.settle(b.objects.get('one'), 100)) ?? 'nothing'
      outcomes.add(`${outcome}, ${found}`)
      await expect(world.clock.settle(a.objects.put('two', bytes('x')), 100)).rejects.toMatchObject({ code: 'RETRY' })
      await expect(world.clock.settle(a.objects.get('one'), 100)).rejects.toMatchObject({ code: 'RETRY' })
      expect(await world.clock.settle(b.objects.get('two'), 100)).toBeNull()
      a.heal()
      await world.clock.advance(10)
      await world.clock.settle(a.objects.put('one', bytes('content')), 100)
      expect(text(await world.clock.settle(b.objects.get('one'), 100))).toBe('content')
    }
    expect([...outcomes].toSorted()).toEqual(['UNKNOWN, content', 'UNKNOWN, nothing'])
  })
})
