/**
 * One instance of a task: the user's object, and what it is given. It turns one message into one unit.
 *
 * I1. All that a message does, its writes, its outputs and its position, is one unit: committed together, or dropped together. What throws
 *     leaves no trace.
 * I2. What a message was given works for that message alone: context, stores, collector and coordinator refuse whatever comes after its end,
 *     also while it is tried again or the next one is processed. What `init` was given serves the message whose processing calls it, which
 *     the async context tells: of a call that comes from none, or from one that is over, nobody knows what it belongs to. Following
 *     contexts slows every promise of the process, so it is done for tasks with an `init` alone.
 * I3. The outputs of a message are numbered in the order in which it sends them (outputs.ts, O2).
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type {
  Collector,
  Coordinator,
  Output,
  StreamTask,
  TaskContext,
  TaskDefinition,
  TaskStore,
  TaskStoreDefinition,
} from '../behaviour/task.ts'
import type { OwnedPartition } from '../partition/tenant.ts'
import type { Unit } from '../partition/unit.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { TaskMessage } from './message.ts'
import { outputRecord, type OutputRules } from './outputs.ts'
import { UnitStore, type StoreHost } from './store.ts'

export interface InstanceOptions {
  readonly definition: TaskDefinition
  readonly owned: OwnedPartition
  readonly outputRules: () => OutputRules
  /** Resolves when all units that were committed here are in the log. */
  readonly settled: () => Promise<void>
}

/** What a message has asked for besides. */
export interface Wishes {
  readonly commit: boolean
  readonly shutdown: boolean
}

/** Whose processing is calling (I2). */
const calling = new AsyncLocalStorage<Unit>()

export class Instance {
  readonly #options: InstanceOptions
  readonly #task: StreamTask
  #unit: Unit | undefined
  #closers: (() => Promise<void>)[] = []

  /** Throws what the user's `run` throws. */
  constructor(options: InstanceOptions) {
    this.#options = options
    this.#task = options.definition.run()
  }

  /** What `init` writes goes into the unit. */
  init(unit: Unit): Promise<void> {
    return this.#within(unit, () => this.#task.init?.(this.#context(() => this.#present(calling.getStore()))))
  }

  /** Runs a message in its unit. Throws what its processing throws; the unit is the caller's to commit or to drop. */
  async process({ envelope, failure }: TaskMessage, unit: Unit, outputId: string): Promise<Wishes> {
    if (failure !== undefined) throw failure
    const wishes = { commit: false, shutdown: false }
    const present = () => this.#present(unit)
    const ask = (what: keyof Wishes) => {
      present()
      wishes[what] = true
    }
    const collector: Collector = {
      send: (output: Output) => {
        present().send(outputRecord(output, `${outputId}.${unit.outputs}`, this.#options.outputRules()))
      },
    }
    const coordinator: Coordinator = { commit: () => ask('commit'), shutdown: () => ask('shutdown') }
    await this.#within(unit, () => this.#task.process(envelope(), collector, coordinator, this.#context(present)))
    return wishes
  }

  async close(): Promise<void> {
    await this.#task.close?.()
  }

  async #within(unit: Unit, run: () => unknown): Promise<void> {
    this.#unit = unit
    try {
      await (this.#task.init === undefined ? run() : calling.run(unit, run))
    } finally {
      this.#unit = undefined
      const closers = this.#closers
      this.#closers = []
      // Rejects never, and nobody has to wait for it.
      for (const close of closers) void close()
    }
  }

  #context(unit: () => Unit): TaskContext {
    const { definition, owned, settled } = this.#options
    const host: StoreHost = {
      unit,
      settled,
      scan: (request) => owned.scan(request),
      pause: (ms) => new Promise((resolve) => void owned.clock.setTimeout(resolve, ms)),
      atEnd: (close) => {
        unit()
        this.#closers.push(close)
      },
    }
    return {
      task: definition.name,
      partition: owned.partition,
      signal: owned.signal,
      store: <V>(name: string) => new UnitStore(this.#storeNamed(name), host) as TaskStore<V>,
      now: () => unit().nowMs,
    }
  }

  #storeNamed(name: string): TaskStoreDefinition {
    const { definition } = this.#options
    const store = definition.stores.find((known) => known.name === name)
    if (store !== undefined) return store
    const names = definition.stores.map((known) => `"${known.name}"`).join(', ') || 'none'
    throw new HoldfastError(
      'INVALID',
      `task "${definition.name}" has no store "${name}" (it has ${names}): name it in its \`stores\``,
    )
  }

  #present(unit: Unit | undefined): Unit {
    if (unit === undefined || unit !== this.#unit) throw over()
    return unit
  }
}

const over = () =>
  new HoldfastError(
    'INVALID',
    'stores, now, send, commit and shutdown are for one message, while it is processed: await all that process begins',
  )
