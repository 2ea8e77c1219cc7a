/**
 * Time that moves only when it is told to: the simulator's, and of every test that would otherwise sleep.
 *
 * V1. Events fire in the order of their times, and those of one time in the order in which they were asked for.
 * V2. After each event all promise work that it made ready is done before the next event fires (an event is fired from
 *     a callback of its own of the event loop).
 * V3. Nothing here depends on real time or chance: the same events give the same order, always.
 * V4. A `NodeClock` is one process's view: frozen (as by SIGSTOP) none of its events fire, and they fire once it is thawed;
 *     crashed (as by SIGKILL) none ever does. So whatever enters a node must enter through its own clock.
 *
 * Work that waits for the real world (files, sockets) is not seen here: a virtual world has none.
 */
import type { Clock, Timer } from '../../ports/clock.ts'

/** Events at one moment of time, after which the world is taken for one that makes no progress. */
const maxEventsAtOnce = 1_000_000
/** Event-loop callbacks asked for at once: asking singly costs a turn of the event loop for each. */
const stride = 32

class Event {
  readonly atMs: number
  readonly order: number
  /** Null once it fired or was cleared. */
  run: (() => void) | null
  readonly node: NodeClock | null

  constructor(atMs: number, order: number, run: () => void, node: NodeClock | null) {
    this.atMs = atMs
    this.order = order
    this.run = run
    this.node = node
  }
}

export interface VirtualClockOptions {
  /** The wall clock's time at the start, ms since 1970. Default 2024-01-01T00:00:00Z. */
  readonly startMs?: number
}

export class VirtualClock implements Clock {
  readonly #startMs: number
  readonly #queue = new EventQueue()
  #elapsedMs = 0
  #order = 0
  #atOnce = 0
  #fired = 0
  #free = false
  /** What ends the run that is going on, if one is. */
  #running: Run | null = null

  constructor({ startMs = Date.UTC(2024, 0, 1) }: VirtualClockOptions = {}) {
    this.#startMs = startMs
  }

  now(): number {
    return this.#startMs + this.#elapsedMs
  }

  /** Milliseconds since this clock was made. */
  monotonic(): number {
    return this.#elapsedMs
  }

  /** Events that have fired: the same for the same world. */
  get fired(): number {
    return this.#fired
  }

  setTimeout(run: () => void, delayMs: number): Timer {
    return this.schedule(run, delayOf(delayMs), null)
  }

  clearTimeout(timer: Timer | undefined): void {
    if (timer !== undefined) this.#queue.clear(timer as Event)
  }

  defer(run: () => void): void {
    this.schedule(run, 0, null)
  }

  /** The clock of one process of this world. */
  nodeClock(): NodeClock {
    return new NodeClock(this)
  }

  /** For `NodeClock`: an event that belongs to a node. */
  schedule(run: () => void, delayMs: number, node: NodeClock | null): Timer {
    const event = new Event(this.#elapsedMs + delayMs, this.#order++, run, node)
    this.#queue.push(event)
    if (this.#free && this.#running === null) this.#begin(new Run(null, Number.POSITIVE_INFINITY))
    return event as Timer
  }

  /** Moves time by so many milliseconds, firing all that is due meanwhile. */
  async advance(ms: number): Promise<void> {
    await this.#whileStopped(new Run(null, this.#elapsedMs + delayOf(ms)))
  }

  /**
   * Fires events until `done()` is true (asked before the first event and after each one's promise work). Rejects, at the
   * limit, where it is still false after `limitMs` of virtual time.
   */
  async runUntil(done: () => boolean, limitMs: number): Promise<void> {
    const reached = await this.#whileStopped(new Run(done, this.#elapsedMs + delayOf(limitMs)))
    if (!reached) throw new Error(`what was waited for did not happen within ${limitMs} ms of virtual time`)
  }

  /** Fires events until the promise is settled, and settles as it did. Rejects where it is not within `limitMs`. */
  async settle<T>(promise: Promise<T>, limitMs: number): Promise<T> {
    let settled = false
    const mark = () => {
      settled = true
    }
    promise.then(mark, mark)
    await this.runUntil(() => settled, limitMs)
    return promise
  }

  /** From now on time runs by itself, as fast as events fire; it stands still while there are none. */
  start(): void {
    this.#free = true
    if (this.#running === null) this.#begin(new Run(null, Number.POSITIVE_INFINITY))
  }

  /** Ends what `start` began, after the present event. */
  stop(): void {
    this.#free = false
    this.#running?.end(false)
    this.#running = null
  }

  #whileStopped(run: Run): Promise<boolean> {
    if (this.#running !== null)
      throw new Error('this clock is being moved already: await one advance before the next, or stop() it')
    this.#begin(run)
    return run.ended
  }

  #begin(run: Run): void {
    this.#running = run
    this.#atOnce = 0
    const step = () => {
      if (this.#running !== run) return
      try {
        this.#step(run)
      } catch (error) {
        this.#running = null
        run.fail(error)
      }
      if (this.#running === run && --asked === 0) ask()
    }
    let asked = 0
    const ask = () => {
      asked = stride
      for (let i = 0; i < stride; i++) setImmediate(step)
    }
    ask()
  }

  #step(run: Run): void {
    if (run.done !== null && run.done()) return this.#finish(run, true)
    const event = this.#queue.peek()
    if (event === undefined || event.atMs > run.untilMs) {
      if (Number.isFinite(run.untilMs)) this.#elapsedMs = run.untilMs
      return this.#finish(run, false)
    }
    this.#queue.pop()
    if (event.atMs > this.#elapsedMs) {
      this.#elapsedMs = event.atMs
      this.#atOnce = 0
    } else if (++this.#atOnce > maxEventsAtOnce) {
      throw new Error(
        `${maxEventsAtOnce} events fired while virtual time stood at ${this.#elapsedMs} ms: something defers itself for ever`,
      )
    }
    const call = event.run
    if (call === null) return
    if (event.node !== null && event.node.hold(event)) return
    event.run = null
    this.#fired++
    call()
  }

  #finish(run: Run, reached: boolean): void {
    this.#running = null
    run.end(reached)
  }
}

/** One process's view of a virtual clock (V4). */
export class NodeClock implements Clock {
  readonly #world: VirtualClock
  #state: 'running' | 'frozen' | 'crashed' = 'running'
  #held: Event[] = []
  #skewMs = 0
  #driftPpm = 0
  /** Since when it drifts so, ms of the world. */
  #driftsFromMs = 0

  constructor(world: VirtualClock) {
    this.#world = world
  }

  get state(): 'running' | 'frozen' | 'crashed' {
    return this.#state
  }

  /** How far the wall clock of this process is ahead of the world's. Set it at any time: the wall clock jumps. Default 0. */
  get skewMs(): number {
    return this.#skewMs + (this.#driftPpm * (this.#world.monotonic() - this.#driftsFromMs)) / 1_000_000
  }

  set skewMs(ms: number) {
    this.#skewMs = ms
    this.#driftsFromMs = this.#world.monotonic()
  }

  /** How much faster than the world's the wall clock of this process goes, in millionths. The monotonic one never drifts. Default 0. */
  set driftPpm(ppm: number) {
    this.#skewMs = this.skewMs
    this.#driftsFromMs = this.#world.monotonic()
    this.#driftPpm = ppm
  }

  now(): number {
    return this.#world.now() + this.skewMs
  }

  monotonic(): number {
    return this.#world.monotonic()
  }

  setTimeout(run: () => void, delayMs: number): Timer {
    return this.#schedule(run, delayOf(delayMs))
  }

  clearTimeout(timer: Timer | undefined): void {
    this.#world.clearTimeout(timer)
  }

  defer(run: () => void): void {
    this.#schedule(run, 0)
  }

  /** Stops the process where it stands; its clocks go on. */
  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen'
  }

  /** Lets it go on: all that came due meanwhile fires now, in its order. */
  thaw(): void {
    if (this.#state !== 'frozen') return
    this.#state = 'running'
    const held = this.#held
    this.#held = []
    for (const event of held) {
      const run = event.run
      if (run !== null) this.#schedule(() => event.run !== null && run(), 0)
    }
  }

  /** Ends the process: nothing of it runs any more. */
  crash(): void {
    this.#state = 'crashed'
    this.#held = []
  }

  /** For `VirtualClock`: true if the event is not to fire now. */
  hold(event: Event): boolean {
    if (this.#state === 'running') return false
    if (this.#state === 'frozen') this.#held.push(event)
    return true
  }

  #schedule(run: () => void, delayMs: number): Timer {
    return this.#world.schedule(run, delayMs, this)
  }
}

/** One call of `advance`, `runUntil` or `start`. */
class Run {
  readonly done: (() => boolean) | null
  readonly untilMs: number
  readonly ended: Promise<boolean>
  end!: (reached: boolean) => void
  fail!: (error: unknown) => void

  constructor(done: (() => boolean) | null, untilMs: number) {
    this.done = done
    this.untilMs = untilMs
    this.ended = new Promise((resolve, reject) => {
      this.end = resolve
      this.fail = reject
    })
  }
}

/** A binary heap by (time, order). Cleared events stay until they come up, or until they are the larger part. */
class EventQueue {
  #heap: Event[] = []
  #cleared = 0

  peek(): Event | undefined {
    return this.#heap[0]
  }

  push(event: Event): void {
    const heap = this.#heap
    heap.push(event)
    this.#rise(heap.length - 1)
  }

  pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      this.#sink(0)
    }
  }

  clear(event: Event): void {
    if (event.run === null) return
    event.run = null
    if (++this.#cleared < 4_096 || this.#cleared * 2 < this.#heap.length) return
    this.#cleared = 0
    this.#heap = this.#heap.filter((kept) => kept.run !== null).sort((a, b) => (before(a, b) ? -1 : 1))
  }

  #rise(at: number): void {
    const heap = this.#heap
    const event = heap[at]!
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #sink(at: number): void {
    const heap = this.#heap
    const event = heap[at]!
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, event)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = event
  }
}

const before = (a: Event, b: Event) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

function delayOf(delayMs: number): number {
  if (!Number.isFinite(delayMs)) throw new RangeError(`a delay is a finite number of milliseconds, not ${delayMs}`)
  return Math.max(0, delayMs)
}
