/**
 * The keyed actors of one partition that are in memory. Bounded by bytes: past the budget the least lately used ones that nobody
 * holds leave (second chance); they are read from the store when next wanted.
 *
 * Y1. The budget is looked at whenever something comes in or grows. A few actors are looked at for each, so that one that finds all of
 *     them held costs no more than another.
 */
import { noShare } from '../core/hashing.ts'
import type { Rev } from '../protocol/ids.ts'
import type { Version } from './store-layout.ts'

/** Nothing is known of it: never written, or its tombstone was collected. */
export const absent = (rev: Rev): Version => ({ rev, state: null, share: noShare, expiresAt: null })

export interface CachedActor {
  /** Type token and key: unique in the partition. */
  readonly id: string
  /** What the log has for certain: queries read this. */
  committed: Version
  /** What the next turn begins from: the outcome of turns that are not committed yet, else the same as `committed`. */
  tip: Version
  /** Loads, turns and store writes under way; while there are any, the actor stays. */
  holds: number
  /** Turns that have begun and are not answered. */
  turns: number
  used: boolean
  /** By when the store has it to expire. */
  storedExpiry: number | null
  /** The type of what expires: the store's row for it says so. */
  type: string | undefined
}

/** What one cached actor weighs beside its state and id. */
const overheadBytes = 248
/** Actors that are looked at each time, at most (Y1). */
const mostChances = 64

export class ActorCache {
  readonly #budgetBytes: () => number
  readonly #actors = new Map<string, CachedActor>()
  #bytes = 0

  /** `budgetBytes`: as of now. */
  constructor(budgetBytes: () => number) {
    this.#budgetBytes = budgetBytes
  }

  get size(): number {
    return this.#actors.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get budgetBytes(): number {
    return this.#budgetBytes()
  }

  get(id: string): CachedActor | undefined {
    const actor = this.#actors.get(id)
    if (actor !== undefined) actor.used = true
    return actor
  }

  /** `holds`: of those who wait for it. */
  add(id: string, version: Version, holds: number): CachedActor {
    const actor: CachedActor = {
      id,
      committed: version,
      tip: version,
      holds,
      turns: 0,
      used: true,
      storedExpiry: version.expiresAt,
      type: undefined,
    }
    this.#actors.set(id, actor)
    this.#bytes += weight(id, version)
    this.#keepBudget(actor)
    return actor
  }

  commit(actor: CachedActor, version: Version): void {
    this.#bytes += (version.state?.length ?? 0) - (actor.committed.state?.length ?? 0)
    actor.committed = version
    this.#keepBudget(actor)
  }

  #keepBudget(keep: CachedActor): void {
    const budgetBytes = this.#budgetBytes()
    if (this.#bytes <= budgetBytes) return
    let chances = Math.min(this.#actors.size, mostChances)
    for (const actor of this.#actors.values()) {
      if (this.#bytes <= budgetBytes || chances-- <= 0) return
      if (actor === keep || actor.holds > 0 || actor.used) {
        actor.used = false
        this.#actors.delete(actor.id)
        this.#actors.set(actor.id, actor)
      } else {
        this.#actors.delete(actor.id)
        this.#bytes -= weight(actor.id, actor.committed)
      }
    }
  }
}

const weight = (id: string, version: Version) => overheadBytes + 2 * id.length + (version.state?.length ?? 0)
