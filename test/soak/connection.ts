/**
 * A connection of TCP to the NATS server, on a network that loses packets:
 *
 * C1. What is sent arrives in its order: what follows a packet that was lost waits for it.
 * C2. A packet that is lost is sent again after 200 ms, 400 after that, then 800 and so on (RFC 6298). Sooner, where others follow it more often than
 *     that: the next one tells that it is missing (RFC 8985), but for one loss in three. connection.test.ts compares it with what was measured.
 * C3. Who is not answered for two to three intervals of a ping gives the connection up and dials another one, as nats.js does: five packets,
 *     of which the first two are waited for for a second when they are lost. All that was on its way to the node is lost.
 */
import type { Clock } from '../../src/ports/clock.ts'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'

export interface Network {
  /** Of everything but the nodes. */
  readonly clock: Clock
  readonly random: SeededRandom
  /** Whether a packet is lost. */
  loses(): boolean
  /** Of a packet that is not, one way. */
  latencyMs(): number
}

const timeoutMs = 200
/** After how long each of its packets is sent again: SYN, its answer, and three of NATS's. */
const dialling = [1_000, 1_000, timeoutMs, timeoutMs, timeoutMs]
/** Of losses that are told of only by time. */
const untold = 0.35
const pingEveryMs = 2_000
const mostPings = 2

export class Connection {
  readonly #network: Network
  /** Of the node: it stalls. */
  readonly #clock: Clock
  readonly #onBroken: () => void
  readonly #there: Direction
  readonly #here: Direction
  #pings = 0
  /** How often it was dialled; what comes by a former one is dropped. */
  #life = 0
  /** Requests without an answer, and what is to be done where there will be none. */
  readonly #open = new Set<() => void>()
  up = true

  constructor(network: Network, clock: Clock, onBroken: () => void = () => {}) {
    this.#network = network
    this.#clock = clock
    this.#onBroken = onBroken
    this.#there = new Direction(network)
    this.#here = new Direction(network)
    this.#pingLater()
  }

  /** Does something at the server, and here when its answer has come, or never will. */
  request<T>(there: () => T, here: (answer: T) => void, failed: () => void): void {
    if (!this.up) return failed()
    this.#open.add(failed)
    const { clock } = this.#network
    clock.setTimeout(() => {
      const answer = there()
      this.receive(() => {
        if (this.#open.delete(failed)) here(answer)
      })
    }, this.#there.delayMs())
  }

  /** Something comes from the server, which sends it now. */
  receive(here: () => void): void {
    if (!this.up) return
    const life = this.#life
    this.#clock.setTimeout(() => {
      if (life === this.#life && this.up) here()
    }, this.#here.delayMs())
  }

  #pingLater(): void {
    this.#clock.setTimeout(() => {
      this.#pingLater()
      if (!this.up) return
      if (this.#pings >= mostPings) return this.#break()
      this.#pings++
      this.request(
        () => {},
        () => (this.#pings = 0),
        () => {},
      )
    }, pingEveryMs)
  }

  /** C3 */
  #break(): void {
    this.up = false
    this.#life++
    const failed = [...this.#open]
    this.#open.clear()
    for (const fail of failed) fail()
    this.#onBroken()
    let dialMs = 0
    for (const againMs of dialling) dialMs += packetMs(this.#network, againMs)
    this.#clock.setTimeout(() => {
      this.up = true
      this.#pings = 0
      this.#there.begin()
      this.#here.begin()
    }, dialMs)
  }
}

export class Direction {
  readonly #network: Network
  #arrivesMs = 0
  #sentMs = Number.NEGATIVE_INFINITY
  /** Between two packets, of late. */
  #gapMs = timeoutMs

  constructor(network: Network) {
    this.#network = network
  }

  /** Ms until what is sent now arrives (C1). */
  delayMs(): number {
    const nowMs = this.#network.clock.monotonic()
    this.#gapMs += 0.1 * (Math.min(nowMs - this.#sentMs, 2 * timeoutMs) - this.#gapMs)
    this.#sentMs = nowMs
    this.#arrivesMs = Math.max(this.#arrivesMs, nowMs + packetMs(this.#network, timeoutMs, this.#gapMs))
    return this.#arrivesMs - nowMs
  }

  /** Of another connection. */
  begin(): void {
    this.#arrivesMs = 0
  }
}

/** C2 */
function packetMs(network: Network, againMs: number, gapMs = Infinity): number {
  let ms = network.latencyMs()
  if (!network.loses()) return ms
  if (gapMs < againMs && !network.random.chance(untold)) {
    do ms += gapMs
    while (network.loses())
    return ms
  }
  let nextMs = againMs
  do {
    ms += nextMs
    nextMs *= 2
  } while (network.loses())
  return ms
}
