import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { inFlight } from '../../src/client/in-flight.ts'
import { compareKeys } from '../../src/protocol/key-order.ts'
import { mergeRows } from '../../src/client/scan-merge.ts'
import { ScanRows } from '../../src/client/scan-rows.ts'
import { generation, rev, seq } from '../../src/protocol/ids.ts'
import type { ScanPage } from '../../src/protocol/scan.ts'

const rowOf = (key: string) => ({ key, rev: rev(1), state: new Uint8Array(0), expiresAt: null })

/** Pages over some keys, a few at a time, and empty ones between. */
class Pages {
  asked = 0
  readonly #keys: readonly string[]
  readonly #size: number
  readonly #empty: boolean

  constructor(keys: readonly string[], size: number, empty = false) {
    this.#keys = keys
    this.#size = size
    this.#empty = empty
  }

  readonly next = async (after: string | undefined): Promise<ScanPage> => {
    const from = after === undefined ? 0 : this.#keys.indexOf(after.replace(/-$/, '')) + 1
    this.asked++
    const base = { kind: 'page', generation: generation('g'), seq: seq(1), snapshot: null } as const
    if (this.#empty && this.asked % 2 === 1) {
      // What was looked at there was deleted: the next page begins behind it.
      return { ...base, rows: [], count: 0, more: true, last: `${after ?? ''}-` }
    }
    const keys = this.#keys.slice(from, from + this.#size)
    const more = from + this.#size < this.#keys.length
    return { ...base, rows: keys.map(rowOf), count: keys.length, more, last: keys.at(-1) ?? after ?? null }
  }
}

async function keysOf(rows: AsyncIterable<{ readonly key: string }>): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of rows) keys.push(key)
  return keys
}

describe('a reading over several partitions', () => {
  it('gives every key once, in order, whatever the pages are', async () => {
    const keys = fc.uniqueArray(fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\uFFFD', '😀'), minLength: 1 }), {
      maxLength: 40,
    })
    await fc.assert(
      fc.asyncProperty(
        keys,
        fc.array(fc.nat(4), { minLength: 40, maxLength: 40 }),
        fc.integer({ min: 1, max: 7 }),
        fc.boolean(),
        fc.boolean(),
        async (all, places, size, reverse, empty) => {
          const order = all.toSorted((a, b) => compareKeys(a, b) * (reverse ? -1 : 1))
          const partitions = [0, 1, 2, 3, 4].map(
            (partition) =>
              new ScanRows(
                new Pages(
                  order.filter((_, i) => places[i] === partition),
                  size,
                  empty,
                ).next,
              ),
          )
          expect(await keysOf(mergeRows(partitions, reverse))).toEqual(order)
        },
      ),
    )
  })

  it('asks for the next page when the half of one is taken, and no sooner (R1)', async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(2, '0')}`)
    const pages = new Pages(keys, 10)
    const rows = mergeRows([new ScanRows(pages.next)], false)
    const asked: number[] = []
    for (let i = 0; i < 40; i++) {
      await rows.next()
      asked.push(pages.asked)
    }
    // A row has been taken once the one after it is asked for.
    expect(asked).toEqual(keys.map((_, i) => Math.min(4, 1 + Math.floor((i + 5) / 10))))
    expect((await rows.next()).done).toBe(true)
  })

  it('asks for nothing beyond what is wanted (R1)', async () => {
    const pages = new Pages(['a', 'b', 'c', 'd', 'e'], 2)
    const rows = mergeRows([new ScanRows(pages.next, 2)], false)
    expect([(await rows.next()).value, (await rows.next()).value].map((row) => row?.key)).toEqual(['a', 'b'])
    await rows.next()
    expect(pages.asked).toBe(1)
  })

  it('fails with the page that cannot be had, when that is wanted', async () => {
    const pages = new Pages(['a', 'b', 'c', 'd'], 2)
    const next = (after: string | undefined) =>
      after === undefined ? pages.next(after) : Promise.reject(new Error('no'))
    const rows = mergeRows([new ScanRows(next)], false)
    await rows.next()
    expect((await rows.next()).value?.key).toBe('b')
    await expect(rows.next()).rejects.toThrow('no')
  })
})

describe('calls in flight', () => {
  it('are as many as allowed at a time, and all are made', async () => {
    let [now, most] = [0, 0]
    const done: number[] = []
    await inFlight([1, 2, 3, 4, 5, 6, 7], 3, async (n) => {
      most = Math.max(most, ++now)
      await Promise.resolve()
      now--
      done.push(n)
    })
    expect(most).toBe(3)
    expect(done.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  it('end with the first failure, and not before those that were begun', async () => {
    const begun: number[] = []
    let ended = 0
    const running = inFlight([1, 2, 3, 4, 5, 6, 7], 2, async (n) => {
      begun.push(n)
      await Promise.resolve()
      ended++
      if (n > 2) throw new Error(`number ${n}`)
    })
    await expect(running).rejects.toThrow('number 3')
    expect(begun).toEqual([1, 2, 3, 4])
    expect(ended).toBe(4)
  })
})
