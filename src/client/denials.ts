/** Hears what the server does not let this user do, among all that is said of a connection. */
import { silent, type HoldfastEvent, type Observer } from '../ports/observer.ts'
import type { Subscription } from '../ports/transport.ts'

export interface Denial {
  readonly operation: 'publish' | 'subscribe'
  readonly subject: string
}

/** `reason`: a sentence for whoever made the call. */
export type DenialListener = (denial: Denial, reason: string) => void

export class Denials implements Observer {
  readonly #next: Observer
  readonly #listeners = new Set<DenialListener>()

  /** Everything goes on to `next`, before anybody listens to it. */
  constructor(next: Observer = silent) {
    this.#next = next
  }

  listen(listener: DenialListener): Subscription {
    this.#listeners.add(listener)
    return { close: () => void this.#listeners.delete(listener) }
  }

  emit(event: HoldfastEvent): void {
    this.#next.emit(event)
    if (event.type !== 'transport.error' || event.denied === undefined) return
    for (const listener of [...this.#listeners]) listener(event.denied, event.reason)
  }
}
