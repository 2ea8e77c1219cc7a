/**
 * What the parts of a node or a client say of how full they are. It is asked for, never pushed: between two questions it costs nothing.
 *
 * Q1. Whoever owns what can grow says so itself, with its limit; whoever composes parts composes what they say, and adds labels. There is
 *     no list of all of them in the source, which would forget; docs/limits.md has one, and a test holds the two equal.
 * Q2. Names are as Prometheus has them: `holdfast_`, what is counted, the unit last; counters end in `_total`.
 * Q3. A part says all of its metrics always, also those that are 0.
 */
export type Labels = Readonly<Record<string, string>>

/** How much there is now of what is bounded. */
export interface Gauge {
  readonly kind: 'gauge'
  readonly name: string
  readonly labels: Labels
  readonly value: number
  /** In the unit of the value. What happens there is in docs/limits.md. */
  readonly limit: number
}

/** How often something has happened since the part began. */
export interface Counter {
  readonly kind: 'counter'
  readonly name: string
  readonly labels: Labels
  readonly value: number
}

export type Metric = Gauge | Counter

export const gauge = (name: string, value: number, limit: number, labels: Labels = noLabels): Gauge => ({
  kind: 'gauge',
  name,
  labels,
  value,
  limit,
})

export const counter = (name: string, value: number, labels: Labels = noLabels): Counter => ({
  kind: 'counter',
  name,
  labels,
  value,
})

/** The same metrics, each with these labels besides its own. */
export const labelled = (labels: Labels, metrics: readonly Metric[]): readonly Metric[] =>
  metrics.map((metric) => ({ ...metric, labels: { ...labels, ...metric.labels } }))

const noLabels: Labels = {}

/** The answers `OVERLOADED` of one part, by the bound that was reached. */
export class Refusals<Reason extends string> {
  readonly #where: string
  readonly #counts: Record<Reason, number>

  /** `reasons`: all that there are (Q3). */
  constructor(where: string, reasons: readonly Reason[]) {
    this.#where = where
    this.#counts = Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<Reason, number>
  }

  count(reason: Reason): void {
    this.#counts[reason]++
  }

  metrics(): readonly Metric[] {
    const counts = Object.entries<number>(this.#counts)
    return counts.map(([reason, count]) => counter(refusalsName, count, { where: this.#where, reason }))
  }
}

const refusalsName = 'holdfast_overloaded_total'
