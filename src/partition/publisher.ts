/**
 * Publishes committed changes on their subjects (E2).
 *
 * B1. Nothing is published before its record is committed; changes of one key leave in the order of their revs.
 * B2. A record counts as published when the server has confirmed everything sent up to it (T3). Records carry that mark, and the next
 *     owner publishes everything after it again: a plain subscriber may see a change twice, but misses none while it is connected.
 *     It is asked to once for all that was sent within `confirmEveryMs`: a question for each record would wake this node and the server once
 *     more for each, and a mark that is late costs no more than repetitions when a node dies.
 * B3. If the connection breaks, publishing goes on from the last confirmed record once it is back. Where it has no room for a change (T1),
 *     that record and all after it are published a little later.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Transport } from '../ports/transport.ts'
import type { Generation, PartitionId, Seq } from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { changeMessage } from './change-message.ts'
import type { Change, History } from './history.ts'
import { Pump } from './pump.ts'
import type { WorkMeter } from './work-meter.ts'

export interface PublisherOptions {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly transport: Transport
  readonly subjects: Subjects
  readonly observer: Observer
  readonly clock: Clock
  readonly history: History
  /** Everything up to here was published by former owners. */
  readonly published: Seq
  /** Default: nobody watches. */
  readonly meter?: WorkMeter | undefined
}

/** B2 */
export const confirmEveryMs = 20

export class Publisher {
  readonly #options: PublisherOptions
  #sent: Seq
  #confirmed: Seq
  /** B2: the question, from when it is planned until it is answered. */
  #confirming = false
  #timer: Timer | undefined
  #stopped = false
  /** Grows when the connection was lost: what an earlier attempt sent does not count. */
  #attempt = 0
  readonly #pump: Pump

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#sent = options.published
    this.#confirmed = options.published
    const { partition, clock, observer, history, transport } = options
    this.#pump = new Pump({
      ...{ partition, clock, observer, what: 'changes' },
      isOwed: () => this.#sent < history.head && transport.connected,
      publishOwed: () => this.#publishOwed(),
      onDone: () => this.#confirm(),
    })
  }

  /** How far the server has confirmed. */
  get confirmed(): Seq {
    return this.#confirmed
  }

  /** A record is committed and in the history. The common case, nothing owed before it, is sent at once. */
  committed(seq: Seq, changes: readonly Change[], previous: Seq): void {
    if (this.#stopped) return
    if (this.#pump.runs || this.#sent !== previous || !this.#options.transport.connected) return this.pump()
    if (!this.#publish(changes)) return this.#pump.rest()
    this.#sent = seq
    this.#confirm()
  }

  /** Publishes what is owed: at the start of an ownership, and when the connection is back. */
  pump(): void {
    this.#pump.run()
  }

  /** The connection is back: what was not confirmed may be lost. */
  resume(): void {
    this.#attempt++
    this.#sent = this.#confirmed
    this.pump()
  }

  stop(): void {
    this.#stopped = true
    this.#pump.stop()
    this.#options.clock.clearTimeout(this.#timer)
  }

  async #publishOwed(): Promise<void> {
    const { history } = this.#options
    while (this.#sent < history.head && !this.#stopped) {
      const head = history.head
      const attempt = this.#attempt
      for await (const changes of history.after(this.#sent)) {
        if (attempt !== this.#attempt || this.#stopped) break
        if (!this.#publish(changes)) return this.#pump.rest()
        this.#sent = changes[0]!.seq
      }
      if (attempt === this.#attempt && this.#sent < head) this.#sent = head
    }
  }

  /** Those of one record. False: not all of them were sent (B3). */
  #publish(changes: readonly Change[]): boolean {
    const { partition, generation, transport, subjects, meter } = this.#options
    const { lost } = transport
    for (const change of changes) {
      const { data, headers } = changeMessage(partition, generation, change, transport.maxPayload)
      transport.publish(subjects.changes(change.type, change.key), data, { headers })
      if (meter !== undefined) meter.changes++
    }
    return transport.lost === lost
  }

  /** B2 */
  #confirm(): void {
    if (this.#confirming || this.#stopped || this.#confirmed >= this.#sent) return
    this.#confirming = true
    this.#timer = this.#options.clock.setTimeout(() => this.#ask(), confirmEveryMs)
  }

  #ask(): void {
    const [sent, attempt] = [this.#sent, this.#attempt]
    this.#options.transport.flush().then(
      () => {
        this.#confirming = false
        if (attempt === this.#attempt) this.#confirmed = sent
        this.#confirm()
      },
      () => {
        // The connection broke (T3).
        this.#confirming = false
        this.resume()
      },
    )
  }
}
