/**
 * Pulls the changes of one partition, page by page, for one watch.
 *
 * G1. One pull at a time. Its messages carry its number in their subject: what comes for another pull is not looked at.
 * G2. A page counts only when it is whole: as many changes as its end says, in ascending order, all after the position that was asked
 *     from. Else nothing of it is used, and the same position is asked again.
 * G3. The position moves to the `next` of a whole page, and never otherwise.
 * G4. After a page that was handed over, the next pull begins once that was taken (`resume`): at most one page is ever kept.
 * G5. A pull begins when the doorbell rings, when the last page said that there is more, and every 2 s for want of both. Under a steady
 *     stream of rings pulls begin 20 ms apart, so that they share pages.
 * G6. An owner that is away, moving or slow is asked again, without end. Any other error ends the puller.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import type { Random } from '../ports/random.ts'
import type { Message, Transport } from '../ports/transport.ts'
import { compareCursors, parseCursor } from '../protocol/cursor.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { PartitionId } from '../protocol/ids.ts'
import {
  decodePageMessage,
  encodeWatchRequest,
  type PageChange,
  type PageEnd,
  type PageMessage,
} from '../protocol/watch.ts'
import { backOffMs, transientCodes } from './ask-again.ts'

export interface Page {
  readonly partition: PartitionId
  readonly changes: readonly PageChange[]
  /** Where the partition's position is once all of it is delivered. */
  readonly next: string
}

export interface PullerOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly partition: PartitionId
  /** Where pages are asked for. */
  readonly subject: string
  /** Messages of pull `n` come to `<inbox>.<partition>-<n>`. */
  readonly inbox: string
  readonly type: string
  readonly key: string | undefined
  /** A cursor, `start` or `now`. */
  readonly from: string
  /** A page that is whole; `resume` says that it was taken. */
  readonly onPage: (page: Page) => void
  readonly onError: (error: HoldfastError) => void
}

const pollEveryMs = 2_000
const paceMs = 20
/** Without a message for so long a pull is given up. */
const silenceMs = 2_000

export class PagePuller {
  readonly #options: PullerOptions
  #position: string
  #state: 'idle' | 'pulling' | 'handed-over' | 'closed' = 'idle'
  #pull = 0
  #pulledMs = Number.NEGATIVE_INFINITY
  #heardMs = 0
  #changes: PageChange[] = []
  /** The next pull is not to wait for a ring. */
  #more = false
  /** The last ring since this pull began. */
  #rung: string | undefined = undefined
  #failures = 0
  #timer: Timer | undefined = undefined

  constructor(options: PullerOptions) {
    this.#options = options
    this.#position = options.from
  }

  start(): void {
    this.#begin()
  }

  /** Somebody says that there is a change at `cursor`. It may be late, repeated or wrong; it costs a pull at most. */
  ring(cursor: string): void {
    if (this.#state === 'closed' || this.#isBehind(cursor)) return
    // The page that is being pulled may have been cut before that change.
    if (this.#state === 'pulling') this.#rung = cursor
    else if (!this.#more) {
      this.#more = true
      if (this.#state === 'idle') this.#beginPaced()
    }
  }

  /** The connection is new: what was under way is lost. */
  reconnected(): void {
    this.#more = true
    if (this.#state === 'pulling' || this.#state === 'idle') this.#begin()
  }

  /** The page that was handed over has been taken (G4). */
  resume(): void {
    if (this.#state !== 'handed-over') return
    this.#state = 'idle'
    if (this.#more) this.#beginPaced()
    else this.#wait(pollEveryMs)
  }

  close(): void {
    this.#state = 'closed'
    this.#options.clock.clearTimeout(this.#timer)
    this.#changes = []
  }

  /** A message of this partition's pull `pull`. */
  onMessage(pull: number, message: Message): void {
    if (this.#state !== 'pulling' || pull !== this.#pull) return
    if (message.noResponders) return this.#failed()
    this.#heardMs = this.#options.clock.monotonic()
    let part: PageMessage
    try {
      part = decodePageMessage(message.data)
    } catch {
      return this.#failed()
    }
    if (part.kind === 'change') this.#changes.push(part)
    else if (part.kind === 'end') this.#onEnd(part)
    else if (transientCodes.has(part.code)) this.#failed()
    else this.#options.onError(new HoldfastError(part.code, `partition ${this.#options.partition}: ${part.message}`))
  }

  #onEnd(end: PageEnd): void {
    const changes = this.#changes
    if (end.count !== changes.length || !this.#follows(changes, end.next)) return this.#failed()
    const moved = end.next !== this.#position
    this.#changes = []
    this.#failures = 0
    this.#position = end.next
    this.#more = end.more || (this.#rung !== undefined && !this.#isBehind(this.#rung))
    this.#state = 'handed-over'
    if (moved) this.#options.onPage({ partition: this.#options.partition, changes, next: end.next })
    else this.resume()
  }

  /** G2: ascending from the position, and none beyond `next`. */
  #follows(changes: readonly PageChange[], next: string): boolean {
    try {
      const end = parseCursor(next)
      let last = isEnd(this.#position) ? null : parseCursor(this.#position)
      for (const { cursor } of changes) {
        const at = parseCursor(cursor)
        if (last !== null && compareCursors(last, at) >= 0) return false
        last = at
      }
      return end.partition === this.#options.partition && (last === null || compareCursors(last, end) <= 0)
    } catch {
      return false
    }
  }

  #isBehind(cursor: string): boolean {
    if (isEnd(this.#position)) return false
    try {
      return compareCursors(parseCursor(cursor), parseCursor(this.#position)) <= 0
    } catch {
      return false
    }
  }

  #begin(): void {
    const { transport, clock, subject, inbox, partition, type, key } = this.#options
    if (!transport.connected) {
      this.#state = 'idle'
      return this.#wait(pollEveryMs)
    }
    this.#state = 'pulling'
    this.#pull++
    this.#pulledMs = this.#heardMs = clock.monotonic()
    this.#changes = []
    this.#more = false
    this.#rung = undefined
    this.#wait(silenceMs)
    const request = encodeWatchRequest({ from: this.#position, type, ...(key === undefined ? {} : { key }) })
    transport.publish(subject, request, { reply: `${inbox}.${partition}-${this.#pull}` })
  }

  /** G5. */
  #beginPaced(): void {
    const restMs = this.#pulledMs + paceMs - this.#options.clock.monotonic()
    if (restMs > 0) this.#wait(restMs)
    else this.#begin()
  }

  #failed(): void {
    this.#state = 'idle'
    this.#changes = []
    this.#more = true
    this.#wait(backOffMs(this.#failures++, this.#options.random.next()))
  }

  #wait(delayMs: number): void {
    const { clock } = this.#options
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(() => this.#onTimer(), delayMs)
  }

  #onTimer(): void {
    if (this.#state === 'idle') return this.#begin()
    if (this.#state !== 'pulling') return
    const restMs = this.#heardMs + silenceMs - this.#options.clock.monotonic()
    if (restMs > 0) this.#wait(restMs)
    else this.#failed()
  }
}

const isEnd = (position: string): boolean => position === 'start' || position === 'now'
