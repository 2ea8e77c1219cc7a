/**
 * Looks from time to time for what has expired, and has it removed by turns of the partition's own. Nobody waits for that: what has
 * expired is not there for anybody before (turn-loop.ts, N7).
 *
 * Y1. One look at a time; what it does not get to is left to the next one.
 * Y2. After `stop` it begins nothing.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import type { Expiring, Replica } from './replica.ts'

export interface ExpirySweepOptions {
  readonly clock: Clock
  readonly replica: Replica
  readonly everyMs: number
  /** Partition time. */
  readonly now: () => number
  readonly expire: (expiring: readonly Expiring[]) => Promise<void>
}

/** Removed at a time, so that other turns get in between. */
const mostAtOnce = 256

export class ExpirySweep {
  readonly #options: ExpirySweepOptions
  #timer: Timer | undefined
  #stopped = false

  constructor(options: ExpirySweepOptions) {
    this.#options = options
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    this.#options.clock.clearTimeout(this.#timer)
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimeout(() => {
      // A store that fails is reported by the replica, and ends the ownership.
      void this.#look()
        .catch(() => {})
        .then(() => this.#schedule())
    }, this.#options.everyMs)
  }

  async #look(): Promise<void> {
    const { replica, now, expire } = this.#options
    const expiring = await replica.expired(now(), mostAtOnce)
    if (expiring.length > 0 && !this.#stopped) await expire(expiring)
  }
}
