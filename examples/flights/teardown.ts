/**
 * Undoes what was begun, last things first, each once: whatever is opened says here how it is closed.
 */
export class Teardown {
  readonly #steps: (() => Promise<void>)[] = []
  #running: Promise<void> | undefined = undefined

  add(step: () => Promise<void>): void {
    this.#steps.push(step)
  }

  /** A step that fails is reported and stops no other. Idempotent. */
  run(): Promise<void> {
    this.#running ??= this.#undo()
    return this.#running
  }

  async #undo(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => console.error('could not clean up:', error))
    }
  }
}
