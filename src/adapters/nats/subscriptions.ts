/**
 * The subscriptions of a link. nats.js forgets one that the server refuses; here each is held until it is closed.
 *
 * K10. One that is refused is asked for again: over each new connection, and every 5 s, since permissions that are put right while the
 *      server runs make no new connection.
 * K11. A refusal is told once, however often the server repeats it, until the server has taken the subscription.
 */
import type { Msg, NatsConnection, Subscription as NatsSubscription } from '@nats-io/transport-node'
import type { Timer } from '../../ports/clock.ts'
import type { Subscription } from '../../ports/transport.ts'
import type { Link } from './link.ts'
import type { Outbound } from './outbound.ts'

export interface SubscriptionsParts {
  readonly link: Link
  readonly connection: NatsConnection
  readonly outbound: Outbound
  /** The server has taken one whose refusal was told. */
  readonly onAllowed: (subject: string) => void
}

interface Held {
  readonly subject: string
  readonly queue: string | undefined
  readonly handler: (message: Msg) => void
  current: NatsSubscription | undefined
  open: boolean
  /** The server has refused what was asked last. */
  refused: boolean
  /** K11 */
  told: boolean
}

const askAgainMs = 5_000

export class Subscriptions {
  readonly #parts: SubscriptionsParts
  readonly #held = new Set<Held>()
  #timer: Timer | undefined

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts
  }

  /** What `handler` throws is reported (T4): to nats.js it would be the end of all reading. */
  add(subject: string, handler: (message: Msg) => void, queue?: string): Subscription {
    const held: Held = { subject, queue, handler, current: undefined, open: true, refused: false, told: false }
    this.#ask(held)
    this.#held.add(held)
    return {
      close: () => {
        if (!held.open) return
        held.open = false
        this.#held.delete(held)
        this.#parts.outbound.pushOut()
        held.current?.unsubscribe()
      },
    }
  }

  /**
   * The server has refused all to that subject, or those of the queue. False: it was told already (K11). nats.js does not hear of each: the
   * server need not name the queue of one that new permissions have ended.
   */
  refuse(subject: string, queue: string | undefined): boolean {
    const meant = [...this.#held].filter((held) => {
      return held.subject === subject && (queue === undefined || queue === held.queue)
    })
    const isNew = meant.length === 0 || meant.some((held) => !held.told)
    for (const held of meant) {
      held.told = true
      this.#setRefused(held)
    }
    return isNew
  }

  /** K10. Resolves when the server has answered; rejects where the link goes down before. */
  async renew(): Promise<void> {
    for (const held of this.#held) if (held.refused) this.#ask(held)
    await this.#parts.link.flush()
    for (const held of this.#held) {
      if (!held.told || held.refused) continue
      held.told = false
      this.#parts.onAllowed(held.subject)
    }
  }

  /** The link is down: `renew` comes with the next connection. */
  rest(): void {
    this.#parts.link.parts.clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #ask(held: Held): void {
    const { link, connection, outbound } = this.#parts
    const { subject, queue, handler } = held
    outbound.pushOut()
    held.current?.unsubscribe()
    held.refused = false
    held.current = connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (!held.open) return
        // The link hears of it, too, but maybe not before the answer to a flush.
        if (error !== null) return this.#setRefused(held)
        try {
          handler(message)
        } catch (thrown) {
          link.parts.observer.emit({ type: 'handler.threw', where: message.subject, error: thrown })
        }
      },
    })
  }

  #setRefused(held: Held): void {
    held.refused = true
    const { link } = this.#parts
    if (!link.up) return
    this.#timer ??= link.parts.clock.setTimeout(() => {
      this.#timer = undefined
      // Down before the answer: the next connection brings another.
      this.renew().catch(() => {})
    }, askAgainMs)
  }
}
