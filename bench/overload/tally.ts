/**
 * What became of the commands of one flood or of a probe.
 *
 * T1. A latency runs from when a command was due, not from when it was sent: a sender that falls behind hides nothing.
 * T2. `UNKNOWN` is no outcome: whoever sends repeats the command under its id until there is one.
 */
import { quantiles, type Quantiles } from '../../examples/support/quantiles.ts'
import { isHoldfastError } from '../../src/index.ts'

export interface Outcomes {
  readonly acknowledged: Quantiles
  readonly overloaded: Quantiles
  /** Of `retryAfterMs`; the least is 0 where one was missing. */
  readonly retryAfterMs: { readonly least: number; readonly most: number }
  /** Any other error, by its code. */
  readonly others: Readonly<Record<string, number>>
}

export class Tally {
  readonly #acknowledgedMs: number[] = []
  readonly #overloadedMs: number[] = []
  readonly #others: Record<string, number> = {}
  #leastMs = Number.POSITIVE_INFINITY
  #mostMs = 0

  get acknowledged(): number {
    return this.#acknowledgedMs.length
  }

  /** Latencies of what was acknowledged, in the order in which that came. */
  get latenciesMs(): readonly number[] {
    return this.#acknowledgedMs
  }

  /** Makes the call and repeats it as long as nobody can say what came of it. Rejects never. */
  async take(dueMs: number, call: (id: string | undefined) => Promise<unknown>): Promise<void> {
    let id: string | undefined
    for (;;) {
      try {
        await call(id)
        this.#acknowledgedMs.push(performance.now() - dueMs)
        return
      } catch (error) {
        if (isHoldfastError(error, 'UNKNOWN')) id = error.id
        else return this.#refused(error, performance.now() - dueMs)
      }
    }
  }

  outcomes(): Outcomes {
    return {
      acknowledged: quantiles(this.#acknowledgedMs),
      overloaded: quantiles(this.#overloadedMs),
      retryAfterMs: { least: this.#overloadedMs.length === 0 ? 0 : this.#leastMs, most: this.#mostMs },
      others: this.#others,
    }
  }

  #refused(error: unknown, afterMs: number): void {
    if (isHoldfastError(error, 'OVERLOADED')) {
      this.#overloadedMs.push(afterMs)
      this.#leastMs = Math.min(this.#leastMs, error.retryAfterMs ?? 0)
      this.#mostMs = Math.max(this.#mostMs, error.retryAfterMs ?? 0)
      return
    }
    const code = isHoldfastError(error) ? error.code : String(error)
    this.#others[code] = (this.#others[code] ?? 0) + 1
  }
}
