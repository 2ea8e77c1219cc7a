import type { EntryContext } from '../behaviour/kv.ts'
import { decodeValue, encodeValue } from '../protocol/values.ts'
import type { Outcome } from './outcome.ts'
import type { StateArena } from './state-arena.ts'
import type { Version } from './store-layout.ts'
import type { Turn } from './turn.ts'

/**
 * What a command's handler sees. Its state is decoded from bytes for this turn alone: nothing that a handler keeps or changes
 * afterwards can reach the actor.
 */
export class TurnContext implements EntryContext {
  readonly #turn: Turn
  readonly #before: Version
  readonly #now: () => number
  readonly signal: AbortSignal
  #state: unknown
  #expiresAt: number | null
  #opened = false
  #destroyed = false
  /** Written also where it equals what was there. */
  #put = false
  #initial: Uint8Array | undefined

  /** `before`: as it counts now, so without a state where that has expired. */
  constructor(turn: Turn, before: Version, now: () => number, signal: AbortSignal) {
    this.#turn = turn
    this.#before = before
    // A tombstone's is not that of what is written in its place.
    this.#expiresAt = before.state === null ? null : before.expiresAt
    this.#now = now
    this.signal = signal
  }

  get type(): string {
    return this.#turn.type
  }

  get key(): string {
    return this.#turn.key
  }

  get rev(): number {
    return this.#before.rev
  }

  get exists(): boolean {
    return this.#before.state !== null
  }

  get state(): unknown {
    if (!this.#opened) {
      this.#opened = true
      if (this.#before.state === null) {
        this.#state = this.#turn.definition.initialState()
        this.#initial = encodeValue(this.#state)
      } else this.#state = decodeValue(this.#before.state)
    }
    return this.#state
  }

  set state(state: unknown) {
    if (!this.#opened && this.#before.state === null) this.#initial = encodeValue(this.#turn.definition.initialState())
    this.#opened = true
    this.#destroyed = false
    this.#state = state
  }

  put(value: unknown, expiresAt: number | null): void {
    this.#opened = true
    this.#destroyed = false
    this.#put = true
    this.#state = value
    this.#expiresAt = expiresAt
  }

  now(): number {
    return this.#now()
  }

  destroy(): void {
    this.#destroyed = true
  }

  /** With the state's bytes as they are kept; `undefined` if it is what it was. Throws `INVALID`. */
  outcome(states: StateArena): Outcome | undefined {
    const before = this.#before.state
    if (this.#destroyed) return before === null ? undefined : { state: null, expiresAt: null }
    if (!this.#opened) return undefined
    const state = states.write(this.#state)
    if (this.#put || Buffer.compare(state, before ?? this.#initial!) !== 0) return { state, expiresAt: this.#expiresAt }
    states.drop(state)
    return undefined
  }
}
