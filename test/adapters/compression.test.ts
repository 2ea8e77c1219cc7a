/** Both adapters of the Compression port (Z1, Z2). */
import { describe, expect, it } from 'vitest'
import { MemoryCompression } from '../../src/adapters/memory/compression.ts'
import { SystemCompression } from '../../src/adapters/system/compression.ts'
import { pattern, same } from '../conformance/bytes.ts'

const noise = (length: number) => {
  let n = 1
  return Uint8Array.from({ length }, () => (n = Math.imul(n, 48_271) >>> 0) >>> 13)
}

describe.each([
  ['the system', new SystemCompression(), new MemoryCompression()],
  ['memory', new MemoryCompression(), new SystemCompression()],
])('the compression of %s', (_, one, other) => {
  it('gives back what it was given, also to the other (Z1)', async () => {
    for (const bytes of [
      new Uint8Array(),
      pattern(1),
      pattern(4_194_304),
      noise(4_194_304),
      new Uint8Array(7_340_032),
    ]) {
      const compressed = await one.compress(bytes)
      for (const back of [one, other]) expect(same(await back.decompress(compressed, bytes.length), bytes)).toBe(true)
      // What cannot be made fewer becomes little more: a chunk of 7 MiB stays an object.
      expect(compressed.length).toBeLessThan(bytes.length + 1_024)
    }
  })

  it('reads what was compressed in an earlier version (Z1)', async () => {
    const kept = 'i70KAICqqqrq/3Sl81XAjA1EQMVUBUAEzOAALn6lmRR12GDMM4Iqw0/ej/WwpGqWsohNTFNpl/g9UoyLlvGeT816PwOAAQ=='
    const text = 'a holdfast keeps kelp in its place while the sea moves '.repeat(100)
    const back = await one.decompress(Buffer.from(kept, 'base64'), text.length)
    expect(Buffer.from(back).toString()).toBe(text)
  })

  it.each([
    ['fewer bytes than were said', (bytes: Uint8Array) => bytes, 999],
    ['more', (bytes: Uint8Array) => bytes, 1_001],
    ['none', () => new Uint8Array(), 1_000],
    ['what is cut', (bytes: Uint8Array) => bytes.subarray(0, -3), 1_000],
    ['what is something else', () => pattern(500), 1_000],
  ])('refuses %s with INVALID (Z2)', async (_what, change, length) => {
    const compressed = change(await one.compress(noise(1_000)))
    await expect(one.decompress(compressed, length)).rejects.toMatchObject({ code: 'INVALID' })
  })

  it('makes no more of a bomb than it was told (Z2)', async () => {
    const bomb = await one.compress(new Uint8Array(256 * 1_024 * 1_024))
    expect(bomb.length).toBeLessThan(100_000)
    await expect(one.decompress(bomb, 4_194_304)).rejects.toMatchObject({ code: 'INVALID' })
  })
})
