/**
 * JSON that anybody may have sent, from bytes.
 *
 * T1. It is weighed before it is parsed, as values are (`maxWeight`): a megabyte of small objects would block the process for a long
 *     time, and the parser cannot be stopped.
 * T2. Ill-formed UTF-8 is refused, not mended.
 */
import { keyWeight, maxWeight, partWeight } from './value-format.ts'

/** What `JSON.parse` gives. Throws whatever it throws, and for what T1 and T2 refuse: the caller says what that means. */
export function parseJsonText(bytes: Uint8Array, most = maxWeight): unknown {
  if (isTooHeavy(bytes, most)) {
    throw new RangeError('it has too many parts: send fewer items and keys at a time, or large ones as bytes')
  }
  return JSON.parse(utf8.decode(bytes))
}

/**
 * A JSON object that says of which format it is. Throws what `malformed` gives where it is none, of another format, or what `parseJsonText`
 * refuses.
 */
export function parseFormatted(
  bytes: Uint8Array,
  format: number,
  malformed: (what: string, cause?: unknown) => Error,
): { readonly [field: string]: unknown } {
  let json: unknown
  try {
    json = parseJsonText(bytes)
  } catch (cause) {
    throw malformed('JSON', cause)
  }
  if (typeof json !== 'object' || json === null || (json as { format?: unknown }).format !== format) {
    throw malformed('format')
  }
  return json as { readonly [field: string]: unknown }
}

/** Whether a reader would refuse it (T1). */
export const isTooHeavy = (bytes: Uint8Array, most = maxWeight): boolean =>
  // No byte weighs more than a key's.
  bytes.length * keyWeight > most && weightOf(bytes, most) > most

const utf8 = new TextDecoder('utf-8', { fatal: true })

const quote = 0x22
const backslash = 0x5c

const weights = new Uint8Array(256)
weights[0x2c] = 1 // ,
weights[0x3a] = keyWeight
weights[0x5b] = partWeight // [
weights[0x7b] = partWeight // {

/** Stops where it is more than `most`. A byte of a text of several bytes is never taken for a sign: those are below 0x80. */
function weightOf(bytes: Uint8Array, most: number): number {
  let weight = 1
  for (let i = 0; i < bytes.length && weight <= most; i++) {
    const byte = bytes[i]!
    if (byte !== quote) {
      weight += weights[byte]!
      continue
    }
    for (i++; i < bytes.length && bytes[i] !== quote; i++) if (bytes[i] === backslash) i++
  }
  return weight
}
