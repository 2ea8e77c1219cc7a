/**
 * A partition's materialised state on this node: store, cache and sessions, brought forward by valid records only.
 *
 * M1. Nothing enters but by a record that the log holds as valid: the store never knows more than the log.
 * M2. Position, state hash and data go to the store in one batch; the store is behind the log by what is staged, never torn.
 * M3. Of many records only the last value of each key is written ("apply behind the log"). What is staged is bounded: beyond
 *     `maxStaged` keys it is written at once.
 * M4. A state hash that differs from the record's is reported and not believed: mutations are the truth (L9).
 * M5. Once a write to the store has failed nothing more is written: its position stays behind, and the replica says so.
 * M6. An actor that is loaded is read once, however many wait for it, and stays in memory until they have let go of it: two copies of
 *     one actor, or an old one after it was written, would lose a turn.
 */
import { actorShare, hash64FromBytes, hash64ToText, noShare, replaceShare, type Hash64 } from '../core/hashing.ts'
import { startOfLog, type LogPosition } from '../core/log.ts'
import { Sessions } from '../core/sessions.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Store } from '../ports/store.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { Generation, PartitionId, Seq } from '../protocol/ids.ts'
import type { CommitRecord, LogRecord } from '../protocol/record.ts'
import { encodeToken } from '../protocol/subjects.ts'
import { ActorCache, neverWritten, type CachedActor } from './actor-cache.ts'
import { StagedWrites } from './staged-writes.ts'
import {
  actorKey,
  decodePosition,
  decodeSession,
  decodeVersion,
  encodePosition,
  encodeVersion,
  parseReplyKey,
  parseSessionKey,
  parseVoidKey,
  positionKey,
  replyRange,
  sessionRange,
  voidRange,
} from './store-layout.ts'

export interface ReplicaOptions {
  readonly clock: Clock
  readonly observer: Observer
  /** How long staged writes wait for more. Default 5 ms. */
  readonly applyEveryMs: number
  /** Memory for cached actors. */
  readonly cacheBytes: number
  /** The store can no longer be read (`INTERNAL`) or written (M5). */
  readonly onStoreFailure: (error: unknown) => void
}

const maxStaged = 50_000

/** One read of the store, and how many wait for each of its actors. */
interface Load {
  done: Promise<void>
  readonly holds: Map<string, number>
}

const nothingToRead = Promise.resolve()

/** Names an actor within its partition; types cannot run into keys, because a token has no `.`. */
export const actorId = (type: string, key: string): string => `${encodeToken(type)}.${key}`

export class Replica {
  readonly sessions = new Sessions()
  /** Sequences of void records. */
  readonly voids = new Set<Seq>()
  readonly #store: Store
  readonly #options: ReplicaOptions
  readonly #cache: ActorCache
  /** Actors that are being read, and what reads them. */
  readonly #loading = new Map<string, Load>()
  readonly #dirty = new Set<CachedActor>()
  readonly #staged = new StagedWrites()
  #position: LogPosition
  #stateHash: Hash64 = noShare
  #head = 0
  #timer: Timer | undefined
  #writing: Promise<void> | undefined
  #next: Promise<void> | undefined
  #failed = false

  private constructor(store: Store, position: LogPosition, options: ReplicaOptions) {
    this.#store = store
    this.#position = position
    this.#options = options
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
    const { position, stateHash } = decodePosition(stored)
    replica.#position = position
    replica.#stateHash = stateHash
    for await (const [key, value] of store.range(...sessionRange)) {
      replica.sessions.restore(decodeSession(parseSessionKey(key), value))
    }
    for await (const [key, value] of store.range(...replyRange)) {
      const { session, number } = parseReplyKey(key)
      replica.sessions.restoreReply(session, number, value)
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

  /** Records that the log has and this replica has not yet. */
  get lag(): number {
    return Math.max(0, this.#head - this.#position.seq)
  }

  /** The log was seen to end at `last`. */
  noteHead(last: Seq): void {
    this.#head = last
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

  /** Takes in a valid record that was read from the log. */
  async replay(record: LogRecord, position: LogPosition): Promise<void> {
    if (record.kind === 'commit') {
      const ids = record.turns.map((turn) => actorId(turn.type, turn.key))
      const actors = await this.load(ids)
      record.turns.forEach((turn, i) => {
        if (turn.state === undefined) return
        const actor = actors[i]!
        const share = actorShare(actor.id, turn.rev, turn.state)
        this.applyTurn(actor, { rev: turn.rev, state: turn.state, share })
        actor.tip = actor.committed
      })
      for (const actor of actors) actor.holds--
      this.applySessions(record)
    }
    this.advance(position)
    if (!sameHash(this.#stateHash, hash64FromBytes(record.stateHash))) {
      this.#options.observer.emit({
        type: 'partition.hash-mismatch',
        partition: position.partition,
        seq: position.seq,
        expected: hash64ToText(hash64FromBytes(record.stateHash)),
        actual: hash64ToText(this.#stateHash),
      })
    }
    if (this.#dirty.size + this.#staged.size >= maxStaged) await this.flush()
  }

  /** Takes note of a void record (L3); `advance` past it is the caller's. */
  noteVoid(at: Seq): void {
    this.voids.add(at)
    this.#staged.addVoid(at)
  }

  /** One turn of a committed record: the actor's new version. */
  applyTurn(actor: CachedActor, version: CachedActor['committed']): void {
    this.#stateHash = replaceShare(this.#stateHash, actor.committed.share, version.share)
    this.#cache.commit(actor, version)
    if (!this.#dirty.has(actor)) {
      this.#dirty.add(actor)
      actor.holds++
    }
  }

  /** What a committed record says of sessions. */
  applySessions(record: CommitRecord): void {
    this.#staged.addSessions(this.sessions.apply(record))
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
    if (this.#failed) throw new HoldfastError('INTERNAL', 'the store of this partition can no longer be written')
    const actors = [...this.#dirty]
    const ops = this.#staged.take()
    for (const actor of actors) {
      ops.push({ key: actorKey(actor.id), value: encodeVersion(actor.committed) })
      keepOwnState(actor)
    }
    ops.push({ key: positionKey, value: encodePosition({ position: this.#position, stateHash: this.#stateHash }) })
    this.#dirty.clear()
    this.#writing = this.#store
      .write(ops)
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

  async #bring(ids: readonly string[], holds: ReadonlyMap<string, number>): Promise<void> {
    try {
      const stored = await this.#store.getMany(ids.map(actorKey))
      const versions = stored.map((value) => (value === undefined ? neverWritten : decodeVersion(value)))
      ids.forEach((id, i) => this.#cache.add(id, versions[i]!, holds.get(id)!))
    } catch (error) {
      this.#options.onStoreFailure(error)
      throw error
    } finally {
      for (const id of ids) this.#loading.delete(id)
    }
  }
}

/** A small state is a view of the block or record that it came in, which must not stay as long as the actor does. */
function keepOwnState(actor: CachedActor): void {
  const { committed, tip } = actor
  if (committed.state === null || committed.state.buffer.byteLength === committed.state.length) return
  actor.committed = { ...committed, state: new Uint8Array(committed.state) }
  if (tip === committed) actor.tip = actor.committed
}

const sameHash = (a: Hash64, b: Hash64) => a.hi === b.hi && a.lo === b.lo
