/**
 * Keeps a session's knowledge of placement fresh: listens to what is broadcast, and asks where that may not be enough.
 *
 * H1. Until a first view is known it asks every 250 ms, while there is a connection.
 * H2. Later it asks when it is told that something looks wrong, at most every 100 ms: broadcasts may be lost.
 * H3. A broadcast that was wrong, from whoever may send one, is believed no longer than something looks wrong: two answers in a row that
 *     are both older, or one with another count of partitions, put it right. One alone may come from a node that lags behind. The count
 *     itself is never taken from a broadcast: watches and scans go by it for as long as they live.
 */
import { decodeView, type PlacementView } from '../core/table.ts'
import type { Timer } from '../ports/clock.ts'
import type { Message, Subscription } from '../ports/transport.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { Subjects } from '../protocol/subjects.ts'
import type { Routing } from './routing.ts'
import type { SessionPorts } from './session-options.ts'

const askEveryMs = 100
const firstViewEveryMs = 250

export interface PlacementWatchOptions {
  readonly subjects: Subjects
  readonly routing: Routing
  /** Where answers come; `onMessage` is to be called with them. */
  readonly inbox: string
  /** The routing has learned something. */
  readonly onLearned: () => void
}

export class PlacementWatch {
  readonly #ports: SessionPorts
  readonly #options: PlacementWatchOptions
  readonly #subscription: Subscription
  #askedMs = Number.NEGATIVE_INFINITY
  /** Answers in a row that were older than what is known (H3). */
  #older = 0
  #timer: Timer | undefined = undefined
  #waiting: { readonly resolve: () => void; readonly reject: (error: HoldfastError) => void }[] = []
  #closed = false

  constructor(ports: SessionPorts, options: PlacementWatchOptions) {
    this.#ports = ports
    this.#options = options
    this.#subscription = ports.transport.subscribe(options.subjects.placement, (message) => this.onMessage(message))
    this.#askUntilKnown()
  }

  /** Resolves once a view is known; rejects with `INVALID` if it is closed before. */
  async known(): Promise<void> {
    if (this.#closed) throw closedError()
    if (this.#options.routing.partitions > 0) return
    await new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  /** Something looks wrong, or (`urgent`) everything may have changed (H2). */
  ask(urgent = false): void {
    const { transport, clock } = this.#ports
    const nowMs = clock.monotonic()
    if (!transport.connected || (!urgent && nowMs - this.#askedMs < askEveryMs)) return
    this.#askedMs = nowMs
    transport.publish(this.#options.subjects.placementGet, nothing, { reply: this.#options.inbox })
  }

  onMessage(message: Message): void {
    if (message.noResponders) return
    let view: PlacementView
    try {
      view = decodeView(message.data)
    } catch {
      this.#ports.observer.emit({ type: 'message.dropped', subject: message.subject, reason: 'malformed' })
      return
    }
    const isAnswer = message.subject === this.#options.inbox
    if (isAnswer || view.owners.length === this.#options.routing.partitions) {
      this.learn(view, isAnswer && this.#isCertain(view))
    } else this.ask()
  }

  /** `certain`: also where it is older than what is known. */
  learn(view: PlacementView, certain = false): void {
    if (this.#closed || !this.#options.routing.learn(view, certain)) return
    this.#older = 0
    this.#ports.clock.clearTimeout(this.#timer)
    for (const { resolve } of this.#waiting.splice(0)) resolve()
    this.#options.onLearned()
  }

  /** H3, of an answer. */
  #isCertain({ version, owners }: PlacementView): boolean {
    const { routing } = this.#options
    this.#older = version < routing.version ? this.#older + 1 : 0
    return this.#older > 1 || owners.length !== routing.partitions
  }

  close(): void {
    this.#closed = true
    this.#subscription.close()
    this.#ports.clock.clearTimeout(this.#timer)
    for (const { reject } of this.#waiting.splice(0)) reject(closedError())
  }

  #askUntilKnown(): void {
    this.ask()
    this.#timer = this.#ports.clock.setTimeout(() => this.#askUntilKnown(), firstViewEveryMs)
  }
}

const nothing = new Uint8Array(0)

export const closedError = () => new HoldfastError('INVALID', 'this client is closed: connect again')
