/**
 * Reading a log exactly as its leader has it (C4).
 *
 * D4. The leader says first how far the log goes. A span beyond its end throws `RETRY`: that leader may be behind.
 * D5. A short span is asked of the leader record by record, some in flight at once. A long one comes by a consumer, which may
 *     live on a replica that lags or, at worst, lies: its last record is compared with the leader's (each record is linked to
 *     the one before), and what it leaves out is asked of the leader.
 * D6. A sequence counts as missing only when the leader has said so twice, the second time knowing how far it is.
 * D7. Who may not make consumers reads record by record, however long the span: a role that only reads needs no such right, which
 *     would let it have the server publish anywhere.
 */
import type { Msg } from '@nats-io/transport-node'
import type { Seq } from '../../protocol/ids.ts'
import type { LogEntry } from '../../protocol/log.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { plainBytes } from './bytes.ts'
import { noStream, type Delivery, type JetStream } from './jetstream.ts'
import type { Link } from './link.ts'
import { StreamReading } from './stream-reading.ts'

/** Up to so many records a consumer is not worth its creation. */
const shortSpan = 64
/** Records asked for at once. */
const inFlight = 16

export class LogReader {
  readonly #link: Link
  readonly #jetstream: JetStream
  readonly #stream: string

  constructor(link: Link, jetstream: JetStream, stream: string) {
    this.#link = link
    this.#jetstream = jetstream
    this.#stream = stream
  }

  async *read(from: Seq, to: Seq): AsyncGenerator<LogEntry> {
    if (from > to) return
    const begin = await this.#firstKept(Math.max(from, 1), to)
    if (begin > to) return
    const end = to - begin < shortSpan ? undefined : await this.#record(to)
    if (end === undefined) yield* this.#oneByOne(begin, to)
    else yield* this.#byConsumer(begin, end)
  }

  async *#byConsumer(begin: number, end: LogEntry): AsyncGenerator<LogEntry> {
    const options = { stream: this.#stream, from: begin, to: end.seq, take: entryFrom }
    const reading = new StreamReading(this.#link, this.#jetstream, options)
    let next = begin
    try {
      while (next <= end.seq) {
        const entry = await reading.next()
        if (entry === undefined) return
        if (entry.seq > next) yield* this.#leftOut(next, Math.min(entry.seq - 1, end.seq))
        next = entry.seq + 1
        if (entry.seq === end.seq && Buffer.compare(entry.record, end.record) !== 0) {
          throw retry(`a replica of ${this.#stream} has another record ${end.seq} than its leader`)
        }
        if (entry.seq <= end.seq) yield entry
      }
    } catch (error) {
      if (!isHoldfastError(error, 'INVALID')) throw error
      // D7: it was refused at its creation, before any record.
      yield* this.#oneByOne(next, end.seq)
    } finally {
      reading.close()
    }
  }

  async *#leftOut(from: number, to: number): AsyncGenerator<LogEntry> {
    yield* this.#oneByOne(await this.#firstKept(from, to), to)
  }

  async *#oneByOne(from: number, to: number): AsyncGenerator<LogEntry> {
    const asked: Promise<LogEntry | undefined>[] = []
    for (let next = from; next <= to || asked.length > 0;) {
      while (next <= to && asked.length < inFlight) {
        const record = this.#record(next++)
        // The reader may leave before it comes to this one.
        record.catch(() => {})
        asked.push(record)
      }
      const entry = await asked.shift()
      if (entry !== undefined) yield entry
    }
  }

  async #record(seq: number): Promise<LogEntry | undefined> {
    const found = (await this.#get(seq)) ?? ((await this.#firstKept(seq, seq)) > seq ? null : await this.#get(seq))
    return found === null ? undefined : { seq: seq as Seq, record: plainBytes(found.data) }
  }

  #get(seq: number) {
    return this.#jetstream.message(this.#stream, { seq })
  }

  /** Where a span begins that is wanted from `from` to `to`; throws unless the leader has come to its end (D4). */
  async #firstKept(from: number, to: number): Promise<number> {
    const info = await this.#jetstream.streamInfo(this.#stream)
    if (info === null) throw noStream(this.#stream)
    if (info.last < to) {
      throw retry(`the leader of ${this.#stream} has records up to ${info.last}, and ${to} is asked for`)
    }
    return Math.max(from, info.first)
  }
}

/** Of a message that a consumer has delivered. */
export const entryFrom = ({ data }: Msg, { seq }: Delivery): LogEntry => ({ seq: seq as Seq, record: plainBytes(data) })

const retry = (message: string) => new HoldfastError('RETRY', `${message}: try again`)
