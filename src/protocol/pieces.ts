/**
 * Many pieces of bytes as one: frames and records hold theirs side by side, and their lengths where they belong. msgpackr takes as
 * long to write one small piece as ten numbers, and no longer for one that holds them all.
 */
import { smallBytes } from './own-bytes.ts'

/** Most inputs and replies are one byte: there are not many of these. Nobody writes to a piece. */
const singles: readonly Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))

/** All pieces, one after the other. */
export const joinPieces = (pieces: readonly Uint8Array[]): Uint8Array => Buffer.concat(pieces)

/** Cuts bytes into the pieces that they were joined from, in order. */
export class PieceCutter {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** The next piece, a view unless it is small (own-bytes.ts); `undefined` where it would go past the end. */
  next(length: number): Uint8Array | undefined {
    const at = this.#at
    if (length > this.#bytes.length - at) return undefined
    this.#at += length
    if (length === 1) return singles[this.#bytes[at]!]
    if (length <= smallBytes) {
      const piece = new Uint8Array(length)
      for (let i = 0; i < length; i++) piece[i] = this.#bytes[at + i]!
      return piece
    }
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length)
  }

  /** Whether nothing is left. */
  get done(): boolean {
    return this.#at === this.#bytes.length
  }
}
