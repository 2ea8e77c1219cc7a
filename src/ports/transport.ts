/**
 * Messages between processes: at most once, in order from one sender to one receiver while the
 * connection lasts, subjects and wildcards (`*`, `>`) as in NATS.
 *
 * T1. `publish` never blocks and never throws for the state of the network: while disconnected, or where the server has left too much
 *     unread, the message is lost, and counted before it returns.
 * T2. A message published with `reply` to a subject that nobody subscribes comes back to `reply`, empty, with `noResponders`.
 * T3. `flush` resolves when the server has processed everything published before it on this connection, except what is counted as lost; it
 *     rejects if the connection broke in between, since then some of it may be lost.
 * T4. A handler is called from the transport's own tick, one message after the other. What it throws is reported, and stops nothing.
 * T5. Of the subscribers with one `queue` name exactly one gets each message.
 * T6. After `close` no handler is called any more.
 * T7. Bytes given to `publish` are the caller's again when it returns.
 */
export interface Transport {
  /** Bytes that one message may hold at most, headers included. */
  readonly maxPayload: number
  readonly connected: boolean
  /** Messages that `publish` has lost so far (T1): whoever looks before and after knows whether his was one. */
  readonly lost: number
  /** Throws `INVALID` for a malformed subject or a payload above `maxPayload`. */
  publish(subject: string, data: Uint8Array, options?: PublishOptions): void
  subscribe(subject: string, handler: (message: Message) => void, options?: SubscribeOptions): Subscription
  flush(): Promise<void>
  /** A new subject under this transport's own inbox prefix, to be used with `reply`. */
  inbox(): string
  onStatus(listener: (status: TransportStatus) => void): Subscription
  close(): Promise<void>
}

/** `connected` also after a reconnect: subscriptions are in force again, what was published meanwhile is lost. */
export type TransportStatus = 'connected' | 'disconnected'

export interface PublishOptions {
  readonly reply?: string
  readonly headers?: Headers
}

export interface SubscribeOptions {
  readonly queue?: string
}

/** Header names as written; each has one value. */
export type Headers = Readonly<Record<string, string>>

export interface Message {
  readonly subject: string
  readonly data: Uint8Array
  readonly reply: string | undefined
  readonly headers: Headers | undefined
  /** The server's word that nobody listens (T2). */
  readonly noResponders: boolean
}

/** None where they cannot be read, which throws: what a message has as its headers is its sender's affair. */
export function readableHeaders(message: Message): Headers {
  try {
    return message.headers ?? {}
  } catch {
    return {}
  }
}

export interface Subscription {
  /** Ends it; idempotent. */
  close(): void
}
