/**
 * The Changelog port over JetStream: one stream for each partition (C1–C8, L7).
 *
 * Appends and questions go over one inbox. Nothing is cached here, and nothing is retried: what to do about a refusal or
 * silence is decided above (L5).
 */
import { checkTrim } from '../../core/trim.ts'
import type { Changelog, LogInfo, PartitionLog } from '../../ports/changelog.ts'
import type { Metric } from '../../ports/metrics.ts'
import type { Reading } from '../../ports/reading.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Generation, PartitionId, Seq } from '../../protocol/ids.ts'
import type { AppendResult, LogEntry } from '../../protocol/log.ts'
import { subjectsOf, type Subjects } from '../../protocol/subjects.ts'
import { appendOverhead, expecting, resultOf } from './append.ts'
import { JetStream, noStream, type StreamInfo } from './jetstream.ts'
import type { Link } from './link.ts'
import { provisionLog } from './provision.ts'
import { entryFrom, LogReader } from './read.ts'
import { Requests } from './requests.ts'
import { checkReplicas, type LogSettings } from './settings.ts'
import { StreamReading } from './stream-reading.ts'
import { checkStream, generationOf, logConfig, logStream } from './stream-settings.ts'

export class NatsChangelog implements Changelog {
  readonly #link: Link
  readonly #hold: { close(): Promise<void> }
  readonly #requests: Requests
  readonly #jetstream: JetStream
  readonly #subjects: Subjects
  readonly #replicas: number

  constructor(link: Link, settings: LogSettings) {
    this.#subjects = subjectsOf(settings.cluster)
    this.#replicas = checkReplicas(settings.replicas)
    this.#link = link
    this.#hold = link.hold()
    this.#requests = new Requests(link, 'log', link.settings.requestTimeoutMs)
    this.#jetstream = new JetStream(this.#requests)
  }

  async provision(
    partition: PartitionId,
    generation: Generation,
    genesis: Uint8Array,
    first = 1 as Seq,
  ): Promise<{ readonly created: boolean }> {
    const { clock } = this.#link.parts
    const log = this.log(partition)
    const created = await provisionLog({
      jetstream: this.#jetstream,
      clock,
      stream: logStream(this.#subjects.cluster, partition),
      subject: this.#subjects.log(partition),
      replicas: this.#replicas,
      generation,
      genesis,
      first,
      appendGenesis: () => log.append(genesis, (first - 1) as Seq),
    })
    return { created }
  }

  log(partition: PartitionId): PartitionLog {
    const stream = logStream(this.#subjects.cluster, partition)
    return new NatsLog(partition, this.#link, this.#requests, this.#jetstream, stream, this.#subjects.log(partition))
  }

  metrics(): readonly Metric[] {
    return this.#requests.metrics()
  }

  async close(): Promise<void> {
    this.#requests.close()
    await this.#hold.close()
  }
}

/** Longer than a leader goes without the others before it gives up, which is up to 20 s. */
const formerLeaderMs = 30_000

class NatsLog implements PartitionLog {
  readonly #partition: PartitionId
  readonly #link: Link
  readonly #requests: Requests
  readonly #jetstream: JetStream
  readonly #stream: string
  readonly #subject: string
  /** The log is said to end before a record that it had: which, and since when. */
  #short: { readonly known: number; readonly sinceMs: number } | undefined

  constructor(
    partition: PartitionId,
    link: Link,
    requests: Requests,
    jetstream: JetStream,
    stream: string,
    subject: string,
  ) {
    this.#partition = partition
    this.#link = link
    this.#requests = requests
    this.#jetstream = jetstream
    this.#stream = stream
    this.#subject = subject
  }

  async info(known = 0): Promise<LogInfo | null> {
    const info = await this.#jetstream.streamInfo(this.#stream)
    if (info === null) return null
    const generation = generationOf(info.config)
    // An operator may have changed the stream since it was made (L7).
    checkStream(info.config, logConfig(this.#stream, this.#subject, generation, 1), false)
    this.#checkLeader(info, known)
    return { generation, first: info.first as Seq, last: info.last as Seq }
  }

  /**
   * Of several servers one that was stopped, and goes on, takes itself for the leader until it hears of another, and one that is cut off until
   * it misses the others: it says what it had then. So that a log ends too soon is believed when nothing else is said for so long; an answer
   * to somebody who knows less says nothing else.
   */
  #checkLeader({ config, last }: StreamInfo, known: number): void {
    if (last >= (this.#short?.known ?? 0)) this.#short = undefined
    if (last >= known || config['num_replicas'] === 1) return
    const nowMs = this.#link.parts.clock.monotonic()
    this.#short ??= { known, sinceMs: nowMs }
    if (nowMs - this.#short.sinceMs >= formerLeaderMs) return
    const reason = `a server says that ${this.#stream} ends at ${last}, though it had record ${known}: it may have led it formerly`
    throw new HoldfastError('RETRY', `${reason}; ask again`)
  }

  append(record: Uint8Array, expected: Seq): Promise<AppendResult> {
    const { maxPayload, settings } = this.#link
    const size = record.length + appendOverhead
    if (size > maxPayload) {
      const reason = `a record of ${record.length} bytes is ${size} on the wire, and the NATS server takes ${maxPayload} (max_payload)`
      return Promise.resolve({ kind: 'refused', reason })
    }
    const question = { subject: this.#subject, headers: expecting(expected), timeoutMs: settings.appendTimeoutMs }
    return new Promise((resolve) => {
      this.#requests.send(question, record, (answer) => resolve(resultOf(answer, this.#stream)))
    })
  }

  read(from: Seq, to: Seq): AsyncIterable<LogEntry> {
    return new LogReader(this.#link, this.#jetstream, this.#stream).read(from, to)
  }

  follow(from: Seq): Reading<LogEntry> {
    return new StreamReading(this.#link, this.#jetstream, { stream: this.#stream, from, take: entryFrom })
  }

  async trim(first: Seq): Promise<void> {
    const info = await this.#jetstream.streamInfo(this.#stream)
    if (info === null) throw noStream(this.#stream)
    checkTrim(this.#partition, first, info.last)
    // To the server a purge up to 1 is one of everything.
    if (first <= Math.max(info.first, 1)) return
    await this.#jetstream.purge(this.#stream, { seq: first })
  }
}
