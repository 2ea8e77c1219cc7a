import type { CommandContext } from '../behaviour/definition.ts'
import { decodeValue, encodeValue } from '../protocol/values.ts'
import type { Version } from './store-layout.ts'
import type { Turn } from './turn.ts'

/**
 * What a command's handler sees. Its state is decoded from bytes for this turn alone: nothing that a handler keeps or changes
 * afterwards can reach the actor.
 */
export class TurnContext implements CommandContext {
  readonly #turn: Turn
  readonly #before: Version
  readonly #now: () => number
  readonly signal: AbortSignal
  #state: unknown
  #opened = false
  #destroyed = false
  #initial: Uint8Array | undefined

  constructor(turn: Turn, before: Version, now: () => number, signal: AbortSignal) {
    this.#turn = turn
    this.#before = before
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

  now(): number {
    return this.#now()
  }

  destroy(): void {
    this.#destroyed = true
  }

  /** The state's bytes after the handler, `null` if it was destroyed, `undefined` if it is what it was. Throws `INVALID`. */
  outcome(): Uint8Array | null | undefined {
    const before = this.#before.state
    if (this.#destroyed) return before === null ? undefined : null
    if (!this.#opened) return undefined
    const after = encodeValue(this.#state)
    return Buffer.compare(after, before ?? this.#initial!) === 0 ? undefined : after
  }
}
