/** Snapshots cut, verified and restored, on a real disk (SN1–SN9, RN1–RN5). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { actorShare } from '../../../src/core/hashing.ts'
import { RowBatch } from '../../../src/core/row-batch.ts'
import { Replica } from '../../../src/partition/replica.ts'
import { collectSnapshots } from '../../../src/partition/snapshot/collect.ts'
import { cutSnapshot, type CutOptions } from '../../../src/partition/snapshot/cut.ts'
import { chunkName, manifestName, type Manifest } from '../../../src/partition/snapshot/manifest.ts'
import { addSnapshot, readPointer, registerCut } from '../../../src/partition/snapshot/pointer.ts'
import { sliceBytes } from '../../../src/partition/snapshot/pacer.ts'
import { restoreSnapshot } from '../../../src/partition/snapshot/restore.ts'
import { verifySnapshot } from '../../../src/partition/snapshot/verify.ts'
import { allRows, decodePosition, positionKey } from '../../../src/partition/store-layout.ts'
import type { Objects } from '../../../src/ports/objects.ts'
import type { Registry } from '../../../src/ports/registry.ts'
import type { Store, Stores } from '../../../src/ports/store.ts'
import { HoldfastError } from '../../../src/protocol/errors.ts'
import { generation, rev } from '../../../src/protocol/ids.ts'
import { encodeValue } from '../../../src/protocol/values.ts'
import { g1, p0 } from '../world.ts'
import { rowsOf, SnapshotWorld } from './snapshot-world.ts'

let world: SnapshotWorld
beforeEach(async () => {
  world = await SnapshotWorld.open()
})
afterEach(() => world.close())

const cut = (replica: Replica, changes: Partial<CutOptions> = {}) =>
  cutSnapshot(world.cutOptions(replica, { chunkBytes: 5_000, ...changes }))
const verify = (id: string) => verifySnapshot({ ...world.cutOptions(undefined as never), partition: p0, id })
const restore = async (node: string) => restoreSnapshot(world.restoreOptions(await world.stores(node)))
const pointer = () => readPointer(world.ports.registry, p0)
const namesOf = ({ id, chunks }: Manifest) =>
  [manifestName(p0, id), ...chunks.map((_, n) => chunkName(p0, id, n))].toSorted()

describe('a snapshot', () => {
  it('is the store as it was: restored on another node it is the same, row by row, and goes on from there', async () => {
    world.write(200, 400)
    world.writer.stray()
    world.write(50, 100, 'again')
    const replica = await world.replica('a')
    const manifest = await cut(replica)
    expect(manifest.chunks.length).toBeGreaterThan(3)
    expect(manifest.position).toEqual(replica.position)
    expect(manifest.stateHash).toEqual(replica.stateHash)
    expect(await verify(manifest.id)).toEqual({ kind: 'whole', manifest })
    expect(await pointer()).toEqual({
      kept: [{ id: manifest.id, generation: g1, seq: replica.position.seq, validSeq: replica.position.validSeq }],
      cutting: null,
    })
    const restored = (await restore('b'))!
    expect(restored.manifest).toEqual(manifest)
    const original = await rowsOf(await reopened(replica))
    expect(original.length).toBe(manifest.rows + 1)
    expect(await rowsOf(restored.store)).toEqual(original)
    world.write(30, 100, 'later')
    const there = await world.caughtUp(await Replica.open(restored.store, p0, g1, world.replicaOptions()))
    expect(there.position).toEqual(world.writer.position)
    expect(there.stateHash).toEqual(world.writer.stateHash)
    expect(there.voids.size).toBe(1)
    expect(world.events.of('partition.hash-mismatch')).toEqual([])
    await there.close({ flush: true })
  })

  /** The store of a replica, closed and opened again. */
  async function reopened(replica: Replica): Promise<Store> {
    await replica.close({ flush: true })
    return (await world.stores('a')).open(p0)
  }

  it('is of one moment, whatever is written while it is cut (SN2)', async () => {
    world.write(300, 300)
    const replica = await world.replica('a')
    const expected = { position: replica.position, hash: replica.stateHash }
    let writes = 0
    const objects = wrapped(world.ports.objects, async (call, run) => {
      if (call === 'put') {
        world.write(40, 50, `while ${writes++}`)
        await world.caughtUp(replica)
        await replica.flush()
      }
      return run()
    })
    const manifest = await cut(replica, { objects })
    expect(writes).toBeGreaterThan(4)
    expect(manifest.position).toEqual(expected.position)
    expect(manifest.stateHash).toEqual(expected.hash)
    expect((await verify(manifest.id)).kind).toBe('whole')
    expect(replica.position.seq).toBeGreaterThan(expected.position.seq)
    await replica.close({ flush: true })
  })

  it('holds also what no actor tells of: sessions and a position that are newer than the last actor written', async () => {
    world.write(10, 50)
    const replica = await world.replica('a')
    await replica.flush()
    world.writer.commit([{ key: 'actor-000001', session: 'newest', reply: 'no change' }])
    await world.caughtUp(replica)
    const manifest = await cut(replica)
    expect(manifest.position.seq).toBe(world.writer.position.seq)
    const { store } = (await restore('b'))!
    const there = await Replica.open(store, p0, g1, world.replicaOptions())
    expect(there.position).toEqual(replica.position)
    await Promise.all([there, replica].map((each) => each.close({ flush: true })))
  })

  it('of a store without actors is whole, too', async () => {
    const replica = await world.replica('a')
    const manifest = await cut(replica)
    expect(manifest).toMatchObject({ rows: 0, bytes: 0, chunks: [] })
    const { store } = (await restore('b'))!
    expect(await rowsOf(store)).toHaveLength(1)
    await replica.close({ flush: true })
  })

  it('holds rows that are larger than a chunk', async () => {
    world.writer.commit([
      { key: 'large', state: 'x'.repeat(300_000) },
      { key: 'small', state: 1 },
    ])
    const replica = await world.replica('a')
    const manifest = await cut(replica, { chunkBytes: 1_000 })
    expect(manifest.chunks.length).toBeGreaterThan(300)
    expect(manifest.chunks.filter(({ rows }) => rows === 0).length).toBeGreaterThan(290)
    const { store } = (await restore('b'))!
    expect(await rowsOf(store)).toEqual(await rowsOf(await reopened(replica)))
  })

  it('keeps to the bound of bytes in a second', async () => {
    world.write(1_000, 2_000)
    const replica = await world.replica('a')
    const { bytes } = await cut(replica)
    const begun = world.clock.monotonic()
    world.writer.commit([{ key: 'one', state: 1 }])
    await world.caughtUp(replica)
    await cut(replica, { bytesPerSecond: 4 * bytes })
    // A quarter of a second to read, and another to verify; of each the last piece is not waited for (Q1 of core/throttle.ts).
    const pieces = (2 * sliceBytes) / (4 * bytes)
    expect(world.clock.monotonic() - begun).toBeGreaterThan(1_000 * (0.5 - pieces) - 10)
    await replica.close({ flush: true })
  })

  it.each([
    { chunkBytes: 0 },
    { chunkBytes: 7 * 1_024 * 1_024 + 1 },
    { chunkBytes: 1.5 },
    { bytesPerSecond: 0 },
    { bytesPerSecond: Number.NaN },
  ])('is INVALID with %j', async (wrong) => {
    const replica = await world.replica('a')
    await expect(cut(replica, wrong)).rejects.toMatchObject({ code: 'INVALID' })
    expect(await world.objectNames()).toEqual([])
    await replica.close({ flush: true })
  })
})

describe('of the snapshots of a partition', () => {
  it('the two newest are kept, and older ones are deleted with all their chunks (SN6, SN7)', async () => {
    world.write(100, 300)
    const replica = await world.replica('a')
    const manifests: Manifest[] = []
    for (let n = 0; n < 4; n++) {
      world.writer.commit([{ key: 'one', state: n }])
      await world.caughtUp(replica)
      manifests.unshift(await cut(replica))
      const kept = manifests.slice(0, 2)
      expect((await pointer()).kept.map(({ id }) => id)).toEqual(kept.map(({ id }) => id))
      expect(await world.objectNames()).toEqual(kept.flatMap(namesOf).toSorted())
    }
    expect(world.events.of('snapshot.collected')).toHaveLength(2)
    expect(world.events.of('snapshot.cut')).toHaveLength(4)
    await replica.close({ flush: true })
  })

  it('none becomes the newest that is not behind it (SN6)', async () => {
    world.write(20, 100)
    const replica = await world.replica('a')
    const first = await cut(replica)
    await expect(cut(replica)).rejects.toMatchObject({ code: 'CONFLICT' })
    expect((await pointer()).kept.map(({ id }) => id)).toEqual([first.id])
    expect(await world.objectNames()).toEqual(namesOf(first))
    await replica.close({ flush: true })
  })

  it('one of another generation follows whatever its sequence, and only its own can be restored', async () => {
    world.write(20, 100)
    const replica = await world.replica('a')
    const first = await cut(replica)
    const { registry } = world.ports
    await registerCut(registry, p0, 'other')
    const other = { id: 'other', generation: generation('another'), seq: rev(1) as never, validSeq: rev(1) as never }
    expect((await addSnapshot(registry, p0, other)).kept.map(({ id }) => id)).toEqual(['other', first.id])
    expect((await restore('b'))!.manifest.id).toBe(first.id)
    await replica.close({ flush: true })
  })

  it('a cut that another one has replaced adds nothing, and deletes what it has put (SN1, SN8)', async () => {
    world.write(200, 300)
    const replica = await world.replica('a')
    let other: Manifest | undefined
    const objects = wrapped(world.ports.objects, async (call, run) => {
      const result = await run()
      if (call === 'put' && other === undefined) {
        // A new owner, from the same log.
        other = {} as Manifest
        const second = await world.replica('b')
        other = await cut(second)
        await second.close({ flush: true })
      }
      return result
    })
    await expect(cut(replica, { objects })).rejects.toMatchObject({ code: 'CONFLICT' })
    expect((await pointer()).kept.map(({ id }) => id)).toEqual([other!.id])
    expect(await world.objectNames()).toEqual(namesOf(other!))
    expect(await verify(other!.id)).toMatchObject({ kind: 'whole' })
    expect(world.events.of('snapshot.failed')).toHaveLength(1)
    await replica.close({ flush: true })
  })

  it('a collection spares the cut that is under way, and what is no snapshot’s (L1)', async () => {
    world.write(200, 300)
    const replica = await world.replica('a')
    await world.ports.objects.put('p0.notes', Buffer.from('an operator’s'))
    await world.ports.objects.put('p00.abc.c1', Buffer.from('of another partition'))
    let collected = 0
    const objects = wrapped(world.ports.objects, async (call, run) => {
      const result = await run()
      if (call === 'put') collected += await collectSnapshots(world.cutOptions(replica))
      return result
    })
    const manifest = await cut(replica, { objects })
    expect(collected).toBe(0)
    expect(await verify(manifest.id)).toMatchObject({ kind: 'whole' })
    expect(await world.objectNames()).toEqual([...namesOf(manifest), 'p0.notes', 'p00.abc.c1'].toSorted())
    await replica.close({ flush: true })
  })

  it.each([
    ['the ownership ends meanwhile', 'abort'],
    ['nobody answers', 'refuse'],
  ])('that nothing can be collected because %s is no fault, and the snapshot is there', async (_, how) => {
    world.write(20, 30)
    const replica = await world.replica('a')
    const ends = new AbortController()
    const objects = wrapped(world.ports.objects, (call, run) => {
      if (call !== 'list') return run()
      if (how === 'refuse') return Promise.reject(new HoldfastError('RETRY', 'no answer came'))
      ends.abort()
      return run()
    })
    const { id } = await cut(replica, { objects, signal: ends.signal })
    expect((await pointer()).kept[0]!.id).toBe(id)
    expect(world.events.of('handler.threw')).toEqual([])
    await replica.close({ flush: true })
  })

  it('one that is aborted leaves nothing (SN8)', async () => {
    world.write(200, 300)
    const replica = await world.replica('a')
    for (const after of [0, 1, 3]) {
      const controller = new AbortController()
      let puts = 0
      const objects = wrapped(world.ports.objects, async (call, run) => {
        const result = await run()
        if (call === 'put' && ++puts === after) controller.abort(new Error('the owner ends'))
        return result
      })
      if (after === 0) controller.abort(new Error('the owner ends'))
      await expect(cut(replica, { objects, signal: controller.signal })).rejects.toThrow('the owner ends')
      expect(await world.objectNames()).toEqual([])
      expect((await pointer()).cutting).toBeNull()
    }
    // Also one that waits for the bound on its pace.
    const controller = new AbortController()
    const waiting = cut(replica, { bytesPerSecond: 1, signal: controller.signal })
    const registered = async (): Promise<boolean> => (await pointer()).cutting !== null
    while (!(await registered()));
    controller.abort(new Error('the owner ends'))
    await expect(waiting).rejects.toThrow('the owner ends')
    expect(await world.objectNames()).toEqual([])
    await replica.close({ flush: true })
  })
})

type Call = 'put' | 'get' | 'list' | 'delete' | 'sweep' | 'create' | 'update' | 'write'

/** Lets a test see each call of a port, and decide about it. */
function wrapped<P extends object>(port: P, on: (call: Call, run: () => Promise<unknown>) => Promise<unknown>): P {
  return new Proxy(port, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown
      if (typeof member !== 'function' || name === 'watch' || name === 'range') {
        return typeof member === 'function' ? member.bind(target) : member
      }
      return (...args: unknown[]) => on(name as Call, () => Promise.resolve(member.apply(target, args)))
    },
  })
}

/** One call is lost on its way there or back: `UNKNOWN`, as a broken connection leaves it. */
function losing(at: number, when: 'before' | 'after') {
  let calls = 0
  return async (call: Call, run: () => Promise<unknown>) => {
    if (calls++ !== at) return run()
    if (when === 'after') await run()
    const reads = call === 'get' || call === 'list'
    throw new HoldfastError(reads ? 'RETRY' : 'UNKNOWN', 'the connection broke')
  }
}

/** A process that dies at its call number `at`, before or after that has its effect; nothing it asks for later is done. */
function mortal(at: number, when: 'before' | 'after') {
  let calls = 0
  const dead = () => new HoldfastError('RETRY', 'this process is dead')
  const on = async (_: Call, run: () => Promise<unknown>) => {
    const call = calls++
    if (call > at || (call === at && when === 'before')) throw dead()
    const result = await run()
    if (call === at) throw dead()
    return result
  }
  return { on, calls: () => calls }
}

describe('a cut whose process dies', { timeout: 120_000 }, () => {
  it('at any call, before or after its effect, loses no snapshot and leaves nothing for good (SN1–SN8)', async () => {
    world.write(60, 300)
    const replica = await world.replica('a')
    const { objects, registry } = world.ports
    const first = await cut(replica)
    const advance = async (n: number) => {
      world.writer.commit([{ key: 'one', state: n }])
      await world.caughtUp(replica)
    }
    /** A cut by a process that dies so. */
    const dying = async (at: number, when: 'before' | 'after') => {
      const { on, calls } = mortal(at, when)
      const outcome = await cut(replica, {
        objects: wrapped<Objects>(objects, on),
        registry: wrapped<Registry>(registry, on),
        chunkBytes: 3_500,
      }).then(
        () => 'cut',
        () => 'failed',
      )
      return { outcome, calls: calls() }
    }
    await advance(0)
    const { calls } = await dying(Number.POSITIVE_INFINITY, 'before')
    expect(calls).toBeGreaterThan(16)
    const outcomes = new Set<string>()
    let newest = first.position.seq
    for (const when of ['before', 'after'] as const) {
      for (let at = 0; at < calls; at++) {
        await advance(at)
        const { outcome } = await dying(at, when)
        const { kept } = await pointer()
        expect(kept.length).toBe(2)
        expect(kept[0]!.seq).toBeGreaterThanOrEqual(newest)
        newest = kept[0]!.seq
        outcomes.add(`${outcome}, ${kept[0]!.seq === replica.position.seq ? 'added' : 'not added'}`)
        for (const { id } of kept) expect(await verify(id)).toMatchObject({ kind: 'whole' })
        if (at % 5 !== 0) continue
        // Whoever comes after it cleans up.
        await advance(-at)
        const next = await cut(replica)
        const objectsOfKept = await Promise.all((await pointer()).kept.map(({ id }) => verify(id)))
        expect(await world.objectNames()).toEqual(
          objectsOfKept.flatMap((verdict) => (verdict.kind === 'whole' ? namesOf(verdict.manifest) : [])).toSorted(),
        )
        newest = next.position.seq
      }
    }
    expect([...outcomes].toSorted()).toEqual(['cut, added', 'failed, added', 'failed, not added'])
    await replica.close({ flush: true })
  })
})

describe('a cut that loses one call on its way', { timeout: 120_000 }, () => {
  it('puts and points again, and else fails and leaves nothing (SN8)', async () => {
    world.write(40, 300)
    const replica = await world.replica('a')
    const { objects, registry } = world.ports
    await cut(replica)
    const outcomes = new Map<string, number>()
    for (const when of ['before', 'after'] as const) {
      for (let at = 0, finished = false; !finished; at++) {
        world.writer.commit([{ key: 'one', state: at }])
        await world.caughtUp(replica)
        let calls = 0
        const lose = losing(at, when)
        const on = async (call: Call, run: () => Promise<unknown>) => {
          calls++
          return lose(call, run)
        }
        const outcome = await cut(replica, {
          objects: wrapped<Objects>(objects, on),
          registry: wrapped<Registry>(registry, on),
        }).then(
          () => 'cut',
          () => 'failed',
        )
        finished = calls <= at
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        const { kept, cutting } = await pointer()
        expect(cutting).toBeNull()
        expect(kept[0]!.seq === replica.position.seq).toBe(outcome === 'cut')
        const verdicts = await Promise.all(kept.map(({ id }) => verify(id)))
        const names = verdicts.flatMap((verdict) => (verdict.kind === 'whole' ? namesOf(verdict.manifest) : ['?']))
        const present = await world.objectNames()
        expect(present).toEqual(expect.arrayContaining(names))
        if (outcome === 'failed') expect(present).toEqual(names.toSorted())
      }
    }
    expect(outcomes.get('cut')).toBeGreaterThan(5)
    expect(outcomes.get('failed')).toBeGreaterThan(5)
    await replica.close({ flush: true })
  })
})

describe('a snapshot that is not what it was', () => {
  it.each([
    ['a chunk is gone', (m: Manifest) => world.ports.objects.delete(chunkName(p0, m.id, 1)), 'missing', 'c1'],
    [
      'its manifest is gone',
      (m: Manifest) => world.ports.objects.delete(manifestName(p0, m.id)),
      'missing',
      'manifest',
    ],
    ['a chunk is another', (m: Manifest) => replace(chunkName(p0, m.id, 0), (b) => b.with(20, 7)), 'damaged', 'c0'],
    ['a chunk is cut', (m: Manifest) => replace(chunkName(p0, m.id, 2), (b) => b.slice(1)), 'damaged', 'c2'],
    ['two chunks are exchanged', swapChunks, 'damaged', 'c0'],
    [
      'its manifest is another',
      (m: Manifest) => replace(manifestName(p0, m.id), (b) => b.with(3, 1)),
      'damaged',
      'manifest',
    ],
    ['its manifest is that of another', foreignManifest, 'damaged', 'manifest'],
  ] as const)(
    'where %s is found out, by whom it is verified and by whom it is restored',
    async (_, harm, kind, where) => {
      world.write(100, 400)
      const replica = await world.replica('a')
      const older = await cut(replica)
      world.writer.commit([{ key: 'one', state: 1 }])
      await world.caughtUp(replica)
      const newer = await cut(replica)
      await harm(newer)
      expect(await verify(newer.id)).toMatchObject({
        kind,
        object: `p0.${newer.id}.${where}`,
        reason: expect.stringMatching(/\w/),
      })
      // RN4
      const restored = (await restore('b'))!
      expect(restored.manifest.id).toBe(older.id)
      expect(world.events.of('snapshot.faulty')).toMatchObject([{ id: newer.id }])
      const there = await world.caughtUp(await Replica.open(restored.store, p0, g1, world.replicaOptions()))
      expect(there.stateHash).toEqual(replica.stateHash)
      await there.close({ flush: true })
      await harmAll(older)
      expect(await restore('c')).toBeNull()
      await replica.close({ flush: true })
    },
  )

  async function replace(name: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
    const { objects } = world.ports
    const bytes = (await objects.get(name))!
    await objects.delete(name)
    await objects.put(name, change(bytes))
  }

  async function swapChunks({ id }: Manifest): Promise<void> {
    const { objects } = world.ports
    const names = [0, 1].map((n) => chunkName(p0, id, n))
    const contents = await Promise.all(names.map((name) => objects.get(name)))
    for (const name of names) await objects.delete(name)
    await objects.put(names[0]!, contents[1]!)
    await objects.put(names[1]!, contents[0]!)
  }

  async function foreignManifest({ id }: Manifest): Promise<void> {
    const { objects } = world.ports
    const other = (await pointer()).kept[1]!.id
    const bytes = (await objects.get(manifestName(p0, other)))!
    await replace(manifestName(p0, id), () => bytes)
  }

  const harmAll = ({ id }: Manifest) => world.ports.objects.delete(manifestName(p0, id))

  it('is damaged where an actor is another than its state hash says, though every checksum is right', async () => {
    world.write(20, 100)
    const replica = await world.replica('a')
    await replica.flush()
    await replica.close({ flush: true })
    const store = await (await world.stores('a')).open(p0)
    const rows: { key: Uint8Array; value: Uint8Array }[] = []
    for await (const [key, value] of store.range(allRows.gte, allRows.lt)) rows.push({ key, value })
    const actor = rows.find(({ key }) => key[0] === 0x61)!
    const { hi, lo } = actorShare(Buffer.from(actor.key).toString().slice(1), 9, encodeValue('else'))
    const head = Buffer.alloc(17)
    head.writeInt32BE(hi, 0)
    head.writeInt32BE(lo, 4)
    head.writeBigUInt64BE(9n, 8)
    head[16] = 1
    await store.write(RowBatch.of([{ key: actor.key, value: Buffer.concat([head, encodeValue('else')]) }]))
    await store.close()
    const again = await world.replica('a')
    await expect(cut(again)).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('state hash') })
    expect((await pointer()).kept).toEqual([])
    expect(await world.objectNames()).toEqual([])
    await again.close({ flush: true })
  })

  it('has no verdict while the objects cannot be read (C2)', async () => {
    world.write(20, 100)
    const replica = await world.replica('a')
    const { id } = await cut(replica)
    const { on } = mortal(1, 'before')
    const objects = wrapped<Objects>(world.ports.objects, on)
    const reading = { ...world.cutOptions(replica), objects, id }
    await expect(verifySnapshot(reading)).rejects.toMatchObject({ code: 'RETRY' })
    await replica.close({ flush: true })
  })
})

describe('a restore', () => {
  it('finds nothing where there is no snapshot', async () => {
    expect(await restore('b')).toBeNull()
  })

  it('takes the newest where the one that it read was replaced meanwhile, and finds no fault with that (RN4)', async () => {
    world.write(100, 400)
    const replica = await world.replica('a')
    const first = await cut(replica)
    const { objects } = world.ports
    const replacing = Object.create(objects, {
      get: {
        value: async (name: string) => {
          for (let n = 0; n < 2 && name === chunkName(p0, first.id, 1); n++) {
            world.writer.commit([{ key: 'one', state: n }])
            await world.caughtUp(replica)
            await cut(replica)
          }
          return objects.get(name)
        },
      },
    }) as Objects
    const restored = (await restoreSnapshot(world.restoreOptions(await world.stores('b'), { objects: replacing })))!
    expect(restored.manifest.id).toBe((await pointer()).kept[0]!.id)
    expect(world.events.of('snapshot.faulty')).toEqual([])
    const there = await world.caughtUp(await Replica.open(restored.store, p0, g1, world.replicaOptions()))
    expect(there.stateHash).toEqual(replica.stateHash)
    await there.close({ flush: true })
    await replica.close({ flush: true })
  })

  it('tells how many records are left of it, in proportion, before the first chunk and after each', async () => {
    world.write(200, 400)
    for (let n = 0; n < 100; n++) world.writer.commit([{ key: 'one', state: n }])
    const replica = await world.replica('a')
    const { chunks, position } = await cut(replica)
    const left: number[] = []
    const onRestoring = (records: number) => void left.push(records)
    const restored = (await restoreSnapshot(world.restoreOptions(await world.stores('b'), { onRestoring })))!
    expect(left).toHaveLength(chunks.length + 1)
    expect([left[0], left.at(-1)]).toEqual([position.seq, 0])
    expect(new Set(left).size).toBe(left.length)
    expect(left).toEqual(left.toSorted((a, b) => b - a))
    await restored.store.close()
    await replica.close({ flush: true })
  })

  it('sets aside a store that holds something (RN1)', async () => {
    world.write(20, 100)
    const replica = await world.replica('a')
    const manifest = await cut(replica)
    await replica.close({ flush: true })
    const restored = (await restore('a'))!
    expect(restored.manifest).toEqual(manifest)
    expect(world.events.of('store.set-aside')).toMatchObject([{ reason: expect.stringContaining('restored') }])
  })

  it('that is aborted leaves a store that nobody takes for one, and says how far it came (RN1)', async () => {
    world.write(300, 400)
    const replica = await world.replica('a')
    await cut(replica)
    const controller = new AbortController()
    const stores = await world.stores('b')
    let puts = 0
    const watched = storesWith(stores, async (_, run) => {
      await run()
      if (++puts === 3) controller.abort(new Error('not wanted any more'))
    })
    const restoring = restoreSnapshot(world.restoreOptions(watched, { signal: controller.signal }))
    await expect(restoring).rejects.toThrow('not wanted any more')
    const store = await stores.open(p0)
    await expect(Replica.open(store, p0, g1, world.replicaOptions())).rejects.toMatchObject({ code: 'INTERNAL' })
    await store.close()
    const again = (await restoreSnapshot(world.restoreOptions(stores)))!
    expect(await rowsOf(again.store)).not.toEqual([])
    await again.store.close()
    expect(world.events.of('store.discarded')).toHaveLength(1)
    expect(world.events.of('store.set-aside')).toEqual([])
    await replica.close({ flush: true })
  })

  it('whose process dies at any write leaves no position or the whole (RN1–RN3)', { timeout: 60_000 }, async () => {
    world.write(100, 400)
    const replica = await world.replica('a')
    const manifest = await cut(replica)
    await replica.close({ flush: true })
    const expected = await rowsOf(await (await world.stores('a')).open(p0))
    const writes = manifest.chunks.length + 1
    const found = new Map<string, number>()
    for (const when of ['before', 'after'] as const) {
      for (let at = 0; at < writes; at++) {
        const node = `b-${when}-${at}`
        const stores = await world.stores(node)
        const { on } = mortal(at, when)
        const restoring = restoreSnapshot(world.restoreOptions(storesWith(stores, on)))
        await expect(restoring).rejects.toMatchObject({ code: 'RETRY' })
        const store = await stores.open(p0)
        const [position] = await store.getMany([positionKey])
        const rows = await rowsOf(store)
        let state: string
        if (position === undefined) state = `none, ${rows.length} rows`
        else if (isPosition(position)) state = rows.join() === expected.join() ? 'whole' : 'torn'
        else state = 'begun'
        found.set(state, (found.get(state) ?? 0) + 1)
        await store.close()
        const again = (await restore(node))!
        expect(await rowsOf(again.store)).toEqual(expected)
        await again.store.close()
        await stores.close()
      }
    }
    expect(Object.fromEntries(found)).toEqual({ 'none, 0 rows': 1, begun: 2 * writes - 2, whole: 1 })
  })

  const isPosition = (row: Uint8Array): boolean => {
    try {
      return decodePosition(row) !== undefined
    } catch {
      return false
    }
  }

  /** Stores whose writes a test decides about. */
  function storesWith(stores: Stores, on: (call: Call, run: () => Promise<unknown>) => Promise<unknown>): Stores {
    return {
      open: async (partition) => {
        const store = await stores.open(partition)
        return new Proxy(store, {
          get(target, name) {
            const member = Reflect.get(target, name) as unknown
            if (typeof member !== 'function') return member
            if (name !== 'write') return member.bind(target)
            return (...args: unknown[]) => on('write', () => Promise.resolve(member.apply(target, args)))
          },
        })
      },
      setAside: (partition, reason) => stores.setAside(partition, reason),
      discard: (partition) => stores.discard(partition),
      discardAside: (path) => stores.discardAside(path),
      close: () => stores.close(),
    }
  }
})
