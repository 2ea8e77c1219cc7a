/**
 * Brings to a publisher the committed records that it owes, read again from the history.
 *
 * PU1. One run at a time. What is committed meanwhile is left to it: behind its end it runs again, until nothing is owed.
 * PU2. Where the log cannot be read it says so, and runs again a little later. If the log is gone for good, the committer finds out and stops
 *      the partition.
 * PU3. Where something was lost on its way out it rests, and runs again a little later: a server that reads too slowly reads no faster for
 *      being told more.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import { messageOf } from '../protocol/errors.ts'
import type { PartitionId } from '../protocol/ids.ts'

export interface PumpOptions {
  readonly partition: PartitionId
  readonly clock: Clock
  readonly observer: Observer
  /** What is published, as people call it. */
  readonly what: string
  /** Whether something is owed, and can be published now. */
  readonly isOwed: () => boolean
  /** Publishes what is owed. Rejects where the log cannot be read. */
  readonly publishOwed: () => Promise<void>
  /** A run has come to its end. */
  readonly onDone: () => void
}

const againAfterMs = 200

export class Pump {
  readonly #options: PumpOptions
  #runs = false
  #rests = false
  #stopped = false
  #timer: Timer | undefined

  constructor(options: PumpOptions) {
    this.#options = options
  }

  get runs(): boolean {
    return this.#runs
  }

  run(): void {
    const { isOwed, publishOwed, onDone } = this.#options
    if (this.#runs || this.#rests || this.#stopped || !isOwed()) return
    this.#runs = true
    publishOwed().then(
      () => {
        this.#runs = false
        this.run()
        onDone()
      },
      (error: unknown) => {
        this.#runs = false
        this.#readAgain(error)
      },
    )
  }

  /** Nothing is published for a while (PU3). */
  rest(): void {
    this.#rests = true
    this.#runLater()
  }

  stop(): void {
    this.#stopped = true
    this.#options.clock.clearTimeout(this.#timer)
  }

  #readAgain(error: unknown): void {
    if (this.#stopped) return
    const { partition, observer, what } = this.#options
    const reason = `${what} cannot be read again: ${messageOf(error)}`
    observer.emit({ type: 'partition.trouble', partition, reason })
    this.#runLater()
  }

  #runLater(): void {
    const { clock } = this.#options
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(() => {
      this.#rests = false
      this.run()
    }, againAfterMs)
  }
}
