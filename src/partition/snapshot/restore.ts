/**
 * Making a store of a snapshot. The order of effects:
 *
 * RN1. A fresh store is opened; one that holds anything is set aside. Its first batch says "being restored" where the position belongs: who opens
 *      it after a crash, or after a restore that was aborted, finds that there (`isUnfinished`) and deletes it. Nothing in it is missed.
 * RN2. The rows are written in big batches, in their order, each chunk after it was checked.
 * RN3. The position is written last, in the batch of the last rows, when all chunks and all sums were right (S1: batches are kept in order).
 *
 * RN4. The newest kept snapshot of the log's generation is taken. Where it turns out to be faulty the store is deleted, and the other is tried.
 *      One that was replaced while it was read is not faulty: the newest of now is taken.
 * RN5. Memory is bounded by the chunks that are fetched ahead and two batches.
 */
import { sameBytes } from '../../core/hashing.ts'
import { RowBatch } from '../../core/row-batch.ts'
import type { Observer } from '../../ports/observer.ts'
import type { Registry } from '../../ports/registry.ts'
import type { Store, Stores } from '../../ports/store.ts'
import { messageOf } from '../../protocol/errors.ts'
import type { Generation, PartitionId } from '../../protocol/ids.ts'
import { allRows, positionKey } from '../store-layout.ts'
import { contentsOf, FaultySnapshot, readManifest, type SnapshotSource } from './contents.ts'
import { chunkName, manifestName, type Manifest } from './manifest.ts'
import { Pacer } from './pacer.ts'
import { isKept, readPointer } from './pointer.ts'
import { RowReader } from './rows.ts'

export interface RestoreOptions extends SnapshotSource {
  readonly partition: PartitionId
  /** Of the partition's log. */
  readonly generation: Generation
  readonly registry: Registry
  readonly stores: Stores
  readonly observer: Observer
  /** Records that the store is still to take in, in proportion to the bytes: at the beginning, and after each chunk. Default: nobody asks. */
  readonly onRestoring?: ((left: number) => void) | undefined
}

export interface Restored {
  /** Open, and as the manifest says: the log is replayed from behind `manifest.position`. */
  readonly store: Store
  readonly manifest: Manifest
}

/** Chunks that are fetched and decompressed ahead: two threads of the pool, and one chunk on its way. */
const ahead = 3
const tellEveryMs = 1_000
/** It is no position, and says what it is to whoever looks. */
const beingRestored: Uint8Array = Buffer.from('being restored')

/**
 * `null`: no snapshot of this generation can be used; the store is not there then. Throws `RETRY` where the objects or the registry cannot be
 * read now, what the stores throw, and the signal's reason: the store that was begun is closed, and no store (RN1).
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<Restored | null> {
  const { partition, generation, registry, observer } = options
  const faulty = new Set<string>()
  for (;;) {
    const { kept } = await readPointer(registry, partition)
    const next = kept.find((snapshot) => snapshot.generation === generation && !faulty.has(snapshot.id))
    if (next === undefined) return null
    const { id } = next
    try {
      return await restoreFrom(options, id)
    } catch (error) {
      if (!(error instanceof FaultySnapshot)) throw error
      if (!(await isKept(registry, partition, id))) continue
      faulty.add(id)
      observer.emit({ type: 'snapshot.faulty', partition, id, reason: error.reason })
    }
  }
}

async function restoreFrom(options: RestoreOptions, id: string): Promise<Restored> {
  const { partition, observer, clock } = options
  const begunMs = clock.monotonic()
  const manifest = await readManifest(options, partition, id)
  const store = await freshStore(options)
  try {
    await fill(store, manifest, options)
  } catch (error) {
    await store.close()
    if (error instanceof FaultySnapshot) await discardUnfinished(options)
    throw error
  }
  const { rows, bytes, position } = manifest
  const tookMs = clock.monotonic() - begunMs
  observer.emit({ type: 'snapshot.restored', partition, id, seq: position.seq, rows, bytes, tookMs })
  return { store, manifest }
}

/** Whether a restore of the store began, and did not come to its end (RN1). */
export async function isUnfinished(store: Store): Promise<boolean> {
  const [row] = await store.getMany([positionKey])
  return row !== undefined && sameBytes(row, beingRestored)
}

/** Of a store that is closed, and `isUnfinished`. */
export async function discardUnfinished({
  partition,
  stores,
  observer,
}: Pick<RestoreOptions, 'partition' | 'stores' | 'observer'>): Promise<void> {
  await stores.discard(partition)
  observer.emit({ type: 'store.discarded', partition })
}

/** RN1 */
async function freshStore(options: RestoreOptions): Promise<Store> {
  const { partition, stores, observer } = options
  const store = await stores.open(partition)
  if (await isEmpty(store)) return store
  const unfinished = await isUnfinished(store)
  await store.close()
  if (unfinished) await discardUnfinished(options)
  else {
    const reason = 'it is restored from a snapshot'
    observer.emit({ type: 'store.set-aside', partition, reason, path: await stores.setAside(partition, reason) })
  }
  return stores.open(partition)
}

async function isEmpty(store: Store): Promise<boolean> {
  for await (const _ of store.range(allRows.gte, allRows.lt)) return false
  return true
}

async function fill(store: Store, manifest: Manifest, options: RestoreOptions): Promise<void> {
  const { partition, signal } = options
  const pacer = new Pacer({ clock: options.clock })
  const progress = new Progress(manifest, options)
  const reader = new RowReader()
  await store.write(RowBatch.of([{ key: positionKey, value: beingRestored }]))
  let batch = new RowBatch()
  /** The batch before, which is being written. */
  let writing: Promise<void> = Promise.resolve()
  let n = 0
  try {
    for await (const content of contentsOf(options, manifest, ahead)) {
      const object = chunkName(partition, manifest.id, n)
      const before = reader.rows
      batch = new RowBatch(content.length)
      try {
        for (const [key, value] of reader.rowsOf(content)) {
          if (Buffer.compare(key, positionKey) === 0) throw new Error('it holds a position')
          batch.put(key, value)
          if (pacer.spend(key.length + value.length)) await pacer.rest()
        }
      } catch (error) {
        throw new FaultySnapshot('damaged', object, messageOf(error))
      }
      const expected = manifest.chunks[n]!.rows
      if (reader.rows - before !== expected) {
        throw new FaultySnapshot('damaged', object, `it has ${reader.rows - before} of ${expected} rows`)
      }
      await writing
      signal?.throwIfAborted()
      progress.add(content.length)
      if (++n === manifest.chunks.length) break
      writing = store.write(batch)
      // It is awaited before the next; whatever ends this loop meanwhile is what is told.
      writing.catch(() => {})
    }
  } finally {
    await writing.catch(() => {})
  }
  await writing
  if (reader.rest > 0)
    throw new FaultySnapshot('damaged', manifestName(partition, manifest.id), 'the last row does not end')
  // RN3
  batch.put(positionKey, manifest.positionRow)
  await store.write(batch)
}

class Progress {
  readonly #manifest: Manifest
  readonly #options: RestoreOptions
  readonly #begunMs: number
  #toldMs: number
  #bytes = 0

  constructor(manifest: Manifest, options: RestoreOptions) {
    this.#manifest = manifest
    this.#options = options
    this.#begunMs = this.#toldMs = options.clock.monotonic()
    options.onRestoring?.(manifest.position.seq)
  }

  add(bytes: number): void {
    this.#bytes += bytes
    const { clock, observer, partition, onRestoring } = this.#options
    const { position } = this.#manifest
    onRestoring?.(Math.ceil(position.seq * (1 - this.#bytes / this.#manifest.bytes)))
    const nowMs = clock.monotonic()
    if (nowMs - this.#toldMs < tellEveryMs) return
    this.#toldMs = nowMs
    const { id, bytes: totalBytes } = this.#manifest
    const leftMs = Math.round(((totalBytes - this.#bytes) * (nowMs - this.#begunMs)) / this.#bytes)
    observer.emit({ type: 'snapshot.restoring', partition, id, bytes: this.#bytes, totalBytes, leftMs })
  }
}
