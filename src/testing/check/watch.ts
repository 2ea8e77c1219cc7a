/**
 * What a watcher saw, change by change.
 *
 * G1. The revs of a key come one after the other from 1, each once.
 * G2. A reset stands for changes that are not kept any more: it may leave revs out, and repeat the last one. It never goes back.
 * G3. The cursors of changes of one partition go up. Behind a reset they may begin anew, as it tells of a state and not of a record.
 * G4. At the end the watcher has seen the last rev of every key that is there, and the deletion of every other. A reset tells of a deletion
 *     by leaving the key out.
 * G5. A key that was deleted is forgotten after a while and may begin again above its last rev; nobody but the log knows by how much.
 */
import { compareCursors, parseCursor, type Cursor } from '../../protocol/cursor.ts'

export interface Sighting {
  readonly key: string
  readonly rev: number
  /** Of the change alone, not of a watch over several partitions. `undefined`: not known, not checked. */
  readonly cursor?: string
  readonly reset?: boolean
  readonly deleted?: boolean
}

export interface WatchCheckOptions {
  /** For people. Default `the watcher`. */
  readonly name?: string
  /** Tombstones are collected within the run (G5). Default `false`: revs go on behind a deletion. */
  readonly forgetsDeleted?: boolean
}

interface Seen {
  readonly rev: number
  readonly deleted: boolean
}

/** Takes memory in proportion to the keys. */
export class WatchCheck {
  /** A sentence for each thing that is wrong. */
  readonly wrong: string[] = []
  readonly #name: string
  readonly #forgetsDeleted: boolean
  readonly #seen = new Map<string, Seen>()
  /** By partition and generation. */
  readonly #cursors = new Map<string, Cursor>()
  #resets = 0

  constructor({ name = 'the watcher', forgetsDeleted = false }: WatchCheckOptions = {}) {
    this.#name = name
    this.#forgetsDeleted = forgetsDeleted
  }

  saw({ key, rev, cursor, reset = false, deleted = false }: Sighting): void {
    if (reset) this.#resets++
    const last = this.#seen.get(key) ?? { rev: 0, deleted: false }
    const follows = reset
      ? rev >= last.rev
      : last.deleted && this.#forgetsDeleted
        ? rev > last.rev
        : rev === last.rev + 1
    if (!follows) this.wrong.push(`${key}: ${this.#name} saw ${reset ? 'a reset to ' : ''}rev ${rev} after ${last.rev}`)
    this.#seen.set(key, { rev, deleted })
    if (cursor !== undefined) this.#follow(key, parseCursor(cursor), reset)
  }

  /** G4. `revs`: of every key that is there its rev. */
  end(revs: Iterable<readonly [key: string, rev: number]>): void {
    const there = new Map(revs)
    for (const [key, rev] of there) {
      const last = this.#seen.get(key)?.rev ?? 0
      if (last !== rev) this.wrong.push(`${key}: ${this.#name} saw revs up to ${last} of ${rev}`)
    }
    for (const [key, { rev, deleted }] of this.#seen) {
      if (there.has(key) || deleted || rev === 0 || this.#resets > 0) continue
      this.wrong.push(`${key}: ${this.#name} saw rev ${rev} and no deletion, and it is not there`)
    }
  }

  #follow(key: string, cursor: Cursor, reset: boolean): void {
    const log = `${cursor.partition} ${cursor.generation}`
    const last = this.#cursors.get(log)
    if (!reset && last !== undefined && compareCursors(last, cursor) >= 0) {
      this.wrong.push(
        `${key}: ${this.#name} saw ${cursor.seq}.${cursor.index} of partition ${cursor.partition} after ${last.seq}.${last.index}`,
      )
    }
    this.#cursors.set(log, cursor)
  }
}
