/**
 * Typed references: a keyed actor as an object whose methods are the commands and queries of its definition.
 *
 * Methods live on one prototype for each definition, so making a reference costs an object and calling it nothing beyond the request.
 */
import type { ActorDefinition } from '../behaviour/definition.ts'
import type { CommandsOf, QueriesOf, StateOf } from '../behaviour/actor.ts'
import type { RequestKind } from '../protocol/frames.ts'
import type { Value } from '../protocol/values.ts'
import { parseCommandId } from './command-id.ts'
import { durationMs, type Duration } from './duration.ts'
import type { Address } from './pending.ts'
import type { RequestOptions, Session } from './session.ts'
import type { Watch, WatchOptions } from './watch.ts'

/**
 * What a caller gets of a handler's result. Where it may be `undefined` it is `null` at the caller, as in JSON.
 */
export type ResultOf<R> = [R] extends [void] ? void : undefined extends R ? Exclude<R, undefined> | null : R

type Methods<Handlers> = {
  readonly [Name in keyof Handlers]: Handlers[Name] extends (first: never, ...input: infer Input) => infer R
    ? (...input: Input) => Promise<ResultOf<Awaited<R>>>
    : never
}

type Tells<Commands> = {
  readonly [Name in keyof Commands]: Commands[Name] extends (first: never, ...input: infer Input) => unknown
    ? (...input: Input) => Promise<void>
    : never
}

export interface CallOptions {
  /** How long to wait for the reply, attempts included. Default: the client's. */
  readonly timeout?: Duration
  /** Ends the call: `UNKNOWN` where it was sent and not refused, else `RETRY`; the cause is the signal's reason. */
  readonly signal?: AbortSignal
  /**
   * Repeats one command: the id of its `UNKNOWN` error, within 90 s of its first call. It takes effect once and gives the first
   * reply. Or an id of your own, 1 to 64 of `A-Z a-z 0-9 _ -`, to be repeated within 90 s. One id is one command. With an id of your
   * own a refusal (`RETRY`, `OVERLOADED`) says that this call did nothing; what an earlier call with the id did is not known here.
   */
  readonly id?: string
}

/** A keyed actor of the definition `A`, as its callers see it. */
export type Reference<A> = Methods<CommandsOf<A>> &
  Methods<QueriesOf<A>> & {
    readonly type: string
    readonly key: string
    /** The same commands, but each resolves once it is durably accepted. */
    readonly tell: Tells<CommandsOf<A>>
    /** The same keyed actor, called with these options besides those that it has. Throws `INVALID`. */
    with(options: CallOptions): Reference<A>
    /** The changes of this keyed actor. Throws `INVALID` for what is no cursor. */
    watch(options?: WatchOptions): Watch<StateOf<A>>
  }

/** What a reference needs of its client. */
export interface ReferenceHost {
  readonly session: Session
  watchKey(type: string, key: string, options: WatchOptions | undefined): Watch<unknown>
}

interface Bound {
  readonly host: ReferenceHost
  readonly address: Address
  readonly options: RequestOptions | undefined
  readonly prototypes: Prototypes
}

/** Under a symbol, because commands may have any other name. */
const bound = Symbol('bound')

interface Callable {
  readonly [bound]: Bound
}

interface Prototypes {
  readonly reference: object
  readonly tell: object
}

const prototypesOf = new WeakMap<ActorDefinition, Prototypes>()

export function referenceTo<A extends ActorDefinition>(
  host: ReferenceHost,
  definition: A,
  address: Address,
): Reference<A> {
  let prototypes = prototypesOf.get(definition)
  if (prototypes === undefined) prototypesOf.set(definition, (prototypes = makePrototypes(definition)))
  return make({ host, address, options: undefined, prototypes }) as Reference<A>
}

function make(binding: Bound): object {
  const { type, key } = binding.address
  const reference = Object.create(binding.prototypes.reference) as Record<PropertyKey, unknown>
  reference.type = type
  reference.key = key
  reference[bound] = binding
  return reference
}

function makePrototypes(definition: ActorDefinition): Prototypes {
  const reference: object = Object.create(base) as object
  const tell: object = {}
  for (const name of Object.keys(definition.queries)) define(reference, name, 'query')
  for (const name of Object.keys(definition.commands)) {
    define(reference, name, 'command')
    define(tell, name, 'tell')
  }
  return { reference, tell }
}

function define(prototype: object, name: string, kind: RequestKind): void {
  const method = function (this: Callable, input: unknown): Promise<Value | undefined> {
    const { host, address, options } = this[bound]
    return host.session.request(kind, address, name, input, options)
  }
  Object.defineProperty(prototype, name, { value: method })
}

const base = {
  get tell(): object {
    const { [bound]: binding } = this as unknown as Callable
    const tell = Object.create(binding.prototypes.tell) as Record<PropertyKey, unknown>
    tell[bound] = binding
    return tell
  },
  with(this: Callable, options: CallOptions): object {
    const binding = this[bound]
    return make({ ...binding, options: { ...binding.options, ...checked(options) } })
  },
  watch(this: Callable, options?: WatchOptions): Watch<unknown> {
    const { host, address } = this[bound]
    return host.watchKey(address.type, address.key, options)
  },
}

function checked({ timeout, signal, id }: CallOptions): RequestOptions {
  return {
    ...(timeout === undefined ? {} : { timeoutMs: durationMs(timeout, 'the timeout of a call') }),
    ...(signal === undefined ? {} : { signal }),
    ...(id === undefined ? {} : { id: parseCommandId(id) }),
  }
}
