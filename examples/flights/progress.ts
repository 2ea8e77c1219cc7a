/** Progress on one line: rewritten in place on a terminal, printed now and then elsewhere. */
import type { DemoCluster } from './cluster.ts'
import type { Meter } from './meter.ts'

const onTerminalEveryMs = 250
const elsewhereEveryMs = 2_000
const commandsOfFlight = 3
/** Of a terminal that does not say, in characters. */
const widthOfUnknown = 120

export class Progress {
  readonly #cluster: DemoCluster
  readonly #meter: Meter
  #flown = 0
  #timer: NodeJS.Timeout | undefined

  constructor(cluster: DemoCluster, meter: Meter) {
    this.#cluster = cluster
    this.#meter = meter
  }

  start(): void {
    this.#timer = setInterval(() => this.#show(), process.stdout.isTTY ? onTerminalEveryMs : elsewhereEveryMs)
  }

  flown(flights: number): void {
    this.#flown = flights
  }

  /** A line of its own, above the progress. */
  tell(text: string): void {
    console.log(process.stdout.isTTY ? `\r\x1b[K${text}` : text)
  }

  /** Shows how it stands once more, and ends. Idempotent. */
  stop(): void {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#show()
    if (process.stdout.isTTY) process.stdout.write('\n')
  }

  #show(): void {
    const { perSecond, p50Ms, p99Ms } = this.#meter.recent()
    const parts = [
      `${whole(this.#flown)} flights`,
      `${whole(perSecond / commandsOfFlight)}/s`,
      `${whole(this.#meter.count)} acks`,
      `p50 ${ms(p50Ms)} p99 ${ms(p99Ms)}`,
      `${whole(this.#cluster.watcher.taken)} changes`,
      [...this.#cluster.owned()].map(([node, partitions]) => `${node}:${partitions}`).join(' '),
    ]
    const line = `  ${parts.join(' · ')}`
    if (process.stdout.isTTY)
      process.stdout.write(`\r${line.slice(0, (process.stdout.columns || widthOfUnknown) - 1)}\x1b[K`)
    else console.log(line)
  }
}

export const whole = (n: number): string => Math.round(n).toLocaleString('en-US')
export const ms = (durationMs: number): string =>
  durationMs < 10 ? `${durationMs.toFixed(1)} ms` : `${whole(durationMs)} ms`
