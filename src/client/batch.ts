/**
 * What goes to one subject in one frame.
 *
 * M1. A frame holds at most `maxRequestsInFrame` requests and `frameBytes` bytes; one request alone may always be a frame: the session
 *     takes none that is larger, unless the server has come to take less since.
 * M2. Between two flushes every batch is empty.
 */
import { maxRequestsInFrame } from '../protocol/frames.ts'
import type { Pending } from './pending.ts'

/** Of a frame's head: version, partitions, session, low. */
export const frameHeadBytes = 128

export class Batch {
  readonly subject: string
  /** It is a partition's, which more than one node may listen to while the partition changes hands. */
  readonly shared: boolean
  #requests: Pending[] = []
  #bytes = frameHeadBytes

  constructor(subject: string, shared: boolean) {
    this.subject = subject
    this.shared = shared
  }

  get isEmpty(): boolean {
    return this.#requests.length === 0
  }

  /** False where it has to leave first (M1). */
  fits(bytes: number, frameBytes: number): boolean {
    return this.#requests.length < maxRequestsInFrame && (this.isEmpty || this.#bytes + bytes <= frameBytes)
  }

  push(request: Pending, bytes: number): void {
    this.#requests.push(request)
    this.#bytes += bytes
  }

  /** All of it, and leaves it empty. */
  take(): readonly Pending[] {
    const requests = this.#requests
    this.#requests = []
    this.#bytes = frameHeadBytes
    return requests
  }
}
