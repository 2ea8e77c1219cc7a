import type { RowBatch } from '../core/row-batch.ts'
import type { PartitionId } from '../protocol/ids.ts'

/**
 * A partition's materialised state: an ordered map of bytes on the node's own disk, one store for each partition.
 *
 * S1. A batch is written whole or not at all, also over a crash; after a crash the store holds the effect of some first batches
 *     in order and nothing of the others.
 * S2. An iterator sees the store as it was when it began; a view, too: every write that was asked for before it, and none after.
 * S3. One process at a time: `Stores.open` throws `CONFLICT` while another holds the directory.
 * S4. What is damaged throws `INTERNAL` naming the path; it never answers wrongly. `setAside` renames; only `discard` and
 *     `discardAside` delete, as a whole or not at all, also over a crash.
 * S5. A view keeps what it sees on disk, so it is closed as soon as it can be; at most `maxViews` of a store are open at a time.
 */
export interface Stores {
  /** Opens or creates. Throws `INVALID` where permission or space is missing, `CONFLICT` where it is open elsewhere, `INTERNAL` where it is damaged. */
  open(partition: PartitionId): Promise<Store>
  /** Takes a closed store out of use, and says where it went (or null where there was none). */
  setAside(partition: PartitionId, reason: string): Promise<string | null>
  /** Deletes a closed store that nobody will miss: one that was to be a copy of what is elsewhere, and is not finished. */
  discard(partition: PartitionId): Promise<void>
  /** Deletes what `setAside` has put there, by the path that it gave. */
  discardAside(path: string): Promise<void>
  /** Closes all. */
  close(): Promise<void>
}

export interface Store {
  /** In the order of the keys; `undefined` where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]>
  /** Takes the batch's memory. */
  write(batch: RowBatch): Promise<void>
  /** Ascending from `gte` to below `lt`, in byte order. */
  range(gte: Uint8Array, lt: Uint8Array): AsyncIterable<readonly [key: Uint8Array, value: Uint8Array]>
  /**
   * The rows of a range as they are now (S2), to be read in pages and in either direction. Throws `OVERLOADED` where `maxViews` are open
   * (S5), `INTERNAL` where the store is closed.
   */
  view(range: ViewRange): Promise<StoreView>
  /**
   * Everything that was written is in the operating system's hands after this. Its views are closed with it. It is closed, and may be
   * opened again, also where a write has failed (S1).
   */
  close(): Promise<void>
}

/** Views of one store that may be open at a time. */
export const maxViews = 64

/** From `gte` to below `lt`, in byte order; `reverse`: from the last row to the first. Where `gte` is not below `lt` there are no rows. */
export interface ViewRange {
  readonly gte: Uint8Array
  readonly lt: Uint8Array
  readonly reverse?: boolean
}

export interface StoreView {
  /**
   * At most `limit` rows (1 or more) that come after the key `after` in the direction of the view, from its first one for `null`. Fewer
   * where they hold many bytes, and none only where there are no more. Pages may be asked for in any order, and again. Throws
   * `INTERNAL` where the view or its store is closed.
   */
  rows(after: Uint8Array | null, limit: number): Promise<ViewPage>
  /** Idempotent, also after its store was closed. */
  close(): Promise<void>
}

export interface ViewPage {
  readonly rows: readonly (readonly [key: Uint8Array, value: Uint8Array])[]
  /** There are no rows behind these. */
  readonly finished: boolean
}
