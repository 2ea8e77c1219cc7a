/**
 * The one public error. Its `code` is named for what the caller can do about it; the message is a
 * sentence that tells them how.
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
] as const

export type ErrorCode = (typeof errorCodes)[number]

export interface ErrorDetails {
  readonly cause?: unknown
  /** With `UNKNOWN`: pass it as `{ id }` to repeat the same command. */
  readonly id?: string
  /** With `OVERLOADED`: milliseconds until a new try makes sense. */
  readonly retryAfterMs?: number
  /** With `DEADLOCK`: `type/key` of each actor on the way round. */
  readonly cycle?: readonly string[]
  /** With `INVALID`: where in the value, e.g. `$.items[3].price`. */
  readonly path?: string
}

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode
  readonly id: string | undefined
  readonly retryAfterMs: number | undefined
  readonly cycle: readonly string[] | undefined
  readonly path: string | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.id = details.id
    this.retryAfterMs = details.retryAfterMs
    this.cycle = details.cycle
    this.path = details.path
  }
}

/** True for an error of Holdfast, of the given code if one is given; also across two copies of the package. */
export function isHoldfastError(error: unknown, code?: ErrorCode): error is HoldfastError {
  return (
    error instanceof Error &&
    error.name === 'HoldfastError' &&
    'code' in error &&
    (code === undefined || error.code === code)
  )
}

/** The sentence of anything that was thrown. */
export const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))
