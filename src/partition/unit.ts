/**
 * A unit of the partition's own: changes of any of its entries and messages to be sent, all in one turn of one record, or none.
 *
 * U1. Nothing of a unit is seen outside before `commit`, and nothing is left of one that is dropped.
 * U2. Reads of a unit see its own writes, and else the outcome of all that came before, committed or not (N2).
 * U3. A key that a unit has written is its own until its end: what expires meanwhile is not removed under it, so the revs that it was told
 *     are those that it gets. It counts the time from its beginning on as one moment.
 * U4. However often it writes a key, that is one rev of it; a write that leaves nothing where nothing was is none.
 * U5. A unit fits into one record: what would make it larger is `INVALID`.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { nextRev, type Rev } from '../protocol/ids.ts'
import type { OutputRecord } from '../protocol/record.ts'
import type { CachedActor } from './actor-cache.ts'
import { actorId } from './names.ts'
import { versionAfter, type Outcome } from './outcome.ts'
import type { Replica } from './replica.ts'
import { unexpired, type Version } from './store-layout.ts'
import { FinishedTurn, StateChange } from './turn.ts'

export interface UnitHost {
  readonly replica: Pick<Replica, 'peek' | 'load'>
  /** Ids that are not to be removed by expiry now (U3). */
  readonly reserved: Set<string>
  /** How long the tombstone of what is deleted is kept, ms of partition time. */
  readonly tombstoneMs: number
  readonly maxBytes: number
  /** Partition time. */
  readonly now: () => number
  readonly finish: (finished: FinishedTurn) => void
}

/** What a key has, as far as this unit is concerned. */
export interface Seen {
  readonly rev: Rev
  /** `null`: there is nothing. */
  readonly state: Uint8Array | null
  readonly expiresAt: number | null
}

/** A write of this unit. */
export interface Written extends Seen {
  readonly key: string
}

interface Write {
  readonly actor: CachedActor
  readonly type: string
  readonly key: string
  readonly outcome: Outcome
}

/** What a write or an output takes in a record beside its texts and bytes, at most. */
const overheadBytes = 64
const noReply = new Uint8Array(0)

export class Unit {
  /** Partition time, ms, of all of it (U3). */
  readonly nowMs: number
  readonly #host: UnitHost
  readonly #writes = new Map<string, Write>()
  readonly #outputs: OutputRecord[] = []
  #bytes = 0
  #ended = false

  constructor(host: UnitHost) {
    this.#host = host
    this.nowMs = host.now()
  }

  /** Of its writes and outputs, about. */
  get bytes(): number {
    return this.#bytes
  }

  get outputs(): number {
    return this.#outputs.length
  }

  async read(type: string, key: string): Promise<Seen> {
    this.#check()
    const id = actorId(type, key)
    const actor = this.#writes.get(id)?.actor ?? this.#host.replica.peek(id)
    if (actor !== undefined) return this.#seen(actor)
    const [loaded] = await this.#host.replica.load([id])
    loaded!.holds--
    return this.#seen(loaded!)
  }

  /** Writes what `decide` makes of what is there, `undefined` for nothing. Between the two nothing else happens. */
  async write(type: string, key: string, decide: (seen: Seen) => Outcome | undefined): Promise<Seen> {
    this.#check()
    const actor = await this.#hold(actorId(type, key))
    let kept = false
    try {
      this.#check()
      const before = this.#writes.get(actor.id)
      const outcome = decide(this.#seen(actor))
      if (outcome === undefined) return this.#seen(actor)
      this.#grow(weightOf(type, key, outcome) - (before === undefined ? 0 : weightOf(type, key, before.outcome)))
      this.#writes.set(actor.id, { actor, type, key, outcome })
      this.#host.reserved.add(actor.id)
      kept = before === undefined
      return this.#seen(actor)
    } finally {
      if (!kept) actor.holds--
    }
  }

  send(output: OutputRecord): void {
    this.#check()
    let bytes = overheadBytes + 3 * output.subject.length + output.data.length
    for (const [name, value] of Object.entries(output.headers)) bytes += name.length + 3 * value.length + 10
    this.#grow(bytes)
    this.#outputs.push(output)
  }

  /** Its writes of a type. */
  writesOf(type: string): readonly Written[] {
    const found: Written[] = []
    for (const write of this.#writes.values()) {
      if (write.type === type) found.push({ key: write.key, ...this.#seen(write.actor) })
    }
    return found
  }

  /** Gives it to the log, if there is anything in it. `onCommitted` is called when it is committed, and never if the ownership ends before. */
  commit(onCommitted: () => void): void {
    this.#check()
    this.#ended = true
    const changes: StateChange[] = []
    for (const { actor, type, key, outcome } of this.#writes.values()) {
      this.#host.reserved.delete(actor.id)
      if (outcome.state === null && this.#before(actor).state === null) {
        actor.holds--
        continue
      }
      const before = actor.tip
      const after = versionAfter(actor, outcome, () => this.nowMs + this.#host.tombstoneMs)
      actor.tip = after
      changes.push(new StateChange(actor, type, key, before, after))
    }
    this.#writes.clear()
    if (changes.length === 0 && this.#outputs.length === 0) return onCommitted()
    this.#host.finish(new FinishedTurn(undefined, changes, noReply, this.#outputs, onCommitted))
  }

  /** Idempotent, also after `commit`. */
  drop(): void {
    this.#ended = true
    for (const { actor } of this.#writes.values()) {
      this.#host.reserved.delete(actor.id)
      actor.holds--
    }
    this.#writes.clear()
  }

  #seen(actor: CachedActor): Seen {
    const write = this.#writes.get(actor.id)
    if (write === undefined) return this.#before(actor)
    return { rev: nextRev(actor.tip.rev), ...write.outcome }
  }

  #before(actor: CachedActor): Version {
    return unexpired(actor.tip, () => this.nowMs)
  }

  async #hold(id: string): Promise<CachedActor> {
    const actor = this.#host.replica.peek(id)
    if (actor === undefined) return (await this.#host.replica.load([id]))[0]!
    actor.holds++
    return actor
  }

  #grow(bytes: number): void {
    const { maxBytes } = this.#host
    if (this.#bytes + bytes > maxBytes) {
      throw new HoldfastError(
        'INVALID',
        `what one message writes and sends has at most ${maxBytes} bytes, as it goes into one record: this one has ${this.#bytes + bytes}`,
      )
    }
    this.#bytes += bytes
  }

  #check(): void {
    if (!this.#ended) return
    throw new HoldfastError('RETRY', 'this message has come to its end, or the partition was lost: nothing was written')
  }
}

const weightOf = (type: string, key: string, { state }: Outcome): number =>
  overheadBytes + 3 * (type.length + key.length) + (state?.length ?? 0)
