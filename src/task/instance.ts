/**
 * One instance of a task: the user's object, and what it is given. It turns one message into one unit.
 *
 * I1. All that a message does, its writes, its outputs and its position, is one unit: committed together, or dropped together. What throws
 *     leaves no trace.
 * I2. What a message was given works for that message alone: stores, collector and coordinator refuse whatever comes after its end.
 * I3. The outputs of a message are numbered in the order in which it sends them (outputs.ts, O2).
 */
import type {
  Collector,
  Coordinator,
  Output,
  StreamTask,
  TaskContext,
  TaskDefinition,
  TaskStore,
} from '../behaviour/task.ts'
import type { OwnedPartition } from '../partition/tenant.ts'
import type { Unit } from '../partition/unit.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { ScanRequest } from '../protocol/scan.ts'
import type { TaskMessage } from './message.ts'
import { outputRecord, type OutputRules } from './outputs.ts'
import { UnitStore } from './store.ts'

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

export class Instance {
  readonly #options: InstanceOptions
  readonly #task: StreamTask
  readonly #stores: ReadonlyMap<string, UnitStore<unknown>>
  #unit: Unit | undefined
  #closers: (() => Promise<void>)[] = []

  /** Throws what the user's `run` throws. */
  constructor(options: InstanceOptions) {
    this.#options = options
    this.#task = options.definition.run()
    const host = {
      unit: () => this.#present(),
      settled: () => options.settled(),
      scan: (request: ScanRequest) => options.owned.scan(request),
      atEnd: (close: () => Promise<void>) => void this.#closers.push(close),
    }
    this.#stores = new Map(options.definition.stores.map((store) => [store.name, new UnitStore(store, host)]))
  }

  /** What `init` writes goes into the unit. */
  init(unit: Unit): Promise<void> {
    return this.#within(unit, () => this.#task.init?.(this.#context()))
  }

  /** Runs a message in its unit. Throws what its processing throws; the unit is the caller's to commit or to drop. */
  async process({ envelope, failure }: TaskMessage, unit: Unit, outputId: string): Promise<Wishes> {
    if (failure !== undefined) throw failure
    const wishes = { commit: false, shutdown: false }
    const ask = (what: keyof Wishes) => {
      if (this.#unit !== unit) throw over()
      wishes[what] = true
    }
    const collector: Collector = {
      send: (output: Output) => {
        if (this.#unit !== unit) throw over()
        unit.send(outputRecord(output, `${outputId}.${unit.outputs}`, this.#options.outputRules()))
      },
    }
    const coordinator: Coordinator = { commit: () => ask('commit'), shutdown: () => ask('shutdown') }
    await this.#within(unit, () => this.#task.process(envelope(), collector, coordinator))
    return wishes
  }

  async close(): Promise<void> {
    await this.#task.close?.()
  }

  async #within(unit: Unit, run: () => unknown): Promise<void> {
    this.#unit = unit
    try {
      await run()
    } finally {
      this.#unit = undefined
      const closers = this.#closers
      this.#closers = []
      // Rejects never, and nobody has to wait for it.
      for (const close of closers) void close()
    }
  }

  #context(): TaskContext {
    const { definition, owned } = this.#options
    return {
      task: definition.name,
      partition: owned.partition,
      signal: owned.signal,
      store: <V>(name: string) => this.#store(name) as TaskStore<V>,
      now: () => this.#present().nowMs,
    }
  }

  #store(name: string): TaskStore {
    const store = this.#stores.get(name)
    if (store !== undefined) return store
    const names = [...this.#stores.keys()].map((known) => `"${known}"`).join(', ') || 'none'
    const { definition } = this.#options
    throw new HoldfastError(
      'INVALID',
      `task "${definition.name}" has no store "${name}" (it has ${names}): name it in its \`stores\``,
    )
  }

  #present(): Unit {
    if (this.#unit === undefined) throw over()
    return this.#unit
  }
}

const over = () =>
  new HoldfastError(
    'INVALID',
    'stores, send, commit and shutdown are for the time in which a message is processed: await all that process begins',
  )
