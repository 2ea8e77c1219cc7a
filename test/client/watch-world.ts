/** A cluster in memory for tests of watching: clients, logs that lose their beginning, and a copy as a watcher keeps it. */
import { actor } from '../../src/behaviour/actor.ts'
import { Holdfast } from '../../src/client/holdfast.ts'
import type { Change, TypeWatchOptions, Watch } from '../../src/client/watch.ts'
import { partitionId, seq } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { Events } from '../partition/world.ts'
import { clusterName, SimCluster } from '../../src/testing/sim/cluster.ts'

export const subjects = subjectsOf(clusterName)
export const partitions = 4

export const Cart = actor('cart', {
  version: 1,
  state: () => ({ n: 0 }),
  commands: {
    set(ctx, n: number) {
      ctx.state.n = n
    },
    close(ctx) {
      ctx.destroy()
    },
  },
})

export class WatchWorld {
  readonly cluster: SimCluster
  #clients: Holdfast[] = []

  /** Owners keep the changes of `tailBytes` of records in memory; by default nothing but the last record. */
  constructor(seed: number, tailBytes = 1) {
    this.cluster = new SimCluster({
      seed,
      partitions,
      definitions: [Cart],
      settings: { partition: { tailBytes, expireEveryMs: 100 } },
    })
  }

  static async start(seed: number, nodes: readonly string[] = ['n1'], tailBytes?: number): Promise<WatchWorld> {
    const world = new WatchWorld(seed, tailBytes)
    for (const name of nodes) world.cluster.start(name)
    await world.cluster.settled()
    return world
  }

  get clock() {
    return this.cluster.clock
  }

  async client() {
    const { session, process } = this.cluster.client(`client-${this.#clients.length}`, 20_000)
    const { transport, clock, random } = process
    const events = new Events()
    const hf = new Holdfast({ transport, clock, random, observer: events, session, subjects })
    this.#clients.push(hf)
    await this.settle(session.whenPlaced())
    return { hf, process, events }
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.clock.settle(promise, 60_000)
  }

  async code(promise: Promise<unknown>): Promise<string> {
    const outcome = promise.then(
      () => 'none',
      (error: unknown) => (error as { code?: string }).code ?? String(error),
    )
    return this.settle(outcome)
  }

  /** Purges a log, or all of them, but for the last record. */
  async purge(...of: readonly number[]): Promise<void> {
    // So that no store is behind what is left.
    await this.clock.advance(100)
    const { changelog } = this.cluster.world
    for (const p of of.length === 0 ? Array.from({ length: partitions }, (_, n) => n) : of) {
      changelog.purge(partitionId(p), seq(changelog.info(partitionId(p))!.last))
    }
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close()
    await this.cluster.close()
  }
}

/** `count` keys of a partition, with a prefix. */
export function keysOf(partition: number, count: number, prefix = ''): string[] {
  const keys: string[] = []
  for (let i = 0; keys.length < count; i++) {
    const key = `${prefix}${i}`
    if (partitionOf(key, partitions) === partition) keys.push(key)
  }
  return keys
}

interface Copied {
  readonly rev: number
  readonly state: unknown
}

/**
 * A copy of what is watched, kept as the documentation says. Throws where a rev is not the next one of its key: a reset may repeat what was
 * known, and behind it what had been deleted in between goes on above it.
 */
export class Mirror {
  readonly entries = new Map<string, Copied>()
  readonly #revs = new Map<string, number>()
  /** Where a reset began: keys that it covers, and that did not come since, may have missed some. */
  readonly #loose: { readonly covers: (key: string) => boolean; readonly came: Set<string> }[] = []
  readonly changes: Change<unknown>[] = []
  readonly resets: string[] = []
  cursor: string | undefined
  ended = false
  error: unknown
  #watch: Watch<unknown> | undefined

  /** Follows a watch from where this copy is, or from `from`, until that ends. */
  async follow(begin: (options: TypeWatchOptions) => Watch<unknown>, from = this.cursor ?? 'start'): Promise<void> {
    this.ended = false
    this.#watch = begin({
      from,
      onReset: ({ covers }) => {
        this.resets.push('begin')
        this.#loose.push({ covers, came: new Set() })
        for (const key of this.entries.keys()) if (covers(key)) this.entries.delete(key)
      },
      onResetEnd: () => void this.resets.push('end'),
    })
    try {
      for await (const change of this.#watch) this.take(change)
    } catch (error) {
      this.error = error
    }
    this.ended = true
  }

  leave(): void {
    this.cursor = this.#watch?.cursor
    this.#watch?.close()
  }

  take(change: Change<unknown>): void {
    const { key, rev, state, deleted, reset, cursor } = change
    const known = this.#revs.get(key) ?? 0
    const loose = this.#loose.some(({ covers, came }) => covers(key) && !came.has(key))
    if (reset ? rev < known : loose ? rev <= known : rev !== known + 1) throw new Error(`${key}: ${rev} after ${known}`)
    for (const { covers, came } of this.#loose) if (covers(key)) came.add(key)
    this.changes.push(change)
    this.#revs.set(key, rev)
    this.cursor = cursor
    if (deleted) this.entries.delete(key)
    else this.entries.set(key, { rev, state })
  }
}
