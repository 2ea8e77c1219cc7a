/**
 * A key-value store as its users see it. Its entries are keyed actors of the type `kv-<name>` (decisions/0019): single entries are read and
 * written by commands and queries as of any keyed actor, and ranges by scans. What may be relied on is written in docs/kv.md.
 */
import { bound, checkedRev, checkKey, checkLimit, entryMap, keySet } from '../behaviour/kv-checks.ts'
import type {
  KvCountOptions,
  KvDeleteOptions,
  KvEntry,
  KvPutOptions,
  KvRangeOptions,
  KvReading,
  KvScanOptions,
  KvStore,
  KvUpdateOptions,
} from '../behaviour/kv-store.ts'
import { ttlOf, type KvDefinition } from '../behaviour/kv.ts'
import type { Clock } from '../ports/clock.ts'
import type { Duration } from '../protocol/duration.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { optionsOf } from '../protocol/options.ts'
import { maxScanRows, type KeyRange, type ScanRow } from '../protocol/scan.ts'
import { decodeValue, type Value } from '../protocol/values.ts'
import { requestOptionsOf, type CallOptions } from './call-options.ts'
import { inFlight } from './in-flight.ts'
import type { ScanAsks } from './scan-asks.ts'
import type { ScanSnapshot } from './scan-snapshot.ts'
import { Scanner, type RowsOptions } from './scanner.ts'
import { addressOf, type Session } from './session.ts'
import type { RequestOptions } from './session-options.ts'
import type { TypeWatchOptions, Watch } from './watch.ts'

export interface KvWatchOptions extends TypeWatchOptions {
  /** Only this entry. Without it, and without a `prefix`: the whole store. */
  readonly key?: string | undefined
}

export interface KvCallOptions extends CallOptions {
  /** How long to wait for each reply, or each page of a range, attempts included. Default: the client's. */
  readonly timeout?: Duration | undefined
  /**
   * How old the entry may be that `get`, `entry` and `getAll` read: then a standby may answer, too, with nothing missing that this client has
   * seen. Default: they read strongly. Ranges, counts and snapshots are read from the owners.
   */
  readonly maxStaleness?: Duration | undefined
  /**
   * Repeats one write, as it was called: the id of its `UNKNOWN` error, within 90 s. It takes effect once and gives the first reply. Or an id
   * of your own. One id is one write of one entry: for `putAll` and `deleteAll` take an idempotency key.
   */
  readonly id?: string | undefined
  /** Most entries in one page of a partition that a range or snapshot reads, 1 to 1,000. Default 256. */
  readonly pageSize?: number | undefined
}

/**
 * A consistent reading of each partition. Reading it throws `RETRY` where it is gone, because the owner of a partition has changed, or
 * nothing was read for 30 s: take another.
 */
export interface KvSnapshot<V> extends KvReading<V> {
  /** `kv.watch({ from: cursor })` tells of every change that is not in the snapshot. */
  readonly cursor: string
}

/** What a store needs of its client. */
export interface KvHost {
  readonly session: Session
  readonly clock: Clock
  readonly asks: ScanAsks
  readonly partitions: () => Promise<number>
  watch(type: string, key: string | undefined, options: TypeWatchOptions): Watch<unknown>
}

/** Calls of one `getAll`, `putAll` or `deleteAll` that are on their way at a time, if the client has room for so many when it begins. */
const mostInFlight = 1_024

const defaultPageSize = 256

export class Kv<V> implements KvStore<V> {
  readonly name: string
  readonly #host: KvHost
  readonly #definition: KvDefinition<V>
  readonly #options: RequestOptions
  readonly #pageSize: number

  constructor(host: KvHost, definition: KvDefinition<V>, options: RequestOptions = {}, pageSize = defaultPageSize) {
    this.name = definition.name
    this.#host = host
    this.#definition = definition
    this.#options = options
    this.#pageSize = pageSize
  }

  /** The same store, called with these options besides those that it has. Throws `INVALID`, naming the option. */
  with(options: KvCallOptions): Kv<V> {
    const added = requestOptionsOf(options, 'pageSize')
    const { pageSize = this.#pageSize } = options
    if (!Number.isSafeInteger(pageSize) || pageSize < 1 || pageSize > maxScanRows) {
      throw invalid(`\`pageSize\` is a whole number of entries from 1 to ${maxScanRows}`)
    }
    return new Kv(this.#host, this.#definition, { ...this.#options, ...added }, pageSize)
  }

  /** The value of a key, `undefined` where there is none. */
  async get(key: string): Promise<V | undefined> {
    return (await this.entry(key))?.value
  }

  /** The entry of a key, `undefined` where there is none. */
  async entry(key: string): Promise<KvEntry<V> | undefined> {
    const found = (await this.#request('query', key, 'entry', null)) as StoredEntry<V> | null
    return found === null ? undefined : entryOf(key, found.value, found.rev, found.expiresAt)
  }

  /** Puts a value, whether there is one or not, and resolves to the entry's rev. */
  async put(key: string, value: V, options: KvPutOptions = {}): Promise<number> {
    return (await this.#request('command', key, 'put', this.#putInput(value, options))) as number
  }

  /** Puts a value where there is none and resolves to its rev; `undefined` where there is one, which stays. */
  async putIfAbsent(key: string, value: V, options: KvPutOptions = {}): Promise<number | undefined> {
    const rev = await this.#request('command', key, 'putIfAbsent', this.#putInput(value, options))
    return rev === null ? undefined : (rev as number)
  }

  /** Replaces the value of an entry that has this rev, and resolves to its new one. Rejects with `CONFLICT` where it has another, or is not there. */
  async update(key: string, value: V, options: KvUpdateOptions): Promise<number> {
    const { rev, ...put } = optionsOf(options, 'update()')
    const input = { ...this.#putInput(value, put), rev: checkedRev(rev) }
    return (await this.#request('command', key, 'update', input)) as number
  }

  /** Deletes an entry and resolves to whether there was one. With a `rev`, rejects with `CONFLICT` where it has another, or is not there. */
  async delete(key: string, options: KvDeleteOptions = {}): Promise<boolean> {
    const { rev } = optionsOf(options, 'delete()')
    const input = rev === undefined ? null : { rev: checkedRev(rev) }
    return (await this.#request('command', key, 'delete', input)) as boolean
  }

  /** The values of those keys that have one, in the order of the keys. Each is read by itself. */
  async getAll(keys: Iterable<string>): Promise<Map<string, V>> {
    const wanted = keySet(keys)
    const found = new Map<string, V>()
    await this.#each(wanted, async (key) => {
      const entry = await this.entry(key)
      if (entry !== undefined) found.set(key, entry.value)
    })
    const inOrder = new Map<string, V>()
    for (const key of wanted) if (found.has(key)) inOrder.set(key, found.get(key)!)
    return inOrder
  }

  /**
   * Puts entries, of a key that comes twice the last. Each is put by itself: where it rejects, with the first error, some may have been put,
   * and none is on its way any more.
   */
  async putAll(entries: Iterable<readonly [key: string, value: V]>, options: KvPutOptions = {}): Promise<void> {
    optionsOf(options, 'putAll()')
    await this.#each(entryMap(entries), async ([key, value]) => void (await this.put(key, value, options)))
  }

  /** Deletes entries, each by itself as in `putAll`, and resolves to how many there were. */
  async deleteAll(keys: Iterable<string>): Promise<number> {
    let deleted = 0
    await this.#each(keySet(keys), async (key) => void ((await this.delete(key)) && deleted++))
    return deleted
  }

  /**
   * The entries with keys in `[from, to)`, in the order of the keys' UTF-8 bytes, which is not that of JavaScript's texts. Read as it is
   * iterated, a page of a partition at a time: each page is as of when it is read, every key comes once at most, and what is there throughout
   * comes. Each iteration reads anew. Throws `INVALID` for bounds that cannot be.
   */
  range(options: KvRangeOptions = {}): AsyncIterable<KvEntry<V>> {
    const { from, to, reverse, limit } = optionsOf(options, 'range()')
    return this.#rows({ from: bound(from, 'from'), to: bound(to, 'to'), reverse, limit })
  }

  /** The entries whose keys begin so, as `range` gives them. */
  prefix(prefix: string, options: KvScanOptions = {}): AsyncIterable<KvEntry<V>> {
    if (typeof prefix !== 'string') throw invalid('a prefix is a text')
    const { reverse, limit } = optionsOf(options, 'prefix()')
    return this.#rows({ prefix: bound(prefix, 'prefix'), reverse, limit })
  }

  /** How many entries there are, in a range or with a prefix if one is given. Consistent as `range` is. */
  async count(options: KvCountOptions = {}): Promise<number> {
    const { from, to, prefix } = optionsOf(options, 'count()')
    const range: KeyRange = { from: bound(from, 'from'), to: bound(to, 'to'), prefix: bound(prefix, 'prefix') }
    return this.#scanner().count(range)
  }

  /** A reading that is consistent in each partition. Close it when it is read. */
  async snapshot(): Promise<KvSnapshot<V>> {
    const snapshot: ScanSnapshot = await this.#scanner().snapshot()
    return {
      cursor: snapshot.cursor,
      entries: () => iterable(() => entriesOf(snapshot.rows())),
      close: () => snapshot.close(),
    }
  }

  /** The changes of the store, of one entry, or of those whose keys begin so. A deletion has `deleted: true`. Throws `INVALID` for what is no cursor. */
  watch(options: KvWatchOptions = {}): Watch<V> {
    const { key, ...rest } = optionsOf(options, 'watch()')
    if (key !== undefined) checkKey(key)
    return this.#host.watch(this.#definition.type, key, rest) as Watch<V>
  }

  #request(kind: 'command' | 'query', key: string, name: string, input: unknown): Promise<Value | undefined> {
    checkKey(key)
    return this.#host.session.request(kind, addressOf(this.#definition.type, key), name, input, this.#options)
  }

  #each<T>(items: Iterable<T>, call: (item: T) => Promise<void>): Promise<void> {
    return inFlight(items, Math.max(1, Math.min(mostInFlight, this.#host.session.room)), call)
  }

  #rows(options: RowsOptions): AsyncIterable<KvEntry<V>> {
    const { limit } = options
    checkLimit(limit)
    return iterable(() => entriesOf<V>(this.#scanner().rows(options)))
  }

  #scanner(): Scanner {
    const { asks, clock, partitions, session } = this.#host
    const { timeoutMs = session.timeoutMs, signal } = this.#options
    return new Scanner({
      asks,
      clock,
      partitions,
      type: this.#definition.type,
      pageRows: this.#pageSize,
      ask: { timeoutMs, signal },
    })
  }

  #putInput(value: V, options: KvPutOptions): { readonly value: V; readonly ttlMs?: number } {
    const { ttl } = optionsOf(options, 'a put')
    if (value === undefined) throw invalid('undefined is not a value: put null, or delete the entry')
    const ttlMs = ttl === undefined ? this.#definition.ttlMs : ttlOf(ttl, 'the ttl of an entry')
    return ttlMs === undefined ? { value } : { value, ttlMs }
  }
}

/** The reply of an entry's query. The types of a store are its user's word for what is in it. */
interface StoredEntry<V> {
  readonly value: V
  readonly rev: number
  readonly expiresAt: number | null
}

const entryOf = <V>(key: string, value: V, rev: number, expiresAt: number | null): KvEntry<V> =>
  expiresAt === null ? { key, value, rev } : { key, value, rev, expiresAt }

async function* entriesOf<V>(rows: AsyncIterable<ScanRow>): AsyncGenerator<KvEntry<V>, void, undefined> {
  for await (const { key, state, rev, expiresAt } of rows) {
    yield entryOf(key, decodeValue(state) as V, rev, expiresAt)
  }
}

/** Begins anew with each iteration. */
const iterable = <T>(begin: () => AsyncIterator<T>): AsyncIterable<T> => ({ [Symbol.asyncIterator]: begin })

const invalid = (message: string) => new HoldfastError('INVALID', message)
