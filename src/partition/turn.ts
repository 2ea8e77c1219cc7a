import { isNoShare } from '../core/hashing.ts'
import type { ActorDefinition, CommandHandler } from '../behaviour/definition.ts'
import type { TurnSpan } from '../ports/tracer.ts'
import type { Reply } from '../protocol/frames.ts'
import type { Rev, SessionId } from '../protocol/ids.ts'
import type { Mutation, OutputRecord, TurnRecord } from '../protocol/record.ts'
import type { CachedActor } from './actor-cache.ts'
import type { Version } from './store-layout.ts'

/** A reply without what it answers; the responder knows that. */
export type Answer = Reply extends infer R ? (R extends Reply ? Omit<R, 'number' | 'frame'> : never) : never

/** Who waits for an answer. */
export interface Asker {
  respond(answer: Answer): void
}

/** One command on its way through a partition: from its arrival to the commit of its record. */
export interface Turn {
  readonly session: SessionId
  readonly number: number
  /** The session's lowest outstanding number, as its frame said (R3). */
  readonly low: number
  readonly tell: boolean
  readonly definition: ActorDefinition
  readonly handler: CommandHandler
  readonly type: string
  readonly key: string
  /** Of the command. */
  readonly name: string
  /**
   * Its own copy where it waits for its turn: as it came it is a view of a whole frame, which must not stay as long as it does. One that
   * begins at once stays a view, also while what is kept under its idempotency key is read. Empty once it has run.
   */
  input: Uint8Array
  /** Where it has an idempotency key: the id of what is kept under it (partition/kept-reply.ts). */
  readonly keptId: string | undefined
  /** When it arrived, monotonic ms. */
  readonly sinceMs: number
  /** Monotonic ms; it does not begin after that. */
  readonly deadlineMs: number
  /** Everyone who waits for the reply: the first sender, and repetitions that arrived meanwhile (R1). */
  readonly askers: Asker[]
  /** Its handler has returned, and its outcome is on the way to the log. */
  finished: boolean
  /** Whom it counts for, from its beginning until it is answered. */
  actor: CachedActor | undefined
  /** Where it is traced. */
  readonly span?: TurnSpan | undefined
}

/** What a turn leaves of one keyed actor or entry; it holds the actor until its record is committed. In its record it is a mutation. */
export class StateChange implements Mutation {
  readonly type: string
  readonly key: string
  readonly rev: Rev
  readonly state: Uint8Array | null | undefined
  readonly expiresAt: number | null
  readonly actor: CachedActor
  readonly before: Version
  readonly after: Version

  /** `after` without a share: a tombstone is collected, and nothing is left. */
  constructor(actor: CachedActor, type: string, key: string, before: Version, after: Version) {
    const collected = isNoShare(after)
    this.type = type
    this.key = key
    this.rev = collected ? before.rev : after.rev
    this.state = collected ? undefined : after.state
    this.expiresAt = after.expiresAt
    this.actor = actor
    this.before = before
    this.after = after
  }
}

/** A turn whose handler has returned. It is what its record holds of it. */
export class FinishedTurn implements TurnRecord {
  /** Index of its session in its record, which has one from when it is sent. */
  session: number | null = null
  readonly number: number
  readonly reply: Uint8Array
  readonly mutations: readonly StateChange[]
  /** `undefined`: the partition's own turn, which nobody waits for. */
  readonly turn: Turn | undefined
  /** What it sends once it is committed. */
  readonly outputs: readonly OutputRecord[]
  /** Called when its record is committed, if this ownership lives to see it. */
  readonly onCommitted: (() => void) | undefined

  constructor(
    turn: Turn | undefined,
    mutations: readonly StateChange[],
    reply: Uint8Array,
    outputs: readonly OutputRecord[] = nothingSent,
    onCommitted?: () => void,
  ) {
    this.number = turn === undefined ? 0 : turn.number
    this.reply = reply
    this.mutations = mutations
    this.turn = turn
    this.outputs = outputs
    this.onCommitted = onCommitted
  }
}

const nothingSent: readonly OutputRecord[] = []
