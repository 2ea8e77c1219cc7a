/**
 * Looks from time to time for what has expired, and removes it by turns of the partition's own. Nobody waits for that: what has
 * expired is not there for anybody before (turn-loop.ts, N7).
 *
 * Y1. One look at a time; what it does not get to is left to the next one.
 * Y2. After `stop` it begins nothing, and ends nothing that it has begun.
 * Y3. What a turn is at work on is left to the next look.
 * Y4. A look that found as much as it may take is followed by another as soon as what it removed is committed, and not in a second: so what
 *     expires is removed as fast as the log and the store take it. Where these are behind already, it waits.
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
  /** Y4: no turn may begin now. */
  readonly isBehind: () => boolean
  readonly finish: (finished: FinishedTurn) => void
}

/** Removed at a time, so that other turns get in between. */
const mostAtOnce = 256

/** What is to be removed; it is held. */
interface Due {
  readonly actor: CachedActor
  readonly type: string
}

export class ExpirySweep {
  readonly #options: ExpirySweepOptions
  #timer: Timer | undefined
  #stopped = false

  constructor(options: ExpirySweepOptions) {
    this.#options = options
    this.#schedule(options.everyMs)
  }

  stop(): void {
    this.#stopped = true
    this.#options.clock.clearTimeout(this.#timer)
  }

  #schedule(afterMs: number): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimeout(() => {
      // A store that fails is reported by the replica, and ends the ownership.
      void this.#look()
        .catch(() => false)
        .then((goesOn) => {
          if (!goesOn) this.#schedule(this.#options.everyMs)
        })
    }, afterMs)
  }

  /** Whether the next look follows the commit of what this one has removed (Y4). */
  async #look(): Promise<boolean> {
    const { replica, now, isBusy, isBehind, everyMs, finish } = this.#options
    const expiring = await replica.expired(now(), mostAtOnce)
    if (expiring.length === 0 || this.#stopped) return false
    const actors = await replica.load(expiring.map(({ id }) => id))
    const nowMs = now()
    const due: Due[] = []
    actors.forEach((actor, i) => {
      const { expiresAt } = actor.tip
      if (this.#stopped || expiresAt === null || expiresAt > nowMs || isBusy(actor.id)) actor.holds--
      else due.push({ actor, type: expiring[i]!.type })
    })
    const last = expiring.length === mostAtOnce ? due.at(-1) : undefined
    // Not in the midst of a commit's effects: the store is written at a look, and must not be while a record is half in the replica.
    const goOn = () => this.#schedule(isBehind() ? everyMs : 0)
    for (const each of due) {
      finish(new FinishedTurn(undefined, [this.#removal(each)], noReply, undefined, each === last ? goOn : undefined))
    }
    return last !== undefined
  }

  /** The deletion of an entry, or the collection of a tombstone. */
  #removal({ actor, type }: Due): StateChange {
    const { replica, now, tombstoneMs } = this.#options
    const before = actor.tip
    const collect = before.state === null || isOwnType(type)
    const after = collect
      ? replica.absent(actor.id, before.rev)
      : versionAfter(actor, tombstone, () => now() + tombstoneMs)
    actor.tip = after
    return new StateChange(actor, type, keyOf(actor.id), before, after)
  }
}

const tombstone: Outcome = { state: null, expiresAt: null }
const noReply = new Uint8Array(0)
