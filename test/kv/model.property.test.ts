/**
 * A store against a map: any sequence of what can be asked of it, over real nodes with RocksDB, several partitions and pages of two or
 * three entries, while partitions move and nodes start again.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compareKeys } from '../../src/protocol/key-order.ts'
import { isHoldfastError, type Holdfast, type Kv, type KvEntry } from '../../src/index.ts'
import { TestCluster } from '../support/cluster.ts'

interface Model {
  /** What there is. */
  readonly entries: Map<string, { readonly value: unknown; readonly rev: number; readonly expires: boolean }>
  /** Of every key that ever was. */
  readonly revs: Map<string, number>
}

interface Real {
  readonly cluster: TestCluster
  readonly kv: Kv<unknown>
}

type Command = fc.AsyncCommand<Model, Real>

let cluster: TestCluster
let hf: Holdfast

beforeAll(async () => {
  cluster = await TestCluster.open('embedded', { actors: [], partitions: 4 })
  await cluster.start('a')
  await cluster.start('b')
  await cluster.settled()
  hf = await cluster.client()
})
afterAll(() => cluster.close())

function put(model: Model, key: string, value: unknown, expires = false): number {
  const rev = (model.revs.get(key) ?? 0) + 1
  model.revs.set(key, rev)
  model.entries.set(key, { value, rev, expires })
  return rev
}

function remove(model: Model, key: string): boolean {
  const there = model.entries.delete(key)
  if (there) model.revs.set(key, model.revs.get(key)! + 1)
  return there
}

const rejected = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error: unknown) => (error as { code: string }).code,
  )

interface Reading {
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly prefix?: string | undefined
  readonly reverse: boolean
  readonly limit?: number | undefined
}

function expected(model: Model, { from = '', to, prefix = '', reverse, limit }: Reading): string[] {
  const keys = [...model.entries.keys()]
    .filter((key) => compareKeys(key, from) >= 0 && (to === undefined || compareKeys(key, to) < 0))
    .filter((key) => key.startsWith(prefix))
    .toSorted(compareKeys)
  return (reverse ? keys.toReversed() : keys).slice(0, limit)
}

const read = (kv: Kv<unknown>, { prefix, ...range }: Reading): AsyncIterable<KvEntry<unknown>> =>
  prefix === undefined ? kv.range(range) : kv.prefix(prefix, range)

async function collect(entries: AsyncIterable<KvEntry<unknown>>): Promise<KvEntry<unknown>[]> {
  const all: KvEntry<unknown>[] = []
  for await (const entry of entries) all.push(entry)
  return all
}

function matches(model: Model, entry: KvEntry<unknown> | undefined, key: string): void {
  const is = model.entries.get(key)
  if (is === undefined) return expect(entry, key).toBe(undefined)
  expect({ ...entry, expiresAt: entry?.expiresAt !== undefined }, key).toEqual({
    key,
    value: is.value,
    rev: is.rev,
    expiresAt: is.expires,
  })
}

const command = (text: string, run: (model: Model, real: Real) => Promise<void>): Command => ({
  check: () => true,
  run,
  toString: () => text,
})

const key = fc.constantFrom('a', 'a/b', 'ab', 'b', 'c.d', 'ключ', '\uFFFD', '😀', 'b b', '=h', '*')
const value = fc.oneof(
  fc.integer(),
  fc.string(),
  fc.constant(null),
  fc.record({ n: fc.array(fc.integer()) }, { noNullPrototype: true }),
)
const bound = fc.option(fc.oneof(key, fc.constant('')), { nil: undefined })
const limit = fc.option(fc.nat(12), { nil: undefined })
const reading: fc.Arbitrary<Reading> = fc.oneof(
  fc.record({ from: bound, to: bound, reverse: fc.boolean(), limit }),
  fc.record({ prefix: fc.oneof(key, fc.constantFrom('', 'a', 'b')), reverse: fc.boolean(), limit }),
)
const show = (...of: unknown[]) => of.map((each) => JSON.stringify(each)).join(' ')

const puts = fc.tuple(key, value, fc.boolean()).map(([k, v, expires]) =>
  command(`put ${show(k, v, expires)}`, async (model, { kv }) => {
    expect(await kv.put(k, v, expires ? { ttl: '1h' } : {})).toBe(put(model, k, v, expires))
  }),
)
const putsIfAbsent = fc.tuple(key, value).map(([k, v]) =>
  command(`putIfAbsent ${show(k, v)}`, async (model, { kv }) => {
    const rev = model.entries.has(k) ? undefined : put(model, k, v)
    expect(await kv.putIfAbsent(k, v)).toBe(rev)
  }),
)
const updates = fc.tuple(key, value, fc.boolean()).map(([k, v, fits]) =>
  command(`update ${show(k, v, fits)}`, async (model, { kv }) => {
    const rev = (model.revs.get(k) ?? 0) + (fits ? 0 : 1)
    if (fits && model.entries.has(k)) expect(await kv.update(k, v, { rev })).toBe(put(model, k, v))
    else expect(await rejected(kv.update(k, v, { rev }))).toBe('CONFLICT')
  }),
)
const deletes = fc.tuple(key, fc.constantFrom('any', 'fits', 'other')).map(([k, which]) =>
  command(`delete ${show(k, which)}`, async (model, { kv }) => {
    const rev = (model.revs.get(k) ?? 0) + (which === 'other' ? 1 : 0)
    if (which === 'any') expect(await kv.delete(k)).toBe(remove(model, k))
    else if (which === 'fits' && model.entries.has(k)) expect(await kv.delete(k, { rev })).toBe(remove(model, k))
    else expect(await rejected(kv.delete(k, { rev }))).toBe('CONFLICT')
  }),
)
const putsAll = fc.array(fc.tuple(key, value), { maxLength: 8 }).map((entries) =>
  command(`putAll ${show(entries)}`, async (model, { kv }) => {
    await kv.putAll(entries)
    for (const [k, v] of new Map(entries)) put(model, k, v)
  }),
)
const deletesAll = fc.array(key, { maxLength: 4 }).map((keys) =>
  command(`deleteAll ${show(keys)}`, async (model, { kv }) => {
    expect(await kv.deleteAll(keys)).toBe(keys.filter((k) => remove(model, k)).length)
  }),
)
const gets = key.map((k) =>
  command(`get ${show(k)}`, async (model, { kv }) => {
    matches(model, await kv.entry(k), k)
    expect(await kv.get(k)).toEqual(model.entries.get(k)?.value)
  }),
)
const getsAll = fc.array(key, { maxLength: 6 }).map((keys) =>
  command(`getAll ${show(keys)}`, async (model, { kv }) => {
    const there = [...new Set(keys)].filter((k) => model.entries.has(k))
    expect([...(await kv.getAll(keys))]).toEqual(there.map((k) => [k, model.entries.get(k)!.value]))
  }),
)
const readings = reading.map((of) =>
  command(`read ${show(of)}`, async (model, { kv }) => {
    const entries = await collect(read(kv, of))
    expect(entries.map((entry) => entry.key)).toEqual(expected(model, of))
    for (const entry of entries) matches(model, entry, entry.key)
    const { from, to, prefix } = of
    const count = prefix === undefined ? kv.count({ from, to }) : kv.count({ prefix })
    expect(await count).toBe(expected(model, { from, to, prefix, reverse: false }).length)
  }),
)
const snapshots = fc.array(fc.tuple(key, fc.boolean()), { maxLength: 4 }).map((writes) =>
  command(`snapshot, then ${show(writes)}`, async (model, { kv }) => {
    for (let tries = 1; ; tries++) {
      const snapshot = await kv.snapshot()
      const before = { entries: new Map(model.entries), revs: new Map(model.revs) }
      for (const [k, gone] of writes) {
        if (gone) expect(await kv.delete(k)).toBe(remove(model, k))
        else expect(await kv.put(k, 'later')).toBe(put(model, k, 'later'))
      }
      try {
        const entries = await collect(snapshot.entries())
        expect(entries.map((entry) => entry.key)).toEqual(expected(before, { reverse: false }))
        for (const entry of entries) matches(before, entry, entry.key)
        return
      } catch (error) {
        // A partition moves while nodes start.
        if (!isHoldfastError(error, 'RETRY') || tries === 20) throw error
      } finally {
        await snapshot.close()
      }
    }
  }),
)
const readingsUnderWrites = fc
  .tuple(reading, fc.nat(4), fc.array(fc.tuple(key, fc.boolean()), { maxLength: 4 }))
  .map(([of, taken, writes]) =>
    command(`read ${show(of)}, after ${taken} write ${show(writes)}`, async (model, { kv }) => {
      const all = { ...of, limit: undefined }
      const before = expected(model, all)
      const touched = new Set<string>(writes.map(([k]) => k))
      const seen: string[] = []
      for await (const entry of read(kv, all)) {
        if (seen.push(entry.key) !== taken) continue
        for (const [k, gone] of writes) {
          if (gone) expect(await kv.delete(k)).toBe(remove(model, k))
          else expect(await kv.put(k, 'during')).toBe(put(model, k, 'during'))
        }
      }
      const may = new Set([...before, ...expected(model, all)])
      expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => compareKeys(a, b) * (of.reverse ? -1 : 1)))
      expect(seen.filter((k) => !may.has(k))).toEqual([])
      expect(before.filter((k) => !touched.has(k) && !seen.includes(k))).toEqual([])
    }),
  )
/** A node leaves in order, or without a word, and comes again: its partitions move there and back. */
const moves = fc.constantFrom(['a', 'stop'], ['b', 'stop'], ['a', 'crash'], ['b', 'crash']).map(([node, how]) =>
  command(`${how} ${node} and start it`, async (_, real) => {
    if (how === 'stop') await real.cluster.stop(node!)
    else await real.cluster.crash(node!)
    await real.cluster.start(node!)
  }),
)

const many = (commands: fc.Arbitrary<Command>, weight: number) => ({ arbitrary: commands, weight })

describe('a store', () => {
  it('does what a sorted map does, while partitions move and nodes start again', { timeout: 120_000 }, async () => {
    let runs = 0
    const commands = fc.array(
      fc.oneof(
        many(puts, 6),
        many(putsIfAbsent, 2),
        many(updates, 3),
        many(deletes, 4),
        many(putsAll, 2),
        many(deletesAll, 1),
        many(gets, 2),
        many(getsAll, 1),
        many(readings, 6),
        many(snapshots, 2),
        many(readingsUnderWrites, 3),
        many(moves, 1),
      ),
      { minLength: 10, maxLength: 40, size: 'max' },
    )
    await fc.assert(
      fc.asyncProperty(commands, fc.integer({ min: 1, max: 3 }), async (sequence, pageSize) => {
        const kv = hf.kv(`run-${++runs}`).with({ pageSize })
        const model: Model = { entries: new Map(), revs: new Map() }
        for (const each of sequence) await each.run(model, { cluster, kv })
        for (const k of model.revs.keys()) matches(model, await kv.entry(k), k)
      }),
      { numRuns: 12, endOnFailure: true },
    )
  })
})
