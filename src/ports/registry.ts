import type { Subscription } from './transport.ts'

/**
 * A small key-value register with compare-and-set: settings, generations, leases, the placement table.
 *
 * G1. Decide by the result of a `create` or `update`, never by a `get` or a watch: those may be behind.
 * G2. Revisions grow; each successful write of the registry has its own.
 * G3. A watch is a hint. It gives each key's present value first, then changes, and may miss or delay some: poll as well.
 *
 * What cannot be answered throws `RETRY` (not written, or only read) or `UNKNOWN` (may be written). Keys: tokens of `[A-Za-z0-9_-]+` joined by `.`.
 */
export interface Registry {
  get(key: string): Promise<RegistryEntry | null>
  /**
   * All keys that start with `prefix` (a whole number of tokens, or empty), with their values. Some that were deleted may be among them: then
   * the registry had to be asked for these, too.
   */
  list(prefix: string): Promise<readonly RegistryChange[]>
  /** Writes only where there is no such key (or it was deleted); else a conflict. */
  create(key: string, value: Uint8Array): Promise<CasResult>
  /** Writes only while the key's revision is `revision`; else a conflict. */
  update(key: string, value: Uint8Array, revision: number): Promise<CasResult>
  /** Deletes, if `revision` is given only while it is that. */
  delete(key: string, revision?: number): Promise<CasResult>
  /** Never throws for what the registry cannot answer; the listener is told nothing meanwhile (G3). */
  watch(prefix: string, listener: (change: RegistryChange) => void): Subscription
  close(): Promise<void>
}

export interface RegistryEntry {
  readonly key: string
  readonly value: Uint8Array
  readonly revision: number
}

export interface RegistryChange {
  readonly key: string
  /** `null`: deleted. */
  readonly value: Uint8Array | null
  readonly revision: number
}

export type CasResult = { readonly kind: 'written'; readonly revision: number } | { readonly kind: 'conflict' }
