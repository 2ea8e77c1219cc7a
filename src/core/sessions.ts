/**
 * What a partition remembers of the commands it has done (R3): for each client session its lowest outstanding number and the replies
 * from there up. It is partition state: every change comes from a record, so all replicas agree.
 *
 * D1. A reply is kept until its session says that it is settled (`low` passes it) or the session has ended: memory follows what
 *     is in flight.
 * D2. A session ends `sessionTermMs` of partition time after its last contact; an inherited one counts from the claim. A record that ends
 *     it may have been made while a turn of it was still in flight: who was in contact meanwhile goes on.
 * D3. The numbers of sessions and of replies, and the bytes of these, are bounded. At a bound new commands are refused (`OVERLOADED`);
 *     nothing is forgotten early.
 * D4. What the store has to learn is told when it is asked for: of a reply that came and went meanwhile, as most do, it hears nothing.
 */
import type { SessionId } from '../protocol/ids.ts'
import type { CommitRecord } from '../protocol/record.ts'

/** Partition time, ms. A client stops repeating an id well before that. */
export const sessionTermMs = 120_000

interface Session {
  low: number
  lastContactMs: number
  /** Replies that are in the store, and those that came since (D4). */
  readonly stored: Map<number, Uint8Array>
  readonly fresh: Map<number, Uint8Array>
  /** Something of it is to be told (D4). */
  changed: boolean
}

export interface SessionSnapshot {
  readonly session: SessionId
  readonly low: number
  readonly lastContactMs: number
}

/** What has changed here, to be written to the store: first what is gone, then what is there. */
export interface SessionChanges {
  readonly ended: SessionId[]
  readonly forgotten: { readonly session: SessionId; readonly number: number }[]
  readonly marks: SessionSnapshot[]
  readonly remembered: { readonly session: SessionId; readonly number: number; readonly reply: Uint8Array }[]
}

const noChanges = (): SessionChanges => ({ ended: [], forgotten: [], marks: [], remembered: [] })

export class Sessions {
  readonly #sessions = new Map<SessionId, Session>()
  #replies = 0
  #replyBytes = 0
  /** Sessions with something to tell, and what is gone (D4). */
  #changed: SessionId[] = []
  #gone: SessionChanges = noChanges()

  get count(): number {
    return this.#sessions.size
  }

  get replies(): number {
    return this.#replies
  }

  get replyBytes(): number {
    return this.#replyBytes
  }

  /** Puts back what a store held. */
  restore({ session, low, lastContactMs }: SessionSnapshot): void {
    this.#sessions.set(session, { low, lastContactMs, stored: new Map(), fresh: new Map(), changed: false })
  }

  restoreReply(session: SessionId, number: number, reply: Uint8Array): void {
    const found = this.#sessions.get(session)
    if (found !== undefined && number >= found.low) this.#remember(found.stored, number, reply)
  }

  has(session: SessionId): boolean {
    return this.#sessions.has(session)
  }

  /** The first reply to this command; `settled` if the client has it already; `new` if it was never done. */
  find(session: SessionId, number: number): Uint8Array | 'settled' | 'new' {
    const found = this.#sessions.get(session)
    if (found === undefined) return 'new'
    if (number < found.low) return 'settled'
    return found.fresh.get(number) ?? found.stored.get(number) ?? 'new'
  }

  /** Takes in a valid commit record. */
  apply(record: CommitRecord): void {
    for (const session of record.ended) this.#end(session, record.time)
    for (const { session, low } of record.sessions) this.#contact(session, low, record.time)
    for (const { session: index, number, reply } of record.turns) {
      if (index === null) continue
      const { session } = record.sessions[index]!
      const found = this.#sessions.get(session)!
      if (number < found.low) continue
      this.#forget(session, found, number)
      // A copy: a reply may be a view of a large block, which would stay as long as it does.
      this.#remember(found.fresh, number, new Uint8Array(reply))
    }
  }

  /** What has changed since this was last asked (D4). */
  takeChanges(): SessionChanges {
    const changes = this.#gone
    this.#gone = noChanges()
    for (const session of this.#changed) {
      const found = this.#sessions.get(session)
      if (found?.changed !== true) continue
      found.changed = false
      changes.marks.push({ session, low: found.low, lastContactMs: found.lastContactMs })
      for (const [number, reply] of found.fresh) {
        changes.remembered.push({ session, number, reply })
        found.stored.set(number, reply)
      }
      found.fresh.clear()
    }
    this.#changed = []
    return changes
  }

  /** Sessions that have ended by `timeMs`, where those inherited count from `claimedAtMs` at the earliest (D2). */
  expired(timeMs: number, claimedAtMs: number): SessionId[] {
    const ended: SessionId[] = []
    for (const [session, { lastContactMs }] of this.#sessions) {
      if (timeMs - Math.max(lastContactMs, claimedAtMs) >= sessionTermMs) ended.push(session)
    }
    return ended
  }

  #contact(session: SessionId, low: number, timeMs: number): void {
    let found = this.#sessions.get(session)
    if (found === undefined) {
      found = { low: 0, lastContactMs: timeMs, stored: new Map(), fresh: new Map(), changed: false }
      this.#sessions.set(session, found)
    }
    found.lastContactMs = timeMs
    if (low > found.low) this.#settle(session, found, low)
    if (found.changed) return
    found.changed = true
    this.#changed.push(session)
  }

  /** Forgets the replies below `low`, by the shorter way: through the numbers that have become settled, or all replies. */
  #settle(session: SessionId, found: Session, low: number): void {
    const { fresh, stored } = found
    if (low - found.low <= fresh.size + stored.size) {
      for (let number = found.low; number < low; number++) this.#forget(session, found, number)
    } else {
      for (const number of fresh.keys()) if (number < low) this.#forget(session, found, number)
      for (const number of stored.keys()) if (number < low) this.#forget(session, found, number)
    }
    found.low = low
  }

  /** A number has at most one reply: a new one takes the place of what there was. */
  #remember(replies: Map<number, Uint8Array>, number: number, reply: Uint8Array): void {
    const former = replies.get(number)
    replies.set(number, reply)
    if (former === undefined) this.#replies++
    this.#replyBytes += reply.length - (former?.length ?? 0)
  }

  #forget(session: SessionId, { fresh, stored }: Session, number: number): void {
    let reply = fresh.get(number)
    if (reply !== undefined) fresh.delete(number)
    else {
      reply = stored.get(number)
      if (reply === undefined) return
      stored.delete(number)
      this.#gone.forgotten.push({ session, number })
    }
    this.#replies--
    this.#replyBytes -= reply.length
  }

  #end(session: SessionId, timeMs: number): void {
    const found = this.#sessions.get(session)
    if (found === undefined || timeMs - found.lastContactMs < sessionTermMs) return
    for (const number of found.fresh.keys()) this.#forget(session, found, number)
    for (const number of found.stored.keys()) this.#forget(session, found, number)
    this.#sessions.delete(session)
    this.#gone.ended.push(session)
  }
}
