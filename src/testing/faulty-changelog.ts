/**
 * A changelog whose appends go astray as told, over any adapter: the losses and delays of a network that C3 speaks of.
 *
 * Each append takes the next fault of the script, in the order of the calls; without one it passes.
 * - `lose-request`: never handed on; `unknown` after the time-out.
 * - `lose-acknowledgement`: handed on; `unknown` after the time-out, whatever became of it.
 * - `delay`: handed on at `release()`; `unknown` after the time-out, unless it was released and answered before.
 * While one is delayed, appends of the same log that pass wait behind it (C2).
 */
import type { AppendResult, Changelog, PartitionLog } from '../ports/changelog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Generation, PartitionId, Seq } from '../protocol/ids.ts'

export type AppendFault = 'pass' | 'lose-request' | 'lose-acknowledgement' | 'delay'

export interface FaultyChangelogOptions {
  readonly clock: Clock
  /** After which a lost or delayed append is `unknown`. Default 2,000. */
  readonly appendTimeoutMs?: number
}

export class FaultyChangelog implements Changelog {
  readonly #inner: Changelog
  readonly #clock: Clock
  readonly #appendTimeoutMs: number
  readonly #script: AppendFault[] = []
  readonly #delayed = new Map<PartitionId, (() => Promise<AppendResult>)[]>()

  constructor(inner: Changelog, { clock, appendTimeoutMs = 2_000 }: FaultyChangelogOptions) {
    this.#inner = inner
    this.#clock = clock
    this.#appendTimeoutMs = appendTimeoutMs
  }

  /** Adds to the script. */
  next(...faults: readonly AppendFault[]): void {
    this.#script.push(...faults)
  }

  /** Hands on all delayed appends, in their order, and resolves when the log has answered them all. */
  async release(): Promise<void> {
    const delayed = [...this.#delayed.values()].flat()
    this.#delayed.clear()
    await Promise.all(delayed.map((send) => send()))
  }

  provision(
    partition: PartitionId,
    generation: Generation,
    genesis: Uint8Array,
    first?: Seq,
  ): Promise<{ readonly created: boolean }> {
    return this.#inner.provision(partition, generation, genesis, first)
  }

  log(partition: PartitionId): PartitionLog {
    const inner = this.#inner.log(partition)
    return {
      info: (known) => inner.info(known),
      read: (from, to) => inner.read(from, to),
      follow: (from) => inner.follow(from),
      append: (record, expected) => this.#append(partition, inner, record, expected),
      trim: (first) => inner.trim(first),
    }
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #append(partition: PartitionId, inner: PartitionLog, record: Uint8Array, expected: Seq): Promise<AppendResult> {
    const fault = this.#script.shift() ?? 'pass'
    if (fault === 'lose-request') return this.#unknownAfterTimeout().promise
    if (fault === 'lose-acknowledgement') {
      const lost = this.#unknownAfterTimeout()
      void inner.append(record, expected)
      return lost.promise
    }
    const waiting = this.#delayed.get(partition)
    if (fault === 'pass' && waiting === undefined) return inner.append(record, expected)
    const taken = record.slice()
    const late = this.#unknownAfterTimeout()
    const send = async () => {
      const result = await inner.append(taken, expected)
      late.settle(result)
      return result
    }
    if (waiting === undefined) this.#delayed.set(partition, [send])
    else waiting.push(send)
    return late.promise
  }

  #unknownAfterTimeout(): { promise: Promise<AppendResult>; settle: (result: AppendResult) => void } {
    let settle!: (result: AppendResult) => void
    const promise = new Promise<AppendResult>((resolve) => {
      const reason = `no acknowledgement within ${this.#appendTimeoutMs} ms`
      const timer = this.#clock.setTimeout(() => resolve({ kind: 'unknown', reason }), this.#appendTimeoutMs)
      settle = (result) => {
        this.#clock.clearTimeout(timer)
        resolve(result)
      }
    })
    return { promise, settle }
  }
}
