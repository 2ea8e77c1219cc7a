/**
 * Measures the load: acknowledgements, latencies, silences.
 *
 * M1. A command's latency runs from when its flight was due to when its acknowledgement came: what waits to be sent counts as well.
 * M2. A silence is the time between two acknowledgements, of whatever commands, that followed each other.
 * M3. An episode lasts from its moment to that of the next. A silence or a command belongs to the episode in which it began; what was under
 *     way at the moment of the first belongs to that one.
 */
import { quantiles, type Quantiles } from '../support/quantiles.ts'

/** What is shown while it runs covers the last so many ms. */
const recentMs = 2_000

export interface Episode {
  readonly longestSilenceMs: number
  readonly longestLatencyMs: number
}

interface Acknowledgement {
  readonly atMs: number
  readonly latencyMs: number
}

interface OpenEpisode {
  readonly fromMs: number
  longestSilenceMs: number
  longestLatencyMs: number
}

export class Meter {
  readonly #nowMs: () => number
  readonly #latenciesMs: number[] = []
  readonly #episodes: OpenEpisode[] = []
  #recent: Acknowledgement[] = []
  #firstMs = 0
  #lastMs = 0

  /** `nowMs`: any clock that never goes back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  start(): void {
    this.#firstMs = this.#lastMs = this.#nowMs()
  }

  acknowledged(dueMs: number): void {
    const atMs = this.#nowMs()
    const latencyMs = atMs - dueMs
    const silentSinceMs = this.#lastMs
    this.#lastMs = atMs
    this.#latenciesMs.push(latencyMs)
    this.#recent.push({ atMs, latencyMs })
    const silenced = this.#episodeOf(silentSinceMs)
    if (silenced !== undefined) silenced.longestSilenceMs = Math.max(silenced.longestSilenceMs, atMs - silentSinceMs)
    const slowed = this.#episodeOf(dueMs)
    if (slowed !== undefined) slowed.longestLatencyMs = Math.max(slowed.longestLatencyMs, latencyMs)
  }

  /** An episode begins. The result changes as long as it lasts. */
  episode(): Episode {
    const episode = { fromMs: this.#nowMs(), longestSilenceMs: 0, longestLatencyMs: 0 }
    this.#episodes.push(episode)
    return episode
  }

  #episodeOf(beganMs: number): OpenEpisode | undefined {
    return this.#episodes.findLast(({ fromMs }) => fromMs <= beganMs) ?? this.#episodes[0]
  }

  get count(): number {
    return this.#latenciesMs.length
  }

  /** From the start to the last acknowledgement. */
  get elapsedMs(): number {
    return this.#lastMs - this.#firstMs
  }

  get overall(): Quantiles {
    return quantiles(this.#latenciesMs)
  }

  /** Of the last two seconds, with the acknowledgements in each of them. */
  recent(): Quantiles & { readonly perSecond: number } {
    const nowMs = this.#nowMs()
    const sinceMs = Math.max(nowMs - recentMs, this.#firstMs)
    this.#recent = this.#recent.filter(({ atMs }) => atMs > sinceMs)
    const perSecond = nowMs > sinceMs ? (this.#recent.length * 1_000) / (nowMs - sinceMs) : 0
    return { perSecond, ...quantiles(this.#recent.map(({ latencyMs }) => latencyMs)) }
  }
}
