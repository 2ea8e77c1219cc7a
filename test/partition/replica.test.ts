import { describe, expect, it } from 'vitest'
import { RowBatch, type Row } from '../../src/core/row-batch.ts'
import { hash64ToText } from '../../src/core/hashing.ts'
import type { CachedActor } from '../../src/partition/actor-cache.ts'
import { actorId } from '../../src/partition/names.ts'
import { maxVoids, Replica, type ReplicaOptions } from '../../src/partition/replica.ts'
import { catchUp } from '../../src/partition/log-tail.ts'
import type { Store, ViewRange } from '../../src/ports/store.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { rev, sessionId, seq } from '../../src/protocol/ids.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { LogWriter, type WrittenTurn } from './log-writer.ts'
import { g1, p0, PartitionWorld, replicaOptions, type TestNode } from './world.ts'

const idOf = (key: string) => actorId('thing', key)
const stateOf = (actor: CachedActor | undefined) =>
  actor?.committed.state == null ? null : decodeValue(actor.committed.state)

/** Loads, and lets go at once. */
async function look(world: PartitionWorld, replica: Replica, ...keys: string[]) {
  const actors = await world.settle(replica.load(keys.map(idOf)))
  for (const actor of actors) actor.holds--
  return actors.map((actor) => ({ rev: actor.committed.rev, state: stateOf(actor) }))
}

async function replayed(
  world: PartitionWorld,
  node: TestNode,
  changes: Partial<ReplicaOptions> = {},
): Promise<Replica> {
  const replica = await world.openReplica(node, changes)
  await world.settle(catchUp(replica, world.takeover(node)))
  return replica
}

const close = (world: PartitionWorld, replica: Replica) => world.settle(replica.close({ flush: true }))

describe('a replica that reads the log (M1, M4)', () => {
  it('comes to the position, the states and the state hash that the log says', async () => {
    const world = new PartitionWorld('replay')
    const writer = new LogWriter(world)
    writer.claim('old')
    writer.commit([{ key: 'a', state: 1 }, { key: 'b', state: { n: 2 } }, { key: 'a', state: 3 }, { key: 'c' }])
    writer.stray()
    writer.commit([{ key: 'b', state: null }])
    const node = world.start('n1')
    const replica = await replayed(world, node)
    expect(replica.position).toEqual(writer.position)
    expect(hash64ToText(replica.stateHash)).toBe(hash64ToText(writer.stateHash))
    expect(await look(world, replica, 'a', 'b', 'c')).toEqual([
      { rev: 2, state: 3 },
      { rev: 2, state: null },
      { rev: 0, state: null },
    ])
    expect([...replica.voids]).toEqual([4])
    expect(node.events.of('partition.hash-mismatch')).toEqual([])
  })

  it('tells of a state hash that is not the one of the record, and ends there; built anew it believes the record (M4, L9)', async () => {
    const world = new PartitionWorld('mismatch')
    const writer = new LogWriter(world).claim('old')
    writer.stateHash = { hi: 1, lo: 2 }
    writer.commit([{ key: 'a', state: 1 }])
    const node = world.start('n1')
    const first = await world.openReplica(node)
    const ended = world.settle(catchUp(first, world.takeover(node)))
    await expect(ended).rejects.toMatchObject({ name: 'HoldfastError', code: 'INTERNAL', seq: 3 })
    expect(node.events.of('partition.hash-mismatch')).toMatchObject([{ partition: 0, seq: 3, rebuilt: false }])
    await world.settle(first.close({ flush: false }))

    const again = await world.openReplica(node, { believed: new Set([seq(3)]) })
    await world.settle(catchUp(again, world.takeover(node)))
    expect(node.events.of('partition.hash-mismatch').slice(1)).toMatchObject([{ seq: 3, rebuilt: true }])
    expect(again.stateHash).toEqual(writer.stateHash)
    expect(await look(world, again, 'a')).toEqual([{ rev: 1, state: 1 }])
  })
})

describe('a store that is opened again (M2)', () => {
  it('has position, states, sessions, replies and voids of where it was closed, and replays only the rest', async () => {
    const world = new PartitionWorld('reopen')
    const writer = new LogWriter(world).claim('old')
    writer.commit([
      { key: 'a', state: 'first', session: 'one', number: 4, low: 3, reply: 'r4' },
      { key: 'b', state: 'gone', session: 'two', number: 9, low: 9, reply: 'r9' },
      { key: 'b', state: null, session: 'two', number: 10, low: 9, reply: 'r10' },
    ])
    writer.stray()
    const node = world.start('n1')
    const before = await replayed(world, node)
    await close(world, before)
    writer.commit([{ key: 'a', state: 'second', session: 'one', number: 6, low: 5, reply: 'r6' }], { time: 9_000 })

    const again = await world.openReplica(node)
    expect(again.position).toEqual(before.position)
    expect(again.stateHash).toEqual(before.stateHash)
    expect([...again.voids]).toEqual([4])
    expect([again.sessions.count, again.sessions.replies]).toEqual([2, 3])
    expect(decodeValue(again.sessions.find(sessionId('one'), 4) as Uint8Array)).toBe('r4')
    expect(again.sessions.find(sessionId('two'), 8)).toBe('settled')

    await world.settle(catchUp(again, world.takeover(node)))
    expect(node.events.of('partition.replayed').at(-1)).toMatchObject({ from: 5, to: 5, records: 1 })
    expect(await look(world, again, 'a', 'b')).toEqual([
      { rev: 2, state: 'second' },
      { rev: 2, state: null },
    ])
    expect(again.sessions.find(sessionId('one'), 4)).toBe('settled')
    expect(hash64ToText(again.stateHash)).toBe(hash64ToText(writer.stateHash))
    expect(node.events.of('partition.hash-mismatch')).toEqual([])
  })

  it('forgets in the store what it forgets in memory (D1, D2)', async () => {
    const world = new PartitionWorld('forget')
    const writer = new LogWriter(world).claim('old')
    for (let n = 1; n <= 50; n++)
      writer.commit([{ key: 'a', state: n, session: 'busy', number: n, low: Math.max(0, n - 2) }])
    writer.commit([{ key: 'a', session: 'idle', number: 1 }])
    writer.commit([], { time: writer.position.time + 200_000, ended: ['idle'] })
    const node = world.start('n1')
    const replica = await replayed(world, node)
    await close(world, replica)
    const again = await world.openReplica(node)
    expect([again.sessions.count, again.sessions.replies]).toEqual([1, 3])
    expect(again.sessions.has(sessionId('idle'))).toBe(false)
  })

  it('has a session that ended and began again in one record', async () => {
    const world = new PartitionWorld('anew')
    const writer = new LogWriter(world).claim('old')
    writer.commit([{ key: 'a', session: 'one', number: 7, low: 7, reply: 'before' }])
    const later = { time: writer.position.time + 200_000, ended: ['one'] }
    writer.commit([{ key: 'a', session: 'one', number: 7, low: 7, reply: 'after' }], later)
    const node = world.start('n1')
    await close(world, await replayed(world, node))
    const again = await world.openReplica(node)
    expect(again.sessions.count).toBe(1)
    expect(decodeValue(again.sessions.find(sessionId('one'), 7) as Uint8Array)).toBe('after')
  })

  it('is behind the log by what a crash took, and never torn (M2)', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const world = new PartitionWorld(`crash ${seed}`)
      const writer = new LogWriter(world).claim('old')
      const node = world.start('n1')
      const replica = await replayed(world, node)
      for (let n = 1; n <= 12; n++) {
        writer.commit([
          { key: 'a', state: n },
          { key: `b${n}`, state: n },
          { key: 'a', session: `other${n}` },
        ])
        await world.settle(catchUp(replica, world.takeover(node)))
        await world.clock.advance(n % 3)
      }
      node.process.crash()
      const next = world.start('n1')
      const again = await replayed(world, next)
      expect(hash64ToText(again.stateHash)).toBe(hash64ToText(writer.stateHash))
      expect(await look(world, again, 'a', 'b1', 'b12')).toEqual([
        { rev: 12, state: 12 },
        { rev: 1, state: 1 },
        { rev: 1, state: 12 },
      ])
      expect(again.sessions.count).toBe(13)
      expect(next.events.of('partition.hash-mismatch')).toEqual([])
    }
  })
})

describe('void records (M8)', () => {
  it('are remembered up to a bound that no number of quarrels reaches: beyond it the log is broken', async () => {
    const world = new PartitionWorld('voids')
    const replica = await world.openReplica(world.start('n1'))
    for (let at = 1; at <= maxVoids; at++) replica.voids.add(seq(at))
    expect(() => replica.noteVoid(seq(maxVoids + 1))).toThrow(/more than 1048576 void records/)
    expect(replica.metrics().find(({ name }) => name === 'holdfast_void_records')).toMatchObject({ value: maxVoids })
  })
})

describe('actors in memory (M6)', () => {
  const tiny = { cacheBytes: () => 2_000 }
  const many = Array.from({ length: 60 }, (_, i) => ({ key: `k${i}`, state: { i, text: 'x'.repeat(100) } }))

  const stored = async (seed: string, turns: readonly WrittenTurn[] = many) => {
    const world = new PartitionWorld(seed)
    new LogWriter(world).claim('old').commit(turns)
    const node = world.start('n1')
    await close(world, await replayed(world, node))
    return { world, node, replica: await world.openReplica(node, tiny) }
  }

  it('are what the store has, also where one load brings more than memory is meant to hold', async () => {
    const { world, replica } = await stored('one load')
    const found = await look(world, replica, ...many.map(({ key }) => key))
    expect(found).toEqual(many.map(({ state }) => ({ rev: 1, state })))
  })

  it('are what the store has after any order of loads under a budget too small for them', async () => {
    const { world, replica } = await stored('many loads')
    for (let round = 0; round < 30; round++) {
      const keys = Array.from({ length: 1 + (round % 7) }, (_, i) => (round * 17 + i * 13) % many.length)
      const found = await look(world, replica, ...keys.map((k) => `k${k}`))
      expect(found).toEqual(keys.map((k) => ({ rev: 1, state: many[k]!.state })))
    }
  })

  it('leave memory when nobody holds them, and stay while somebody does', async () => {
    const { world, replica } = await stored('pinned')
    const [held] = await world.settle(replica.load([idOf('k0')]))
    for (const { key } of many.slice(1)) await look(world, replica, key)
    for (const { key } of many.slice(1)) await look(world, replica, key)
    expect(replica.peek(idOf('k0'))).toBe(held)
    expect(many.filter(({ key }) => replica.peek(idOf(key)) !== undefined).length).toBeLessThan(20)
  })

  it('are one object, however many wait for them at the same time', async () => {
    const { world, replica } = await stored('one object')
    const loads = [
      replica.load([idOf('k1')]),
      replica.load([idOf('k2'), idOf('k1'), idOf('k1')]),
      replica.load([idOf('new')]),
      replica.load([idOf('new'), idOf('k2')]),
    ]
    const [[a], [b, c, d], [e], [f, g]] = (await world.settle(Promise.all(loads))) as [
      CachedActor[],
      CachedActor[],
      CachedActor[],
      CachedActor[],
    ]
    expect(new Set([a, c, d]).size).toBe(1)
    expect(b).toBe(g)
    expect(e).toBe(f)
    expect([a, b, e].map((actor) => actor!.holds)).toEqual([3, 2, 2])
  })

  it('are never an old copy that was read before a turn, and arrives after that turn has left memory', async () => {
    const world = new PartitionWorld('old copy')
    const writer = new LogWriter(world).claim('old')
    writer.commit([{ key: 'k', state: 'old' }])
    const node = world.start('n1')
    await close(world, await replayed(world, node))
    const slow = new SlowReads(await world.settle(node.process.stores.open(p0)))
    const replica = await world.settle(Replica.open(slow, p0, g1, { ...replicaOptions(node), ...tiny }))
    slow.hold()
    const first = replica.load([idOf('k')])
    await world.clock.advance(1)
    const second = replica.load([idOf('k')])
    await world.clock.advance(1)
    // The second reader gets its answer first, has its turn, and the actor is written and leaves memory.
    slow.release(1)
    await world.clock.advance(1)
    slow.release(0)
    const [[one], [two]] = (await world.settle(Promise.all([first, second]))) as [CachedActor[], CachedActor[]]
    expect(one).toBe(two)
    expect(slow.reads).toBe(1)
  })

  it('keep no block alive that is larger than their state, once they are written', async () => {
    const world = new PartitionWorld('blocks')
    const node = world.start('n1')
    const replica = await world.openReplica(node)
    const [actor] = (await world.settle(replica.load([idOf('a')]))) as [CachedActor]
    const block = new Uint8Array(16_384)
    const state = encodeValue('x'.repeat(100))
    block.set(state, 100)
    const view = block.subarray(100, 100 + state.length)
    replica.applyChange(actor, 'thing', { rev: rev(1), state: view, expiresAt: null, hi: 1, lo: 1 })
    actor.tip = actor.committed
    await world.settle(replica.flush())
    expect(actor.committed.state).toEqual(view)
    expect(actor.committed.state!.buffer).not.toBe(block.buffer)
    expect(actor.tip).toBe(actor.committed)
    const later = { ...actor.committed, rev: rev(3) }
    replica.applyChange(actor, 'thing', { rev: rev(2), state: view, expiresAt: null, hi: 1, lo: 1 })
    actor.tip = later
    await world.settle(replica.flush())
    expect(actor.tip).toBe(later)
  })
})

describe('writing behind the log (M3, M5)', () => {
  it('puts many records into one batch, the last value of each key only', async () => {
    const world = new PartitionWorld('batches')
    const writer = new LogWriter(world).claim('old')
    for (let n = 1; n <= 100; n++) writer.commit([{ key: 'a', state: n, session: 's', number: n, low: n }])
    const node = world.start('n1')
    const store = new SlowReads(await world.settle(node.process.stores.open(p0)))
    const replica = await world.settle(Replica.open(store, p0, g1, { ...replicaOptions(node), applyEveryMs: 10_000 }))
    await world.settle(catchUp(replica, world.takeover(node)))
    await close(world, replica)
    expect(store.batches).toHaveLength(1)
    const keys = store.batches[0]!.map(({ key }) => Buffer.from(key).toString('latin1'))
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys.filter((key) => key.startsWith('a'))).toHaveLength(1)
    expect(keys.filter((key) => key === 'm')).toHaveLength(1)
  })

  it('writes by itself, soon after a record', async () => {
    const world = new PartitionWorld('timer')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    const node = world.start('n1')
    await replayed(world, node)
    await world.clock.advance(50)
    node.process.crash()
    const next = world.start('n1')
    // What was written 50 ms ago may be lost in a crash, too; a store that was never written has no position at all.
    const reopened = await world.openReplica(next)
    expect([0, 3]).toContain(reopened.position.seq)
  })

  it('keeps no queue of writes where the store is slower than the log', async () => {
    const world = new PartitionWorld('slow store')
    const writer = new LogWriter(world).claim('old')
    const node = world.start('n1')
    const store = new SlowReads(await world.settle(node.process.stores.open(p0)))
    const replica = await world.settle(Replica.open(store, p0, g1, replicaOptions(node)))
    store.holdWrites()
    for (let n = 1; n <= 40; n++) {
      writer.commit([{ key: 'a', state: n }])
      await world.settle(catchUp(replica, world.takeover(node)))
      await world.clock.advance(20)
    }
    expect(store.batches).toHaveLength(1)
    store.releaseWrites()
    await close(world, replica)
    expect(store.batches.length).toBeLessThanOrEqual(3)
    const again = await world.openReplica(node)
    expect(again.position).toEqual(writer.position)
  })

  it('writes nothing more once a write has failed, says so once, and refuses every later flush', async () => {
    const world = new PartitionWorld('failing store')
    const writer = new LogWriter(world).claim('old')
    const node = world.start('n1')
    const store = new SlowReads(await world.settle(node.process.stores.open(p0)))
    const failures: unknown[] = []
    const options = { ...replicaOptions(node), onStoreFailure: (error: unknown) => failures.push(error) }
    const replica = await world.settle(Replica.open(store, p0, g1, options))
    store.failWrites(new HoldfastError('INTERNAL', 'no space'))
    writer.commit([{ key: 'a', state: 1 }])
    await world.settle(catchUp(replica, world.takeover(node)))
    await world.clock.advance(50)
    expect(failures).toMatchObject([{ reason: 'no space' }])
    store.failWrites(undefined)
    await expect(world.settle(replica.flush())).rejects.toMatchObject({ code: 'INTERNAL' })
    await close(world, replica)
    expect(store.batches).toEqual([])
    expect((await world.openReplica(node)).position.seq).toBe(0)
  })

  it('writes nothing when it is closed as in a crash', async () => {
    const world = new PartitionWorld('no flush')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    const node = world.start('n1')
    const replica = await world.openReplica(node, { applyEveryMs: 10_000 })
    await world.settle(catchUp(replica, world.takeover(node)))
    await world.settle(replica.close({ flush: false }))
    expect((await world.openReplica(node)).position.seq).toBe(0)
  })
})

describe('a store that cannot be read', () => {
  const stored = async (seed: string) => {
    const world = new PartitionWorld(seed)
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1, session: 'one' }])
    const node = world.start('n1')
    await close(world, await replayed(world, node))
    return { world, node, store: await world.settle(node.process.stores.open(p0)) }
  }

  it('is INTERNAL when it is opened, where position, sessions, replies or voids are damaged', async () => {
    const damage: [string, Uint8Array][] = [
      ['m', Uint8Array.of(1, 2, 3)],
      ['sone', Uint8Array.of(1)],
      ['rone', Uint8Array.of(1)],
      ['v1', new Uint8Array(0)],
    ]
    for (const [key, value] of damage) {
      const { world, node, store } = await stored(`damage ${key}`)
      await world.settle(store.write(RowBatch.of([{ key: Buffer.from(key), value }])))
      const opening = Replica.open(store, p0, g1, replicaOptions(node))
      await expect(world.settle(opening), key).rejects.toMatchObject({ code: 'INTERNAL' })
    }
  })

  it('is told of when an actor in it is damaged, and the load fails', async () => {
    const { world, node, store } = await stored('damaged actor')
    await world.settle(store.write(RowBatch.of([{ key: Buffer.from(`a${idOf('a')}`), value: Uint8Array.of(1, 2) }])))
    const failures: unknown[] = []
    const options = { ...replicaOptions(node), onStoreFailure: (error: unknown) => failures.push(error) }
    const replica = await world.settle(Replica.open(store, p0, g1, options))
    await expect(world.settle(replica.load([idOf('a')]))).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(failures).toMatchObject([{ code: 'INTERNAL' }])
  })

  it('fails every load that waits for the same read, and nothing is left unhandled', async () => {
    const { world, node, store } = await stored('failing reads')
    const failing = new SlowReads(store)
    const failures: unknown[] = []
    const options = { ...replicaOptions(node), onStoreFailure: (error: unknown) => failures.push(error) }
    const replica = await world.settle(Replica.open(failing, p0, g1, options))
    failing.failReads(new HoldfastError('INTERNAL', 'damaged'))
    const loads = [replica.load([idOf('a')]), replica.load([idOf('a'), idOf('b')]), replica.load([idOf('b')])]
    for (const result of await world.settle(Promise.allSettled(loads))) expect(result.status).toBe('rejected')
    expect(failures).toHaveLength(2)
    failing.failReads(undefined)
    expect(await look(world, replica, 'a')).toEqual([{ rev: 1, state: 1 }])
  })
})

describe('what has expired', () => {
  const expiring = async (seed: string) => {
    const world = new PartitionWorld(seed)
    const node = world.start('n1')
    const store = new SlowReads(await world.settle(node.process.stores.open(p0)))
    const failures: unknown[] = []
    const options = { ...replicaOptions(node), onStoreFailure: (error: unknown) => failures.push(error) }
    const replica = await world.settle(Replica.open(store, p0, g1, options))
    const [actor] = await world.settle(replica.load([idOf('a')]))
    const state = encodeValue(1).slice()
    replica.applyChange(actor!, 'thing', { rev: rev(1), state, expiresAt: 100, hi: 1, lo: 1 })
    return { world, store, failures, replica }
  }

  it('is found again after a read that failed, and the failure is told', async () => {
    const { world, store, failures, replica } = await expiring('failed look')
    store.failReads(new HoldfastError('INTERNAL', 'damaged'))
    await expect(world.settle(replica.expired(100, 10))).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(failures).toMatchObject([{ reason: 'damaged' }])
    store.failReads(undefined)
    expect(await world.settle(replica.expired(100, 10))).toEqual([{ id: idOf('a'), type: 'thing' }])
  })

  it('cannot be read where the store cannot be written, which is told once', async () => {
    const { world, store, failures, replica } = await expiring('failed write')
    store.failWrites(new HoldfastError('INTERNAL', 'no space'))
    for (let look = 0; look < 2; look++) {
      await expect(world.settle(replica.expired(100, 10))).rejects.toMatchObject({ code: 'INTERNAL' })
    }
    expect(failures).toMatchObject([{ reason: 'no space' }])
  })
})

/** A store whose reads and writes wait, fail and are counted as told. */
class SlowReads implements Store {
  reads = 0
  readonly batches: (readonly Row[])[] = []
  readonly #inner: Store
  #waiting: (() => void)[] | undefined
  #waitingWrites: (() => void)[] | undefined
  #readError: Error | undefined
  #writeError: Error | undefined

  constructor(inner: Store) {
    this.#inner = inner
  }

  hold(): void {
    this.#waiting = []
    this.reads = 0
  }

  /** Lets the read of this number go on, if it has begun. */
  release(n: number): void {
    this.#waiting?.[n]?.()
  }

  holdWrites(): void {
    this.#waitingWrites = []
  }

  releaseWrites(): void {
    const waiting = this.#waitingWrites ?? []
    this.#waitingWrites = undefined
    for (const go of waiting) go()
  }

  failReads(error: Error | undefined): void {
    this.#readError = error
  }

  failWrites(error: Error | undefined): void {
    this.#writeError = error
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    this.reads++
    if (this.#readError !== undefined) throw this.#readError
    const values = await this.#inner.getMany(keys)
    const waiting = this.#waiting
    if (waiting !== undefined) await new Promise<void>((resolve) => waiting.push(resolve))
    return values
  }

  async write(batch: RowBatch): Promise<void> {
    if (this.#writeError !== undefined) throw this.#writeError
    this.batches.push(batch.rows())
    const waiting = this.#waitingWrites
    if (waiting !== undefined) await new Promise<void>((resolve) => waiting.push(resolve))
    await this.#inner.write(batch)
  }

  async *range(gte: Uint8Array, lt: Uint8Array) {
    if (this.#readError !== undefined) throw this.#readError
    yield* this.#inner.range(gte, lt)
  }

  view(range: ViewRange) {
    return this.#inner.view(range)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
