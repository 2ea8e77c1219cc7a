import { defaultRetention, retentionOf, type RetentionSettings } from '../core/trim.ts'
import { defaultPartitions } from '../protocol/partitioning.ts'

/** Settings of a partition. Those that must be the same on all nodes say so. */
export interface PartitionSettings {
  /** Term of the read lease, ms (O3, O4): a setting of the cluster. */
  readonly leaseMs: number
  /** Appends in flight at most. */
  readonly appendWindow: number
  /** Bytes of finished turns that are worth an append beside one in flight. */
  readonly groupBytes: number
  /** Bytes of one record at most: half of what the server takes in a message. */
  readonly maxRecordBytes: number
  /** How long writes to the store wait for more, ms. */
  readonly applyEveryMs: number
  /** Memory for cached actors, bytes for each partition. */
  readonly cacheBytes: number
  /** Memory for the newest changes, bytes of their records for each partition. */
  readonly tailBytes: number
  /** Commands accepted and not answered, at most, and as many queries; beyond it `OVERLOADED`, as at all bounds of a partition. */
  readonly mailboxTurns: number
  /** Those of one key, at most: well below `mailboxTurns`, so that a key that is flooded leaves room for the others. */
  readonly keyTurns: number
  /** Bytes of inputs of commands whose handlers have not returned, at most; as many of queries and their replies. */
  readonly mailboxBytes: number
  /** How long turns may wait for the processor, ms: one that would wait for longer is `OVERLOADED`. */
  readonly maxWaitMs: number
  /** How long turns run before others, and what arrives, get their chance, ms. */
  readonly sliceMs: number
  /** Bytes of turns whose handlers have returned and that are not in the log yet, at most; beyond it no turn begins. */
  readonly maxUncommittedBytes: number
  /** Client sessions remembered at most; beyond it `OVERLOADED` for new ones. */
  readonly maxSessions: number
  /** Replies remembered at most, of all sessions. */
  readonly maxReplies: number
  /** Bytes of these, at most. */
  readonly maxReplyBytes: number
  /** Idempotency keys kept at most; beyond it `OVERLOADED` for new ones. */
  readonly maxKeptKeys: number
  /** Bytes of their replies, at most. */
  readonly maxKeptKeyBytes: number
  /** Requests of watchers that are answered at a time, at most. */
  readonly maxWatchRequests: number
  /** How long the tombstone of a deleted actor is kept, ms of partition time; then its rev is part of the floor for new ones (E1). */
  readonly tombstoneMs: number
  /** Between two looks for what has expired, ms. */
  readonly expireEveryMs: number
  /** A snapshot is cut when the log has grown by so many bytes since the last one, or by as much as that one has, if that is more. */
  readonly snapshotBytes: number
  /** Between two looks whether there is a snapshot to be cut or a log to be trimmed, ms. */
  readonly snapshotLookEveryMs: number
  /** Changes that a log keeps for watchers, of one partition: it is trimmed behind them. */
  readonly retention: RetentionSettings
  /** How long an asynchronous handler, or the schema of a query, may take, ms; after it `FAILED`. */
  readonly handlerTimeoutMs: number
  /** Queries see a frozen state, so that one that writes to it is `FAILED`. Costs a walk over the state for each query: for development. */
  readonly freezeQueries: boolean
}

export const defaultPartitionSettings: PartitionSettings = {
  leaseMs: 500,
  appendWindow: 4,
  groupBytes: 32 * 1_024,
  // With the 1 MiB that a server takes by default; a node computes it from what its server takes.
  maxRecordBytes: 512 * 1_024,
  applyEveryMs: 100,
  cacheBytes: 5 * 1_024 * 1_024,
  tailBytes: 1_024 * 1_024,
  mailboxTurns: 16_384,
  keyTurns: 4_096,
  mailboxBytes: 32 * 1_024 * 1_024,
  maxWaitMs: 2_000,
  sliceMs: 5,
  maxUncommittedBytes: 16 * 1_024 * 1_024,
  maxSessions: 100_000,
  maxReplies: 1_000_000,
  maxReplyBytes: 64 * 1_024 * 1_024,
  maxKeptKeys: 1_000_000,
  maxKeptKeyBytes: 1_024 * 1_024 * 1_024,
  maxWatchRequests: 64,
  tombstoneMs: 24 * 3_600_000,
  expireEveryMs: 1_000,
  snapshotBytes: 64 * 1_024 * 1_024,
  snapshotLookEveryMs: 10_000,
  retention: retentionOf(defaultRetention, defaultPartitions),
  handlerTimeoutMs: 30_000,
  freezeQueries: false,
}
