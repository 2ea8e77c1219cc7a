import { describe, expect, it } from 'vitest'
import { actorShare } from '../../src/core/hashing.ts'
import { actorId } from '../../src/partition/names.ts'
import { Replica } from '../../src/partition/replica.ts'
import { actorKey, decodeVersion } from '../../src/partition/store-layout.ts'
import type { RowBatch } from '../../src/core/row-batch.ts'
import type { Store, StoreView, ViewRange } from '../../src/ports/store.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { nextSeq, rev } from '../../src/protocol/ids.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { g1, p0, PartitionWorld, replicaOptions } from '../partition/world.ts'

/** A store whose writes stay on their way to it until they are let go, or fail; those of a real one that are asked for keep their order. */
class HeldWrites implements Store {
  writes = 0
  readonly #inner: Store
  #held: { readonly go: () => void; readonly fail: (error: Error) => void }[] | undefined

  constructor(inner: Store) {
    this.#inner = inner
  }

  hold(): void {
    this.#held = []
  }

  letGo(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const { go } of held) go()
  }

  fail(): void {
    for (const { fail } of this.#held ?? []) fail(new HoldfastError('INTERNAL', 'the disk is full'))
    this.#held = undefined
  }

  async write(batch: RowBatch): Promise<void> {
    this.writes++
    const written = this.#inner.write(batch)
    if (this.#held !== undefined) await new Promise<void>((go, fail) => this.#held!.push({ go, fail }))
    await written
  }

  getMany(keys: readonly Uint8Array[]) {
    return this.#inner.getMany(keys)
  }

  range(gte: Uint8Array, lt: Uint8Array) {
    return this.#inner.range(gte, lt)
  }

  view(range: ViewRange): Promise<StoreView> {
    return this.#inner.view(range)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

async function start(seed: string) {
  const world = new PartitionWorld(seed)
  const node = world.start('a')
  const failures: unknown[] = []
  const store = new HeldWrites(await world.settle(node.process.stores.open(p0)))
  const options = { ...replicaOptions(node), applyEveryMs: 3_600_000, onStoreFailure: (e: unknown) => failures.push(e) }
  const replica = await world.settle(Replica.open(store, p0, g1, options))
  /** As a committed record of one turn does it. */
  const commit = async (key: string, n: number) => {
    const id = actorId('counter', key)
    const [actor] = await world.settle(replica.load([id]))
    const state = encodeValue(n)
    replica.applyChange(actor!, 'counter', {
      rev: rev(n),
      state,
      expiresAt: null,
      ...actorShare(id, rev(n), state, null),
    })
    actor!.holds--
    replica.advance({ ...replica.position, seq: nextSeq(replica.position.seq) })
  }
  const base = actorKey(actorId('counter', ''))
  const range = { gte: base, lt: Buffer.concat([base, Buffer.of(0xff)]) }
  const rowsOf = async (view: StoreView) =>
    (await world.settle(view.rows(null, 100))).rows.map(([key, value]) => {
      return `${Buffer.from(key).toString().slice(base.length)}=${JSON.stringify(decodeValue(decodeVersion(value).state!))}`
    })
  return { world, store, replica, commit, range, rowsOf, failures }
}

describe('a view of a replica', () => {
  it('has all that was taken in up to its position, though nothing was written yet, and nothing later (M7)', async () => {
    const { world, replica, commit, range, rowsOf } = await start('dirty')
    await commit('a', 1)
    await commit('b', 2)
    const opening = replica.view(range)
    const { seq } = replica.position
    await commit('a', 3)
    const { view, position } = await world.settle(opening)
    expect(position.seq).toBe(seq)
    expect(await rowsOf(view)).toEqual(['a=1', 'b=2'])
    const later = await world.settle(replica.view(range))
    expect(later.position.seq).toBe(nextSeq(seq))
    expect(await rowsOf(later.view)).toEqual(['a=3', 'b=2'])
  })

  it('does not miss what was taken in while a batch is on its way (M7)', async () => {
    const { world, store, replica, commit, range, rowsOf } = await start('writing')
    await commit('a', 1)
    store.hold()
    const flushing = replica.flush()
    await commit('a', 2)
    await commit('b', 1)
    const opening = replica.view(range)
    await commit('c', 1)
    store.letGo()
    const { view, position } = await world.settle(opening)
    await world.settle(flushing)
    expect(position.seq).toBe(replica.position.seq)
    expect(await rowsOf(view)).toEqual(['a=2', 'b=1', 'c=1'])
  })

  it('writes nothing where nothing is to be written', async () => {
    const { world, store, replica, commit, range, rowsOf } = await start('clean')
    await commit('a', 1)
    await world.settle(replica.view(range))
    const { writes } = store
    expect(await rowsOf((await world.settle(replica.view(range))).view)).toEqual(['a=1'])
    expect(store.writes).toBe(writes)
  })

  it('is none where a batch before it could not be written (M5)', async () => {
    const { world, store, replica, commit, range, failures } = await start('failing')
    await commit('a', 1)
    store.hold()
    const flushing = replica.flush().catch((error: unknown) => error)
    const opening = replica.view(range).catch((error: unknown) => error)
    store.fail()
    expect(await world.settle(opening)).toMatchObject({ code: 'INTERNAL' })
    expect(await world.settle(flushing)).toMatchObject({ code: 'INTERNAL' })
    await expect(world.settle(replica.view(range))).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(failures).toHaveLength(1)
  })
})
