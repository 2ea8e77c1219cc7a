import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareCursors, formatCursor, parseCursor, type Cursor } from '../../src/protocol/cursor.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'

const at = (partition: number, life: string, s: number, index: number): Cursor => ({
  partition: partitionId(partition),
  generation: generation(life),
  seq: seq(s),
  index,
})

const cursor = fc
  .tuple(fc.nat(511), fc.stringMatching(/^[A-Za-z0-9]{22}$/), fc.maxSafeNat(), fc.nat())
  .map(([partition, life, s, index]) => at(partition, life, s, index))

describe('a cursor', () => {
  it('has the text of the protocol (U1)', () => {
    expect(formatCursor(at(7, 'Gx9', 1_234, 5))).toBe('7-Gx9-1234-5')
  })

  it('comes back from its text (U1)', () => {
    fc.assert(
      fc.property(cursor, (c) => {
        expect(parseCursor(formatCursor(c))).toEqual(c)
      }),
    )
  })

  it.each([
    '',
    '7-Gx9-1234',
    '7-Gx9-1234-5-6',
    '07-Gx9-1-1',
    '7-Gx9-01-1',
    '-7-Gx9-1-1',
    '7--1-1',
    '7-G.x-1-1',
    '7-Gx9-1-1 ',
    '7-Gx9-1-1\n',
    '7-Gx9-9007199254740992-1',
    `7-${'G'.repeat(65)}-1-1`,
    'start',
  ])('is refused as %j (U1)', (text) => {
    expect(() => parseCursor(text)).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it('is refused or has exactly this text, whatever the text', () => {
    const almost = fc.string({ unit: fc.constantFrom('0', '1', '9', '-', 'G', ' ', '.'), maxLength: 14 })
    fc.assert(
      fc.property(almost, (text) => {
        try {
          expect(formatCursor(parseCursor(text))).toBe(text)
        } catch (error) {
          expect(isHoldfastError(error, 'INVALID')).toBe(true)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('is before another by sequence, then by index (U2)', () => {
    const inOrder = [at(1, 'G', 0, 0), at(1, 'G', 9, 0), at(1, 'G', 9, 2), at(1, 'G', 10, 0), at(1, 'G', 10, 11)]
    expect(inOrder.toReversed().sort(compareCursors)).toEqual(inOrder)
    expect(compareCursors(at(1, 'G', 9, 2), at(1, 'G', 9, 2))).toBe(0)
  })

  it('has no order with one of another partition or generation (U2)', () => {
    expect(() => compareCursors(at(1, 'G', 1, 0), at(2, 'G', 1, 0))).toThrow('no order')
    expect(() => compareCursors(at(1, 'G', 1, 0), at(1, 'H', 1, 0))).toThrow('no order')
  })
})
