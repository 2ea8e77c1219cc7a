/**
 * One ownership of one partition: from its valid claim to its end. Wires the turn loop, the committer, the lease and the publisher.
 *
 * W1. A reply leaves after the commit of everything its turn could have seen (R1).
 * W2. On a committed record, in this order: state and sessions enter the replica, changes are published, replies leave.
 * W3. Queries read committed state, then make sure of the lease, then answer (O3; queries.ts).
 * W4. Once ended, by a fence, a hand-off, a broken log or a close, it says nothing more but that.
 * W5. Every reply names the last record that was committed when it was made; of a query, when the state was read. What asks to be answered
 *     after a record that this owner has not yet heard of is `RETRY`: a standby may know of it sooner.
 * W6. A tenant (tenant.ts) begins when all else is there; it makes units of the partition's own, which go the way of turns.
 */
import type { ActorDefinition } from '../behaviour/definition.ts'
import type { BrokenLog, LogPosition } from '../core/log.ts'
import { advanceTime, beginTime, type PartitionTime } from '../core/partition-time.ts'
import type { PartitionLog } from '../ports/changelog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { TurnSpan } from '../ports/tracer.ts'
import type { Transport } from '../ports/transport.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import type { LogPoint, ReplyPosition, Request } from '../protocol/frames.ts'
import { nextEpoch, type Epoch, type NodeId, type Rev, type Seq, type SessionId } from '../protocol/ids.ts'
import { decodeScanReply, encodeScanRequest, type ScanPage, type ScanRequest } from '../protocol/scan.ts'
import type { CommittedPosition } from '../protocol/position.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { anotherLog, behind, inDoubt, notExecuted, notFound } from './answers.ts'
import { asksQuery, definitionOf } from './asked.ts'
import { Committer, type CommittedRecord } from './committer.ts'
import { ExpirySweep } from './expiry-sweep.ts'
import { changesOf, History } from './history.ts'
import { keptId, keptKey } from './kept-reply.ts'
import { LeaseGuard } from './lease-guard.ts'
import type { NodeMemory } from './node-memory.ts'
import { OutputPublisher } from './output-publisher.ts'
import { Publisher } from './publisher.ts'
import { actorId } from './names.ts'
import { Queries } from './queries.ts'
import type { Replica } from './replica.ts'
import { ScanPages } from './scan-pages.ts'
import type { PartitionSettings } from './settings.ts'
import { unexpired, type Version } from './store-layout.ts'
import type { OpenTenant, OwnedPartition, Tenant } from './tenant.ts'
import type { Answer, Asker, FinishedTurn, Turn } from './turn.ts'
import { TurnLoop } from './turn-loop.ts'
import { Unit } from './unit.ts'
import type { WorkMeter } from './work-meter.ts'

export interface OwnerOptions {
  readonly clock: Clock
  readonly observer: Observer
  readonly transport: Transport
  readonly subjects: Subjects
  readonly log: PartitionLog
  readonly replica: Replica
  readonly definitions: ReadonlyMap<string, ActorDefinition>
  readonly settings: PartitionSettings
  /** What it shares with the other partitions of its node. */
  readonly memory: NodeMemory
  /** Default: none. */
  readonly openTenant?: OpenTenant | undefined
  /** Default: nobody watches. */
  readonly meter?: WorkMeter | undefined
  /** Each record that was committed, in order; `time`: of the partition. */
  readonly onRecord: (seq: Seq, time: number, bytes: number) => void
  readonly onFenced: (by: LogPosition | null) => void
  readonly onBroken: (error: BrokenLog) => void
  /** It ended itself, as a record could not be written (K6 of the committer). */
  readonly onUnwritable: () => void
  /** The store cannot be read. */
  readonly onStoreFailure: (error: unknown) => void
}

export interface Incoming extends Asker {
  readonly session: SessionId
  /** Lowest outstanding number of the session (R3). */
  readonly low: number
  readonly request: Request
  /** Where it is traced. */
  readonly span?: TurnSpan | undefined
}

/** Between two looks for sessions that have ended. */
const sweepEveryMs = 5_000
const unfinishedAtHandoffMs = 1_000
/** Sessions that one record ends, at most: as many as fit beside its turns. */
const mostEnded = 1_000

export class Owner {
  readonly history: History
  readonly scans: ScanPages
  readonly #options: OwnerOptions
  readonly #committer: Committer
  readonly #turns: TurnLoop
  readonly #lease: LeaseGuard
  readonly #queries: Queries
  readonly #publisher: Publisher
  readonly #outputs: OutputPublisher
  readonly #reserved = new Set<string>()
  readonly #tenant: Tenant | undefined
  readonly #expiry: ExpirySweep
  readonly #abort = new AbortController()
  readonly #claimedAtMs: number
  #time: PartitionTime
  /** W5 */
  #at: ReplyPosition
  #sweptAtMs = 0
  #finished = 0
  #committed = 0
  #afterCommits: { readonly after: number; readonly run: (certain: boolean) => void }[] = []
  #state: 'serving' | 'handing-off' | 'ended' = 'serving'
  #movedTo: NodeId | null = null
  #handedOff: ((done: boolean) => void) | undefined

  /** The replica stands right at the claim that this ownership begins with. */
  constructor(options: OwnerOptions) {
    this.#options = options
    const { clock, observer, log, replica, settings, memory, transport, subjects } = options
    const { position } = replica
    this.#time = beginTime(position.time, clock.now(), clock.monotonic())
    this.#claimedAtMs = position.time
    this.#at = positionAt(position, position.seq)
    const maxUncommittedBytes = () => memory.share('uncommittedBytes', settings.maxUncommittedBytes)
    const tailBytes = () => memory.share('tailBytes', settings.tailBytes)
    this.history = new History(position.seq, { log, voids: replica.voids, tailBytes })
    this.#publisher = new Publisher({
      partition: position.partition,
      generation: position.generation,
      published: position.published,
      history: this.history,
      transport,
      subjects,
      observer,
      clock,
      meter: options.meter,
    })
    this.#outputs = new OutputPublisher({
      partition: position.partition,
      published: position.published,
      history: this.history,
      transport,
      observer,
      clock,
    })
    this.#lease = new LeaseGuard(clock, settings.leaseMs, () => this.#committer.renew())
    this.#committer = new Committer({
      log,
      clock,
      observer,
      position,
      stateHash: replica.stateHash,
      window: settings.appendWindow,
      groupBytes: settings.groupBytes,
      maxRecordBytes: settings.maxRecordBytes,
      time: () => this.#now(),
      published: () => Math.min(this.#publisher.confirmed, this.#outputs.confirmed) as Seq,
      ended: () => this.#endedSessions(),
      onCommitted: (record) => this.#onCommitted(record),
      onProgress: (at, voids, sentAtMs) => this.#onProgress(at, voids, sentAtMs),
      onFenced: (by) => {
        this.end(by === null ? inDoubt : notExecuted)
        options.onFenced(by)
      },
      onBroken: (error) => {
        this.end(inDoubt)
        options.onBroken(error)
      },
      onUnwritable: () => {
        this.end(inDoubt)
        options.onUnwritable()
      },
    })
    this.#turns = new TurnLoop({
      clock,
      replica,
      memory,
      ...settings,
      uncommittedBytes: () => this.#committer.uncommittedBytes,
      maxUncommittedBytes,
      maxTurnBytes: settings.maxRecordBytes - recordOverhead,
      now: () => this.#now(),
      signal: this.#abort.signal,
      meter: options.meter,
      finish: (finished) => this.#finish(finished),
      afterCommits: (run) => this.#whenCommitted(run),
      at: () => this.#at,
    })
    this.#queries = new Queries({
      clock,
      replica,
      settings,
      shown: (committed) => unexpired(committed, () => this.#now()),
      at: () => this.#at,
      certainly: (release) => this.#lease.certainly(release),
      refused: () => this.#turns.refused('queries'),
    })
    this.scans = new ScanPages({
      clock,
      replica,
      epoch: position.epoch,
      maxPageBytes: Math.min(mostPageBytes, settings.maxRecordBytes),
      now: () => this.#now(),
      certainly: (run) => this.#lease.certainly(run),
      onStoreFailure: options.onStoreFailure,
    })
    this.#publisher.pump()
    this.#outputs.pump()
    this.#expiry = new ExpirySweep({
      clock,
      replica,
      everyMs: settings.expireEveryMs,
      tombstoneMs: settings.tombstoneMs,
      now: () => this.#now(),
      isBusy: (id) => this.#turns.isBusy(id) || this.#reserved.has(id),
      isBehind: () => replica.isBehind || this.#committer.uncommittedBytes >= maxUncommittedBytes(),
      finish: (finished) => this.#finish(finished),
    })
    this.#tenant = options.openTenant?.(this.#lent())
  }

  metrics(): readonly Metric[] {
    return [
      ...this.#turns.metrics(),
      ...this.#committer.metrics(),
      ...this.history.metrics(),
      ...this.#outputs.metrics(),
      ...this.scans.metrics(),
      ...this.#queries.metrics(),
      ...(this.#tenant?.metrics() ?? []),
    ]
  }

  get epoch(): Epoch {
    return this.#options.replica.position.epoch
  }

  get committedTurns(): number {
    return this.#committed
  }

  /** Partition time, ms. */
  get time(): number {
    return this.#now()
  }

  /** A keyed actor as of the last committed record, and which that is. Rejects with `RETRY` where the lease is not certain (O3). */
  async present(type: string, key: string): Promise<{ readonly version: Version; readonly seq: Seq }> {
    const [actor] = await this.#options.replica.load([actorId(type, key)]).catch((cause: unknown) => {
      throw new HoldfastError('RETRY', `this owner cannot read its store (${messageOf(cause)}); ask again`, { cause })
    })
    const version = unexpired(actor!.committed, () => this.#now())
    const seq = this.history.head
    actor!.holds--
    const certain = await new Promise<boolean>((resolve) => this.#lease.certainly(resolve))
    if (certain) return { version, seq }
    throw new HoldfastError('RETRY', 'this node does not own the partition any more, or is not sure; ask again')
  }

  /** How far it has committed, if it is certain of the lease (O3, Q1). */
  async committed(): Promise<CommittedPosition | null> {
    const { generation, seq } = this.#at
    const position = { generation, epoch: this.epoch, seq, time: this.#now() }
    const certain = await new Promise<boolean>((resolve) => this.#lease.certainly(resolve))
    return certain ? position : null
  }

  submit(incoming: Incoming): void {
    const { request, session, low, span } = incoming
    span?.owned(this.epoch)
    if (this.#state !== 'serving') return incoming.respond(this.#moved())
    const { definitions, meter } = this.#options
    const definition = definitionOf(definitions, request.type)
    if (definition === undefined) return incoming.respond(notFound(`this node hosts no actor type "${request.type}"`))
    if (asksQuery(definition, request)) {
      const after = request.bounds?.after
      const refusal = after === undefined ? undefined : this.#refusalAfter(after)
      if (refusal !== undefined) return incoming.respond(refusal)
      if (meter !== undefined) meter.queries++
      return this.#queries.answer(definition, request, incoming)
    }
    const handler = definition.commands[request.name]
    if (handler === undefined) return incoming.respond(notFound(`${request.type} has no command "${request.name}"`))
    const refusal = this.#tenant?.refusal(request.type)
    if (refusal !== undefined) return incoming.respond({ kind: 'error', error: { code: 'INVALID', message: refusal } })
    const sinceMs = this.#options.clock.monotonic()
    const turn: Turn = {
      session,
      number: request.number,
      low,
      tell: request.kind === 'tell',
      definition,
      handler,
      type: request.type,
      key: request.key,
      name: request.name,
      input: request.input,
      keptId: keptIdOf(request),
      sinceMs,
      deadlineMs: sinceMs + request.timeoutMs,
      askers: [incoming],
      finished: false,
      actor: undefined,
      span,
    }
    this.#turns.submit(turn)
  }

  /** The connection was away: compare with the log before going on (L4), and publish again what may be lost. */
  reconnected(): void {
    if (this.#state === 'ended') return
    this.#committer.suspect('the connection was lost')
    this.#publisher.resume()
    this.#outputs.resume()
  }

  /**
   * Stops taking turns, gives up the lease when the last one's handler has returned, and appends the hand-off record behind all that is in
   * flight. `true` when that is committed, `false` when the ownership ended otherwise.
   */
  async handOff(to: NodeId): Promise<boolean> {
    if (this.#state !== 'serving') return false
    this.#state = 'handing-off'
    this.#movedTo = to
    this.#expiry.stop()
    const { clock } = this.#options
    const patience = clock.setTimeout(() => {
      this.#turns.abandonUnfinished(this.#moved())
      this.#tenant?.end()
    }, unfinishedAtHandoffMs)
    const handedOff = new Promise<boolean>((resolve) => {
      this.#handedOff = resolve
    })
    await Promise.all([this.#turns.idle(), this.#tenant?.rest()])
    clock.clearTimeout(patience)
    this.#lease.end()
    this.#committer.handOff(to)
    const done = await handedOff
    if (done) {
      const { partition } = this.#options.replica.position
      this.#options.observer.emit({ type: 'partition.handed-off', partition, epoch: this.epoch })
    }
    this.end(notExecuted)
    return done
  }

  /**
   * Nothing more is sent, said or published. Whoever waits hears `answer`: `inDoubt` unless it is certain that nothing of what is in
   * flight happened (R2).
   */
  end(answer: Answer = inDoubt): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#tenant?.end()
    this.#expiry.stop()
    this.scans.end()
    this.#committer.stop()
    this.#publisher.stop()
    this.#outputs.stop()
    this.#lease.end()
    this.#queries.end()
    const waiting = this.#afterCommits
    this.#afterCommits = []
    for (const { run } of waiting) run(false)
    this.#turns.stop(answer)
    this.#abort.abort()
    this.#handedOff?.(false)
  }

  /** W5 */
  #refusalAfter({ generation, seq }: LogPoint): Answer | undefined {
    if (generation !== this.#at.generation) return anotherLog(this.#at)
    return seq > this.#at.seq ? behind(this.#at) : undefined
  }

  /** To whoever is to own it next, and that is not at this epoch. */
  #moved(): Answer {
    return { kind: 'moved', owner: this.#movedTo, epoch: nextEpoch(this.epoch) }
  }

  #lent(): OwnedPartition {
    const { replica, clock, settings } = this.#options
    const units = {
      replica,
      reserved: this.#reserved,
      tombstoneMs: settings.tombstoneMs,
      maxBytes: settings.maxRecordBytes - recordOverhead,
      now: () => this.#now(),
      finish: (finished: FinishedTurn) => this.#finish(finished),
    }
    return {
      partition: replica.position.partition,
      epoch: this.epoch,
      clock,
      signal: this.#abort.signal,
      unit: () => new Unit(units),
      scan: (request) => this.#scan(request),
    }
  }

  async #scan(request: ScanRequest): Promise<ScanPage> {
    const reply = decodeScanReply(await this.scans.answer(encodeScanRequest(request)))
    if (reply.kind === 'page') return reply
    throw new HoldfastError(reply.code, reply.message)
  }

  #finish(finished: FinishedTurn): void {
    this.#finished++
    this.#committer.add(finished)
  }

  #whenCommitted(run: (certain: boolean) => void): void {
    if (this.#state === 'ended') return run(false)
    if (this.#committed === this.#finished) this.#lease.certainly(run)
    else this.#afterCommits.push({ after: this.#finished, run })
  }

  #onCommitted(committed: CommittedRecord): void {
    const { seq, bytes, record, turns } = committed
    const { meter, clock } = this.#options
    meter?.committed(committed, clock.monotonic())
    this.#options.onRecord(seq, record.time, bytes.length)
    if (record.kind === 'handoff') return this.#handedOff?.(true)
    const { replica } = this.#options
    for (const { mutations } of turns) {
      for (const { actor, type, after } of mutations) {
        replica.applyChange(actor, type, after)
        actor.holds--
      }
    }
    replica.applySessions(record)
    const previous = this.history.head
    const changes = changesOf(seq, record)
    this.history.add(seq, bytes)
    this.#at = positionAt(replica.position, seq)
    this.#publisher.committed(seq, changes, previous)
    this.#outputs.committed(seq, record.outputs, previous)
    this.#committed += turns.length
    for (const finished of turns) {
      finished.onCommitted?.()
      finished.turn?.span?.committed(seq, revOf(finished))
      this.#turns.committed(finished)
    }
  }

  #onProgress(position: LogPosition, voids: readonly Seq[], sentAtMs: number): void {
    const { replica } = this.#options
    for (const at of voids) {
      replica.noteVoid(at)
      this.#options.observer.emit({ type: 'partition.void-record', partition: position.partition, seq: at })
    }
    replica.advance(position)
    this.#lease.extend(sentAtMs)
    let due = 0
    while (due < this.#afterCommits.length && this.#afterCommits[due]!.after <= this.#committed) due++
    for (const { run } of this.#afterCommits.splice(0, due)) this.#lease.certainly(run)
  }

  #now(): number {
    const { clock } = this.#options
    this.#time = advanceTime(this.#time, clock.now(), clock.monotonic())
    return Math.floor(this.#time.timeMs)
  }

  #endedSessions(): readonly SessionId[] {
    const now = this.#now()
    if (now - this.#sweptAtMs < sweepEveryMs) return none
    const expired = this.#options.replica.sessions.expired(now, this.#claimedAtMs)
    // The rest goes into the next record; it is not swept before it is done.
    if (expired.length <= mostEnded) this.#sweptAtMs = now
    return expired.slice(0, mostEnded)
  }
}

const positionAt = ({ partition, generation }: LogPosition, seq: Seq): ReplyPosition => ({
  partition,
  generation,
  seq,
  ageMs: undefined,
})

const keptIdOf = ({ type, key, name, idempotencyKey }: Request): string | undefined =>
  idempotencyKey === undefined ? undefined : keptId(keptKey(type, key, name, idempotencyKey))

/** That a turn gave its keyed actor. */
const revOf = ({ turn, mutations }: FinishedTurn): Rev | undefined =>
  mutations.find(({ type, key }) => type === turn?.type && key === turn.key)?.rev

/** Of a scan, where a record may have more. */
const mostPageBytes = 512 * 1_024

const none: readonly SessionId[] = []

/** Room in a record for its header, its session and the names of its turn. */
const recordOverhead = 4_096
