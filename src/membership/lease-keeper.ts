/**
 * Keeps this node's own lease.
 *
 * - `join` takes the key over, whoever had it: a new incarnation of a node is the death of the old one (O1).
 * - A renewal that meets another revision means that somebody else wrote: either an own write whose answer was lost, or this
 *   incarnation is dead. Then `onLost` is called, once: `dead` if it may come back as a new incarnation, `replaced` if another process
 *   goes by this node's id. What is no lease is `dead`, too: who joins again overwrites it.
 * - While the registry is away nothing is concluded; renewals go on. So it is where what is read is older than what this keeper knows: a former
 *   leader of the registry says it (G1).
 * - A renewal that has not succeeded within `patienceMs`, or fails, goes to the registry once more, by the spare way: a packet that is
 *   lost four times in a row keeps a connection silent for longer than a term, and one that broke is made anew meanwhile. Both are the same
 *   CAS, so that one of them counts. Not once the main way has been silent for `spareForMs`: who can do nothing but renew its lease is to
 *   be replaced.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import type { Registry, RegistryEntry } from '../ports/registry.ts'
import { HoldfastError, isHoldfastError } from '../protocol/errors.ts'
import { sameNode } from '../protocol/ids.ts'
import { encodeLease, leaseKey, leaseOf, type NodeLease } from './lease.ts'

export interface LeaseKeeperOptions {
  readonly registry: Registry
  /** The same registry by another way. `undefined`: there is one way only. */
  readonly spare: Registry | undefined
  readonly clock: Clock
  readonly lease: Omit<NodeLease, 'renewal' | 'state'>
  readonly renewEveryMs: number
  readonly patienceMs: number
  readonly spareForMs: number
  /** The registry has taken a renewal. */
  readonly onRenewed: () => void
  readonly onLost: (how: 'dead' | 'replaced', reason: string) => void
}

const joinAttempts = 20

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions
  readonly #key: string
  #lease: NodeLease
  #revision = 0
  #renewedAtMs = Number.NEGATIVE_INFINITY
  /** When the main way last brought an answer, monotonic ms. */
  #mainAtMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #renewing: Promise<void> | undefined
  #stopped = false

  constructor(options: LeaseKeeperOptions) {
    this.#options = options
    this.#key = leaseKey(options.lease.id)
    this.#lease = { ...options.lease, state: 'alive', renewal: 0 }
  }

  /** Gives the revision at which this incarnation began: it orders incarnations. Throws as the registry does, and `CONFLICT` where others fight for the key. */
  async join(): Promise<number> {
    const { registry, clock } = this.#options
    for (let attempt = 0; attempt < joinAttempts; attempt++) {
      const sentAtMs = clock.monotonic()
      const entry = await registry.get(this.#key)
      const value = encodeLease(this.#lease)
      const result =
        entry === null
          ? await registry.create(this.#key, value)
          : await registry.update(this.#key, value, entry.revision)
      if (result.kind === 'conflict') continue
      this.#revision = result.revision
      this.#renewedAtMs = sentAtMs
      this.#mainAtMs = clock.monotonic()
      this.#schedule()
      return result.revision
    }
    const { id } = this.#lease
    throw new HoldfastError(
      'CONFLICT',
      `somebody else keeps taking the lease of node "${id}": give each node an id of its own`,
    )
  }

  /** When the last renewal that succeeded was sent, monotonic ms: from there on the lease can be relied on for its term. */
  get renewedAtMs(): number {
    return this.#renewedAtMs
  }

  /** Whether the partitions of this node are to be moved away. */
  get draining(): boolean {
    return this.#lease.draining
  }

  /**
   * Tells everyone that the partitions of this node are to be moved away. Whether the registry has taken that by now: else the next renewal
   * says it, or joining.
   */
  async drain(): Promise<boolean> {
    this.#lease = { ...this.#lease, draining: true }
    if (this.#revision === 0) return false
    // One that is on its way does not say it.
    await this.#renewing
    const sinceMs = this.#options.clock.monotonic()
    await this.#renew()
    return this.#renewedAtMs >= sinceMs
  }

  /** Says goodbye. */
  async leave(): Promise<void> {
    this.stop()
    await this.#renewing
    const { registry } = this.#options
    const value = encodeLease({ ...this.#lease, state: 'left', renewal: this.#lease.renewal + 1 })
    const result = await registry.update(this.#key, value, this.#revision)
    if (result.kind === 'written') return
    // By a renewal of its own whose answer was lost, or by somebody else.
    const entry = await registry.get(this.#key)
    const found = entry === null ? undefined : leaseOf(this.#key, entry.value)
    if (entry === null || found?.state !== 'alive' || !sameNode(found, this.#lease)) return
    await registry.update(this.#key, value, entry.revision)
  }

  stop(): void {
    this.#stopped = true
    this.#options.clock.clearTimeout(this.#timer)
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#schedule()
      void this.#renew()
    }, this.#options.renewEveryMs)
  }

  /** One at a time. Rejects never. */
  #renew(): Promise<void> {
    this.#renewing ??= this.#renewOnce().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #renewOnce(): Promise<void> {
    const { registry, spare, clock, patienceMs, spareForMs } = this.#options
    const sentAtMs = clock.monotonic()
    this.#lease = { ...this.#lease, renewal: this.#lease.renewal + 1 }
    const main = this.#renewBy(registry, sentAtMs)
    if (spare === undefined) return void (await main)
    if (await this.#succeedsWithin(main, patienceMs)) return
    if (this.#stopped || clock.monotonic() - this.#mainAtMs > spareForMs) return void (await main)
    const bySpare = this.#renewBy(spare, sentAtMs)
    await Promise.race([bySpare, main.then((done) => done || bySpare)])
  }

  /**
   * Whether there is nothing left to do. What is heard by one way may come long after the other way's answer: it was true when it was said,
   * so revisions grow only.
   */
  async #renewBy(registry: Registry, sentAtMs: number): Promise<boolean> {
    const { renewal } = this.#lease
    try {
      // Whoever finds a renewal of its own that it did not know of tries once more.
      for (let tries = 0; tries < 2 && !this.#stopped; tries++) {
        const result = await registry.update(this.#key, encodeLease(this.#lease), this.#revision)
        if (registry === this.#options.registry) this.#mainAtMs = this.#options.clock.monotonic()
        if (result.kind === 'written') return this.#renewed(result.revision, sentAtMs)
        const entry = await registry.get(this.#key)
        if (this.#stopped) return true
        if (entry !== null && entry.revision < this.#revision) return false
        const found = entry === null ? undefined : leaseOf(this.#key, entry.value)
        if (entry === null || found?.state !== 'alive' || !sameNode(found, this.#lease)) return this.#lost(entry, found)
        // Written by the other way, or by an earlier one whose answer was lost.
        if (found.renewal >= renewal) return this.#renewed(entry.revision, sentAtMs)
        this.#revision = Math.max(this.#revision, entry.revision)
      }
    } catch (error) {
      if (!isHoldfastError(error)) throw error
    }
    return this.#stopped
  }

  #succeedsWithin(work: Promise<boolean>, ms: number): Promise<boolean> {
    const { clock } = this.#options
    return new Promise((resolve, reject) => {
      const timer = clock.setTimeout(() => resolve(false), ms)
      work.finally(() => clock.clearTimeout(timer)).then(resolve, reject)
    })
  }

  #renewed(revision: number, sentAtMs: number): true {
    this.#revision = Math.max(this.#revision, revision)
    // Who leaves still needs the revision.
    if (this.#stopped) return true
    this.#renewedAtMs = Math.max(this.#renewedAtMs, sentAtMs)
    this.#options.onRenewed()
    return true
  }

  #lost(entry: RegistryEntry | null, found: NodeLease | undefined): true {
    const { onLost } = this.#options
    this.stop()
    if (found?.state === 'alive')
      onLost('replaced', `another process took the node id "${found.id}"; give each an id of its own`)
    else if (found !== undefined) onLost('dead', `its lease was marked ${found.state}`)
    else onLost('dead', entry === null ? 'its lease is gone' : 'its lease was overwritten by what is none')
    return true
  }
}
