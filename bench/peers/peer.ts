/**
 * A system that we are compared with, doing the work of our bench.
 *
 * P1. The same work: the state of a key, { count, pad } of about 100 bytes, is loaded, its count goes up by one, it is stored, and the
 *     answer is the count.
 * P2. The same promise: what is answered was written through to the disk before.
 * P3. Settings and client are those that serve the peer best, of what its documents offer: a comparison that flatters us says nothing.
 * P4. One that cannot be had on this machine is absent and no failure.
 */
import type { Teardown } from '../../examples/support/teardown.ts'

export interface Peer {
  readonly name: 'restate' | 'redis'
  /** What was really run, with versions. */
  readonly version: string
  /** One durable increment; resolves to the count after it, once it is durable. */
  increment(key: string): Promise<number>
  /** Ends all that was started for it. Idempotent; the teardown that it was started with does it too. */
  close(): Promise<void>
}

/** Rejects with `PeerAbsent` if it cannot be had here. Its data go into `folder`, which must exist. */
export type StartPeer = (folder: string, teardown: Teardown, troubles: string[]) => Promise<Peer>

/** The message is the reason (P4). */
export class PeerAbsent extends Error {}
