/** Lets others wait until so much is done. */
export class Milestones {
  readonly #waiting: { readonly at: number; readonly resolve: () => void }[] = []

  /** Resolves when `pass` is first called with `at`, or more. */
  reached(at: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ at, resolve }))
  }

  pass(done: number): void {
    for (const { at, resolve } of this.#waiting) if (done >= at) resolve()
  }
}
