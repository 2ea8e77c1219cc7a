/**
 * What a session knows of placement: to which subject a request for a key goes.
 *
 * P1. Knowledge is a hint. A wrong one costs a hop (`moved`) or a refusal, never a wrong answer: owners check each key.
 * P2. A newer view replaces everything; what a `moved` answer said counts until then, unless a later epoch said otherwise. An older
 *     one does where its teller is certain that the newer one was wrong.
 * P3. Without a known owner a request goes to the partition's own subject, where its owner listens, too.
 * P4. A query that allows some staleness goes to the owner or a standby (readers.ts).
 */
import type { PlacementView } from '../core/table.ts'
import { partitionId, type Epoch, type NodeId, type PartitionId } from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { Batch } from './batch.ts'
import { Readers } from './readers.ts'

export class Routing {
  readonly readers: Readers
  readonly #subjects: Subjects
  readonly #nodes = new Map<NodeId, Batch>()
  /** One for each partition: where its requests go. */
  #batches: Batch[] = []
  /** One for each partition: its own subject. */
  #fallbacks: Batch[] = []
  #epochs: Epoch[] = []
  #version = -1

  /** `near`: the node that is asked first for what a standby may answer. Default: none. */
  constructor(subjects: Subjects, near?: NodeId) {
    this.#subjects = subjects
    this.readers = new Readers({ subjects, near, batchOf: (node) => this.#node(node) })
  }

  /** The count of partitions; 0 while no view is known. */
  get partitions(): number {
    return this.#batches.length
  }

  partitionOf(hash: number): PartitionId {
    return partitionId(hash & (this.#batches.length - 1))
  }

  /** Where a request for a key goes; `viaPartition`: by the partition's subject (P3). Needs a known count of partitions. */
  batchFor(hash: number, viaPartition: boolean): Batch {
    return (viaPartition ? this.#fallbacks : this.#batches)[hash & (this.#batches.length - 1)]!
  }

  /** Where a query goes that a standby may answer (P4). `turn` changes with each flush. */
  readerFor(hash: number, turn: number, nowMs: number): Batch {
    const partition = this.partitionOf(hash)
    return this.readers.pick(partition, this.#batches[partition]!, turn, nowMs)
  }

  /** Of the view that is known; −1 before. */
  get version(): number {
    return this.#version
  }

  /** Takes in a view; false where a newer one is known already, unless this one is `certain`, or the same. */
  learn(view: PlacementView, certain = false): boolean {
    if (view.version === this.#version || (view.version < this.#version && !certain)) return false
    this.#version = view.version
    this.#epochs = []
    if (view.owners.length !== this.partitions) {
      this.#fallbacks = view.owners.map((_, p) => new Batch(this.#subjects.partition(partitionId(p)), true))
    }
    const { standbys = [] } = view
    const named = new Set([...view.owners, ...standbys.flat()])
    for (const node of this.#nodes.keys()) if (!named.has(node)) this.#nodes.delete(node)
    this.#batches = view.owners.map((owner, p) => (owner === null ? this.#fallbacks[p]! : this.#node(owner)))
    this.readers.learn(standbys)
    return true
  }

  /** Takes in a `moved` answer (P2). */
  moved(partition: PartitionId, owner: NodeId, epoch: Epoch): void {
    if (epoch < (this.#epochs[partition] ?? 0)) return
    this.#epochs[partition] = epoch
    this.#batches[partition] = this.#node(owner)
  }

  #node(node: NodeId): Batch {
    let batch = this.#nodes.get(node)
    if (batch === undefined) this.#nodes.set(node, (batch = new Batch(this.#subjects.nodeFrame(node), false)))
    return batch
  }
}
