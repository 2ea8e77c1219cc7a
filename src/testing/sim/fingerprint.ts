/**
 * A fingerprint of a run: everything that happened, in its order, as one number of 64 bits. Two runs that differ anywhere have, but for a
 * chance of one in 2^64, another one; so the same seed has the same fingerprint as long as nothing of a run comes from outside of it.
 *
 * Two lanes of 32 bits, each a chain of multiplications. Against mistakes, not against enemies.
 */
const float = new Float64Array(1)
const halves = new Uint32Array(float.buffer)

export class Fingerprint {
  #a = 0x811c9dc5
  #b = 0x9e3779b9

  number(value: number): void {
    float[0] = value
    this.#word(halves[0]!)
    this.#word(halves[1]!)
  }

  text(value: string): void {
    this.#word(value.length)
    for (let i = 0; i < value.length; i++) this.#word(value.charCodeAt(i))
  }

  bytes(value: Uint8Array): void {
    const { length } = value
    this.#word(length)
    let i = 0
    for (; i + 4 <= length; i += 4) {
      this.#word(value[i]! | (value[i + 1]! << 8) | (value[i + 2]! << 16) | (value[i + 3]! << 24))
    }
    for (; i < length; i++) this.#word(value[i]!)
  }

  /** 16 hexadecimal digits. */
  toString(): string {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('')
  }

  #word(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x01000193)
    this.#a ^= this.#a >>> 15
    this.#b = Math.imul((this.#b ^ word) + 0x7f4a7c15, 0x2c1b3c6d)
    this.#b ^= this.#b >>> 13
  }
}
