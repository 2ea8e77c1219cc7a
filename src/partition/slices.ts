/**
 * Turns run for a slice of time at most before what has arrived meanwhile is taken in, or refused (N8 of the turn loop).
 *
 * S1. In each tick of the event loop turns may run for `sliceMs`; the first one always may. What is left goes on in the next tick.
 * S2. Keys that wait for the next slice take turns: one with many waiting does not keep another one from its first.
 * S3. More may have come before the pace was known, or slower ones, than can be done in time: whenever the pace has changed, `paced` hears
 *     which keys wait.
 */
import { lookAtPace, unitMsAt, restingPace, unknownPace } from '../core/pace.ts'
import type { Clock } from '../ports/clock.ts'
import type { CachedActor } from './actor-cache.ts'

export interface SlicesOptions {
  readonly clock: Clock
  readonly sliceMs: number
  /** Runs what waits behind a key, as long as there is time; what is left it gives back by `later`. */
  readonly run: (actor: CachedActor) => void
  /** S3 */
  readonly paced: (waiting: readonly CachedActor[], nowMs: number) => void
}

export class Slices {
  readonly #clock: Clock
  readonly #sliceMs: number
  readonly #run: (actor: CachedActor) => void
  readonly #paced: (waiting: readonly CachedActor[], nowMs: number) => void
  /** Keys with turns that wait for the next slice; each is held. */
  #ready: CachedActor[] = []
  /** Until when turns may run in this tick, monotonic ms; undefined where none has. */
  #endsMs: number | undefined
  /** Work that has begun, and how fast it does. */
  #begun = 0
  #pace = unknownPace

  constructor({ clock, sliceMs, run, paced }: SlicesOptions) {
    this.#clock = clock
    this.#sliceMs = sliceMs
    this.#run = run
    this.#paced = paced
  }

  /** The key that is next, if any wait. */
  get next(): CachedActor | undefined {
    return this.#ready[0]
  }

  /** What a unit of work took of late, while keys waited; 0 where that is not known. */
  unitMs(nowMs: number): number {
    return unitMsAt(this.#pace, nowMs)
  }

  /** Whether turns may run in this tick still (S1). */
  hasTime(nowMs: number): boolean {
    if (this.#endsMs !== undefined) return nowMs < this.#endsMs
    this.#endsMs = nowMs + this.#sliceMs
    this.#clock.defer(this.#nextSlice)
    return true
  }

  /** A turn of so much work begins. */
  begin(work: number): void {
    this.#begun += work
  }

  later(actor: CachedActor): void {
    actor.holds++
    this.#ready.push(actor)
  }

  /** None of those that wait is run any more. */
  stop(): void {
    this.#ready = []
  }

  readonly #nextSlice = () => {
    this.#endsMs = undefined
    const ready = this.#ready
    if (ready.length === 0) {
      if (!this.#pace.rests) this.#pace = restingPace(this.#pace, this.#clock.monotonic())
      return
    }
    this.#look(ready)
    this.#ready = []
    let at = 0
    while (at < ready.length && this.hasTime(this.#clock.monotonic())) {
      const actor = ready[at++]!
      this.#run(actor)
      actor.holds--
    }
    // Those that have had their turn, and want another one, come behind those that have not (S2).
    this.#ready = [...ready.slice(at), ...this.#ready]
  }

  #look(ready: readonly CachedActor[]): void {
    const { unitMs } = this.#pace
    const nowMs = this.#clock.monotonic()
    this.#pace = lookAtPace(this.#pace, nowMs, this.#begun)
    if (this.#pace.unitMs !== unitMs && this.#pace.unitMs > 0) this.#paced(ready, nowMs)
  }
}
