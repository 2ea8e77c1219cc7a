/**
 * Undoes what was begun, last things first, each once: whatever is opened says here how it is closed.
 *
 * D1. A step that fails is reported and stops no other.
 * D2. Once it runs nothing can be begun any more: `add` throws, and the step is run all the same.
 */
export class Teardown {
  readonly #steps: (() => Promise<void>)[] = []
  #running: Promise<void> | undefined = undefined
  #failed = false

  add(step: () => Promise<void>): void {
    this.#steps.push(step)
    if (this.#running === undefined) return
    this.#running = this.#running.then(() => this.#undo())
    throw new Error('this example is ending already')
  }

  /** Resolves to whether all went well. Idempotent. */
  async run(): Promise<boolean> {
    this.#running ??= this.#undo()
    await this.#running
    return !this.#failed
  }

  async #undo(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => {
        this.#failed = true
        console.error('could not clean up:', error)
      })
    }
  }
}
