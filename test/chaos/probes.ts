/**
 * One caller for each partition, who adds one to a counter there, again and again, and measures how long it waits for the answer.
 *
 * P1. From a strike on, the wait of a partition is the longest between the sending of a command, or the strike if that was later, and its
 *     acknowledgement.
 * P2. A partition has answered after a time when a command that was sent after it is acknowledged.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { median } from '../../bench/figure.ts'
import type { Holdfast } from '../../src/index.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { Counter } from '../e2e/support/ledger.ts'
import type { Histories } from './histories.ts'
import { told } from './told.ts'

export interface ProbesOptions {
  readonly client: Holdfast
  readonly partitions: number
  /** Begins their keys. */
  readonly name: string
  readonly histories: Histories
  /** After each answer. */
  readonly onNews: () => void
}

/** Between an answer and the next command, ms: what is measured must not be a load. */
const pauseMs = 10

export class Probes {
  /** By partition. */
  readonly keys: readonly string[]
  readonly #options: ProbesOptions
  readonly #longestMs: number[]
  readonly #answeredMs: number[]
  /** Of each answer before the strike: when it was asked for, and how long it took. */
  readonly #usual: { readonly sentMs: number; readonly waitMs: number }[] = []
  #struckMs = Infinity
  #running: Promise<unknown> = Promise.resolve()
  #stopping = false

  constructor(options: ProbesOptions) {
    const { partitions, name } = options
    this.#options = options
    this.#longestMs = Array<number>(partitions).fill(0)
    this.#answeredMs = Array<number>(partitions).fill(-Infinity)
    const keys = new Map<number, string>()
    for (let i = 0; keys.size < partitions; i++) {
      const key = `${name}-${i}`
      const partition = partitionOf(key, partitions)
      if (!keys.has(partition)) keys.set(partition, key)
    }
    this.keys = Array.from({ length: partitions }, (_, partition) => keys.get(partition)!)
  }

  begin(): void {
    this.#running = Promise.all(this.keys.map((key, partition) => this.#probe(key, partition)))
  }

  /** From now on waits are measured. */
  struck(): void {
    this.#struckMs = performance.now()
  }

  /** P2 */
  answered(sinceMs: number, partitions: readonly number[]): boolean {
    return partitions.every((partition) => this.#answeredMs[partition]! >= sinceMs)
  }

  /** P1, of one partition. */
  waitMs(partition: number): number {
    return this.#longestMs[partition]!
  }

  /** How long an answer to what was sent from then on, and before the strike, took: the median. */
  usualMs(sinceMs: number): number {
    return median(this.#usual.filter(({ sentMs }) => sentMs >= sinceMs).map(({ waitMs }) => waitMs))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  async #probe(key: string, partition: number): Promise<void> {
    const { client, histories, onNews } = this.#options
    const counter = client.actor(Counter, key)
    while (!this.#stopping) {
      const sentMs = performance.now()
      const sum = await told({
        history: histories.counters,
        client: 'a probe',
        key,
        input: { kind: 'add', amount: 1 },
        send: (id) => (id === undefined ? counter : counter.with({ id })).add(1),
        patient: true,
        onMistake: (what) => histories.mistakes.push(what),
      })
      const nowMs = performance.now()
      if (this.#struckMs === Infinity) this.#usual.push({ sentMs, waitMs: nowMs - sentMs })
      const waitMs = nowMs - Math.max(sentMs, this.#struckMs)
      this.#longestMs[partition] = Math.max(this.#longestMs[partition]!, waitMs)
      if (sum !== undefined) this.#answeredMs[partition] = sentMs
      onNews()
      await delay(pauseMs)
    }
  }
}
