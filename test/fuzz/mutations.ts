/** Damage to real messages, from a seed. The message that is given is never written to. */
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { extension, hostileKeys, randomBytes } from './hostile-bytes.ts'

type Mutation = (random: SeededRandom, message: Buffer, other: Buffer) => Buffer

const place = (random: SeededRandom, message: Buffer, from = 0) => from + random.below(message.length - from + 1)

const inserted = (message: Buffer, at: number, bytes: Uint8Array, instead = 0) =>
  Buffer.concat([message.subarray(0, at), bytes, message.subarray(at + instead)])

/** Heads that promise more than there is, and those that no value has. */
const lengthBombs = [
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdf, 0xff, 0xff, 0xff, 0xff],
  [0xc6, 0xff, 0xff, 0xff, 0xff],
  [0xdb, 0x7f, 0xff, 0xff, 0xff],
  [0xc9, 0xff, 0xff, 0xff, 0xff, 0x42],
  [0xdc, 0xff, 0xff],
  [0xde, 0xff, 0xff],
  [0xc1],
  [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
].map((bytes) => Buffer.from(bytes))

const jsonPieces = [
  ...[
    'null',
    'true',
    '-1',
    '1e400',
    '0.1',
    '9007199254740993',
    '""',
    '"\\ud800"',
    '[]',
    '{}',
    '[[[',
    '}',
    ',',
    '\\',
    '"',
  ],
  ...hostileKeys.map((key) => `{${JSON.stringify(key)}:{"a":1}}`),
  ...['{"$bytes":"!"}', '{"$date":"0"}', '{"$bigint":"-0"}', '{"$object":1}', '\uFEFF', '/*', 'NaN'],
].map((text) => Buffer.from(text))

const common: readonly Mutation[] = [
  (_, message) => message,
  (random, message) => message.subarray(0, place(random, message)),
  (random, message) => {
    const copy = Buffer.from(message)
    if (copy.length === 0) return copy
    for (let flips = 1 + random.below(4); flips > 0; flips--) copy[random.below(copy.length)]! ^= 1 << random.below(8)
    return copy
  },
  (random, message) => {
    const copy = Buffer.from(message)
    if (copy.length > 0) copy[random.below(copy.length)] = random.below(256)
    return copy
  },
  (random, message, other) =>
    Buffer.concat([message.subarray(0, place(random, message)), other.subarray(place(random, other))]),
  (random) => randomBytes(random, random.below(random.chance(0.01) ? 4_096 : 64)),
  (random, message) => inserted(message, place(random, message), randomBytes(random, 1 + random.below(8))),
  (random, message) => {
    const from = place(random, message)
    const piece = message.subarray(from, from + random.below(64))
    return inserted(message, place(random, message), Buffer.concat([piece, piece]))
  },
]

const binary: readonly Mutation[] = [
  ...common,
  (random, message) => inserted(message, place(random, message), random.pick(lengthBombs)!, random.below(6)),
  (random, message) =>
    inserted(message, place(random, message), extension(random.below(256), randomBytes(random, random.below(20))), 1),
  // The version is the first element of every frame.
  (random, message) => inserted(message, message[0] === 0xdc ? 3 : 1, Buffer.of(random.below(256)), 1),
]

const json: readonly Mutation[] = [
  ...common,
  (random, message) => inserted(message, place(random, message), random.pick(jsonPieces)!, random.below(8)),
  (random, message) => {
    const text = message.toString()
    const values = [...text.matchAll(/(?<=[:[,])("[^"]*"|[-\d.]+|true|false|null)/g)]
    const value = random.pick(values)
    const piece = random.pick(jsonPieces)!
    if (value === undefined) return piece
    return Buffer.from(text.slice(0, value.index) + piece.toString() + text.slice(value.index + value[0].length))
  },
]

/** One real message, damaged in one way or in two. */
export function mutated(random: SeededRandom, messages: readonly Buffer[], form: 'binary' | 'json'): Buffer {
  const ways = form === 'binary' ? binary : json
  const any = () => random.pick(messages) ?? Buffer.alloc(0)
  const once = random.pick(ways)!(random, any(), any())
  return random.chance(0.2) ? random.pick(ways)!(random, once, any()) : once
}
