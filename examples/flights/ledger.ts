/**
 * What a watcher has seen: the last rev and state of each keyed actor.
 *
 * L1. A change is taken if and only if its rev is the one after the last: so what was taken is every rev once, in order, up to the last.
 */
import type { Totals, TotalsByActor } from './expectation.ts'

export interface SeenChange {
  readonly type: string
  readonly key: string
  readonly rev: number
  readonly state: unknown
}

export class Ledger {
  readonly #last = new Map<string, Totals>()
  #taken = 0

  /** How many changes were taken. */
  get taken(): number {
    return this.#taken
  }

  get totals(): TotalsByActor {
    return this.#last
  }

  lastRev(change: SeenChange): number {
    return this.#last.get(`${change.type}/${change.key}`)?.rev ?? 0
  }

  /** `repeated`: it, or a later one, was taken before. `gap`: one before it is missing. */
  take(change: SeenChange): 'taken' | 'repeated' | 'gap' {
    const last = this.lastRev(change)
    if (change.rev <= last) return 'repeated'
    if (change.rev > last + 1) return 'gap'
    const state = (change.state ?? {}) as Totals['state']
    this.#last.set(`${change.type}/${change.key}`, { state, rev: change.rev })
    this.#taken++
    return 'taken'
  }
}
