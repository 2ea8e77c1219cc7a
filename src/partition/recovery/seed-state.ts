/**
 * The states that a lost log can be seeded with: a snapshot, the store of a node, nothing.
 *
 * SS1. A state is given out as it is. Notes of void records are left out: they speak of records that are gone.
 * SS2. Sessions, replies and idempotency keys are part of it: what had taken effect in this state takes no effect again (R3).
 */
import { noShare } from '../../core/hashing.ts'
import { startOfLog, type LogPosition } from '../../core/log.ts'
import type { Store, ViewPage } from '../../ports/store.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { rev, type Generation, type PartitionId } from '../../protocol/ids.ts'
import { contentsOf, readManifest, type SnapshotSource } from '../snapshot/contents.ts'
import { rowsIn } from '../snapshot/cut.ts'
import { RowReader, type SnapshotRow } from '../snapshot/rows.ts'
import {
  allRows,
  decodePosition,
  encodePosition,
  positionKey,
  voidRange,
  type StoredPosition,
} from '../store-layout.ts'

export interface SeedState {
  /** Of the lost log: how far the state goes. */
  readonly stored: StoredPosition
  /** Rows in their order. */
  readonly pages: () => AsyncIterable<ViewPage['rows']>
}

const chunksAhead = 3
const pageRows = 1_000

/** Throws `INTERNAL` naming the object where the manifest is missing or damaged; its chunks are checked as they are read. */
export async function snapshotState(source: SnapshotSource, partition: PartitionId, id: string): Promise<SeedState> {
  const manifest = await readManifest(source, partition, id)
  return {
    stored: decodePosition(manifest.positionRow),
    async *pages() {
      const reader = new RowReader()
      for await (const content of contentsOf(source, manifest, chunksAhead)) yield* pagesOf(reader.rowsOf(content))
    },
  }
}

function* pagesOf(rows: Iterable<SnapshotRow>): Generator<ViewPage['rows']> {
  let page: SnapshotRow[] = []
  for (const row of rows) {
    page.push(row)
    if (page.length < pageRows) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

/** Throws `NOT_FOUND` for a store that holds nothing, `INTERNAL` for one that is damaged, or was left half restored. */
export async function storeState(store: Store, partition: PartitionId): Promise<SeedState> {
  const [row] = await store.getMany([positionKey])
  if (row === undefined) {
    throw new HoldfastError(
      'NOT_FOUND',
      `there is no store of partition ${partition} there: name the data directory of a node that had it`,
    )
  }
  const stored = decodePosition(row)
  if (stored.position.partition !== partition) {
    throw new HoldfastError('INVALID', `the store is of partition ${stored.position.partition}, not ${partition}`)
  }
  return {
    stored,
    async *pages() {
      const view = await store.view(allRows)
      try {
        yield* rowsIn(view)
      } finally {
        await view.close()
      }
    },
  }
}

export const emptyState = (partition: PartitionId, lost: Generation): SeedState => ({
  stored: { position: startOfLog(partition, lost), stateHash: noShare, revFloor: rev(0), keptKeys: 0, keptKeyBytes: 0 },
  async *pages() {},
})

/** The rows of the state as they are at `position` (SS1), that of the position last. */
export async function* rowsAt(state: SeedState, position: LogPosition): AsyncGenerator<ViewPage['rows']> {
  for await (const page of state.pages()) {
    yield page.filter(([key]) => key[0] !== voidRange[0][0] && Buffer.compare(key, positionKey) !== 0)
  }
  yield [[positionKey, encodePosition({ ...state.stored, position })]]
}
