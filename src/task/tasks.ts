/**
 * The tasks of one node: a source for each, and the lanes of the partitions that it owns.
 *
 * T1. A lane begins and ends with its ownership; sources live as long as the node's incarnation, and read while they have lanes.
 * T2. A store belongs to one task, and nobody else writes to it.
 */
import type { TaskDefinition } from '../behaviour/task.ts'
import type { OwnedPartition, Tenant } from '../partition/tenant.ts'
import type { Clock } from '../ports/clock.ts'
import type { Inputs } from '../ports/inputs.ts'
import { labelled } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Transport } from '../ports/transport.ts'
import { Lane, type Source } from './lane.ts'
import type { OutputRules } from './outputs.ts'
import { StreamSource } from './stream-source.ts'
import { SubjectSource } from './subject-source.ts'

export interface TasksOptions {
  readonly definitions: readonly TaskDefinition[]
  readonly cluster: string
  readonly partitions: number
  readonly inputs: Inputs
  readonly transport: Transport
  readonly clock: Clock
  readonly observer: Observer
}

interface Running {
  readonly definition: TaskDefinition
  readonly source: Source & { close(): void }
}

export class Tasks {
  readonly #options: TasksOptions
  readonly #running: readonly Running[]
  /** Names of tasks, by the types of their stores. */
  readonly #keepers: ReadonlyMap<string, string>
  readonly #lanes = new Set<Lane>()

  constructor(options: TasksOptions) {
    this.#options = options
    const { definitions } = options
    this.#running = definitions.map((definition) => ({ definition, source: this.#source(definition) }))
    this.#keepers = new Map(definitions.flatMap(({ name, stores }) => stores.map(({ type }) => [type, name] as const)))
  }

  /** Begins all tasks in a partition that this node has come to own. */
  begin(owned: OwnedPartition): Tenant {
    const lanes = this.#running.map(({ definition, source }) => this.#lane(definition, source, owned))
    return {
      refusal: (type) => {
        const task = this.#keepers.get(type)
        return (
          task && `the store of this entry belongs to the task "${task}", which alone writes to it: send it a message`
        )
      },
      rest: async () => {
        await Promise.all(lanes.map((lane) => lane.rest()))
      },
      metrics: () =>
        this.#running.flatMap(({ definition }, i) => labelled({ task: definition.name }, lanes[i]!.metrics())),
      end: () => {
        for (const lane of lanes) lane.end()
      },
    }
  }

  /** When its partitions have ended: ends the sources. Resolves when every instance is closed. */
  async close(): Promise<void> {
    for (const { source } of this.#running) source.close()
    await Promise.all([...this.#lanes].map((lane) => lane.done))
  }

  /** Before its partitions: nothing of the user's is called any more. */
  crash(): void {
    for (const lane of this.#lanes) lane.crash()
    for (const { source } of this.#running) source.close()
  }

  #lane(definition: TaskDefinition, source: Source, owned: OwnedPartition): Lane {
    const { observer } = this.#options
    const lane = new Lane({ definition, source, owned, observer, outputRules: () => this.#outputRules() })
    this.#lanes.add(lane)
    void lane.done.then(() => this.#lanes.delete(lane))
    return lane
  }

  #outputRules(): OutputRules {
    const { cluster, inputs, transport } = this.#options
    return { cluster, streams: inputs.streams, maxPayload: transport.maxPayload }
  }

  #source(definition: TaskDefinition): Running['source'] {
    const { input } = definition
    const parts = { ...this.#options, definition }
    if (input.stream === undefined) return new SubjectSource({ ...parts, subject: input.subject })
    const { stream, filter, from = 'first' } = input
    return new StreamSource({ ...parts, stream, filter, from })
  }
}
