/**
 * A task's stream, read once on each node, for all partitions of the task that this node owns.
 *
 * R1. One reading at a time, from behind the lowest position of its lanes on. Each message goes to the lane of its key's partition, if that
 *     is here; a lane passes over what it has been offered before.
 * R2. A lane that comes ends the reading; the next one begins low enough for it. Before each reading the stream is looked at, and every lane
 *     judges whether it is still its stream (lane.ts, L6). How far the stream was read is said of the lanes of a reading alone, from its
 *     beginning to its end: another one may be far behind.
 * R3. A lane that is full makes the reading wait. One that fails at a message, or has one that takes long, would make it wait for long, or
 *     for ever: it is set aside, the reading goes on without it, and when it has recovered another one begins where it stopped.
 * R4. Whatever interrupts a reading is told, once for each reason, and after a growing pause another one begins.
 */
import type { TaskDefinition } from '../behaviour/task.ts'
import type { Clock } from '../ports/clock.ts'
import type { InputMessage, InputReading, Inputs } from '../ports/inputs.ts'
import type { Observer } from '../ports/observer.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import type { PartitionId } from '../protocol/ids.ts'
import type { Lane, Source } from './lane.ts'
import { taskMessage } from './message.ts'

export interface StreamSourceOptions {
  readonly definition: TaskDefinition
  readonly stream: string
  readonly filter: string | undefined
  readonly from: 'first' | 'new'
  readonly partitions: number
  readonly inputs: Inputs
  readonly clock: Clock
  readonly observer: Observer
}

/** Lanes come together: a node that starts gets its partitions one after the other. */
const gatherMs = 20
const firstPauseMs = 100
const longestPauseMs = 5_000

export class StreamSource implements Source {
  readonly #options: StreamSourceOptions
  readonly #lanes = new Map<PartitionId, Lane>()
  /** Those that get the messages of the present reading. */
  readonly #active = new Set<Lane>()
  /** R3 */
  readonly #aside = new Set<Lane>()
  #reading: InputReading | undefined
  /** Another reading is wanted. */
  #stale = true
  /** The last sequence whose message has been offered. */
  #at = 0
  #failures = 0
  #told: string | undefined
  #closed = false
  #wake: (() => void) | undefined

  constructor(options: StreamSourceOptions) {
    this.#options = options
    void this.#run()
  }

  attach(lane: Lane): void {
    this.#lanes.set(lane.partition, lane)
    this.#aside.delete(lane)
    this.#begin()
  }

  detach(lane: Lane): void {
    if (this.#lanes.get(lane.partition) === lane) this.#lanes.delete(lane.partition)
    this.#aside.delete(lane)
    if (this.#active.delete(lane) && this.#active.size === 0) this.#begin()
  }

  readUpTo(lane: Lane): number {
    return this.#active.has(lane) ? this.#at : 0
  }

  close(): void {
    this.#closed = true
    this.#begin()
  }

  #begin(): void {
    this.#stale = true
    this.#reading?.close()
    this.#wake?.()
  }

  /** Rejects never. */
  async #run(): Promise<void> {
    while (!this.#closed) {
      const wanted = [...this.#lanes.values()].some((lane) => !this.#aside.has(lane))
      if (!wanted || !this.#stale) {
        await new Promise<void>((resolve) => (this.#wake = resolve))
        continue
      }
      await this.#pause(gatherMs)
      this.#stale = false
      try {
        await this.#read()
      } catch (error) {
        if (this.#closed) return
        this.#stale = true
        this.#tell(messageOf(error))
        await this.#pause(Math.min(firstPauseMs * 2 ** this.#failures++, longestPauseMs))
      }
    }
  }

  async #read(): Promise<void> {
    const { inputs, stream, filter, from } = this.#options
    const info = await inputs.info(stream)
    if (info === null) throw new HoldfastError('NOT_FOUND', `there is no stream ${stream}: create it`)
    const lanes = [...this.#lanes.values()].filter((lane) => !this.#aside.has(lane) && lane.meet(stream, info, from))
    if (lanes.length === 0 || this.#stale) return
    this.#at = Math.min(...lanes.map(({ taken }) => taken))
    const reading = inputs.read({ stream, from: this.#at + 1, ...(filter === undefined ? {} : { filter }) })
    this.#reading = reading
    for (const lane of lanes) this.#active.add(lane)
    try {
      for (let message = await reading.next(); message !== undefined; message = await reading.next()) {
        this.#failures = 0
        this.#told = undefined
        await this.#give(message)
        this.#at = message.seq
        if (this.#stale) return
      }
    } finally {
      this.#reading = undefined
      reading.close()
      for (const lane of this.#active) lane.passed(this.#at)
      this.#active.clear()
    }
  }

  async #give(message: InputMessage): Promise<void> {
    const { definition, partitions } = this.#options
    const arrived = taskMessage(definition, message, partitions)
    const lane = this.#lanes.get(arrived.partition)
    if (lane === undefined) return
    while (lane.full && this.#active.has(lane)) {
      if (lane.stuck) this.#setAside(lane)
      else await lane.room()
    }
    if (this.#active.has(lane)) lane.offer(arrived)
  }

  #setAside(lane: Lane): void {
    this.#active.delete(lane)
    this.#aside.add(lane)
    void lane.recovered().then(() => {
      if (this.#aside.delete(lane)) this.#begin()
    })
  }

  #tell(reason: string): void {
    if (reason === this.#told) return
    this.#told = reason
    const { observer, definition } = this.#options
    observer.emit({ type: 'task.trouble', task: definition.name, reason })
  }

  /** Ends early when this is closed. */
  async #pause(ms: number): Promise<void> {
    const { clock } = this.#options
    let over = false
    const timer = clock.setTimeout(() => {
      over = true
      this.#wake?.()
    }, ms)
    while (!over && !this.#closed) await new Promise<void>((resolve) => (this.#wake = resolve))
    clock.clearTimeout(timer)
  }
}
