/**
 * The keyed actors of one partition that are in memory. Bounded by bytes: past the budget the least lately used ones that nobody
 * holds leave (second chance); they are read from the store when next wanted.
 *
 * Y1. The budget is looked at whenever something comes in or grows. A few actors are looked at for each, so that one that finds all of
 *     them held costs no more than another.
 */
import { noShare } from '../core/hashing.ts'
import type { Rev } from '../protocol/ids.ts'
import { isKeptId } from './names.ts'
import { StateArena } from './state-arena.ts'
import type { Version } from './store-layout.ts'

/** Nothing is known of it: never written, or its tombstone was collected. */
export const absent = (rev: Rev): Version => ({ rev, state: null, expiresAt: null, ...noShare })

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
  /** Its last version is not in the store yet. */
  dirty: boolean
  /** It is what is kept under an idempotency key. */
  readonly kept: boolean
  /** By when the store has it to expire. */
  storedExpiry: number | null
  /** The type of what expires: the store's row for it says so. */
  type: string | undefined
}

/** What one cached actor weighs beside its state and id. */
const overheadBytes = 384
/** Actors that are looked at each time, at most (Y1). */
const mostChances = 64

export class ActorCache {
  readonly #budgetBytes: () => number
  readonly #actors = new Map<string, CachedActor>()
  /** Where states are kept. */
  readonly states = new StateArena()
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
    const kept = this.#kept(version)
    const actor: CachedActor = {
      id,
      committed: kept,
      tip: kept,
      holds,
      turns: 0,
      used: true,
      dirty: false,
      kept: isKeptId(id),
      storedExpiry: version.expiresAt,
      type: undefined,
    }
    this.#actors.set(id, actor)
    this.#bytes += weight(id, version)
    this.#keepBudget(actor)
    return actor
  }

  commit(actor: CachedActor, version: Version): void {
    const { state } = actor.committed
    this.#bytes += (version.state?.length ?? 0) - (state?.length ?? 0)
    if (state !== null) this.states.release(state)
    const kept = this.#kept(version)
    actor.committed = kept
    if (actor.tip === version) actor.tip = kept
    this.#keepBudget(actor)
  }

  /** Moves states together, if they are spread over too much memory. Call it now and then. */
  compact(): void {
    const sparse = this.states.sparse()
    if (sparse === undefined) return
    for (const actor of this.#actors.values()) {
      const { committed, tip } = actor
      const { state } = committed
      // `buffer` of a small array would give it memory outside of the heap.
      if (state === null || this.states.keepsAlone(state.length) || !sparse.has(state.buffer)) continue
      actor.committed = { ...committed, state: this.states.keep(state) }
      if (tip === committed) actor.tip = actor.committed
      this.states.release(state)
    }
  }

  /** Its state may stay: it lies where nothing else is kept by it (state-arena.ts). */
  #kept(version: Version): Version {
    const { state } = version
    return state === null || this.states.keeps(state) ? version : { ...version, state: this.states.keep(state) }
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
        if (actor.committed.state !== null) this.states.release(actor.committed.state)
      }
    }
  }
}

const weight = (id: string, version: Version) => overheadBytes + 2 * id.length + (version.state?.length ?? 0)
