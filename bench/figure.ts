/** One measured figure, as it is printed. */

export type Unit = 'ms' | '/s' | 'MB' | 'MB/s'

export interface Figure {
  readonly value: number
  readonly unit: Unit
  /** To another figure of the same run; which one is said where the figure is defined. */
  readonly ratio?: number
  /** Of one operation. */
  readonly times?: Times
  /** That one operation took in processes of each kind, µs; 0 where there are none of them, `NaN` where the system does not tell. */
  readonly cpu?: Cpu
}

export interface Times {
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Cpu {
  readonly client: number
  readonly nodes: number
  readonly servers: number
}

/** Of an even number of values the mean of the middle two; `NaN` of none. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort()
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2
}
