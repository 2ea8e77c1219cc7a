/**
 * `actor()`: defines a keyed actor type, and carries the types of its state, inputs and results to whoever calls it.
 *
 * B1. A definition is checked where it is written, not where it is first used: what is wrong with it throws `INVALID` at once.
 * B2. The types are inferred from the handlers alone: `ctx.state` from `state()`, an input from the handler's second parameter.
 * B3. A definition is frozen; changing the object it was made from changes nothing.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { checkName } from '../protocol/subjects.ts'
import type { ActorDefinition, CommandContext, CommandHandler, QueryHandler } from './definition.ts'
import { checkMethodName, type ReservedName } from './names.ts'

/** Handlers of commands: `(ctx, input?) => result`, sync or async. */
export type Commands<State> = Readonly<Record<string, (ctx: CommandContext<State>, input: never) => unknown>>

/** Handlers of queries: `(state, input?) => result`. */
export type Queries<State> = Readonly<Record<string, (state: Readonly<State>, input: never) => unknown>>

/** Refuses the names of `Taken` among the keys of `Handlers`, each with a sentence in place of a type. */
type Without<Handlers, Taken, Sentence> = string extends keyof Handlers | Taken
  ? unknown
  : { readonly [Name in keyof Handlers & Taken]: Sentence }

declare const shape: unique symbol

/** An actor definition with its types, which exist for the type checker only. */
export interface Actor<State, C, Q> extends ActorDefinition {
  readonly [shape]?: { readonly state: State; readonly commands: C; readonly queries: Q }
}

/** The state of an actor definition: `StateOf<typeof Cart>`. */
export type StateOf<A> = A extends Actor<infer State, unknown, unknown> ? State : unknown
/** The command handlers of an actor definition. */
export type CommandsOf<A> = A extends Actor<unknown, infer C, unknown> ? C : never
/** The query handlers of an actor definition. */
export type QueriesOf<A> = A extends Actor<unknown, unknown, infer Q> ? Q : never

export interface ActorOptions<State, C, Q> {
  /** Version of the state's shape, a whole number from 1. */
  readonly version: number
  /** The state of a key that was never written, or was destroyed. */
  readonly state: () => State
  readonly commands: C & Commands<State> & Without<C, ReservedName, 'this name is reserved'>
  readonly queries?: Q &
    Queries<State> &
    Without<Q, ReservedName, 'this name is reserved'> &
    Without<Q, keyof C, 'a command has this name'>
}

/**
 * Defines a keyed actor type. `type` is its name in the cluster: 1 to 512 bytes of UTF-8.
 *
 * ```ts
 * const Counter = actor('counter', {
 *   version: 1,
 *   state: () => 0,
 *   commands: { add(ctx, n: number) { ctx.state += n; return ctx.state } },
 *   queries: { value: (state) => state },
 * })
 * ```
 *
 * Throws `INVALID` for a reserved or repeated name, a handler that is not a function, or a version that is not one.
 */
export function actor<State, C extends Commands<State>, Q extends Queries<State> = Record<never, never>>(
  type: string,
  options: ActorOptions<State, C, Q>,
): Actor<State, C, Q> {
  if (typeof type !== 'string') throw invalid('the type of an actor is a text: actor("cart", { … })')
  checkName(type, 'type')
  if (!isPlainObject(options))
    throw invalid(`actor "${type}": its second argument is an object with version, state and commands`)
  const { version, state } = options
  if (!Number.isSafeInteger(version) || version < 1)
    throw invalid(`actor "${type}": its version is a whole number from 1`)
  if (typeof state !== 'function')
    throw invalid(`actor "${type}": its state is a function that returns the first state`)
  const commands = handlersOf<CommandHandler>(options.commands, type, 'commands')
  const queries = handlersOf<QueryHandler>(options.queries ?? {}, type, 'queries')
  for (const name of Object.keys(queries)) {
    if (name in commands) throw invalid(`actor "${type}": "${name}" is both a command and a query, rename one`)
  }
  return Object.freeze({ kind: 'actor', type, version, initialState: state, commands, queries })
}

/** A frozen copy without a prototype. Handlers are typed by their user and called with what `ActorDefinition` says. */
function handlersOf<Handler>(handlers: unknown, type: string, what: string): Readonly<Record<string, Handler>> {
  if (!isPlainObject(handlers)) throw invalid(`actor "${type}": its ${what} are an object of functions`)
  const copy = Object.create(null) as Record<string, Handler>
  for (const [name, handler] of Object.entries(handlers)) {
    checkMethodName(name, type)
    if (typeof handler !== 'function') throw invalid(`actor "${type}": "${name}" in its ${what} is not a function`)
    copy[name] = handler as Handler
  }
  return Object.freeze(copy)
}

/** Not an instance of a class, and not `{ __proto__: … }`, whose entries would be overlooked. */
function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
