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

/** What the block of headers begins with; it ends with an empty line. */
export const headersBegin = 'NATS/1.0\r\n'
export const headersEnd = '\r\n'

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
  #block = Buffer.allocUnsafeSlow(blockBytes)
  /** What was given to nats.js ends here. */
  #begin = 0
  #end = 0
  #scheduled = false

  /** `sink` is called with bytes of whole messages. */
  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink
  }

  /** Bytes that nats.js has not got yet. */
  get pending(): number {
    return this.#end - this.#begin
  }

  /** Subjects are checked, and ASCII unless they are not; `headers` is a whole block of them, or nothing. */
  publish(subject: string, data: Uint8Array, reply = '', headers = ''): void {
    const headerBytes = headers.length === 0 ? 0 : Buffer.byteLength(headers)
    const size = headerBytes + data.length
    this.#makeRoom(lineBytes + 3 * (subject.length + reply.length) + size)
    this.#text(headerBytes === 0 ? 'PUB ' : 'HPUB ')
    this.#text(subject)
    this.#text(' ')
    if (reply.length > 0) {
      this.#text(reply)
      this.#text(' ')
    }
    if (headerBytes > 0) {
      this.#number(headerBytes)
      this.#text(' ')
    }
    this.#number(size)
    this.#text('\r\n')
    if (headerBytes > 0) this.#text(headers)
    this.#block.set(data, this.#end)
    this.#end += data.length
    this.#text('\r\n')
    if (this.pending >= enoughBytes) this.pushOut()
    else if (!this.#scheduled) {
      this.#scheduled = true
      queueMicrotask(this.#pushLater)
    }
  }

  /** Gives nats.js all that was published (B2). */
  pushOut(): void {
    if (this.#end === this.#begin) return
    const bytes = this.#block.subarray(this.#begin, this.#end)
    this.#begin = this.#end
    this.#sink(bytes)
  }

  /** Forgets what nats.js has not got. */
  clear(): void {
    this.#begin = this.#end
  }

  #makeRoom(bytes: number): void {
    if (this.#end + bytes <= this.#block.length) return
    this.pushOut()
    this.#block = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes))
    this.#begin = this.#end = 0
  }

  /** Short ASCII is written faster byte by byte than by a call out of the engine. */
  #text(text: string): void {
    const { length } = text
    if (length > longText) {
      this.#end += this.#block.write(text, this.#end)
      return
    }
    const block = this.#block
    let at = this.#end
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) {
        this.#end += block.write(text, this.#end)
        return
      }
      block[at++] = code
    }
    this.#end = at
  }

  #number(n: number): void {
    let digits = 1
    for (let limit = 10; n >= limit; limit *= 10) digits++
    let rest = n
    for (let at = this.#end + digits - 1; at >= this.#end; at--) {
      this.#block[at] = 0x30 + (rest % 10)
      rest = Math.floor(rest / 10)
    }
    this.#end += digits
  }
}

const longText = 48

/** Header lines as a block that `publish` takes. Names and values must have been checked. */
export const headerBlock = (lines: string): string => headersBegin + lines + headersEnd
