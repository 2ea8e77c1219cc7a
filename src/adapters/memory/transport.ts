/**
 * One connection to a `MemoryHub` (T1–T7 of the Transport port).
 */
import type { Observer } from '../../ports/observer.ts'
import type {
  Message,
  PublishOptions,
  SubscribeOptions,
  Subscription,
  Transport,
  TransportStatus,
} from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { MemoryHub } from './hub.ts'
import type { Link } from './link.ts'
import { checkPattern, checkPayload, checkQueue, checkSubject } from './message-check.ts'

/** One subscription. */
export interface Listener {
  readonly transport: MemoryTransport
  readonly subject: string
  readonly queue: string | undefined
  /** Null once it is closed. */
  handler: ((message: Message) => void) | null
}

export interface MemoryTransportOptions {
  readonly hub: MemoryHub
  readonly link: Link
  readonly inbox: string
  readonly observer: Observer
}

const noBytes = new Uint8Array()

export class MemoryTransport implements Transport {
  readonly #options: MemoryTransportOptions
  readonly #listeners = new Set<Listener>()
  /** Those of `#listeners`, and closed ones, that the hub has; touched at the hub's side only. */
  readonly #atHub = new Set<Listener>()
  readonly #statusListeners = new Set<(status: TransportStatus) => void>()
  readonly #flushes = new Set<(error: HoldfastError) => void>()
  readonly #linkWatch: Subscription
  #inboxes = 0
  #lost = 0
  #closed = false

  constructor(options: MemoryTransportOptions) {
    this.#options = options
    options.link.onServer((up) => (up ? this.#enter(this.#listeners) : this.#leave(this.#atHub)))
    this.#linkWatch = options.link.onNode((up) => this.#nodeSide(up))
  }

  get maxPayload(): number {
    return this.#options.hub.maxPayload
  }

  get connected(): boolean {
    return !this.#closed && this.#options.link.up
  }

  get lost(): number {
    return this.#lost
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    checkSubject(subject)
    if (options?.reply !== undefined) checkSubject(options.reply, 'reply subject')
    checkPayload(data, options?.headers, this.maxPayload)
    const { hub, link } = this.#options
    if (!this.connected) {
      this.#lost++
      return
    }
    if (link.loses()) return
    const message: Message = {
      subject,
      data: data.length === 0 ? noBytes : new Uint8Array(data),
      reply: options?.reply,
      headers: options?.headers && Object.keys(options.headers).length > 0 ? { ...options.headers } : undefined,
      noResponders: false,
    }
    const route = () => hub.route(this, message)
    link.toServer(route)
    link.maybeAgain(route)
  }

  subscribe(subject: string, handler: (message: Message) => void, options?: SubscribeOptions): Subscription {
    checkPattern(subject)
    if (options?.queue !== undefined) checkQueue(options.queue)
    const listener: Listener = { transport: this, subject, queue: options?.queue, handler }
    if (!this.#closed) {
      this.#listeners.add(listener)
      this.#options.link.toServer(() => this.#enter([listener]))
    }
    return {
      close: () => {
        if (listener.handler === null) return
        listener.handler = null
        this.#listeners.delete(listener)
        this.#options.link.toServer(() => this.#leave([listener]))
      },
    }
  }

  flush(): Promise<void> {
    const { link } = this.#options
    if (this.#closed) return Promise.reject(new HoldfastError('RETRY', 'this connection is closed: open another'))
    if (!link.up) return Promise.reject(disconnected())
    return new Promise((resolve, reject) => {
      this.#flushes.add(reject)
      link.toServer(() =>
        link.toNode(() => {
          this.#flushes.delete(reject)
          resolve()
        }),
      )
    })
  }

  inbox(): string {
    return `${this.#options.inbox}.${++this.#inboxes}`
  }

  onStatus(listener: (status: TransportStatus) => void): Subscription {
    this.#statusListeners.add(listener)
    return { close: () => void this.#statusListeners.delete(listener) }
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#closed = true
    for (const listener of this.#listeners) listener.handler = null
    this.#listeners.clear()
    this.#statusListeners.clear()
    this.#linkWatch.close()
    this.#options.link.toServer(() => this.#leave(this.#atHub))
    this.#failFlushes(new HoldfastError('RETRY', 'this connection was closed before the flush was answered'))
    return Promise.resolve()
  }

  /** For the hub. */
  deliver(listener: Listener, message: Message): void {
    const { link } = this.#options
    if (!link.loses()) link.toNode(() => this.#call(listener, message))
  }

  /** For the hub: it tells the sender alone, and only where the sender itself listens for the reply. */
  deliverNoResponders(reply: string): void {
    const { hub } = this.#options
    const message: Message = { subject: reply, data: noBytes, reply: undefined, headers: undefined, noResponders: true }
    for (const listener of hub.listenersOf(this, reply)) this.deliver(listener, message)
  }

  #call(listener: Listener, message: Message): void {
    if (listener.handler === null) return
    try {
      listener.handler(message)
    } catch (error) {
      this.#options.observer.emit({ type: 'handler.threw', where: message.subject, error })
    }
  }

  #enter(listeners: Iterable<Listener>): void {
    for (const listener of listeners) {
      if (listener.handler === null || this.#atHub.has(listener)) continue
      this.#atHub.add(listener)
      this.#options.hub.add(listener)
    }
  }

  #leave(listeners: Iterable<Listener>): void {
    for (const listener of [...listeners]) {
      if (this.#atHub.delete(listener)) this.#options.hub.remove(listener)
    }
  }

  #nodeSide(up: boolean): void {
    if (up) {
      // Those that were asked for, and those that were closed, while the connection was coming back.
      const listeners = [...this.#listeners]
      this.#options.link.toServer(() => {
        this.#leave([...this.#atHub].filter(({ handler }) => handler === null))
        this.#enter(listeners)
      })
    } else this.#failFlushes(disconnected())
    const status = up ? 'connected' : 'disconnected'
    this.#options.observer.emit({ type: `transport.${status}` })
    for (const listener of [...this.#statusListeners]) {
      try {
        listener(status)
      } catch (error) {
        this.#options.observer.emit({ type: 'handler.threw', where: `transport.${status}`, error })
      }
    }
  }

  #failFlushes(error: HoldfastError): void {
    for (const reject of this.#flushes) reject(error)
    this.#flushes.clear()
  }
}

const disconnected = () =>
  new HoldfastError(
    'RETRY',
    'the connection is broken: what was published may be lost; wait for "connected" and try again',
  )
