/**
 * What an honest encoder never writes: msgpack and JSON with every extension, any key, any length, any depth, and a megabyte of the
 * smallest things there are. Everything comes from a seed.
 */
import type { SeededRandom } from '../../src/testing/seeded-random.ts'

/** Bytes that are put into a message as they are. */
export class Raw {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

const head = (byte: number, size: 1 | 2 | 4, n: number): Buffer => {
  const bytes = Buffer.alloc(1 + size)
  bytes[0] = byte
  bytes.writeUIntBE(n, 1, size)
  return bytes
}

const double = (n: number): Buffer => {
  const bytes = Buffer.alloc(9)
  bytes[0] = 0xcb
  bytes.writeDoubleBE(n, 1)
  return bytes
}

/** msgpack of anything, with nothing checked: lone surrogates, NaN, numbers beyond what is safe. */
export function packed(value: unknown): Buffer {
  if (value instanceof Raw) return Buffer.from(value.bytes)
  if (value === null || value === undefined) return Buffer.of(0xc0)
  if (typeof value === 'boolean') return Buffer.of(value ? 0xc3 : 0xc2)
  if (typeof value === 'number') {
    if (Number.isInteger(value) && value >= 0 && value < 128) return Buffer.of(value)
    return Number.isInteger(value) && value >= 0 && value < 2 ** 32 ? head(0xce, 4, value) : double(value)
  }
  if (typeof value === 'bigint') {
    const bytes = Buffer.alloc(9)
    bytes[0] = 0xd3
    bytes.writeBigInt64BE(BigInt.asIntN(64, value), 1)
    return bytes
  }
  if (typeof value === 'string') {
    const text = Buffer.from(value)
    return Buffer.concat([text.length < 32 ? Buffer.of(0xa0 + text.length) : head(0xdb, 4, text.length), text])
  }
  if (value instanceof Uint8Array) return Buffer.concat([head(0xc6, 4, value.length), value])
  if (Array.isArray(value)) {
    const start = value.length < 16 ? Buffer.of(0x90 + value.length) : head(0xdd, 4, value.length)
    return Buffer.concat([start, ...value.map(packed)])
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return Buffer.concat([head(0xdf, 4, entries.length), ...entries.flat().map(packed)])
}

/** An extension of any type; those of 1, 2, 4, 8 and 16 bytes have heads of their own. */
export function extension(type: number, content: Uint8Array): Buffer {
  const fixed = [1, 2, 4, 8, 16].indexOf(content.length)
  const start = fixed < 0 ? head(0xc8, 2, content.length) : Buffer.of(0xd4 + fixed)
  return Buffer.concat([start, Buffer.of(type), content])
}

/** `depth` times `open`, then `inner`. */
export const nested = (open: Uint8Array, depth: number, inner: Uint8Array = Buffer.of(0xc0)): Buffer =>
  Buffer.concat([Buffer.alloc(open.length * depth, open), inner])

/** `count` times `item`, as one array. */
export const repeated = (item: Uint8Array, count: number): Buffer =>
  Buffer.concat([head(0xdd, 4, count), Buffer.alloc(item.length * count, item)])

export const hostileKeys = ['__proto__', 'constructor', 'toString', 'prototype', 'hasOwnProperty', 'then', '', '\0']

export const absurdNumbers = [
  0,
  1,
  -1,
  0.5,
  127,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 2,
  2 ** 53 - 1,
  2 ** 53,
  1e308,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -(2 ** 53),
]

export const hostileTexts = [
  '',
  ' ',
  '.',
  '..',
  '../../etc/passwd',
  '*',
  '>',
  '$JS.API.INFO',
  '__proto__',
  'constructor',
  'a.b',
  'a=2Eb',
  '=h',
  '\0',
  '\r\nPUB x 0\r\n',
  '\uFEFF',
  'é',
  'e\u0301',
  '\u202E',
  '.kept',
  '.task',
  'kv-',
  'kv-things',
  'x'.repeat(513),
  '🛒'.repeat(128),
]

const largest = 1_040_000

/** Large messages, built once: each tries to cost its reader far more than its sender. */
export function bombs(): { readonly packed: readonly Buffer[]; readonly json: readonly Buffer[] } {
  const times = (item: Uint8Array) => repeated(item, Math.floor(largest / item.length))
  const keys = (count: number, from: number) => Array.from({ length: count }, (_, i) => (from + i).toString(36))
  const texts = (text: string) => Buffer.from(text.slice(0, largest))
  const list = (item: string) =>
    Buffer.from(`[${item},`.concat(`${item},`.repeat(largest / (item.length + 1) - 2), '1]'))
  return {
    packed: [
      ...[
        [0x90],
        [0x80],
        [0x01],
        [0xc4, 0],
        [0xa0],
        [0xd6, 0xff, 0, 0, 0, 1],
        [0x91, 0x90],
        [0x81, 0xa1, 0x61, 0x80],
      ].map((item) => times(Buffer.from(item))),
      repeated(Buffer.of(1), 520_000),
      repeated(Buffer.of(0x80), 520_000),
      packed(Object.fromEntries(keys(100_000, 1e6).map((key) => [key, 1]))),
      ...[101, 1_000, 100_000, 500_000].flatMap((depth) => [
        nested(Buffer.of(0x91), depth),
        nested(Buffer.of(0x81, 0xa1, 0x61), depth),
        nested(Buffer.of(0xdd, 0, 0, 0, 1), depth),
      ]),
      packed('x'.repeat(largest)),
      packed(Buffer.alloc(largest)),
      Buffer.alloc(largest, 0xff),
      Buffer.alloc(largest, 0xc1),
    ].filter(({ length }) => length <= 1_048_000),
    json: [
      ...[
        '[]',
        '{}',
        '1',
        '""',
        '[[]]',
        '{"a":{}}',
        '{"$bytes":""}',
        '{"$date":"2026-01-31T12:00:00.000Z"}',
        '1e400',
      ].map(list),
      texts(
        `{${keys(90_000, 1e6)
          .map((key) => `"${key}":1`)
          .join(',')}}`,
      ),
      texts(
        `{${keys(60_000, 0)
          .map((_, i) => `"${(i * 77_777) % 4_294_967_295}":1`)
          .join(',')}}`,
      ),
      ...[101, 1_000, 100_000].flatMap((depth) => [
        texts('['.repeat(depth)),
        texts('['.repeat(depth) + ']'.repeat(depth)),
        texts('{"a":'.repeat(depth) + '1' + '}'.repeat(depth)),
      ]),
      texts(`"${'x'.repeat(largest - 2)}"`),
      texts(`"${'\\u0000'.repeat(170_000)}"`),
      texts('1'.repeat(largest)),
      texts(' '.repeat(largest)),
      Buffer.alloc(largest, 0xff),
    ],
  }
}

/** A small value of any kind, often one that is none. */
export function hostileValue(random: SeededRandom, depth = 3): unknown {
  switch (random.below(depth > 0 ? 12 : 8)) {
    case 0:
      return random.pick(absurdNumbers)
    case 1:
      return random.pick(hostileTexts)
    case 2:
      return new Raw(extension(random.below(256), Buffer.alloc(random.below(18), random.below(256))))
    case 3:
      return new Raw(randomBytes(random, random.below(12)))
    case 4:
      return random.pick([null, true, false])
    case 5:
      return BigInt(Math.floor(random.next() * 2 ** 52)) * (random.chance(0.5) ? -4_096n : 4_096n)
    case 6:
      return randomBytes(random, random.below(40))
    case 7:
      return random.below(1_000)
    case 8:
    case 9:
      return Array.from({ length: random.below(6) }, () => hostileValue(random, depth - 1))
    case 10:
      return new Map([[hostileValue(random, 0), hostileValue(random, depth - 1)]])
    default:
      return new Map([[random.pick(hostileKeys), hostileValue(random, depth - 1)]])
  }
}

export function randomBytes(random: SeededRandom, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = random.below(256)
  return bytes
}
