/** Seeding a lost log anew (RE1–RE6), on a real disk: what is lost is lost, and nothing else. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hash64ToText, noShare } from '../../../src/core/hashing.ts'
import { genesisRecord } from '../../../src/core/log.ts'
import { catchUp } from '../../../src/partition/log-tail.ts'
import { LoopShare } from '../../../src/partition/loop-share.ts'
import { knownGeneration } from '../../../src/partition/provision.ts'
import { lostLog, reseed, type Reseeded, type ReseedOptions } from '../../../src/partition/recovery/reseed.ts'
import { emptyState, snapshotState, storeState, type SeedState } from '../../../src/partition/recovery/seed-state.ts'
import type { Replica } from '../../../src/partition/replica.ts'
import { cutSnapshot } from '../../../src/partition/snapshot/cut.ts'
import { readPointer } from '../../../src/partition/snapshot/pointer.ts'
import { verifySnapshot } from '../../../src/partition/snapshot/verify.ts'
import { openReplica } from '../../../src/partition/takeover.ts'
import { generation, seq, type Seq } from '../../../src/protocol/ids.ts'
import { SeededRandom } from '../../../src/testing/seeded-random.ts'
import { LogWriter } from '../log-writer.ts'
import { g1, p0, PartitionWorld, type TestNode } from '../world.ts'
import { rowsOf, SnapshotWorld } from '../snapshot/snapshot-world.ts'

let world: SnapshotWorld
beforeEach(() => open())
afterEach(() => world.close())

async function open(): Promise<void> {
  world = await SnapshotWorld.open()
  const { registry } = world.ports
  await registry.create('generation.0', Buffer.from(g1))
  await registry.create('settings', Buffer.from(JSON.stringify({ format: 1, partitions: 1, leaseMs: 50 })))
}

type Ports = Pick<ReseedOptions, 'registry' | 'objects' | 'changelog'>

const trillion = 1_000_000_000_000

const optionsOf = (changes: Partial<ReseedOptions> = {}): ReseedOptions => ({
  partition: p0,
  ...world.ports,
  compression: world.compression,
  clock: world.clock,
  random: world.random,
  observer: world.events,
  signal: new AbortController().signal,
  ...changes,
})

/** One run of the command. */
async function recover(
  stateOf: (options: ReseedOptions) => Promise<SeedState>,
  changes: Partial<ReseedOptions> = {},
  known = 0,
): Promise<Reseeded> {
  const options = optionsOf(changes)
  const lost = await lostLog(options)
  return reseed(options, lost, lost.seed === null ? await stateOf(options) : null, seq(known))
}

const newestSnapshot = async (options: ReseedOptions) =>
  snapshotState(options, p0, (await lostLog(options)).snapshots[0]!.id)

/** A snapshot of 60 actors, then records that are in none. */
async function loseALog(): Promise<{ readonly replica: Replica; readonly cutAt: Seq; readonly stateHash: string }> {
  world.write(60, 200)
  world.writer.stray()
  const replica = await world.replica('a')
  const { position, stateHash } = await cutSnapshot(world.cutOptions(replica, { chunkBytes: 5_000 }))
  world.write(5, 100, 'lost')
  await world.caughtUp(replica)
  return { replica, cutAt: position.seq, stateHash: hash64ToText(stateHash) }
}

/** A node that knows nothing yet opens the partition, as the registry names it. */
async function openedBy(node: string): Promise<Replica> {
  const { generation: named } = (await knownGeneration(world.ports.registry, p0))!
  const options = {
    ...world.replicaOptions(),
    ...world.restoreOptions(await world.stores(node), { generation: named }),
    log: world.ports.changelog.log(p0),
    share: new LoopShare(world.clock, 5),
    signal: new AbortController().signal,
  }
  const replica = await openReplica(options)
  await catchUp(replica, options)
  return replica
}

describe('recovering a lost log', () => {
  it('begins with the newest snapshot under another generation, behind every sequence of the lost log (RE2, RE3, RE4)', async () => {
    const { cutAt, stateHash } = await loseALog()
    const done = await recover(newestSnapshot)
    expect(done).toMatchObject({ first: trillion + 1, manifest: { id: done.generation } })
    expect(done.generation).not.toBe(g1)
    const info = await world.ports.changelog.log(p0).info()
    expect(info).toEqual({ generation: done.generation, first: trillion + 1, last: trillion + 1 })
    const opened = await openedBy('b')
    expect(opened.position).toMatchObject({ generation: done.generation, seq: trillion + 1, epoch: 0 })
    expect(hash64ToText(opened.stateHash)).toBe(stateHash)
    expect(cutAt).toBeLessThan(opened.position.seq)
    await opened.close({ flush: false })
  })

  it('has every row of the state but the notes of void records: sessions and their replies, too (SS1, SS2)', async () => {
    const { replica } = await loseALog()
    await replica.close({ flush: true })
    const stores = await world.stores('a')
    const store = await stores.open(p0)
    const rows = (await rowsOf(store)).filter((row) => !/^(76|6d)/.test(row))
    expect(rows.some((row) => row.startsWith('73'))).toBe(true)
    expect(rows.some((row) => row.startsWith('72'))).toBe(true)
    await recover(() => storeState(store, p0))
    await store.close()
    const opened = await openedBy('b')
    await opened.close({ flush: true })
    const reopened = await (await world.stores('b')).open(p0)
    expect((await rowsOf(reopened)).filter((row) => !row.startsWith('6d'))).toEqual(rows)
  })

  it('begins with nothing where that is wanted, still behind what anybody knows', async () => {
    const { first } = await recover(async () => emptyState(p0, g1), {}, trillion + 7)
    expect(first).toBe(2 * trillion + 1)
    const opened = await openedBy('b')
    expect(opened.stateHash).toEqual(noShare)
    await opened.close({ flush: false })
  })

  it('sets a store of the lost log aside on a node that had it, and deletes none', async () => {
    const { replica, stateHash } = await loseALog()
    await replica.close({ flush: true })
    await recover(newestSnapshot)
    const opened = await openedBy('a')
    expect(hash64ToText(opened.stateHash)).toBe(stateHash)
    const aside = world.events.of('store.set-aside')
    expect(aside[0]).toMatchObject({ reason: expect.stringContaining(`it is of generation ${g1}`) })
    expect(aside[0]!.path).toMatch(/set-aside/)
    await opened.close({ flush: false })
  })

  it('is refused where the log is there, and where the cluster has no such partition (RE1)', async () => {
    await world.ports.changelog.provision(p0, g1, genesisRecord(p0, g1))
    await expect(lostLog(optionsOf())).rejects.toMatchObject({ code: 'CONFLICT' })
    await world.ports.registry.delete('generation.0')
    await expect(lostLog(optionsOf())).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('is refused where somebody has made a log of another generation, and changes nothing then', async () => {
    await loseALog()
    const options = optionsOf()
    const lost = await lostLog(options)
    const g3 = generation('third')
    await world.ports.changelog.provision(p0, g3, genesisRecord(p0, g3))
    await expect(reseed(options, lost, await newestSnapshotOf(lost.snapshots[0]!.id), seq(0))).rejects.toMatchObject({
      code: 'CONFLICT',
    })
    expect((await knownGeneration(world.ports.registry, p0))?.generation).toBe(g1)
  })

  it('has one seed, whoever else began meanwhile (RE6, D4)', async () => {
    await loseALog()
    const options = optionsOf()
    const lost = await lostLog(options)
    const first = await recover(newestSnapshot)
    await expect(reseed(options, lost, emptyState(p0, g1), seq(0))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect((await knownGeneration(world.ports.registry, p0))?.generation).toBe(first.generation)
    expect((await readPointer(world.ports.registry, p0)).kept[0]).toMatchObject({ id: first.generation })
  })

  it('takes no snapshot of the lost log behind a seed: whoever still cuts has not noticed yet (D4)', async () => {
    const { replica } = await loseALog()
    const options = optionsOf()
    const died = dying(5, 'before')
    await expect(recover(newestSnapshot, died.ports)).rejects.toThrow()
    const { seed } = await lostLog(options)
    expect(seed).not.toBeNull()
    await expect(cutSnapshot(world.cutOptions(replica, { chunkBytes: 5_000 }))).rejects.toMatchObject({
      code: 'CONFLICT',
    })
    expect((await lostLog(options)).seed).toEqual(seed)
    expect((await recover(newestSnapshot)).generation).toBe(seed!.generation)
  })

  it('refuses a state whose hash is not the sum of its rows, and goes on being lost', async () => {
    await loseALog()
    const wrong = async (options: ReseedOptions): Promise<SeedState> => {
      const state = await newestSnapshot(options)
      return { ...state, stored: { ...state.stored, stateHash: { hi: 1, lo: 2 } } }
    }
    await expect(recover(wrong)).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(await world.ports.changelog.log(p0).info()).toBeNull()
    expect((await readPointer(world.ports.registry, p0)).kept).toHaveLength(1)
  })
})

const newestSnapshotOf = (id: string) => snapshotState(optionsOf(), p0, id)

/** Ports of a process that dies at its `at`-th effect: before that, or right after. `effects` counts them. */
function dying(at: number, when: 'before' | 'after', ports: Ports = world.ports) {
  const { registry, objects, changelog } = ports
  let effects = 0
  let dead = false
  const effect = async <T>(act: () => Promise<T>): Promise<T> => {
    if (dead) throw new Error('it is dead')
    const last = ++effects === at
    dead = last
    if (last && when === 'before') throw new Error('it dies')
    const done = await act()
    if (last) throw new Error('it dies')
    return done
  }
  const mortal: Ports = {
    registry: {
      ...registry,
      get: (key) => registry.get(key),
      create: (key, value) => effect(() => registry.create(key, value)),
      update: (key, value, revision) => effect(() => registry.update(key, value, revision)),
    },
    objects: {
      ...objects,
      get: (name) => objects.get(name),
      list: (prefix) => objects.list(prefix),
      put: (name, bytes) => effect(() => objects.put(name, bytes)),
      delete: (name) => effect(() => objects.delete(name)),
      sweep: () => effect(() => objects.sweep()),
    },
    changelog: {
      ...changelog,
      log: (partition) => changelog.log(partition),
      provision: (...given) => effect(() => changelog.provision(...given)),
    },
  }
  return { ports: mortal, count: () => effects }
}

describe('a run that dies', () => {
  it.each(['before', 'after'] as const)('%s any of its effects is gone on from by the next one', async (when) => {
    for (let at = 1; ; at++) {
      const lost = await LostWorld.begin()
      const process = dying(at, when, lost.ports)
      const died = await lost.recover(process.ports).catch((error: unknown) => error)
      const finished = process.count() < at
      if ((await lost.named()) === g1) {
        expect(died).toBeInstanceOf(Error)
        const { seed } = await lost.lostLog()
        const done = await lost.recover()
        // What is settled stays so.
        if (seed !== null) expect(done.generation).toBe(seed.generation)
      }
      await lost.expectServable()
      // It came to its end: every effect before has been died at.
      if (finished) return expect(at).toBeGreaterThan(7)
    }
  })
})

/** In memory, where it is quick: a log that is gone, and the state that it had. */
class LostWorld {
  readonly ports: Ports
  readonly #world: PartitionWorld
  readonly #options: ReseedOptions
  readonly #state: SeedState

  static async begin(): Promise<LostWorld> {
    const world = new PartitionWorld('dies')
    const writer = new LogWriter(world).claim('old')
    for (let i = 0; i < 20; i++) writer.commit([{ key: `k${i % 7}`, state: i }])
    const node = world.start('n1')
    const replica = await world.settle(openReplica(world.takeover(node)))
    await world.settle(catchUp(replica, world.takeover(node)))
    await world.settle(replica.close({ flush: true }))
    const state = await world.settle(node.process.stores.open(p0).then((store) => storeState(store, p0)))
    const { registry } = node.process
    await world.settle(registry.create('generation.0', Buffer.from(g1)))
    world.world.changelog.destroy(p0)
    return new LostWorld(world, node, state)
  }

  private constructor(lost: PartitionWorld, { process, events }: TestNode, state: SeedState) {
    const { registry, objects, changelog, compression, clock } = process
    this.#world = lost
    this.#state = state
    this.ports = { registry, objects, changelog }
    const random = new SeededRandom('operator')
    const { signal } = new AbortController()
    this.#options = { ...this.ports, partition: p0, compression, clock, random, observer: events, signal }
  }

  lostLog() {
    return this.#world.settle(lostLog(this.#options))
  }

  async named(): Promise<string> {
    return (await this.#world.settle(knownGeneration(this.#options.registry, p0)))!.generation
  }

  recover(ports: Partial<Ports> = {}): Promise<Reseeded> {
    const options = { ...this.#options, ...ports }
    const run = lostLog(options).then((lost) => reseed(options, lost, lost.seed === null ? this.#state : null, seq(0)))
    return this.#world.settle(run)
  }

  async expectServable(): Promise<void> {
    const named = await this.named()
    const info = await this.#world.settle(this.#options.changelog.log(p0).info())
    expect(info).toMatchObject({ generation: named, first: trillion + 1, last: trillion + 1 })
    const verdict = await this.#world.settle(verifySnapshot({ ...this.#options, id: named }))
    const { stateHash } = this.#state.stored
    const position = { generation: named, seq: trillion + 1 }
    expect(verdict).toMatchObject({ kind: 'whole', manifest: { position, stateHash } })
  }
}
