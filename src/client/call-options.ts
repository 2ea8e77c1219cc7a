/**
 * The options of a call, as callers give them to `with`: of a reference or of a store.
 *
 * Q1. What cannot be is `INVALID` where it is given, and names the option. So is an option that there is not, since a call without
 *     what was asked for is another call.
 */
import { durationMs, type Duration } from '../protocol/duration.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { isIdempotencyKey, maxIdempotencyKeyBytes } from '../protocol/frames.ts'
import { optionsOf } from '../protocol/options.ts'
import { parseCommandId } from './command-id.ts'
import { parseAfter } from './positions.ts'
import type { RequestOptions } from './session-options.ts'

/** What `with` takes. */
export interface CallOptions {
  /** How long to wait for the reply, attempts included. Default: the client's. */
  readonly timeout?: Duration | undefined
  /** Ends the call: `UNKNOWN` where it was sent and not refused, else `RETRY`; the cause is the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /**
   * Makes a command or tell happen once, however often and by whomever it is sent: within 24 h the same key for the same command of the
   * same keyed actor gives the first reply, with another input `CONFLICT`. 1 to 256 bytes of UTF-8. A partition keeps a bounded number of
   * keys; when it is full, new ones are `OVERLOADED`. Queries ignore it. Default: none.
   */
  readonly idempotencyKey?: string | undefined
  /**
   * How old the state may be that a query reads: then a standby may answer, too. It is one that was current at some time within so long
   * before the answer, and nothing that this client has seen is missing in it. Default: a query is strong, what was committed before it
   * was sent counts. 0 is the same. Commands ignore it.
   */
  readonly maxStaleness?: Duration | undefined
  /**
   * Has a query see at least what stands behind this cursor: of a measured reply, of a client (`hf.cursor`), or of a change. `INVALID`
   * where it is of a log that is no more. Commands ignore it: they see everything.
   */
  readonly after?: string | undefined
  /**
   * Repeats one command: the id of its `UNKNOWN` error, within 90 s of its first call. It takes effect once and gives the first
   * reply. Or an id of your own, 1 to 64 of `A-Z a-z 0-9 _ -`, to be repeated within 90 s. One id is one command. With an id of your
   * own a refusal (`RETRY`, `OVERLOADED`) says that this call did nothing; what an earlier call with the id did is not known here.
   */
  readonly id?: string | undefined
}

const names: readonly string[] = ['timeout', 'signal', 'idempotencyKey', 'maxStaleness', 'after', 'id']

/** Those that are given. `besides`: options that there are, too, but not of a request. Throws `INVALID` (Q1). */
export function requestOptionsOf(options: CallOptions, ...besides: readonly string[]): RequestOptions {
  const { timeout, signal, idempotencyKey, maxStaleness, after, id } = optionsOf(options, 'with()')
  const known = [...names, ...besides]
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw invalid(`with() has no option "${name}", only ${known.join(', ')}`)
  }
  if (signal !== undefined && !isSignal(signal)) throw invalid('`signal` is an AbortSignal')
  if (idempotencyKey !== undefined && (typeof idempotencyKey !== 'string' || !isIdempotencyKey(idempotencyKey)))
    throw invalid(`\`idempotencyKey\` is a well-formed text of 1 to ${maxIdempotencyKeyBytes} bytes of UTF-8`)
  return {
    ...(timeout === undefined ? {} : { timeoutMs: durationMs(timeout, '`timeout`') }),
    ...(signal === undefined ? {} : { signal }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...readingOf(maxStaleness, after),
    ...(id === undefined ? {} : { id: parseCommandId(id) }),
  }
}

/** The options of a request that say what a read may be answered from. Throws `INVALID`, naming the option. */
export function readingOf(maxStaleness?: Duration, after?: string): Partial<RequestOptions> {
  const maxStalenessMs = maxStaleness === undefined ? 0 : durationMs(maxStaleness, '`maxStaleness`')
  return {
    ...(maxStaleness === undefined ? {} : { maxStalenessMs: maxStalenessMs >= 1 ? maxStalenessMs : undefined }),
    ...(after === undefined ? {} : { after: parseAfter(after) }),
  }
}

/** Also one of another realm. */
const isSignal = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value

const invalid = (message: string) => new HoldfastError('INVALID', message)
