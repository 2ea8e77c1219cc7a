/**
 * Clients that append ids to ledgers, one command after the other, and write down what they were told of each.
 *
 * Q1. Every id is sent as one command, and is in the history from before it is sent.
 * Q2. A *patient* worker repeats a command whose outcome is UNKNOWN, with its id, until it knows. A *hasty* one leaves it at that.
 * Q3. An id that was refused is not sent again.
 * Q4. A reader asks strong queries all the time. Each answer has at least what had been acknowledged when it was asked; what it ended
 *     with is written down.
 */
import { isHoldfastError, type Holdfast } from '../../../src/index.ts'
import { Ledger } from './ledger.ts'

export type Outcome =
  | { readonly kind: 'acknowledged'; readonly place: number }
  /** It may have happened. */
  | { readonly kind: 'unknown' }
  /** It did not happen. */
  | { readonly kind: 'refused'; readonly code: string }

export interface Entry {
  readonly key: string
  outcome: Outcome
  /** It was UNKNOWN at first, and repeated. */
  repeated: boolean
}

export interface WorkloadOptions {
  readonly keys: readonly string[]
  /** After each outcome. */
  readonly onNews: () => void
}

/** Nothing happened; a command of another id may do better. */
const refusals = new Set(['RETRY', 'TIMEOUT', 'OVERLOADED', 'FENCED'])

export class Workload {
  /** By id. */
  readonly history = new Map<string, Entry>()
  /** Errors that say neither. */
  readonly mistakes: string[] = []
  readonly #options: WorkloadOptions
  readonly #workers: Promise<void>[] = []
  /** By key and length of the list that was read, the last id of it. */
  readonly #reads = new Map<string, { readonly key: string; readonly length: number; readonly last: string }>()
  #readers = 0
  readonly #highest = new Map<string, number>()
  readonly #ended = { acknowledged: 0, unknown: 0, refused: 0 }
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
  ended(kind: Outcome['kind']): number {
    return this.#ended[kind]
  }

  /** Commands to this key that were acknowledged. */
  acknowledgedOf(key: string): number {
    return this.#acknowledged.get(key) ?? 0
  }

  /** Answers to queries that were not empty, counted once for each key and length. */
  get reads(): number {
    return this.#reads.size
  }

  /** What was read and is not how the lists begin, a sentence each. */
  misreadings(states: ReadonlyMap<string, readonly string[]>): readonly string[] {
    const wrong = [...this.#reads.values()].filter(({ key, length, last }) => states.get(key)?.[length - 1] !== last)
    return wrong.map(({ key, length, last }) => `${key} was read with ${last} as number ${length}, where it is not`)
  }

  count(which: (entry: Entry) => boolean): number {
    return [...this.history.values()].filter(which).length
  }

  async #work(client: Holdfast, manner: 'patient' | 'hasty', worker: number): Promise<void> {
    const { keys, onNews } = this.#options
    for (let n = worker; !this.#stopping; n++) {
      const key = keys[(n * 7) % keys.length]!
      const id = `${worker}-${n}`
      const entry: Entry = { key, outcome: { kind: 'unknown' }, repeated: false }
      this.history.set(id, entry)
      if (!(await this.#append(client, id, entry, manner))) return onNews()
      const { kind } = entry.outcome
      this.#ended[kind]++
      if (entry.outcome.kind === 'acknowledged') {
        this.#acknowledged.set(key, this.acknowledgedOf(key) + 1)
        this.#highest.set(key, Math.max(this.#highest.get(key) ?? 0, entry.outcome.place))
      }
      onNews()
    }
  }

  async #read(client: Holdfast, reader: number): Promise<void> {
    const { keys } = this.#options
    for (let n = reader; !this.#stopping; n++) {
      const key = keys[(n * 5) % keys.length]!
      const least = this.#highest.get(key) ?? 0
      let ids: readonly string[]
      try {
        ids = await client.actor(Ledger, key).all()
      } catch (error) {
        // A query changes nothing: where no answer came it is asked again.
        if (isHoldfastError(error, 'RETRY') || isHoldfastError(error, 'TIMEOUT')) continue
        return void this.mistakes.push(`reading ${key}: ${String(error)}`)
      }
      const last = ids.at(-1)
      if (ids.length < least)
        this.mistakes.push(`${key} was read with ${ids.length} ids, when ${least} were acknowledged`)
      if (last !== undefined) this.#reads.set(`${key} ${ids.length}`, { key, length: ids.length, last })
    }
  }

  /** `false`: a mistake; the worker ends. */
  async #append(client: Holdfast, id: string, entry: Entry, manner: 'patient' | 'hasty'): Promise<boolean> {
    let ledger = client.actor(Ledger, entry.key)
    for (;;) {
      try {
        entry.outcome = { kind: 'acknowledged', place: await ledger.append(id) }
        return true
      } catch (error) {
        if (isHoldfastError(error, 'UNKNOWN') && error.id !== undefined) {
          if (manner === 'hasty') return true
          entry.repeated = true
          ledger = client.actor(Ledger, entry.key).with({ id: error.id })
        } else if (isHoldfastError(error) && refusals.has(error.code) && !entry.repeated) {
          entry.outcome = { kind: 'refused', code: error.code }
          return true
        } else {
          this.mistakes.push(`${id} of ${entry.key}${entry.repeated ? ' (repeated)' : ''}: ${String(error)}`)
          return false
        }
      }
    }
  }
}

/** What is wrong with the states, given what the clients were told; a sentence each. */
export function contradictions(
  history: ReadonlyMap<string, Entry>,
  states: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  const found: string[] = []
  const times = new Map<string, number>()
  for (const [key, ids] of states) {
    for (const id of ids) {
      times.set(id, (times.get(id) ?? 0) + 1)
      const sent = history.get(id)
      if (sent === undefined) found.push(`${key} has ${id}, which nobody sent`)
      else if (sent.key !== key) found.push(`${key} has ${id}, which was sent to ${sent.key}`)
    }
  }
  for (const [id, { key, outcome }] of history) {
    const count = times.get(id) ?? 0
    if (count > 1) found.push(`${id} (${outcome.kind}) is in ${key} ${count} times`)
    if (outcome.kind === 'refused' && count > 0) found.push(`${id} was refused (${outcome.code}) and is in ${key}`)
    if (outcome.kind !== 'acknowledged') continue
    if (count === 0) found.push(`${id} was acknowledged and is not in ${key}`)
    const there = states.get(key)?.[outcome.place - 1]
    if (there !== id)
      found.push(`${id} was acknowledged as number ${outcome.place} of ${key}, where ${there ?? 'nothing'} is`)
  }
  return found
}

/** The state of each ledger, by strong queries. */
export async function readBack(client: Holdfast, keys: readonly string[]): Promise<Map<string, readonly string[]>> {
  const states = await Promise.all(keys.map((key) => client.actor(Ledger, key).all()))
  return new Map(keys.map((key, i) => [key, states[i]!]))
}

export const isPrefix = (a: readonly string[] = [], b: readonly string[] = []): boolean =>
  a.every((id, i) => b[i] === id)
