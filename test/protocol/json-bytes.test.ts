import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jsonRoom, writeJson } from '../../src/protocol/json-bytes.ts'
import { TextWriter } from '../../src/protocol/text-writer.ts'
import { decodeValue, encodeValue, toJson, type Value } from '../../src/protocol/values.ts'
import { value } from './arbitraries.ts'

const whole = (bytes: Uint8Array) => JSON.stringify(toJson(decodeValue(bytes)))

/** `undefined` where it is left to the other way. */
function written(bytes: Uint8Array): string | undefined {
  const into = new TextWriter(jsonRoom(bytes.length) + 2)
  into.text('#')
  if (!writeJson(bytes, into)) return undefined
  expect(into.room).toBeGreaterThan(0)
  return into.bytes.toString('utf8', 1, into.at)
}

describe('JSON from the bytes of a value', () => {
  it('is that of the value, byte for byte, and keeps to its room (B1, B3)', () => {
    fc.assert(
      fc.property(value, (any) => {
        const bytes = encodeValue(any).slice()
        const text = written(bytes)
        if (text !== undefined) expect(text).toBe(whole(bytes))
      }),
      { numRuns: 3_000 },
    )
  })

  it.each<Value>([
    null,
    true,
    false,
    0,
    -0,
    -1,
    -32,
    -33,
    -129,
    -32_769,
    2 ** 31,
    -(2 ** 31),
    2 ** 32 - 1,
    1.5,
    1e21,
    5e-324,
    Number.MAX_SAFE_INTEGER,
    '',
    'a "b" \\ \n \u2028 é 🛒 \u0001',
    'é'.repeat(300),
    `${'x'.repeat(300)}"`,
    'x'.repeat(70_000),
    [],
    {},
    { a: 1, b: [1, { c: 'd' }] },
    { '"': 1, $x: 2 },
    Array.from({ length: 20 }, (_, i) => i * 1_000),
    Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key ${i}`, i])),
  ])('is written at once for %j', (any) => {
    const bytes = encodeValue(any).slice()
    expect(written(bytes)).toBe(whole(bytes))
  })

  it.each<Value>([
    1n,
    new Date(0),
    new Uint8Array([1]),
    [[{ a: 2n }]],
    { $bytes: 'a' },
    { x: { $object: 1 } },
    { $y: 1 },
  ])('is left to the other way where it has a form of its own: %o', (any) =>
    expect(written(encodeValue(any).slice())).toBeUndefined(),
  )
})
