/**
 * Text that is mostly ASCII, written byte by byte to where it is to be: lines of a protocol, JSON.
 *
 * A call out of the engine takes longer than writing a short text, and joining texts first makes one more of them: a node writes such
 * lines for every change of every actor.
 *
 * X1. Who writes has made room before (`room`): nothing is checked here.
 */

import { writeUtf8 } from './native-text.ts'

/** Longer texts are written faster by a call: it takes as long as twenty characters. */
const longText = 20

export class TextWriter {
  bytes: Buffer<ArrayBuffer>
  at = 0

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
  }

  /** Bytes that are left. */
  get room(): number {
    return this.bytes.length - this.at
  }

  /** As UTF-8: three bytes for each unit of it are enough. */
  text(text: string): void {
    const { length } = text
    const { bytes } = this
    let at = this.at
    if (length > longText) {
      this.at = at + writeUtf8(bytes, text, at)
      return
    }
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) {
        this.at += writeUtf8(bytes, text, this.at)
        return
      }
      bytes[at++] = code
    }
    this.at = at
  }

  /** A whole number from 0 in decimal digits: 16 bytes are enough. */
  decimal(n: number): void {
    const { bytes } = this
    let digits = 1
    for (let limit = 10; n >= limit; limit *= 10) digits++
    const end = this.at + digits
    let rest = n
    for (let at = end - 1; at >= this.at; at--) {
      const left = Math.floor(rest / 10)
      bytes[at] = 0x30 + rest - left * 10
      rest = left
    }
    this.at = end
  }

  /** A text as JSON has it: six bytes for each unit and two more are enough. */
  json(text: string): void {
    const { length } = text
    const { bytes } = this
    let at = this.at
    bytes[at++] = quote
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7e || code < 0x20 || code === quote || code === backslash) {
        this.at += writeUtf8(bytes, JSON.stringify(text), this.at)
        return
      }
      bytes[at++] = code
    }
    bytes[at++] = quote
    this.at = at
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
  }
}

const quote = 0x22
const backslash = 0x5c
