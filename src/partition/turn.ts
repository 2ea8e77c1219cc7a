import type { ActorDefinition, CommandHandler } from '../behaviour/definition.ts'
import type { Reply } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
import type { OutputRecord } from '../protocol/record.ts'
import type { CachedActor } from './actor-cache.ts'
import type { Version } from './store-layout.ts'

/** A reply without its number; the responder knows that. */
export type Answer = Reply extends infer R ? (R extends { readonly number: number } ? Omit<R, 'number'> : never) : never
export type Respond = (answer: Answer) => void

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
  /** Its own copy where it waits: as it came it is a view of a whole frame, which must not stay as long as it does. Empty once it has run. */
  input: Uint8Array
  /** Where it has an idempotency key: the id of what is kept under it (partition/kept-reply.ts). */
  readonly keptId: string | undefined
  /** When it arrived, monotonic ms. */
  readonly sinceMs: number
  /** Monotonic ms; it does not begin after that. */
  readonly deadlineMs: number
  /** Everyone who waits for the reply: the first sender, and repetitions that arrived meanwhile (R1). */
  readonly respond: Respond[]
  /** Its handler has returned, and its outcome is on the way to the log. */
  finished: boolean
  /** Whom it counts for, from its beginning until it is answered. */
  actor: CachedActor | undefined
}

/** A turn whose handler has returned. */
export interface FinishedTurn {
  /** `undefined`: the partition's own turn, which nobody waits for. */
  readonly turn: Turn | undefined
  readonly changes: readonly StateChange[]
  readonly reply: Uint8Array
  /** What it sends once it is committed. Default: nothing. */
  readonly outputs?: readonly OutputRecord[]
  /** Called when its record is committed, if this ownership lives to see it. */
  readonly onCommitted?: () => void
}

/** Of one keyed actor or entry. The turn holds the actor until its record is committed. */
export interface StateChange {
  readonly actor: CachedActor
  readonly type: string
  readonly key: string
  readonly before: Version
  /** With `noShare` where a tombstone is collected: nothing is left. */
  readonly after: Version
}
