/**
 * What a connection has to say in one tick, as one piece of bytes.
 *
 * nats.js takes a few microseconds for each message, most of them for objects and buffers that live as long as the call. A node
 * publishes a message for each change: so the lines of the protocol are written here, side by side, and nats.js gets them whole.
 *
 * B1. What is published in one tick goes to nats.js at its end, or when the block is full, in the order of the calls.
 * B2. Whatever else is said to nats.js comes after it: call `pushOut` before.
 * B3. No byte of a block is written twice: nats.js and the socket read from it later.
 * B4. Bytes given to `publish` are copied at once.
 */
import { TextWriter } from '../../protocol/text-writer.ts'

const blockBytes = 256 * 1_024
/** So much is given to nats.js before the tick is over. */
const enoughBytes = 64 * 1_024
/** Of a line beside its subjects: the verb, spaces, two numbers, line ends; and the end of the message. */
const lineBytes = 48

export class Outbound {
  readonly #sink: (bytes: Uint8Array) => void
  readonly #pushLater = () => {
    this.#scheduled = false
    this.pushOut()
  }
  #block = new TextWriter(blockBytes)
  /** What was given to nats.js ends here. */
  #begin = 0
  #scheduled = false

  /** `sink` is called with bytes of whole messages. */
  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink
  }

  /** Bytes that nats.js has not got yet. */
  get pending(): number {
    return this.#block.at - this.#begin
  }

  /** Subjects must have been checked; `headers` is a whole block of them, or nothing. */
  publish(subject: string, data: Uint8Array, reply = '', headers = ''): void {
    const headerBytes = headers.length === 0 ? 0 : Buffer.byteLength(headers)
    const size = headerBytes + data.length
    const block = this.#withRoom(lineBytes + 3 * (subject.length + reply.length) + size)
    block.text(headerBytes === 0 ? 'PUB ' : 'HPUB ')
    block.text(subject)
    block.text(' ')
    if (reply.length > 0) {
      block.text(reply)
      block.text(' ')
    }
    if (headerBytes > 0) {
      block.decimal(headerBytes)
      block.text(' ')
    }
    block.decimal(size)
    block.text('\r\n')
    if (headerBytes > 0) block.text(headers)
    block.raw(data)
    block.text('\r\n')
    if (this.pending >= enoughBytes) this.pushOut()
    else if (!this.#scheduled) {
      this.#scheduled = true
      queueMicrotask(this.#pushLater)
    }
  }

  /** Gives nats.js all that was published (B2). */
  pushOut(): void {
    const { bytes, at } = this.#block
    if (at === this.#begin) return
    const begin = this.#begin
    this.#begin = at
    this.#sink(bytes.subarray(begin, at))
  }

  /** Forgets what nats.js has not got. */
  clear(): void {
    this.#begin = this.#block.at
  }

  #withRoom(bytes: number): TextWriter {
    if (bytes <= this.#block.room) return this.#block
    this.pushOut()
    this.#begin = 0
    return (this.#block = new TextWriter(Math.max(blockBytes, bytes)))
  }
}

/** Header lines as a block that `publish` takes; it ends with an empty line. Names and values must have been checked. */
export const headerBlock = (lines: string): string => `NATS/1.0\r\n${lines}\r\n`
