/** Somebody who watches the counters of all probes from the beginning of a world to its end, and misses nothing. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Holdfast } from '../../src/index.ts'
import { WatchCheck } from '../../src/testing/check/watch.ts'
import { Counter } from '../e2e/support/ledger.ts'

const lookEveryMs = 20
const patienceMs = 60_000

export class Watcher {
  readonly #check = new WatchCheck({ name: 'the watcher' })
  readonly #revs = new Map<string, number>()
  readonly #ended: Promise<void>
  readonly #close: () => void

  constructor(client: Holdfast, prefix: string) {
    const watch = client.watch(Counter, { prefix, from: 'start' })
    this.#close = () => watch.close()
    this.#ended = (async () => {
      for await (const { key, rev, reset = false, deleted = false } of watch) {
        this.#check.saw({ key, rev, reset, deleted })
        this.#revs.set(key, rev)
      }
    })()
  }

  /** Resolves when it has seen these revs, or has had time enough for it. */
  async seen(revs: ReadonlyMap<string, number>): Promise<void> {
    const endMs = performance.now() + patienceMs
    while (![...revs].every(([key, rev]) => this.#revs.get(key) === rev) && performance.now() < endMs) {
      await delay(lookEveryMs)
    }
  }

  /** A sentence for each thing that is wrong, given how often each counter was changed in all. */
  async end(revs: ReadonlyMap<string, number>): Promise<readonly string[]> {
    await this.seen(revs)
    this.#close()
    await this.#ended
    this.#check.end(revs)
    return this.#check.wrong
  }
}
