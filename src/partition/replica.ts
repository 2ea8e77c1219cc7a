/**
 * A partition's materialised state on this node: store, cache and sessions, brought forward by valid records only.
 *
 * M1. Nothing enters but by a record that the log holds as valid: the store never knows more than the log.
 * M2. Position, state hash and data go to the store in one batch; the store is behind the log by what is staged, never torn.
 * M3. Of many records only the last value of each key is written ("apply behind the log"). What is staged is bounded: beyond
 *     `maxStaged` keys it is written at once, and while the store does not keep up `isBehind` says so.
 * M4. A state hash that differs from the record's is told, and ends the replica (`Diverged`): it is to be built anew. Where the same record
 *     differs after that, the writer was wrong: mutations are the truth, and the replica goes on with the record's hash (L9).
 * M5. Once a write to the store has failed nothing more is written: its position stays behind, and the replica says so.
 * M6. An actor that is loaded is read once, however many wait for it, and stays in memory until they have let go of it: two copies of
 *     one actor, or an old one after it was written, would lose a turn.
 * M7. A view shows the actors as of one position: it is asked for in the same moment in which the last of them is given to the store.
 * M8. Void records that are remembered are bounded: a log with more of them than any number of quarrels could leave is broken.
 */
import { hash64FromBytes, hash64ToText, isNoShare, noShare, replaceShare, type Hash64 } from '../core/hashing.ts'
import { BrokenLog, startOfLog, type LogPosition } from '../core/log.ts'
import { RowBatch } from '../core/row-batch.ts'
import { Sessions, type SessionChanges } from '../core/sessions.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Store, StoreView, ViewRange } from '../ports/store.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { Generation, PartitionId, Rev, Seq } from '../protocol/ids.ts'
import type { CommitRecord, LogRecord, Mutation } from '../protocol/record.ts'
import { ActorCache, absent, type CachedActor } from './actor-cache.ts'
import { actorId, isOwnId } from './names.ts'
import { versionOf } from './outcome.ts'
import type { StateArena } from './state-arena.ts'
import {
  actorKey,
  decodePosition,
  decodeSession,
  decodeVersion,
  deleteReplies,
  deleteSession,
  encodePosition,
  expiryKey,
  expiryRange,
  parseExpiryKey,
  parseSessionKey,
  parseVoidKey,
  positionKey,
  readReplies,
  replyRange,
  sessionRange,
  voidKey,
  voidRange,
  writeActor,
  writeReplies,
  writeSession,
  type StoredPosition,
  type Version,
} from './store-layout.ts'

export interface ReplicaOptions {
  readonly clock: Clock
  readonly observer: Observer
  /** How long staged writes wait for more. Default 100 ms. */
  readonly applyEveryMs: number
  /** Memory for cached actors, as of now. */
  readonly cacheBytes: () => number
  /** Writes that wait for the store, at most (M3). Default 50,000. */
  readonly maxStaged?: number
  /** Records that a replica was built anew for: now they are believed (M4). Default: none. */
  readonly believed?: ReadonlySet<Seq>
  /** The store can no longer be read (`INTERNAL`) or written (M5). */
  readonly onStoreFailure: (error: unknown) => void
}

const defaultMaxStaged = 50_000
export const maxVoids = 1_048_576

/** One read of the store, and how many wait for each of its actors. */
interface Load {
  done: Promise<void>
  readonly holds: Map<string, number>
}

/** What expires, as the store has it. */
export interface Expiring {
  readonly id: string
  readonly type: string
}

const nothingToRead = Promise.resolve()

/** What the replica has become is not what the writer's was (M4). */
export class Diverged extends HoldfastError {
  readonly seq: Seq

  constructor(partition: PartitionId, seq: Seq) {
    super('INTERNAL', `partition ${partition} is another state here than its writer had after record ${seq}`)
    this.seq = seq
  }
}

export class Replica {
  readonly sessions = new Sessions()
  /** Sequences of void records. */
  readonly voids = new Set<Seq>()
  readonly #store: Store
  readonly #options: ReplicaOptions
  readonly #maxStaged: number
  readonly #cache: ActorCache
  /** Actors that are being read, and what reads them. */
  readonly #loading = new Map<string, Load>()
  #dirty: CachedActor[] = []
  #unwrittenVoids: Seq[] = []
  /** Room that the next batch is likely to need. */
  #batchBytes = leastBatchBytes
  #position: LogPosition
  #stateHash: Hash64 = noShare
  #revFloor = 0 as Rev
  #keptKeys = 0
  #keptKeyBytes = 0
  /** Nothing expires before, ms of partition time. */
  #nextExpiry = 0
  #head = 0
  #sawLastAtMs: number
  #timer: Timer | undefined
  #writing: Promise<void> | undefined
  #next: Promise<void> | undefined
  #failed = false

  private constructor(store: Store, position: LogPosition, options: ReplicaOptions) {
    this.#store = store
    this.#position = position
    this.#options = options
    this.#sawLastAtMs = options.clock.monotonic()
    this.#maxStaged = options.maxStaged ?? defaultMaxStaged
    this.#cache = new ActorCache(options.cacheBytes)
  }

  /** Reads what the store holds. Throws `INTERNAL` where it is damaged. */
  static async open(
    store: Store,
    partition: PartitionId,
    generation: Generation,
    options: ReplicaOptions,
  ): Promise<Replica> {
    const replica = new Replica(store, startOfLog(partition, generation), options)
    const [stored] = await store.getMany([positionKey])
    if (stored === undefined) return replica
    const { position, stateHash, revFloor, keptKeys, keptKeyBytes } = decodePosition(stored)
    replica.#position = position
    replica.#stateHash = stateHash
    replica.#revFloor = revFloor
    replica.#keptKeys = keptKeys
    replica.#keptKeyBytes = keptKeyBytes
    for await (const [key, value] of store.range(...sessionRange)) {
      replica.sessions.restore(decodeSession(parseSessionKey(key), value))
    }
    for await (const [key, value] of store.range(...replyRange)) {
      replica.sessions.restoreReplies(readReplies(key, value))
    }
    for await (const [key] of store.range(...voidRange)) replica.voids.add(parseVoidKey(key))
    return replica
  }

  get position(): LogPosition {
    return this.#position
  }

  get stateHash(): Hash64 {
    return this.#stateHash
  }

  /** Not before this was the last valid record seen by this process, monotonic ms (O4). */
  get sawLastAtMs(): number {
    return this.#sawLastAtMs
  }

  /** Records that the log has and this replica has not yet. */
  get lag(): number {
    return Math.max(0, this.#head - this.#position.seq)
  }

  /** The log was seen to end at `last`. */
  noteHead(last: Seq): void {
    this.#head = last
  }

  /** Idempotency keys that are kept, and the bytes of what is kept for them. */
  get keptKeys(): number {
    return this.#keptKeys
  }

  get keptKeyBytes(): number {
    return this.#keptKeyBytes
  }

  /** Rows to be written, beside those of sessions, which have bounds of their own. */
  get #staged(): number {
    return this.#dirty.length + this.#unwrittenVoids.length
  }

  /** More is staged than may be: nothing new should begin (M3). */
  get isBehind(): boolean {
    return this.#staged >= this.#maxStaged
  }

  metrics(): readonly Metric[] {
    return [
      gauge('holdfast_cached_actor_bytes', this.#cache.bytes, this.#cache.budgetBytes),
      gauge('holdfast_staged_writes', this.#staged, this.#maxStaged),
      gauge('holdfast_void_records', this.voids.size, maxVoids),
    ]
  }

  /** An actor of which nothing is left, the last being of `rev`: what is created in its place begins above that (E1). */
  absent(id: string, rev: Rev): Version {
    return absent(isOwnId(id) ? (0 as Rev) : rev > this.#revFloor ? rev : this.#revFloor)
  }

  /** What has expired by `nowMs`, at most `limit`. Rejects if the store cannot be read or written (M5). */
  async expired(nowMs: number, limit: number): Promise<readonly Expiring[]> {
    const from = this.#nextExpiry
    if (nowMs < from) return []
    // What is applied from here on lowers it again.
    this.#nextExpiry = Number.POSITIVE_INFINITY
    try {
      await this.flush()
      return await this.#expiring(from, nowMs, limit)
    } catch (error) {
      this.#nextExpiry = Math.min(this.#nextExpiry, from)
      // A write that failed was told; and who is closed has nothing to tell.
      if (!this.#failed) this.#options.onStoreFailure(error)
      throw error
    }
  }

  async #expiring(from: number, nowMs: number, limit: number): Promise<readonly Expiring[]> {
    const expiring: Expiring[] = []
    // Not from the first there can be: a store takes its time over what was removed and is not compacted yet.
    for await (const [key, type] of this.#store.range(...expiryRange(from))) {
      const { id, expiresAt } = parseExpiryKey(key)
      // What cannot be removed now is found again.
      if (expiring.length === 0) this.#nextExpiry = Math.min(this.#nextExpiry, expiresAt)
      if (expiresAt > nowMs || expiring.length === limit) break
      expiring.push({ id, type: Buffer.from(type).toString() })
    }
    return expiring
  }

  /** Where turns write the states that they leave. */
  get states(): StateArena {
    return this.#cache.states
  }

  /** The actor if it is in memory. */
  peek(id: string): CachedActor | undefined {
    return this.#cache.get(id)
  }

  /** Brings actors into memory, each as the store has it, and holds them: the caller lets go of each (`holds--`) when it has used it. */
  async load(ids: readonly string[]): Promise<readonly CachedActor[]> {
    const missing: string[] = []
    const loads = new Set<Load>()
    const own: Load = { done: nothingToRead, holds: new Map() }
    for (const id of ids) {
      const actor = this.#cache.get(id)
      if (actor !== undefined) {
        actor.holds++
        continue
      }
      let load = this.#loading.get(id)
      if (load === undefined) {
        load = own
        this.#loading.set(id, own)
        missing.push(id)
      }
      load.holds.set(id, (load.holds.get(id) ?? 0) + 1)
      loads.add(load)
    }
    if (missing.length > 0) own.done = this.#bring(missing, own.holds)
    await Promise.all([...loads].map((load) => load.done))
    return ids.map((id) => this.#cache.get(id)!)
  }

  /** Takes in a valid record that was read from the log. Throws `Diverged` (M4). */
  async replay(record: LogRecord, position: LogPosition): Promise<void> {
    if (record.kind === 'commit') {
      const mutations = record.turns.flatMap((turn) => turn.mutations)
      const actors = await this.load(mutations.map(({ type, key }) => actorId(type, key)))
      mutations.forEach((mutation, i) => {
        const actor = actors[i]!
        this.applyChange(actor, mutation.type, this.#versionOf(actor.id, mutation))
        actor.tip = actor.committed
      })
      for (const actor of actors) actor.holds--
      this.applySessions(record)
    }
    this.#sawLastAtMs = this.#options.clock.monotonic()
    this.advance(position)
    const expected = hash64FromBytes(record.stateHash)
    if (!sameHash(this.#stateHash, expected)) this.#differ(position, expected)
    if (this.#staged >= this.#maxStaged) await this.flush()
  }

  /** M4 */
  #differ({ partition, seq }: LogPosition, expected: Hash64): void {
    const rebuilt = this.#options.believed?.has(seq) ?? false
    this.#options.observer.emit({
      type: 'partition.hash-mismatch',
      partition,
      seq,
      expected: hash64ToText(expected),
      actual: hash64ToText(this.#stateHash),
      rebuilt,
    })
    if (!rebuilt) throw new Diverged(partition, seq)
    this.#stateHash = expected
  }

  /** Takes note of a void record (L3); `advance` past it is the caller's. */
  noteVoid(at: Seq): void {
    if (this.voids.size >= maxVoids) {
      throw new BrokenLog(this.#position.partition, `it has more than ${maxVoids} void records`)
    }
    this.voids.add(at)
    this.#unwrittenVoids.push(at)
  }

  /** One mutation of a committed record: the actor's new version. */
  applyChange(actor: CachedActor, type: string, version: Version): void {
    const before = actor.committed
    this.#stateHash = replaceShare(this.#stateHash, before, version)
    if (actor.kept) {
      this.#keptKeys += Number(version.state !== null) - Number(before.state !== null)
      this.#keptKeyBytes += (version.state?.length ?? 0) - (before.state?.length ?? 0)
    } else if (isNoShare(version) && before.rev > this.#revFloor && !isOwnId(actor.id)) this.#revFloor = before.rev
    if (version.expiresAt !== null) {
      actor.type = type
      if (version.expiresAt < this.#nextExpiry) this.#nextExpiry = version.expiresAt
    }
    this.#cache.commit(actor, version)
    if (actor.dirty) return
    actor.dirty = true
    this.#dirty.push(actor)
    actor.holds++
  }

  /** What a committed record says of sessions. */
  applySessions(record: CommitRecord): void {
    this.sessions.apply(record)
  }

  /** The record at `position` has been taken in. */
  advance(position: LogPosition): void {
    this.#position = position
    if (this.#timer !== undefined || this.#failed) return
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined
      // A failure has been reported by `onStoreFailure`, and every later flush repeats it.
      this.flush().catch(() => {})
    }, this.#options.applyEveryMs)
  }

  /** A view of the rows in a range as of all that was taken in, and where that is (M7). Rejects as `flush` and `Store.view` do. */
  async view(range: ViewRange): Promise<{ readonly view: StoreView; readonly position: LogPosition }> {
    let written = this.#writing
    while (this.#dirty.length > 0) {
      written = this.flush()
      // Not so while another batch was being written: then it is not given to the store yet.
      if (this.#dirty.length === 0) break
      await written
    }
    if (this.#failed) throw unwritable()
    const position = this.#position
    const [opened, stored] = await Promise.allSettled([this.#store.view(range), written])
    if (opened.status === 'rejected') throw opened.reason
    if (stored.status === 'fulfilled') return { view: opened.value, position }
    await opened.value.close()
    throw stored.reason
  }

  /** Writes what is staged. Rejects if the store cannot be written (M5). */
  flush(): Promise<void> {
    if (this.#writing === undefined) return this.#write()
    // Whoever asks while a batch is written waits for the one next batch.
    this.#next ??= this.#writing
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.#write()
      })
    return this.#next
  }

  async #write(): Promise<void> {
    if (this.#failed) throw unwritable()
    const actors = this.#dirty
    this.#dirty = []
    const batch = new RowBatch(this.#batchBytes)
    for (const at of this.#unwrittenVoids) batch.put(voidKey(at), nothing)
    this.#unwrittenVoids = []
    writeSessions(batch, this.sessions.takeChanges())
    for (const actor of actors) {
      writeActor(batch, actor.id, actor.committed)
      if (actor.storedExpiry !== actor.committed.expiresAt) writeExpiry(batch, actor)
      actor.dirty = false
    }
    batch.put(positionKey, encodePosition(this.#stored()))
    this.#batchBytes = Math.min(mostBatchBytes, Math.ceil(1.25 * batch.bytesSoFar))
    this.#cache.compact()
    this.#writing = this.#store
      .write(batch)
      .then(
        () => {
          for (const actor of actors) actor.holds--
        },
        (error: unknown) => {
          this.#failed = true
          this.#options.onStoreFailure(error)
          throw error
        },
      )
      .finally(() => {
        this.#writing = undefined
      })
    await this.#writing
  }

  /** Writes what is staged, unless `flush: false` (as in a crash), and closes the store. */
  async close({ flush }: { readonly flush: boolean }): Promise<void> {
    this.#options.clock.clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      if (flush && !this.#failed) await this.flush()
    } finally {
      this.#failed = true
      await this.#store.close()
    }
  }

  #stored(): StoredPosition {
    return {
      position: this.#position,
      stateHash: this.#stateHash,
      revFloor: this.#revFloor,
      keptKeys: this.#keptKeys,
      keptKeyBytes: this.#keptKeyBytes,
    }
  }

  #versionOf(id: string, { rev, state, expiresAt }: Mutation): Version {
    if (state === undefined) return this.absent(id, rev)
    return versionOf(id, rev, state, expiresAt)
  }

  async #bring(ids: readonly string[], holds: ReadonlyMap<string, number>): Promise<void> {
    try {
      const stored = await this.#store.getMany(ids.map(actorKey))
      const versions = stored.map((value) => (value === undefined ? undefined : decodeVersion(value)))
      ids.forEach((id, i) => this.#cache.add(id, versions[i] ?? this.absent(id, 0 as Rev), holds.get(id)!))
    } catch (error) {
      this.#options.onStoreFailure(error)
      throw error
    } finally {
      for (const id of ids) this.#loading.delete(id)
    }
  }
}

const nothing = new Uint8Array(0)
const leastBatchBytes = 4_096
/** Beyond it a batch grows as it is written. */
const mostBatchBytes = 1_048_576

function writeSessions(batch: RowBatch, { ended, forgotten, marks, remembered }: SessionChanges): void {
  for (const session of ended) deleteSession(batch, session)
  for (const { session, block } of forgotten) deleteReplies(batch, session, block)
  // After what is gone: a session may end and begin again between two writes.
  for (const mark of marks) writeSession(batch, mark)
  for (const replies of remembered) writeReplies(batch, replies)
}

/** The row by which the store finds an actor when its time has come. */
function writeExpiry(batch: RowBatch, actor: CachedActor): void {
  const { id, storedExpiry, committed, type } = actor
  if (storedExpiry !== null) batch.put(expiryKey(storedExpiry, id), null)
  if (committed.expiresAt !== null) batch.put(expiryKey(committed.expiresAt, id), Buffer.from(type!))
  actor.storedExpiry = committed.expiresAt
}

const unwritable = () => new HoldfastError('INTERNAL', 'the store of this partition can no longer be written')

const sameHash = (a: Hash64, b: Hash64) => a.hi === b.hi && a.lo === b.lo
