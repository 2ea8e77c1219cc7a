/**
 * What every adapter of the Registry port keeps (G1–G3).
 *
 * Call `registryConformance` from the adapter's own test file; each test gets a world of its own from `makeWorld`.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CasResult, Registry, RegistryChange } from '../../src/ports/registry.ts'
import { bytes, pattern, same, text } from './bytes.ts'

export interface RegistryWorld {
  /** A handle of one more node on the same registry. */
  connect(): Promise<Registry>
  /** Only of adapters that outlive a restart: closes every handle, stops the server, starts it again on what it kept. */
  restart?(): Promise<void>
  close(): Promise<void>
}

export interface RegistryTraits {
  /** The world has `restart`. */
  readonly durable: boolean
}

const written = (result: CasResult): number => {
  expect(result.kind).toBe('written')
  return result.kind === 'written' ? result.revision : Number.NaN
}

/** What a list says is there. */
const listed = async (registry: Registry, prefix: string): Promise<readonly RegistryChange[]> =>
  (await registry.list(prefix)).filter(({ value }) => value !== null)

/** Collects what a watch says, and lets a test wait for it. */
class Watcher {
  readonly changes: RegistryChange[] = []
  #wake: (() => void) | undefined
  readonly listener = (change: RegistryChange) => {
    this.changes.push(change)
    this.#wake?.()
  }
  async until(done: (changes: readonly RegistryChange[]) => boolean): Promise<void> {
    while (!done(this.changes)) await new Promise<void>((wake) => (this.#wake = wake))
  }
  latest(key: string): RegistryChange | undefined {
    return this.changes.findLast((change) => change.key === key)
  }
}

export function registryConformance(
  name: string,
  makeWorld: () => Promise<RegistryWorld>,
  traits: RegistryTraits,
): void {
  describe(`${name} keeps the rules of a registry`, () => {
    let world: RegistryWorld
    let a: Registry
    let b: Registry

    beforeEach(async () => {
      world = await makeWorld()
      a = await world.connect()
      b = await world.connect()
    })
    afterEach(() => world.close())

    it('has nothing under a key that nobody wrote', async () => {
      expect(await a.get('settings')).toBeNull()
      expect(await listed(a, '')).toEqual([])
    })

    it('creates a key once', async () => {
      const revision = written(await a.create('settings', bytes('one')))
      expect(await b.create('settings', bytes('two'))).toEqual({ kind: 'conflict' })
      const entry = await b.get('settings')
      expect(entry).toMatchObject({ key: 'settings', revision })
      expect(text(entry!.value)).toBe('one')
    })

    it('updates only from the present revision (G1)', async () => {
      const first = written(await a.create('leader', bytes('n1')))
      const second = written(await b.update('leader', bytes('n2'), first))
      expect(await a.update('leader', bytes('n3'), first)).toEqual({ kind: 'conflict' })
      expect(await a.update('leader', bytes('n3'), second + 1_000)).toEqual({ kind: 'conflict' })
      expect(text((await a.get('leader'))!.value)).toBe('n2')
      expect((await a.get('leader'))!.revision).toBe(second)
    })

    it('does not update a key that nobody created', async () => {
      expect(await a.update('leader', bytes('n1'), 7)).toEqual({ kind: 'conflict' })
      expect(await a.get('leader')).toBeNull()
    })

    it('gives each successful write a higher revision, over all keys (G2)', async () => {
      const revisions = [written(await a.create('k1', bytes('a'))), written(await b.create('k2', bytes('a')))]
      revisions.push(written(await b.update('k1', bytes('b'), revisions[0]!)))
      revisions.push(written(await a.delete('k2')))
      revisions.push(written(await a.create('k2', bytes('c'))))
      expect(revisions).toEqual(revisions.toSorted((x, y) => x - y))
      expect(new Set(revisions).size).toBe(revisions.length)
    })

    it('lets exactly one of many concurrent creates win (G1)', async () => {
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).create('leader', bytes(`n${i}`))),
      )
      const winners = results.flatMap((r, i) => (r.kind === 'written' ? [i] : []))
      expect(winners).toHaveLength(1)
      expect(text((await a.get('leader'))!.value)).toBe(`n${winners[0]}`)
    })

    it('loses no increment of two nodes that count by compare-and-set (G1)', async () => {
      await a.create('count', bytes('0'))
      const add = async (registry: Registry) => {
        for (let done = 0; done < 20;) {
          const entry = (await registry.get('count'))!
          const next = bytes(String(Number(text(entry.value)) + 1))
          if ((await registry.update('count', next, entry.revision)).kind === 'written') done++
        }
      }
      await Promise.all([add(a), add(b)])
      expect(text((await a.get('count'))!.value)).toBe('40')
    })

    it('deletes, with a revision only while it is the present one', async () => {
      const first = written(await a.create('lease.n1', bytes('x')))
      const second = written(await a.update('lease.n1', bytes('y'), first))
      expect(await b.delete('lease.n1', first)).toEqual({ kind: 'conflict' })
      expect(text((await b.get('lease.n1'))!.value)).toBe('y')
      written(await b.delete('lease.n1', second))
      expect(await a.get('lease.n1')).toBeNull()
      expect(await listed(a, '')).toEqual([])
    })

    it('fails the update of a holder whose key was deleted, and lets it be created again', async () => {
      const revision = written(await a.create('lease.n1', bytes('x')))
      written(await b.delete('lease.n1', revision))
      expect(await a.update('lease.n1', bytes('renewed'), revision)).toEqual({ kind: 'conflict' })
      expect(await a.delete('lease.n1', revision)).toEqual({ kind: 'conflict' })
      const again = written(await a.create('lease.n1', bytes('new')))
      expect(again).toBeGreaterThan(revision)
    })

    it('lists the keys under whole tokens only, with their values', async () => {
      for (const key of ['lease.n1', 'lease.n2', 'lease', 'leases.n3', 'settings', 'lease.n4.deep']) {
        await a.create(key, bytes(`value of ${key}`))
      }
      await a.delete('lease.n2')
      const list = await listed(b, 'lease')
      expect(list.map((entry) => entry.key).toSorted()).toEqual(['lease', 'lease.n1', 'lease.n4.deep'])
      for (const entry of list) {
        expect(text(entry.value)).toBe(`value of ${entry.key}`)
        expect((await b.get(entry.key))!.revision).toBe(entry.revision)
      }
      expect(await listed(b, '')).toHaveLength(5)
      expect(await listed(b, 'nothing.here')).toEqual([])
    })

    it('keeps every byte of a value, empty and large ones too', async () => {
      const values = [new Uint8Array(), Uint8Array.from({ length: 256 }, (_, i) => i), pattern(200_000)]
      for (const [i, value] of values.entries()) {
        written(await a.create(`v${i}`, value))
        expect(same((await b.get(`v${i}`))!.value, value)).toBe(true)
      }
    })

    it('has taken the bytes when the call returns', async () => {
      const buffer = bytes('before')
      const result = a.create('settings', buffer)
      buffer.fill(0x21)
      written(await result)
      expect(text((await a.get('settings'))!.value)).toBe('before')
    })

    it.each(['', '.', 'a.', '.a', 'a..b', 'a b', 'a*', '*', 'a.>', 'käse', 'a/b', 'a\r\nb', 'a=b'])(
      'refuses the key %j as INVALID',
      async (key) => {
        const invalid = { code: 'INVALID' }
        await expect((async () => a.get(key))()).rejects.toMatchObject(invalid)
        await expect((async () => a.create(key, bytes('x')))()).rejects.toMatchObject(invalid)
        await expect((async () => a.update(key, bytes('x'), 1))()).rejects.toMatchObject(invalid)
        await expect((async () => a.delete(key))()).rejects.toMatchObject(invalid)
        if (key === '') return
        await expect((async () => a.list(key))()).rejects.toMatchObject(invalid)
        expect(() => a.watch(key, () => {})).toThrow(expect.objectContaining(invalid))
      },
    )

    describe('watching (G3)', () => {
      it('tells the present values first, then changes and deletions, under its prefix only', async () => {
        const first = written(await a.create('lease.n1', bytes('one')))
        await a.create('table', bytes('t'))
        const watcher = new Watcher()
        const watch = b.watch('lease', watcher.listener)
        await watcher.until((changes) => changes.length >= 1)
        expect(watcher.changes[0]).toMatchObject({ key: 'lease.n1', revision: first })
        expect(text(watcher.changes[0]!.value)).toBe('one')

        const second = written(await a.create('lease.n2', bytes('two')))
        await watcher.until(() => watcher.latest('lease.n2')?.revision === second)
        expect(text(watcher.latest('lease.n2')!.value)).toBe('two')
        const gone = written(await a.delete('lease.n1'))
        await watcher.until(() => watcher.latest('lease.n1')?.value === null)
        expect(watcher.latest('lease.n1')!.revision).toBe(gone)
        expect(watcher.changes.some((change) => change.key === 'table')).toBe(false)
        watch.close()
      })

      it('says nothing after it was closed', async () => {
        const closed = new Watcher()
        const open = new Watcher()
        const watch = b.watch('k', closed.listener)
        const still = b.watch('k', open.listener)
        await a.create('k.one', bytes('1'))
        await closed.until((changes) => changes.length === 1)
        watch.close()
        watch.close()
        await a.create('k.two', bytes('2'))
        await open.until(() => open.latest('k.two') !== undefined)
        expect(closed.latest('k.two')).toBeUndefined()
        still.close()
      })
    })

    it('can be closed with a watch open', async () => {
      const watcher = new Watcher()
      b.watch('', watcher.listener)
      await a.create('k', bytes('1'))
      await watcher.until((changes) => changes.length === 1)
      await b.close()
      await a.create('k2', bytes('2'))
      expect(text((await a.get('k2'))!.value)).toBe('2')
      expect(watcher.latest('k2')).toBeUndefined()
    })

    if (traits.durable) {
      it('has every write after a restart, and gives higher revisions then', async () => {
        await a.create('settings', bytes('s'))
        const lease = written(await a.create('lease.n1', bytes('1')))
        const renewed = written(await a.update('lease.n1', bytes('2'), lease))
        await a.create('gone', bytes('x'))
        const last = written(await a.delete('gone'))
        await world.restart!()
        const again = await world.connect()
        expect((await listed(again, '')).map((entry) => `${entry.key}=${text(entry.value)}`).toSorted()).toEqual([
          'lease.n1=2',
          'settings=s',
        ])
        expect(await again.update('lease.n1', bytes('3'), lease)).toEqual({ kind: 'conflict' })
        expect(written(await again.update('lease.n1', bytes('3'), renewed))).toBeGreaterThan(last)
        expect(await again.create('settings', bytes('x'))).toEqual({ kind: 'conflict' })
        written(await again.create('gone', bytes('back')))
      })
    }
  })
}
