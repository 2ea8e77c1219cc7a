/**
 * Snapshots and trim of one partition while a node owns it: the log is bounded, and an empty store begins from a snapshot.
 *
 * K1. A snapshot is cut when the log has grown by as much as `settings.snapshotBytes` since the newest one, or as the state that that one
 *     has, whichever is more: what is written for snapshots stays in proportion to what is written to the log.
 * K2. A new owner knows sequences, not bytes, of what was before: each such record counts as `unseenRecordBytes`.
 * K3. One cut at a time on a node: they share its disk and its processor.
 * K4. The log is trimmed as far as the rule allows (core/trim.ts), by what is known here: what an owner has not seen it takes for young. How old
 *     something is goes by partition time, as all that is kept for a while does, and by no wall clock.
 * K5. That any of this fails, or takes long, is no trouble for the ownership: it is tried again at the next look. It ends with the ownership,
 *     and waits for nobody.
 * K6. An operator's order is carried out at once, by the same rules; asked again by its name it tells how far that has come. One is remembered.
 *     Where the newest snapshot is of the very record that the replica stands at, it is that one.
 * K7. A newest snapshot that a new owner finds without its manifest, or with a damaged one, is told of and counts for nothing: another one is
 *     cut at once, and nothing is trimmed for its sake.
 */
import { Retention, trimPoint, type RetentionSettings } from '../../core/trim.ts'
import type { PartitionLog } from '../../ports/changelog.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import { isHoldfastError, messageOf } from '../../protocol/errors.ts'
import type { Generation, Seq } from '../../protocol/ids.ts'
import type { Replica } from '../replica.ts'
import { FaultySnapshot, readManifest, type SnapshotSource } from './contents.ts'
import { cutSnapshot, type CutOptions } from './cut.ts'
import type { Manifest } from './manifest.ts'
import { isKept, readPointer, type KeptSnapshot } from './pointer.ts'
import type { CutSlots } from './slots.ts'

export interface SnapshotKeeperOptions extends Omit<CutOptions, 'signal' | 'replica'>, Omit<SnapshotSource, 'signal'> {
  readonly generation: Generation
  readonly replica: Replica
  readonly log: PartitionLog
  readonly slots: CutSlots
  readonly settings: SnapshotSettings
  /** Of the partition, as its owner has it now, ms. */
  readonly time: () => number
}

export interface SnapshotSettings {
  /** K1. Default 64 MiB. */
  readonly snapshotBytes: number
  /** Between two looks whether there is something to be cut or trimmed, ms. Default 10,000. */
  readonly snapshotLookEveryMs: number
  /** What watchers are promised, of this partition. */
  readonly retention: RetentionSettings
}

/** What was cut. */
export interface Cut {
  readonly id: string
  readonly seq: Seq
  readonly rows: number
  /** Of the rows, and as they are stored. */
  readonly bytes: number
  readonly stored: number
  readonly tookMs: number
}

/** K6. `waiting`: for its turn (K3); ask again. */
export type OrderedCut =
  | { readonly state: 'waiting' | 'cutting' }
  | { readonly state: 'failed'; readonly reason: string }
  | ({ readonly state: 'cut' } & Cut)

/** K2 */
const unseenRecordBytes = 512

const cutOf = ({ id, position, rows, bytes, stored }: Manifest): Omit<Cut, 'tookMs'> => ({
  id,
  seq: position.seq,
  rows,
  bytes,
  stored,
})

export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions
  readonly #clock: Clock
  readonly #abort = new AbortController()
  readonly #retention: Retention
  /** Newest first, of this generation; `undefined`: not known yet. */
  #kept: readonly KeptSnapshot[] | undefined
  /** Bytes of rows of the newest one. */
  #newestBytes = 0
  /** Of the records since the newest one. */
  #grownBytes = 0
  /** Lowest sequence that the log keeps; `undefined`: not known yet. */
  #first: Seq | undefined
  #timer: Timer | undefined
  /** K6 */
  #order: { readonly name: string; progress: OrderedCut } | undefined

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#retention = new Retention(options.settings.retention)
    this.#lookLater()
  }

  /** A record was committed; in order. `time`: of the partition, ms. */
  committed(seq: Seq, time: number, bytes: number): void {
    this.#grownBytes += bytes
    this.#retention.note(seq, time, bytes)
  }

  /** K6 */
  ordered(name: string): OrderedCut {
    if (this.#order?.name === name) return this.#order.progress
    const cutting = this.#inTurn(() => this.#cutUnlessThere())
    if (cutting === null) return { state: 'waiting' }
    const order = (this.#order = { name, progress: { state: 'cutting' } as OrderedCut })
    cutting.then(
      (cut) => (order.progress = { state: 'cut', ...cut }),
      (error: unknown) => (order.progress = { state: 'failed', reason: messageOf(error) }),
    )
    return order.progress
  }

  /** Idempotent. */
  stop(): void {
    this.#abort.abort()
    this.#clock.clearTimeout(this.#timer)
  }

  #lookLater(): void {
    if (this.#abort.signal.aborted) return
    this.#timer = this.#clock.setTimeout(() => {
      void this.#look()
        .catch((error: unknown) => {
          if (isHoldfastError(error) || this.#abort.signal.aborted) return
          const where = `snapshots of partition ${this.#options.partition}`
          this.#options.observer.emit({ type: 'handler.threw', where, error })
        })
        .finally(() => this.#lookLater())
    }, this.#options.settings.snapshotLookEveryMs)
  }

  async #look(): Promise<void> {
    this.#kept ??= await this.#recall()
    const due = this.#grownBytes >= Math.max(this.#options.settings.snapshotBytes, this.#newestBytes)
    if (due) await this.#inTurn(() => this.#cut())
    await this.#trim(this.#kept)
  }

  /** What former owners have left. */
  async #recall(): Promise<readonly KeptSnapshot[]> {
    const { registry, partition, generation, replica, settings } = this.#options
    const kept = (await readPointer(registry, partition)).kept.filter((each) => each.generation === generation)
    const [newest, ...older] = kept
    const bytes = newest === undefined ? 0 : await this.#bytesOf(newest)
    if (bytes === null) {
      this.#grownBytes += settings.snapshotBytes
      return older
    }
    this.#newestBytes = bytes
    this.#grownBytes += Math.max(0, replica.position.seq - (newest?.seq ?? 0)) * unseenRecordBytes
    return kept
  }

  /** Of its rows; `null`: there is no telling, and it is of no use (K7). */
  async #bytesOf({ id }: KeptSnapshot): Promise<number | null> {
    const { registry, partition, observer } = this.#options
    try {
      return (await readManifest(this.#options, partition, id)).bytes
    } catch (error) {
      // One that is kept no longer was collected: the next look finds its successor.
      if (!(error instanceof FaultySnapshot) || !(await isKept(registry, partition, id))) throw error
      observer.emit({ type: 'snapshot.faulty', partition, id, reason: error.reason })
      return null
    }
  }

  /** `null`: it is not this one's turn (K3). */
  #inTurn(cut: () => Promise<Cut>): Promise<Cut> | null {
    const { slots } = this.#options
    return slots.take() ? cut().finally(() => slots.release()) : null
  }

  /** K6 */
  async #cutUnlessThere(): Promise<Cut> {
    const { registry, partition, generation, replica } = this.#options
    const [newest] = (await readPointer(registry, partition)).kept
    if (newest?.generation !== generation || newest.seq < replica.position.seq) return this.#cut()
    return { ...cutOf(await readManifest(this.#options, partition, newest.id)), tookMs: 0 }
  }

  async #cut(): Promise<Cut> {
    const { clock } = this.#options
    const begunMs = clock.monotonic()
    const before = this.#grownBytes
    const manifest = await cutSnapshot({ ...this.#options, signal: this.#abort.signal })
    const { id, position, bytes } = manifest
    const { generation, seq, validSeq } = position
    this.#kept = this.#kept && [{ id, generation, seq, validSeq }, ...this.#kept].slice(0, 2)
    this.#newestBytes = bytes
    this.#grownBytes -= before
    return { ...cutOf(manifest), tookMs: Math.round(clock.monotonic() - begunMs) }
  }

  /** K4 */
  async #trim(snapshots: readonly KeptSnapshot[]): Promise<void> {
    const { log, replica, time, observer, partition } = this.#options
    if (snapshots.length === 0) return
    this.#first ??= (await log.info())?.first
    if (this.#first === undefined || this.#abort.signal.aborted) return
    const { published } = replica.position
    const keptFrom = this.#retention.keptFrom(time())
    const point = trimPoint({ first: this.#first, snapshots, published, keptFrom })
    if (point === null) return
    await log.trim(point)
    observer.emit({ type: 'log.trimmed', partition, first: point, records: point - this.#first })
    this.#first = point
  }
}
