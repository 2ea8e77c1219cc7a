/**
 * Requests that wait at a node until it serves their partition.
 *
 * Q1. They are bounded like a mailbox, in number and bytes, and by the memory of the node: one more is `OVERLOADED`.
 * Q2. Each has a copy of its input, whose frame is gone by then, and is given out with what is left of its patience.
 */
import type { Clock } from '../ports/clock.ts'
import { gauge, Refusals, type Metric } from '../ports/metrics.ts'
import { ownBytes } from '../protocol/own-bytes.ts'
import { overloadedBy, type Bound } from './answers.ts'
import { asking, withPatienceLeft } from './asked.ts'
import type { NodeMemory } from './node-memory.ts'
import type { Incoming } from './owner.ts'
import type { PartitionSettings } from './settings.ts'

export interface HeldRequestsOptions {
  readonly clock: Clock
  readonly settings: PartitionSettings
  readonly memory: NodeMemory
}

interface Held {
  readonly incoming: Incoming
  /** Monotonic ms. */
  readonly sinceMs: number
}

export class HeldRequests {
  readonly #options: HeldRequestsOptions
  readonly #refusals = new Refusals<Bound>('partition', ['held'])
  #held: Held[] | undefined
  /** Of the inputs. */
  #bytes = 0

  constructor(options: HeldRequestsOptions) {
    this.#options = options
  }

  /** Whether what comes is to be held. */
  get open(): boolean {
    return this.#held !== undefined
  }

  /** Idempotent. */
  begin(): void {
    this.#held ??= []
  }

  /** Holds it, or answers that there is no room (Q1). */
  add(incoming: Incoming): void {
    const { clock, settings, memory } = this.#options
    const { request } = incoming
    const { length } = request.input
    const held = (this.#held ??= [])
    const full = held.length >= settings.mailboxTurns || this.#bytes + length > settings.mailboxBytes
    if (full || !memory.hasRoom(length)) {
      this.#refusals.count('held')
      return incoming.respond(overloadedBy('held'))
    }
    this.#count(length)
    held.push({
      incoming: asking(incoming, { ...request, input: ownBytes(request.input) }),
      sinceMs: clock.monotonic(),
    })
  }

  /** All of them, in the order in which they came (Q2). From now on nothing is held. */
  end(): readonly Incoming[] {
    const held = this.#held ?? []
    this.#held = undefined
    this.#count(-this.#bytes)
    const nowMs = this.#options.clock.monotonic()
    return held.map(({ incoming, sinceMs }) => withPatienceLeft(incoming, nowMs - sinceMs))
  }

  metrics(): readonly Metric[] {
    const { mailboxTurns, mailboxBytes } = this.#options.settings
    return [
      gauge('holdfast_held_requests', this.#held?.length ?? 0, mailboxTurns),
      gauge('holdfast_held_bytes', this.#bytes, mailboxBytes),
      ...this.#refusals.metrics(),
    ]
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#options.memory.waitingBytes += bytes
  }
}
