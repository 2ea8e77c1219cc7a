/**
 * Many pieces of bytes as one: frames and records hold theirs side by side, and their lengths where they belong. msgpackr takes as
 * long to write one small piece as ten numbers, and no longer for one that holds them all.
 */

/** All pieces, one after the other. */
export const joinPieces = (pieces: readonly Uint8Array[]): Uint8Array => Buffer.concat(pieces)

/** Cuts bytes into the pieces that they were joined from, in order. */
export class PieceCutter {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** The next piece, a view; `undefined` where it would go past the end. */
  next(length: number): Uint8Array | undefined {
    const at = this.#at
    if (length > this.#bytes.length - at) return undefined
    this.#at += length
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length)
  }

  /** Whether nothing is left. */
  get done(): boolean {
    return this.#at === this.#bytes.length
  }
}
