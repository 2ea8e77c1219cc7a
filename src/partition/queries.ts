/**
 * Queries, of an owner or a standby: they read committed state. An owner answers when it is certain that it was the owner then (W3, O3).
 *
 * V1. A query sees a state of its own: what it does to it reaches nobody.
 * V2. Those that wait, for their state or for the lease, are bounded in number and in bytes of inputs and replies; beyond it `OVERLOADED`.
 * V3. Whatever a handler throws, gives or rejects with is an answer, and ends nothing.
 * V4. One whose schema does not settle in the time that an asynchronous handler has is `FAILED`. Once ended nothing waits for a schema.
 */
import type { ActorDefinition, QueryHandler } from '../behaviour/definition.ts'
import { freezeDeep } from '../behaviour/freeze.ts'
import { parseInput } from '../behaviour/input.ts'
import type { Clock } from '../ports/clock.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import type { ReplyPosition, Request } from '../protocol/frames.ts'
import { ownBytes } from '../protocol/own-bytes.ts'
import { decodeInput, decodeValue, encodeValue } from '../protocol/values.ts'
import type { CachedActor } from './actor-cache.ts'
import { notExecuted, notFound } from './answers.ts'
import { failure } from './failure.ts'
import { actorId } from './names.ts'
import type { Replica } from './replica.ts'
import type { PartitionSettings } from './settings.ts'
import type { Version } from './store-layout.ts'
import type { Answer, Asker } from './turn.ts'

export interface QueriesOptions {
  readonly clock: Clock
  readonly replica: Pick<Replica, 'peek' | 'load'>
  readonly settings: Pick<
    PartitionSettings,
    'mailboxTurns' | 'mailboxBytes' | 'maxRecordBytes' | 'freezeQueries' | 'handlerTimeoutMs'
  >
  /** What is there for a reader now, of a committed version; `undefined` where this node cannot tell. */
  readonly shown: (committed: Version) => Version | undefined
  /** How far the replica has come, as its readers may be told. */
  readonly at: () => ReplyPosition
  /** Calls with whether what was read may be told. Default: it may, at once. */
  readonly certainly?: ((release: (certain: boolean) => void) => void) | undefined
  /** The answer to one too many (V2). */
  readonly refused: () => Answer
}

export class Queries {
  readonly #options: QueriesOptions
  #waiting = 0
  /** Of their inputs and replies. */
  #bytes = 0
  /** Those whose schemas take their time (V4). */
  readonly #unsettled = new Set<(answer: Answer) => void>()

  constructor(options: QueriesOptions) {
    this.#options = options
  }

  metrics(): readonly Metric[] {
    const { mailboxTurns, mailboxBytes } = this.#options.settings
    return [
      gauge('holdfast_queries', this.#waiting, mailboxTurns),
      gauge('holdfast_query_bytes', this.#bytes, mailboxBytes),
    ]
  }

  answer(definition: ActorDefinition, request: Request, asker: Asker): void {
    const handler = definition.queries[request.name]
    if (handler === undefined) return asker.respond(notFound(`${request.type} has no query "${request.name}"`))
    const { replica, settings, certainly, shown, at: position, refused } = this.#options
    let bytes = 0
    /** Its input, and then its reply, count while it waits: for its state, and for the lease. */
    const hasRoom = (more: number) => {
      if (this.#bytes > bytes && this.#bytes + more > settings.mailboxBytes) return false
      bytes += more
      this.#bytes += more
      return true
    }
    if (this.#waiting >= settings.mailboxTurns || !hasRoom(request.input.length)) return asker.respond(refused())
    this.#waiting++
    const done = (answer: Answer) => {
      this.#waiting--
      this.#bytes -= bytes
      asker.respond(answer)
    }
    const read = (actor: CachedActor, asked = request) => {
      const at = position()
      const version = shown(actor.committed)
      if (version === undefined) return done(notExecuted)
      const tell = (answer: Answer) => {
        if (answer.kind === 'value' && !hasRoom(answer.value.length)) return done(refused())
        if (certainly === undefined) done(answer)
        else certainly((certain) => done(certain ? answer : notExecuted))
      }
      const answer = answerQuery(definition, handler, version, asked, at, settings)
      if (answer instanceof Promise) this.#await(answer, definition.type, tell)
      else tell(answer)
    }
    const id = actorId(request.type, request.key)
    const actor = replica.peek(id)
    if (actor !== undefined) return read(actor)
    const asked = { ...request, input: ownBytes(request.input) }
    void this.#loadThen(id, (loaded) => read(loaded, asked), done)
  }

  end(): void {
    for (const settle of this.#unsettled) settle(notExecuted)
  }

  /** V4 */
  #await(answer: Promise<Answer>, type: string, tell: (answer: Answer) => void): void {
    const { clock, settings, at } = this.#options
    const { handlerTimeoutMs } = settings
    const settle = (said: Answer) => {
      if (!this.#unsettled.delete(settle)) return
      clock.clearTimeout(timer)
      tell(said)
    }
    const timer = clock.setTimeout(() => {
      const message = `the schema of a query of ${type} did not settle within ${handlerTimeoutMs} ms`
      settle({ kind: 'error', error: { code: 'FAILED', message }, at: at() })
    }, handlerTimeoutMs)
    this.#unsettled.add(settle)
    void answer.then(settle)
  }

  async #loadThen(id: string, read: (actor: CachedActor) => void, failed: (answer: Answer) => void): Promise<void> {
    let actor: CachedActor
    try {
      actor = (await this.#options.replica.load([id]))[0]!
    } catch (error) {
      const message = `the state could not be read: ${messageOf(error)}`
      return failed({ kind: 'error', error: { code: 'INTERNAL', message } })
    }
    read(actor)
    actor.holds--
  }
}

/** A promise where the schema of its input takes its time; it never rejects. */
function answerQuery(
  definition: ActorDefinition,
  handler: QueryHandler,
  { state, rev, expiresAt }: Version,
  { name, input }: Request,
  at: ReplyPosition,
  { maxRecordBytes, freezeQueries }: QueriesOptions['settings'],
): Answer | Promise<Answer> {
  const refused = (error: unknown): Answer => ({ kind: 'error', error: failure(error, definition), at })
  const answer = (parsed: unknown): Answer => {
    try {
      const shown = stateFor(definition, state, freezeQueries)
      const result = handler(shown, parsed, { exists: state !== null, rev, expiresAt })
      // It is refused, as no value is; that it may reject, too, must not end the process.
      if (result instanceof Promise) result.catch(() => {})
      const reply = encodeValue(result)
      if (reply.length <= maxRecordBytes) return { kind: 'value', value: reply, at }
      throw new HoldfastError(
        'INVALID',
        `the reply has ${reply.length} bytes; it may have ${maxRecordBytes}: ask for less at a time`,
      )
    } catch (error) {
      return refused(error)
    }
  }
  try {
    const parsed = parseInput(definition, name, decodeInput(input))
    return parsed instanceof Promise ? parsed.then(answer, refused) : answer(parsed)
  } catch (error) {
    return refused(error)
  }
}

/** A state of the query's own; where there is none, the first one, which its maker may keep: that is copied before it is frozen. */
function stateFor(definition: ActorDefinition, state: Uint8Array | null, freeze: boolean): unknown {
  if (!freeze) return state === null ? definition.initialState() : decodeValue(state)
  const shown = decodeValue(state ?? encodeValue(definition.initialState()))
  freezeDeep(shown)
  return shown
}
