/**
 * Reads that a standby answers from its own replica (Q1): queries that allow some staleness.
 *
 * F1. It answers where it has taken in what the owner had committed when it was asked, the age counted from that asking is within what the
 *     query allows, and it has come as far as the query's reader has. All three are looked at again when the state is read.
 * F2. Else it asks the owner, for all queries that wait, one request at a time. While queries come it asks ahead, when half of what they
 *     allow has passed; when none come it asks nothing.
 * F3. What waits longer than its own bound, 150 ms or its patience, is left to the owner; so is what comes to a bound of this node, finds
 *     nobody to ask, or is no query. The reader hears of no error.
 * F4. What a replica is before it has been compared with its writer's (M4) is read by nobody.
 * F5. Once ended it answers nothing more: what waits is left to whoever is the owner then, be it this node.
 */
import type { ActorDefinition } from '../behaviour/definition.ts'
import { ageMs, isThere, type Confirmed } from '../core/freshness.ts'
import type { LogPosition } from '../core/log.ts'
import type { Instant } from '../core/read-lease.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Metric } from '../ports/metrics.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import type { ReadBounds, ReplyPosition } from '../protocol/frames.ts'
import { ownBytes } from '../protocol/own-bytes.ts'
import { decodeCommitted } from '../protocol/position.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { notExecuted } from './answers.ts'
import { asking, asksQuery, definitionOf } from './asked.ts'
import type { Incoming } from './owner.ts'
import { Queries } from './queries.ts'
import type { Replica } from './replica.ts'
import type { PartitionSettings } from './settings.ts'
import type { Version } from './store-layout.ts'
import type { Answer } from './turn.ts'
import type { WorkMeter } from './work-meter.ts'

export interface StandbyReadsOptions {
  readonly clock: Clock
  readonly transport: Transport
  readonly subjects: Subjects
  readonly replica: Pick<Replica, 'peek' | 'load' | 'position'>
  readonly definitions: ReadonlyMap<string, ActorDefinition>
  readonly settings: PartitionSettings
  /** Default: nobody watches. */
  readonly meter?: WorkMeter | undefined
  /** Answers that it is for the owner to say, or lets this node say so where it is the owner by now. `sinceMs`: when it came, monotonic. */
  readonly leave: (incoming: Incoming, sinceMs: number) => void
}

interface Waiting {
  readonly definition: ActorDefinition
  /** With an input of its own. */
  readonly incoming: Incoming
  readonly sinceMs: number
  readonly untilMs: number
}

/** F3. So long an answer of the owner is waited for, too, before it is asked again. */
const longestWaitMs = 150

export class StandbyReads {
  readonly #options: StandbyReadsOptions
  readonly #queries: Queries
  /** Where the replica was when it was last the same as its writer's (F4). */
  #position: LogPosition
  /** The latest word of the owner's that the replica has caught up with, and the one that it has not. */
  #confirmed: Confirmed | undefined
  #coming: Confirmed | undefined
  #asking: { readonly number: number; readonly askedAt: Instant } | undefined
  #asked = 0
  #inbox = ''
  #subscription: Subscription | undefined
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #timer: Timer | undefined
  /** When that is due: the soonest bound of what waits (F3). */
  #timerAtMs = Number.POSITIVE_INFINITY
  #at: ReplyPosition | undefined
  #ended = false

  /** The replica is the same as its writer's. */
  constructor(options: StandbyReadsOptions) {
    const { clock, replica, settings } = options
    this.#options = options
    this.#position = replica.position
    this.#queries = new Queries({
      clock,
      replica,
      settings,
      shown: (committed) => this.#shown(committed),
      at: () => this.#where(),
      refused: () => notExecuted,
    })
  }

  /** Queries that wait until the replica is what they ask for. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Of their inputs. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Of those that are being answered. */
  metrics(): readonly Metric[] {
    return this.#queries.metrics()
  }

  answer(incoming: Incoming): void {
    const { definitions, settings } = this.#options
    const { request } = incoming
    const now = this.#now()
    const definition = definitionOf(definitions, request.type)
    const after = request.bounds?.after
    if (
      definition === undefined ||
      !asksQuery(definition, request) ||
      (after !== undefined && after.generation !== this.#position.generation)
    ) {
      return this.#leave(incoming, now.monotonicMs)
    }
    if (this.#isCurrent(request.bounds, now)) return this.#read(definition, incoming, now)
    const bytes = request.input.length
    if (this.#waiting.length >= settings.mailboxTurns || this.#waitingBytes + bytes > settings.mailboxBytes) {
      return this.#leave(incoming, now.monotonicMs)
    }
    const waitMs = Math.min(longestWaitMs, request.timeoutMs, stalenessOf(request.bounds))
    const sinceMs = now.monotonicMs
    this.#waitingBytes += bytes
    const kept = asking(incoming, { ...request, input: ownBytes(request.input) })
    this.#waiting.push({ definition, incoming: kept, sinceMs, untilMs: sinceMs + waitMs })
    this.#askFor(request.bounds, now)
    this.#wakeBy(sinceMs + waitMs)
  }

  /** The replica has taken in a record, and is the same as its writer's. */
  applied(): void {
    this.#position = this.#options.replica.position
    this.#confirm()
    if (this.#waiting.length > 0) this.#look()
  }

  /** F5 */
  end(): void {
    this.#ended = true
    this.#subscription?.close()
    this.#options.clock.clearTimeout(this.#timer)
    this.#queries.end()
    this.#leaveAll()
  }

  /** F1 */
  #isCurrent(bounds: ReadBounds | undefined, now: Instant): boolean {
    return this.#isIntact && this.#hasReached(bounds) && this.#isYoung(bounds, now)
  }

  get #isIntact(): boolean {
    return this.#options.replica.position.seq === this.#position.seq
  }

  #hasReached(bounds: ReadBounds | undefined): boolean {
    return bounds?.after === undefined || bounds.after.seq <= this.#position.seq
  }

  #isYoung(bounds: ReadBounds | undefined, now: Instant, known = this.#confirmed): boolean {
    return known !== undefined && ageMs(known.askedAt, now) <= stalenessOf(bounds)
  }

  #read(definition: ActorDefinition, incoming: Incoming, now: Instant): void {
    const { request } = incoming
    const { meter } = this.#options
    const told = (answer: Answer) => {
      // Without a position it says nothing of the state; and the state may have grown old while it was read.
      const at = answer.kind === 'moved' ? undefined : answer.at
      if (this.#ended || at === undefined || (at.ageMs ?? 0) > stalenessOf(request.bounds)) {
        return this.#leave(incoming, now.monotonicMs)
      }
      if (meter !== undefined) meter.standbyQueries++
      incoming.respond(answer)
    }
    this.#queries.answer(definition, request, { respond: told })
    const { askedAt } = this.#confirmed!
    if (this.#coming === undefined && ageMs(askedAt, now) > stalenessOf(request.bounds) / 2) this.#ask(now)
  }

  #shown(committed: Version): Version | undefined {
    const known = this.#confirmed
    if (!this.#isIntact || known === undefined) return undefined
    if (committed.expiresAt === null || committed.state === null) return committed
    const there = isThere(committed.expiresAt, known, this.#position, this.#now())
    if (there === undefined) return undefined
    return there ? committed : { ...committed, state: null, expiresAt: null }
  }

  /** The same object as long as it says the same. */
  #where(): ReplyPosition {
    const { partition, generation, validSeq: seq } = this.#position
    const age = this.#confirmed === undefined ? undefined : ageMs(this.#confirmed.askedAt, this.#now())
    if (this.#at?.seq !== seq || this.#at.ageMs !== age) this.#at = { partition, generation, seq, ageMs: age }
    return this.#at
  }

  /** Answers or leaves what has waited for what there is now, and asks for the rest (F2). */
  #look(): void {
    const now = this.#now()
    for (const waiting of this.#takeWaiting()) {
      const { definition, incoming, sinceMs, untilMs } = waiting
      const { bounds, input } = incoming.request
      if (this.#isCurrent(bounds, now)) this.#read(definition, incoming, now)
      else if (now.monotonicMs >= untilMs) this.#leave(incoming, sinceMs)
      else {
        this.#waiting.push(waiting)
        this.#waitingBytes += input.length
        this.#askFor(bounds, now)
      }
    }
  }

  #wakeBy(untilMs: number): void {
    if (this.#timerAtMs <= untilMs) return
    const { clock } = this.#options
    clock.clearTimeout(this.#timer)
    this.#timerAtMs = untilMs
    this.#timer = clock.setTimeout(() => this.#onTimer(), Math.max(1, untilMs - clock.monotonic()))
  }

  #onTimer(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY
    this.#look()
    for (const { untilMs } of this.#waiting) this.#wakeBy(untilMs)
  }

  #takeWaiting(): readonly Waiting[] {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    return waiting
  }

  #leave(incoming: Incoming, sinceMs: number): void {
    const { meter, leave } = this.#options
    if (meter !== undefined) meter.readsLeft++
    leave(incoming, sinceMs)
  }

  /** Asks the owner, unless what it has said already will do once it is here. */
  #askFor(bounds: ReadBounds | undefined, now: Instant): void {
    if (!this.#isYoung(bounds, now) && !this.#isYoung(bounds, now, this.#coming)) this.#ask(now)
  }

  #ask(now: Instant): void {
    if (this.#asking !== undefined && ageMs(this.#asking.askedAt, now) < longestWaitMs) return
    const { transport, subjects, meter } = this.#options
    if (this.#subscription === undefined) {
      this.#inbox = transport.inbox()
      this.#subscription = transport.subscribe(`${this.#inbox}.*`, (message) => this.#onAnswer(message))
    }
    if (meter !== undefined) meter.positionRequests++
    this.#asking = { number: ++this.#asked, askedAt: now }
    const reply = `${this.#inbox}.${this.#asked}`
    transport.publish(subjects.position(this.#position.partition), nothing, { reply })
  }

  #onAnswer({ subject, data, noResponders }: Message): void {
    if (this.#ended || Number(subject.slice(this.#inbox.length + 1)) !== this.#asking?.number) return
    const { askedAt } = this.#asking
    this.#asking = undefined
    const said = noResponders ? null : read(data)
    if (said === null || said.generation !== this.#position.generation) return this.#leaveAll()
    this.#coming = { ...said, askedAt }
    this.#confirm()
    if (this.#waiting.length > 0) this.#look()
  }

  #confirm(): void {
    if (this.#coming === undefined || this.#coming.seq > this.#position.seq) return
    this.#confirmed = this.#coming
    this.#coming = undefined
  }

  #leaveAll(): void {
    for (const { incoming, sinceMs } of this.#takeWaiting()) this.#leave(incoming, sinceMs)
  }

  #now(): Instant {
    const { clock } = this.#options
    return { wallMs: clock.now(), monotonicMs: clock.monotonic() }
  }
}

const nothing = new Uint8Array(0)

const stalenessOf = (bounds: ReadBounds | undefined): number => bounds?.maxStalenessMs ?? 0

/** `null` also for what is no answer: nobody but the owner is to be believed. */
function read(data: Uint8Array) {
  try {
    return decodeCommitted(data)
  } catch {
    return null
  }
}
