/**
 * Streams kept in memory by a server that nodes reach over links (I1–I4 of the Inputs port), for tests and the simulator.
 */
import type { InputInfo, InputMessage, InputOptions, InputReading, Inputs } from '../../ports/inputs.ts'
import type { Clock } from '../../ports/clock.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import type { Link } from './link.ts'
import { Changes, MemoryReading } from './reading.ts'
import { RequestLost, Requests } from './requests.ts'

/** Messages that one answer carries at most. */
const pageMessages = 64

interface Stream {
  readonly created: string
  first: number
  /** By sequence − `first`. */
  messages: InputMessage[]
}

export interface InputsConnectOptions {
  readonly link: Link
  /** Of the node. */
  readonly clock: Clock
  /** Default 2,000. */
  readonly timeoutMs?: number
}

export class MemoryStreams {
  readonly #clock: Clock
  readonly #streams = new Map<string, Stream>()
  readonly changes = new Changes()
  #made = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Makes a stream, in place of the one of this name if there is one. */
  create(name: string): void {
    this.#streams.set(name, { created: `stream ${++this.#made}`, first: 1, messages: [] })
    this.changes.tell()
  }

  remove(name: string): void {
    this.#streams.delete(name)
    this.changes.tell()
  }

  /** Stores a message and gives its sequence. */
  add(name: string, subject: string, data: Uint8Array, headers: Readonly<Record<string, string>> = {}): number {
    const stream = this.#streams.get(name)
    if (stream === undefined) throw new Error(`there is no stream ${name}`)
    const seq = stream.first + stream.messages.length
    stream.messages.push({ seq, subject, data: new Uint8Array(data), headers, at: Math.floor(this.#clock.now()) })
    this.changes.tell()
    return seq
  }

  /** Removes the oldest messages, up to before `first`. */
  trim(name: string, first: number): void {
    const stream = this.#streams.get(name)
    if (stream === undefined || first <= stream.first) return
    stream.messages = stream.messages.slice(first - stream.first)
    stream.first = first
  }

  /** The disaster that a power cut is to a server that does not sync: the newest messages are gone. */
  truncate(name: string, last: number): void {
    const stream = this.#streams.get(name)
    if (stream !== undefined) stream.messages = stream.messages.slice(0, last - stream.first + 1)
  }

  connect(options: InputsConnectOptions): Inputs {
    return new MemoryInputs(this, options)
  }

  info(name: string): InputInfo | null {
    const stream = this.#streams.get(name)
    if (stream === undefined) return null
    return { created: stream.created, first: stream.first, last: stream.first + stream.messages.length - 1 }
  }

  page(name: string, from: number, filter: string | undefined): readonly InputMessage[] {
    const stream = this.#streams.get(name)
    if (stream === undefined) throw new HoldfastError('NOT_FOUND', `there is no stream ${name}`)
    const matching = stream.messages.filter(({ seq, subject }) => seq >= from && matches(filter, subject))
    return matching.slice(0, pageMessages).map((message) => ({ ...message, data: message.data.slice() }))
  }
}

class MemoryInputs implements Inputs {
  readonly streams = true
  readonly #server: MemoryStreams
  readonly #link: Link
  readonly #requests: Requests

  constructor(server: MemoryStreams, { link, clock, timeoutMs = 2_000 }: InputsConnectOptions) {
    this.#server = server
    this.#link = link
    this.#requests = new Requests({ link, clock, timeoutMs })
  }

  info(stream: string): Promise<InputInfo | null> {
    return this.#ask(() => this.#server.info(stream))
  }

  read(options: InputOptions): InputReading {
    const { stream, filter, from } = options
    return new MemoryReading({
      link: this.#link,
      ask: (serve) => this.#ask(serve),
      from,
      page: (next) => this.#server.page(stream, next, filter),
      identity: () => this.#server.info(stream)?.created,
      changes: this.#server.changes,
    })
  }

  close(): Promise<void> {
    this.#requests.close()
    return Promise.resolve()
  }

  async #ask<T>(serve: () => T): Promise<T> {
    try {
      return await this.#requests.ask(serve)
    } catch (error) {
      if (!(error instanceof RequestLost)) throw error
      throw new HoldfastError('RETRY', `the stream did not answer (${messageOf(error)})`, { cause: error })
    }
  }
}

/** As subjects match in NATS. */
function matches(filter: string | undefined, subject: string): boolean {
  if (filter === undefined) return true
  const [wanted, tokens] = [filter.split('.'), subject.split('.')]
  for (const [i, token] of wanted.entries()) {
    if (token === '>') return tokens.length > i
    if (tokens[i] === undefined || (token !== '*' && token !== tokens[i])) return false
  }
  return wanted.length === tokens.length
}
