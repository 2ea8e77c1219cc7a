/**
 * `actor()`: defines a keyed actor type, and carries the types of its state, inputs and results to whoever calls it.
 *
 * B1. A definition is checked where it is written, not where it is first used: what is wrong with it throws `INVALID` at once.
 * B2. The types are inferred: `ctx.state` from `state()`, an input from its schema, and without one from the handler's second parameter,
 *     which then has to have a type of its own. A result is what the handler returns.
 * B3. A definition is frozen; changing the object it was made from changes nothing.
 * B4. The type's name is part of the definition's type, so that a reference by name cannot name another.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { HoldfastError } from '../protocol/errors.ts'
import { checkName } from '../protocol/subjects.ts'
import type { ActorDefinition, CommandContext, CommandHandler, QueryHandler } from './definition.ts'
import { isSchema } from './input.ts'
import { kvPrefix } from './kv.ts'
import { checkMethodName, type ReservedName } from './names.ts'

/** Validators of inputs by the name of their command or query: whatever speaks Standard Schema v1. */
export type Inputs = Readonly<Record<string, StandardSchemaV1>>

/**
 * Handlers whose first parameter is `First`. `never` is what an input without a schema is to the contextual typing, so that any annotation
 * will do, and that none at all can be told (`Untyped`).
 */
type Handlers<First, I> = Readonly<Record<string, (first: First, input: never) => unknown>> & {
  readonly [Name in keyof I]?: (first: First, input: OutputOf<I, Name>) => unknown
}

type OutputOf<I, Name> = Name extends keyof I
  ? I[Name] extends StandardSchemaV1
    ? StandardSchemaV1.InferOutput<I[Name]>
    : never
  : never

/** Refuses the handlers of `H` that have an input without a type, each with a sentence in place of a type. */
type Untyped<H, I> = {
  readonly [
    Name in keyof H as Name extends keyof I ? never : HasUntypedInput<H[Name]> extends true ? Name : never
  ]: 'give the input of this handler a type, or a schema under `input`'
}

type HasUntypedInput<Handler> = Handler extends (...all: infer All) => unknown
  ? All extends [unknown, (infer Input)?]
    ? [Input] extends [undefined]
      ? true
      : false
    : false
  : false

/** Refuses the names of `Taken` among the keys of `Handlers`, each with a sentence in place of a type. */
type Without<Handlers, Taken, Sentence> = string extends keyof Handlers | Taken
  ? unknown
  : { readonly [Name in keyof Handlers & Taken]: Sentence }

declare const shape: unique symbol

/** An actor definition with its types, which exist for the type checker only. */
export interface Actor<State, C, Q, Type extends string = string, I = unknown> extends ActorDefinition {
  readonly type: Type
  readonly [shape]?: { readonly state: State; readonly commands: C; readonly queries: Q; readonly inputs: I }
}

/** The state of an actor definition: `StateOf<typeof Cart>`. */
export type StateOf<A> = A extends Actor<infer State, unknown, unknown> ? State : unknown
/** The command handlers of an actor definition. */
export type CommandsOf<A> = A extends Actor<unknown, infer C, unknown> ? C : never
/** The query handlers of an actor definition. */
export type QueriesOf<A> = A extends Actor<unknown, unknown, infer Q> ? Q : never
/** What callers give for each input that has a schema. */
export type InputsOf<A> =
  A extends Actor<unknown, unknown, unknown, string, infer I>
    ? { readonly [Name in keyof I]: I[Name] extends StandardSchemaV1 ? StandardSchemaV1.InferInput<I[Name]> : never }
    : never

export interface ActorOptions<State, C, Q, I> {
  /** Version of the state's shape, a whole number from 1. */
  readonly version: number
  /** The state of a key that was never written, or was destroyed. */
  readonly state: () => State
  /**
   * Schemas of inputs, by the name of their command or query: any Standard Schema v1 validator (Zod, Valibot, ArkType…). The node checks an
   * input before the handler runs, whoever sent it; what a schema refuses is `INVALID`, with the place in `path`. The handler gets the
   * schema's output and needs no annotation, callers give the schema's input. Default: inputs are what callers send.
   */
  readonly input?: I & Inputs
  /** Exclusive turns: `(ctx, input?) => result`, sync or async. */
  readonly commands: C &
    Handlers<CommandContext<State>, NoInfer<I>> &
    Untyped<C, NoInfer<I>> &
    Without<C, ReservedName, 'this name is reserved'>
  /** Read-only: `(state, input?) => result`, sync. A query that changes its argument changes nothing, and where queries are frozen fails. */
  readonly queries?: Q &
    Handlers<Readonly<State>, NoInfer<I>> &
    Untyped<Q, NoInfer<I>> &
    Without<Q, ReservedName, 'this name is reserved'> &
    Without<Q, keyof C, 'a command has this name'>
}

/**
 * Defines a keyed actor type. `type` is its name in the cluster: 1 to 512 bytes of UTF-8. Names that begin with `kv-` are those of stores.
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
 * Throws `INVALID` for a reserved or repeated name, a handler that is not a function, a schema that is none or has no handler, or a version
 * that is not one.
 *
 * Two types may call each other. A handler that returns what it got from another type, which in turn calls this one, needs the type of its
 * result written down: `async reserve(ctx, n: number): Promise<number> { … }`; the compiler cannot infer in a circle.
 */
export function actor<const Type extends string, State, C, Q = Record<never, never>, I = Record<never, never>>(
  type: Type,
  options: ActorOptions<State, C, Q, I>,
): Actor<State, C, Q, Type, I> {
  if (typeof type !== 'string') throw invalid('the type of an actor is a text: actor("cart", { … })')
  checkName(type, 'type')
  if (type.startsWith(kvPrefix))
    throw invalid(`actor "${type}": types that begin with "${kvPrefix}" are those of stores, choose another name`)
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
  const inputs = schemasOf(options.input === undefined ? {} : options.input, type, { ...commands, ...queries })
  return Object.freeze({ kind: 'actor', type, version, initialState: state, commands, queries, inputs })
}

/** A frozen copy without a prototype. */
function schemasOf(schemas: unknown, type: string, handlers: object): Inputs {
  if (!isPlainObject(schemas)) throw invalid(`actor "${type}": its input is an object of schemas`)
  const copy = Object.create(null) as Record<string, StandardSchemaV1>
  for (const [name, schema] of Object.entries(schemas)) {
    if (!Object.hasOwn(handlers, name))
      throw invalid(`actor "${type}": there is a schema for "${name}", which is neither a command nor a query`)
    if (!isSchema(schema))
      throw invalid(
        `actor "${type}": the schema of "${name}" is no Standard Schema v1, use one of Zod, Valibot, ArkType…`,
      )
    copy[name] = schema
  }
  return Object.freeze(copy)
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
