/**
 * Pulls the changes of one partition, page by page, for one watch.
 *
 * G1. One pull at a time. Its messages carry its number in their subject: what comes for another pull is not looked at.
 * G2. A page counts only when it is whole: as many changes as its end says, in ascending order, all after the position that was asked
 *     from. Else nothing of it is used, and the same position is asked again. So is where there are more than a page may have.
 * G3. The position moves to the `next` of a whole page, and never otherwise.
 * G4. After a page that was handed over, the next pull begins once that was taken (`resume`): at most one page is ever kept.
 * G5. A pull begins when the doorbell rings, when the last page said that there is more, and every 2 s for want of both. Under a steady
 *     stream of rings pulls begin 20 ms apart, so that they share pages.
 * G6. An owner that is away, moving or slow is asked again, without end. Any other error ends the puller.
 * G7. Where the log does not go back to the position (`EXPIRED`), a puller that may `reset` asks for what is there now instead, page by page,
 *     all as of one record. Its position moves with the last of these pages, right behind that record. An owner that does not have them
 *     any more is asked for the first page anew; while one is being delivered it is reminded of them every 10 s.
 * G8. A pull that may bring changes needs a place among the pages of the watch (page-places.ts); the question where a log ends now does not.
 *     A pull that brings more than a page may have is given up.
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
  maxPageChanges,
  type PageChange,
  type PageEnd,
  type PageError,
  type PageMessage,
  type WatchRequest,
} from '../protocol/watch.ts'
import { backOffMs, transientCodes } from './ask-again.ts'
import type { PagePlaces, Placed } from './page-places.ts'

export interface Page {
  readonly partition: PartitionId
  readonly changes: readonly PageChange[]
  /** Where the partition's position is once all of it is delivered. */
  readonly next: string
  /** It has states instead of changes (G7): the first ones, the last ones, both or neither. */
  readonly reset?: { readonly first: boolean; readonly last: boolean }
}

/** Which changes: of a type, of one key, or of keys that begin alike. */
export interface Selection {
  readonly type: string
  readonly key?: string
  readonly prefix?: string
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
  readonly selection: Selection
  /** A cursor, `start` or `now`. */
  readonly from: string
  /** G7. */
  readonly onExpired: 'reset' | 'fail'
  /** A page that is whole; `resume` says that it was taken. */
  readonly onPage: (page: Page) => void
  readonly places: PagePlaces
  readonly onError: (error: HoldfastError) => void
}

const pollEveryMs = 2_000
const paceMs = 20
/** Without a message for so long a pull is given up. */
const silenceMs = 2_000
/** An owner keeps states for 30 s. */
const remindEveryMs = 10_000
/** Answers to it are not looked at. */
const noPull = 0

/** Which states come next, and where all of them are as of; nothing before the first page. */
interface Reading {
  readonly snapshot?: string | undefined
  readonly after?: string | undefined
  readonly next?: string
}

export class PagePuller implements Placed {
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
  /** Rings may have been missed since this pull began. */
  #missed = false
  #failures = 0
  /** Of states (G7). */
  #reading: Reading | undefined = undefined
  #timer: Timer | undefined = undefined

  constructor(options: PullerOptions) {
    this.#options = options
    this.#position = options.from
  }

  start(): void {
    this.#begin()
  }

  /**
   * Somebody says that there is a change at `cursor`. It may be late, repeated or wrong; it costs a pull at most. False where nothing can be
   * asked for before the consumer has taken a page.
   */
  ring(cursor: string): boolean {
    if (this.#state === 'closed' || this.#isBehind(cursor)) return true
    // The page that is being pulled may have been cut before that change.
    if (this.#state === 'pulling') this.#rung = cursor
    else this.#want()
    return this.#state !== 'handed-over' && !this.#options.places.isWaiting(this)
  }

  /** Rings may have been missed. */
  missedRings(): void {
    if (this.#state === 'pulling') this.#missed = true
    else this.#want()
  }

  onPlace(): void {
    if (this.#state === 'idle') this.#begin()
    else this.#options.places.release(this)
  }

  #want(): void {
    if (this.#more) return
    this.#more = true
    if (this.#state === 'idle') this.#beginPaced()
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
    this.#options.places.release(this)
    if (this.#more) this.#beginPaced()
    else this.#wait(pollEveryMs)
  }

  close(): void {
    this.#letGo()
    this.#reading = undefined
    this.#state = 'closed'
    this.#options.places.release(this)
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
    if (part.kind === 'change') {
      if (this.#changes.push(part) > maxPageChanges) this.#failed()
    } else if (part.kind === 'end') this.#onEnd(part)
    else this.#onRefusal(part)
  }

  #onRefusal({ code, message }: PageError): void {
    const { partition, onExpired, onError } = this.#options
    if (transientCodes.has(code)) return this.#failed()
    if (code === 'NOT_FOUND' && this.#reading !== undefined) {
      this.#reading = {}
      return this.#failed()
    }
    if (code === 'EXPIRED' && this.#reading === undefined && onExpired === 'reset') {
      this.#reading = {}
      return this.#begin()
    }
    onError(new HoldfastError(code, `partition ${partition}: ${message}${code === 'EXPIRED' ? expiredHint : ''}`))
  }

  #onEnd(end: PageEnd): void {
    const [changes, reading] = [this.#changes, this.#reading]
    const whole = reading === undefined ? this.#follows(changes, end.next) : this.#areStates(changes, end.next, reading)
    if (end.count !== changes.length || !whole) return this.#failed()
    const { partition, onPage } = this.#options
    this.#changes = []
    this.#failures = 0
    this.#state = 'handed-over'
    if (reading !== undefined) return this.#onStates(changes, end, reading)
    const moved = end.next !== this.#position
    this.#position = end.next
    this.#more = end.more || this.#hasRung || this.#missed
    if (moved) onPage({ partition, changes, next: end.next })
    else this.resume()
  }

  /** G7 */
  #onStates(changes: readonly PageChange[], end: PageEnd, { snapshot: before }: Reading): void {
    const { next, snapshot, after } = end
    const [first, last] = [before === undefined, snapshot === undefined]
    if (last) {
      this.#letGo()
      this.#reading = undefined
      this.#position = next
      this.#more = end.more || this.#hasRung || this.#missed
    } else {
      this.#reading = { snapshot, after, next }
      this.#more = true
      this.#wait(remindEveryMs)
    }
    this.#options.onPage({
      partition: this.#options.partition,
      changes,
      next: this.#position,
      reset: { first, last },
    })
  }

  get #hasRung(): boolean {
    return this.#rung !== undefined && !this.#isBehind(this.#rung)
  }

  /** G2: ascending from the position, and none beyond `next`. */
  #follows(changes: readonly PageChange[], next: string): boolean {
    if (changes.some(({ reset }) => reset)) return false
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

  /** G7: all as of one record, which is not before what was delivered. */
  #areStates(changes: readonly PageChange[], next: string, reading: Reading): boolean {
    try {
      const { partition } = parseCursor(next)
      if (partition !== this.#options.partition || next !== (reading.next ?? next)) return false
      return changes.every(({ reset }) => reset) && !this.#isBehind(next)
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
    const { transport, clock, places } = this.#options
    if (!transport.connected) {
      this.#state = 'idle'
      places.release(this)
      return this.#wait(pollEveryMs)
    }
    if (this.#position !== 'now' && !places.take(this)) {
      this.#state = 'idle'
      return clock.clearTimeout(this.#timer)
    }
    this.#state = 'pulling'
    this.#pull++
    this.#pulledMs = this.#heardMs = clock.monotonic()
    this.#changes = []
    this.#more = false
    this.#rung = undefined
    this.#missed = false
    this.#wait(silenceMs)
    if (this.#reading === undefined) return this.#ask({ from: this.#position }, this.#pull)
    const { snapshot, after } = this.#reading
    this.#ask({ from: 'state', snapshot, after }, this.#pull)
  }

  #ask(request: Asked, pull: number): void {
    const { transport, subject, inbox, partition, selection } = this.#options
    const data = encodeWatchRequest({ ...request, ...selection } as WatchRequest)
    transport.publish(subject, data, { reply: `${inbox}.${partition}-${pull}` })
  }

  #letGo(): void {
    const snapshot = this.#reading?.snapshot
    if (snapshot !== undefined) this.#ask({ from: 'state', snapshot, done: true }, noPull)
  }

  /** G5. */
  #beginPaced(): void {
    const restMs = this.#pulledMs + paceMs - this.#options.clock.monotonic()
    if (restMs > 0) this.#wait(restMs)
    else this.#begin()
  }

  #failed(): void {
    this.#state = 'idle'
    this.#options.places.release(this)
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
    if (this.#state === 'handed-over' && this.#reading !== undefined) {
      const { snapshot, after } = this.#reading
      this.#ask({ from: 'state', snapshot, after, limit: 1 }, noPull)
      return this.#wait(remindEveryMs)
    }
    if (this.#state !== 'pulling') return
    const restMs = this.#heardMs + silenceMs - this.#options.clock.monotonic()
    if (restMs > 0) this.#wait(restMs)
    else this.#failed()
  }
}

/** What a selection is asked for; `undefined` is not sent. */
type Asked = { readonly [Name in 'from' | 'limit' | 'snapshot' | 'after' | 'done']?: WatchRequest[Name] | undefined }

const expiredHint = ". Watch from 'now', from the cursor of a snapshot, or with onExpired: 'reset'"

const isEnd = (position: string): boolean => position === 'start' || position === 'now'
