import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeTable, decodeView, encodeTable, encodeView, initialTable, viewOf } from '../../src/core/table.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { epoch, incarnation, type NodeId } from '../../src/protocol/ids.ts'

const plain = { noNullPrototype: true } as const
const node = fc.record(
  {
    id: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) as fc.Arbitrary<NodeId>,
    incarnation: fc.stringMatching(/^[A-Za-z0-9]{1,22}$/).map(incarnation),
  },
  plain,
)
const entry = fc.record(
  {
    epoch: fc.maxSafeNat().map(epoch),
    owner: fc.option(node),
    standbys: fc.array(node, { maxLength: 2 }),
    moving: fc.option(node),
  },
  plain,
)
const table = fc.record(
  {
    version: fc.maxSafeNat(),
    entries: fc.constantFrom(1, 2, 4, 8).chain((n) => fc.array(entry, { minLength: n, maxLength: n })),
  },
  plain,
)

const bytes = (json: unknown) => new TextEncoder().encode(JSON.stringify(json))

describe('the placement table', () => {
  it('comes back from its bytes', () => {
    fc.assert(
      fc.property(table, (t) => {
        expect(decodeTable(encodeTable(t))).toStrictEqual(t)
      }),
    )
  })

  it('begins with no owners', () => {
    expect(initialTable(2)).toEqual({
      version: 0,
      entries: [
        { epoch: 0, owner: null, standbys: [], moving: null },
        { epoch: 0, owner: null, standbys: [], moving: null },
      ],
    })
  })

  it('is this JSON', () => {
    const one = { id: 'n1' as NodeId, incarnation: incarnation('Ab1') }
    const t = { version: 3, entries: [{ epoch: epoch(2), owner: one, standbys: [], moving: null }] }
    const golden =
      '{"format":1,"version":3,"entries":[{"epoch":2,"owner":{"id":"n1","incarnation":"Ab1"},"standbys":[],"moving":null}]}'
    expect(Buffer.from(encodeTable(t)).toString()).toBe(golden)
    expect(decodeTable(Buffer.from(golden))).toStrictEqual(t)
    expect(Buffer.from(encodeView(viewOf(t))).toString()).toBe(
      '{"format":1,"version":3,"owners":["n1"],"standbys":[[]]}',
    )
  })

  const good = { epoch: 1, owner: null, standbys: [], moving: null }
  it.each<[string, unknown]>([
    ['another format', { format: 2, version: 1, entries: [good] }],
    ['no format', { version: 1, entries: [good] }],
    ['no object', null],
    ['an array', [1]],
    ['a version that is none', { format: 1, version: -1, entries: [good] }],
    ['no entries', { format: 1, version: 1 }],
    ['three entries', { format: 1, version: 1, entries: [good, good, good] }],
    ['no entry at all', { format: 1, version: 1, entries: [] }],
    ['an entry that is null', { format: 1, version: 1, entries: [null] }],
    ['an epoch that is none', { format: 1, version: 1, entries: [{ ...good, epoch: 1.5 }] }],
    ['an owner that is missing', { format: 1, version: 1, entries: [{ epoch: 1, standbys: [], moving: null }] }],
    ['an owner that is a text', { format: 1, version: 1, entries: [{ ...good, owner: 'n1' }] }],
    ['an owner without incarnation', { format: 1, version: 1, entries: [{ ...good, owner: { id: 'n1' } }] }],
    ['an id that is none', { format: 1, version: 1, entries: [{ ...good, owner: { id: '*', incarnation: 'a' } }] }],
    ['standbys that are no list', { format: 1, version: 1, entries: [{ ...good, standbys: {} }] }],
    ['a standby that is none', { format: 1, version: 1, entries: [{ ...good, standbys: [null] }] }],
  ])('is INVALID with %s', (_, json) => {
    expect(() => decodeTable(bytes(json))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it('is INVALID as anything that is not JSON', () => {
    for (const text of ['', '{', 'null{']) {
      expect(() => decodeTable(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID' }))
    }
    expect(() => decodeTable(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it('is itself or INVALID with a flipped bit', () => {
    fc.assert(
      fc.property(table, fc.nat(), fc.nat(7), (t, at, bit) => {
        const flipped = encodeTable(t)
        flipped[at % flipped.length]! ^= 1 << bit
        try {
          const read = decodeTable(flipped)
          expect(decodeTable(encodeTable(read))).toStrictEqual(read)
        } catch (error) {
          expect(isHoldfastError(error, 'INVALID')).toBe(true)
        }
      }),
    )
  })
})

describe('the view of it', () => {
  it('names owners and standbys, and comes back from its bytes', () => {
    fc.assert(
      fc.property(table, (t) => {
        const view = viewOf(t)
        expect(view).toEqual({
          version: t.version,
          owners: t.entries.map(({ owner }) => (owner === null ? null : owner.id)),
          standbys: t.entries.map(({ standbys }) => standbys.map(({ id }) => id)),
        })
        expect(decodeView(encodeView(view))).toStrictEqual(view)
      }),
    )
  })

  it.each<[string, unknown]>([
    ['another format', { format: 0, version: 1, owners: [null] }],
    ['no owners', { format: 1, version: 1 }],
    ['an owner that is no node id', { format: 1, version: 1, owners: ['a b'] }],
    ['an owner that is missing', { format: 1, version: 1, owners: [1] }],
    ['standbys that are no lists', { format: 1, version: 1, owners: [null], standbys: ['a'] }],
    ['standbys of another count', { format: 1, version: 1, owners: [null], standbys: [] }],
    ['a standby that is no node id', { format: 1, version: 1, owners: [null], standbys: [['a b']] }],
    ['three owners', { format: 1, version: 1, owners: [null, null, null] }],
  ])('is INVALID with %s', (_, json) => {
    expect(() => decodeView(bytes(json))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it('may say nothing of standbys', () => {
    const view = { version: 1, owners: [null] }
    expect(decodeView(bytes({ format: 1, ...view }))).toStrictEqual(view)
  })
})
