/**
 * Metrics in the shape in which Prometheus has them: families of one name, type and meaning, each with its series.
 *
 * They are made when they are asked for, of what the parts of a node count by themselves.
 */
import type { HistogramReading } from '../core/histogram.ts'
import type { Labels } from './metrics.ts'

export type Family =
  | {
      readonly kind: 'gauge' | 'counter'
      readonly name: string
      readonly help: string
      readonly series: readonly Series<number>[]
    }
  | {
      readonly kind: 'histogram'
      readonly name: string
      readonly help: string
      readonly series: readonly Series<HistogramReading>[]
    }

export interface Series<Value> {
  readonly labels: Labels
  readonly value: Value
}
