/**
 * The handle of a connected client: references, watches, and the end of both.
 */
import type { ActorDefinition } from '../behaviour/definition.ts'
import type { StateOf } from '../behaviour/actor.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { checkName, type Subjects } from '../protocol/subjects.ts'
import { referenceTo, type Reference, type ReferenceHost } from './reference.ts'
import { addressOf, type Session, type SessionPorts } from './session.ts'
import { ChangeWatch, type Watch, type WatchOptions } from './watch.ts'

export interface HoldfastParts extends SessionPorts {
  readonly session: Session
  readonly subjects: Subjects
  /** What else ends with the client, e.g. its own transport. Default: nothing. */
  readonly release?: () => Promise<void>
}

export class Holdfast {
  readonly #parts: HoldfastParts
  readonly #host: ReferenceHost
  readonly #watches = new Set<ChangeWatch<unknown>>()
  #closing: Promise<void> | undefined = undefined

  constructor(parts: HoldfastParts) {
    this.#parts = parts
    this.#host = {
      session: parts.session,
      watchKey: (type, key, options) => this.#watch(type, key, options),
    }
  }

  /** A keyed actor. Nothing is sent. Throws `INVALID` for a key that is empty, longer than 512 bytes, or no well-formed text. */
  actor<A extends ActorDefinition>(definition: A, key: string): Reference<A> {
    if (definition?.kind !== 'actor') throw new HoldfastError('INVALID', 'the first argument is what actor() returned')
    if (typeof key !== 'string') throw new HoldfastError('INVALID', 'a key is a text')
    checkName(key, 'key')
    return referenceTo(this.#host, definition, addressOf(definition.type, key))
  }

  /** The changes of all keyed actors of a type. Throws `INVALID` for what is no cursor of such a watch. */
  watch<A extends ActorDefinition>(definition: A, options?: WatchOptions): Watch<StateOf<A>> {
    return this.#watch(definition.type, undefined, options) as Watch<StateOf<A>>
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
    this.#parts.session.close()
    await this.#parts.release?.()
  }

  #watch(type: string, key: string | undefined, options: WatchOptions = {}): Watch<unknown> {
    if (this.#closing !== undefined) throw new HoldfastError('INVALID', 'this client is closed: connect again')
    const { session, transport, clock, random, subjects } = this.#parts
    const partitions = async () => {
      await session.whenPlaced()
      return session.partitions
    }
    const onClose = (closed: ChangeWatch<unknown>) => this.#watches.delete(closed)
    const watch = new ChangeWatch<unknown>(
      { transport, clock, random, subjects, partitions, onClose },
      type,
      key,
      options,
    )
    if (options.signal?.aborted !== true) this.#watches.add(watch)
    return watch
  }
}
