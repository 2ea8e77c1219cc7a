/**
 * One watch of the registry: a consumer that delivers the last value of each key and then what comes (G3).
 *
 * W1. For each key the listener hears revisions that grow; nothing twice, also where the watch had to begin anew.
 * W2. The watch begins anew, and so tells what it missed, when the connection is back, when a message was lost, and when the
 *     server has been silent for longer than its heartbeats allow. Where that fails it tries again until it is closed.
 * W3. Deletions are told of keys that the listener has heard of only.
 * W4. A stored message is known by its reply subject, as in a reading (D5 of stream-reading.ts). One whose headers cannot be read does not say
 *     whether it is a deletion: it counts as delivered, and is passed over.
 */
import type { Msg } from '@nats-io/transport-node'
import type { Timer } from '../../ports/clock.ts'
import type { RegistryChange } from '../../ports/registry.ts'
import type { Subscription } from '../../ports/transport.ts'
import { plainBytes } from './bytes.ts'
import { deliveryOf, nanosPerMs, type JetStream } from './jetstream.ts'
import type { Link } from './link.ts'

export interface WatchParts {
  readonly link: Link
  readonly jetstream: JetStream
  readonly stream: string
  readonly filters: readonly string[]
  readonly keyOf: (subject: string) => string
  readonly listener: (change: RegistryChange) => void
}

const heartbeatMs = 5_000
/** Two heartbeats may fail. */
const silenceMs = 2.5 * heartbeatMs
const retryMs = 1_000
/** After a reconnect all nodes ask at once, else. */
const jitterMs = 250

export class RegistryWatch {
  readonly #parts: WatchParts
  readonly #inbox: string
  /** Of each key the last revision heard, and whether it was a value. */
  readonly #heard = new Map<string, { readonly revision: number; readonly present: boolean }>()
  readonly #reconnects: Subscription
  #messages: Subscription | undefined
  #consumer: string | undefined
  #attempt = 0
  #delivered = 0
  #timer: Timer | undefined
  #closed = false

  constructor(parts: WatchParts) {
    this.#parts = parts
    const { link } = parts
    this.#inbox = `${link.inboxRoot}.watch.${link.parts.random.id()}`
    this.#reconnects = link.listen({
      up: () => this.#beginIn(link.parts.random.next() * jitterMs),
    })
    this.#begin()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#end()
    this.#reconnects.close()
  }

  #begin(): void {
    this.#end()
    const { link, jetstream, stream, filters } = this.#parts
    const attempt = ++this.#attempt
    this.#delivered = 0
    // A new one each time: a former consumer may still deliver.
    const inbox = `${this.#inbox}.${attempt}`
    this.#messages = link.subscribe(inbox, (message) => this.#receive(message))
    this.#beginIn(silenceMs)
    jetstream
      .createConsumer(stream, {
        deliver_subject: inbox,
        deliver_policy: 'last_per_subject',
        filter_subjects: filters,
        idle_heartbeat: heartbeatMs * nanosPerMs,
        inactive_threshold: heartbeatMs * nanosPerMs,
      })
      .then(
        ({ name: consumer }) => {
          if (attempt === this.#attempt && !this.#closed) this.#consumer = consumer
          else jetstream.deleteConsumer(stream, consumer)
        },
        () => {
          if (attempt === this.#attempt && !this.#closed) this.#beginIn(retryMs)
        },
      )
  }

  #end(): void {
    const { link, jetstream, stream } = this.#parts
    link.parts.clock.clearTimeout(this.#timer)
    this.#messages?.close()
    if (this.#consumer !== undefined) jetstream.deleteConsumer(stream, this.#consumer)
    this.#consumer = undefined
  }

  #beginIn(delayMs: number): void {
    const { clock } = this.#parts.link.parts
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(() => this.#begin(), delayMs)
  }

  #receive(message: Msg): void {
    if (this.#closed) return
    if (!message.reply) return this.#onHeartbeat(message)
    const delivery = deliveryOf(message.reply)
    if (delivery?.delivered !== this.#delivered + 1) return this.#begin()
    this.#delivered++
    this.#beginIn(silenceMs)
    const operation = operationOf(message)
    if (operation === undefined) return
    const present = operation !== 'DEL' && operation !== 'PURGE'
    this.#tell(this.#parts.keyOf(message.subject), delivery.seq, present ? plainBytes(message.data) : null)
  }

  #onHeartbeat(message: Msg): void {
    const last = message.headers?.get('Nats-Last-Consumer') ?? ''
    // It knows of more than came.
    if (last !== '' && Number(last) !== this.#delivered) this.#begin()
    else this.#beginIn(silenceMs)
  }

  #tell(key: string, revision: number, value: Uint8Array | null): void {
    const heard = this.#heard.get(key)
    if (heard !== undefined && heard.revision >= revision) return
    this.#heard.set(key, { revision, present: value !== null })
    if (value === null && heard?.present !== true) return
    this.#parts.listener({ key, value, revision })
  }
}

/** `undefined`: nobody can read its headers (W4). */
function operationOf(message: Msg): string | undefined {
  try {
    return message.headers?.get('KV-Operation') ?? ''
  } catch {
    return undefined
  }
}
