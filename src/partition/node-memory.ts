/**
 * What all partitions of one node may use together, however many there are: the settings of a partition times 512 would be more than any
 * machine has.
 *
 * Y1. Inputs that wait are counted together: a partition may have as many as its own bound allows while the node has room.
 * Y2. Caches, tails of history and what is not committed are shared out: each partition may use its own bound or its even share, whichever is
 *     less. A share shrinks with each partition that is taken over, and grows with each that leaves.
 */
import { gauge, type Metric } from '../ports/metrics.ts'

export interface NodeMemorySettings {
  /** Bytes of inputs that wait, in all mailboxes. Default 256 MiB. */
  readonly mailboxBytes: number
  /** Bytes of cached actors. Default 512 MiB. */
  readonly cacheBytes: number
  /** Bytes of the newest records, kept for watchers. Default 64 MiB. */
  readonly tailBytes: number
  /** Bytes of what handlers have left and no log has yet. Default 256 MiB. */
  readonly uncommittedBytes: number
}

export const defaultNodeMemory: NodeMemorySettings = {
  mailboxBytes: 256 * 1_024 * 1_024,
  cacheBytes: 512 * 1_024 * 1_024,
  tailBytes: 64 * 1_024 * 1_024,
  uncommittedBytes: 256 * 1_024 * 1_024,
}

export class NodeMemory {
  readonly #settings: NodeMemorySettings
  /** Of inputs that wait (Y1). */
  waitingBytes = 0
  #partitions = 0

  constructor(settings: NodeMemorySettings = defaultNodeMemory) {
    this.#settings = settings
  }

  /** Whether so many bytes more may wait. */
  hasRoom(bytes: number): boolean {
    return this.waitingBytes + bytes <= this.#settings.mailboxBytes
  }

  /** A partition is opened here; call what is returned when it is closed, once. */
  join(): () => void {
    this.#partitions++
    return () => void this.#partitions--
  }

  /** What one partition may use of what is shared out, as of now, where its own bound is `most` (Y2). */
  share(of: keyof Omit<NodeMemorySettings, 'mailboxBytes'>, most: number): number {
    return Math.min(most, this.#settings[of] / Math.max(1, this.#partitions))
  }

  metrics(): readonly Metric[] {
    return [gauge('holdfast_node_mailbox_bytes', this.waitingBytes, this.#settings.mailboxBytes)]
  }
}
