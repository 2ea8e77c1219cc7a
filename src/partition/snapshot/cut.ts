/**
 * Cutting a snapshot of an open replica while it is written, or of any rows. The order of effects; whatever a cut fails or dies at, the
 * snapshots that were kept before are kept and whole:
 *
 * SN1. The cut is registered in the pointer: from here on nobody collects its objects, and no older cut can add anything.
 * SN2. What the replica has taken in is written to its store, and a view of the whole store is opened. Position and rows come from it alone (L8).
 * SN3. The chunks are put one after the other, one in memory at a time, no faster than the bound.
 * SN4. The manifest is put when all chunks are durable.
 * SN5. The snapshot is read back and verified.
 * SN6. It becomes the newest of the pointer, by compare-and-set, if the cut is still registered and nothing newer is there.
 * SN7. Only now what is no longer kept is collected. That this fails is no failure of the cut.
 *
 * SN8. After a failure before SN6 the cut deletes what it has put and ends its registration, as far as it can; the rest is collected later. Where
 *      nobody knows whether SN6 happened, nothing is deleted.
 * SN9. Turns go on: rows are read in small pages, compressed off the thread, and paced page by page.
 */
import type { Clock } from '../../ports/clock.ts'
import type { Compression } from '../../ports/compression.ts'
import type { Objects } from '../../ports/objects.ts'
import type { Observer } from '../../ports/observer.ts'
import type { Random } from '../../ports/random.ts'
import type { Registry } from '../../ports/registry.ts'
import type { StoreView, ViewPage } from '../../ports/store.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../../protocol/errors.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import type { Replica } from '../replica.ts'
import { allRows, positionKey } from '../store-layout.ts'
import { collectSnapshots, deleteObjects } from './collect.ts'
import { chunkName, encodeManifest, manifestName, type Manifest, type ManifestChunk } from './manifest.ts'
import { Pacer } from './pacer.ts'
import { addSnapshot, checkRegistered, endCut, registerCut, type KeptSnapshot } from './pointer.ts'
import { RowPacker, type FullChunk } from './rows.ts'
import { verifySnapshot } from './verify.ts'

export interface CutOptions extends Omit<StoreSnapshotOptions, 'id' | 'pages' | 'keep'> {
  readonly replica: Pick<Replica, 'flush' | 'view'>
  readonly random: Random
}

export interface StoreSnapshotOptions {
  readonly partition: PartitionId
  readonly id: string
  /** All rows in their order, and anywhere among them the one of the position. */
  readonly pages: () => AsyncIterable<ViewPage['rows']>
  /** Makes it the newest (SN6). */
  readonly keep: (snapshot: KeptSnapshot) => Promise<unknown>
  readonly objects: Objects
  readonly registry: Registry
  readonly compression: Compression
  readonly clock: Clock
  readonly observer: Observer
  /** Aborts it between two steps; what it has put is deleted (SN8). */
  readonly signal: AbortSignal
  /** Bytes of rows in a second, at most. Default 32 MiB. */
  readonly bytesPerSecond?: number
  /** Bytes of rows in one chunk. Default 4 MiB, at most 7. */
  readonly chunkBytes?: number
}

const defaultBytesPerSecond = 32 * 1_024 * 1_024
const defaultChunkBytes = 4 * 1_024 * 1_024
/** Bytes that cannot be compressed become a little more, and an object has 8 MiB. */
const mostChunkBytes = 7 * 1_024 * 1_024
/** Rows of one page of the view; it ends earlier where they are many bytes. */
const pageRows = 1_000

/**
 * Gives the manifest of the snapshot, which is now the newest. Throws what the store, the objects and the registry throw (`RETRY`, `UNKNOWN`,
 * `INTERNAL`), `CONFLICT` where another cut has taken over, and the signal's reason.
 */
export function cutSnapshot({ replica, random, ...rest }: CutOptions): Promise<Manifest> {
  const { registry, partition } = rest
  return storeSnapshot({
    ...rest,
    id: random.id(),
    pages: () => pagesOf(replica),
    keep: (snapshot) => addSnapshot(registry, partition, snapshot),
  })
}

/** Likewise, of what `pages` gives. */
export async function storeSnapshot(options: StoreSnapshotOptions): Promise<Manifest> {
  const { partition, id, registry, clock, observer, signal } = options
  const { bytesPerSecond = defaultBytesPerSecond, chunkBytes = defaultChunkBytes } = options
  if (!(bytesPerSecond > 0) || !(Number.isSafeInteger(chunkBytes) && chunkBytes > 0 && chunkBytes <= mostChunkBytes)) {
    throw new HoldfastError(
      'INVALID',
      `a snapshot is cut at more than 0 bytes a second, in chunks of 1 to ${mostChunkBytes} bytes: not ${bytesPerSecond} and ${chunkBytes}`,
    )
  }
  const begunMs = clock.monotonic()
  /** Names of what was put, or may have been. */
  const put: string[] = []
  try {
    signal.throwIfAborted()
    await registerCut(registry, partition, id)
    const { positionRow, chunks } = await putChunks({ ...options, bytesPerSecond, chunkBytes }, put)
    const encoded = encodeManifest({ id, cutAt: Math.floor(clock.now()), positionRow, chunks })
    signal.throwIfAborted()
    put.push(manifestName(partition, id))
    await persist(() => options.objects.put(manifestName(partition, id), encoded))
    const verdict = await verifySnapshot({ ...options, bytesPerSecond, id })
    if (verdict.kind !== 'whole') {
      const { kind, object, reason } = verdict
      await checkRegistered(registry, partition, id)
      throw new HoldfastError('INTERNAL', `what was stored is not what was cut: ${object} is ${kind} (${reason})`)
    }
    signal.throwIfAborted()
    const { manifest } = verdict
    const { generation, seq, validSeq } = manifest.position
    await options.keep({ id, generation, seq, validSeq })
    const tookMs = clock.monotonic() - begunMs
    const { rows, bytes, stored } = manifest
    observer.emit({ type: 'snapshot.cut', partition, id, seq, rows, bytes, stored, tookMs })
    await collectSnapshots(options).catch((error: unknown) => {
      // The next cut collects what this one did not: that the ownership has ended, or that nobody answers, is no fault.
      if (signal.aborted || isPassing(error)) return
      observer.emit({ type: 'handler.threw', where: `collecting snapshots of partition ${partition}`, error })
    })
    return manifest
  } catch (error) {
    observer.emit({ type: 'snapshot.failed', partition, id, reason: messageOf(error) })
    await cleanUp(options, put)
    throw error
  }
}

/** SN8 */
async function cleanUp(
  { partition, id, registry, objects }: StoreSnapshotOptions,
  put: readonly string[],
): Promise<void> {
  try {
    // First: what is registered no more can be added no more. If it was added after all, it is not to be deleted.
    const { kept } = await endCut(registry, partition, id)
    if (!kept.some((each) => each.id === id)) await deleteObjects(objects, put)
  } catch {
    // The failure itself is what the caller hears of.
  }
}

async function putChunks(
  options: StoreSnapshotOptions & { readonly bytesPerSecond: number; readonly chunkBytes: number },
  put: string[],
): Promise<{ readonly positionRow: Uint8Array; readonly chunks: readonly ManifestChunk[] }> {
  const { partition, id, objects, compression, clock, signal, bytesPerSecond, chunkBytes } = options
  const chunks: ManifestChunk[] = []
  const store = async ({ content, rows, digest }: FullChunk) => {
    signal.throwIfAborted()
    const compressed = await compression.compress(content)
    const name = chunkName(partition, id, chunks.length)
    put.push(name)
    await persist(() => objects.put(name, compressed))
    chunks.push({ rows, bytes: content.length, stored: compressed.length, digest })
  }
  const packer = new RowPacker(chunkBytes)
  let positionRow: Uint8Array | undefined
  const pacer = new Pacer({ clock, signal, bytesPerSecond })
  for await (const rows of options.pages()) {
    signal.throwIfAborted()
    for (const [key, value] of rows) {
      pacer.spend(key.length + value.length)
      if (Buffer.compare(key, positionKey) === 0) positionRow = value.slice()
      else for (const chunk of packer.add(key, value)) await store(chunk)
    }
    packer.digestSoFar()
    await pacer.rest()
  }
  const last = packer.end()
  if (last !== null) await store(last)
  if (positionRow === undefined) throw new HoldfastError('INTERNAL', 'the store says nowhere how far it has come')
  return { positionRow, chunks }
}

/** SN2 */
async function* pagesOf(replica: CutOptions['replica']): AsyncGenerator<ViewPage['rows']> {
  // Also what no actor's row tells of, sessions and the position itself, is to be as new as the rest.
  await replica.flush()
  const { view } = await replica.view(allRows)
  try {
    yield* rowsIn(view)
  } finally {
    await view.close()
  }
}

/** All rows of a view, page by page. */
export async function* rowsIn(view: StoreView): AsyncGenerator<ViewPage['rows']> {
  let after: Uint8Array | null = null
  for (let finished = false; !finished;) {
    const page: ViewPage = await view.rows(after, pageRows)
    if (page.rows.length === 0) return
    after = page.rows.at(-1)![0]
    finished = page.finished
    yield page.rows
  }
}

const triesToPut = 3

/** The same bytes may be put again: that finds out what became of them. */
async function persist(putObject: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await putObject()
    } catch (error) {
      if (!isPassing(error) || attempt === triesToPut) throw error
    }
  }
}

const isPassing = (error: unknown) => isHoldfastError(error, 'UNKNOWN') || isHoldfastError(error, 'RETRY')
