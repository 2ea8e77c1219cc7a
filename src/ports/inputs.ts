import { HoldfastError } from '../protocol/errors.ts'
import type { Reading } from './reading.ts'

/**
 * Streams that others fill and tasks read: messages with sequences, kept by a server.
 *
 * I1. A reading gives the messages from its first sequence on that match, in the order of the stream, each once: none that the stream holds
 *     is left out, and it goes on with those that come later.
 * I2. It ends by throwing alone: `RETRY` when it was interrupted (begin another behind the last message), `NOT_FOUND` where the stream is
 *     gone, `INVALID` where it cannot be read. After `close` it gives `undefined`.
 * I3. What waits here to be read is bounded in messages and bytes: the reader sets the pace.
 * I4. `info` is as the stream's leader has it. Who compares `created` learns of a stream that was deleted and made again.
 */
export interface Inputs {
  /** Whether there are streams here at all; where not, all else throws `INVALID`. */
  readonly streams: boolean
  /** `null`: there is no such stream. Throws `RETRY` while it cannot be asked, `INVALID` where a task cannot read it. */
  info(stream: string): Promise<InputInfo | null>
  read(options: InputOptions): InputReading
  close(): Promise<void>
}

export interface InputInfo {
  /** When the stream was made, as a text that another stream of the name does not have. */
  readonly created: string
  /** Lowest sequence still kept, `last + 1` where there is none. */
  readonly first: number
  /** Highest sequence ever given, 0 for none. */
  readonly last: number
}

export interface InputOptions {
  readonly stream: string
  /** Only messages with such subjects. Default: all. */
  readonly filter?: string
  /** First sequence that is wanted, from 1; there need not be a message of that number. */
  readonly from: number
}

export type InputReading = Reading<InputMessage>

export interface InputMessage {
  readonly seq: number
  readonly subject: string
  readonly data: Uint8Array
  /** None where the message has some that cannot be read. */
  readonly headers: Readonly<Record<string, string>>
  /** When the stream took it, ms since 1970. */
  readonly at: number
}

/** Where there are no streams. */
export const noStreams: Inputs = {
  streams: false,
  info: () => Promise.reject(withoutStreams()),
  read: () => ({ next: () => Promise.reject(withoutStreams()), close() {} }),
  close: () => Promise.resolve(),
}

const withoutStreams = () =>
  new HoldfastError(
    'INVALID',
    'there are no streams here, as this node has no NATS server: give the task a plain subject as its input, or run the node on NATS',
  )
