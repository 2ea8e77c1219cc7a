/**
 * A task's store as its code sees it: names and meanings are those of a client's store, over the entries of one partition.
 *
 * What a message has written, its later reads see at once; all of it is one change of each key that it wrote, so an entry's rev grows by one
 * for a message, however often that put it.
 */
import type { Duration } from '../protocol/duration.ts'

export interface TaskEntry<V> {
  readonly key: string
  readonly value: V
  /** Counts the messages that changed this key: 1, 2, 3… */
  readonly rev: number
  /** Partition time, ms since 1970, from which on it is no longer there. Absent: it stays until it is deleted. */
  readonly expiresAt?: number
}

export interface TaskPutOptions {
  /** How long the entry lives, more than 0. Default: that of the store, else until it is deleted. */
  readonly ttl?: Duration | undefined
}

export interface TaskScanOptions {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined
  /** Most entries, a whole number from 0. Default: all. */
  readonly limit?: number | undefined
}

export interface TaskRangeOptions extends TaskScanOptions {
  /** First key of the range. Default: the least there is. */
  readonly from?: string | undefined
  /** First key behind the range. Default: to the end. */
  readonly to?: string | undefined
}

export type TaskCountOptions =
  | { readonly from?: string | undefined; readonly to?: string | undefined; readonly prefix?: undefined }
  | { readonly prefix: string; readonly from?: undefined; readonly to?: undefined }

/** A reading of one moment, the present message's writes until then included. */
export interface TaskSnapshot<V> {
  /** All entries in the order of their keys; may be read several times. */
  entries(): AsyncIterable<TaskEntry<V>>
  /** Lets go of it; the end of the message does so, too. Idempotent. */
  close(): Promise<void>
}

/**
 * All of it rejects with `INVALID` for keys and values that cannot be, and where no message is being processed; with `RETRY` where the
 * partition has been lost meanwhile. A message may write and send what fits into one record; more is `INVALID`.
 */
export interface TaskStore<V = unknown> {
  readonly name: string
  /** The value of a key, `undefined` where there is none. */
  get(key: string): Promise<V | undefined>
  /** The entry of a key, `undefined` where there is none. */
  entry(key: string): Promise<TaskEntry<V> | undefined>
  /** Puts a value, whether there is one or not, and resolves to the entry's rev. */
  put(key: string, value: V, options?: TaskPutOptions): Promise<number>
  /** Puts a value where there is none and resolves to its rev; `undefined` where there is one, which stays. */
  putIfAbsent(key: string, value: V, options?: TaskPutOptions): Promise<number | undefined>
  /** Replaces the value of an entry that has this rev, and resolves to its new one. Rejects with `CONFLICT` where it has another, or is not there. */
  update(key: string, value: V, options: TaskPutOptions & { readonly rev: number }): Promise<number>
  /** Deletes an entry and resolves to whether there was one. With a `rev`, rejects with `CONFLICT` where it has another, or is not there. */
  delete(key: string, options?: { readonly rev?: number | undefined }): Promise<boolean>
  /** The values of those keys that have one, in the order of the keys. */
  getAll(keys: Iterable<string>): Promise<Map<string, V>>
  /** Puts entries, of a key that comes twice the last. */
  putAll(entries: Iterable<readonly [key: string, value: V]>, options?: TaskPutOptions): Promise<void>
  /** Deletes entries and resolves to how many there were. */
  deleteAll(keys: Iterable<string>): Promise<number>
  /**
   * The entries with keys in `[from, to)`, in the order of the keys' UTF-8 bytes, with the message's writes as they are when the iteration
   * begins. It waits until all earlier messages of the partition are committed.
   */
  range(options?: TaskRangeOptions): AsyncIterable<TaskEntry<V>>
  /** The entries whose keys begin so, as `range` gives them. */
  prefix(prefix: string, options?: TaskScanOptions): AsyncIterable<TaskEntry<V>>
  /** How many entries there are, in a range or with a prefix if one is given. */
  count(options?: TaskCountOptions): Promise<number>
  /** A reading of this moment. */
  snapshot(): Promise<TaskSnapshot<V>>
}
