/**
 * Runs one turn after another of a key, from what it begins with to what it leaves (N2, N3 and N6 of the turn loop, which says which one is
 * next).
 *
 * Each turn ends once, by `completed` or `failed`: within `run`, or later where its handler is asynchronous, or where what is kept under its
 * idempotency key is to be read first. Then its key may go on. What has ended begins no handler, however late its schema settles.
 */
import { parseInput } from '../behaviour/input.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Metric } from '../ports/metrics.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import type { WireError } from '../protocol/frames.ts'
import { decodeInput, encodeValue } from '../protocol/values.ts'
import type { CachedActor } from './actor-cache.ts'
import { failure } from './failure.ts'
import { KeptReplies, type KeptRepliesOptions } from './kept-reply.ts'
import { keptType, keyOf } from './names.ts'
import { versionAfter, type Outcome } from './outcome.ts'
import type { Replica } from './replica.ts'
import { unexpired } from './store-layout.ts'
import { StateChange, type FinishedTurn, type Turn } from './turn.ts'
import { TurnContext } from './turn-context.ts'

export interface TurnRunnerOptions extends KeptRepliesOptions {
  readonly clock: Clock
  readonly replica: Replica
  /** How long the tombstone of a deleted actor is kept, ms of partition time. Default 24 h. */
  readonly tombstoneMs: number
  /** Bytes of state and reply of one turn, at most: they have to fit into one record. */
  readonly maxTurnBytes: number
  /** How long an asynchronous handler may take. Default 30 s. */
  readonly handlerTimeoutMs: number
  /** Aborted when the ownership ends. */
  readonly signal: AbortSignal
}

/** Who hears of the ends of turns. */
export interface TurnEnds {
  /** It leaves this; the actors that it changed are held. */
  readonly completed: (turn: Turn, mutations: readonly StateChange[], reply: Uint8Array) => void
  /** It leaves no trace (N3). */
  readonly failed: (turn: Turn, error: WireError) => void
  /** The turn of this key that was asynchronous has ended. */
  readonly goOn: (actor: CachedActor) => void
}

/** Whether the turn has ended. */
export type Ran = 'done' | 'asynchronous'

/** A turn that has begun, and what it holds. */
interface Running {
  readonly turn: Turn
  readonly actor: CachedActor
  /** What is kept under its idempotency key. */
  readonly kept: CachedActor | undefined
  /** It has ended. */
  over: boolean
}

export class TurnRunner {
  readonly #options: TurnRunnerOptions
  readonly #ends: TurnEnds
  /** Of handlers that are asynchronous and have not settled. */
  readonly #timers = new Set<Timer>()
  readonly #keptReplies: KeptReplies
  readonly #tombstoneUntil = () => this.#options.now() + this.#options.tombstoneMs
  #stopped = false

  constructor(options: TurnRunnerOptions, ends: TurnEnds) {
    this.#options = options
    this.#ends = ends
    this.#keptReplies = new KeptReplies(options)
  }

  metrics(): readonly Metric[] {
    return this.#keptReplies.metrics()
  }

  run(turn: Turn, actor: CachedActor): Ran {
    actor.holds++
    if (turn.keptId === undefined) return this.#begin({ turn, actor, kept: undefined, over: false })
    const kept = this.#options.replica.peek(turn.keptId)
    if (kept !== undefined) {
      kept.holds++
      return this.#beginOnce({ turn, actor, kept, over: false })
    }
    void this.#loadKept(turn, actor, turn.keptId)
    return 'asynchronous'
  }

  /** The record of a turn is committed. */
  committed({ turn, mutations, reply }: FinishedTurn): void {
    if (turn?.keptId !== undefined && mutations.some(({ actor }) => actor.kept)) this.#keptReplies.committed(reply)
  }

  /** No turn that has not ended does any more. */
  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers) this.#options.clock.clearTimeout(timer)
    this.#timers.clear()
  }

  async #loadKept(turn: Turn, actor: CachedActor, id: string): Promise<void> {
    let how: Ran
    try {
      const [kept] = await this.#options.replica.load([id])
      if (this.#stopped) return
      how = this.#beginOnce({ turn, actor, kept: kept!, over: false })
    } catch (error) {
      if (this.#stopped) return
      actor.holds--
      this.#ends.failed(turn, { code: 'INTERNAL', message: `the state could not be read: ${messageOf(error)}` })
      how = 'done'
    }
    if (how === 'done') this.#ends.goOn(actor)
  }

  /** N6 */
  #beginOnce(running: Running & { readonly kept: CachedActor }): Ran {
    const { turn, kept } = running
    const verdict = this.#keptReplies.judge(turn, kept.tip)
    if (verdict.kind === 'new') return this.#begin(running)
    if (verdict.kind === 'refused') return this.#drop(running, verdict.error)
    letGo(running)
    this.#ends.completed(turn, unchanged, verdict.reply)
    return 'done'
  }

  #begin(running: Running): Ran {
    const { turn, actor } = running
    const { now, signal } = this.#options
    const context = new TurnContext(turn, unexpired(actor.tip, now), now, signal)
    let result: unknown
    let pending: boolean
    turn.span?.enter('handler')
    try {
      const input = parseInput(turn.definition, turn.name, decodeInput(turn.input))
      result = input instanceof Promise ? this.#runLater(running, context, input) : handle(turn, context, input)
      pending = isPromise(result)
    } catch (error) {
      return this.#drop(running, failure(error, turn.definition))
    }
    if (pending) {
      this.#await(running, context, result)
      return 'asynchronous'
    }
    this.#finish(running, context, result)
    return 'done'
  }

  /** Once its schema has had its say, which takes its time (behaviour/input.ts): by then nobody may wait for the turn any more. */
  async #runLater(running: Running, context: TurnContext, input: Promise<unknown>): Promise<unknown> {
    const parsed = await input
    return running.over || this.#stopped ? undefined : handle(running.turn, context, parsed)
  }

  /** It leaves no trace (N3). */
  #drop(running: Running, error: WireError): 'done' {
    letGo(running)
    this.#ends.failed(running.turn, error)
    return 'done'
  }

  #await(running: Running, context: TurnContext, result: unknown): void {
    const { turn, actor } = running
    const settle = (act: () => void) => {
      if (running.over || this.#stopped) return
      running.over = true
      this.#options.clock.clearTimeout(timer)
      this.#timers.delete(timer)
      act()
      this.#ends.goOn(actor)
    }
    const { clock, handlerTimeoutMs } = this.#options
    const timer: Timer = clock.setTimeout(() => {
      const message = `the handler of ${turn.type} did not settle within ${handlerTimeoutMs} ms; its turn left no trace`
      settle(() => this.#drop(running, { code: 'FAILED', message }))
    }, handlerTimeoutMs)
    this.#timers.add(timer)
    promiseOf(result).then(
      (value) => settle(() => this.#finish(running, context, value)),
      (error: unknown) => settle(() => this.#drop(running, failure(error, turn.definition))),
    )
  }

  #finish(running: Running, context: TurnContext, result: unknown): void {
    const { turn, actor, kept } = running
    let reply: Uint8Array
    let outcome: Outcome | undefined
    const { states } = this.#options.replica
    try {
      reply = encodeValue(result)
      outcome = context.outcome(states)
      this.#checkSize(outcome?.state?.length ?? 0, kept === undefined ? reply.length : 2 * reply.length)
    } catch (error) {
      if (outcome?.state != null) states.drop(outcome.state)
      this.#drop(running, failure(error, turn.definition))
      return
    }
    if (outcome === undefined) actor.holds--
    const own = outcome === undefined ? undefined : this.#change(actor, turn.type, turn.key, outcome)
    if (kept === undefined) return this.#ends.completed(turn, own === undefined ? unchanged : [own], reply)
    const keeping = this.#change(kept, keptType, keyOf(kept.id), this.#keptReplies.keep(turn, reply))
    this.#ends.completed(turn, own === undefined ? [keeping] : [own, keeping], reply)
  }

  #change(actor: CachedActor, type: string, key: string, outcome: Outcome): StateChange {
    const before = actor.tip
    const after = versionAfter(actor, outcome, this.#tombstoneUntil)
    actor.tip = after
    return new StateChange(actor, type, key, before, after)
  }

  #checkSize(stateBytes: number, replyBytes: number): void {
    const { maxTurnBytes } = this.#options
    if (stateBytes + replyBytes <= maxTurnBytes) return
    const sizes = `the state has ${stateBytes} bytes and the reply ${replyBytes}`
    throw new HoldfastError(
      'INVALID',
      `${sizes}; together they may have ${maxTurnBytes}: split the actor, or reply with less`,
    )
  }
}

function letGo({ actor, kept }: Running): void {
  actor.holds--
  if (kept !== undefined) kept.holds--
}

/** Spans that it begins are below its own. */
const handle = (turn: Turn, context: TurnContext, input: unknown): unknown =>
  turn.span === undefined ? turn.handler(context, input) : turn.span.within(() => turn.handler(context, input))

const unchanged: readonly StateChange[] = []

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

/** A thenable of somebody else's making may throw, settle at once, or throw when it is asked whose it is: `async` sees to it all. */
const promiseOf = async (result: unknown): Promise<unknown> => result
