/**
 * The way between one node and one server, both in this process: what goes to the server runs there, what comes back runs
 * at the node, in order of the calls in each direction.
 *
 * K1. Neither `toServer` nor `toNode` loses a run while the link is up; a run that is under way when the link breaks may be lost.
 * K2. The node learns of a break and of the return by `onNode`, the server by `onServer`, each in its own time.
 * K3. Nothing that was sent to the node before a break arrives after the node has learnt of it.
 */
import type { Clock } from '../../ports/clock.ts'
import type { Subscription } from '../../ports/transport.ts'

export interface Link {
  /** As far as the node knows. */
  readonly up: boolean
  /** `laterMs`: that much longer under way than usual; what is sent after it waits behind it. */
  toServer(run: () => void, laterMs?: number): void
  toNode(run: () => void): void
  /** True if the message to be sent now is to be lost by chance. */
  loses(): boolean
  /** By chance: runs it at the server once more, a while after. What is sent meanwhile does not wait for it. */
  maybeAgain(run: () => void): void
  onNode(listener: (up: boolean) => void): Subscription
  onServer(listener: (up: boolean) => void): Subscription
}

/**
 * The link of an embedded node: the server is called at once, the node in a tick of its own. It never breaks.
 * What is under way is bounded by what one tick of this process sends.
 */
export class DirectLink implements Link {
  readonly up = true
  readonly #clock: Clock
  #waiting: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  toServer(run: () => void): void {
    run()
  }

  toNode(run: () => void): void {
    if (this.#waiting.push(run) > 1) return
    this.#clock.defer(() => {
      const ready = this.#waiting
      this.#waiting = []
      for (const each of ready) each()
    })
  }

  loses(): boolean {
    return false
  }

  maybeAgain(): void {}

  onNode(): Subscription {
    return neverCalled
  }

  onServer(): Subscription {
    return neverCalled
  }
}

const neverCalled: Subscription = { close() {} }
