/** A scene measures figures that share a stage. It gets a folder and a teardown of its own, and ends with them. */
import type { Figure, Unit } from './figure.ts'
import type { Surroundings } from './stage.ts'

export interface Scene {
  /** By name, in the order in which they are measured. */
  readonly figures: Readonly<Record<string, { readonly unit: Unit; readonly what: string }>>
  readonly run: (bench: Bench) => Promise<void>
}

export interface Bench extends Surroundings {
  readonly rounds: number
  /** Of one round. */
  readonly seconds: number
  readonly keys: number
  /** Whether this figure was asked for. */
  wants(name: string): boolean
  report(name: string, figure: Omit<Figure, 'unit'>): void
  /** What was reported before in this run. */
  value(name: string): number | undefined
}
