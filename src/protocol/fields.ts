/**
 * msgpack field by field, for what has a fixed shape: frames and records, which an owner writes and reads for every command.
 *
 * msgpackr makes a value of everything first: an array of thousands of fields to check, to pack, to unpack and to check again. Here each
 * field goes from where it is to where it belongs. The bytes are the same.
 *
 * D1. What a writer writes is what `writeValue` writes for the same fields: the shortest form of each.
 * D2. A reader takes what the fields may be and throws its own error for all else, also for bytes that are missing or left over. It reads
 *     no byte outside of what it was given, and takes memory in proportion to that.
 * D3. Texts are well-formed UTF-8. Whole numbers are from 0 to 2^53 − 1, in any form in which msgpack can have them, but int 64.
 * D4. Bytes that were read are views of what they were read from; those of a writer are its caller's own.
 */
import { isUtf8 } from 'node:buffer'
import { HoldfastError } from './errors.ts'
import { writeUtf8 } from './native-text.ts'

const word = 0x1_0000_0000
const nil = 0xc0
const no = 0xc2
const float64 = 0xcb

/** Texts up to this length are written and read byte by byte: the call of a native function would take longer. */
const shortText = 31
/** Longer ones are written faster by a call: it takes as long as twenty characters. */
const longText = 20

/** Of one field beside its text or bytes, at most. */
const headBytes = 9

export class FieldWriter {
  #bytes = Buffer.allocUnsafeSlow(64 * 1_024)
  #at = 0

  /** Begins anew. */
  begin(): this {
    this.#at = 0
    return this
  }

  /** All that was written since `begin`. */
  take(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(0, this.#at))
  }

  list(length: number): void {
    this.#room(headBytes)
    if (length < 16) this.#bytes[this.#at++] = 0x90 | length
    else if (length < 0x1_0000) this.#head(0xdc, length, 2)
    else this.#head(0xdd, length, 4)
  }

  nil(): void {
    this.#room(1)
    this.#bytes[this.#at++] = nil
  }

  no(): void {
    this.#room(1)
    this.#bytes[this.#at++] = no
  }

  /** A whole number from 0 to 2^53 − 1. Throws `INVALID` for a larger one, which no reader would take. */
  natural(n: number): void {
    this.#room(headBytes)
    if (n < 0x80) this.#bytes[this.#at++] = n
    else if (n < 0x100) this.#head(0xcc, n, 1)
    else if (n < 0x1_0000) this.#head(0xcd, n, 2)
    else if (n < word) this.#head(0xce, n, 4)
    else {
      if (!Number.isSafeInteger(n)) throw new HoldfastError('INVALID', `${n} is too large a number to be sent`)
      this.#bytes[this.#at] = float64
      this.#bytes.writeDoubleBE(n, this.#at + 1)
      this.#at += 9
    }
  }

  /** Throws `INVALID` for a lone surrogate, for which UTF-8 has no bytes. */
  text(text: string): void {
    const { length } = text
    this.#room(headBytes + 3 * length)
    if (length <= longText) {
      const bytes = this.#bytes
      const begin = this.#at + 1
      let at = begin
      while (at - begin < length) {
        const code = text.charCodeAt(at - begin)
        if (code > 0x7f) return this.#longText(text)
        bytes[at++] = code
      }
      bytes[this.#at] = 0xa0 | length
      this.#at = at
    } else this.#longText(text)
  }

  #longText(text: string): void {
    if (!text.isWellFormed()) {
      throw new HoldfastError('INVALID', 'a text with a lone surrogate cannot be sent: make it well-formed Unicode')
    }
    const length = Buffer.byteLength(text)
    if (length < 32) this.#bytes[this.#at++] = 0xa0 | length
    else if (length < 0x100) this.#head(0xd9, length, 1)
    else if (length < 0x1_0000) this.#head(0xda, length, 2)
    else this.#head(0xdb, length, 4)
    this.#at += writeUtf8(this.#bytes, text, this.#at)
  }

  bytes(bytes: Uint8Array): void {
    this.bytesHead(bytes.length)
    this.piece(bytes)
  }

  /** Bytes that are to be written with `piece`, in one or several parts. */
  bytesHead(length: number): void {
    this.#room(headBytes + length)
    if (length < 0x100) this.#head(0xc4, length, 1)
    else if (length < 0x1_0000) this.#head(0xc5, length, 2)
    else this.#head(0xc6, length, 4)
  }

  piece(bytes: Uint8Array): void {
    const { length } = bytes
    if (length < 16) for (let i = 0; i < length; i++) this.#bytes[this.#at + i] = bytes[i]!
    else this.#bytes.set(bytes, this.#at)
    this.#at += length
  }

  #head(head: number, n: number, size: 1 | 2 | 4): void {
    const bytes = this.#bytes
    let at = this.#at
    bytes[at++] = head
    for (let shift = 8 * (size - 1); shift >= 0; shift -= 8) bytes[at++] = n >>> shift
    this.#at = at
  }

  #room(more: number): void {
    const wanted = this.#at + more
    if (wanted <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, 2 * this.#bytes.length))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
  }
}

const codes = Array.from({ length: shortText + 1 }, (_, length) => new Array<number>(length).fill(0))

export class FieldReader {
  readonly #bytes: Uint8Array
  readonly #refuse: (what: string) => Error
  readonly #end: number
  #at = 0

  /** `refuse` makes the error for what is not as it should be. */
  constructor(bytes: Uint8Array, refuse: (what: string) => Error) {
    this.#bytes = bytes
    this.#end = bytes.length
    this.#refuse = refuse
  }

  get done(): boolean {
    return this.#at === this.#end
  }

  /** The number of its items. `what` names it in what is refused. */
  list(what = 'list'): number {
    const head = this.#head(what)
    let length: number
    if (head >= 0x90 && head < 0xa0) length = head & 0x0f
    else if (head === 0xdc) length = this.#unsigned(2)
    else if (head === 0xdd) length = this.#unsigned(4)
    else throw this.#refuse(what)
    // Each item has a byte at least (D2).
    if (length > this.#end - this.#at) throw this.#refuse(what)
    return length
  }

  /** Whether the next field is a short list; it is still to be read. */
  isList(): boolean {
    return this.#at < this.#end && (this.#bytes[this.#at]! & 0xf0) === 0x90
  }

  /** True, and past it, where the next field is nil. */
  nil(): boolean {
    return this.#is(nil)
  }

  /** True, and past it, where the next field is false. */
  no(): boolean {
    return this.#is(no)
  }

  natural(): number {
    const head = this.#head('number')
    if (head < 0x80) return head
    switch (head) {
      case 0xcc:
        return this.#unsigned(1)
      case 0xcd:
        return this.#unsigned(2)
      case 0xce:
        return this.#unsigned(4)
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const size = (1 << (head - 0xd0)) as 1 | 2 | 4
        const n = this.#unsigned(size)
        if (n < 2 ** (8 * size - 1)) return n
        break
      }
      case float64: {
        this.#has(8)
        const n = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at).getFloat64(0)
        this.#at += 8
        if (Number.isSafeInteger(n) && n >= 0) return n === 0 ? 0 : n
      }
    }
    throw this.#refuse('number')
  }

  /** `like`: a text that it may well be, which is then not made again. */
  text(like?: string): string {
    const head = this.#head('text')
    let length: number
    if (head >= 0xa0 && head < 0xc0) length = head & 0x1f
    else if (head === 0xd9) length = this.#unsigned(1)
    else if (head === 0xda) length = this.#unsigned(2)
    else if (head === 0xdb) length = this.#unsigned(4)
    else throw this.#refuse('text')
    this.#has(length)
    const at = this.#at
    this.#at += length
    if (like?.length === length && this.#reads(like, at)) return like
    return length <= shortText ? this.#shortText(at, length) : this.#longText(at, length)
  }

  bytes(length?: number): Uint8Array {
    const head = this.#head('bytes')
    const size = head === 0xc4 ? 1 : head === 0xc5 ? 2 : head === 0xc6 ? 4 : undefined
    const actual = size === undefined ? -1 : this.#unsigned(size)
    if (actual < 0 || (length !== undefined && actual !== length)) throw this.#refuse('bytes')
    this.#has(actual)
    const at = this.#at
    this.#at += actual
    return this.#view(at, actual)
  }

  #view(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length)
  }

  #reads(text: string, at: number): boolean {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      // Of ASCII alone each character is one byte, and the same.
      if (code > 0x7f || this.#bytes[at + i] !== code) return false
    }
    return true
  }

  #shortText(at: number, length: number): string {
    const into = codes[length]!
    for (let i = 0; i < length; i++) {
      const code = this.#bytes[at + i]!
      if (code > 0x7f) return this.#longText(at, length)
      into[i] = code
    }
    return String.fromCharCode.apply(undefined, into)
  }

  #longText(at: number, length: number): string {
    const view = this.#view(at, length)
    if (!isUtf8(view)) throw this.#refuse('text')
    return Buffer.from(view.buffer, view.byteOffset, length).toString('utf8')
  }

  #head(what: string): number {
    if (this.#at >= this.#end) throw this.#refuse(what)
    return this.#bytes[this.#at++]!
  }

  #is(head: number): boolean {
    if (this.#bytes[this.#at] !== head || this.#at >= this.#end) return false
    this.#at++
    return true
  }

  #unsigned(size: 1 | 2 | 4): number {
    this.#has(size)
    let n = 0
    for (let i = 0; i < size; i++) n = n * 0x100 + this.#bytes[this.#at++]!
    return n
  }

  #has(bytes: number): void {
    if (bytes > this.#end - this.#at) throw this.#refuse('length')
  }
}
