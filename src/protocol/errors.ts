/**
 * The one public error. Its `code` is named for what the caller can do about it; the message is a
 * sentence that tells them how, and ends with the place in `docs/errors.md` that says more.
 *
 * H1. `message` is `reason` and the pointer, once, however often an error is made of another's message. Only `reason` is sent, stored or
 *     quoted in another sentence: whoever makes the error at the other end adds the pointer again.
 * H2. An `UNKNOWN` has an `id`, an `OVERLOADED` a `retryAfterMs` and a `DEADLOCK` a `cycle`; `isHoldfastError` with a code says so to
 *     the type checker.
 * H3. Handlers throw anything: proxies, errors with getters that throw, a message that is no text. Asking what it is never throws, and
 *     its sentence is a text.
 */

export const errorCodes = [
  /** Nothing happened; try again. */
  'RETRY',
  /** It may have happened. Repeat with the same id (`error.id`) to learn which. */
  'UNKNOWN',
  /** Nothing happened: a bound was reached. Try again after `error.retryAfterMs`. */
  'OVERLOADED',
  /** The request can never succeed as it is. */
  'INVALID',
  /** No such type, command, query, partition or entry. */
  'NOT_FOUND',
  /** The state or the idempotency key contradicts the request. */
  'CONFLICT',
  /** The deadline passed before anything was sent. */
  'TIMEOUT',
  /** A newer owner has taken over; nothing happened here. */
  'FENCED',
  /** The command would wait for itself; `error.cycle` names the way. */
  'DEADLOCK',
  /** The handler threw; its turn left no trace. */
  'FAILED',
  /** A bug or a damaged log or store; `error.cause` says more. */
  'INTERNAL',
  /** The log does not go back to this cursor any more. */
  'EXPIRED',
] as const

export type ErrorCode = (typeof errorCodes)[number]

export interface ErrorDetails {
  readonly cause?: unknown
  /** With `UNKNOWN`: pass it as `{ id }` to repeat the same command. */
  readonly id?: string
  /** With `OVERLOADED`: milliseconds until a new try makes sense. Default then: 100. */
  readonly retryAfterMs?: number
  /** With `DEADLOCK`: `type/key` of each actor on the way round. */
  readonly cycle?: readonly string[]
  /** With `INVALID`: where in the value, e.g. `$.items[3].price`. */
  readonly path?: string
}

const defaultRetryAfterMs = 100

/** Where `docs/errors.md` tells of a code; each message ends with it. */
const pointerOf = (code: ErrorCode) => ` (holdfast/docs/errors.md#${code.toLowerCase()})`

const pointer = / \(holdfast\/docs\/errors\.md#[a-z_]+\)$/

/** The sentence of a message, without the pointer at its end. */
const sentenceOf = (message: string) => message.replace(pointer, '')

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode
  // Only those that there are: what is printed of an error shows every field.
  declare readonly id?: string
  declare readonly retryAfterMs?: number
  declare readonly cycle?: readonly string[]
  declare readonly path?: string

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(sentenceOf(message) + pointerOf(code), details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    const { id, retryAfterMs = code === 'OVERLOADED' ? defaultRetryAfterMs : undefined, cycle, path } = details
    if (id !== undefined) this.id = id
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs
    if (cycle !== undefined) this.cycle = cycle
    if (path !== undefined) this.path = path
  }

  /** The bare sentence: `message` without the pointer to the documentation. */
  get reason(): string {
    return sentenceOf(this.message)
  }
}

/** What an error of a code has for certain (H2). */
interface Certain {
  readonly UNKNOWN: { readonly id: string }
  readonly OVERLOADED: { readonly retryAfterMs: number }
  readonly DEADLOCK: { readonly cycle: readonly string[] }
}

/** A `HoldfastError` whose code is known, with what comes with that code: `HoldfastErrorOf<'UNKNOWN'>` has an `id`. */
export type HoldfastErrorOf<Code extends ErrorCode> = HoldfastError & {
  readonly code: Code
} & (Code extends keyof Certain ? Certain[Code] : unknown)

/** True for an error of Holdfast, of the given code if one is given; also across two copies of the package. */
export function isHoldfastError(error: unknown): error is HoldfastError
export function isHoldfastError<Code extends ErrorCode>(error: unknown, code: Code): error is HoldfastErrorOf<Code>
export function isHoldfastError(error: unknown, code?: ErrorCode): boolean {
  try {
    return (
      error instanceof Error &&
      error.name === 'HoldfastError' &&
      'code' in error &&
      (code === undefined || error.code === code)
    )
  } catch {
    // H3
    return false
  }
}

/** The sentence of anything that was thrown; of an error of Holdfast its reason (H1, H3). */
export function messageOf(thrown: unknown): string {
  try {
    const said: unknown = thrown instanceof Error ? thrown.message : thrown
    const message = String(said)
    return isHoldfastError(thrown) ? sentenceOf(message) : message
  } catch {
    return 'something that cannot be put into words'
  }
}
