import { readFileSync, writeFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hash } from 'node:crypto'
import { startOfLog } from '../../../src/core/log.ts'
import {
  decodeManifest,
  encodeManifest,
  maxChunks,
  snapshotOf,
  type ManifestInput,
} from '../../../src/partition/snapshot/manifest.ts'
import { decodePointer } from '../../../src/partition/snapshot/pointer.ts'
import { RowPacker, RowReader } from '../../../src/partition/snapshot/rows.ts'
import { encodePosition } from '../../../src/partition/store-layout.ts'
import { epoch, generation, incarnation, partitionId, rev, seq } from '../../../src/protocol/ids.ts'
import { bytes, pattern } from '../../conformance/bytes.ts'

const p3 = partitionId(3)
const position = {
  ...startOfLog(p3, generation('firstGeneration1234567')),
  seq: seq(1_234_567),
  validSeq: seq(1_234_566),
  validHash: pattern(16),
  epoch: epoch(7),
  incarnation: incarnation('a1'),
  time: 1_750_000_000_000,
  published: seq(1_234_500),
}
const positionRow = encodePosition({
  position,
  stateHash: { hi: -1, lo: 7 },
  revFloor: rev(3),
  keptKeys: 2,
  keptKeyBytes: 90,
}).slice()
const input: ManifestInput = {
  id: 'Snapshot12345678901234',
  cutAt: 1_750_000_000_123,
  positionRow,
  chunks: [
    { rows: 1_000, bytes: 4_194_304, stored: 1_500_000, digest: pattern(32) },
    { rows: 3, bytes: 17, stored: 21, digest: pattern(32, 9) },
  ],
}
const fixture = new URL('../../fixtures/manifests.json', import.meta.url)

/** With a checksum that fits. */
const sealed = (body: Uint8Array) => Buffer.concat([body, Buffer.of(0xc4, 32), hash('sha256', body, 'buffer')])
const bodyOf = (manifest: Uint8Array) => Buffer.from(manifest.subarray(0, manifest.length - 34))

describe('a manifest', () => {
  it('says what it was made of', () => {
    expect(decodeManifest(encodeManifest(input))).toEqual({
      ...input,
      position,
      stateHash: { hi: -1, lo: 7 },
      rows: 1_003,
      bytes: 4_194_321,
      stored: 1_500_021,
    })
  })

  it('is what it was in every version', () => {
    const encoded = Buffer.from(encodeManifest(input)).toString('hex')
    if (process.env['WRITE_FIXTURES'] !== undefined) writeFileSync(fixture, `${JSON.stringify([encoded], null, 2)}\n`)
    expect([encoded]).toEqual(JSON.parse(readFileSync(fixture, 'utf8')))
  })

  it('is INVALID where one byte is another, missing or too many', () => {
    const whole = encodeManifest(input)
    for (let at = 0; at < whole.length; at++) {
      const wrong = Uint8Array.from(whole)
      wrong[at]! ^= 1
      for (const bad of [wrong, whole.subarray(0, at), Uint8Array.from([...whole, 0])]) {
        expect(() => decodeManifest(bad)).toThrow(expect.objectContaining({ code: 'INVALID' }))
      }
    }
  })

  it('is INVALID where its fields are wrong, though its checksum fits', () => {
    const body = bodyOf(encodeManifest(input))
    expect(decodeManifest(sealed(body)).id).toBe(input.id)
    for (let at = 0; at < body.length; at++) {
      const wrong = Buffer.from(body)
      wrong[at]! ^= 0x80
      try {
        decodeManifest(sealed(wrong))
      } catch (error) {
        expect(error).toMatchObject({ code: 'INVALID' })
      }
    }
    const chunk = input.chunks[1]!
    const wrongs: Partial<ManifestInput>[] = [
      { id: '' },
      { id: 'a.b' },
      { id: 'x'.repeat(33) },
      { positionRow: bytes('being restored') },
      { positionRow: new Uint8Array() },
      { chunks: [{ ...chunk, bytes: 0 }] },
      { chunks: [{ ...chunk, bytes: 8 * 1_024 * 1_024 + 1 }] },
      { chunks: [{ ...chunk, rows: 18 }] },
      { chunks: [{ ...chunk, digest: pattern(31) }] },
    ]
    for (const wrong of wrongs) {
      expect(() => decodeManifest(encodeManifest({ ...input, ...wrong }))).toThrow(
        expect.objectContaining({ code: 'INVALID' }),
      )
    }
  })

  it('holds no more chunks than may be', () => {
    const chunks = new Array<(typeof input.chunks)[number]>(maxChunks + 1).fill(input.chunks[1]!)
    expect(decodeManifest(encodeManifest({ ...input, chunks: chunks.slice(1) })).chunks).toHaveLength(maxChunks)
    expect(() => encodeManifest({ ...input, chunks })).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it('and its chunks are told from other objects by their names', () => {
    expect(snapshotOf('p3.abc.manifest')).toBe('abc')
    expect(snapshotOf('p12.Abc9.c104')).toBe('Abc9')
    for (const other of ['p3.abc', 'p3.abc.c', 'p3.a-b.c1', 'x.abc.c1', 'p3.abc.c1.d', 'p3.abc.manifest2', 'notes']) {
      expect(snapshotOf(other)).toBeUndefined()
    }
  })
})

describe('rows in chunks', () => {
  const rows = fc.uniqueArray(fc.uint8Array({ minLength: 1, maxLength: 12 }), {
    maxLength: 40,
    selector: (key) => Buffer.from(key).toString('hex'),
  })

  it('come back as they were, whatever the size of a chunk', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 70 }), fc.nat({ max: 60 }), (keys, chunkBytes, valueBytes) => {
        const given = keys
          .toSorted((a, b) => Buffer.compare(a, b))
          .map((key, i) => [key, pattern((i * 7) % (valueBytes + 1), i)] as const)
        const packer = new RowPacker(chunkBytes)
        const chunks: { content: Uint8Array; rows: number; digest: Uint8Array }[] = []
        const keep = (chunk: (typeof chunks)[number]) => chunks.push({ ...chunk, content: chunk.content.slice() })
        for (const [i, [key, value]] of given.entries()) {
          for (const chunk of packer.add(key, value)) keep(chunk)
          if (i % 3 === 0) packer.digestSoFar()
        }
        const last = packer.end()
        if (last !== null) keep(last)
        expect(chunks.slice(0, -1).every(({ content }) => content.length === chunkBytes)).toBe(true)
        const reader = new RowReader()
        const found = chunks.flatMap(({ content, rows: count, digest }) => {
          expect(Buffer.compare(digest, hash('sha256', content, 'buffer'))).toBe(0)
          const read = [...reader.rowsOf(content)].map((row) => row.map((part) => part.slice()))
          expect(read).toHaveLength(count)
          return read
        })
        expect(found).toEqual(given.map((row) => row.map((part) => part.slice())))
        expect(reader.rest).toBe(0)
      }),
    )
  })

  it('are INVALID where the keys do not ascend, within a chunk and from one to the next', () => {
    const chunkOf = (...keys: string[]) => {
      const packer = new RowPacker(1_000)
      for (const key of keys) expect([...packer.add(bytes(key), bytes('v'))]).toEqual([])
      return packer.end()!.content.slice()
    }
    const invalid = expect.objectContaining({ code: 'INVALID' })
    for (const chunks of [[chunkOf('b', 'a')], [chunkOf('a', 'a')], [chunkOf('a', 'b'), chunkOf('b')]]) {
      const reader = new RowReader()
      expect(() => chunks.flatMap((chunk) => [...reader.rowsOf(chunk)])).toThrow(invalid)
    }
  })

  it('are INVALID where a length is absurd', () => {
    const reader = new RowReader()
    expect(() => [...reader.rowsOf(Buffer.alloc(16, 0xff))]).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })
})

describe('a pointer', () => {
  const kept = { id: 'abc', generation: 'g', seq: 9, validSeq: 8 }
  const decode = (json: unknown) => decodePointer(Buffer.from(JSON.stringify(json)), p3)

  it('names at most two snapshots and the cut under way', () => {
    const pointer = { format: 1, kept: [kept, { ...kept, id: 'def' }], cutting: 'x1' }
    expect(decode(pointer)).toEqual({ kept: pointer.kept, cutting: 'x1' })
  })

  it.each([
    null,
    [],
    'x',
    { format: 2, kept: [], cutting: null },
    { format: 1, kept: [kept, kept, kept], cutting: null },
    { format: 1, kept: {}, cutting: null },
    { format: 1, kept: [], cutting: 'a.b' },
    { format: 1, kept: [] },
    { format: 1, kept: [null], cutting: null },
    { format: 1, kept: [{ ...kept, id: '' }], cutting: null },
    { format: 1, kept: [{ ...kept, seq: 0 }], cutting: null },
    { format: 1, kept: [{ ...kept, seq: 1.5 }], cutting: null },
    { format: 1, kept: [{ ...kept, validSeq: 10 }], cutting: null },
    { format: 1, kept: [{ ...kept, generation: 7 }], cutting: null },
  ])('is INVALID as %j', (json) => {
    expect(() => decode(json)).toThrow(
      expect.objectContaining({ code: 'INVALID', message: expect.stringContaining('snapshot.3') }),
    )
  })

  it('is INVALID where it is no JSON', () => {
    expect(() => decodePointer(bytes('{'), p3)).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })
})
