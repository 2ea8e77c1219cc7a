/**
 * What a store can do, for clients (client/kv.ts) and for tasks (task/store.ts): the same names with the same meanings, over all
 * partitions there, over the entries of one partition here. What may be relied on is written in docs/kv.md.
 */
import type { Duration } from '../protocol/duration.ts'

export interface KvEntry<V> {
  readonly key: string
  readonly value: V
  /** Counts the puts and deletes of this key: 1, 2, 3…, or from higher on (docs/kv.md, E3). */
  readonly rev: number
  /** Partition time, ms since 1970, from which on it is no longer there. Absent: it stays until it is deleted. */
  readonly expiresAt?: number
}

export interface KvPutOptions {
  /** How long the entry lives, more than 0. Default: that of the store's definition, else until it is deleted. */
  readonly ttl?: Duration | undefined
}

export interface KvUpdateOptions extends KvPutOptions {
  /** The rev that the entry has to have. */
  readonly rev: number
}

export interface KvDeleteOptions {
  /** The rev that the entry has to have. Default: any. */
  readonly rev?: number | undefined
}

export interface KvScanOptions {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined
  /** Most entries, a whole number from 0. Default: all. */
  readonly limit?: number | undefined
}

export interface KvRangeOptions extends KvScanOptions {
  /** First key of the range. Default: the least there is. */
  readonly from?: string | undefined
  /** First key behind the range, which is empty if `from` is not before it. Default: to the end. */
  readonly to?: string | undefined
}

export type KvCountOptions =
  | { readonly from?: string | undefined; readonly to?: string | undefined; readonly prefix?: undefined }
  | { readonly prefix: string; readonly from?: undefined; readonly to?: undefined }

/** A reading of one moment. */
export interface KvReading<V> {
  /** All entries in the order of their keys; may be read several times. */
  entries(): AsyncIterable<KvEntry<V>>
  /** Lets go of it. Idempotent. */
  close(): Promise<void>
}

export interface KvStore<V = unknown> {
  readonly name: string
  /** The value of a key, `undefined` where there is none. */
  get(key: string): Promise<V | undefined>
  /** The entry of a key, `undefined` where there is none. */
  entry(key: string): Promise<KvEntry<V> | undefined>
  /** Puts a value, whether there is one or not, and resolves to the entry's rev. */
  put(key: string, value: V, options?: KvPutOptions): Promise<number>
  /** Puts a value where there is none and resolves to its rev; `undefined` where there is one, which stays. */
  putIfAbsent(key: string, value: V, options?: KvPutOptions): Promise<number | undefined>
  /** Replaces the value of an entry that has this rev, and resolves to its new one. Rejects with `CONFLICT` where it has another, or is not there. */
  update(key: string, value: V, options: KvUpdateOptions): Promise<number>
  /** Deletes an entry and resolves to whether there was one. With a `rev`, rejects with `CONFLICT` where it has another, or is not there. */
  delete(key: string, options?: KvDeleteOptions): Promise<boolean>
  /** The values of those keys that have one, in the order of the keys. */
  getAll(keys: Iterable<string>): Promise<Map<string, V>>
  /** Puts entries, of a key that comes twice the last. */
  putAll(entries: Iterable<readonly [key: string, value: V]>, options?: KvPutOptions): Promise<void>
  /** Deletes entries and resolves to how many there were. */
  deleteAll(keys: Iterable<string>): Promise<number>
  /** The entries with keys in `[from, to)`, in the order of the keys' UTF-8 bytes, read as they are iterated. */
  range(options?: KvRangeOptions): AsyncIterable<KvEntry<V>>
  /** The entries whose keys begin so, as `range` gives them. */
  prefix(prefix: string, options?: KvScanOptions): AsyncIterable<KvEntry<V>>
  /** How many entries there are, in a range or with a prefix if one is given. */
  count(options?: KvCountOptions): Promise<number>
  /** A reading of one moment. */
  snapshot(): Promise<KvReading<V>>
}
