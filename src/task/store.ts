/**
 * A task's store: the unit of the present message over what the partition has.
 *
 * S1. Writes go into the unit, so they are committed with the position of the message, or not at all.
 * S2. Single entries are read from the outcome of all earlier messages, committed or not. Ranges, counts and snapshots are read from the
 *     store by scans, which know what is committed: they wait until all earlier messages are, and lay the unit's writes over.
 * S3. It is of use while a message is processed, and for no other message than that. Each call asks for the message that it belongs to; who
 *     answers is the instance (instance.ts, I2).
 * S4. Where the owner answers or keeps as many scans as it can, for others, it is asked again for as long as the message lasts: that is no
 *     fault of the message, which would be left out for it.
 */
import { ttlOf } from '../behaviour/kv.ts'
import { bound, checkedRev, checkKey, checkLimit, entryMap, keySet, requireRev } from '../behaviour/kv-checks.ts'
import type {
  KvCountOptions,
  KvDeleteOptions,
  KvEntry,
  KvPutOptions,
  KvRangeOptions,
  KvReading,
  KvScanOptions,
  KvUpdateOptions,
} from '../behaviour/kv-store.ts'
import type { TaskStore, TaskStoreDefinition } from '../behaviour/task.ts'
import type { Seen, Unit, Written } from '../partition/unit.ts'
import { HoldfastError, isHoldfastError } from '../protocol/errors.ts'
import { compareKeys } from '../protocol/key-order.ts'
import { optionsOf } from '../protocol/options.ts'
import { maxScanRows, type KeyRange, type ScanPage, type ScanRequest } from '../protocol/scan.ts'
import { decodeValue, encodeValue } from '../protocol/values.ts'

/** What a store needs of the instance that it belongs to. */
export interface StoreHost {
  /** Of the message that the call belongs to. Throws `INVALID` where that is not, or no longer, processed. */
  unit(): Unit
  /** Resolves when all units of earlier messages are committed. Rejects with `RETRY` when the ownership has ended. */
  settled(): Promise<void>
  scan(request: ScanRequest): Promise<ScanPage>
  pause(ms: number): Promise<void>
  /** Calls it at the end of the message. Throws as `unit` does. */
  atEnd(close: () => Promise<void>): void
}

interface Range extends KeyRange {
  readonly reverse: boolean
}

interface Row {
  readonly key: string
  readonly rev: number
  readonly state: Uint8Array
  readonly expiresAt: number | null
}

const rowsInPage = 500

export class UnitStore<V> implements TaskStore<V> {
  readonly name: string
  readonly #definition: TaskStoreDefinition
  readonly #host: StoreHost

  constructor(definition: TaskStoreDefinition, host: StoreHost) {
    this.name = definition.name
    this.#definition = definition
    this.#host = host
  }

  async get(key: string): Promise<V | undefined> {
    return (await this.entry(key))?.value
  }

  async entry(key: string): Promise<KvEntry<V> | undefined> {
    checkKey(key)
    const { rev, state, expiresAt } = await this.#host.unit().read(this.#definition.type, key)
    return state === null ? undefined : entryOf({ key, rev, state, expiresAt })
  }

  async put(key: string, value: V, options: KvPutOptions = {}): Promise<number> {
    return (await this.#put(key, value, options, () => true)).rev
  }

  async putIfAbsent(key: string, value: V, options: KvPutOptions = {}): Promise<number | undefined> {
    let absent = false
    const { rev } = await this.#put(key, value, options, ({ state }) => (absent = state === null))
    return absent ? rev : undefined
  }

  async update(key: string, value: V, options: KvUpdateOptions): Promise<number> {
    const { rev, ...put } = optionsOf(options, 'update()')
    checkedRev(rev)
    return (await this.#put(key, value, put, (seen) => hasRev(key, seen, rev))).rev
  }

  async delete(key: string, options: KvDeleteOptions = {}): Promise<boolean> {
    const { rev } = optionsOf(options, 'delete()')
    checkKey(key)
    if (rev !== undefined) checkedRev(rev)
    let was = false
    await this.#host.unit().write(this.#definition.type, key, (seen) => {
      if (rev !== undefined) hasRev(key, seen, rev)
      was = seen.state !== null
      return was ? { state: null, expiresAt: null } : undefined
    })
    return was
  }

  async getAll(keys: Iterable<string>): Promise<Map<string, V>> {
    const wanted = [...keySet(keys)]
    const entries = await Promise.all(wanted.map((key) => this.entry(key)))
    return new Map(entries.flatMap((entry) => (entry === undefined ? [] : [[entry.key, entry.value] as const])))
  }

  async putAll(entries: Iterable<readonly [key: string, value: V]>, options: KvPutOptions = {}): Promise<void> {
    optionsOf(options, 'putAll()')
    await Promise.all([...entryMap(entries)].map(([key, value]) => this.put(key, value, options)))
  }

  async deleteAll(keys: Iterable<string>): Promise<number> {
    const deleted = await Promise.all([...keySet(keys)].map((key) => this.delete(key)))
    return deleted.filter((was) => was).length
  }

  range(options: KvRangeOptions = {}): AsyncIterable<KvEntry<V>> {
    const { from, to, reverse = false, limit } = optionsOf(options, 'range()')
    const range = { from: bound(from, 'from'), to: bound(to, 'to'), reverse }
    return this.#entries(range, limit)
  }

  prefix(prefix: string, options: KvScanOptions = {}): AsyncIterable<KvEntry<V>> {
    if (typeof prefix !== 'string') throw invalid('a prefix is a text')
    const { reverse = false, limit } = optionsOf(options, 'prefix()')
    return this.#entries({ prefix: bound(prefix, 'prefix'), reverse }, limit)
  }

  async count(options: KvCountOptions = {}): Promise<number> {
    const { from, to, prefix } = optionsOf(options, 'count()')
    const range: Range = {
      from: bound(from, 'from'),
      to: bound(to, 'to'),
      prefix: bound(prefix, 'prefix'),
      reverse: false,
    }
    const own = this.#ownIn(range)
    await this.#host.settled()
    let count = 0
    if (own.length > 0) {
      for await (const _ of this.#merged(range, own, undefined)) count++
      return count
    }
    for (let after: string | undefined, more = true; more;) {
      const page = await this.#scan({ ...range, kind: 'count', after, limit: maxScanRows })
      count += page.count
      more = page.more
      after = page.last ?? after
    }
    return count
  }

  async snapshot(): Promise<KvReading<V>> {
    const all: Range = { reverse: false }
    const own = this.#ownIn(all)
    await this.#host.settled()
    const { snapshot } = await this.#scan({ ...all, kind: 'open', limit: 1 })
    const name = snapshot ?? undefined
    let closing: Promise<void> | undefined
    const close = () =>
      (closing ??= this.#host
        .scan({ ...all, type: this.#definition.type, kind: 'close', limit: 1, snapshot: name })
        .then(
          () => {},
          // One that cannot be closed ends by itself.
          () => {},
        ))
    try {
      this.#host.atEnd(close)
    } catch (error) {
      // The message was over before it was there.
      void close()
      throw error
    }
    return { entries: () => iterable(() => entriesOf<V>(this.#merged(all, own, name), unlimited)), close }
  }

  #put(key: string, value: V, options: KvPutOptions, may: (seen: Seen) => boolean): Promise<Seen> {
    const { ttl } = optionsOf(options, 'a put')
    checkKey(key)
    if (value === undefined) throw invalid('undefined is not a value: put null, or delete the entry')
    const ttlMs = ttl === undefined ? this.#definition.ttlMs : ttlOf(ttl, 'the ttl of an entry')
    const state = encodeValue(value)
    const unit = this.#host.unit()
    const expiresAt = ttlMs === undefined ? null : unit.nowMs + ttlMs
    return unit.write(this.#definition.type, key, (seen) => (may(seen) ? { state, expiresAt } : undefined))
  }

  #entries(range: Range, limit: number | undefined): AsyncIterable<KvEntry<V>> {
    checkLimit(limit)
    const begin = async function* (store: UnitStore<V>) {
      const own = store.#ownIn(range)
      await store.#host.settled()
      yield* entriesOf<V>(store.#merged(range, own, undefined), limit ?? unlimited)
    }
    return iterable(() => begin(this))
  }

  /** What is stored, with the message's own writes over it, in the order of the keys (S2). */
  async *#merged(range: Range, own: readonly Written[], snapshot: string | undefined): AsyncGenerator<Row> {
    const ahead = range.reverse ? -1 : 1
    let at = 0
    for await (const row of this.#stored(range, snapshot)) {
      while (at < own.length && compareKeys(own[at]!.key, row.key) * ahead < 0) yield* present(own[at++]!)
      if (own[at]?.key === row.key) yield* present(own[at++]!)
      else yield row
    }
    while (at < own.length) yield* present(own[at++]!)
  }

  async *#stored(range: Range, snapshot: string | undefined): AsyncGenerator<Row> {
    for (let after: string | undefined, more = true; more;) {
      const page = await this.#scan({ ...range, kind: 'rows', after, limit: rowsInPage, snapshot })
      yield* page.rows
      more = page.more
      after = page.last ?? after
    }
  }

  async #scan(request: Omit<ScanRequest, 'type'>): Promise<ScanPage> {
    for (;;) {
      this.#host.unit()
      try {
        return await this.#host.scan({ ...request, type: this.#definition.type })
      } catch (error) {
        if (!isHoldfastError(error, 'OVERLOADED')) throw error
        await this.#host.pause(error.retryAfterMs)
      }
    }
  }

  /** The message's own writes in a range, in its direction. */
  #ownIn(range: Range): readonly Written[] {
    const own = this.#host.unit().writesOf(this.#definition.type)
    const found = own.filter(({ key }) => isIn(range, key)).sort((a, b) => compareKeys(a.key, b.key))
    return range.reverse ? found.toReversed() : found
  }
}

const unlimited = Number.POSITIVE_INFINITY

async function* entriesOf<V>(rows: AsyncIterable<Row>, limit: number): AsyncGenerator<KvEntry<V>> {
  if (limit === 0) return
  let left = limit
  for await (const row of rows) {
    yield entryOf<V>(row)
    if (--left === 0) return
  }
}

function* present({ state, ...rest }: Written): Generator<Row> {
  if (state !== null) yield { state, ...rest }
}

const entryOf = <V>({ key, rev, state, expiresAt }: Row): KvEntry<V> => ({
  key,
  value: decodeValue(state) as V,
  rev,
  ...(expiresAt === null ? {} : { expiresAt }),
})

const isIn = ({ from, to, prefix }: KeyRange, key: string): boolean =>
  (from === undefined || compareKeys(key, from) >= 0) &&
  (to === undefined || compareKeys(key, to) < 0) &&
  (prefix === undefined || key.startsWith(prefix))

/** Throws `CONFLICT` where it has not. */
function hasRev(key: string, { rev, state }: Seen, expected: number): true {
  requireRev(key, { exists: state !== null, rev }, expected)
  return true
}

/** Begins anew with each iteration. */
const iterable = <T>(begin: () => AsyncIterator<T>): AsyncIterable<T> => ({ [Symbol.asyncIterator]: begin })

const invalid = (message: string) => new HoldfastError('INVALID', message)
