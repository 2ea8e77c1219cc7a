/**
 * Who may answer a query that allows some staleness: the owner of its partition and the standbys, in turn.
 *
 * D1. All of one tick to one partition go to the same node, so that they share frames; partitions and ticks take turns.
 * D2. A standby that has left a query to the owner is not asked for that partition for a second; one that said nothing is not asked at all
 *     for five. A new view of placement asks everyone again.
 * D3. The node that is `near`, where there is one, answers for all partitions that it has.
 */
import type { NodeId, PartitionId } from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'
import type { Batch } from './batch.ts'

export interface ReadersOptions {
  readonly subjects: Subjects
  readonly near: NodeId | undefined
  readonly batchOf: (node: NodeId) => Batch
}

/** D2 */
const restMs = 1_000
const silentMs = 5_000

export class Readers {
  readonly #options: ReadersOptions
  readonly #near: string | undefined
  /** One for each partition. */
  #standbys: readonly (readonly Batch[])[] = []
  /** Until when a subject rests, altogether or for a partition; monotonic ms. */
  readonly #resting = new Map<string, number>()

  constructor(options: ReadersOptions) {
    this.#options = options
    const { near, subjects } = options
    this.#near = near === undefined ? undefined : subjects.nodeFrame(near)
  }

  learn(standbys: readonly (readonly NodeId[])[]): void {
    this.#standbys = standbys.map((nodes) => nodes.map((node) => this.#options.batchOf(node)))
    this.#resting.clear()
  }

  /** Whom to ask in this turn; `owner`: where the owner is asked. */
  pick(partition: PartitionId, owner: Batch, turn: number, nowMs: number): Batch {
    const standbys = this.#standbys[partition]
    if (standbys === undefined || standbys.length === 0) return owner
    const asked = [owner, ...standbys.filter(({ subject }) => !this.#rests(partition, subject, nowMs))]
    const near = asked.find(({ subject }) => subject === this.#near)
    return near ?? asked[(turn + partition) % asked.length]!
  }

  /** Whether it is the subject of a standby of the partition. */
  has(partition: PartitionId, subject: string): boolean {
    return this.#standbys[partition]?.some((batch) => batch.subject === subject) ?? false
  }

  /** The standby has left a query of the partition to the owner. */
  left(partition: PartitionId, subject: string, nowMs: number): void {
    this.#resting.set(`${partition} ${subject}`, nowMs + restMs)
  }

  /** Nobody has answered there. */
  silent(subject: string, nowMs: number): void {
    this.#resting.set(subject, nowMs + silentMs)
  }

  #rests(partition: PartitionId, subject: string, nowMs: number): boolean {
    if (this.#resting.size === 0) return false
    return (this.#resting.get(subject) ?? 0) > nowMs || (this.#resting.get(`${partition} ${subject}`) ?? 0) > nowMs
  }
}
