/**
 * What this node sees of all leases, and the deaths that it declares. The judgement is core/leases.ts; a death is a CAS on the lease
 * against the revision that was judged, so that a node that has renewed meanwhile lives (O5).
 *
 * After nodes that are quiet it asks, so that one without a connection need not be waited for (LW6): after a few at a time, whatever the size of
 * the cluster, those first that are quiet longest. Who is close to a node asks before the node has missed a renewal, the others after it.
 *
 * A watch brings renewals at once, a poll whatever it missed; the more keys it reads the less often, so that who polls reads as much in a
 * large cluster as in a small one, and where very many leases were deleted: a registry may have to be asked for those, too. After any failure of either nothing that was not seen counts. A value that is
 * no lease, or not that of its key, is told to the observer and passed over: one of them must not hide all others, nor keep a node alive whose
 * lease it has taken the place of.
 *
 * The lease of a node that is gone stays for a while, so that everybody sees it; then who may declare deaths deletes it, by a CAS as well, for
 * its id may never come again. Sooner where there are very many.
 */
import {
  beginLeaseWatch,
  dropLease,
  foundAbsent,
  judgeLeases,
  observeLease,
  quietLeases,
  registryAnswered,
  watchRestarted,
  type LeaseSettings,
  type LeaseWatch as Observations,
  type QuietLease,
  type Verdict,
} from '../core/leases.ts'
import { maxMembers } from '../core/membership.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Registry } from '../ports/registry.ts'
import type { Subscription, Transport } from '../ports/transport.ts'
import { isHoldfastError } from '../protocol/errors.ts'
import type { NodeId } from '../protocol/ids.ts'
import { encodeLease, leaseOf, leasePrefix, type NodeLease } from './lease.ts'

export interface LeaseWatchOptions {
  readonly self: NodeId
  readonly registry: Registry
  /** Only its connection matters here: where it was lost, watches may have missed something. */
  readonly transport: Transport
  readonly clock: Clock
  readonly observer: Observer
  readonly settings: LeaseSettings
  /** Between two polls that read few keys, ms. */
  readonly pollEveryMs: number
  /** Between two judgements, ms. */
  readonly judgeEveryMs: number
  /** `true`: the node has no connection. Rejects never. */
  readonly isAbsent: (id: NodeId) => Promise<boolean>
  /** Whose death this node may declare now. Not everybody declares everybody dead: the leader does, and who sees the leader go. */
  readonly mayDeclare: (lease: NodeLease) => boolean
  /** Of those: whom it is close to. For each node a few are, however many there are. */
  readonly isClose: (lease: NodeLease) => boolean
  /** Who is quiet for so long has missed a renewal, ms. */
  readonly missedMs: number
  /** A lease is new, gone, or says something else than before but its renewal. */
  readonly onChange: () => void
}

interface Seen {
  readonly lease: NodeLease
  readonly revision: number
  /** Since when it says what it says, monotonic ms. */
  readonly sinceMs: number
}

const goneForMs = 600_000
/** Nodes that are asked after at once, at most. */
const mostAsked = 8
/** Keys that are read at each poll; where there are more, polls are that much rarer. */
export const fewLeases = 10
/** Leases, at most, before those of nodes that are gone are deleted at once. */
const mostLeases = maxMembers

export class LeaseWatch {
  readonly #options: LeaseWatchOptions
  readonly #leases = new Map<string, Seen>()
  #observations: Observations = beginLeaseWatch
  #subscriptions: Subscription[] = []
  #timers: (Timer | undefined)[] = []
  #declaring = false
  /** Keys that the last poll read. */
  #read = 0
  /** Those that are being asked after, and since when. Who is asked after is so again where no answer comes. */
  readonly #asking = new Map<string, number>()
  #stopped = false

  constructor(options: LeaseWatchOptions) {
    this.#options = options
  }

  start(): void {
    const { registry, transport, clock } = this.#options
    this.#subscriptions = [
      registry.watch(leasePrefix.slice(0, -1), ({ key, value, revision }) => this.#take(key, value, revision)),
      transport.onStatus(() => {
        this.#observations = watchRestarted(this.#observations, clock.monotonic())
      }),
    ]
    const { pollEveryMs, judgeEveryMs } = this.#options
    const pollAfterMs = () => pollEveryMs * Math.max(1, this.#read / fewLeases)
    this.#every(pollAfterMs, 0, () => this.#poll())
    this.#every(
      () => judgeEveryMs,
      1,
      () => this.#look(),
    )
  }

  stop(): void {
    this.#stopped = true
    for (const subscription of this.#subscriptions) subscription.close()
    for (const timer of this.#timers) this.#options.clock.clearTimeout(timer)
  }

  /** Those who live, by id. */
  alive(): readonly NodeLease[] {
    const alive = [...this.#leases.values()].map(({ lease }) => lease).filter(({ state }) => state === 'alive')
    return alive.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_leases', this.#leases.size, mostLeases)]
  }

  /** The registry has answered this node, whatever it was asked (LW4). */
  answered(): void {
    const { clock, settings } = this.#options
    this.#observations = registryAnswered(this.#observations, clock.monotonic(), settings)
  }

  /** Reads all leases now. Rejects with `RETRY` while the registry is away. */
  async refresh(): Promise<void> {
    const entries = await this.#options.registry.list(leasePrefix.slice(0, -1))
    this.answered()
    this.#read = entries.length
    for (const { key, value, revision } of entries) this.#take(key, value, revision)
  }

  #every(afterMs: () => number, slot: number, work: () => Promise<void>): void {
    const next = () => {
      if (this.#stopped) return
      void work()
        .catch((error: unknown) => this.#failed(error))
        .finally(() => {
          if (!this.#stopped) this.#timers[slot] = this.#options.clock.setTimeout(next, afterMs())
        })
    }
    next()
  }

  /** The registry being away is no news: the next time is another one. */
  #failed(error: unknown): void {
    if (!isHoldfastError(error)) this.#options.observer.emit({ type: 'handler.threw', where: 'leases', error })
  }

  async #poll(): Promise<void> {
    try {
      await this.refresh()
    } catch (error) {
      this.#observations = watchRestarted(this.#observations, this.#options.clock.monotonic())
      throw error
    }
  }

  async #look(): Promise<void> {
    const { clock, settings } = this.#options
    const quiet = quietLeases(this.#observations, clock.monotonic(), settings).filter((each) => this.#mayAskAfter(each))
    for (const each of quiet.slice(0, mostAsked - this.#asking.size)) void this.#askAfter(each)
    await this.#judge()
  }

  async #judge(): Promise<void> {
    const { clock, settings } = this.#options
    const [observations, verdicts] = judgeLeases(this.#observations, clock.monotonic(), settings)
    this.#observations = observations
    if (this.#declaring) return
    this.#declaring = true
    try {
      for (const verdict of verdicts) await this.#declare(verdict)
      await this.#deleteOne()
    } finally {
      this.#declaring = false
    }
  }

  #mayAskAfter({ key, quietForMs, foundAbsent: found }: QuietLease): boolean {
    const { self, clock, settings, mayDeclare, isClose, missedMs, judgeEveryMs } = this.#options
    const lease = this.#leases.get(key)?.lease
    if (lease === undefined || lease.id === self || !mayDeclare(lease)) return false
    // A judgement later than the last time, whatever a timer takes.
    const againMs = found ? judgeEveryMs / 2 : settings.absentMs
    if (clock.monotonic() - (this.#asking.get(key) ?? Number.NEGATIVE_INFINITY) < againMs) return false
    return quietForMs >= missedMs || isClose(lease)
  }

  /** LW6. Rejects never. */
  async #askAfter(quiet: Verdict): Promise<void> {
    const { isAbsent, clock } = this.#options
    const sinceMs = clock.monotonic()
    this.#asking.set(quiet.key, sinceMs)
    const absent = await isAbsent(this.#leases.get(quiet.key)!.lease.id)
    if (this.#asking.get(quiet.key) === sinceMs) this.#asking.delete(quiet.key)
    if (!absent || this.#stopped) return
    this.#observations = foundAbsent(this.#observations, quiet, clock.monotonic())
    // It may have been the last thing that a verdict wanted.
    await this.#judge().catch((error: unknown) => this.#failed(error))
  }

  /** One at a time: there is no hurry. */
  async #deleteOne(): Promise<void> {
    const { registry, clock, mayDeclare } = this.#options
    const spareMs = this.#leases.size < mostLeases ? goneForMs : 0
    const untilMs = clock.monotonic() - spareMs
    for (const [key, { lease, revision, sinceMs }] of this.#leases) {
      if (lease.state === 'alive' || sinceMs > untilMs || !mayDeclare(lease)) continue
      const result = await registry.delete(key, revision)
      // It was deleted, and a poll that had read it before came after that; or it is another one now, which is seen as well.
      if (result.kind !== 'conflict') this.#take(key, null, result.revision)
      else if (this.#leases.get(key)?.revision === revision) this.#forget(key)
      return
    }
  }

  async #declare({ key, revision }: Verdict): Promise<void> {
    const { registry, self, mayDeclare, observer } = this.#options
    const seen = this.#leases.get(key)
    if (seen === undefined || seen.revision !== revision || seen.lease.id === self || !mayDeclare(seen.lease)) return
    const dead: NodeLease = { ...seen.lease, state: 'dead', renewal: seen.lease.renewal + 1 }
    const result = await registry.update(key, encodeLease(dead), revision)
    if (result.kind === 'conflict') return
    observer.emit({ type: 'member.died', node: dead.id, by: self })
    this.#take(key, encodeLease(dead), result.revision)
  }

  #forget(key: string): void {
    this.#leases.delete(key)
    this.#observations = dropLease(this.#observations, key)
    this.#options.onChange()
  }

  #take(key: string, value: Uint8Array | null, revision: number): void {
    const seen = this.#leases.get(key)
    if (this.#stopped || (seen !== undefined && revision <= seen.revision)) return
    if (value === null) {
      if (seen !== undefined) this.#forget(key)
      return
    }
    const read = leaseOf(key, value)
    if (read === undefined) this.#options.observer.emit({ type: 'message.dropped', subject: key, reason: 'malformed' })
    // Whose lease was overwritten is still to be declared dead, and deleted: against the revision that is there now.
    const lease = read ?? seen?.lease
    if (lease === undefined) return
    this.#leases.set(key, { lease, revision, sinceMs: this.#options.clock.monotonic() })
    this.#observations =
      lease.state === 'alive'
        ? observeLease(this.#observations, key, revision, this.#options.clock.monotonic())
        : dropLease(this.#observations, key)
    if (sameButRenewal(seen?.lease, lease)) return
    const { observer, self } = this.#options
    if (lease.state === 'left' && seen !== undefined) observer.emit({ type: 'member.left', node: lease.id, by: self })
    this.#options.onChange()
  }
}

const sameButRenewal = (a: NodeLease | undefined, b: NodeLease) =>
  a !== undefined &&
  a.incarnation === b.incarnation &&
  a.state === b.state &&
  a.draining === b.draining &&
  a.weight === b.weight
