/**
 * One request on its way: its attempts, and what may be said of it when it ends without an answer (R2).
 *
 * A1. A request keeps its number over all its attempts, so the owner does it once.
 * A2. An answer that says "not done here" (`moved`, `RETRY`, `FENCED`, `OVERLOADED`, `TIMEOUT`, `NOT_FOUND`, no responders) refuses one
 *     attempt: that of the frame which it names, however often it is heard. An attempt without an answer is not refused, whatever time has
 *     passed. A word on the last attempt has another one made; one on an earlier attempt is noted.
 * A3. `RETRY`, `OVERLOADED`, `FENCED` and `NOT_FOUND` are reported only where every attempt was refused. Where nothing was sent and time is up it is
 *     `TIMEOUT`. Else a command or tell is `UNKNOWN` with its id, and a query, which changes nothing, is `RETRY`. A repetition of an
 *     `UNKNOWN` command counts that call's attempts, too, also where nothing is sent of it; of an id of the caller's own making nobody knows here whether it is one, so
 *     what is reported then is about this call alone.
 * A4. `NOT_FOUND` is a refusal, too, of one node: another may host what this one does not, and have done it. It is said without a look at what
 *     was done before.
 * A5. Any other error, `FAILED` first of all, ends an attempt that did nothing, and is remembered by no owner: an attempt that comes after it
 *     runs the handler again, and may do it. So it is reported where there is a word on every attempt of the call; or where it is the word on
 *     the last one: what had been sent to that node had come before it, and an owner before that one commits nothing any more. But what went to
 *     a partition's subject may be with the owner after that one: it needs a word. Else the last attempt is waited for. A query ends with the
 *     first error.
 */
import { HoldfastError, type ErrorDetails } from '../protocol/errors.ts'
import type { ReadBounds, ReplyPosition, Request, RequestKind, WireError } from '../protocol/frames.ts'
import type { Cursor } from '../protocol/cursor.ts'
import type { SessionId } from '../protocol/ids.ts'
import type { Value } from '../protocol/values.ts'
import type { CallSpan } from '../ports/tracer.ts'
import { formatCommandId, isOwnId, type CommandId } from './command-id.ts'

/** A client stops repeating an id after this; the owner remembers it for longer (R3). */
export const repeatTermMs = 90_000

const firstBackoffMs = 10
const lastBackoffMs = 200

export interface Waiter {
  /** `at`: of the reply. `sentMs`: when the request was sent first, monotonic. */
  readonly resolve: (value: Value | undefined, at?: ReplyPosition, sentMs?: number) => void
  readonly reject: (error: HoldfastError) => void
}

/** A keyed actor as a session addresses it. `hash` picks the partition. */
export interface Address {
  readonly type: string
  readonly key: string
  readonly hash: number
}

/**
 * `queued`: leaves with the next flush. `held`: there is no connection or no placement. `sent`: waits for a reply. `waiting`: was
 * refused, and is sent again when it is due.
 */
export type PendingState = 'new' | 'queued' | 'held' | 'sent' | 'waiting' | 'settled'

/** What a read may be answered from, as its caller has it. */
export interface Reading {
  /** Default: strong. */
  readonly maxStalenessMs: number | undefined
  /** Default: what the session has seen. */
  readonly after: readonly Cursor[] | undefined
}

/** The bounds of a read have at most so many bytes in a frame. */
export const boundsBytes = 96

const nothing = new Uint8Array()

/** At most so many bytes of a frame are a request's: three for each UTF-16 unit, and the heads of its eight fields. */
export const frameBytes = (
  { type, key }: { readonly type: string; readonly key: string },
  name: string,
  input: Uint8Array,
  idempotencyKey = '',
) => input.length + (type.length + key.length + name.length + idempotencyKey.length) * 3 + 51

export class Pending implements Request, Waiter {
  readonly kind: RequestKind
  readonly session: SessionId
  readonly number: number
  readonly type: string
  readonly key: string
  readonly name: string
  /** Encoded; empty once it is settled, since a frame that nobody has answered may hold the request for long after (sent-frames.ts). */
  input: Uint8Array
  readonly idempotencyKey: string | undefined
  readonly hash: number
  readonly resolve: Waiter['resolve']
  readonly reject: Waiter['reject']
  /** Later calls with the same id that wait for the same answer. */
  joined: Waiter[] | undefined = undefined
  /** What to undo when it is settled. */
  release: (() => void) | undefined = undefined
  /** Where it is traced. */
  span: CallSpan | undefined = undefined

  /** Of a query or call. */
  reading: Reading | undefined = undefined
  /** Of the attempt that is sent next, for its frame. */
  bounds: ReadBounds | undefined = undefined
  /** Its last attempt went to a standby. */
  atStandby = false
  /** A standby could not answer it, and no other is asked. */
  ownersAlone = false

  state: PendingState = 'new'
  readonly startMs: number
  deadlineMs: number
  /** When something is to be done about it, at the latest its deadline. All times of a request are whole milliseconds. */
  dueMs: number
  /** Of the attempt that is sent next, for its frame. */
  timeoutMs = 0
  /** When its first attempt was sent, in this call or in the one that it repeats; −1 before, or if nobody knows. */
  firstSentMs = -1
  /** It repeats a command whose attempts in an earlier call were not all refused. */
  repeated = false
  attempts = 0
  /** The last attempt did nothing, by the word of whoever had it (A2). */
  #lastEnded = false
  /** The frames of those before it of which there is no word. */
  #open: number[] | undefined = undefined
  /** The last error that was not the word on the last attempt (A5). */
  verdict: WireError | undefined = undefined
  /** The last refusal by an owner. */
  refusal: WireError | undefined = undefined
  /** Where its last attempt went, whether more than one node may listen there, and in which frame. */
  subject = ''
  #shared = false
  frame = 0
  /** An attempt before the last one has no word and may be with any node (A5). */
  #astray = false
  /** Its next attempt goes to the partition's subject, whatever the placement says. */
  viaPartition = false
  /** Moves that it followed since it last waited. */
  hops = 0
  /** Times that it waited. */
  backoffs = 0

  constructor(
    kind: RequestKind,
    session: SessionId,
    number: number,
    address: Address,
    name: string,
    input: Uint8Array,
    nowMs: number,
    timeoutMs: number,
    waiter: Waiter,
    idempotencyKey?: string,
  ) {
    this.kind = kind
    this.session = session
    this.number = number
    this.type = address.type
    this.key = address.key
    this.name = name
    this.input = input
    this.idempotencyKey = idempotencyKey
    this.hash = address.hash
    this.resolve = waiter.resolve
    this.reject = waiter.reject
    this.startMs = nowMs
    this.deadlineMs = nowMs + Math.ceil(timeoutMs)
    this.dueMs = this.deadlineMs
  }

  /** An attempt is made. It times out after `attemptTimeoutMs`, twice that at the second, and so on. */
  sentAt(nowMs: number, to: { subject: string; shared: boolean }, attemptTimeoutMs: number): void {
    this.state = 'sent'
    if (this.attempts > 0 && !this.#lastEnded) {
      ;(this.#open ??= []).push(this.frame)
      this.#astray ||= this.#shared
    } else if (this.#endedThroughout) this.#astray = false
    this.subject = to.subject
    this.#shared = to.shared
    this.#lastEnded = false
    this.timeoutMs = this.deadlineMs - nowMs
    if (this.firstSentMs < 0) this.firstSentMs = nowMs
    this.dueMs = Math.min(this.deadlineMs, nowMs + Math.ceil(attemptTimeoutMs * 2 ** Math.min(this.attempts, 10)))
    this.attempts++
  }

  /** It has its end: nothing of it is sent any more. */
  settle(): void {
    this.state = 'settled'
    this.input = nothing
    this.release?.()
  }

  /** Whether the next attempt may go to a standby. */
  get mayBeStale(): boolean {
    return this.reading?.maxStalenessMs !== undefined && !this.ownersAlone && !this.viaPartition
  }

  /** Waits until then at least, for one who joined. */
  extend(deadlineMs: number): void {
    this.deadlineMs = Math.max(this.deadlineMs, Math.ceil(deadlineMs))
  }

  /** True once its id must not be repeated any more. */
  tooOld(nowMs: number): boolean {
    return this.firstSentMs >= 0 && nowMs - this.firstSentMs > repeatTermMs
  }

  /** The attempt of that frame did nothing (A2). False where that is not new, or no attempt of this call. */
  ended(frame: number): boolean {
    if (this.attempts > 0 && frame === this.frame) {
      if (this.#lastEnded) return false
      return (this.#lastEnded = true)
    }
    const at = this.#open?.indexOf(frame) ?? -1
    if (at < 0) return false
    this.#open!.splice(at, 1)
    return true
  }

  /** Of this call's attempts. */
  get #endedThroughout(): boolean {
    return (this.#lastEnded || this.attempts === 0) && (this.#open === undefined || this.#open.length === 0)
  }

  /** What is told where there is a word on every attempt, and one has failed (A5). */
  get lastWord(): HoldfastError | undefined {
    return this.verdict !== undefined && this.#endedThroughout ? errorOf(this.verdict) : undefined
  }

  get refusedThroughout(): boolean {
    return !this.repeated && this.verdict === undefined && this.#endedThroughout
  }

  /** Waits before the next attempt, a little longer each time. `chance` in [0, 1) spreads those who wait together. */
  backOff(nowMs: number, chance: number, atLeastMs = 0): void {
    const ceiling = Math.min(lastBackoffMs, firstBackoffMs * 2 ** Math.min(this.backoffs, 10))
    this.backoffs++
    this.hops = 0
    this.state = 'waiting'
    this.dueMs = Math.min(this.deadlineMs, nowMs + Math.ceil(Math.max(atLeastMs, ceiling * (0.5 + chance / 2))))
  }

  /**
   * What an owner's error about the attempt of `frame` means: `final` is the answer; `again` has another attempt made, `wait` none. An owner that
   * is overloaded, or does not know the name, is reported at once, if nothing can have happened; else only asking again can tell (A3, A4).
   */
  judge(error: WireError, frame: number, at?: ReplyPosition): 'final' | 'again' | 'wait' {
    const ofLast = frame === this.frame
    if (error.code === 'UNKNOWN') return ofLast ? 'again' : 'wait'
    if (!this.ended(frame)) return 'wait'
    const next = ofLast ? 'again' : 'wait'
    if (error.code === 'INVALID' && this.#outlived(at)) return next
    switch (error.code) {
      case 'RETRY':
      case 'FENCED':
      case 'TIMEOUT':
        this.refusal = error
        return next
      case 'OVERLOADED':
        this.refusal = error
        return this.refusedThroughout ? 'final' : next
      case 'NOT_FOUND':
        if (this.kind === 'query') return 'final'
        this.refusal = error
        return this.refusedThroughout ? 'final' : next
      default:
        if (this.kind === 'query' || (ofLast && !this.#astray) || this.#endedThroughout) return 'final'
        this.verdict = error
        return 'wait'
    }
  }

  /** Whether it was to be answered after what the session had seen of a log that is no more (C3 of positions.ts). */
  #outlived(at: ReplyPosition | undefined): boolean {
    const after = this.reading?.after === undefined ? this.bounds?.after : undefined
    return after !== undefined && at !== undefined && at.generation !== after.generation
  }

  /** Its end without an answer (A3). `why` completes "…: <why>". */
  unanswered(why: string, timeIsUp: boolean, cause?: unknown): HoldfastError {
    const what = whatOf(this.kind, this.name, this)
    const details: ErrorDetails = cause === undefined ? {} : { cause }
    if (this.attempts === 0 && !this.repeated) {
      return new HoldfastError(timeIsUp ? 'TIMEOUT' : 'RETRY', `nothing was sent of the ${what}: ${why}`, details)
    }
    if (this.refusedThroughout) {
      const { refusal } = this
      const code = refusal === undefined || refusal.code === 'TIMEOUT' ? 'RETRY' : refusal.code
      const reason = refusal === undefined ? '' : ` (last: ${refusal.message})`
      const retryAfterMs = refusal?.retryAfterMs
      return new HoldfastError(
        code,
        `every attempt of this call was refused, so it did nothing${reason}: ${what}, ${why}`,
        {
          ...details,
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        },
      )
    }
    if (this.kind === 'query') {
      const reason = this.refusal === undefined ? '' : ` (the one before was refused: ${this.refusal.message})`
      return new HoldfastError('RETRY', `no answer came to the ${what}, ask again: ${why}${reason}`, details)
    }
    const { verdict } = this
    const but = verdict === undefined ? '' : `, and one attempt ended ${verdict.code}: ${verdict.message}`
    return inDoubt(what, this, `${why}${but}`, details)
  }
}

/** A request, in words. */
export const whatOf = (kind: RequestKind, name: string, { type, key }: Pick<Address, 'type' | 'key'>): string =>
  `${kind} ${name} of ${type}/${key}`

/** What an owner said, as a caller hears it. */
export const errorOf = (error: WireError) => new HoldfastError(error.code, error.message, error)

/** The end of a call of which nothing is sent (A3). `what` it is of, `why` it ends, `id`: which it was to have. */
export const unsent = (
  code: 'RETRY' | 'OVERLOADED',
  what: string,
  id: CommandId | undefined,
  why: string,
  details: ErrorDetails,
): HoldfastError =>
  id === undefined || isOwnId(id)
    ? new HoldfastError(code, `nothing was sent of the ${what}: ${why}`, details)
    : inDoubt(what, id, why, details)

function inDoubt(what: string, command: CommandId, why: string, details: ErrorDetails): HoldfastError {
  const id = formatCommandId(command)
  const message = `the ${what} may have happened, repeat it with { id: '${id}' } to learn whether: ${why}`
  return new HoldfastError('UNKNOWN', message, { ...details, id })
}
