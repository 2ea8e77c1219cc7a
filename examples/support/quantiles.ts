/** What a set of times comes to. */
export interface Quantiles {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/** Of none: zeros. */
export function quantiles(valuesMs: readonly number[]): Quantiles {
  const sorted = Float64Array.from(valuesMs).sort()
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}
