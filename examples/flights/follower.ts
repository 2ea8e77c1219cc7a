/**
 * Follows the changes of a cluster from two sources: live messages, of which some come twice and some may be lost, and pages that can be
 * asked for.
 *
 * F1. A change whose rev was seen is ignored.
 * F2. One that comes too early, since one before it was lost, is dropped, and its partition is replayed. The replay goes on until it has
 *     reached the head, and once more if another change was dropped meanwhile.
 * F3. A replay begins at the last cursor before which nothing is missing. Live changes move that cursor, except while the partition is
 *     replayed: then pages do. So whoever loses the connection replays all partitions at once, before the next live change comes.
 * F4. A page misses nothing, so a change in it that comes too early is a fault.
 */
import { Ledger } from './ledger.ts'
import type { PlainChange, PlainPage } from './plain-nats.ts'
import type { WatchReport } from './watch-report.ts'

/** Resolves to the changes of a partition after a cursor, or after `start`. */
export type Pull = (partition: number, from: string) => Promise<PlainPage>

export class Follower {
  readonly #pull: Pull
  readonly #ledger = new Ledger()
  readonly #faults: string[] = []
  readonly #cursors = new Map<number, string>()
  readonly #doubtful = new Set<number>()
  readonly #replaying = new Map<number, Promise<void>>()
  #repeated = 0
  #replays = 0

  constructor(pull: Pull) {
    this.#pull = pull
  }

  get report(): WatchReport {
    const { taken, totals } = this.#ledger
    return { taken, repeated: this.#repeated, replays: this.#replays, faults: this.#faults, totals }
  }

  /** A change from its subject. */
  onChange(change: PlainChange): void {
    // The partition is the first part of every cursor.
    const partition = Number.parseInt(change.cursor, 10)
    const how = this.#ledger.take(change)
    if (how === 'repeated') this.#repeated++
    else if (how === 'gap') {
      this.#replays++
      void this.replay(partition)
    } else if (!this.#replaying.has(partition)) this.#cursors.set(partition, change.cursor)
  }

  /** Resolves once everything that is committed now has been seen. Never rejects: what goes wrong is a fault. */
  replay(partition: number): Promise<void> {
    this.#doubtful.add(partition)
    const running =
      this.#replaying.get(partition) ??
      this.#pullAll(partition)
        .catch((error: unknown) => this.fault(`partition ${partition} cannot be replayed: ${String(error)}`))
        .finally(() => this.#replaying.delete(partition))
    this.#replaying.set(partition, running)
    return running
  }

  fault(sentence: string): void {
    this.#faults.push(sentence)
  }

  async #pullAll(partition: number): Promise<void> {
    while (this.#doubtful.delete(partition)) {
      for (let more = true; more;) {
        const page = await this.#pull(partition, this.#cursors.get(partition) ?? 'start')
        for (const change of page.changes) {
          if (this.#ledger.take(change) !== 'gap') continue
          this.fault(
            `${change.type}/${change.key}: after rev ${this.#ledger.lastRev(change)} a replay gave ${change.rev}`,
          )
        }
        this.#cursors.set(partition, page.next)
        more = page.more
      }
    }
  }
}
