/**
 * A task's plain subject: every node hears every message, and the owner of the partition of its key processes it.
 *
 * P1. At most once: what is sent while nobody owns the partition, or while the connection is down, is not processed; nor is what waits where
 *     a node dies. What comes to a lane that is full is dropped, with an event.
 */
import type { TaskDefinition } from '../behaviour/task.ts'
import type { Observer } from '../ports/observer.ts'
import { readableHeaders, type Message, type Subscription, type Transport } from '../ports/transport.ts'
import type { PartitionId } from '../protocol/ids.ts'
import type { Lane, Source } from './lane.ts'
import { taskMessage } from './message.ts'

export interface SubjectSourceOptions {
  readonly definition: TaskDefinition
  readonly subject: string
  readonly partitions: number
  readonly transport: Transport
  readonly observer: Observer
}

export class SubjectSource implements Source {
  readonly #options: SubjectSourceOptions
  readonly #lanes = new Map<PartitionId, Lane>()
  #subscription: Subscription | undefined

  constructor(options: SubjectSourceOptions) {
    this.#options = options
  }

  attach(lane: Lane): void {
    const { transport, subject } = this.#options
    this.#lanes.set(lane.partition, lane)
    this.#subscription ??= transport.subscribe(subject, (message) => this.#receive(message))
  }

  detach(lane: Lane): void {
    if (this.#lanes.get(lane.partition) === lane) this.#lanes.delete(lane.partition)
    if (this.#lanes.size === 0) this.close()
  }

  /** It has no sequences. */
  readUpTo(): number {
    return 0
  }

  close(): void {
    this.#subscription?.close()
    this.#subscription = undefined
  }

  #receive(heard: Message): void {
    const { definition, partitions, observer } = this.#options
    const { subject, data } = heard
    const message = taskMessage(
      definition,
      { subject, data, headers: readableHeaders(heard), seq: null, at: null },
      partitions,
    )
    const lane = this.#lanes.get(message.partition)
    if (lane === undefined) return
    if (lane.full) observer.emit({ type: 'message.dropped', subject, reason: 'overflow' })
    else lane.offer(message)
  }
}
