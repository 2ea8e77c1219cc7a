/**
 * The leader's work while it leads: watches members and table, asks the planner, and carries its steps out.
 *
 * PL1. The table changes by CAS only; who meets a conflict reads again and plans anew (O1). The log has the last word, so a leader that
 *     does not know yet that it was deposed can cost time, never data.
 * PL2. Moves are carried out by moves.ts, a few of a kind at a time; the changes of the table that they want wait their turn like all others.
 * PL3. A move that is noted and that nobody carries out is gone on with, where both nodes live (MV4); where the target does not, the note
 *     is taken back.
 * PL4. A node that reports that it cannot open a partition is avoided for it, with back-off (O6).
 * PL5. What waits to be dealt with is bounded: one plan, however many ask for it, and so many reports; one more is dropped, and comes
 *     again, since nodes repeat them.
 * PL6. No report moves a partition's epoch on by more than `farthestEpochs`: epochs only grow, in the log too, and one that was made up
 *     could use up all there are.
 * PL7. Who was the owner and stays stands by, until the plan of standbys has another.
 * PL8. What an operator orders is carried out where the plan could do it too, and counts as what was planned. Shares go on being held, so
 *      another partition may go the other way; the one that was moved is the last that its node gives away, while the same process leads.
 */
import { whyNotMoved } from '../core/explain.ts'
import type { PlacementState, StatedMember } from '../core/placement-state.ts'
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
import { Avoided } from './avoided.ts'
import { decodeReport, type Report } from './control.ts'
import { Moves, servesAsHeir } from './moves.ts'
import type { Order, OrderAnswer } from './order.ts'
import { OrderDesk } from './order-desk.ts'
import type { TableKeeper } from './table-keeper.ts'

export interface LeaderOptions {
  /** Who leads. */
  readonly self: NodeRef
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
  /** Moves that wait for their target, and moves that are handed off, at once, at most. Default 4. */
  readonly maxMoves: number
  /** Whether a subject may be answered; tells the observer of one that may not. */
  readonly accepts: (reply: string | undefined, subject: string) => reply is string
}

export const maxReports = 1_024
/** A table that was put back from a copy is behind its logs by less. */
const farthestEpochs = 1_000_000

/** How many there are now of what is bounded. */
export interface LeaderLoad {
  readonly moves: number
  readonly reports: number
  readonly orders: number
  readonly avoided: number
}

export class Leader {
  readonly #options: LeaderOptions
  readonly #moves: Moves
  readonly #avoided = new Avoided()
  readonly #desk: OrderDesk
  /** PL8: where to. */
  readonly #placedByHand = new Map<PartitionId, NodeRef>()
  #reports: Subscription | undefined
  #timer: Timer | undefined
  #turn: Promise<void> = Promise.resolve()
  #reporting = 0
  #hurrying = false
  #stopped = false

  constructor(options: LeaderOptions) {
    this.#options = options
    this.#moves = new Moves({
      ...options,
      lookEveryMs: options.planEveryMs / 4,
      lives: (node) => this.#lives(node),
      drains: (node) => options.alive().some((lease) => lease.draining && sameNode(lease, node)),
      said: (node, partition) => this.#saidOf(node, partition),
      change: (partition, entryOf) =>
        this.#exclusively(() => this.#change((entry, p) => (p === partition ? entryOf(entry) : entry))),
      named: (entry, owner, epoch) => this.#named(entry, owner, epoch),
      onGivenUp: (target, partition) => this.#avoided.add(target, partition, options.clock.monotonic()),
    })
    this.#desk = new OrderDesk({ ...options, carryOut: (order) => this.#carryOut(order) })
  }

  start(): void {
    const { transport, subjects } = this.#options
    this.#reports = transport.subscribe(subjects.placementReport, (message) => this.#onReport(message))
    this.#desk.open()
    this.#tick()
  }

  stop(): void {
    this.#stopped = true
    this.#moves.stop()
    this.#reports?.close()
    this.#desk.close()
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
    return {
      moves: this.#moves.count,
      reports: this.#reporting,
      orders: this.#desk.count,
      avoided: this.#avoided.count,
    }
  }

  #tick(): void {
    if (this.#stopped) return
    void this.#exclusively(() => this.#plan()).then(() => {
      if (!this.#stopped) this.#timer = this.#options.clock.setTimeout(() => this.#tick(), this.#options.planEveryMs)
    })
  }

  /** Changes of the table one after the other. Rejects never: without a registry nothing is decided, the next tick tries again. */
  #exclusively(work: () => Promise<unknown>): Promise<void> {
    this.#turn = this.#turn
      .then(async () => {
        if (!this.#stopped) await work()
      })
      .catch((error: unknown) => {
        if (!isHoldfastError(error)) this.#options.observer.emit({ type: 'handler.threw', where: 'placement', error })
      })
    return this.#turn
  }

  async #plan(): Promise<void> {
    const { tables } = this.#options
    const table = await this.#goOn(await tables.refresh())
    const { members, placedByHand } = this.#stateOf(table)
    const steps = plan(members, table, placedByHand)
    await this.#assign(steps.filter((step) => step.kind === 'assign'))
    for (const step of steps) {
      const epoch = tables.table?.entries[step.partition]?.epoch
      if (step.kind === 'move' && epoch !== undefined) void this.#moves.begin({ ...step, epoch })
    }
    await this.#appoint(members)
  }

  /** What plans are made from. */
  #stateOf(table: PlacementTable): PlacementState {
    const { self, clock, alive, standbys, maxExtraStandbys } = this.#options
    const nowMs = clock.monotonic()
    this.#avoided.forgetOld(nowMs)
    for (const [partition, to] of this.#placedByHand) {
      const { owner, moving } = table.entries[partition] ?? {}
      if (!sameNode(owner, to) && !sameNode(moving, to)) this.#placedByHand.delete(partition)
    }
    const members = alive().map((lease): StatedMember => {
      const { host, zone, weight, draining } = lease
      const hosted = new Map(this.#saidBy(lease).map((one) => [one.partition, one]))
      const avoidedForMs = this.#avoided.of(lease, nowMs)
      const avoid = new Set(avoidedForMs.keys())
      return { ref: refOf(lease), host, zone, weight, draining, hosted, avoid, avoidedForMs }
    })
    const placedByHand = new Set(this.#placedByHand.keys())
    return { leader: self.id, members, table, placedByHand, standbys, maxExtraStandbys }
  }

  async #appoint(members: readonly PlanMember[]): Promise<void> {
    const { tables, standbys, maxExtraStandbys: maxExtra, observer } = this.#options
    const table = tables.table
    if (table === undefined) return
    const lists = new Map(planStandbys(members, table, { standbys, maxExtra }).map((step) => [step.partition, step]))
    if (lists.size === 0) return
    const changed = await this.#change((entry, p) => {
      const step = lists.get(p as PartitionId)
      return step === undefined || entry !== table.entries[p] ? entry : { ...entry, standbys: step.standbys }
    })
    if (!changed) return
    for (const { partition, standbys: nodes } of lists.values()) {
      observer.emit({ type: 'placement.standbys', partition, standbys: nodes.map(({ id }) => id) })
    }
  }

  #saidBy(node: NodeRef): readonly HostedPartition[] {
    const seen = this.#options.members().find(({ member }) => sameNode(member, node))
    return seen?.member.details.partitions ?? []
  }

  #saidOf(node: NodeRef, partition: PartitionId): HostedPartition | undefined {
    return this.#saidBy(node).find((hosted) => hosted.partition === partition)
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

  /** PL3 */
  async #goOn(table: PlacementTable): Promise<PlacementTable> {
    await this.#change((entry) => (entry.moving === null || this.#lives(entry.moving) ? entry : unmoved(entry)))
    const { entries } = this.#options.tables.table ?? table
    entries.forEach(({ epoch, owner: from, moving: to }, p) => {
      const partition = p as PartitionId
      if (this.#lives(from) && this.#lives(to)) this.#moves.resume({ partition, epoch, from, to })
    })
    return this.#options.tables.table ?? table
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
        // Who has handed off asks, too, while its heir is not named (MV5).
        const isOver = ({ epoch: at, moving }: PlacementEntry) =>
          moving !== null && servesAsHeir(this.#saidOf(moving, partition), at)
        await this.#change((entry, p) =>
          about(entry, p) && !isOver(entry) ? this.#named(entry, node, nextEpoch(epoch)) : entry,
        )
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

  /** PL8. Rejects never. */
  async #carryOut(order: Order): Promise<OrderAnswer> {
    let answer: OrderAnswer = notNow('the registry does not answer the leader of placement')
    let noting: Promise<boolean> | undefined
    await this.#exclusively(async () => {
      if (order.op === 'rebalance') {
        this.#avoided.forgetAll()
        await this.#plan()
        answer = { done: true }
        return
      }
      const state = this.#stateOf(await this.#options.tables.refresh())
      if (order.op === 'plan') answer = { done: true, state }
      else [answer, noting] = this.#beginMove(state, order)
    })
    if (noting === undefined || (await noting)) return answer
    return notNow('the table was changed at the same time')
  }

  /** The answer, and where a move was begun what resolves when it is noted. */
  #beginMove(
    state: PlacementState,
    { partition, to }: Extract<Order, { op: 'move' }>,
  ): [answer: OrderAnswer, noting?: Promise<boolean>] {
    const reason = whyNotMoved(state, partition, to)
    if (reason !== null) return [{ done: false, again: false, reason }]
    const { owner: from, epoch, moving } = state.table.entries[partition]!
    if (moving !== null) return [{ done: true }]
    const { maxMoves } = this.#options
    const target = state.members.find(({ ref }) => ref.id === to)!.ref
    const move = { partition, epoch, from: from!, to: target }
    if (!this.#moves.hasRoomFor(move)) return [notNow(`as many such moves are under way as may be (${maxMoves})`)]
    const noting = this.#moves.begin(move).then((noted) => {
      if (noted) this.#placedByHand.set(partition, target)
      return noted
    })
    return [{ done: true }, noting]
  }

  /** PL7 */
  #named(entry: PlacementEntry, owner: NodeRef, epoch: Epoch): PlacementEntry {
    const former = entry.owner
    const rest = entry.standbys.filter((ref) => !sameNode(ref, owner))
    const stays = this.#options.standbys > 0 && !sameNode(former, owner) && this.#lives(former)
    const standbys = stays ? [...rest.filter((ref) => !sameNode(ref, former)), former] : rest
    return { epoch, owner, standbys, moving: null }
  }

  /** One CAS of the table, and the news of it to clients. `false`: nothing was changed; after a conflict the next plan begins from what is there. */
  async #change(entryOf: (entry: PlacementEntry, partition: number) => PlacementEntry): Promise<boolean> {
    const { tables, observer, transport, subjects } = this.#options
    const before = tables.table
    const changed = await tables.change((table): PlacementTable => {
      const entries = table.entries.map(entryOf)
      return entries.every((entry, p) => entry === table.entries[p]) ? table : { ...table, entries }
    })
    const after = tables.table
    if (!changed || before === undefined || after === undefined || after === before) return false
    transport.publish(subjects.placement, encodeView(viewOf(after)))
    after.entries.forEach(({ epoch, owner }, p) => {
      if (owner !== null && epoch !== before.entries[p]?.epoch) {
        observer.emit({ type: 'placement.assigned', partition: p as PartitionId, owner: owner.id, epoch })
      }
    })
    return true
  }
}

const notNow = (why: string): OrderAnswer => ({ done: false, again: true, reason: `${why}: try again` })

const unmoved = (entry: PlacementEntry): PlacementEntry => ({ ...entry, moving: null })

/** It neither stands by nor is moved to. */
function without(entry: PlacementEntry, node: NodeRef): PlacementEntry {
  const standbys = entry.standbys.filter((ref) => !sameNode(ref, node))
  const moving = sameNode(entry.moving, node) ? null : entry.moving
  return standbys.length === entry.standbys.length && moving === entry.moving ? entry : { ...entry, standbys, moving }
}
