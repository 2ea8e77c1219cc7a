/**
 * The registry, kept in memory by a server that nodes reach over links (G1–G3 of the Registry port).
 */
import type { Clock } from '../../ports/clock.ts'
import type { CasResult, Registry, RegistryChange, RegistryEntry } from '../../ports/registry.ts'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Link } from './link.ts'
import { checkKey, checkPrefix, isUnder } from './registry-key.ts'
import { RequestLost, Requests } from './requests.ts'

interface Watch {
  readonly prefix: string
  readonly tell: (change: RegistryChange) => void
}

export interface RegistryConnectOptions {
  readonly link: Link
  /** Of the node. */
  readonly clock: Clock
  /** Longest wait for an answer. Default 2,000. */
  readonly timeoutMs?: number
}

export class MemoryRegistry {
  /** True: watches say nothing, as they may (G3); what they miss is missed. */
  stalled = false
  readonly #entries = new Map<string, RegistryEntry>()
  readonly #watches = new Set<Watch>()
  #revision = 0

  /** A node's handle. */
  connect(options: RegistryConnectOptions): Registry {
    return new MemoryRegistryHandle(this, options)
  }

  get(key: string): RegistryEntry | null {
    return this.#entries.get(key) ?? null
  }

  list(prefix: string): RegistryEntry[] {
    return [...this.#entries.values()].filter((entry) => isUnder(prefix, entry.key))
  }

  /** `expected`: the revision that the key must have; 0: there must be none; undefined: any. `value: null` deletes. */
  write(key: string, value: Uint8Array | null, expected: number | undefined): CasResult {
    const present = this.#entries.get(key)?.revision ?? 0
    if (expected !== undefined && present !== expected) return { kind: 'conflict' }
    const revision = ++this.#revision
    if (value === null) this.#entries.delete(key)
    else this.#entries.set(key, { key, value, revision })
    if (!this.stalled) {
      for (const watch of this.#watches) if (isUnder(watch.prefix, key)) watch.tell({ key, value, revision })
    }
    return { kind: 'written', revision }
  }

  /** For handles. Tells all present values at once. */
  watch(watch: Watch): void {
    this.#watches.add(watch)
    if (!this.stalled) for (const entry of this.list(watch.prefix)) watch.tell(entry)
  }

  unwatch(watch: Watch): void {
    this.#watches.delete(watch)
  }
}

class MemoryRegistryHandle implements Registry {
  readonly #server: MemoryRegistry
  readonly #link: Link
  readonly #requests: Requests
  readonly #watches = new Set<Subscription>()

  constructor(server: MemoryRegistry, { link, clock, timeoutMs = 2_000 }: RegistryConnectOptions) {
    this.#server = server
    this.#link = link
    this.#requests = new Requests({ link, clock, timeoutMs })
  }

  async get(key: string): Promise<RegistryEntry | null> {
    checkKey(key)
    const entry = await this.#ask('RETRY', () => this.#server.get(key))
    return entry && { ...entry, value: entry.value.slice() }
  }

  async list(prefix: string): Promise<readonly RegistryEntry[]> {
    checkPrefix(prefix)
    const entries = await this.#ask('RETRY', () => this.#server.list(prefix))
    return entries.map((entry) => ({ ...entry, value: entry.value.slice() }))
  }

  create(key: string, value: Uint8Array): Promise<CasResult> {
    return this.#write(key, value, 0)
  }

  async update(key: string, value: Uint8Array, revision: number): Promise<CasResult> {
    // No key ever has revision 0: that is `create`'s word for "none".
    return this.#write(key, value, revision === 0 ? -1 : revision)
  }

  delete(key: string, revision?: number): Promise<CasResult> {
    return this.#write(key, null, revision)
  }

  watch(prefix: string, listener: (change: RegistryChange) => void): Subscription {
    checkPrefix(prefix)
    let open = true
    const watch: Watch = {
      prefix,
      tell: (change) => {
        if (this.#link.loses()) return
        const value = change.value && change.value.slice()
        this.#link.toNode(() => open && listener({ key: change.key, value, revision: change.revision }))
      },
    }
    const begin = () => this.#link.toServer(() => open && this.#server.watch(watch))
    // After a reconnect it begins anew, with the present values.
    const atServer = this.#link.onServer((up) => !up && this.#server.unwatch(watch))
    const atNode = this.#link.onNode((up) => up && begin())
    begin()
    const subscription = {
      close: () => {
        if (!open) return
        open = false
        this.#watches.delete(subscription)
        atNode.close()
        atServer.close()
        this.#server.unwatch(watch)
      },
    }
    this.#watches.add(subscription)
    return subscription
  }

  close(): Promise<void> {
    for (const watch of [...this.#watches]) watch.close()
    this.#requests.close()
    return Promise.resolve()
  }

  async #write(key: string, value: Uint8Array | null, expected: number | undefined): Promise<CasResult> {
    checkKey(key)
    const taken = value && value.slice()
    return this.#ask('UNKNOWN', () => this.#server.write(key, taken, expected))
  }

  /** `ifSent`: what a lost answer means. */
  async #ask<T>(ifSent: 'RETRY' | 'UNKNOWN', serve: () => T): Promise<T> {
    try {
      return await this.#requests.ask(serve)
    } catch (error) {
      if (!(error instanceof RequestLost)) throw error
      const code = error.sent ? ifSent : 'RETRY'
      const advice = code === 'RETRY' ? 'try again' : 'read the key to learn whether it was written'
      throw new HoldfastError(code, `the registry did not answer (${error.message}): ${advice}`, { cause: error })
    }
  }
}
