/**
 * The turn loop: commands come in, wait for their key, run, and leave as finished turns for the committer.
 *
 * N1. Turns of one key run strictly one at a time, in the order of arrival. Handlers of different keys overlap while they wait.
 * N2. A turn begins from the outcome of the turns before it, committed or not; its own outcome counts from the moment its handler
 *     has returned. No reply before the commit (R1): the caller sees neither.
 * N3. A handler that throws leaves no trace. Its failure is told when everything it can have seen is committed.
 * N4. One id is one turn: a repetition joins the turn that runs, or gets the reply that was remembered (R1, R3).
 * N5. The mailbox is bounded in turns and bytes: beyond it `OVERLOADED`, at once.
 */
import { actorShare } from '../core/hashing.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../protocol/errors.ts'
import type { WireError } from '../protocol/frames.ts'
import { nextRev, type SessionId } from '../protocol/ids.ts'
import { decodeValue, encodeValue } from '../protocol/values.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { CachedActor } from './actor-cache.ts'
import { forgotten, notExecuted, overloaded } from './answers.ts'
import { actorId, type Replica } from './replica.ts'
import type { Answer, FinishedTurn, Respond, Turn } from './turn.ts'
import { TurnContext } from './turn-context.ts'

export interface TurnLoopOptions {
  readonly clock: Clock
  readonly replica: Replica
  /** Turns accepted and not answered yet, at most. Default 16,384. */
  readonly mailboxTurns: number
  /** Bytes of their inputs, at most. Default 32 MiB. */
  readonly mailboxBytes: number
  /** Sessions remembered at most. Default 100,000. */
  readonly maxSessions: number
  /** Replies remembered at most. Default 1,000,000. */
  readonly maxReplies: number
  /** Bytes of state and reply of one turn, at most: they have to fit into one record. */
  readonly maxTurnBytes: number
  /** How long an asynchronous handler may take. Default 30 s. */
  readonly handlerTimeoutMs: number
  /** Partition time. */
  readonly now: () => number
  /** Aborted when the ownership ends. */
  readonly signal: AbortSignal
  readonly finish: (finished: FinishedTurn) => void
  /** Runs it when everything that has finished so far is committed and this node is certainly the owner (R1). */
  readonly afterCommits: (run: (certain: boolean) => void) => void
}

/** Repetitions that wait for one turn, at most. */
const mostJoined = 16

export class TurnLoop {
  readonly #options: TurnLoopOptions
  readonly #turns = new Map<SessionId, Map<number, Turn>>()
  /** Keys with a turn that runs or is being loaded, and what waits behind it. */
  readonly #busy = new Map<string, Turn[]>()
  #toLoad: string[] = []
  #count = 0
  #bytes = 0
  #stopped = false
  #onIdle: (() => void) | undefined
  /** Turns whose handler has not returned. */
  #unfinished = 0
  /** Of handlers that are asynchronous and have not settled. */
  readonly #timers = new Set<Timer>()

  constructor(options: TurnLoopOptions) {
    this.#options = options
  }

  submit(turn: Turn, respond: Respond): void {
    const { replica } = this.#options
    const running = this.#turns.get(turn.session)?.get(turn.number)
    if (running !== undefined) {
      // They are all of one client, and it takes the first answer that comes: older addresses are of no use to it.
      if (running.respond.push(respond) > mostJoined) running.respond.shift()
      return
    }
    const remembered = replica.sessions.find(turn.session, turn.number)
    if (remembered === 'settled') return respond(forgotten)
    if (remembered !== 'new') {
      this.#options.afterCommits((certain) => respond(certain ? { kind: 'value', value: remembered } : notExecuted))
      return
    }
    if (!this.#hasRoom(turn)) {
      return respond(overloaded)
    }
    turn.respond.push(respond)
    this.#enter(turn)
    const id = actorId(turn.type, turn.key)
    const queue = this.#busy.get(id)
    if (queue !== undefined) {
      queue.push(turn)
      return
    }
    const actor = replica.peek(id)
    if (actor !== undefined) this.#run(turn, actor)
    else this.#loadFirst(id, turn)
  }

  /** The record of a turn is committed: it may be told. */
  committed({ turn, reply }: FinishedTurn): void {
    this.#answer(turn, { kind: 'value', value: turn.tell ? nothing : reply })
  }

  /** Resolves when every handler that was begun or waits has returned. */
  idle(): Promise<void> {
    if (this.#unfinished === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** No handler that has not returned will count any more; whoever waits for one hears `answer`. */
  abandonUnfinished(answer: Answer): void {
    this.#stopped = true
    for (const timer of this.#timers) this.#options.clock.clearTimeout(timer)
    this.#timers.clear()
    this.#answerAll(answer, (turn) => !turn.finished)
    this.#unfinished = 0
    this.#onIdle?.()
  }

  /** Ends all of it: whoever still waits hears `answer`. */
  stop(answer: Answer): void {
    this.abandonUnfinished(answer)
    this.#answerAll(answer, () => true)
  }

  #answerAll(answer: Answer, which: (turn: Turn) => boolean): void {
    for (const turns of [...this.#turns.values()]) {
      for (const turn of [...turns.values()]) if (which(turn)) this.#answer(turn, answer)
    }
  }

  #hasRoom(turn: Turn): boolean {
    const { mailboxTurns, mailboxBytes, maxSessions, maxReplies, replica } = this.#options
    const { sessions } = replica
    return (
      this.#count < mailboxTurns &&
      this.#bytes + turn.input.length <= mailboxBytes &&
      sessions.replies + this.#count < maxReplies &&
      (sessions.count < maxSessions || sessions.has(turn.session))
    )
  }

  #enter(turn: Turn): void {
    let turns = this.#turns.get(turn.session)
    if (turns === undefined) {
      turns = new Map()
      this.#turns.set(turn.session, turns)
    }
    turns.set(turn.number, turn)
    this.#count++
    this.#unfinished++
    this.#bytes += turn.input.length
  }

  #answer(turn: Turn, answer: Answer): void {
    const turns = this.#turns.get(turn.session)
    if (turns?.delete(turn.number) !== true) return
    if (turns.size === 0) this.#turns.delete(turn.session)
    this.#count--
    this.#bytes -= turn.input.length
    for (const respond of turn.respond) respond(answer)
  }

  #loadFirst(id: string, turn: Turn): void {
    this.#busy.set(id, [turn])
    if (this.#toLoad.push(id) > 1) return
    this.#options.clock.defer(() => {
      const ids = this.#toLoad
      this.#toLoad = []
      void this.#load(ids)
    })
  }

  async #load(ids: readonly string[]): Promise<void> {
    try {
      const actors = await this.#options.replica.load(ids)
      if (this.#stopped) return
      for (const actor of actors) {
        this.#next(actor)
        actor.holds--
      }
    } catch (error) {
      if (this.#stopped) return
      // The store's own failure is reported by the replica; here only the callers are told.
      const message = `the state could not be read: ${messageOf(error)}`
      for (const id of ids) {
        const waiting = this.#busy.get(id) ?? []
        this.#busy.delete(id)
        for (const turn of waiting) this.#fail(turn, { code: 'INTERNAL', message })
      }
    }
  }

  /** Runs what waits behind a key, until a handler is asynchronous or none is left. */
  #next(actor: CachedActor): void {
    const queue = this.#busy.get(actor.id)
    while (queue !== undefined && queue.length > 0) {
      if (this.#run(queue.shift()!, actor) === 'asynchronous') return
    }
    this.#busy.delete(actor.id)
  }

  #run(turn: Turn, actor: CachedActor): 'done' | 'asynchronous' {
    const { clock, now, signal } = this.#options
    if (clock.monotonic() > turn.deadlineMs) {
      this.#fail(turn, { code: 'RETRY', message: 'its deadline passed while it waited; nothing happened' })
      return 'done'
    }
    const before = actor.tip
    let context: TurnContext
    let result: unknown
    let pending: boolean
    actor.holds++
    try {
      context = new TurnContext(turn, before, now, signal)
      result = turn.handler(context, decodeValue(turn.input))
      pending = isPromise(result)
    } catch (error) {
      actor.holds--
      this.#fail(turn, failure(error))
      return 'done'
    }
    if (pending) {
      this.#await(turn, actor, context, result)
      return 'asynchronous'
    }
    this.#finish(turn, actor, context, result)
    return 'done'
  }

  #await(turn: Turn, actor: CachedActor, context: TurnContext, result: unknown): void {
    if (!this.#busy.has(actor.id)) this.#busy.set(actor.id, [])
    let settled = false
    const settle = (act: () => void) => {
      if (settled || this.#stopped) return
      settled = true
      this.#options.clock.clearTimeout(timer)
      this.#timers.delete(timer)
      act()
      this.#next(actor)
    }
    const fail = (error: WireError) => {
      actor.holds--
      this.#fail(turn, error)
    }
    const { clock, handlerTimeoutMs } = this.#options
    const timer: Timer = clock.setTimeout(() => {
      const message = `the handler of ${turn.type} did not settle within ${handlerTimeoutMs} ms; its turn left no trace`
      settle(() => fail({ code: 'FAILED', message }))
    }, handlerTimeoutMs)
    this.#timers.add(timer)
    // A thenable of somebody else's making may throw, or settle at once: `resolve` sees to both.
    Promise.resolve(result).then(
      (value) => settle(() => this.#finish(turn, actor, context, value)),
      (error: unknown) => settle(() => fail(failure(error))),
    )
  }

  #finish(turn: Turn, actor: CachedActor, context: TurnContext, result: unknown): void {
    const before = actor.tip
    let reply: Uint8Array
    let state: Uint8Array | null | undefined
    try {
      reply = encodeValue(result)
      state = context.outcome()
      this.#checkSize(state?.length ?? 0, reply.length)
    } catch (error) {
      actor.holds--
      this.#fail(turn, failure(error))
      return
    }
    const after =
      state === undefined
        ? undefined
        : { rev: nextRev(before.rev), state, share: actorShare(actor.id, before.rev + 1, state) }
    if (after !== undefined) actor.tip = after
    turn.finished = true
    this.#returned()
    this.#options.finish({ turn, actor, before, after, reply })
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

  #fail(turn: Turn, error: WireError): void {
    this.#returned()
    this.#options.afterCommits((certain) => this.#answer(turn, certain ? { kind: 'error', error } : notExecuted))
  }

  #returned(): void {
    if (--this.#unfinished === 0) this.#onIdle?.()
  }
}

const nothing = encodeValue(null)

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

/** A handler may throw anything; `INVALID` is our own word about its values, and passes as it is. */
export function failure(thrown: unknown): WireError {
  if (isHoldfastError(thrown, 'INVALID')) {
    return { code: 'INVALID', message: thrown.message, ...(thrown.path === undefined ? {} : { path: thrown.path }) }
  }
  let message: string
  try {
    message = messageOf(thrown)
  } catch {
    message = 'something that cannot be put into words'
  }
  return { code: 'FAILED', message: `the handler threw: ${message}` }
}
