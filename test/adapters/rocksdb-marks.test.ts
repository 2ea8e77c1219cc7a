import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { markEvery, Marks, marksKept } from '../../src/adapters/rocksdb/marks.ts'
import { RowBatch, type Row as Written } from '../../src/core/row-batch.ts'

type Row = readonly [key: Uint8Array, value: Uint8Array]

/** What is there after some batches, in the order of the keys. */
function rowsOf(batches: readonly (readonly Written[])[]): Row[] {
  const rows = new Map<string, Row>()
  for (const { key, value } of batches.flat()) {
    const name = Buffer.from(key).toString('hex')
    if (value === null) rows.delete(name)
    else rows.set(name, [key, value])
  }
  return [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

/** What the marks add to a batch of so many bytes. */
function added(marks: Marks, bytes: number): readonly Written[] {
  const batch = RowBatch.of([{ key: Buffer.from('k'), value: Buffer.alloc(bytes) }])
  marks.addTo(batch)
  return batch.rows().slice(1)
}

/** The marks of batches, each written by a store that is opened again where `opened` says so. */
function marksOf(batches: readonly { readonly bytes: number; readonly opened: boolean }[]): (readonly Written[])[] {
  const written: (readonly Written[])[] = []
  let marks = Marks.read([])!
  for (const { bytes, opened } of batches) {
    if (opened) marks = Marks.read(rowsOf(written))!
    written.push(added(marks, bytes))
  }
  return written
}

describe('the marks of a store', () => {
  const batches = fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 2 * markEvery }), opened: fc.boolean() }), {
    minLength: 1,
    maxLength: 80,
  })

  it('are whole after any first batches, however often it was opened in between', () => {
    fc.assert(
      fc.property(batches, fc.nat(), (all, end) => {
        const written = marksOf(all)
        expect(Marks.read(rowsOf(written.slice(0, end % (written.length + 1))))).not.toBeNull()
      }),
    )
  })

  it('are not whole where batches are missing in the middle that fill a write buffer, or were written in one life', () => {
    let judged = 0
    fc.assert(
      fc.property(batches, fc.nat(), fc.nat(), (all, a, b) => {
        const from = a % all.length
        const to = from + 1 + (b % (all.length - from))
        const lost = all.slice(from, to)
        const wholeLife = all[from]!.opened || from === 0
        const bytes = lost.reduce((sum, batch) => sum + batch.bytes, 0)
        fc.pre(to < all.length && (wholeLife || bytes >= 2 * markEvery))
        judged++
        const written = marksOf(all)
        expect(Marks.read(rowsOf([...written.slice(0, from), ...written.slice(to)]))).toBeNull()
      }),
    )
    expect(judged).toBeGreaterThan(50)
  })

  it('are bounded, and whole also when old ones are forgotten', () => {
    const all = Array.from({ length: marksKept + 50 }, () => ({ bytes: markEvery, opened: false }))
    const written = marksOf(all)
    const rows = rowsOf(written)
    expect(rows).toHaveLength(marksKept + 1)
    expect(Marks.read(rows)).not.toBeNull()
    expect(Marks.read(rowsOf([...written.slice(0, 100), ...written.slice(-5)]))).toBeNull()
    expect(Marks.read(rowsOf(written.slice(-5)))).toBeNull()
  })

  it('are not whole where there are others than these', () => {
    const written = marksOf([{ bytes: 1, opened: false }])
    const [count, mark] = rowsOf(written) as [Row, Row]
    expect(Marks.read([count, mark])).not.toBeNull()
    expect(Marks.read([mark])).toBeNull()
    expect(Marks.read([count])).toBeNull()
    expect(Marks.read([[count[0], new Uint8Array(3)], mark])).toBeNull()
    expect(Marks.read([[count[0], Buffer.alloc(8, 0xff)], mark])).toBeNull()
  })
})
