import type { PartitionId } from '../protocol/ids.ts'

/**
 * A partition's materialised state: an ordered map of bytes on the node's own disk, one store for each partition.
 *
 * S1. A batch is written whole or not at all, also over a crash; after a crash the store holds the effect of some first batches
 *     in order and nothing of the others.
 * S2. An iterator sees the store as it was when it began.
 * S3. One process at a time: `Stores.open` throws `CONFLICT` while another holds the directory.
 * S4. What is damaged throws `INTERNAL` naming the path; it never answers wrongly. Nothing is ever deleted: `setAside` renames.
 */
export interface Stores {
  /** Opens or creates. Throws `INVALID` where permission is missing, `CONFLICT` where it is open elsewhere, `INTERNAL` where it is damaged. */
  open(partition: PartitionId): Promise<Store>
  /** Takes a closed store out of use, and says where it went (or null where there was none). */
  setAside(partition: PartitionId, reason: string): Promise<string | null>
  /** Closes all. */
  close(): Promise<void>
}

export interface Store {
  /** In the order of the keys; `undefined` where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]>
  write(batch: readonly StoreOp[]): Promise<void>
  /** Ascending from `gte` to below `lt`, in byte order. */
  range(gte: Uint8Array, lt: Uint8Array): AsyncIterable<readonly [key: Uint8Array, value: Uint8Array]>
  /** Everything written before is in the operating system's hands after this. */
  close(): Promise<void>
}

/** `value: null` deletes. */
export interface StoreOp {
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}
