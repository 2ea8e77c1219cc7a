/**
 * The turn loop: commands come in, wait for their key, run (turn-runner.ts), and leave as finished turns for the committer.
 *
 * N1. Turns of one key run strictly one at a time, in the order of arrival. Handlers of different keys overlap while they wait.
 * N2. A turn begins from the outcome of the turns before it, committed or not; its own outcome counts from the moment its handler
 *     has returned. No reply before the commit (R1): the caller sees neither.
 * N3. A handler that throws leaves no trace. Its failure is told when everything it can have seen is committed.
 * N4. One id is one turn: a repetition joins the turn that runs, or gets the reply that was remembered (R1, R3).
 * N5. What may wait here is bounded (mailbox.ts). Beyond a bound it is `OVERLOADED`, at once, with the time by which there is likely to be
 *     room.
 * N6. A turn with an idempotency key runs at most once for that key (kept-reply.ts): its reply is kept in the commit of its change.
 * N7. What has expired is not there for a turn; it is removed by a turn of the partition's own (expiry-sweep.ts).
 * N8. Turns run by slices of time (slices.ts): between two of them what has arrived meanwhile is taken in, or refused.
 * N9. A turn that has not begun may still be refused: what came before it was known how slowly turns go is no better off than what comes
 *     after.
 */
import { messageOf } from '../protocol/errors.ts'
import { takeBeyond } from '../core/by-turns.ts'
import { NumberMap } from '../core/number-map.ts'
import { workOf } from '../core/pace.ts'
import type { ReplyPosition, WireError } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
import { ownBytes } from '../protocol/own-bytes.ts'
import { encodeValue } from '../protocol/values.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { CachedActor } from './actor-cache.ts'
import { forgotten, notExecuted, overloadedBy, type Bound } from './answers.ts'
import { Mailbox, type MailboxOptions } from './mailbox.ts'
import { actorId } from './names.ts'
import type { Replica } from './replica.ts'
import { Slices } from './slices.ts'
import { FinishedTurn, type Answer, type Asker, type StateChange, type Turn } from './turn.ts'
import { TurnRunner, type Ran, type TurnRunnerOptions } from './turn-runner.ts'
import type { WorkMeter } from './work-meter.ts'

export interface TurnLoopOptions extends TurnRunnerOptions, MailboxOptions {
  readonly replica: Replica
  /** N8. Default 5 ms. */
  readonly sliceMs: number
  /** Default: nobody watches. */
  readonly meter?: WorkMeter | undefined
  readonly finish: (finished: FinishedTurn) => void
  /** Runs it when everything that has finished so far is committed and this node is certainly the owner (R1). */
  readonly afterCommits: (run: (certain: boolean) => void) => void
  /** The last committed record, as replies name it. */
  readonly at: () => ReplyPosition
}

/** Repetitions that wait for one turn, at most. */
const mostJoined = 16

export class TurnLoop {
  readonly #options: TurnLoopOptions
  readonly #turns = new Map<SessionId, NumberMap<Turn>>()
  /** Of the last session that had none any more: it is likely to be the next that has some. */
  #spare = new NumberMap<Turn>()
  /** Keys with a turn that runs or is being loaded, and what waits behind it. */
  readonly #busy = new Map<string, Turn[]>()
  #toLoad: string[] = []
  /** Repetitions of commands whose replies are remembered, and that wait for the log. */
  #repetitions = 0
  readonly #mailbox: Mailbox
  /** N8 */
  readonly #slices: Slices
  #stopped = false
  #onIdle: (() => void) | undefined
  /** Turns whose handler has not returned. */
  #unfinished = 0
  /** Of those that have not begun. */
  #work = 0
  readonly #runner: TurnRunner

  constructor(options: TurnLoopOptions) {
    this.#options = options
    this.#mailbox = new Mailbox(options)
    const { clock, sliceMs } = options
    this.#slices = new Slices({
      clock,
      sliceMs,
      run: (actor) => this.#next(actor),
      paced: (waiting, nowMs) => this.#refuseLate(waiting, nowMs),
    })
    this.#runner = new TurnRunner(options, {
      completed: (turn, mutations, reply) => this.#complete(turn, mutations, reply),
      failed: (turn, error) => this.#fail(turn, error),
      goOn: (actor) => this.#next(actor),
    })
  }

  /** A turn with one who asks for it. */
  submit(turn: Turn): void {
    const { replica } = this.#options
    const asker = turn.askers[0]!
    const running = this.#turns.get(turn.session)?.get(turn.number)
    if (running !== undefined) {
      turn.span?.repeated()
      // They are all of one client, which takes the first value that comes. Of an attempt whose asker has gone it has no word, and may be in doubt.
      if (running.askers.push(asker) > mostJoined) running.askers.shift()
      return
    }
    const remembered = replica.sessions.find(turn.session, turn.number)
    if (remembered === 'settled') return asker.respond(forgotten)
    if (remembered !== 'new') {
      turn.span?.repeated()
      return this.#repeat(remembered, asker)
    }
    const id = actorId(turn.type, turn.key)
    const queue = this.#busy.get(id)
    const actor = replica.peek(id)
    const ofKey = (queue?.length ?? 0) + (actor?.turns ?? 0)
    const bound = this.#mailbox.boundOf(turn, ofKey, this.#waitMs(turn.sinceMs))
    if (bound !== undefined) return asker.respond(this.#mailbox.refuse(bound, turn.sinceMs, queue?.[0]?.sinceMs))
    this.#enter(turn)
    if (queue !== undefined) return this.#wait(turn, queue)
    if (actor === undefined) return this.#loadFirst(id, turn)
    const slices = this.#slices
    if (slices.next === undefined && slices.hasTime(turn.sinceMs)) return void this.#run(turn, actor, turn.sinceMs)
    this.#busy.set(id, [])
    this.#wait(turn, this.#busy.get(id)!)
    slices.later(actor)
  }

  /** Whether turns of its key run or wait. */
  isBusy(id: string): boolean {
    return this.#busy.has(id)
  }

  metrics(): readonly Metric[] {
    const { mailboxTurns, keyTurns } = this.#options
    return [
      ...this.#mailbox.metrics(),
      gauge('holdfast_mailbox_key_turns', this.#longest(), keyTurns),
      gauge('holdfast_repetitions', this.#repetitions, mailboxTurns),
      ...this.#runner.metrics(),
    ]
  }

  /** What a caller hears at a bound that is counted elsewhere. */
  refused(bound: Bound): Answer {
    this.#mailbox.refusals.count(bound)
    return overloadedBy(bound)
  }

  /** Turns of the key that has the most. */
  #longest(): number {
    let most = 0
    for (const turns of this.#turns.values()) {
      for (const { actor } of turns.values()) {
        if (actor !== undefined) most = Math.max(most, actor.turns + (this.#busy.get(actor.id)?.length ?? 0))
      }
    }
    for (const { length } of this.#busy.values()) most = Math.max(most, length)
    return most
  }

  /** Its first reply, once all that it could have seen is committed (R1). */
  #repeat(reply: Uint8Array, asker: Asker): void {
    if (this.#repetitions >= this.#options.mailboxTurns) {
      return asker.respond(this.refused('repetitions'))
    }
    this.#repetitions++
    this.#options.afterCommits((certain) => {
      this.#repetitions--
      asker.respond(certain ? { kind: 'value', value: reply, at: this.#options.at() } : notExecuted)
    })
  }

  /** The record of a turn is committed, and so is all that it changed: it may be told. */
  committed(finished: FinishedTurn): void {
    const { turn, reply } = finished
    if (turn === undefined) return
    this.#runner.committed(finished)
    this.#answer(turn, { kind: 'value', value: turn.tell ? nothing : reply, at: this.#options.at() })
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
    this.#slices.stop()
    this.#runner.stop()
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

  /** How long one that comes now would wait for the processor: at the pace of late, and no less than the next one has. */
  #waitMs(nowMs: number): number {
    const { next } = this.#slices
    if (next === undefined) return 0
    const sinceMs = this.#busy.get(next.id)?.[0]?.sinceMs ?? nowMs
    return Math.max(nowMs - sinceMs, this.#slices.unitMs(nowMs) * this.#work)
  }

  /** Those that would begin much too late, the last of each key first (N9). Twice too late, as a pace is never quite the same. */
  #refuseLate(waiting: readonly CachedActor[], nowMs: number): void {
    const queues = waiting.map(({ id }) => this.#busy.get(id)!)
    const inTime = this.#options.maxWaitMs / this.#slices.unitMs(nowMs)
    const work = queues.reduce((sum, queue) => queue.reduce((of, turn) => of + workOfTurn(turn), sum), 0)
    if (work <= 2 * inTime) return
    for (const turn of takeBeyond(queues, inTime, workOfTurn)) {
      this.#work -= workOfTurn(turn)
      this.#returned()
      this.#answer(turn, this.#mailbox.refuse('processor', nowMs))
    }
  }

  #enter(turn: Turn): void {
    let turns = this.#turns.get(turn.session)
    if (turns === undefined) {
      turns = this.#spare.size === 0 ? this.#spare : new NumberMap<Turn>()
      this.#turns.set(turn.session, turns)
    }
    turns.set(turn.number, turn)
    turn.span?.enter('wait')
    this.#unfinished++
    this.#work += workOfTurn(turn)
    this.#mailbox.enter(turn)
  }

  /** Behind others of its key. */
  #wait(turn: Turn, queue: Turn[]): void {
    turn.input = ownBytes(turn.input)
    queue.push(turn)
  }

  #answer(turn: Turn, answer: Answer): void {
    const turns = this.#turns.get(turn.session)
    if (turns?.delete(turn.number) !== true) return
    if (turns.size === 0) {
      this.#turns.delete(turn.session)
      this.#spare = turns
    }
    if (turn.actor !== undefined) turn.actor.turns--
    this.#mailbox.leave(turn)
    for (const asker of turn.askers) asker.respond(answer)
  }

  #loadFirst(id: string, turn: Turn): void {
    const queue: Turn[] = []
    this.#busy.set(id, queue)
    this.#wait(turn, queue)
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
        for (const turn of waiting) {
          this.#work -= workOfTurn(turn)
          this.#fail(turn, { code: 'INTERNAL', message })
        }
      }
    }
  }

  /** Runs what waits behind a key, until a handler is asynchronous, none is left, or it is another key's turn (N8). */
  #next(actor: CachedActor): void {
    const queue = this.#busy.get(actor.id)
    while (queue !== undefined && queue.length > 0) {
      const nowMs = this.#options.clock.monotonic()
      if (!this.#slices.hasTime(nowMs)) return this.#slices.later(actor)
      if (this.#run(queue.shift()!, actor, nowMs) === 'asynchronous') return
    }
    this.#busy.delete(actor.id)
  }

  #run(turn: Turn, actor: CachedActor, nowMs: number): Ran {
    const work = workOfTurn(turn)
    this.#work -= work
    if (nowMs > turn.deadlineMs) {
      this.#fail(turn, { code: 'RETRY', message: 'its deadline passed while it waited; nothing happened' })
      return 'done'
    }
    if (!this.#mailbox.mayBegin) {
      this.#returned()
      this.#answer(turn, this.#mailbox.refuse('uncommitted', nowMs))
      return 'done'
    }
    turn.actor = actor
    this.#slices.begin(work)
    actor.turns++
    const how = this.#runner.run(turn, actor)
    // What comes for its key meanwhile waits behind it.
    if (how === 'asynchronous' && !this.#busy.has(actor.id)) this.#busy.set(actor.id, [])
    return how
  }

  #complete(turn: Turn, mutations: readonly StateChange[], reply: Uint8Array): void {
    turn.finished = true
    turn.span?.enter('commit')
    this.#mailbox.letGoOfInput(turn)
    this.#returned()
    this.#options.finish(new FinishedTurn(turn, mutations, reply))
  }

  #fail(turn: Turn, error: WireError): void {
    this.#returned()
    this.#options.meter?.failed(error.code)
    turn.span?.enter(undefined)
    const { afterCommits, at } = this.#options
    afterCommits((certain) => this.#answer(turn, certain ? { kind: 'error', error, at: at() } : notExecuted))
  }

  #returned(): void {
    if (--this.#unfinished === 0) this.#onIdle?.()
  }
}

const workOfTurn = ({ input }: Turn): number => workOf(input.length)

const nothing = encodeValue(null)
