/**
 * The JSON text of a value, written from the value's bytes straight to JSON's bytes: what an owner does for every change of every actor.
 *
 * Texts, whole numbers and containers, which is what states are made of, are copied or written without becoming JavaScript values on the
 * way. What has a form of its own in JSON (values.ts) is left to `toJson`: then the answer is false, and what was written so far is to be
 * forgotten.
 *
 * B1. What is written is what `JSON.stringify(toJson(decodeValue(bytes)))` gives, byte for byte.
 * B2. The bytes are a value's that was encoded or decoded before (`readValue`): they are not checked again.
 * B3. Six bytes of room for each byte of the value are enough.
 */
import { writeUtf8 } from './native-text.ts'
import type { TextWriter } from './text-writer.ts'

/** Bytes of room that the JSON of a value may take (B3). */
export const jsonRoom = (valueBytes: number): number => 6 * valueBytes + 8

const quote = 0x22
const backslash = 0x5c
const dollar = 0x24
/** Longer texts are looked through and copied by the engine. */
const shortText = 256

let source: Uint8Array
let from = 0
let json: TextWriter

/** Writes the JSON of a value, for which there must be room (B3); false where it is to be written otherwise. */
export function writeJson(value: Uint8Array, into: TextWriter): boolean {
  source = value
  from = 0
  json = into
  return write()
}

function write(): boolean {
  const head = source[from++]!
  if (head < 0x80) return natural(head)
  if (head < 0x90) return map(head & 0x0f)
  if (head < 0xa0) return list(head & 0x0f)
  if (head < 0xc0) return text(head & 0x1f)
  if (head >= 0xe0) return negative(0x100 - head)
  switch (head) {
    case 0xc0:
      return literal('null')
    case 0xc2:
      return literal('false')
    case 0xc3:
      return literal('true')
    case 0xcb:
      return float()
    case 0xcc:
      return natural(unsigned(1))
    case 0xcd:
      return natural(unsigned(2))
    case 0xce:
      return natural(unsigned(4))
    case 0xd0:
      return signed(1)
    case 0xd1:
      return signed(2)
    case 0xd2:
      return signed(4)
    case 0xd9:
      return text(unsigned(1))
    case 0xda:
      return text(unsigned(2))
    case 0xdb:
      return text(unsigned(4))
    case 0xdc:
      return list(unsigned(2))
    case 0xdd:
      return list(unsigned(4))
    case 0xde:
      return map(unsigned(2))
    case 0xdf:
      return map(unsigned(4))
    default:
      return false
  }
}

function unsigned(bytes: number): number {
  let n = 0
  for (let i = 0; i < bytes; i++) n = n * 0x100 + source[from++]!
  return n
}

function signed(bytes: number): boolean {
  const n = unsigned(bytes)
  const end = 2 ** (8 * bytes)
  return n < end / 2 ? natural(n) : negative(end - n)
}

function negative(n: number): boolean {
  json.bytes[json.at++] = 0x2d
  return natural(n)
}

function natural(n: number): boolean {
  json.decimal(n)
  return true
}

function float(): boolean {
  const n = new DataView(source.buffer, source.byteOffset + from).getFloat64(0)
  from += 8
  return literal(String(n === 0 ? 0 : n))
}

function literal(ascii: string): boolean {
  json.text(ascii)
  return true
}

function text(length: number): boolean {
  const [bytes, into] = [source, json.bytes]
  const end = from + length
  let at = json.at
  into[at++] = quote
  if (length <= shortText) {
    for (let i = from; i < end; i++) {
      const byte = bytes[i]!
      if (byte < 0x20 || byte === quote || byte === backslash) return escaped(end)
      into[at++] = byte
    }
  } else {
    const plain = asBuffer(from, end)
    if (special.test(plain.toString('latin1'))) return escaped(end)
    into.set(plain, at)
    at += length
  }
  into[at++] = quote
  json.at = at
  from = end
  return true
}

// oxlint-disable-next-line no-control-regex -- these are what JSON escapes
const special = /["\\\u0000-\u001F]/

function escaped(end: number): boolean {
  json.at += writeUtf8(json.bytes, JSON.stringify(asBuffer(from, end).toString()), json.at)
  from = end
  return true
}

const asBuffer = (begin: number, end: number): Buffer =>
  Buffer.from(source.buffer, source.byteOffset + begin, end - begin)

function list(length: number): boolean {
  json.bytes[json.at++] = 0x5b
  for (let i = 0; i < length; i++) {
    if (i > 0) json.bytes[json.at++] = 0x2c
    if (!write()) return false
  }
  json.bytes[json.at++] = 0x5d
  return true
}

function map(length: number): boolean {
  json.bytes[json.at++] = 0x7b
  for (let i = 0; i < length; i++) {
    if (i > 0) json.bytes[json.at++] = 0x2c
    // A key that stands alone and begins so may be a form, or have to be told from one.
    const key = json.at + 1
    if (!write() || (length === 1 && json.bytes[key] === dollar)) return false
    json.bytes[json.at++] = 0x3a
    if (!write()) return false
  }
  json.bytes[json.at++] = 0x7d
  return true
}
