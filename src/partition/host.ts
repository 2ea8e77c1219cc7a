/**
 * The effects of one partition on one node: what the states of actors/partition.ts do. Owns the replica, as a standby's or as an owner's,
 * the ownership, and the requests that are held while there is none yet.
 *
 * X1. One replica at a time; it is closed before another is opened. A standby's goes on as the owner's.
 * X2. Requests that arrive while this node is taking over are held, bounded like the mailbox, and go in when it serves (O6), with what is
 *     left of their patience; so are those that arrive at a standby that is about to. Where it does not come to that they are answered
 *     `moved`.
 * X3. A crash drops everything without a flush or a word.
 * X4. A replica that has diverged is set aside and built anew. What a record says that it differs at for the second time is believed (L9).
 * X5. Who has handed off names the successor, until placement names somebody at that epoch or a later one.
 * X6. A log that was lost begins again under another generation, when an operator has seeded it: what is left of the former is dropped here,
 *     and the next replica is of the new one (L1).
 * X7. A standby answers queries that allow some staleness (standby-reads.ts) while it follows the log; all else is answered `moved`, or
 *     held (X2).
 */
import type { ActorDefinition } from '../behaviour/definition.ts'
import { hash64ToText } from '../core/hashing.ts'
import type { BrokenLog, LogPosition } from '../core/log.ts'
import type { Changelog, PartitionLog } from '../ports/changelog.ts'
import type { Clock } from '../ports/clock.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Compression } from '../ports/compression.ts'
import type { Objects } from '../ports/objects.ts'
import type { Random } from '../ports/random.ts'
import type { Registry } from '../ports/registry.ts'
import type { Stores } from '../ports/store.ts'
import type { Transport } from '../ports/transport.ts'
import { isHoldfastError } from '../protocol/errors.ts'
import {
  nextEpoch,
  type Epoch,
  type Generation,
  type NodeId,
  type NodeRef,
  type PartitionId,
  type Seq,
} from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { HeldRequests } from './held-requests.ts'
import { Inquiries } from './inquiries.ts'
import { LoopShare } from './loop-share.ts'
import { NodeMemory } from './node-memory.ts'
import { knownGeneration } from './provision.ts'
import { Owner, type Incoming } from './owner.ts'
import { Diverged, type Replica } from './replica.ts'
import type { PartitionSettings } from './settings.ts'
import { SnapshotKeeper, type OrderedCut } from './snapshot/keeper.ts'
import { CutSlots } from './snapshot/slots.ts'
import type { OpenTenant } from './tenant.ts'
import { catchUp, Outdated, tail } from './log-tail.ts'
import { StandbyReads } from './standby-reads.ts'
import { checkReplica, claim, openReplica, type ClaimResult, type TakeoverOptions } from './takeover.ts'
import { withPatienceLeft } from './asked.ts'
import { inDoubt, notExecuted, stopped } from './answers.ts'
import type { Answer } from './turn.ts'
import type { WorkMeter } from './work-meter.ts'

export interface HostOptions {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly node: NodeRef
  readonly clock: Clock
  readonly observer: Observer
  readonly transport: Transport
  readonly changelog: Changelog
  readonly registry: Registry
  readonly objects: Objects
  readonly compression: Compression
  readonly random: Random
  readonly stores: Stores
  readonly subjects: Subjects
  readonly definitions: ReadonlyMap<string, ActorDefinition>
  readonly settings: PartitionSettings
  /** What it shares with the other partitions of its node. Default: a node of its own. */
  readonly memory?: NodeMemory
  /** Of its replays, likewise. */
  readonly share?: LoopShare
  /** Begins what lives with an ownership. Default: nothing. */
  readonly openTenant?: OpenTenant | undefined
  /** Shared by the partitions of its node. Default: its own. */
  readonly cutSlots?: CutSlots | undefined
  /** Default: nobody watches. */
  readonly meter?: WorkMeter | undefined
  /** Whom to ask instead, as far as this node knows. */
  readonly knownOwner: () => { readonly owner: NodeId | null; readonly epoch: Epoch }
  /** As a standby it is at the log's end, and follows it from now on. */
  readonly onCaughtUp: () => void
  /** The log says that the owner at `epoch` has handed off to this node. */
  readonly onHandedOver: (epoch: Epoch) => void
  /** `null`: by whom the log does not tell any more. */
  readonly onFenced: (by: LogPosition | null) => void
  readonly onBroken: (error: BrokenLog) => void
  /** The ownership ended itself, as a record could not be written. */
  readonly onUnwritable: () => void
  readonly onStoreFailure: (error: unknown) => void
}

export interface PartitionProgress {
  readonly appliedSeq: Seq
  /** Of the state there, hex. */
  readonly stateHash: string
  /** Records behind the log's end, as far as it was seen; while a snapshot is restored, behind that. */
  readonly lag: number
  /** Turns committed by this ownership. */
  readonly turns: number
}

/** What is known of the turns that are not committed; or that the store cannot be read. */
type Why = 'nothing happened' | 'in doubt' | 'damaged'

export class PartitionHost {
  /** Answered as long as it is the owner. */
  readonly inquiries: Inquiries
  readonly #options: HostOptions
  readonly #log: PartitionLog
  #replica: Replica | undefined
  #owner: Owner | undefined
  #snapshots: SnapshotKeeper | undefined
  readonly #held: HeldRequests
  #reads: StandbyReads | undefined
  readonly #memory: NodeMemory
  readonly #share: LoopShare
  /** Gives its share of the node's memory back. */
  #part: (() => void) | undefined
  #crashed = false
  /** Set once the partition has stopped. */
  #stopped: Answer | undefined
  /** The last takeover or standing by, settled or not: nothing else touches the replica before it has let go. */
  #using: Promise<void> | undefined
  /** What is taken in comes as it is stored: this replica has been at the log's end. */
  #tailing = false
  /** X4 */
  readonly #believed = new Set<Seq>()
  /** X6 */
  #generation: Generation
  /** As it was when the partition stopped. */
  #lastProgress = noProgress
  /** Of a snapshot: records that the store is still to take in. */
  #toRestore = 0
  /** Why the replica is to be set aside. */
  #damage = unreadable
  #leaving: Promise<void> = Promise.resolve()
  /** When the takeover began that is under way, monotonic ms. */
  #takingSinceMs: number | undefined
  /** X2 */
  #awaiting = false
  /** X5 */
  #successor: { readonly owner: NodeId; readonly epoch: Epoch } | undefined

  constructor(options: HostOptions) {
    this.#options = options
    this.#generation = options.generation
    this.#log = options.changelog.log(options.partition)
    this.#memory = options.memory ?? new NodeMemory()
    this.#share = options.share ?? new LoopShare(options.clock, options.settings.sliceMs)
    this.inquiries = new Inquiries({ ...options, generation: () => this.#generation, owner: () => this.#owner })
    this.#held = new HeldRequests({ clock: options.clock, settings: options.settings, memory: this.#memory })
  }

  get progress(): PartitionProgress {
    const replica = this.#replica
    if (replica === undefined) {
      return this.#stopped === undefined ? { ...noProgress, lag: this.#toRestore } : this.#lastProgress
    }
    const { position, stateHash, lag } = replica
    return {
      appliedSeq: position.seq,
      stateHash: hash64ToText(stateHash),
      lag,
      turns: this.#owner?.committedTurns ?? 0,
    }
  }

  /** As a standby it has been at the log's end, and follows it. */
  get tailing(): boolean {
    return this.#tailing
  }

  /** Opens the store, replays, claims (src/partition/takeover.ts). Requests are held from now on. */
  takeOver(epoch: Epoch, signal: AbortSignal): Promise<ClaimResult> {
    this.#held.begin()
    this.#successor = undefined
    this.#takingSinceMs ??= this.#options.clock.monotonic()
    return this.#use(signal, (replica, options) => claim(replica, epoch, options))
  }

  /** Opens the store, replays, and follows the log until `signal` aborts. Throws as these do. */
  standBy(signal: AbortSignal): Promise<void> {
    const kept = this.#replica
    return this.#use(signal, async (replica, options) => {
      if (replica === kept) await checkReplica(replica, options)
      await catchUp(replica, options)
      signal.throwIfAborted()
      this.#tailing = true
      const reads = this.#beginReads(replica)
      this.#options.onCaughtUp()
      await tail(replica, { ...options, onApplied: () => reads.applied() }).finally(() => {
        this.#tailing = false
        this.#reads = undefined
        reads.end()
      })
    })
  }

  /** Whether this node may own it any moment: what arrives once it follows the log is held from now on, or no more (X2). */
  awaitOwnership(awaiting: boolean): void {
    this.#awaiting = awaiting
    if (awaiting || this.#takingSinceMs !== undefined || this.#owner !== undefined) return
    for (const incoming of this.#held.end()) incoming.respond(this.#elsewhere())
  }

  /** X7 */
  #beginReads(replica: Replica): StandbyReads {
    const leave = (incoming: Incoming, sinceMs: number) => {
      if (this.#crashed) return
      // Where it ends because this node takes over, what waited is held for that.
      const waitedMs = this.#options.clock.monotonic() - sinceMs
      if (this.#reads === undefined) this.submit(withPatienceLeft(incoming, waitedMs))
      else incoming.respond(this.#elsewhere())
    }
    this.#reads = new StandbyReads({ ...this.#options, replica, leave })
    return this.#reads
  }

  /** X1 */
  #use<T>(signal: AbortSignal, work: (replica: Replica, options: TakeoverOptions) => Promise<T>): Promise<T> {
    const using = this.#withReplica(signal, work)
    this.#using = using.then(
      () => {},
      () => {},
    )
    return using
  }

  async #withReplica<T>(
    signal: AbortSignal,
    work: (replica: Replica, options: TakeoverOptions) => Promise<T>,
  ): Promise<T> {
    await this.#using
    const { partition, stores, objects, registry, compression, clock, observer, node, settings } = this.#options
    const options: TakeoverOptions = {
      partition,
      generation: this.#generation,
      stores,
      objects,
      registry,
      compression,
      log: this.#log,
      clock,
      observer,
      node,
      share: this.#share,
      signal,
      leaseMs: settings.leaseMs,
      applyEveryMs: settings.applyEveryMs,
      cacheBytes: () => this.#memory.share('cacheBytes', settings.cacheBytes),
      believed: this.#believed,
      onRestoring: (left) => (this.#toRestore = left),
      onHandedOff: (epoch, to) => {
        if (to === node.id) this.#options.onHandedOver(epoch)
      },
      onStoreFailure: this.#options.onStoreFailure,
    }
    this.#part ??= this.#memory.join()
    try {
      this.#replica ??= await openReplica(options).finally(() => (this.#toRestore = 0))
      signal.throwIfAborted()
      return await work(this.#replica, options)
    } catch (error) {
      if (isHoldfastError(error, 'INTERNAL')) this.#damage = error.message
      if (error instanceof Outdated) await this.#closeReplica({ flush: true })
      if (error instanceof Diverged) this.#believed.add(error.seq)
      throw error
    }
  }

  /** Begins to serve what was claimed, with what was held. */
  serve(): void {
    const replica = this.#replica
    if (replica === undefined || this.#crashed) return
    const { clock, meter, cutSlots: slots = new CutSlots() } = this.#options
    const snapshots = new SnapshotKeeper({
      ...this.#options,
      generation: this.#generation,
      log: this.#log,
      replica,
      slots,
      time: () => owner.time,
    })
    this.#snapshots = snapshots
    const owner = new Owner({
      ...this.#options,
      onRecord: (seq, time, bytes) => snapshots.committed(seq, time, bytes),
      memory: this.#memory,
      log: this.#log,
      replica,
    })
    this.#owner = owner
    if (this.#takingSinceMs !== undefined) {
      meter?.takeoverSeconds.observe((clock.monotonic() - this.#takingSinceMs) / 1_000)
    }
    this.#takingSinceMs = undefined
    for (const incoming of this.#held.end()) owner.submit(incoming)
  }

  submit(incoming: Incoming): void {
    if (this.#owner !== undefined) return this.#owner.submit(incoming)
    const stale = incoming.request.bounds?.maxStalenessMs !== undefined
    if (!this.#held.open && this.#reads !== undefined && stale) return this.#reads.answer(incoming)
    if (this.#awaiting && this.#tailing) this.#held.begin()
    if (this.#held.open) this.#held.add(incoming)
    else incoming.respond(this.#elsewhere())
  }

  metrics(): readonly Metric[] {
    const { mailboxTurns, mailboxBytes } = this.#options.settings
    return [
      ...this.#held.metrics(),
      ...this.inquiries.metrics(),
      ...(this.#replica?.metrics() ?? []),
      gauge('holdfast_standby_reads_waiting', this.#reads?.waiting ?? 0, mailboxTurns),
      gauge('holdfast_standby_read_bytes', this.#reads?.waitingBytes ?? 0, mailboxBytes),
      ...(this.#owner?.metrics() ?? []),
      ...(this.#reads?.metrics() ?? []),
    ]
  }

  /** Cuts a snapshot, where this node is the owner; `null` where it is not (K6 of the keeper). */
  orderSnapshot(name: string): OrderedCut | null {
    return this.#owner === undefined ? null : this.#snapshots!.ordered(name)
  }

  reconnected(): void {
    this.#owner?.reconnected()
  }

  /** `true` when the hand-off record is committed. */
  async handOff(to: NodeId): Promise<boolean> {
    const owner = this.#owner
    if (owner === undefined || !(await owner.handOff(to))) return false
    if (to !== this.#options.node.id) this.#successor = { owner: to, epoch: nextEpoch(owner.epoch) }
    return true
  }

  /** There will be no ownership here any more: who asks is told why, unless another node owns the partition by now. */
  stop(reason: string): void {
    this.#stopped = stopped(reason)
  }

  /** The generation that the registry names now. Throws `RETRY`. */
  async namedGeneration(): Promise<Generation> {
    const { registry, partition } = this.#options
    return (await knownGeneration(registry, partition))?.generation ?? this.#generation
  }

  get generation(): Generation {
    return this.#generation
  }

  /** X6. Call it when it was released. */
  begin(generation: Generation): void {
    this.#generation = generation
    this.#stopped = undefined
    this.#lastProgress = noProgress
    this.#successor = undefined
    this.#believed.clear()
  }

  /** Ends the ownership, answers what is held, writes what is staged and closes the store. */
  release(why: Why): Promise<void> {
    this.#snapshots?.stop()
    this.#owner?.end(why === 'nothing happened' ? notExecuted : inDoubt)
    this.#owner = undefined
    this.#takingSinceMs = undefined
    for (const incoming of this.#held.end()) incoming.respond(this.#elsewhere())
    this.#leaving = this.#leave(why)
    return this.#leaving
  }

  async #leave(why: Why): Promise<void> {
    await this.#leaving.catch(() => {})
    await this.#using
    this.#lastProgress = this.progress
    this.#leaveMemory()
    await this.#closeReplica({ flush: !this.#crashed && why !== 'damaged' })
    if (why !== 'damaged' || this.#crashed) return
    const { stores, observer, partition } = this.#options
    const reason = this.#damage
    this.#damage = unreadable
    observer.emit({ type: 'store.set-aside', partition, reason, path: await stores.setAside(partition, reason) })
  }

  #elsewhere(): Answer {
    const named = this.#options.knownOwner()
    const known = this.#successor !== undefined && named.epoch < this.#successor.epoch ? this.#successor : named
    return this.#stopped !== undefined && known.owner === null ? this.#stopped : { kind: 'moved', ...known }
  }

  /** X3 */
  async crash(): Promise<void> {
    this.#crashed = true
    this.inquiries.end()
    this.#snapshots?.stop()
    this.#held.end()
    this.#owner?.end(inDoubt)
    this.#owner = undefined
    await this.#using
    this.#leaveMemory()
    await this.#closeReplica({ flush: false })
  }

  async #closeReplica(how: { readonly flush: boolean }): Promise<void> {
    const replica = this.#replica
    this.#replica = undefined
    await replica?.close(how)
  }

  #leaveMemory(): void {
    this.#part?.()
    this.#part = undefined
  }
}

const unreadable = 'it could not be read'

const noProgress: PartitionProgress = { appliedSeq: 0 as Seq, stateHash: '', lag: 0, turns: 0 }
