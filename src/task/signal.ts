/** Tells all who wait that something has changed; each then looks whether it is what it waits for. */
export class Signal {
  readonly #wakes = new Set<() => void>()

  /** Resolves at the next change. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#wakes.add(resolve))
  }

  change(): void {
    const wakes = [...this.#wakes]
    this.#wakes.clear()
    for (const wake of wakes) wake()
  }
}
