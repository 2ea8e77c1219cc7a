/**
 * What every adapter of the Store port keeps (S1–S5).
 *
 * Call `storeConformance` from the adapter's own test file; each test gets a world of its own from `makeWorld`.
 */
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RowBatch, type Row } from '../../src/core/row-batch.ts'
import { maxViews, type Store, type Stores, type StoreView } from '../../src/ports/store.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import { bytes, pattern, same, text } from './bytes.ts'

export interface StoreWorld {
  /** The stores of one node on this world's one directory. May itself reject with `CONFLICT` while another holds it (S3). */
  open(): Promise<Stores>
  close(): Promise<void>
}

const p0 = partitionId(0)
const p1 = partitionId(1)
const put = (key: string, value: string): Row => ({ key: bytes(key), value: bytes(value) })
const del = (key: string): Row => ({ key: bytes(key), value: null })
const least = new Uint8Array([0])
const most = new Uint8Array([0xff, 0xff, 0xff, 0xff])

async function rows(store: Store, gte: Uint8Array = least, lt: Uint8Array = most): Promise<string[]> {
  const found: string[] = []
  for await (const [key, value] of store.range(gte, lt)) found.push(`${text(key)}=${text(value)}`)
  return found
}

/** All rows of a view, by pages of `limit`. */
async function pages(view: StoreView, limit: number): Promise<string[]> {
  const found: string[] = []
  let after: Uint8Array | null = null
  for (;;) {
    const page = await view.rows(after, limit)
    expect(page.rows.length).toBeLessThanOrEqual(limit)
    if (!page.finished) expect(page.rows.length).toBeGreaterThan(0)
    found.push(...page.rows.map(([key, value]) => `${text(key)}=${text(value)}`))
    after = page.rows.at(-1)?.[0] ?? after
    if (page.finished) return found
  }
}

export function storeConformance(name: string, makeWorld: () => Promise<StoreWorld>): void {
  describe(`${name} keeps the rules of a store`, () => {
    let world: StoreWorld
    let stores: Stores
    let store: Store

    beforeEach(async () => {
      world = await makeWorld()
      stores = await world.open()
      store = await stores.open(p0)
    })
    afterEach(async () => {
      await stores.close()
      await world.close()
    })

    it('is empty at first', async () => {
      expect(await rows(store)).toEqual([])
      expect(await store.getMany([bytes('a')])).toEqual([undefined])
      expect(await store.getMany([])).toEqual([])
    })

    it('answers in the order of the keys asked for, repeated and missing ones too', async () => {
      await store.write(RowBatch.of([put('a', '1'), put('b', '2'), put('c', '3')]))
      const values = await store.getMany(['c', 'x', 'a', 'c', 'b'].map(bytes))
      expect(values.map(text)).toEqual(['3', undefined, '1', '3', '2'])
    })

    it('applies the operations of a batch in their order (S1)', async () => {
      await store.write(RowBatch.of([put('a', 'old'), put('b', 'old')]))
      await store.write(
        RowBatch.of([
          del('a'),
          put('a', 'new'),
          put('b', 'new'),
          del('b'),
          del('never there'),
          put('c', 'x'),
          put('c', 'y'),
        ]),
      )
      expect(await rows(store)).toEqual(['a=new', 'c=y'])
      await store.write(RowBatch.of([]))
      expect(await rows(store)).toEqual(['a=new', 'c=y'])
    })

    it('writes in the order of the calls', async () => {
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => store.write(RowBatch.of([put('a', `${i}`), put(`k${i}`, 'x')]))),
      )
      expect(text((await store.getMany([bytes('a')]))[0])).toBe('49')
      expect(await rows(store, bytes('k'), bytes('l'))).toHaveLength(50)
    })

    it('sees its own writes as soon as they are done', async () => {
      await store.write(RowBatch.of([put('a', '1')]))
      expect(text((await store.getMany([bytes('a')]))[0])).toBe('1')
      await store.write(RowBatch.of([del('a')]))
      expect(await store.getMany([bytes('a')])).toEqual([undefined])
    })

    it('keeps empty values, binary keys, large values and large keys whole', async () => {
      const all = Uint8Array.from({ length: 256 }, (_, i) => i)
      const entries: [Uint8Array, Uint8Array][] = [
        [bytes('empty'), new Uint8Array()],
        [new Uint8Array([0]), all],
        [all, bytes('binary key')],
        [bytes('large'), pattern(1_500_000)],
        [pattern(4_000, 7), bytes('large key')],
      ]
      await store.write(RowBatch.of(entries.map(([key, value]) => ({ key, value }))))
      const values = await store.getMany(entries.map(([key]) => key))
      for (const [i, [, value]] of entries.entries()) expect(same(values[i]!, value)).toBe(true)
    })

    it('has taken keys and values when the call returns, and hands out its own', async () => {
      const [key, value] = [bytes('a'), bytes('before')]
      const written = store.write(RowBatch.of([{ key, value }]))
      key.fill(0x21)
      value.fill(0x21)
      await written
      const [read] = await store.getMany([bytes('a')])
      expect(text(read)).toBe('before')
      read!.fill(0x21)
      expect(await rows(store)).toEqual(['a=before'])
    })

    it('ranges from the lower bound to below the upper one', async () => {
      await store.write(RowBatch.of(['a', 'b', 'ba', 'c', 'd'].map((key) => put(key, 'x'))))
      expect(await rows(store, bytes('b'), bytes('c'))).toEqual(['b=x', 'ba=x'])
      expect(await rows(store, bytes('aa'), bytes('cc'))).toEqual(['b=x', 'ba=x', 'c=x'])
      expect(await rows(store, bytes('c'), bytes('b'))).toEqual([])
      expect(await rows(store, bytes('c'), bytes('c'))).toEqual([])
      expect(await rows(store, bytes('x'), bytes('y'))).toEqual([])
    })

    it('ranges in the order of bytes, not of text or numbers', async () => {
      const keys = [[1], [1, 0], [1, 0, 0], [1, 0xff], [2], [0x7f], [0x80], [0x80, 1], [0xc3, 0xa4], [0xff], [0xff, 0]]
      await store.write(RowBatch.of(keys.toReversed().map((key) => ({ key: Uint8Array.from(key), value: bytes('x') }))))
      const found: number[][] = []
      for await (const [key] of store.range(least, most)) found.push([...key])
      expect(found).toEqual(keys)
    })

    it('ranges over 10,000 keys, each once', async () => {
      const key = (i: number) => `key-${String(i).padStart(6, '0')}`
      for (let start = 0; start < 10_000; start += 1_000) {
        await store.write(
          RowBatch.of(
            Array.from({ length: 1_000 }, (_, i) => put(key(((start + i) * 7_919) % 10_000), 'x'.repeat(40))),
          ),
        )
      }
      const found = await rows(store)
      expect(found).toHaveLength(10_000)
      expect(found).toEqual(Array.from({ length: 10_000 }, (_, i) => `${key(i)}=${'x'.repeat(40)}`))
      expect(await rows(store, bytes(key(2_500)), bytes(key(7_500)))).toHaveLength(5_000)
    })

    it('ranges over the store as it was when the range began (S2)', async () => {
      const count = 3_000
      await store.write(
        RowBatch.of(Array.from({ length: count }, (_, i) => put(`k${String(i).padStart(5, '0')}`, 'old'))),
      )
      const range = store.range(least, most)[Symbol.asyncIterator]()
      const first = await range.next()
      expect(text((first.value as [Uint8Array, Uint8Array])[1])).toBe('old')
      await store.write(
        RowBatch.of(Array.from({ length: count }, (_, i) => put(`k${String(i).padStart(5, '0')}`, 'new'))),
      )
      await store.write(RowBatch.of([put('k00000a', 'new'), put('z', 'new'), del('k02999')]))
      let seen = 1
      for (let next = await range.next(); !next.done; next = await range.next()) {
        expect(text(next.value[1])).toBe('old')
        seen++
      }
      expect(seen).toBe(count)
      expect((await rows(store)).filter((row) => row.endsWith('=new'))).toHaveLength(count + 1)
    })

    it('can leave a range in the middle, and close then', async () => {
      await store.write(RowBatch.of(Array.from({ length: 2_500 }, (_, i) => put(`k${i}`, 'x'))))
      let seen = 0
      for await (const [key] of store.range(least, most)) if (key.length > 0 && ++seen === 3) break
      expect(seen).toBe(3)
      expect(await rows(store)).toHaveLength(2_500)
      await store.close()
    })

    describe('in a view', () => {
      const all = { gte: least, lt: most }
      const names = ['a', 'b', 'ba', 'c', 'd', 'ä', '€', '😀']
      const keysOf = ({ rows }: { readonly rows: readonly (readonly [Uint8Array, Uint8Array])[] }) =>
        rows.map(([key]) => text(key))

      it('pages in both directions, in the order of bytes (S2)', async () => {
        await store.write(RowBatch.of(names.toReversed().map((key) => put(key, 'x'))))
        for (const limit of [1, 2, 3, 8, 9, 100]) {
          const forward = await store.view(all)
          expect(await pages(forward, limit)).toEqual(names.map((key) => `${key}=x`))
          await forward.close()
          const backward = await store.view({ ...all, reverse: true })
          expect(await pages(backward, limit)).toEqual(names.toReversed().map((key) => `${key}=x`))
          await backward.close()
        }
      })

      it('has its lower bound and not its upper one, in both directions', async () => {
        await store.write(RowBatch.of(names.map((key) => put(key, 'x'))))
        const bounded = async (gte: string, lt: string, reverse: boolean) => {
          const view = await store.view({ gte: bytes(gte), lt: bytes(lt), reverse })
          const found = keysOf(await view.rows(null, 100))
          await view.close()
          return found
        }
        expect(await bounded('b', 'd', false)).toEqual(['b', 'ba', 'c'])
        expect(await bounded('b', 'd', true)).toEqual(['c', 'ba', 'b'])
        expect(await bounded('aa', 'cc', true)).toEqual(['c', 'ba', 'b'])
        expect(await bounded('', 'b', false)).toEqual(['a'])
        expect(await bounded('', 'b', true)).toEqual(['a'])
        for (const reverse of [false, true]) {
          expect(await bounded('c', 'c', reverse)).toEqual([])
          expect(await bounded('d', 'b', reverse)).toEqual([])
          expect(await bounded('x', 'y', reverse)).toEqual([])
          expect(await bounded('', '', reverse)).toEqual([])
        }
      })

      it('has no rows that nobody wrote, however far it goes', async () => {
        await store.write(RowBatch.of([put('a', '1')]))
        for (const reverse of [false, true]) {
          const view = await store.view({ gte: least, lt: new Uint8Array(20).fill(0xff), reverse })
          expect(await pages(view, 10)).toEqual(['a=1'])
          await view.close()
        }
      })

      it('gives a page again, and one behind any key, there or not', async () => {
        await store.write(RowBatch.of(['b', 'd', 'f'].map((key) => put(key, 'x'))))
        const after = async (view: StoreView, key: string | null, limit = 9) =>
          keysOf(await view.rows(key === null ? null : bytes(key), limit))
        const forward = await store.view({ gte: bytes('b'), lt: bytes('g') })
        expect(await after(forward, 'd')).toEqual(['f'])
        expect(await after(forward, null, 1)).toEqual(['b'])
        expect(await after(forward, null, 1)).toEqual(['b'])
        expect(await after(forward, 'c')).toEqual(['d', 'f'])
        expect(await after(forward, 'a')).toEqual(['b', 'd', 'f'])
        expect(await after(forward, 'f')).toEqual([])
        expect(await after(forward, 'z')).toEqual([])
        const backward = await store.view({ gte: bytes('b'), lt: bytes('g'), reverse: true })
        expect(await after(backward, 'd')).toEqual(['b'])
        expect(await after(backward, null, 1)).toEqual(['f'])
        expect(await after(backward, null, 1)).toEqual(['f'])
        expect(await after(backward, 'e')).toEqual(['d', 'b'])
        expect(await after(backward, 'z')).toEqual(['f', 'd', 'b'])
        expect(await after(backward, 'b')).toEqual([])
        expect(await after(backward, 'a')).toEqual([])
      })

      it('sees every write that was asked for before it, and none after (S2)', async () => {
        const [before, view, after] = [
          store.write(RowBatch.of([put('a', 'before'), put('b', 'before')])),
          store.view(all),
          store.write(RowBatch.of([put('a', 'after'), del('b'), put('c', 'after')])),
        ]
        await Promise.all([before, after])
        expect(await pages(await view, 1)).toEqual(['a=before', 'b=before'])
        expect(await rows(store)).toEqual(['a=after', 'c=after'])
        const backward = await store.view({ ...all, reverse: true })
        await store.write(RowBatch.of([put('a', 'later'), put('d', 'later')]))
        expect(await pages(backward, 1)).toEqual(['c=after', 'a=after'])
      })

      it('comes to the end of many and of large rows, and passes over a large one that is not wanted', async () => {
        const key = (i: number) => `k${String(i).padStart(5, '0')}`
        await store.write(
          RowBatch.of(Array.from({ length: 2_500 }, (_, i) => put(key(i), 'x'.repeat(i % 500 === 0 ? 300_000 : 40)))),
        )
        const expected = Array.from({ length: 2_500 }, (_, i) => key(i))
        for (const reverse of [false, true]) {
          const view = await store.view({ ...all, reverse })
          for (const limit of [1_000, 100]) {
            const found = await pages(view, limit)
            expect(found.map((row) => row.slice(0, 6))).toEqual(reverse ? expected.toReversed() : expected)
          }
          await view.close()
        }
        const below = await store.view({ gte: bytes(key(998)), lt: bytes(key(1_000)), reverse: true })
        expect((await pages(below, 1)).map((row) => row.slice(0, 6))).toEqual([key(999), key(998)])
      })

      it('hands out its own bytes', async () => {
        await store.write(RowBatch.of([put('a', '1'), put('b', '2')]))
        const view = await store.view(all)
        for (const [key, value] of (await view.rows(null, 9)).rows) {
          key.fill(0x21)
          value.fill(0x21)
        }
        expect(await pages(view, 9)).toEqual(['a=1', 'b=2'])
      })

      it('is refused with OVERLOADED while too many are open, and goes on once one is closed (S5)', async () => {
        await store.write(RowBatch.of([put('a', '1')]))
        const views = await Promise.all(Array.from({ length: maxViews }, () => store.view(all)))
        await expect(store.view(all)).rejects.toMatchObject({ code: 'OVERLOADED' })
        await views[0]!.close()
        await views[0]!.close()
        const last = await store.view(all)
        await expect(store.view(all)).rejects.toMatchObject({ code: 'OVERLOADED' })
        expect(await pages(last, 1)).toEqual(['a=1'])
      })

      it('is INTERNAL once it or its store is closed, also where the page would be empty', async () => {
        await store.write(RowBatch.of([put('a', '1')]))
        const closed = await store.view(all)
        await closed.close()
        await expect(closed.rows(null, 1)).rejects.toMatchObject({ code: 'INTERNAL' })
        const [view, empty] = [await store.view(all), await store.view({ gte: bytes('x'), lt: bytes('b') })]
        await store.close()
        await expect(view.rows(null, 1)).rejects.toMatchObject({ code: 'INTERNAL' })
        await expect(empty.rows(null, 1)).rejects.toMatchObject({ code: 'INTERNAL' })
        await expect(store.view(all)).rejects.toMatchObject({ code: 'INTERNAL' })
        await view.close()
        await stores.close()
        await empty.close()
        stores = await world.open()
        store = await stores.open(p0)
        await expect(view.rows(null, 1)).rejects.toMatchObject({ code: 'INTERNAL' })
        expect(await rows(store)).toEqual(['a=1'])
      })
    })

    it('keeps the stores of two partitions apart', async () => {
      const other = await stores.open(p1)
      await store.write(RowBatch.of([put('a', 'of 0')]))
      await other.write(RowBatch.of([put('a', 'of 1'), put('b', 'of 1')]))
      expect(await rows(store)).toEqual(['a=of 0'])
      expect(await rows(other)).toEqual(['a=of 1', 'b=of 1'])
    })

    it('has everything after it was closed and opened again', async () => {
      await store.write(RowBatch.of([put('a', '1'), put('b', '2')]))
      await store.write(RowBatch.of([del('a')]))
      await store.close()
      store = await stores.open(p0)
      expect(await rows(store)).toEqual(['b=2'])
      await store.write(RowBatch.of([put('c', '3')]))
      await stores.close()
      stores = await world.open()
      store = await stores.open(p0)
      expect(await rows(store)).toEqual(['b=2', 'c=3'])
    })

    it('rejects what is asked of it after close, and may be closed twice', async () => {
      await store.close()
      await store.close()
      await expect(store.write(RowBatch.of([put('a', '1')]))).rejects.toThrow()
      await expect(store.getMany([bytes('a')])).rejects.toThrow()
      await expect(rows(store)).rejects.toThrow()
    })

    it('is open once at a time: a second node gets CONFLICT (S3)', async () => {
      await expect(world.open().then((second) => second.open(p0))).rejects.toMatchObject({ code: 'CONFLICT' })
      await expect(world.open().then((second) => second.open(p1))).rejects.toMatchObject({ code: 'CONFLICT' })
      await expect(stores.open(p0)).rejects.toMatchObject({ code: 'CONFLICT' })
      await store.write(RowBatch.of([put('a', '1')]))
      await stores.close()
      stores = await world.open()
      expect(await rows(await stores.open(p0))).toEqual(['a=1'])
    })

    it('is set aside, never deleted, and begins empty after that (S4)', async () => {
      await store.write(RowBatch.of([put('a', '1')]))
      await store.close()
      const first = await stores.setAside(p0, 'a test')
      expect(first).toEqual(expect.any(String))
      store = await stores.open(p0)
      expect(await rows(store)).toEqual([])
      await store.write(RowBatch.of([put('b', '2')]))
      await store.close()
      const second = await stores.setAside(p0, 'a test')
      expect(second).toEqual(expect.any(String))
      expect(second).not.toBe(first)
      expect(await stores.setAside(p0, 'a test')).toBeNull()
      expect(await stores.setAside(p1, 'a test')).toBeNull()
    })

    it('is deleted when nobody will miss it, and begins empty after that (S4)', async () => {
      await store.write(RowBatch.of([put('a', '1')]))
      await expect(stores.discard(p0)).rejects.toMatchObject({ code: 'CONFLICT' })
      await store.close()
      await stores.discard(p0)
      await stores.discard(p0)
      await stores.discard(p1)
      store = await stores.open(p0)
      expect(await rows(store)).toEqual([])
    })

    it('is deleted where it was set aside, and what is there now stays', async () => {
      await store.write(RowBatch.of([put('a', '1')]))
      await store.close()
      const path = (await stores.setAside(p0, 'a test'))!
      store = await stores.open(p0)
      await store.write(RowBatch.of([put('b', '2')]))
      await stores.discardAside(path)
      await stores.discardAside(path)
      expect(await rows(store)).toEqual(['b=2'])
      await store.close()
      expect(await stores.setAside(p0, 'a test')).not.toBeNull()
    })

    it('is not set aside while it is open', async () => {
      await store.write(RowBatch.of([put('a', '1')]))
      await expect(stores.setAside(p0, 'a test')).rejects.toThrow()
      expect(await rows(store)).toEqual(['a=1'])
    })

    it('agrees with a sorted map under any sequence of batches', async () => {
      const key = fc.uint8Array({ minLength: 1, maxLength: 3 })
      const op = fc.record({ key, value: fc.option(fc.uint8Array({ maxLength: 5 }), { nil: null }) })
      const hex = (data: Uint8Array) => Buffer.from(data).toString('hex')
      const model = new Map<string, string>()
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(op, { maxLength: 10 }), { maxLength: 10 }),
          key,
          key,
          async (batches, gte, lt) => {
            for (const batch of batches) {
              await store.write(RowBatch.of(batch))
              for (const { key, value } of batch) {
                if (value === null) model.delete(hex(key))
                else model.set(hex(key), hex(value))
              }
            }
            const expected = [...model]
              .filter(([k]) => k >= hex(gte) && k < hex(lt))
              .toSorted(([x], [y]) => (x < y ? -1 : 1))
            const found: [string, string][] = []
            for await (const [k, v] of store.range(gte, lt)) found.push([hex(k), hex(v)])
            expect(found).toEqual(expected)
            for (const reverse of [false, true]) {
              const view = await store.view({ gte, lt, reverse })
              const seen = (await view.rows(null, 1_000)).rows.map(([k, v]) => [hex(k), hex(v)])
              expect(seen).toEqual(reverse ? expected.toReversed() : expected)
              const behind = await view.rows(batches[0]?.[0]?.key ?? gte, 1_000)
              const after = hex(batches[0]?.[0]?.key ?? gte)
              const rest = (reverse ? expected.toReversed() : expected).filter(([k]) =>
                reverse ? k < after : k > after,
              )
              expect(behind.rows.map(([k]) => hex(k))).toEqual(rest.map(([k]) => k))
              await view.close()
            }
            const asked = batches.flat().map(({ key }) => key)
            const values = await store.getMany(asked)
            expect(values.map((v) => v && hex(v))).toEqual(asked.map((k) => model.get(hex(k))))
          },
        ),
        { numRuns: 30 },
      )
    })
  })
}
