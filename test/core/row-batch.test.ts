import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RowBatch } from '../../src/core/row-batch.ts'

const row = fc.record({ key: fc.uint8Array({ maxLength: 200 }), value: fc.option(fc.uint8Array({ maxLength: 6_000 })) })

describe('a batch of rows', () => {
  it('gives back the rows that were put into it, in order, and is empty when they were taken', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 30 }), (rows) => {
        const batch = RowBatch.of(rows)
        expect(batch.rows()).toEqual(rows.map(({ key, value }) => ({ key, value })))
        expect(batch.size).toBe(rows.length)
        const { bytes, lengths } = batch.take()
        expect(bytes).toEqual(
          new Uint8Array(Buffer.concat(rows.flatMap(({ key, value }) => [key, value ?? Buffer.of()]))),
        )
        expect([...lengths]).toEqual(rows.flatMap(({ key, value }) => [key.length, value?.length ?? -1]))
        expect([batch.size, batch.bytesSoFar, batch.rows()]).toEqual([0, 0, []])
      }),
    )
  })

  it('writes texts as UTF-8 and numbers so that their order is that of their bytes (R1)', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 100 }), fc.maxSafeNat(), fc.maxSafeNat(), (text, a, b) => {
        const batch = new RowBatch(0)
        batch.text(text)
        batch.endKey()
        batch.uint64(a)
        batch.endValue()
        batch.uint64(b)
        batch.endKey()
        batch.noValue()
        const [one, two] = batch.rows()
        expect(Buffer.from(one!.key).toString()).toBe(text)
        expect(Buffer.from(one!.value!).readBigUInt64BE()).toBe(BigInt(a))
        expect(Math.sign(Buffer.compare(one!.value!, two!.key))).toBe(Math.sign(a - b))
      }),
    )
  })

  it('refuses a key where a value is due, and the other way round', () => {
    const batch = new RowBatch()
    expect(() => batch.endValue()).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
    const another = new RowBatch()
    another.endKey()
    expect(() => another.endKey()).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
  })
})
