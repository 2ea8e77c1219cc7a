/**
 * One connection to NATS, shared by the transport, the changelog and the registry of a node.
 *
 * K3. While the link is down nothing is handed to nats.js: it would keep some of it and send it after the reconnect.
 * K4. The link is `up` when the server takes messages again, `connected` when it has taken the subscriptions, too: between
 *     the two lies a round trip. Listeners hear of the second.
 * K5. A flush rejects if the link goes down before the answer; nats.js alone would answer it after the reconnect (T3).
 * K6. Bytes that the server does not read are bounded: above the bound messages are lost, and each is reported.
 * K7. It never gives up: it reconnects for ever, until the last of those that hold it has closed.
 */
import {
  errors,
  NatsConnectionImpl,
  type Msg,
  type NatsConnection,
  type PermissionViolationError,
  type Status,
} from '@nats-io/transport-node'
import type { Clock } from '../../ports/clock.ts'
import { counter, gauge, type Metric } from '../../ports/metrics.ts'
import type { Observer } from '../../ports/observer.ts'
import type { Random } from '../../ports/random.ts'
import type { Headers, Subscription } from '../../ports/transport.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { connectError } from './connect-error.ts'
import { checkSettings, type CheckedSettings } from './connection-options.ts'
import { Outbound } from './outbound.ts'
import { PullBudget } from './pull-budget.ts'
import { checkVersion } from './server-version.ts'
import type { NatsSettings } from './settings.ts'
import { backlogOf, senderOf, useHeldSockets, type HeldOptions } from './socket.ts'
import { Subscriptions } from './subscriptions.ts'

export interface NatsParts {
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
}

export interface Denial {
  readonly operation: 'publish' | 'subscribe'
  readonly subject: string
}

export interface LinkListener {
  /** The connection broke. */
  down?(): void
  /** Subscriptions are in force again; what was published meanwhile is lost. */
  up?(): void
  /** The server does not let this user do that; `reason` is a sentence. */
  denied?(denial: Denial, reason: string): void
  /** A subscription to that subject, which was denied, is in force. */
  allowed?(subject: string): void
}

const pulledBytes = 8 * 1024 * 1024
/** How long `close` waits for the server to take what was published before. */
const farewellMs = 1_000

export class Link {
  readonly parts: NatsParts
  readonly settings: CheckedSettings
  /** Subjects under it are this connection's own. */
  readonly inboxRoot: string
  readonly pullBudget = new PullBudget(pulledBytes)
  readonly #connection: NatsConnection
  /** Aborted where nothing may be dialled any more (K12). */
  readonly #ending: AbortController
  readonly #outbound: Outbound
  readonly #subscriptions: Subscriptions
  readonly #listeners = new Set<LinkListener>()
  readonly #flushes = new Set<(error: HoldfastError) => void>()
  #flushing: Promise<void> | undefined
  #up = true
  #connected = true
  #closing: Promise<void> | undefined
  #holders = 0
  #dropped = 0
  #maxPayload: number

  private constructor(
    connection: NatsConnection,
    settings: CheckedSettings,
    parts: NatsParts,
    ending: AbortController,
  ) {
    this.#connection = connection
    this.#ending = ending
    this.#outbound = new Outbound(senderOf(connection))
    this.#subscriptions = new Subscriptions({
      link: this,
      connection,
      outbound: this.#outbound,
      onAllowed: (subject) => this.#tell('allowed', (listener) => listener.allowed?.(subject)),
    })
    this.settings = settings
    this.parts = parts
    this.inboxRoot = `${settings.inboxPrefix}.${parts.random.id()}`
    this.#maxPayload = connection.info?.max_payload ?? 0
  }

  /** Throws `RETRY` where no server answers, `INVALID` for wrong settings, refused credentials and a server that is too old. */
  static async connect(settings: NatsSettings, parts: NatsParts): Promise<Link> {
    const checked = checkSettings(settings)
    useHeldSockets()
    let connection: NatsConnection
    let socketError: Error | undefined
    const ending = new AbortController()
    try {
      const options: HeldOptions = {
        ...checked.options,
        onSocketError: (error) => (socketError ??= error),
        isClosed: () => ending.signal.aborted,
      }
      connection = await NatsConnectionImpl.connect(options)
    } catch (cause) {
      throw connectError(checked.servers, cause instanceof errors.TimeoutError ? (socketError ?? cause) : cause)
    }
    try {
      checkVersion(connection.info?.version, connection.getServer())
    } catch (error) {
      ending.abort()
      await connection.close()
      throw error
    }
    const link = new Link(connection, checked, parts, ending)
    void link.#watch()
    parts.observer.emit({ type: 'transport.connected' })
    return link
  }

  get up(): boolean {
    return this.#up
  }

  get connected(): boolean {
    return this.#connected
  }

  get maxPayload(): number {
    // Unknown while it reconnects: the last server's word holds.
    return (this.#maxPayload = this.#connection.info?.max_payload ?? this.#maxPayload)
  }

  get offersJetStream(): boolean {
    return this.#connection.info?.jetstream === true
  }

  get server(): string {
    return this.#connection.getServer()
  }

  metrics(): readonly Metric[] {
    const waiting = backlogOf(this.#connection) + this.#outbound.pending
    return [
      gauge('holdfast_nats_backlog_bytes', waiting, this.settings.maxBacklogBytes),
      counter('holdfast_nats_dropped_total', this.#dropped),
      gauge('holdfast_nats_pulled_bytes', this.pullBudget.taken, this.pullBudget.limit),
    ]
  }

  /**
   * False: it was not sent, and never will be. The subject, the headers and the size must have been checked; `headers` is a block of them
   * (outbound.ts).
   */
  send(subject: string, data: Uint8Array, reply?: string, headers?: Headers): boolean {
    if (!this.#up) return false
    if (backlogOf(this.#connection) + this.#outbound.pending > this.settings.maxBacklogBytes) {
      this.#dropped++
      this.parts.observer.emit({ type: 'message.dropped', subject, reason: 'overflow' })
      return false
    }
    // It closed for good, and `#watch` has not heard yet.
    if (this.#connection.isClosed()) return false
    this.#outbound.publish(subject, data, reply, headers)
    return true
  }

  /** Until it is closed, whatever the server says (subscriptions.ts). */
  subscribe(subject: string, handler: (message: Msg) => void, queue?: string): Subscription {
    if (this.#closing !== undefined || this.#connection.isClosed()) return { close() {} }
    return this.#subscriptions.add(subject, handler, queue)
  }

  /** Of all that ask in one tick one question goes to the server, at its end. */
  flush(): Promise<void> {
    if (!this.#up) return Promise.reject(this.#broken())
    return (this.#flushing ??= this.#askForFlush())
  }

  #askForFlush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#flushes.add(reject)
      // With what was published before it, which leaves at the same time.
      process.nextTick(() => {
        this.#flushing = undefined
        // Where the link has gone down meanwhile it was rejected.
        if (!this.#flushes.has(reject)) return
        this.#outbound.pushOut()
        this.#connection
          .flush()
          .then(resolve, (cause: unknown) => reject(new HoldfastError('RETRY', messageOf(cause), { cause })))
          .finally(() => this.#flushes.delete(reject))
      })
    })
  }

  listen(listener: LinkListener): Subscription {
    this.#listeners.add(listener)
    return { close: () => void this.#listeners.delete(listener) }
  }

  /** One more user of the link. It closes with the `close` of the last. */
  hold(): { close(): Promise<void> } {
    this.#holders++
    let held = true
    return {
      close: () => {
        if (held) this.#holders--
        held = false
        return this.#holders === 0 ? this.#close() : Promise.resolve()
      },
    }
  }

  #close(): Promise<void> {
    return (this.#closing ??= this.#sayFarewell())
  }

  async #sayFarewell(): Promise<void> {
    const { clock } = this.parts
    if (this.#up) {
      let timer
      const late = new Promise<void>((resolve) => (timer = clock.setTimeout(resolve, farewellMs)))
      await Promise.race([this.flush().catch(() => {}), late])
      clock.clearTimeout(timer)
    }
    this.#goDown()
    this.#ending.abort()
    await this.#connection.close()
  }

  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) this.#on(status)
    if (this.#closing !== undefined) return
    this.#goDown()
    this.#report(`the connection to NATS has ended for good: start this process again`)
  }

  #on(status: Status): void {
    if (status.type === 'disconnect') this.#goDown()
    else if (status.type === 'reconnect' && this.#closing === undefined) this.#comeUp()
    else if (status.type === 'error') {
      if (status.error instanceof errors.PermissionViolationError) this.#deny(status.error)
      else this.#report(status.error.message)
    }
  }

  #deny({ operation, subject, queue }: PermissionViolationError): void {
    const denied: Denial = { operation: operation === 'publish' ? 'publish' : 'subscribe', subject }
    if (denied.operation === 'subscribe' && !this.#subscriptions.refuse(subject, queue)) return
    const reason = `the NATS server does not let this user ${denied.operation} to "${subject}": allow it in the permissions of this user's role, or use a user of another role`
    this.parts.observer.emit({ type: 'transport.error', reason, denied })
    this.#tell('denied', (listener) => listener.denied?.(denied, reason))
  }

  #goDown(): void {
    if (!this.#up) return
    this.#up = false
    this.#outbound.clear()
    this.#subscriptions.rest()
    const heard = this.#connected && this.#closing === undefined
    this.#connected = false
    for (const reject of this.#flushes) reject(this.#broken())
    this.#flushes.clear()
    if (heard) this.parts.observer.emit({ type: 'transport.disconnected' })
    this.#tell('down', (listener) => listener.down?.())
  }

  #comeUp(): void {
    this.#up = true
    try {
      checkVersion(this.#connection.info?.version, this.server)
    } catch (error) {
      // It was of the right version when this process started: better served by an old one than by none.
      this.#report(messageOf(error))
    }
    this.#subscriptions.renew().then(
      () => {
        this.#connected = true
        this.parts.observer.emit({ type: 'transport.connected' })
        this.#tell('up', (listener) => listener.up?.())
      },
      // Down again: the next reconnect begins anew.
      () => {},
    )
  }

  #tell(what: string, call: (listener: LinkListener) => void): void {
    for (const listener of [...this.#listeners]) {
      try {
        call(listener)
      } catch (error) {
        this.parts.observer.emit({ type: 'handler.threw', where: `link ${what}`, error })
      }
    }
  }

  #report(reason: string): void {
    this.parts.observer.emit({ type: 'transport.error', reason })
  }

  #broken(): HoldfastError {
    return this.#closing === undefined
      ? new HoldfastError(
          'RETRY',
          'the connection to NATS is broken: what was published may be lost; wait until it is back',
        )
      : new HoldfastError('RETRY', 'the connection to NATS was closed: open another')
  }
}
