/**
 * What a keyed actor type is, as data: the shape that `actor()` returns, that a node hosts and that a client calls by.
 *
 * A definition holds functions and no state. Its maps have no prototype, so that a name off the wire finds what was defined
 * and nothing else (`commands['constructor']` is `undefined`).
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'

export interface ActorDefinition {
  readonly kind: 'actor'
  readonly type: string
  /** Of the state's shape, from 1. */
  readonly version: number
  readonly initialState: () => unknown
  readonly commands: Readonly<Record<string, CommandHandler>>
  readonly queries: Readonly<Record<string, QueryHandler>>
  /** Schemas of inputs, by the name of the command or query (input.ts). */
  readonly inputs: Readonly<Record<string, StandardSchemaV1>>
}

/** One exclusive turn. What it returns is the reply; what it throws drops the turn (`FAILED`). */
export type CommandHandler = (ctx: CommandContext, input: unknown) => unknown

/** Reads committed state; a change that it makes to its argument goes nowhere. Entries of stores are told more of themselves. */
export type QueryHandler = (state: unknown, input: unknown, entry: EntryInfo) => unknown

/** What the runtime tells a query of a store's entry. */
export interface EntryInfo {
  readonly exists: boolean
  readonly rev: number
  /** Partition time, ms; null: never. */
  readonly expiresAt: number | null
}

export interface CommandContext<State = unknown> {
  /** Of this keyed actor. Change it in place or assign it; it is committed with the reply, or not at all. */
  state: State
  readonly type: string
  readonly key: string
  /** Number of turns that changed this keyed actor before this one. */
  readonly rev: number
  /** Partition time, ms since 1970: never goes back, also across owners. */
  now(): number
  /** Deletes the keyed actor when this turn commits; watchers see a change with the state `null`. */
  destroy(): void
  /** Aborts when this node's ownership of the partition has ended, so that this turn can no longer commit. */
  readonly signal: AbortSignal
}
