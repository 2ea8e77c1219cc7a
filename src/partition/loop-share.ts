/**
 * What replays may take of the event loop, those of all partitions of a node together: meanwhile it goes on answering, renewing its lease and
 * gossiping.
 *
 * LS1. In each tick of the loop each replay may take in one record, and all of them more while they have taken less than `sliceMs`.
 */
import type { Clock } from '../ports/clock.ts'

export class LoopShare {
  readonly #clock: Clock
  readonly #sliceMs: number
  /** Until when more may be taken in in this tick, monotonic ms; undefined where nothing was. */
  #endsMs: number | undefined
  #nextTick: Promise<void> | undefined

  constructor(clock: Clock, sliceMs: number) {
    this.#clock = clock
    this.#sliceMs = sliceMs
  }

  /** `undefined`: the next record may be taken in now. Else resolves when it may. */
  turn(): Promise<void> | undefined {
    const nowMs = this.#clock.monotonic()
    return nowMs < (this.#endsMs ?? this.#begin(nowMs)) ? undefined : (this.#nextTick ??= this.#wait())
  }

  #begin(nowMs: number): number {
    this.#clock.defer(() => (this.#endsMs = undefined))
    return (this.#endsMs = nowMs + this.#sliceMs)
  }

  async #wait(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.defer(resolve))
    this.#nextTick = undefined
    this.#begin(this.#clock.monotonic())
  }
}
