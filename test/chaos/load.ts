/**
 * The load of one strike: many clients that append to ledgers, transfer between counters, put and compare-and-set entries of a store, and
 * read all of them, on keys that no other strike uses; and what they were told.
 *
 * W1. A worker has one operation under way at a time. A few are hasty: what is UNKNOWN to them stays so.
 * W2. Every value that is written is written once: so a history tells who saw what.
 * W3. A transfer takes from one counter and then gives to another, each until it is acknowledged: nothing else changes the sums.
 */
import { isHoldfastError, type Holdfast } from '../../src/index.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Counter, Ledger } from '../e2e/support/ledger.ts'
import type { Histories } from './histories.ts'
import { told } from './told.ts'

export interface LoadOptions {
  /** Begins all its keys and values. */
  readonly name: string
  readonly histories: Histories
  /** Of each kind. */
  readonly keys: number
  /** Workers for each client. */
  readonly patient: readonly { readonly client: Holdfast; readonly workers: number }[]
  readonly hasty: readonly { readonly client: Holdfast; readonly workers: number }[]
}

const mostTransferred = 1_000
export const store = 'chaos'

interface Worker {
  readonly name: string
  readonly client: Holdfast
  readonly patient: boolean
  readonly random: SeededRandom
}

export class Load {
  readonly #options: LoadOptions
  readonly #workers: Promise<void>[] = []
  #writes = 0
  #values = 0
  #stopping = false

  constructor(options: LoadOptions) {
    this.#options = options
  }

  /** Acknowledged so far. */
  get writes(): number {
    return this.#writes
  }

  begin(): void {
    const { name, patient, hasty } = this.#options
    const all = [
      ...patient.map((some) => ({ ...some, patient: true })),
      ...hasty.map((some) => ({ ...some, patient: false })),
    ]
    for (const { client, workers, patient } of all) {
      for (let i = 0; i < workers; i++) {
        const worker = `${name}-${this.#workers.length}`
        this.#workers.push(this.#work({ name: worker, client, patient, random: new SeededRandom(worker) }))
      }
    }
  }

  /** Begins nothing more; resolves when all that was begun has its outcome. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#workers)
  }

  async #work(worker: Worker): Promise<void> {
    while (!this.#stopping) {
      const draw = worker.random.next()
      if (draw < 0.35) await this.#append(worker)
      else if (draw < 0.45) await this.#readLedger(worker)
      else if (draw < 0.6) await this.#transfer(worker)
      else if (draw < 0.65) await this.#readCounter(worker)
      else if (draw < 0.9) await this.#put(worker)
      else await this.#compareAndSet(worker)
    }
  }

  async #append({ name, client, patient, random }: Worker): Promise<void> {
    const { ledgers, mistakes } = this.#options.histories
    const [key, id] = [this.#key(random), this.#value()]
    const ledger = client.actor(Ledger, key)
    const length = await told({
      ...{ history: ledgers, client: name, key, patient, onMistake: (what) => mistakes.push(what) },
      input: { kind: 'append', id },
      send: (again) => (again === undefined ? ledger : ledger.with({ id: again })).append(id),
    })
    if (length !== undefined) this.#writes++
  }

  async #readLedger({ name, client, patient, random }: Worker): Promise<void> {
    const { ledgers, mistakes } = this.#options.histories
    const key = this.#key(random)
    await told({
      ...{ history: ledgers, client: name, key, patient, onMistake: (what) => mistakes.push(what) },
      input: { kind: 'read' },
      async send() {
        const ids = await client.actor(Ledger, key).all()
        return { length: ids.length, last: ids.at(-1) }
      },
    })
  }

  /** W3 */
  async #transfer(worker: Worker): Promise<void> {
    const amount = 1 + worker.random.below(mostTransferred)
    if (await this.#add(worker, this.#key(worker.random), -amount)) {
      await this.#add(worker, this.#key(worker.random), amount)
    }
  }

  /** `false`: a hasty worker does not know, and one that is patient was given up on. */
  async #add({ name, client, patient }: Worker, key: string, amount: number): Promise<boolean> {
    const { counters, mistakes } = this.#options.histories
    const counter = client.actor(Counter, key)
    const sum = await told({
      ...{ history: counters, client: name, key, patient, onMistake: (what) => mistakes.push(what) },
      input: { kind: 'add', amount },
      send: (again) => (again === undefined ? counter : counter.with({ id: again })).add(amount),
    })
    if (sum !== undefined) this.#writes++
    return sum !== undefined
  }

  async #readCounter({ name, client, patient, random }: Worker): Promise<void> {
    const { counters, mistakes } = this.#options.histories
    const key = this.#key(random)
    await told({
      ...{ history: counters, client: name, key, patient, onMistake: (what) => mistakes.push(what) },
      input: { kind: 'read' },
      send: () => client.actor(Counter, key).sum(),
    })
  }

  async #put({ name, client, random }: Worker): Promise<void> {
    const { entries, mistakes } = this.#options.histories
    const [key, value] = [this.#key(random), this.#value()]
    const written = await told({
      ...{ history: entries, client: name, key, patient: false, onMistake: (what) => mistakes.push(what) },
      input: { kind: 'write', value },
      send: async () => (await client.kv<string>(store).put(key, value)) > 0,
    })
    if (written !== undefined) this.#writes++
  }

  async #compareAndSet({ name, client, random }: Worker): Promise<void> {
    const { entries, mistakes } = this.#options.histories
    const [key, value] = [this.#key(random), this.#value()]
    const asking = {
      history: entries,
      client: name,
      key,
      patient: false,
      onMistake: (what: string) => mistakes.push(what),
    }
    let rev: number | undefined
    const expected = await told({
      ...asking,
      input: { kind: 'read' },
      async send() {
        const entry = await client.kv<string>(store).entry(key)
        rev = entry?.rev
        return entry?.value ?? null
      },
    })
    if (rev === undefined || expected === undefined) return
    const written = await told({
      ...asking,
      input: { kind: 'cas', expected, value },
      send: () => replaced(client, key, value, rev!),
    })
    if (written === true) this.#writes++
  }

  #key(random: SeededRandom): string {
    const { name, keys } = this.#options
    return `${name}-${random.below(keys)}`
  }

  /** W2 */
  #value(): string {
    return `${this.#options.name}.${this.#values++}`
  }
}

/** A value is of one rev: who knows the one knows the other. */
async function replaced(client: Holdfast, key: string, value: string, rev: number): Promise<boolean> {
  try {
    await client.kv<string>(store).update(key, value, { rev })
    return true
  } catch (error) {
    if (isHoldfastError(error, 'CONFLICT')) return false
    throw error
  }
}
