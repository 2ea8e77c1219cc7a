/** One measured figure, as it is printed. */

export type Unit = 'ms' | '/s' | 'MB' | 'MB/s'

export interface Figure {
  readonly value: number
  readonly unit: Unit
  /** To another figure of the same run; which one is said where the figure is defined. */
  readonly ratio?: number
  /** CPU time that one operation took in each process, µs. */
  readonly cpu?: CpuShares
}

export interface CpuShares {
  readonly client: number
  readonly nodes: number
  readonly servers: number
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** By the nearest rank; `values` need no order. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}
