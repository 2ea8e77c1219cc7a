/** The watcher of the embedded mode: `hf.watch` of both actor types, which promises every change once and in order. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Change, Holdfast, Watch } from '../../src/index.ts'
import { Airport, Route } from './actors.ts'
import type { Watcher } from './cluster.ts'
import { Ledger } from './ledger.ts'
import type { WatchReport } from './watch-report.ts'

/** How long changes that were committed may take to come. */
const patienceMs = 15_000

export class ClientWatcher implements Watcher {
  readonly #ledger = new Ledger()
  readonly #faults: string[] = []
  readonly #watches: readonly Watch<unknown>[]
  readonly #ended: Promise<unknown>

  constructor(client: Holdfast) {
    this.#watches = [client.watch(Airport), client.watch(Route)]
    this.#ended = Promise.all(this.#watches.map((watch) => this.#follow(watch)))
  }

  get taken(): number {
    return this.#ledger.taken
  }

  /** Resolves once no change that is committed from now on can be missed. */
  async ready(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.ready()))
  }

  async finish(changes: number): Promise<WatchReport> {
    const deadlineMs = performance.now() + patienceMs
    while (this.taken < changes && performance.now() < deadlineMs) await sleep(20)
    await this.close()
    // Here nothing is ever repeated: `watch` has taken it out already.
    return { taken: this.taken, repeated: 0, replays: 0, faults: this.#faults, totals: this.#ledger.totals }
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) watch.close()
    await this.#ended
  }

  async #follow(watch: AsyncIterable<Change<unknown>>): Promise<void> {
    try {
      for await (const change of watch) {
        const how = this.#ledger.take(change)
        if (how !== 'taken') this.#faults.push(`${change.type}/${change.key}: watch gave rev ${change.rev}: ${how}`)
      }
    } catch (error) {
      this.#faults.push(`a watch ended: ${String(error)}`)
    }
  }
}
