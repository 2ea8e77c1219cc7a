/**
 * The handle of a connected client: references, stores, watches, and the end of all.
 */
import type { ActorDefinition } from '../behaviour/definition.ts'
import type { StateOf } from '../behaviour/actor.ts'
import { kv, type KvDefinition } from '../behaviour/kv.ts'
import { counter, gauge, labelled, type Metric } from '../ports/metrics.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { checkName, type Subjects } from '../protocol/subjects.ts'
import { Kv, type KvHost } from './kv.ts'
import { mostPages, mostUnheeded } from './page-places.ts'
import type { ClientPorts } from './ports.ts'
import { namedReference, referenceTo, type Reference, type ReferenceHost } from './reference.ts'
import { ScanAsks } from './scan-asks.ts'
import { addressOf, type Session } from './session.ts'
import { ChangeWatch, type TypeWatchOptions, type Watch, type WatchLoad } from './watch.ts'

export interface HoldfastParts extends ClientPorts {
  readonly session: Session
  readonly subjects: Subjects
}

/** Each has a subscription, and a timer for each partition. */
const mostWatches = 1_024

export class Holdfast {
  readonly #parts: HoldfastParts
  readonly #host: ReferenceHost
  readonly #kvHost: KvHost
  readonly #watches = new Set<ChangeWatch<unknown>>()
  /** Of watches that have ended. */
  #endedCuts = 0
  #closing: Promise<void> | undefined = undefined

  constructor(parts: HoldfastParts) {
    this.#parts = parts
    this.#host = {
      session: parts.session,
      watchKey: (type, key, options) => this.#watch(type, key, options),
    }
    this.#kvHost = {
      session: parts.session,
      clock: parts.clock,
      asks: new ScanAsks(parts),
      partitions: () => this.#partitions(),
      watch: (type, key, options) => this.#watch(type, key, options),
    }
    parts.onDenied?.(({ operation, subject }, reason) => {
      if (operation !== 'publish') return
      parts.session.denied(subject, reason)
      this.#kvHost.asks.denied(subject, reason)
      for (const watch of this.#watches) watch.denied(subject, reason)
    })
  }

  /**
   * A keyed actor, by its definition or by name: `hf.actor(Cart, 'c1')`, or `hf.actor<typeof Cart>('cart', 'c1')` where the definition is
   * imported as a type only. Nothing is sent. Throws `INVALID` for a type or key that is empty, longer than 512 bytes, or no well-formed
   * text. What no node knows is `NOT_FOUND` when it is called.
   */
  actor<A extends ActorDefinition>(definition: A, key: string): Reference<A>
  actor<A extends ActorDefinition = never>(type: A['type'], key: string): Reference<A>
  actor<A extends ActorDefinition>(of: A | string, key: string): Reference<A> {
    const type = typeOf(of)
    if (typeof key !== 'string') throw new HoldfastError('INVALID', 'a key is a text')
    checkName(key, 'key')
    const address = addressOf(type, key)
    return typeof of === 'string' ? namedReference(this.#host, address) : referenceTo(this.#host, of, address)
  }

  /**
   * The changes of all keyed actors of a type, by its definition or by name: `hf.watch(Cart)`, or `hf.watch<typeof Cart>('cart')`; or of
   * those alone whose keys begin so: `hf.watch(Cart, { prefix: 'eu/' })`. Throws `INVALID` for what is no cursor of such a watch.
   */
  watch<A extends ActorDefinition>(definition: A, options?: TypeWatchOptions): Watch<StateOf<A>>
  watch<A extends ActorDefinition = never>(type: A['type'], options?: TypeWatchOptions): Watch<StateOf<A>>
  watch<A extends ActorDefinition>(of: A | string, options?: TypeWatchOptions): Watch<StateOf<A>> {
    return this.#watch(typeOf(of), undefined, options) as Watch<StateOf<A>>
  }

  /** How full the parts of this client are, each with its limit, and how often they have refused something (docs/limits.md). */
  metrics(): readonly Metric[] {
    const loads = [...this.#watches].map(({ load }) => load)
    const fullest = (of: (load: WatchLoad) => number) => loads.reduce((most, load) => Math.max(most, of(load)), 0)
    const cuts = loads.reduce((sum, load) => sum + load.cuts, this.#endedCuts)
    return [
      ...labelled({ of: 'client' }, [...this.#parts.session.metrics(), ...this.#kvHost.asks.metrics()]),
      gauge('holdfast_client_watches', loads.length, mostWatches),
      gauge(
        'holdfast_client_watch_pages',
        fullest(({ pages }) => pages),
        mostPages,
      ),
      gauge(
        'holdfast_client_watch_unheeded_messages',
        fullest(({ unheeded }) => unheeded),
        mostUnheeded,
      ),
      counter('holdfast_client_watch_cut_offs_total', cuts),
      ...(this.#parts.metrics?.() ?? []),
    ]
  }

  /**
   * How far this client has seen each partition, by all replies that it had: another client that reads `with({ after: cursor })` sees at
   * least what this one has seen. `undefined` until a node has told who owns what.
   */
  get cursor(): string | undefined {
    return this.#parts.session.cursor
  }

  /** A key-value store, by its name or what `kv()` returned. Nothing is sent. Throws `INVALID` for a name that cannot be. */
  kv<V = unknown>(store: string | KvDefinition<V>): Kv<V> {
    if (typeof store === 'string') return new Kv(this.#kvHost, kv<V>(store))
    if (store?.kind !== 'kv') throw new HoldfastError('INVALID', 'a store is its name or what kv() returned')
    return new Kv(this.#kvHost, store)
  }

  /**
   * Ends all watches, and all calls: those that may have happened are rejected with `UNKNOWN`, the others with `RETRY`. Later calls
   * are `INVALID`. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const watch of this.#watches) watch.close()
    this.#kvHost.asks.close()
    this.#parts.session.close()
    await this.#parts.release?.()
  }

  async #partitions(): Promise<number> {
    const { session } = this.#parts
    await session.whenPlaced()
    return session.partitions
  }

  #watch(type: string, key: string | undefined, options: TypeWatchOptions = {}): Watch<unknown> {
    if (this.#closing !== undefined) throw new HoldfastError('INVALID', 'this client is closed: connect again')
    if (this.#watches.size >= mostWatches) {
      throw new HoldfastError(
        'OVERLOADED',
        `this client has ${mostWatches} watches already: close some, or watch a prefix`,
      )
    }
    const { transport, clock, random, observer, subjects } = this.#parts
    const partitions = () => this.#partitions()
    const onClose = (closed: ChangeWatch<unknown>) => {
      if (this.#watches.delete(closed)) this.#endedCuts += closed.load.cuts
    }
    const watch = new ChangeWatch<unknown>(
      { transport, clock, random, observer, subjects, partitions, onClose },
      type,
      key,
      options,
    )
    if (options.signal?.aborted !== true) this.#watches.add(watch)
    return watch
  }
}

/** The name of a type. */
function typeOf(of: ActorDefinition | string): string {
  if (typeof of === 'string') {
    checkName(of, 'type')
    return of
  }
  if (of?.kind !== 'actor')
    throw new HoldfastError('INVALID', 'the first argument is what actor() returned, or the name of a type')
  return of.type
}
