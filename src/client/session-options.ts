/** What a session is made of and takes, and what it gives besides values. */
import type { Clock } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Random } from '../ports/random.ts'
import type { Tracer } from '../ports/tracer.ts'
import type { Transport } from '../ports/transport.ts'
import type { Cursor } from '../protocol/cursor.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { CommandId } from './command-id.ts'

export interface SessionPorts {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
  /** Default: nobody collects spans. */
  readonly tracer?: Tracer | undefined
}

export interface SessionOptions {
  readonly cluster: string
  /** Patience of a request that names none, ms. Default 10,000: longer than a takeover, shorter than a user's. */
  readonly timeoutMs?: number
  /** The first attempt is repeated after this, the second after twice that, and so on. Default 1,000. */
  readonly attemptTimeoutMs?: number
  /** Most requests outstanding; `OVERLOADED` beyond. Default 65,536. */
  readonly maxOutstanding?: number
  /** Most bytes of their inputs; likewise. Default 256 MiB. */
  readonly maxOutstandingBytes?: number
  /** The node that is asked first for what a standby may answer. Default: all in turn. */
  readonly near?: NodeId
  /** Whether later reads see at least what earlier ones saw. Default `true`. One that speaks for many who know nothing of each other does not. */
  readonly remembers?: boolean
}

/** A result, and what it was made from. */
export interface Measured<T> {
  readonly value: T
  /**
   * The state that was read was the owner's at most so long before the reply came, ms. Of a strong query, and of a command, this is no more
   * than the time that the call has taken.
   */
  readonly ageMs: number
  /** Of the last record that the reply could have seen: for `with({ after: cursor })`, of any client, and for `watch({ from: cursor })`. */
  readonly cursor: string
}

export interface RequestOptions {
  /** Default: the session's. */
  readonly timeoutMs?: number | undefined
  /** Repeats this command instead of beginning a new one. Queries have no need of it and ignore it. */
  readonly id?: CommandId | undefined
  readonly signal?: AbortSignal | undefined
  /** Of a command or tell, 1 to 256 bytes of UTF-8: it takes effect once for its key, within 24 h. Queries ignore it. */
  readonly idempotencyKey?: string | undefined
  /** Of a query: a standby may answer whose state is not older. Default: the owner answers, strongly. Commands and tells ignore it. */
  readonly maxStalenessMs?: number | undefined
  /** Of a query: it sees at least what these cursors stand behind. Commands and tells ignore it: they always do. */
  readonly after?: readonly Cursor[] | undefined
  /** The W3C traceparent that it belongs to. Default: the span that is active. */
  readonly traceparent?: string | undefined
}
