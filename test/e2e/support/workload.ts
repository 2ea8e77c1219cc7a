/**
 * Clients that append ids to ledgers, one command after the other, and write down what they were told of each.
 *
 * Q1. Every id is sent as one command, and is in the history from before it is sent.
 * Q2. A *patient* worker repeats a command whose outcome is UNKNOWN, with its id, until it knows. A *hasty* one leaves it at that.
 * Q3. An id that was refused is not sent again.
 * Q4. A reader asks strong queries all the time. How each answer ended is in the history.
 */
import { isHoldfastError, type Holdfast } from '../../../src/index.ts'
import { History } from '../../../src/testing/check/history.ts'
import type { ListInput, ListOutput } from '../../../src/testing/check/list.ts'
import { Ledger } from './ledger.ts'

/** How a command has ended. */
export type End = 'acknowledged' | 'unknown' | 'refused'

export interface WorkloadOptions {
  readonly keys: readonly string[]
  /** After each outcome. */
  readonly onNews: () => void
}

/** Nothing happened; a command of another id may do better. */
const refusals = new Set(['RETRY', 'TIMEOUT', 'OVERLOADED', 'FENCED'])

export class Workload {
  /** By `performance.now()`. */
  readonly history = new History<ListInput, ListOutput>()
  /** Errors that say neither. */
  readonly mistakes: string[] = []
  readonly #options: WorkloadOptions
  readonly #workers: Promise<void>[] = []
  #readers = 0
  readonly #ended = { acknowledged: 0, unknown: 0, refused: 0 }
  #repeated = 0
  readonly #acknowledged = new Map<string, number>()
  #stopping = false

  constructor(options: WorkloadOptions) {
    this.#options = options
  }

  /** Begins to work with `workers` commands at a time. */
  begin(client: Holdfast, workers: number, manner: 'patient' | 'hasty'): void {
    for (let i = 0; i < workers; i++) this.#workers.push(this.#work(client, manner, this.#workers.length))
  }

  /** Begins to read with `readers` queries at a time (Q4). */
  beginReading(client: Holdfast, readers: number): void {
    for (let i = 0; i < readers; i++) this.#workers.push(this.#read(client, this.#readers++))
  }

  /** Begins no more commands; resolves when all that were begun have their outcome. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#workers)
  }

  /** Commands that have ended so. */
  ended(kind: End): number {
    return this.#ended[kind]
  }

  /** Commands to this key that were acknowledged. */
  acknowledgedOf(key: string): number {
    return this.#acknowledged.get(key) ?? 0
  }

  /** Commands that were UNKNOWN at first, repeated, and then acknowledged. */
  get repeated(): number {
    return this.#repeated
  }

  /** Answers to queries that were not empty, counted once for each key and length. */
  get reads(): number {
    const reads = new Set<string>()
    for (const { key, input, outcome } of this.history) {
      if (input.kind !== 'read' || outcome.kind !== 'ok') continue
      const { length } = outcome.output as { readonly length: number }
      if (length > 0) reads.add(`${key} ${length}`)
    }
    return reads.size
  }

  async #work(client: Holdfast, manner: 'patient' | 'hasty', worker: number): Promise<void> {
    const { keys, onNews } = this.#options
    for (let n = worker; !this.#stopping; n++) {
      const key = keys[(n * 7) % keys.length]!
      const id = `${worker}-${n}`
      const end = await this.#append(client, key, id, manner, worker)
      if (end === undefined) return onNews()
      this.#ended[end]++
      if (end === 'acknowledged') this.#acknowledged.set(key, this.acknowledgedOf(key) + 1)
      onNews()
    }
  }

  async #read(client: Holdfast, reader: number): Promise<void> {
    const { keys } = this.#options
    for (let n = reader; !this.#stopping; n++) {
      const key = keys[(n * 5) % keys.length]!
      const operation = this.history.invoke(`reader ${reader}`, key, { kind: 'read' }, performance.now())
      let ids: readonly string[]
      try {
        ids = await client.actor(Ledger, key).all()
      } catch (error) {
        // A query changes nothing: where no answer came it is asked again.
        if (isHoldfastError(error, 'RETRY') || isHoldfastError(error, 'TIMEOUT')) continue
        return void this.mistakes.push(`reading ${key}: ${String(error)}`)
      }
      this.history.ok(operation, { length: ids.length, last: ids.at(-1) }, performance.now())
    }
  }

  /** `undefined`: a mistake; the worker ends. */
  async #append(
    client: Holdfast,
    key: string,
    id: string,
    manner: 'patient' | 'hasty',
    worker: number,
  ): Promise<End | undefined> {
    const { history } = this
    const operation = history.invoke(`worker ${worker}`, key, { kind: 'append', id }, performance.now())
    let ledger = client.actor(Ledger, key)
    for (let repeated = false; ;) {
      try {
        history.ok(operation, await ledger.append(id), performance.now())
        if (repeated) this.#repeated++
        return 'acknowledged'
      } catch (error) {
        if (isHoldfastError(error, 'UNKNOWN') && error.id !== undefined) {
          if (manner === 'hasty') {
            history.unknown(operation)
            return 'unknown'
          }
          repeated = true
          ledger = client.actor(Ledger, key).with({ id: error.id })
        } else if (isHoldfastError(error) && refusals.has(error.code) && !repeated) {
          history.failed(operation, error.code)
          return 'refused'
        } else {
          this.mistakes.push(`${id} of ${key}${repeated ? ' (repeated)' : ''}: ${String(error)}`)
          return undefined
        }
      }
    }
  }
}

/** The state of each ledger, by strong queries. */
export async function readBack(client: Holdfast, keys: readonly string[]): Promise<Map<string, readonly string[]>> {
  const states = await Promise.all(keys.map((key) => client.actor(Ledger, key).all()))
  return new Map(keys.map((key, i) => [key, states[i]!]))
}

export const isPrefix = (a: readonly string[] = [], b: readonly string[] = []): boolean =>
  a.every((id, i) => b[i] === id)
