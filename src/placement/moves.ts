/**
 * Moves of partitions from one live node to another, each carried out step by step:
 *
 *   note it in the table → wait until the target stands by and is level → have the owner hand off → name the target at the next epoch
 *
 * MV1. A move is what the table's entry says: owner, target and epoch. Once it says something else, the move is nobody's any more.
 * MV2. The target may take as long as it comes further, be it in the log or in a snapshot that it restores; without that for `stallMs` the
 *     note is taken back (O6). For what has stopped there is nothing to follow: it moves as it is.
 * MV3. An owner that does not serve yet is waited for like a target. The hand-off has `stepTimeoutMs`. If the owner does not answer in time,
 *     the target is named all the same and fences it. If it says that it cannot, the note is taken back: which is none of the target's doing.
 * MV4. Each step can be done again: what is noted and not under way is gone on with, where both nodes live, be it that another led before or
 *     that the registry was away when the last step was to be written.
 * MV5. A target that serves at the next epoch already, as its heir by the log's word (decision 0035), is named: there is nothing to hand off.
 * MV6. A target that came no further is avoided for that partition for a while.
 * MV7. At most `maxMoves` wait for their target, and as many are handed off: what has only to be handed off, which takes `stepTimeoutMs` at
 *     most, waits for none that replays.
 * MV8. Where the target is to own nothing any more the note is taken back, and it is not avoided; one that serves already is named (MV5).
 */
import type { HostedPartition } from '../core/membership.ts'
import type { PlacementEntry } from '../core/table.ts'
import type { Clock } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Transport } from '../ports/transport.ts'
import { nextEpoch, sameNode, type Epoch, type NodeRef, type PartitionId } from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { ask } from '../membership/ask.ts'
import { encodeControl, isDone } from './control.ts'
import type { TableKeeper } from './table-keeper.ts'

export interface MovesOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly observer: Observer
  readonly subjects: Subjects
  readonly tables: TableKeeper
  readonly stepTimeoutMs: number
  readonly stallMs: number
  /** Between two looks how far a target is, ms. */
  readonly lookEveryMs: number
  /** Of either kind at once, at most (MV7): one more is not begun. */
  readonly maxMoves: number
  readonly lives: (node: NodeRef) => boolean
  readonly drains: (node: NodeRef) => boolean
  /** What a node says that it has of a partition. */
  readonly said: (node: NodeRef, partition: PartitionId) => HostedPartition | undefined
  /** Changes one entry of the table, after all changes that were asked for before. Rejects never. */
  readonly change: (partition: PartitionId, entryOf: (entry: PlacementEntry) => PlacementEntry) => Promise<void>
  /** The entry with another owner at another epoch. */
  readonly named: (entry: PlacementEntry, owner: NodeRef, epoch: Epoch) => PlacementEntry
  /** MV6 */
  readonly onGivenUp: (target: NodeRef, partition: PartitionId) => void
}

export interface Move {
  readonly partition: PartitionId
  /** At which `from` owns it. */
  readonly epoch: Epoch
  readonly from: NodeRef
  readonly to: NodeRef
}

/** MV5. Nobody but the heir claims the next epoch while the note stands. */
export const servesAsHeir = (said: HostedPartition | undefined, epoch: Epoch): boolean =>
  said?.role === 'owner' && said.epoch === nextEpoch(epoch)

/** Records that the target may be behind, by what both said of themselves a short while ago. */
const levelWithin = 1_000

export class Moves {
  readonly #options: MovesOptions
  readonly #waiting = new Set<PartitionId>()
  readonly #handingOff = new Set<PartitionId>()
  #stopped = false

  constructor(options: MovesOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#waiting.size + this.#handingOff.size
  }

  /** Whether it could be begun now (MV7). */
  hasRoomFor(move: Move): boolean {
    return this.#slotsFor(move).size < this.#options.maxMoves
  }

  stop(): void {
    this.#stopped = true
  }

  /** Begins one that is not noted yet. `false`: it could not be noted, or there is no room for it. */
  async begin(move: Move): Promise<boolean> {
    let noted = false
    const { partition, from, to } = move
    const noting = this.#carryOut(move, async () => {
      await this.#change(move, (entry) => ({ ...entry, moving: to }))
      noted = this.#isNoted(move)
      if (noted) this.#options.observer.emit({ type: 'placement.moving', partition, from: from.id, to: to.id })
    })
    await noting
    return noted
  }

  /** Goes on with one that is noted (MV4), if it is not under way. */
  resume(move: Move): void {
    void this.#carryOut(move, () => Promise.resolve())
  }

  /** Resolves when it is noted. */
  async #carryOut(move: Move, note: () => Promise<void>): Promise<void> {
    const { partition } = move
    if (!this.hasRoomFor(move) || this.#waiting.has(partition) || this.#handingOff.has(partition)) return
    this.#slotsFor(move).add(partition)
    await note()
    void this.#finish(move).finally(() => {
      this.#waiting.delete(partition)
      this.#handingOff.delete(partition)
    })
  }

  async #finish(move: Move): Promise<void> {
    const { named, onGivenUp } = this.#options
    const { partition, epoch, to } = move
    const end = await this.#untilLevel(move)
    const done = end === 'level' && (await this.#handOff(move))
    if (!this.#isNoted(move)) return
    if (end === 'given up') onGivenUp(to, partition)
    await this.#change(move, (entry) => (done ? named(entry, to, nextEpoch(epoch)) : { ...entry, moving: null }))
  }

  /** `given up`: the target has come no further (MV2). `over`: there is no such move any more, or nobody to move to (MV8). */
  async #untilLevel(move: Move): Promise<'level' | 'given up' | 'over'> {
    const { clock, lookEveryMs, stallMs, lives, drains, said } = this.#options
    const { partition, epoch, to } = move
    let [reached, left, furtherAtMs] = [0, 0, clock.monotonic()]
    while (this.#isNoted(move) && lives(to) && (!drains(to) || servesAsHeir(said(to, partition), epoch))) {
      const nowMs = clock.monotonic()
      const { appliedSeq = 0, headLag = 0 } = said(to, partition) ?? {}
      // Before it has any record, less of a snapshot is left: which may be begun anew, if there is a newer one.
      if (appliedSeq > reached || (appliedSeq === 0 && headLag > 0 && headLag < left)) furtherAtMs = nowMs
      reached = Math.max(reached, appliedSeq)
      left = headLag
      const stalled = nowMs - furtherAtMs >= stallMs
      // Where it is level the owner is to say itself that it cannot.
      const ready = this.#isReady(move) || (stalled && this.#isLevel(move))
      // What was begun as one that is handed off waits for nothing.
      if (this.#handingOff.has(partition) || (ready && this.#takesHandOff(partition))) return 'level'
      if (stalled && !ready) return 'given up'
      await new Promise<void>((resolve) => clock.setTimeout(resolve, lookEveryMs))
    }
    return 'over'
  }

  /** Whether it can be handed off now, as far as both say. */
  #isReady(move: Move): boolean {
    const { partition, epoch, from, to } = move
    const [owner, target] = [from, to].map((node) => this.#options.said(node, partition))
    if (owner?.role === 'stopped' || servesAsHeir(target, epoch)) return true
    return this.#isLevel(move) && owner?.role !== 'replaying'
  }

  #isLevel({ partition, from, to }: Move): boolean {
    const [owner, target] = [from, to].map((node) => this.#options.said(node, partition))
    return target?.role === 'standby' && (owner?.appliedSeq ?? 0) - target.appliedSeq <= levelWithin
  }

  #slotsFor(move: Move): Set<PartitionId> {
    return this.#isReady(move) ? this.#handingOff : this.#waiting
  }

  /** Whether there was room for it among those that are handed off (MV7). */
  #takesHandOff(partition: PartitionId): boolean {
    if (this.#handingOff.size >= this.#options.maxMoves) return false
    this.#waiting.delete(partition)
    this.#handingOff.add(partition)
    return true
  }

  /** `false`: the owner says that it cannot (MV3). */
  async #handOff({ partition, epoch, from, to }: Move): Promise<boolean> {
    const { transport, clock, subjects, stepTimeoutMs, said } = this.#options
    if (servesAsHeir(said(to, partition), epoch)) return true
    const request = encodeControl({ op: 'hand-off', partition, epoch, to: to.id })
    const reply = await ask(transport, clock, subjects.nodeControl(from.id), request, stepTimeoutMs)
    return reply === null || reply.noResponders || isDone(reply.data)
  }

  /** MV1 */
  #isNoted({ partition, epoch, from, to }: Move): boolean {
    const entry = this.#options.tables.table?.entries[partition]
    return !this.#stopped && entry?.epoch === epoch && sameNode(entry.owner, from) && sameNode(entry.moving, to)
  }

  #change({ partition, epoch, from }: Move, entryOf: (entry: PlacementEntry) => PlacementEntry): Promise<void> {
    return this.#options.change(partition, (entry) =>
      entry.epoch === epoch && sameNode(entry.owner, from) ? entryOf(entry) : entry,
    )
  }
}
