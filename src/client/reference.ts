/**
 * Typed references: a keyed actor as an object whose methods are its commands and queries.
 *
 * V1. A reference by its definition has the methods of that definition, on one prototype for each definition: making a reference costs an
 *     object, and calling it nothing beyond the request.
 * V2. A reference by name has a method for every name that a command or query can have. It does not know which is which: a method sends a
 *     `call`, and the owner finds out. Only the type checker knows the names, by the definition's type.
 * V3. Neither has anything that makes it a promise, gives it a JSON form of its own, or is looked for by a symbol: awaiting, logging,
 *     comparing or serialising a reference sends nothing.
 */
import type { ActorDefinition } from '../behaviour/definition.ts'
import type { CommandsOf, InputsOf, QueriesOf, StateOf } from '../behaviour/actor.ts'
import { isMethodName } from '../behaviour/names.ts'
import type { RequestKind } from '../protocol/frames.ts'
import type { Value } from '../protocol/values.ts'
import { requestOptionsOf, type CallOptions } from './call-options.ts'
import type { Address } from './pending.ts'
import type { Session } from './session.ts'
import type { Measured, RequestOptions } from './session-options.ts'
import type { Watch, WatchOptions } from './watch.ts'

/**
 * What a caller gets of a handler's result. Where it may be `undefined` it is `null` at the caller, as in JSON.
 */
export type ResultOf<R> = [R] extends [void] ? void : undefined extends R ? Exclude<R, undefined> | null : R

/** What a caller gives: what the schema takes, if there is one, else what the handler takes. */
type ArgumentsOf<Name, Inputs, Input extends readonly unknown[]> = Name extends keyof Inputs
  ? undefined extends Inputs[Name]
    ? [input?: Inputs[Name]]
    : [input: Inputs[Name]]
  : Input

type Methods<Handlers, Inputs> = {
  readonly [Name in keyof Handlers]: Handlers[Name] extends (first: never, ...input: infer Input) => infer R
    ? (...input: ArgumentsOf<Name, Inputs, Input>) => Promise<ResultOf<Awaited<R>>>
    : never
}

type MeasuredMethods<Handlers, Inputs> = {
  readonly [Name in keyof Handlers]: Handlers[Name] extends (first: never, ...input: infer Input) => infer R
    ? (...input: ArgumentsOf<Name, Inputs, Input>) => Promise<Measured<ResultOf<Awaited<R>>>>
    : never
}

type Tells<Commands, Inputs> = {
  readonly [Name in keyof Commands]: Commands[Name] extends (first: never, ...input: infer Input) => unknown
    ? (...input: ArgumentsOf<Name, Inputs, Input>) => Promise<void>
    : never
}

/** A keyed actor of the definition `A`, as its callers see it. */
export type Reference<A> = Methods<CommandsOf<A>, InputsOf<A>> &
  Methods<QueriesOf<A>, InputsOf<A>> & {
    readonly type: string
    readonly key: string
    /** The same commands, but each resolves once it is durably accepted. */
    readonly tell: Tells<CommandsOf<A>, InputsOf<A>>
    /** The same commands and queries, but each resolves to its result with the age and the cursor of what it was made from. */
    readonly measured: MeasuredMethods<CommandsOf<A>, InputsOf<A>> & MeasuredMethods<QueriesOf<A>, InputsOf<A>>
    /** The same keyed actor, called with these options besides those that it has. Throws `INVALID`, naming the option. */
    with(options: CallOptions): Reference<A>
    /** The changes of this keyed actor. Throws `INVALID` for what is no cursor. */
    watch(options?: WatchOptions): Watch<StateOf<A>>
  }

/** What a reference needs of its client. */
export interface ReferenceHost {
  readonly session: Session
  watchKey(type: string, key: string, options: WatchOptions | undefined): Watch<unknown>
}

interface Binding {
  readonly host: ReferenceHost
  readonly address: Address
  readonly options: RequestOptions | undefined
  readonly shape: Shape
}

/** What makes the references of one definition, or those by name. */
interface Shape {
  reference(binding: Binding): object
  tell(binding: Binding): object
  measured(binding: Binding): object
}

/** Holds what a reference is bound to where nothing that looks at objects finds it (V3). */
class Bound {
  readonly #binding: Binding

  constructor(binding: Binding) {
    this.#binding = binding
  }

  static of(reference: Bound): Binding {
    return reference.#binding
  }
}

/** What all references have. */
class BoundReference extends Bound {
  readonly type: string
  readonly key: string

  constructor(binding: Binding) {
    super(binding)
    this.type = binding.address.type
    this.key = binding.address.key
  }

  get tell(): object {
    const binding = Bound.of(this)
    return binding.shape.tell(binding)
  }

  get measured(): object {
    const binding = Bound.of(this)
    return binding.shape.measured(binding)
  }

  with(options: CallOptions): object {
    const binding = Bound.of(this)
    return binding.shape.reference({ ...binding, options: { ...binding.options, ...requestOptionsOf(options) } })
  }

  watch(options?: WatchOptions): Watch<unknown> {
    const { host, address } = Bound.of(this)
    return host.watchKey(address.type, address.key, options)
  }
}

const shapes = new WeakMap<ActorDefinition, Shape>()

/** By its definition (V1). */
export function referenceTo<A extends ActorDefinition>(
  host: ReferenceHost,
  definition: A,
  address: Address,
): Reference<A> {
  let shape = shapes.get(definition)
  if (shape === undefined) shapes.set(definition, (shape = shapeOf(definition)))
  return shape.reference({ host, address, options: undefined, shape }) as Reference<A>
}

/** By name (V2). */
export function namedReference<A>(host: ReferenceHost, address: Address): Reference<A> {
  return named.reference({ host, address, options: undefined, shape: named }) as Reference<A>
}

function shapeOf(definition: ActorDefinition): Shape {
  class ActorReference extends BoundReference {}
  class Tell extends Bound {}
  class MeasuredReference extends Bound {}
  const define = (kind: RequestKind, name: string) => {
    defineMethod(ActorReference.prototype, name, methodOf(name, kind))
    defineMethod(MeasuredReference.prototype, name, measuredOf(name, kind))
  }
  for (const name of Object.keys(definition.queries)) define('query', name)
  for (const name of Object.keys(definition.commands)) {
    define('command', name)
    defineMethod(Tell.prototype, name, methodOf(name, 'tell'))
  }
  return {
    reference: (binding) => new ActorReference(binding),
    tell: (binding) => new Tell(binding),
    measured: (binding) => new MeasuredReference(binding),
  }
}

type Method = (this: Bound, input: unknown) => Promise<unknown>

const defineMethod = (prototype: object, name: string, value: Method) =>
  Object.defineProperty(prototype, name, { value })

function methodOf(name: string, kind: RequestKind) {
  return function (this: Bound, input: unknown): Promise<Value | undefined> {
    const { host, address, options } = Bound.of(this)
    return host.session.request(kind, address, name, input, options)
  }
}

function measuredOf(name: string, kind: RequestKind) {
  return function (this: Bound, input: unknown): Promise<Measured<Value | undefined>> {
    const { host, address, options } = Bound.of(this)
    return host.session.measure(kind, address, name, input, options)
  }
}

/** A class whose instances have a method of any name, besides what `base` has (V3). */
function withAnyMethod(base: typeof Bound, method: (name: string) => Method): (binding: Binding) => object {
  const prototype = new Proxy(base.prototype, {
    get: (has, name, receiver) =>
      typeof name === 'symbol' || name in has || !isMethodName(name)
        ? (Reflect.get(has, name, receiver) as unknown)
        : method(name),
  })
  const target = function () {}
  target.prototype = prototype
  return (binding) => Reflect.construct(base, [binding], target) as object
}

const named: Shape = {
  reference: withAnyMethod(BoundReference, (name) => methodOf(name, 'call')),
  tell: withAnyMethod(Bound, (name) => methodOf(name, 'tell')),
  measured: withAnyMethod(Bound, (name) => measuredOf(name, 'call')),
}
