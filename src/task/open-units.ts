/** The units of a lane that are on their way to the log: bounded in number and bytes. */
import type { Unit } from '../partition/unit.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Signal } from './signal.ts'

const mostUnits = 256
const mostBytes = 1_024 * 1_024

export class OpenUnits {
  readonly #signal: Signal
  #units = 0
  #bytes = 0

  /** `signal` changes with each unit that is committed. */
  constructor(signal: Signal) {
    this.#signal = signal
  }

  get none(): boolean {
    return this.#units === 0
  }

  get full(): boolean {
    return this.#units >= mostUnits || this.#bytes >= mostBytes
  }

  metrics(): readonly Metric[] {
    return [
      gauge('holdfast_task_units', this.#units, mostUnits),
      gauge('holdfast_task_unit_bytes', this.#bytes, mostBytes),
    ]
  }

  commit(unit: Unit): void {
    const { bytes } = unit
    this.#units++
    this.#bytes += bytes
    unit.commit(() => {
      this.#units--
      this.#bytes -= bytes
      this.#signal.change()
    })
  }
}
