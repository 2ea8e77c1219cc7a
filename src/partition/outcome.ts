import { actorShare } from '../core/hashing.ts'
import { nextRev, type Rev } from '../protocol/ids.ts'
import type { CachedActor } from './actor-cache.ts'
import type { Version } from './store-layout.ts'

/** What a turn leaves of a keyed actor or entry that it changed. */
export interface Outcome {
  /** The state's bytes, or `null` if it was destroyed. */
  readonly state: Uint8Array | null
  /** Partition time, ms; `null`: never. */
  readonly expiresAt: number | null
}

/** The version that comes of it. What was destroyed leaves a tombstone, until when `tombstoneUntil` says (E1). */
export function versionAfter(
  { id, tip }: CachedActor,
  { state, expiresAt }: Outcome,
  tombstoneUntil: () => number,
): Version {
  const rev = nextRev(tip.rev)
  const until = state === null ? tombstoneUntil() : expiresAt
  return versionOf(id, rev, state, until)
}

/** A version with its share of the state hash. */
export function versionOf(id: string, rev: Rev, state: Uint8Array | null, expiresAt: number | null): Version {
  const { hi, lo } = actorShare(id, rev, state, expiresAt)
  return { rev, state, expiresAt, hi, lo }
}
