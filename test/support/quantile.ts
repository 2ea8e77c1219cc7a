/** Of values in ascending order the least that at least `q` of them are not above; `undefined` of none. */
export const quantile = (sorted: readonly number[], q: number): number | undefined =>
  sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]
