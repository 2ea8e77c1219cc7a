/**
 * A link with latency and faults, over injected clocks and chance: with a virtual clock and a seed the same world every time.
 *
 * N1. What runs at the node runs by the node's own clock: a frozen node gets it when it is thawed, a crashed one never.
 * N2. When the link is cut, of what is under way to the server a first part still arrives (chance decides how much), as bytes that
 *     were in the network do; of what is under way to the node, what arrives before the node notices.
 */
import type { Clock } from '../../ports/clock.ts'
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

  onNode(listener: (up: boolean) => void): Subscription {
    this.#nodeListeners.add(listener)
    return { close: () => void this.#nodeListeners.delete(listener) }
  }

  onServer(listener: (up: boolean) => void): Subscription {
    this.#serverListeners.add(listener)
    return { close: () => void this.#serverListeners.delete(listener) }
  }

  /** Breaks the link. Both ends notice after `noticeAfterMs` (default 0: at once); until then they send into the void. */
  cut({ noticeAfterMs = 0 }: { readonly noticeAfterMs?: number } = {}): void {
    if (!this.#whole && !this.#healing) return
    this.#whole = false
    this.#healing = false
    const life = ++this.#life
    this.#outbound.loseSomeTail(this.#options.random)
    this.#options.server.setTimeout(() => life === this.#life && this.#serverNotices(), noticeAfterMs)
    this.#options.node.setTimeout(() => life === this.#life && this.#nodeNotices(), noticeAfterMs)
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
    return this.delayMs + low + this.#options.random.next() * (high - low)
  }
}

/** A listener may close itself or others while it is told. */
function tell(listeners: ReadonlySet<(up: boolean) => void>, up: boolean): void {
  for (const listener of [...listeners]) listener(up)
}

/** One direction: first in, first out, whatever latencies are drawn. */
class Pipe {
  readonly #clock: Clock
  #waiting: { run: (() => void) | null }[] = []
  #lastAtMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  send(run: () => void, latencyMs: number): void {
    const nowMs = this.#clock.monotonic()
    this.#lastAtMs = Math.max(this.#lastAtMs, nowMs + latencyMs)
    this.#waiting.push({ run })
    this.#clock.setTimeout(() => this.#waiting.shift()?.run?.(), this.#lastAtMs - nowMs)
  }

  loseSomeTail(random: Random): void {
    const kept = Math.floor(random.next() * (this.#waiting.length + 1))
    for (const lost of this.#waiting.slice(kept)) lost.run = null
  }

  loseAll(): void {
    for (const lost of this.#waiting) lost.run = null
  }
}
