/**
 * The callers' signals, each listened to once however many calls it is to end: Node.js takes more than ten listeners of one signal for a
 * leak, and says so.
 */
export class Signals {
  readonly #ends = new Map<AbortSignal, Listening>()

  /** Calls `end` when the signal aborts, unless it was let go before: that is what it returns. */
  on(signal: AbortSignal, end: () => void): () => void {
    let listening = this.#ends.get(signal)
    if (listening === undefined) {
      const ends = new Set<() => void>()
      const abort = () => {
        this.#ends.delete(signal)
        for (const each of ends) each()
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#ends.set(signal, (listening = { ends, abort }))
    }
    const { ends, abort } = listening
    ends.add(end)
    return () => {
      ends.delete(end)
      if (ends.size > 0 || this.#ends.get(signal)?.ends !== ends) return
      this.#ends.delete(signal)
      signal.removeEventListener('abort', abort)
    }
  }
}

interface Listening {
  readonly ends: Set<() => void>
  readonly abort: () => void
}
