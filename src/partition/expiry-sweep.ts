/**
 * Looks from time to time for what has expired, and removes it by turns of the partition's own. Nobody waits for that: what has
 * expired is not there for anybody before (turn-loop.ts, N7).
 *
 * Y1. One look at a time; what it does not get to is left to the next one.
 * Y2. After `stop` it begins nothing, and ends nothing that it has begun.
 * Y3. What a turn is at work on is left to the next look.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import type { CachedActor } from './actor-cache.ts'
import { isOwnType, keyOf } from './names.ts'
import { versionAfter, type Outcome } from './outcome.ts'
import type { Replica } from './replica.ts'
import { FinishedTurn, StateChange } from './turn.ts'

export interface ExpirySweepOptions {
  readonly clock: Clock
  readonly replica: Replica
  readonly everyMs: number
  /** Partition time. */
  readonly now: () => number
  /** How long the tombstone of a deleted actor is kept, ms of partition time. */
  readonly tombstoneMs: number
  /** Y3 */
  readonly isBusy: (id: string) => boolean
  readonly finish: (finished: FinishedTurn) => void
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
    const { replica, now, isBusy } = this.#options
    const expiring = await replica.expired(now(), mostAtOnce)
    if (expiring.length === 0 || this.#stopped) return
    const actors = await replica.load(expiring.map(({ id }) => id))
    if (this.#stopped) return
    const nowMs = now()
    actors.forEach((actor, i) => {
      const { expiresAt } = actor.tip
      if (expiresAt === null || expiresAt > nowMs || isBusy(actor.id)) actor.holds--
      else this.#remove(actor, expiring[i]!.type)
    })
  }

  /** Deletes an entry, or collects a tombstone. The actor is held. */
  #remove(actor: CachedActor, type: string): void {
    const { replica, now, tombstoneMs, finish } = this.#options
    const before = actor.tip
    const collect = before.state === null || isOwnType(type)
    const after = collect
      ? replica.absent(actor.id, before.rev)
      : versionAfter(actor, tombstone, () => now() + tombstoneMs)
    actor.tip = after
    finish(new FinishedTurn(undefined, [new StateChange(actor, type, keyOf(actor.id), before, after)], noReply))
  }
}

const tombstone: Outcome = { state: null, expiresAt: null }
const noReply = new Uint8Array(0)
