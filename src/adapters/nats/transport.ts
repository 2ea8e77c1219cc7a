/**
 * The Transport port over a connection to NATS (T1–T7).
 *
 * What the link does not send while it is down, or above its bound, is lost (T1): the link has reported it, and here it is counted.
 */
import type { Metric } from '../../ports/metrics.ts'
import type {
  Message,
  PublishOptions,
  SubscribeOptions,
  Subscription,
  Transport,
  TransportStatus,
} from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Link } from './link.ts'
import { NatsMessage } from './message.ts'
import { checkHeaders, checkPattern, checkQueue, checkSubject } from './message-check.ts'
import { headerBlockBytes } from './outbound.ts'

export class NatsTransport implements Transport {
  readonly #link: Link
  readonly #hold: { close(): Promise<void> }
  readonly #subscriptions = new Set<Subscription>()
  readonly #statusListeners = new Set<(status: TransportStatus) => void>()
  readonly #watch: Subscription
  #inboxes = 0
  #lost = 0
  #closed = false

  constructor(link: Link) {
    this.#link = link
    this.#hold = link.hold()
    this.#watch = link.listen({ up: () => this.#tell('connected'), down: () => this.#tell('disconnected') })
  }

  get maxPayload(): number {
    return this.#link.maxPayload
  }

  get connected(): boolean {
    return !this.#closed && this.#link.connected
  }

  get lost(): number {
    return this.#lost
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    checkSubject(subject, 'subject')
    const reply = options?.reply
    if (reply !== undefined) checkSubject(reply, 'reply subject')
    const headers = options?.headers
    let size = data.length
    if (headers !== undefined) {
      checkHeaders(headers)
      size += headerBlockBytes(headers)
    }
    if (size > this.#link.maxPayload) {
      throw new HoldfastError(
        'INVALID',
        `this message has ${size} bytes, headers included, and the NATS server takes at most ${this.#link.maxPayload} (max_payload)`,
      )
    }
    if (this.#closed || !this.#link.send(subject, data, reply, headers)) this.#lost++
  }

  subscribe(subject: string, handler: (message: Message) => void, options?: SubscribeOptions): Subscription {
    checkPattern(subject)
    if (options?.queue !== undefined) checkQueue(options.queue)
    if (this.#closed) return { close() {} }
    const subscription = this.#link.subscribe(subject, (message) => handler(new NatsMessage(message)), options?.queue)
    this.#subscriptions.add(subscription)
    return {
      close: () => {
        this.#subscriptions.delete(subscription)
        subscription.close()
      },
    }
  }

  flush(): Promise<void> {
    if (!this.#closed) return this.#link.flush()
    return Promise.reject(new HoldfastError('RETRY', 'this connection was closed: open another'))
  }

  metrics(): readonly Metric[] {
    return this.#link.metrics()
  }

  inbox(): string {
    return `${this.#link.inboxRoot}.${++this.#inboxes}`
  }

  onStatus(listener: (status: TransportStatus) => void): Subscription {
    this.#statusListeners.add(listener)
    return { close: () => void this.#statusListeners.delete(listener) }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#watch.close()
    this.#statusListeners.clear()
    for (const subscription of this.#subscriptions) subscription.close()
    this.#subscriptions.clear()
    await this.#hold.close()
  }

  #tell(status: TransportStatus): void {
    for (const listener of [...this.#statusListeners]) {
      try {
        listener(status)
      } catch (error) {
        this.#link.parts.observer.emit({ type: 'handler.threw', where: `status ${status}`, error })
      }
    }
  }
}
