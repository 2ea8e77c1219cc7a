/**
 * Commands and queries of counters with keys at random, through the public client.
 *
 * C1. Every answer to a query is checked: it is the number of the acknowledged commands, as long as none are on their way.
 */
import type { Holdfast } from '../src/index.ts'
import { Counter } from './counter.ts'
import { keyName, type Ledger } from './ledger.ts'

/** In flight where nothing is measured. */
const width = 1_024

export class CounterLoad {
  readonly #client: Holdfast
  readonly #ledger: Ledger

  /** `ledger`: of what the counters have had before. */
  constructor(client: Holdfast, ledger: Ledger) {
    this.#client = client
    this.#ledger = ledger
  }

  readonly add = () => this.addTo(this.#ledger.pick())

  readonly query = async () => {
    const key = this.#ledger.pick()
    this.#ledger.check(key, await this.#client.actor(Counter, keyName(key)).count())
  }

  /** Each key once. */
  fill(): Promise<void> {
    return this.#ledger.each(width, (key) => this.addTo(key))
  }

  /** Throws unless every counter's rev, and its count, is the number of its acknowledged commands. */
  readonly verify = () => this.#ledger.verify(width, (key) => this.#client.actor(Counter, key).rev())

  async addTo(key: number): Promise<void> {
    await this.#client.actor(Counter, keyName(key)).add(1)
    this.#ledger.wrote(key)
  }
}
