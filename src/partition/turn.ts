import type { ActorDefinition, CommandHandler } from '../behaviour/definition.ts'
import type { Reply } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
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
  readonly input: Uint8Array
  /** Monotonic ms; it does not begin after that. */
  readonly deadlineMs: number
  /** Everyone who waits for the reply: the first sender, and repetitions that arrived meanwhile (R1). */
  readonly respond: Respond[]
  /** Its handler has returned, and its outcome is on the way to the log. */
  finished: boolean
}

/** A turn whose handler has returned. */
export interface FinishedTurn {
  readonly turn: Turn
  readonly actor: CachedActor
  /** What the actor was before. */
  readonly before: Version
  /** What it is after; `undefined` where nothing changed. */
  readonly after: Version | undefined
  readonly reply: Uint8Array
}
