/** A scene measures figures that share a stage. It gets a folder and a teardown of its own, and ends with them. */
import type { Measured, Plan } from './rounds.ts'
import type { Surroundings } from './surroundings.ts'
import type { Unit } from './figure.ts'

export interface Scene {
  readonly name: string
  /** By name, in the order in which they are measured. */
  readonly figures: Readonly<Record<string, { readonly unit: Unit; readonly what: string }>>
  /** Others than Holdfast and NATS: they run where `--peers` or their names ask for them. Default false. */
  readonly peers?: boolean
  readonly run: (bench: Bench) => Promise<void>
}

export interface Bench extends Surroundings, Plan {
  readonly keys: number
  /** Whether this figure was asked for. */
  wants(name: string): boolean
  /** One that was not asked for is left out. */
  report(name: string, figure: Measured): void
  /** What was measured that is not ours, with versions. */
  used(what: string): void
  /** That these figures cannot be had here, which is no failure. */
  absent(names: readonly string[], reason: string): void
  /** What was reported before in this run. */
  value(name: string): number | undefined
}
