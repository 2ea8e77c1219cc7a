/**
 * Texts to bytes and back by the functions that Buffer's own `write` and `toString` come to, without what these do for every call: find out the
 * encoding, check numbers, be called on a Buffer. That takes as long as the work itself where texts are short.
 *
 * Who calls has made sure that there is room, and that the numbers lie within the bytes.
 */
interface Natives {
  /** Writes a well-formed text as UTF-8 from `at` on, into at most `length` bytes; says how many. */
  readonly utf8Write: (this: Uint8Array, text: string, at: number, length: number) => number
  /** The text of bytes that are ASCII. */
  readonly latin1Slice: (this: Uint8Array, start: number, end: number) => string
}

const { utf8Write, latin1Slice } = Buffer.prototype as unknown as Natives

export const writeUtf8 = (into: Uint8Array, text: string, at: number): number =>
  utf8Write.call(into, text, at, into.length - at)

export const asciiText = (from: Uint8Array, start: number, end: number): string => latin1Slice.call(from, start, end)
