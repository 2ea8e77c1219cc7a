/** A connection that keeps note of what its owner listens to, and of the last things that it sent: what an attacker on the wire can see. */
import type { Message, PublishOptions, SubscribeOptions, Subscription, Transport } from '../../src/ports/transport.ts'

export interface Sent {
  readonly subject: string
  readonly data: Uint8Array
  readonly reply: string | undefined
  readonly atMs: number
}

const mostSent = 64

export class HeardTransport implements Transport {
  readonly patterns = new Set<string>()
  readonly sent: Sent[] = []
  readonly #inner: Transport
  readonly #nowMs: () => number

  constructor(inner: Transport, nowMs: () => number) {
    this.#inner = inner
    this.#nowMs = nowMs
  }

  get maxPayload(): number {
    return this.#inner.maxPayload
  }

  get connected(): boolean {
    return this.#inner.connected
  }

  get lost(): number {
    return this.#inner.lost
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    this.#inner.publish(subject, data, options)
    // A small frame is a view of a block.
    this.sent.push({ subject, data: new Uint8Array(data), reply: options?.reply, atMs: this.#nowMs() })
    if (this.sent.length > mostSent) this.sent.shift()
  }

  subscribe(subject: string, handler: (message: Message) => void, options?: SubscribeOptions): Subscription {
    this.patterns.add(subject)
    return this.#inner.subscribe(subject, handler, options)
  }

  flush(): Promise<void> {
    return this.#inner.flush()
  }

  inbox(): string {
    return this.#inner.inbox()
  }

  onStatus(listener: (status: 'connected' | 'disconnected') => void): Subscription {
    return this.#inner.onStatus(listener)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
