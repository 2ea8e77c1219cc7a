/**
 * Values: what inputs, results and states are made of. JSON, and Uint8Array, bigint and Date.
 *
 * V1. A value that was encoded comes back equal, and so does one that went through its JSON form.
 * V2. The same value gives the same bytes. Objects keep the order of their keys: two that differ in it have different bytes.
 * V3. Numbers are finite; -0 is written as 0. A bigint has at most 1,024 bits and is never mistaken for a number.
 * V4. Texts and keys are well-formed Unicode. The key `__proto__` is refused on every way in.
 * V5. As in JSON, properties that are undefined, or that symbols name, are left out. Undefined in an array is refused, a hole too.
 * V6. Classes, functions, symbols, Map, Set, and what holds itself are refused, with the path to it, and never changed on the way.
 *     Any Uint8Array comes back as a plain Uint8Array. Of an array only the items count.
 * V7. At most 100 levels deep and 64 MiB long, where an array or object counts 16 bytes at least. An input, which anybody may send, weighs
 *     at most `maxWeight`: 1 for each item, 4 more for an array, an object, bytes, a date or a large bigint, 8 more for each key.
 * V8. Bytes are msgpack: nil, bool, int, float 64, str, bin, array, map with keys that are text; int 64 and uint 64 stand for a
 *     bigint only, extension `B` (0x42) for a larger one, extension -1 (timestamp) for a Date.
 * V9. msgpackr packs and unpacks them, between a check of each value and a scan of all bytes, since it does neither
 *     (`value-bytes.ts`). Plain ones, which most are, are checked and written, or read, in one walk, with the same outcome
 *     (`plain-write.ts`, `plain-read.ts`).
 *
 * JSON forms:
 *
 * | value | JSON |
 * |---|---|
 * | Uint8Array | `{"$bytes": "<base64, padded>"}` |
 * | bigint | `{"$bigint": "-123"}` |
 * | Date | `{"$date": "2026-01-31T12:00:00.000Z"}` |
 * | an object whose only key is `$bytes`, `$bigint`, `$date` or `$object` | `{"$object": {…}}`, the object as it is inside |
 * | all else | itself |
 */
import { readValue, writeValue } from './value-bytes.ts'
import { maxWeight, type Value } from './value-format.ts'

export type { Value }
export { fromJson, toJson } from './value-json.ts'

/**
 * The bytes of a value; `undefined` as the whole value counts as null. Throws `INVALID`, with `path`, for anything that is not a
 * value. Small results are views into a shared block: copy what is kept for long, and never write to them.
 */
export const encodeValue = (value: unknown): Uint8Array => writeValue(value)

/** The value of bytes that anybody may have sent. Throws `INVALID` for all that `encodeValue` cannot mean. */
export const decodeValue = (bytes: Uint8Array): Value => readValue(bytes)

/** The same for an input of a command or query: it may not weigh too much, either (V7). */
export const decodeInput = (bytes: Uint8Array): Value => readValue(bytes, false, maxWeight)
