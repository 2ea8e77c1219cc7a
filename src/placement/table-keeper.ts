/**
 * A node's view of the placement table, and the leader's way to change it.
 *
 * - The view only moves forward (`version`). A watch brings it at once, a poll whatever the watch missed.
 * - Changes go by CAS against the revision that was read: who meets a conflict reads again and decides anew.
 * - A value that is no table of this format is told to the observer, and neither believed nor replaced: the last one that could be read
 *   counts, and nothing changes until there is one again.
 */
import { decodeTable, encodeTable, initialTable, type PlacementTable } from '../core/table.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Registry } from '../ports/registry.ts'
import type { Subscription } from '../ports/transport.ts'
import { isHoldfastError } from '../protocol/errors.ts'

export interface TableKeeperOptions {
  readonly registry: Registry
  readonly clock: Clock
  readonly observer: Observer
  readonly partitions: number
  /** Default 1,000 ms. */
  readonly pollEveryMs: number
  readonly onChange: (table: PlacementTable) => void
}

const key = 'table'

export class TableKeeper {
  readonly #options: TableKeeperOptions
  #table: PlacementTable | undefined
  #revision = 0
  #watch: Subscription | undefined
  #timer: Timer | undefined
  #stopped = false

  constructor(options: TableKeeperOptions) {
    this.#options = options
  }

  /** As far as this node knows; `undefined` before the first. */
  get table(): PlacementTable | undefined {
    return this.#table
  }

  start(): void {
    this.#watch = this.#options.registry.watch(key, ({ value, revision }) => {
      if (value !== null) this.#take(value, revision)
    })
    this.#poll()
  }

  stop(): void {
    this.#stopped = true
    this.#watch?.close()
    this.#options.clock.clearTimeout(this.#timer)
  }

  /** Reads it now, and creates it where there is none. Throws `RETRY` while the registry is away. */
  async refresh(): Promise<PlacementTable> {
    const { registry, partitions } = this.#options
    let entry = await registry.get(key)
    if (entry === null) {
      await registry.create(key, encodeTable(initialTable(partitions)))
      entry = await registry.get(key)
    }
    if (entry !== null) this.#take(entry.value, entry.revision)
    return this.#table ?? initialTable(partitions)
  }

  /**
   * Replaces the table by what `change` makes of it. `false`: somebody else changed it meanwhile. Throws what the registry throws; after
   * `UNKNOWN` the next refresh tells.
   */
  async change(change: (table: PlacementTable) => PlacementTable): Promise<boolean> {
    const table = this.#table
    if (table === undefined) return false
    const changed = change(table)
    if (changed === table) return true
    const next = encodeTable({ ...changed, version: table.version + 1 })
    const result = await this.#options.registry.update(key, next, this.#revision)
    if (result.kind === 'conflict') return false
    this.#take(next, result.revision)
    return true
  }

  #take(value: Uint8Array, revision: number): void {
    if (this.#stopped || revision <= this.#revision) return
    let table: PlacementTable
    try {
      table = decodeTable(value)
    } catch {
      this.#options.observer.emit({ type: 'message.dropped', subject: key, reason: 'malformed' })
      return
    }
    this.#revision = revision
    this.#table = table
    this.#options.onChange(table)
  }

  #poll(): void {
    if (this.#stopped) return
    void this.refresh()
      .catch((error: unknown) => {
        if (!isHoldfastError(error)) throw error
      })
      .finally(() => {
        if (this.#stopped) return
        this.#timer = this.#options.clock.setTimeout(() => this.#poll(), this.#options.pollEveryMs)
      })
  }
}
