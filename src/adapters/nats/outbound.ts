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
import type { Headers } from '../../ports/transport.ts'
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

  /** Subjects and headers must have been checked. */
  publish(subject: string, data: Uint8Array, reply = '', headers?: Headers): void {
    const headerBytes = headers === undefined ? 0 : headerBlockBytes(headers)
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
    if (headers !== undefined && headerBytes > 0) writeHeaders(block, headers)
    block.raw(data)
    block.text('\r\n')
    if (this.pending >= enoughBytes) this.pushOut()
    else if (!this.#scheduled) {
      this.#scheduled = true
      // After all microtasks, which are replies and changes of one record, say.
      process.nextTick(this.#pushLater)
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

const firstLine = 'NATS/1.0\r\n'

/** Bytes of the block that headers are in a message; 0 where there are none. */
export function headerBlockBytes(headers: Headers): number {
  let bytes = 0
  for (const name in headers) {
    if (Object.hasOwn(headers, name)) bytes += name.length + bytesOf(headers[name]!) + ': \r\n'.length
  }
  return bytes === 0 ? 0 : firstLine.length + bytes + '\r\n'.length
}

function writeHeaders(block: TextWriter, headers: Headers): void {
  block.text(firstLine)
  for (const name in headers) {
    if (!Object.hasOwn(headers, name)) continue
    block.text(name)
    block.text(': ')
    block.text(headers[name]!)
    block.text('\r\n')
  }
  block.text('\r\n')
}

/** As UTF-8. */
function bytesOf(text: string): number {
  const { length } = text
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) > 0x7f) return Buffer.byteLength(text)
  return length
}
