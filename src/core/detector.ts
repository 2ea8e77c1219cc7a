/**
 * How much a silence suggests that a member is dead: phi-accrual (Hayashibara, Défago, Yared, Katayama: "The φ Accrual Failure Detector",
 * SRDS 2004). phi = −log₁₀ of the probability that the next heartbeat comes later than now, if the intervals between heartbeats are
 * normally distributed as those seen so far. At phi 8 one suspicion in 10⁸ heartbeats is wrong, were that so.
 *
 * D1. The window is bounded; an interval longer than `longestIntervalMs` is an absence and not a sample.
 * D2. The deviation never counts as less than `leastDeviationMs`, so that a very regular member is not suspected for one late beat.
 * D3. `pauseMs` and the node's own event-loop lag are added to the interval that is expected: a node that was busy itself has
 *     heard late, and suspects nobody for it.
 * D4. phi never falls while nothing is heard, and is 0 before anything was.
 *
 * It informs; death is decided by leases (O5).
 */

export interface DetectorSettings {
  /** Intervals that are remembered. Default 100. */
  readonly samples: number
  /** Expected before there are samples: gossip's tick and one relay. Default 400 ms. */
  readonly firstIntervalMs: number
  /** Default 100 ms. */
  readonly leastDeviationMs: number
  /** Default 10 s. */
  readonly longestIntervalMs: number
  /** A pause that is nothing unusual, such as a garbage collection. Default 500 ms. */
  readonly pauseMs: number
}

export const defaultDetectorSettings: DetectorSettings = {
  samples: 100,
  firstIntervalMs: 400,
  leastDeviationMs: 100,
  longestIntervalMs: 10_000,
  pauseMs: 500,
}

/** From here on a member is called suspected. */
export const suspectPhi = 8

/** What is known of the heartbeats of one process of one member. */
export interface Arrivals {
  /** When it was last heard, monotonic ms; undefined before the first time. */
  readonly last: number | undefined
  /** Intervals, oldest first. */
  readonly intervals: readonly number[]
}

export const noArrivals: Arrivals = { last: undefined, intervals: [] }

export function heard(arrivals: Arrivals, now: number, settings: DetectorSettings = defaultDetectorSettings): Arrivals {
  if (arrivals.last === undefined) return { last: now, intervals: [] }
  const interval = now - arrivals.last
  if (interval > settings.longestIntervalMs) return { last: now, intervals: arrivals.intervals }
  return { last: now, intervals: [...arrivals.intervals, interval].slice(-settings.samples) }
}

/** `lagMs`: how late the event loop of this node itself was lately, at most (D3). */
export function phi(
  arrivals: Arrivals,
  now: number,
  lagMs: number,
  settings: DetectorSettings = defaultDetectorSettings,
): number {
  if (arrivals.last === undefined) return 0
  const { mean, deviation } = distributionOf(arrivals.intervals, settings)
  const late = (now - arrivals.last - (mean + settings.pauseMs + lagMs)) / deviation
  return phiOf(late)
}

function distributionOf(intervals: readonly number[], settings: DetectorSettings) {
  // Two samples about the first guess, so that the first real ones do not rule alone.
  const first = settings.firstIntervalMs
  const all = [first / 2, first + first / 2, ...intervals]
  const mean = all.reduce((sum, interval) => sum + interval, 0) / all.length
  const variance = all.reduce((sum, interval) => sum + (interval - mean) ** 2, 0) / all.length
  return { mean, deviation: Math.max(Math.sqrt(variance), settings.leastDeviationMs) }
}

/** −log₁₀ of the upper tail of the normal distribution, its logistic approximation: 1 / (1 + e^(y·(1.5976 + 0.070566·y²))). */
function phiOf(y: number): number {
  const exponent = y * (1.5976 + 0.070566 * y * y)
  // Beyond 30 the 1 is lost in the power, and further on the power would overflow.
  return exponent > 30 ? exponent / Math.LN10 : Math.log10(1 + Math.exp(exponent))
}
