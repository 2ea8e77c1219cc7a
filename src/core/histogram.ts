/**
 * How often values of which size were seen: what a latency is kept as.
 *
 * B1. Observing allocates nothing and takes a few nanoseconds: it is done for every turn.
 * B2. Counts are by the first bound that is not below the value; above the last one they are in a place of their own.
 */
export interface HistogramReading {
  /** Of `counts`, but for the last one, which has no bound. */
  readonly bounds: readonly number[]
  /** Each by itself, not summed up. */
  readonly counts: readonly number[]
  readonly sum: number
}

export class Histogram {
  readonly #bounds: readonly number[]
  readonly #counts: Float64Array
  #sum = 0

  /** `bounds`: growing. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let i = 0
    while (i < bounds.length && value > bounds[i]!) i++
    this.#counts[i]!++
    this.#sum += value
  }

  get reading(): HistogramReading {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum }
  }
}
