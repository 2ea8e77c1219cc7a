/**
 * What all long reads of a connection may have asked the server for that is not here yet, in bytes. Everything else that the server sends comes
 * behind it on the same socket: without a bound a node that replays a dozen logs hears of nothing else for seconds, and once more than
 * `max_pending` (64 MiB) waits for it the server takes it for a slow consumer and cuts it off.
 *
 * B1. Never more than the limit, but for a single pull that is larger by itself.
 * B2. In the order in which they ask; whoever comes later has nothing while one waits.
 */
interface Waiting {
  readonly bytes: number
  readonly go: () => void
}

export class PullBudget {
  readonly limit: number
  readonly #waiting: Waiting[] = []
  #taken = 0

  constructor(limit: number) {
    this.limit = limit
  }

  get taken(): number {
    return this.#taken
  }

  /** `false`: there is no room now. */
  tryTake(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#hasRoom(bytes)) return false
    this.#taken += bytes
    return true
  }

  /** Resolves when they are taken. Whoever takes gives back, whatever happens. */
  async take(bytes: number): Promise<void> {
    if (!this.tryTake(bytes)) await new Promise<void>((go) => this.#waiting.push({ bytes, go }))
  }

  giveBack(bytes: number): void {
    this.#taken -= bytes
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoom(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#taken += next.bytes
      next.go()
    }
  }

  /** B1 */
  #hasRoom(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.limit
  }
}

/** Of one pull: large enough for any message, with its subjects, since one that is larger than its pull never comes. */
export const pullBytesFor = (maxPayload: number): number => Math.max(smallestPullBytes, maxPayload + subjectBytes)

const smallestPullBytes = 1024 * 1024
const subjectBytes = 64 * 1024
