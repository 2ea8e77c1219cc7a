/**
 * The leader's work while it leads: watches members and table, asks the planner, and carries its steps out.
 *
 * PL1. The table changes by CAS only; who meets a conflict reads again and plans anew (O1). The log has the last word, so a leader that
 *     does not know yet that it was deposed can cost time, never data.
 * PL2. A move: note it in the table → have the owner hand off (2 s at most) → name the target at the next epoch. If the owner does not
 *     answer in time, the target is named all the same and fences it (O6). If it says that it cannot, the note is taken back.
 * PL3. A move that a former leader began and did not end is ended first, by naming its target or another live node at the next epoch.
 * PL4. A node that reports that it cannot open a partition is avoided for it, with back-off (O6).
 * PL5. What waits to be dealt with is bounded: one plan, however many ask for it, and so many reports; one more is dropped, and comes
 *     again, since nodes repeat them.
 * PL6. No report moves a partition's epoch on by more than `farthestEpochs`: epochs only grow, in the log too, and one that was made up
 *     could use up all there are.
 */
import { plan, type PlanMember, type PlanStep } from '../core/planner.ts'
import { encodeView, viewOf, type PlacementEntry, type PlacementTable } from '../core/table.ts'
import type { NodeLease } from '../membership/lease.ts'
import { refOf } from '../membership/lease.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import { isHoldfastError } from '../protocol/errors.ts'
import { nextEpoch, sameNode, type Epoch, type NodeRef, type PartitionId } from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { ask } from './ask.ts'
import { Avoided } from './avoided.ts'
import { decodeReport, encodeControl, isDone, type Report } from './control.ts'
import type { TableKeeper } from './table-keeper.ts'

export interface LeaderOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly observer: Observer
  readonly subjects: Subjects
  readonly tables: TableKeeper
  /** Those whose lease is alive, as this node sees it. */
  readonly alive: () => readonly NodeLease[]
  /** Default 200 ms. */
  readonly planEveryMs: number
  /** How long one step of a move may take. Default 2,000 ms. */
  readonly stepTimeoutMs: number
  /** Moves under way at once, at most. Default 4. */
  readonly maxMoves: number
}

export const maxReports = 1_024
/** A table that was put back from a copy is behind its logs by less. */
const farthestEpochs = 1_000_000

/** How many there are now of what is bounded. */
export interface LeaderLoad {
  readonly moves: number
  readonly reports: number
  readonly avoided: number
}

export class Leader {
  readonly #options: LeaderOptions
  readonly #moving = new Set<PartitionId>()
  readonly #avoided = new Avoided()
  #reports: Subscription | undefined
  #timer: Timer | undefined
  #turn: Promise<void> = Promise.resolve()
  #reporting = 0
  #hurrying = false
  #stopped = false

  constructor(options: LeaderOptions) {
    this.#options = options
  }

  start(): void {
    const { transport, subjects } = this.#options
    this.#reports = transport.subscribe(subjects.placementReport, (message) => this.#onReport(message))
    void this.#exclusively(() => this.#endFormerMoves()).then(() => this.#tick())
  }

  stop(): void {
    this.#stopped = true
    this.#reports?.close()
    this.#options.clock.clearTimeout(this.#timer)
  }

  /** Members have changed: plans now, not at the next tick. */
  hurry(): void {
    if (this.#stopped || this.#hurrying) return
    this.#hurrying = true
    void this.#exclusively(() => {
      this.#hurrying = false
      return this.#plan()
    })
  }

  /** PL5 */
  get load(): LeaderLoad {
    return { moves: this.#moving.size, reports: this.#reporting, avoided: this.#avoided.count }
  }

  #tick(): void {
    if (this.#stopped) return
    void this.#exclusively(() => this.#plan()).then(() => {
      if (!this.#stopped) this.#timer = this.#options.clock.setTimeout(() => this.#tick(), this.#options.planEveryMs)
    })
  }

  /** Changes of the table one after the other. Rejects never: without a registry nothing is decided, the next tick tries again. */
  #exclusively(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn
      .then(() => (this.#stopped ? undefined : work()))
      .catch((error: unknown) => {
        if (!isHoldfastError(error)) this.#options.observer.emit({ type: 'handler.threw', where: 'placement', error })
      })
    return this.#turn
  }

  async #plan(): Promise<void> {
    const { tables, clock, alive } = this.#options
    const table = await tables.refresh()
    const nowMs = clock.monotonic()
    this.#avoided.forgetOld(nowMs)
    const members = alive().map((lease): PlanMember => {
      const { host, zone, weight, draining } = lease
      return { ref: refOf(lease), host, zone, weight, draining, avoid: this.#avoided.of(lease, nowMs) }
    })
    const steps = plan(members, table)
    await this.#assign(steps.filter((step) => step.kind === 'assign'))
    for (const step of steps) {
      if (step.kind === 'move' && this.#moving.size < this.#options.maxMoves && !this.#moving.has(step.partition)) {
        this.#moving.add(step.partition)
        void this.#move(step).finally(() => this.#moving.delete(step.partition))
      }
    }
  }

  async #assign(steps: readonly Extract<PlanStep, { kind: 'assign' }>[]): Promise<void> {
    if (steps.length === 0) return
    const targets = new Map(steps.map((step) => [step.partition as number, step.to]))
    await this.#change((entry, partition) => {
      const to = targets.get(partition)
      return to === undefined ? entry : named(entry, to, nextEpoch(entry.epoch))
    })
  }

  /** PL2 */
  async #move({ partition, from, to }: Extract<PlanStep, { kind: 'move' }>): Promise<void> {
    const { tables, transport, clock, subjects, stepTimeoutMs, observer } = this.#options
    const epoch = tables.table?.entries[partition]?.epoch
    if (epoch === undefined) return
    const still = (entry: PlacementEntry) => entry.epoch === epoch && sameNode(entry.owner, from)
    const only = (change: (entry: PlacementEntry) => PlacementEntry) =>
      this.#exclusively(() => this.#change((entry, p) => (p === partition && still(entry) ? change(entry) : entry)))
    await only((entry) => ({ ...entry, moving: to }))
    if (this.#stopped || !sameNode(tables.table?.entries[partition]?.moving, to)) return
    observer.emit({ type: 'placement.moving', partition, from: from.id, to: to.id })
    const request = encodeControl({ op: 'hand-off', partition, epoch, to: to.id })
    const reply = await ask(transport, clock, subjects.nodeControl(from.id), request, stepTimeoutMs)
    if (this.#stopped) return
    const refused = reply !== null && !isDone(reply)
    if (refused) this.#avoided.add(to, partition, this.#options.clock.monotonic())
    await only((entry) => (refused ? { ...entry, moving: null } : named(entry, to, nextEpoch(epoch))))
  }

  /** PL3 */
  async #endFormerMoves(): Promise<void> {
    const { tables, alive } = this.#options
    await tables.refresh()
    const live = alive()
    await this.#change((entry) => {
      if (entry.moving === null) return entry
      const to = [entry.moving, entry.owner].find(
        (node) => node !== null && live.some((lease) => sameNode(lease, node)),
      )
      return to == null ? { ...entry, moving: null } : named(entry, to, nextEpoch(entry.epoch))
    })
  }

  #onReport({ data, subject }: Message): void {
    let report: Report
    try {
      report = decodeReport(data)
    } catch {
      this.#options.observer.emit({ type: 'message.dropped', subject, reason: 'malformed' })
      return
    }
    const { partition, node, epoch } = report
    if (this.#reporting >= maxReports) return
    this.#reporting++
    void this.#exclusively(async () => {
      await this.#options.tables.refresh()
      const about = (entry: PlacementEntry, p: number) =>
        p === partition && sameNode(entry.owner, node) && entry.epoch <= epoch && epoch - entry.epoch <= farthestEpochs
      if (report.op === 'epoch-spent') {
        await this.#change((entry, p) => (about(entry, p) ? named(entry, node, nextEpoch(epoch)) : entry))
        return
      }
      this.#avoided.add(node, partition, this.#options.clock.monotonic())
      await this.#change((entry, p) => (about(entry, p) ? { ...entry, owner: null, moving: null } : entry))
      await this.#plan()
    }).finally(() => this.#reporting--)
  }

  /** One CAS of the table, and the news of it to clients. A conflict changes nothing: the next plan begins from what is there. */
  async #change(entryOf: (entry: PlacementEntry, partition: number) => PlacementEntry): Promise<void> {
    const { tables, observer, transport, subjects } = this.#options
    const before = tables.table
    const changed = await tables.change((table): PlacementTable => {
      const entries = table.entries.map(entryOf)
      return entries.every((entry, p) => entry === table.entries[p]) ? table : { ...table, entries }
    })
    const after = tables.table
    if (!changed || before === undefined || after === undefined || after === before) return
    transport.publish(subjects.placement, encodeView(viewOf(after)))
    after.entries.forEach(({ epoch, owner }, p) => {
      if (owner !== null && epoch !== before.entries[p]?.epoch) {
        observer.emit({ type: 'placement.assigned', partition: p as PartitionId, owner: owner.id, epoch })
      }
    })
  }
}

const named = (entry: PlacementEntry, owner: NodeRef, epoch: Epoch): PlacementEntry => ({
  ...entry,
  owner,
  epoch,
  moving: null,
})
