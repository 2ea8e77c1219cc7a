/**
 * The Inputs port over JetStream: any stream with limits retention, whoever made it.
 *
 * Nothing of a stream is changed here, and nothing stays at the server but a consumer in memory that ends by itself.
 */
import type { Msg } from '@nats-io/transport-node'
import type { InputInfo, InputMessage, InputOptions, InputReading, Inputs } from '../../ports/inputs.ts'
import type { Metric } from '../../ports/metrics.ts'
import { readableHeaders } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { apiErrors, failed, JetStream, object, type Delivery } from './jetstream.ts'
import type { Link } from './link.ts'
import { NatsMessage } from './message.ts'
import { Requests } from './requests.ts'
import { StreamReading } from './stream-reading.ts'

export class NatsInputs implements Inputs {
  readonly streams = true
  readonly #link: Link
  readonly #hold: { close(): Promise<void> }
  readonly #requests: Requests
  readonly #jetstream: JetStream

  constructor(link: Link) {
    this.#link = link
    this.#hold = link.hold()
    this.#requests = new Requests(link, 'inputs', link.settings.requestTimeoutMs)
    this.#jetstream = new JetStream(this.#requests)
  }

  async info(stream: string): Promise<InputInfo | null> {
    const question = `STREAM.INFO.${stream}`
    const { body, error } = await this.#jetstream.call(question)
    if (error?.number === apiErrors.streamNotFound) return null
    if (error !== undefined) throw failed(question, error)
    const { retention } = object(body['config'])
    if (retention !== 'limits') {
      throw new HoldfastError(
        'INVALID',
        `the stream ${stream} has ${String(retention)} retention, which removes what others have read: a task reads streams with limits retention`,
      )
    }
    const { first_seq: first, last_seq: last } = object(body['state'])
    const { created } = body
    if (typeof created !== 'string' || !Number.isSafeInteger(first) || !Number.isSafeInteger(last)) {
      throw new HoldfastError(
        'RETRY',
        `JetStream has answered ${question} with something that cannot be read; try again`,
      )
    }
    return { created, first: Math.max(first as number, 1), last: last as number }
  }

  read(options: InputOptions): InputReading {
    const { stream, filter, from } = options
    return new StreamReading(this.#link, this.#jetstream, { stream, filter, from, take: inputFrom })
  }

  metrics(): readonly Metric[] {
    return this.#requests.metrics()
  }

  async close(): Promise<void> {
    this.#requests.close()
    await this.#hold.close()
  }
}

function inputFrom(message: Msg, { seq, storedAtMs }: Delivery): InputMessage {
  const read = new NatsMessage(message)
  // Servers store headers unread: one that cannot be read would otherwise stop the reading for good, as its message stays.
  return { seq, subject: read.subject, data: read.data, headers: readableHeaders(read), at: storedAtMs }
}
