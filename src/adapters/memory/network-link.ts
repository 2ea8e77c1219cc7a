/**
 * A link with latency and faults, over injected clocks and chance: with a virtual clock and a seed the same world every time.
 *
 * N1. What runs at the node runs by the node's own clock: a frozen node gets it when it is thawed, a crashed one never.
 * N2. When the link is cut, of what is under way to the server a first part still arrives (chance decides how much), as bytes that
 *     were in the network do, before the server notices; of what is under way to the node, what arrives before the node notices.
 * N3. A direction that is stalled holds what is sent, as TCP does where packets of one direction are lost: it arrives in its order once
 *     that is over, and never if the link breaks first.
 * N4. Whatever is drawn, one direction stays first in, first out; so messages of one link overtake those of another, never each other.
 *     Only what is doubled (`duplicateProbability`) comes out of its order: more than a transport may do to its users (T of the port).
 * N5. Where a slow network has recovered, `hurry` brings what it held up; else everything that is sent later would wait behind that (N4).
 */
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Random } from '../../ports/random.ts'
import type { Subscription } from '../../ports/transport.ts'
import type { Link } from './link.ts'

export interface NetworkLinkOptions {
  /** The clock of the server's process. */
  readonly server: Clock
  /** The clock of the node's process. */
  readonly node: Clock
  readonly random: Random
  /** One way, from and to below, in ms. Default 0.1 … 1. */
  readonly latencyMs?: readonly [low: number, high: number]
}

export class NetworkLink implements Link {
  /** One way, from and to below, in ms. */
  latencyMs: readonly [low: number, high: number]
  /** Added to every latency: a slow network. Default 0. */
  delayMs = 0
  /** Each message is lost with this probability, in each direction. Default 0. */
  dropProbability = 0
  /** Each run is late by up to `strayMs` with this probability, and holds up what follows it. Default 0. */
  strayProbability = 0
  strayMs = 200
  /** Each message to the server arrives a second time with this probability, up to `duplicateMs` later. Default 0. */
  duplicateProbability = 0
  duplicateMs = 500

  readonly #options: NetworkLinkOptions
  readonly #outbound: Pipe
  readonly #inbound: Pipe
  readonly #nodeListeners = new Set<(up: boolean) => void>()
  readonly #serverListeners = new Set<(up: boolean) => void>()
  /** The wire itself. */
  #whole = true
  #healing = false
  /** Grows with each cut and heal; what waits for an older one is void. */
  #life = 0
  /** Grows with each cut and each new connection. The server notices also where the node is healed and never comes. */
  #connection = 0
  #nodeUp = true
  #serverUp = true

  constructor(options: NetworkLinkOptions) {
    this.#options = options
    this.latencyMs = options.latencyMs ?? [0.1, 1]
    this.#outbound = new Pipe(options.server)
    this.#inbound = new Pipe(options.node)
  }

  get up(): boolean {
    return this.#nodeUp
  }

  toServer(run: () => void, laterMs = 0): void {
    if (this.#nodeUp && this.#whole) this.#outbound.send(run, this.#drawMs() + laterMs)
  }

  toNode(run: () => void): void {
    if (this.#serverUp && this.#whole) this.#inbound.send(run, this.#drawMs())
  }

  loses(): boolean {
    return this.dropProbability > 0 && this.#options.random.next() < this.dropProbability
  }

  maybeAgain(run: () => void): void {
    const { random, server } = this.#options
    if (this.duplicateProbability === 0 || !this.#nodeUp || !this.#whole) return
    if (random.next() >= this.duplicateProbability) return
    const life = this.#life
    const laterMs = this.#drawMs() + random.next() * this.duplicateMs
    server.setTimeout(() => life === this.#life && run(), laterMs)
  }

  onNode(listener: (up: boolean) => void): Subscription {
    this.#nodeListeners.add(listener)
    return { close: () => void this.#nodeListeners.delete(listener) }
  }

  onServer(listener: (up: boolean) => void): Subscription {
    this.#serverListeners.add(listener)
    return { close: () => void this.#serverListeners.delete(listener) }
  }

  /**
   * Stalls one direction until `resume` (N3). Where that takes longer than `breakAfterMs` the link is cut, and both ends notice; default: it
   * never is.
   */
  stall(direction: 'toServer' | 'toNode', { breakAfterMs }: { readonly breakAfterMs?: number } = {}): void {
    if (!this.#whole) return
    const pipe = direction === 'toServer' ? this.#outbound : this.#inbound
    const stall = pipe.stall()
    if (breakAfterMs === undefined) return
    const life = this.#life
    this.#options.server.setTimeout(() => life === this.#life && pipe.stalledBy(stall) && this.cut(), breakAfterMs)
  }

  /** Lets both directions go on. A link that broke meanwhile stays broken until `heal`. */
  resume(): void {
    this.#outbound.resume()
    this.#inbound.resume()
  }

  /** What is under way arrives within one latency, in its order (N5). */
  hurry(): void {
    const [, withinMs] = this.latencyMs
    this.#outbound.hurry(withinMs)
    this.#inbound.hurry(withinMs)
  }

  /** Breaks the link. Both ends notice after `noticeAfterMs` (default 0: at once); until then they send into the void. */
  cut({ noticeAfterMs = 0 }: { readonly noticeAfterMs?: number } = {}): void {
    if (!this.#whole && !this.#healing) return
    this.#whole = false
    this.#healing = false
    const life = ++this.#life
    const connection = ++this.#connection
    this.#outbound.loseSomeTail(this.#options.random)
    this.#outbound.resume()
    const serverAfterMs = Math.max(noticeAfterMs, this.#outbound.emptyInMs)
    this.#options.server.setTimeout(() => connection === this.#connection && this.#serverNotices(), serverAfterMs)
    this.#options.node.setTimeout(() => life === this.#life && this.#nodeNotices(), noticeAfterMs)
    this.#inbound.resume()
  }

  /** Mends it: the node connects again, as soon as it runs. */
  heal(): void {
    if (this.#whole || this.#healing) return
    this.#healing = true
    const life = ++this.#life
    this.#options.node.setTimeout(() => {
      if (life !== this.#life) return
      this.#nodeNotices()
      this.#options.server.setTimeout(() => life === this.#life && this.#welcome(life), this.#drawMs())
    }, this.#drawMs())
  }

  #welcome(life: number): void {
    this.#connection++
    this.#serverNotices()
    this.#whole = true
    this.#healing = false
    this.#serverUp = true
    tell(this.#serverListeners, true)
    this.#inbound.send(() => {
      if (life !== this.#life) return
      this.#nodeUp = true
      tell(this.#nodeListeners, true)
    }, this.#drawMs())
  }

  #serverNotices(): void {
    if (!this.#serverUp) return
    this.#serverUp = false
    tell(this.#serverListeners, false)
  }

  #nodeNotices(): void {
    if (!this.#nodeUp) return
    this.#nodeUp = false
    this.#inbound.loseAll()
    tell(this.#nodeListeners, false)
  }

  #drawMs(): number {
    const [low, high] = this.latencyMs
    const { random } = this.#options
    const drawnMs = this.delayMs + low + random.next() * (high - low)
    if (this.strayProbability === 0 || random.next() >= this.strayProbability) return drawnMs
    return drawnMs + random.next() * this.strayMs
  }
}

/** A listener may close itself or others while it is told. */
function tell(listeners: ReadonlySet<(up: boolean) => void>, up: boolean): void {
  for (const listener of [...listeners]) listener(up)
}

/** What is under way in one direction. */
interface Passage {
  /** Null once it is lost. */
  run: (() => void) | null
  atMs: number
  timer: Timer | undefined
}

/** One direction: first in, first out, whatever latencies are drawn. */
class Pipe {
  readonly #clock: Clock
  #waiting: Passage[] = []
  #lastAtMs = 0
  #stalled = false
  #stalls = 0
  /** Runs that have come to the end of a stalled pipe. */
  #held = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  send(run: () => void, latencyMs: number): void {
    this.#lastAtMs = Math.max(this.#lastAtMs, this.#clock.monotonic() + latencyMs)
    const passage: Passage = { run, atMs: this.#lastAtMs, timer: undefined }
    this.#waiting.push(passage)
    this.#schedule(passage)
  }

  /** Whether that stall, and not a later one, holds. */
  stalledBy(stall: number): boolean {
    return this.#stalled && stall === this.#stalls
  }

  /** Its number. One that is stalled stays in the stall that it is in. */
  stall(): number {
    if (!this.#stalled) this.#stalls++
    this.#stalled = true
    return this.#stalls
  }

  resume(): void {
    if (!this.#stalled) return
    this.#stalled = false
    // What is sent from now on comes to its end later than this.
    for (; this.#held > 0; this.#held--) this.#clock.setTimeout(() => this.#arrive(), 0)
    this.#lastAtMs = Math.max(this.#lastAtMs, this.#clock.monotonic())
  }

  hurry(withinMs: number): void {
    const latestMs = this.#clock.monotonic() + withinMs
    for (const passage of this.#waiting) {
      if (passage.atMs <= latestMs) continue
      this.#clock.clearTimeout(passage.timer)
      passage.atMs = latestMs
      this.#schedule(passage)
    }
    this.#lastAtMs = Math.min(this.#lastAtMs, latestMs)
  }

  /** When the last of what is under way, and is not lost, arrives. */
  get emptyInMs(): number {
    const last = this.#waiting.findLast(({ run }) => run !== null)
    return last === undefined ? 0 : Math.max(0, last.atMs - this.#clock.monotonic())
  }

  #schedule(passage: Passage): void {
    passage.timer = this.#clock.setTimeout(() => this.#arrive(), passage.atMs - this.#clock.monotonic())
  }

  #arrive(): void {
    if (this.#stalled) this.#held++
    else this.#waiting.shift()?.run?.()
  }

  loseSomeTail(random: Random): void {
    const kept = Math.floor(random.next() * (this.#waiting.length + 1))
    for (const lost of this.#waiting.slice(kept)) lost.run = null
  }

  loseAll(): void {
    for (const lost of this.#waiting) lost.run = null
  }
}
