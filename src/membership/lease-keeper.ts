/**
 * Keeps this node's own lease.
 *
 * - `join` takes the key over, whoever had it: a new incarnation of a node is the death of the old one (O1).
 * - A renewal that meets another revision means that somebody else wrote: either an own write whose answer was lost, or this
 *   incarnation is dead. Then `onLost` is called, once: `dead` if it may come back as a new incarnation, `replaced` if another process
 *   goes by this node's id.
 * - While the registry is away nothing is concluded; renewals go on.
 */
import type { Clock, Timer } from '../ports/clock.ts'
import type { Registry } from '../ports/registry.ts'
import { HoldfastError, isHoldfastError } from '../protocol/errors.ts'
import { sameNode } from '../protocol/ids.ts'
import { decodeLease, encodeLease, leaseKey, type NodeLease } from './lease.ts'

export interface LeaseKeeperOptions {
  readonly registry: Registry
  readonly clock: Clock
  readonly lease: Omit<NodeLease, 'renewal' | 'state'>
  /** Default 500 ms. */
  readonly renewEveryMs: number
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
  #timer: Timer | undefined
  #renewing: Promise<void> | undefined
  #stopped = false

  constructor(options: LeaseKeeperOptions) {
    this.#options = options
    this.#key = leaseKey(options.lease.id)
    this.#lease = { ...options.lease, state: 'alive', renewal: 0 }
  }

  /** Gives the revision at which this incarnation began: it orders incarnations. Throws `RETRY` while the registry is away. */
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

  /** Tells everyone that the partitions of this node are to be moved away. */
  async drain(): Promise<void> {
    this.#lease = { ...this.#lease, draining: true }
    await this.#renew()
  }

  /** Says goodbye. */
  async leave(): Promise<void> {
    this.stop()
    await this.#renewing
    const value = encodeLease({ ...this.#lease, state: 'left', renewal: this.#lease.renewal + 1 })
    await this.#options.registry.update(this.#key, value, this.#revision)
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
    const { registry, clock, onRenewed, onLost } = this.#options
    const sentAtMs = clock.monotonic()
    this.#lease = { ...this.#lease, renewal: this.#lease.renewal + 1 }
    try {
      const result = await registry.update(this.#key, encodeLease(this.#lease), this.#revision)
      if (this.#stopped) return
      if (result.kind === 'written') {
        this.#revision = result.revision
        this.#renewedAtMs = sentAtMs
        return onRenewed()
      }
      const entry = await registry.get(this.#key)
      if (this.#stopped) return
      const found = entry === null ? undefined : decodeLease(entry.value)
      if (entry !== null && found?.state === 'alive' && sameNode(found, this.#lease)) {
        this.#revision = entry.revision
        return
      }
      this.stop()
      if (found?.state === 'alive')
        onLost('replaced', `another process took the node id "${found.id}"; give each an id of its own`)
      else onLost('dead', found === undefined ? 'its lease is gone' : `its lease was marked ${found.state}`)
    } catch (error) {
      if (!isHoldfastError(error)) throw error
    }
  }
}
