/**
 * The leader's work while it leads: watches members and table, asks the planner, and carries its steps out.
 *
 * PL1. The table changes by CAS only; who meets a conflict reads again and plans anew (O1). The log has the last word, so a leader that
 *     does not know yet that it was deposed can cost time, never data.
 * PL2. A move: note it in the table → wait until the target stands by and is level with the owner → have the owner hand off (2 s at most) →
 *     name the target at the next epoch. If the owner does not answer in time, the target is named all the same and fences it (O6). If it
 *     says that it cannot, or the target comes no further for `stallMs`, the note is taken back.
 * PL3. A move that a former leader noted and did not end is gone on with, where both nodes live: each of its steps can be done again.
 * PL7. Who was the owner and stays stands by, until the plan of standbys has another.
 * PL4. A node that reports that it cannot open a partition is avoided for it, with back-off (O6).
 * PL5. What waits to be dealt with is bounded: one plan, however many ask for it, and so many reports; one more is dropped, and comes
 *     again, since nodes repeat them.
 * PL6. No report moves a partition's epoch on by more than `farthestEpochs`: epochs only grow, in the log too, and one that was made up
 *     could use up all there are.
 */
import { plan, type PlanMember, type PlanStep } from '../core/planner.ts'
import { planStandbys } from '../core/standby-plan.ts'
import { encodeView, viewOf, type PlacementEntry, type PlacementTable } from '../core/table.ts'
import type { NodeLease } from '../membership/lease.ts'
import { refOf } from '../membership/lease.ts'
import type { SeenMember } from '../membership/gossiper.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import { isHoldfastError } from '../protocol/errors.ts'
import type { HostedPartition } from '../core/membership.ts'
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
  /** What they say of themselves, as far as this node has heard. */
  readonly members: () => readonly SeenMember[]
  /** Of each partition. Default 1. */
  readonly standbys: number
  /** Partitions that have one more for a while, because a better placed one is on its way, at most. Default 2. */
  readonly maxExtraStandbys: number
  /** Default 200 ms. */
  readonly planEveryMs: number
  /** How long one step of a move may take. Default 2,000 ms. */
  readonly stepTimeoutMs: number
  /** How long the target of a move may come no further before it is given up. Default 10,000 ms. */
  readonly stallMs: number
  /** Moves under way at once, at most. Default 4. */
  readonly maxMoves: number
}

export const maxReports = 1_024
/** Records that the target of a move may be behind, by what both said of themselves a short while ago. */
const levelWithin = 1_000
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
    void this.#exclusively(() => this.#resumeMoves()).then(() => this.#tick())
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
      const hosted = new Map(this.#saidBy(lease).map((one) => [one.partition, one]))
      return { ref: refOf(lease), host, zone, weight, draining, hosted, avoid: this.#avoided.of(lease, nowMs) }
    })
    const steps = plan(members, table)
    await this.#assign(steps.filter((step) => step.kind === 'assign'))
    for (const step of steps) if (step.kind === 'move') this.#begin(step.partition, () => this.#move(step))
    await this.#appoint(members)
  }

  async #appoint(members: readonly PlanMember[]): Promise<void> {
    const { tables, standbys, maxExtraStandbys: maxExtra, observer } = this.#options
    const table = tables.table
    if (table === undefined) return
    const lists = new Map(planStandbys(members, table, { standbys, maxExtra }).map((step) => [step.partition, step]))
    if (lists.size === 0) return
    await this.#change((entry, p) => {
      const step = lists.get(p as PartitionId)
      return step === undefined || entry !== table.entries[p] ? entry : { ...entry, standbys: step.standbys }
    })
    for (const { partition, standbys: nodes } of lists.values()) {
      observer.emit({ type: 'placement.standbys', partition, standbys: nodes.map(({ id }) => id) })
    }
  }

  /** One more move, if there may be one. */
  #begin(partition: PartitionId, move: () => Promise<void>): void {
    if (this.#moving.size >= this.#options.maxMoves || this.#moving.has(partition)) return
    this.#moving.add(partition)
    void move().finally(() => this.#moving.delete(partition))
  }

  #saidBy(node: NodeRef): readonly HostedPartition[] {
    const seen = this.#options.members().find(({ member }) => sameNode(member, node))
    return seen?.member.details.partitions ?? []
  }

  #lives(node: NodeRef | null): node is NodeRef {
    return this.#options.alive().some((lease) => sameNode(lease, node))
  }

  async #assign(steps: readonly Extract<PlanStep, { kind: 'assign' }>[]): Promise<void> {
    if (steps.length === 0) return
    const targets = new Map(steps.map((step) => [step.partition as number, step.to]))
    await this.#change((entry, partition) => {
      const to = targets.get(partition)
      return to === undefined ? entry : this.#named(entry, to, nextEpoch(entry.epoch))
    })
  }

  /** PL2 */
  async #move({ partition, from, to }: Extract<PlanStep, { kind: 'move' }>): Promise<void> {
    const { tables, observer } = this.#options
    const epoch = tables.table?.entries[partition]?.epoch
    if (epoch === undefined) return
    const move: Move = { partition, epoch, from, to }
    await this.#changeMoved(move, (entry) => ({ ...entry, moving: to }))
    if (!this.#isNoted(move)) return
    observer.emit({ type: 'placement.moving', partition, from: from.id, to: to.id })
    await this.#carryOut(move)
  }

  /** A move that is noted, to its end. */
  async #carryOut(move: Move): Promise<void> {
    const { transport, clock, subjects, stepTimeoutMs } = this.#options
    const { partition, epoch, from, to } = move
    const level = await this.#untilLevel(move)
    if (!this.#isNoted(move)) return
    let refused = !level
    if (level) {
      const request = encodeControl({ op: 'hand-off', partition, epoch, to: to.id })
      const reply = await ask(transport, clock, subjects.nodeControl(from.id), request, stepTimeoutMs)
      if (!this.#isNoted(move)) return
      refused = reply !== null && !isDone(reply)
    }
    if (refused) this.#avoided.add(to, partition, clock.monotonic())
    await this.#changeMoved(move, (entry) =>
      refused ? { ...entry, moving: null } : this.#named(entry, to, nextEpoch(epoch)),
    )
  }

  /** `false`: its target has come no further for too long, or is gone. */
  async #untilLevel(move: Move): Promise<boolean> {
    const { clock, planEveryMs, stallMs } = this.#options
    const { partition, from, to } = move
    const said = (node: NodeRef) => this.#saidBy(node).find((hosted) => hosted.partition === partition)
    let [reached, reachedAtMs] = [0, clock.monotonic()]
    while (this.#isNoted(move) && this.#lives(to)) {
      const target = said(to)
      const behind = (said(from)?.appliedSeq ?? 0) - (target?.appliedSeq ?? 0)
      if (target?.role === 'standby' && behind <= levelWithin) return true
      const nowMs = clock.monotonic()
      if (target !== undefined && target.appliedSeq > reached) [reached, reachedAtMs] = [target.appliedSeq, nowMs]
      if (nowMs - reachedAtMs >= stallMs) return false
      await new Promise<void>((resolve) => clock.setTimeout(resolve, planEveryMs / 4))
    }
    return false
  }

  #isNoted({ partition, epoch, from, to }: Move): boolean {
    const entry = this.#options.tables.table?.entries[partition]
    return !this.#stopped && entry?.epoch === epoch && sameNode(entry.owner, from) && sameNode(entry.moving, to)
  }

  #changeMoved({ partition, epoch, from }: Move, change: (entry: PlacementEntry) => PlacementEntry): Promise<void> {
    const still = (entry: PlacementEntry, p: number) =>
      p === partition && entry.epoch === epoch && sameNode(entry.owner, from)
    return this.#exclusively(() => this.#change((entry, p) => (still(entry, p) ? change(entry) : entry)))
  }

  /** PL3 */
  async #resumeMoves(): Promise<void> {
    const { tables } = this.#options
    const { entries } = await tables.refresh()
    await this.#change((entry) => (entry.moving === null || this.#lives(entry.moving) ? entry : unmoved(entry)))
    entries.forEach(({ epoch, owner: from, moving: to }, p) => {
      const partition = p as PartitionId
      if (!this.#lives(from) || !this.#lives(to)) return
      this.#begin(partition, () => this.#carryOut({ partition, epoch, from, to }))
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
        await this.#change((entry, p) => (about(entry, p) ? this.#named(entry, node, nextEpoch(epoch)) : entry))
        return
      }
      this.#avoided.add(node, partition, this.#options.clock.monotonic())
      await this.#change((entry, p) => {
        if (about(entry, p)) return { ...entry, owner: null, moving: null }
        return p === partition ? without(entry, node) : entry
      })
      await this.#plan()
    }).finally(() => this.#reporting--)
  }

  /** PL7 */
  #named(entry: PlacementEntry, owner: NodeRef, epoch: Epoch): PlacementEntry {
    const former = entry.owner
    const rest = entry.standbys.filter((ref) => !sameNode(ref, owner))
    const stays = this.#options.standbys > 0 && !sameNode(former, owner) && this.#lives(former)
    const standbys = stays ? [...rest.filter((ref) => !sameNode(ref, former)), former] : rest
    return { epoch, owner, standbys, moving: null }
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

/** A partition that goes from one live node to another, as the table's entry of that epoch says. */
interface Move {
  readonly partition: PartitionId
  readonly epoch: Epoch
  readonly from: NodeRef
  readonly to: NodeRef
}

const unmoved = (entry: PlacementEntry): PlacementEntry => ({ ...entry, moving: null })

/** It neither stands by nor is moved to. */
function without(entry: PlacementEntry, node: NodeRef): PlacementEntry {
  const standbys = entry.standbys.filter((ref) => !sameNode(ref, node))
  const moving = sameNode(entry.moving, node) ? null : entry.moving
  return standbys.length === entry.standbys.length && moving === entry.moving ? entry : { ...entry, standbys, moving }
}
