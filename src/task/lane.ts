/**
 * One task in one partition, for as long as this node owns it: messages come in at one end, units go out at the other.
 *
 * L1. Messages are processed one after the other, in the order in which they are offered; the next one begins from the outcome of those
 *     before it, committed or not. A message that is not above the position is passed over, so none counts twice.
 * L2. Position and effect are in one unit (instance.ts, I1), and units enter the log in the order of their messages: whatever the log has,
 *     it has the effect of every message up to the position once, and of none behind it.
 * L3. What throws leaves nothing but an event. It is tried again after growing pauses, and what is behind it waits; or it is skipped: then
 *     its unit is its position alone.
 * L4. Bounded: messages that wait, and units that are not committed. Beyond either it takes no more for the time being.
 * L5. A partition that gets no messages commits now and then how far the stream has been read, so that nobody has to read it again.
 * L6. Another stream than the one that the position is of, or one that has lost what was processed, stops it with an event: it never goes on
 *     as though nothing had happened.
 * L7. After `end` nothing of it counts; after `rest` has resolved it makes no unit any more. Each instance is closed once, also one whose
 *     `init` failed, before the next one is made; unless the process dies.
 */
import type { TaskDefinition } from '../behaviour/task.ts'
import type { OwnedPartition } from '../partition/tenant.ts'
import type { Unit } from '../partition/unit.ts'
import type { InputInfo } from '../ports/inputs.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Timer } from '../ports/clock.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import type { PartitionId } from '../protocol/ids.ts'
import { Instance } from './instance.ts'
import type { TaskMessage } from './message.ts'
import { OpenUnits } from './open-units.ts'
import type { OutputRules } from './outputs.ts'
import { decodePosition, encodePosition, positionType, strangeness, type Position } from './position.ts'
import { Signal } from './signal.ts'

/** Where the messages of a task come from, on one node. */
export interface Source {
  attach(lane: Lane): void
  detach(lane: Lane): void
  /** The last sequence up to which the lane has been offered all that is its own, if that can be said. */
  readUpTo(lane: Lane): number
}

export interface LaneOptions {
  readonly definition: TaskDefinition
  readonly owned: OwnedPartition
  readonly source: Source
  readonly observer: Observer
  readonly outputRules: () => OutputRules
}

/** Messages and their bytes that wait, at most. */
const mostWaiting = 256
const mostWaitingBytes = 4 * 1_024 * 1_024
const firstPauseMs = 100
const longestPauseMs = 30_000
const advanceEveryMs = 5_000
const slowAfterMs = 30_000

export class Lane {
  readonly #options: LaneOptions
  readonly #instanceOptions: ConstructorParameters<typeof Instance>[0]
  #waiting: TaskMessage[] = []
  #waitingBytes = 0
  /** As the last unit has it. */
  #position: Position | undefined
  /** Up to here the source has offered what is this lane's. */
  #taken = 0
  #met = false
  #busy = false
  #failing = false
  #slow = false
  #plainMessages = 0
  #state: 'living' | 'resting' | 'ended' = 'living'
  #crashed = false
  /** Lets go of what is being processed. */
  #abandon: (() => void) | undefined
  /** Changes whenever anybody who waits in here should look again. */
  readonly #signal = new Signal()
  readonly #open = new OpenUnits(this.#signal)
  #advancing: Timer | undefined
  #beQuiet!: () => void
  /** Resolves once no unit can come any more. */
  readonly #quiet = new Promise<void>((resolve) => (this.#beQuiet = resolve))
  readonly #done: Promise<void>

  constructor(options: LaneOptions) {
    this.#options = options
    this.#instanceOptions = { ...options, settled: () => this.#settled() }
    this.#done = this.#live()
  }

  get partition(): PartitionId {
    return this.#options.owned.partition
  }

  /** Up to here it has been offered what is its own. */
  get taken(): number {
    return this.#taken
  }

  /** A message is being tried again, or takes long: what waits behind it may wait for long. */
  get stuck(): boolean {
    return this.#failing || this.#slow
  }

  get full(): boolean {
    return this.#waiting.length >= mostWaiting || this.#waitingBytes >= mostWaitingBytes
  }

  metrics(): readonly Metric[] {
    return [
      gauge('holdfast_task_messages', this.#waiting.length, mostWaiting),
      gauge('holdfast_task_message_bytes', this.#waitingBytes, mostWaitingBytes),
      ...this.#open.metrics(),
    ]
  }

  /** Resolves once the instance is closed, or is not to be. */
  get done(): Promise<void> {
    return this.#done
  }

  /** The stream as it is now, before anything of it is offered. False: it is not for this lane, which has stopped (L6). */
  meet(stream: string, info: InputInfo, from: 'first' | 'new'): boolean {
    if (this.#state !== 'living') return false
    const { observer, definition } = this.#options
    const known = this.#position
    if (known === undefined) {
      this.#advance({ stream, created: info.created, seq: from === 'new' ? info.last : info.first - 1 })
    } else {
      const wrong = strangeness(known, stream, info)
      if (wrong !== undefined) {
        this.#stop(`${wrong}: give the task another name to begin anew`)
        return false
      }
    }
    if (info.first > this.#taken + 1) {
      const [seen, to] = [this.#taken + 1, info.first - 1]
      observer.emit({ type: 'task.gap', task: definition.name, partition: this.partition, from: seen, to })
      this.#taken = to
    }
    if (!this.#met) {
      this.#met = true
      this.#serving(this.#position!.seq)
      this.#advanceLater()
    }
    return true
  }

  /** Takes a message; call it only while it is not `full`. */
  offer(message: TaskMessage): void {
    const { seq, bytes } = message
    if (seq !== null) {
      if (seq <= this.#taken) return
      this.#taken = seq
    }
    if (this.#state !== 'living') return
    this.#waiting.push(message)
    this.#waitingBytes += bytes
    this.#signal.change()
  }

  /** All that is its own up to there has been offered. */
  passed(seq: number): void {
    if (seq > this.#taken) this.#taken = seq
  }

  /** Resolves once it is not full, is stuck, or has ended. */
  async room(): Promise<void> {
    while (this.#state === 'living' && this.full && !this.stuck) await this.#signal.next()
  }

  /** Resolves once it is no longer stuck and the half of what waited is gone, or it has ended. */
  async recovered(): Promise<void> {
    const waits = () => this.stuck || 2 * this.#waiting.length > mostWaiting
    while (this.#state === 'living' && waits()) await this.#signal.next()
  }

  /** L7. What waits of a stream is for the next owner; of a plain subject it would be lost. */
  rest(): Promise<void> {
    if (this.#state === 'living') {
      this.#state = 'resting'
      this.#options.source.detach(this)
      if (this.#options.definition.input.stream !== undefined || this.#failing) this.#drain()
      this.#signal.change()
    }
    return this.#quiet
  }

  end(): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#options.owned.clock.clearTimeout(this.#advancing)
    this.#options.source.detach(this)
    this.#drain()
    this.#abandon?.()
    this.#beQuiet()
    this.#signal.change()
  }

  /** As if the process were killed: nothing of the user's is called any more. */
  crash(): void {
    this.#crashed = true
    this.end()
  }

  get #ended(): boolean {
    return this.#state === 'ended'
  }

  #drain(): void {
    this.#waiting = []
    this.#waitingBytes = 0
  }

  /** Rejects never. */
  async #live(): Promise<void> {
    let instance: Instance | undefined
    try {
      await this.#loadPosition()
      instance = await this.#begin()
      if (instance === undefined) return
      this.#options.source.attach(this)
      if (this.#options.definition.input.stream === undefined) this.#serving(null)
      for (let message = await this.#next(); message !== undefined; message = await this.#next()) {
        await this.#handle(instance, message)
      }
    } catch (error) {
      this.#stop(messageOf(error))
    } finally {
      this.#options.source.detach(this)
      this.#options.owned.clock.clearTimeout(this.#advancing)
      this.#beQuiet()
      if (instance !== undefined) await this.#close(instance)
    }
  }

  async #loadPosition(): Promise<void> {
    const unit = this.#options.owned.unit()
    try {
      const { state } = await unit.read(positionType, this.#options.definition.name)
      if (state !== null) this.#position = decodePosition(state)
      this.#taken = this.#position?.seq ?? 0
    } finally {
      unit.drop()
    }
  }

  /** The instance, once its `init` is through. */
  async #begin(): Promise<Instance | undefined> {
    for (let attempt = 1; this.#state === 'living'; attempt++) {
      const unit = this.#options.owned.unit()
      let instance: Instance | undefined
      try {
        instance = new Instance(this.#instanceOptions)
        await this.#watched(instance.init(unit), 'init')
        if (!this.#ended) this.#commit(unit)
        return instance
      } catch (error) {
        this.#failed(null, attempt, false, error)
        if (instance !== undefined) await this.#close(instance)
        await this.#pause(attempt)
      } finally {
        unit.drop()
      }
    }
    return undefined
  }

  async #next(): Promise<TaskMessage | undefined> {
    while (this.#waiting.length === 0 && this.#state === 'living') await this.#signal.next()
    while (this.#open.full && !this.#ended) await this.#signal.next()
    const message = this.#waiting.shift()
    if (message === undefined) return undefined
    this.#waitingBytes -= message.bytes
    this.#signal.change()
    return message
  }

  async #handle(instance: Instance, message: TaskMessage): Promise<void> {
    this.#busy = true
    for (let attempt = 1; !this.#ended; attempt++) {
      if (attempt > 1 && this.#state === 'resting') break
      if (await this.#attempt(instance, message, attempt)) break
    }
    this.#busy = false
    if (this.#failing) {
      this.#failing = false
      this.#signal.change()
    }
  }

  /** Whether the message is done with. */
  async #attempt(instance: Instance, message: TaskMessage, attempt: number): Promise<boolean> {
    const { definition, owned } = this.#options
    const { seq } = message
    const unit = owned.unit()
    try {
      const position = await this.#move(unit, seq)
      const wishes = await this.#watched(instance.process(message, unit, this.#outputId(seq)), `message ${seq ?? ''}`)
      if (this.#ended) return true
      this.#commit(unit, position)
      if (wishes.shutdown) this.#stop('it asked for its shutdown')
      if (wishes.commit) await this.#settled()
      return true
    } catch (error) {
      unit.drop()
      if (this.#ended) return true
      const skipped = definition.onError === 'skip'
      this.#failed(seq, attempt, skipped, error)
      if (skipped) return this.#skip(seq)
      this.#failing = true
      this.#signal.change()
      await this.#pause(attempt)
      return false
    }
  }

  async #skip(seq: number | null): Promise<boolean> {
    const unit = this.#options.owned.unit()
    const position = await this.#move(unit, seq)
    if (position !== undefined && !this.#ended) this.#commit(unit, position)
    unit.drop()
    return true
  }

  /** Writes the position of a message into its unit: first of all, so that there is room for it. */
  async #move(unit: Unit, seq: number | null): Promise<Position | undefined> {
    if (seq === null) return undefined
    const position = { ...this.#position!, seq }
    const state = encodePosition(position)
    await unit.write(positionType, this.#options.definition.name, () => ({ state, expiresAt: null }))
    return position
  }

  #commit(unit: Unit, position?: Position): void {
    if (position !== undefined) this.#position = position
    this.#open.commit(unit)
  }

  /** Moves the position without a message. Something else that moves it meanwhile goes further. */
  #advance(position: Position): void {
    this.#position = position
    if (position.seq > this.#taken) this.#taken = position.seq
    const unit = this.#options.owned.unit()
    const state = encodePosition(position)
    unit
      .write(positionType, this.#options.definition.name, () => ({ state, expiresAt: null }))
      .then(
        () => {
          if (this.#state === 'living' && this.#position === position) this.#commit(unit)
        },
        // The store has failed, which ends the ownership.
        () => {},
      )
      .finally(() => unit.drop())
  }

  /** L5 */
  #advanceLater(): void {
    this.#advancing = this.#options.owned.clock.setTimeout(() => {
      if (this.#state !== 'living') return
      this.passed(this.#options.source.readUpTo(this))
      const idle = !this.#busy && this.#waiting.length === 0
      if (idle && this.#taken > this.#position!.seq) this.#advance({ ...this.#position!, seq: this.#taken })
      this.#advanceLater()
    }, advanceEveryMs)
  }

  async #settled(): Promise<void> {
    while (!this.#open.none && !this.#ended) await this.#signal.next()
    if (this.#ended) throw lost()
  }

  /** What the outputs of a message are named by; that of a plain subject has no number but the one that it gets here. */
  #outputId(seq: number | null): string {
    const { definition, owned, outputRules } = this.#options
    const place = `${outputRules().cluster}.${definition.name}.${owned.partition}`
    return seq === null ? `${place}.${owned.epoch}-${++this.#plainMessages}` : `${place}.${seq}`
  }

  /** Passes a promise on; says from time to time that it is not settled, and lets go of it when the ownership ends. */
  #watched<T>(promise: Promise<T>, what: string): Promise<T> {
    const { owned, observer, definition } = this.#options
    const { clock } = owned
    let timer: Timer | undefined
    const look = () => {
      const reason = `${what} in partition ${this.partition} takes longer than ${slowAfterMs} ms`
      observer.emit({ type: 'task.trouble', task: definition.name, reason })
      this.#slow = true
      this.#signal.change()
      timer = clock.setTimeout(look, slowAfterMs)
    }
    timer = clock.setTimeout(look, slowAfterMs)
    return new Promise<T>((resolve, reject) => {
      this.#abandon = () => reject(lost())
      if (this.#ended) this.#abandon()
      promise.then(resolve, reject)
    }).finally(() => {
      clock.clearTimeout(timer)
      this.#abandon = undefined
      if (!this.#slow) return
      this.#slow = false
      this.#signal.change()
    })
  }

  async #pause(attempt: number): Promise<void> {
    let over = false
    const ms = Math.min(firstPauseMs * 2 ** (attempt - 1), longestPauseMs)
    const { clock } = this.#options.owned
    const timer = clock.setTimeout(() => {
      over = true
      this.#signal.change()
    }, ms)
    while (!over && this.#state === 'living') await this.#signal.next()
    clock.clearTimeout(timer)
  }

  #serving(seq: number | null): void {
    const { observer, definition } = this.#options
    observer.emit({ type: 'task.serving', task: definition.name, partition: this.partition, seq })
  }

  #failed(seq: number | null, attempt: number, skipped: boolean, error: unknown): void {
    if (this.#ended) return
    const { observer, definition } = this.#options
    const reason = messageOf(error)
    observer.emit({
      type: 'task.failed',
      task: definition.name,
      partition: this.partition,
      seq,
      attempt,
      skipped,
      reason,
    })
  }

  #stop(reason: string): void {
    if (this.#ended) return
    const { observer, definition } = this.#options
    observer.emit({ type: 'task.stopped', task: definition.name, partition: this.partition, reason })
    this.#state = 'resting'
    this.#options.source.detach(this)
    this.#drain()
    this.#signal.change()
  }

  async #close(instance: Instance): Promise<void> {
    if (this.#crashed) return
    try {
      await instance.close()
    } catch (error) {
      const { observer, definition } = this.#options
      observer.emit({ type: 'handler.threw', where: `close of task ${definition.name}`, error })
    }
  }
}

const lost = () => new HoldfastError('RETRY', 'this node does not own the partition any more')
