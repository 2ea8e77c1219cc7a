/**
 * What a partition remembers of the commands it has done (R3): for each client session its lowest outstanding number and the replies
 * from there up. It is partition state: every change comes from a record, so all replicas agree.
 *
 * D1. A reply is kept until its session says that it is settled (`low` passes it) or the session has ended: memory follows what
 *     is in flight.
 * D2. A session ends `sessionTermMs` of partition time after its last contact; an inherited one counts from the claim. A record that ends
 *     it may have been made while a turn of it was still in flight: who was in contact meanwhile goes on.
 * D3. The numbers of sessions and of replies, and the bytes of these, are bounded. At the bound new commands are refused (`OVERLOADED`); nothing is forgotten early.
 */
import type { SessionId } from '../protocol/ids.ts'
import type { CommitRecord } from '../protocol/record.ts'

/** Partition time, ms. A client stops repeating an id well before that. */
export const sessionTermMs = 120_000

interface Session {
  low: number
  lastContactMs: number
  readonly replies: Map<number, Uint8Array>
}

export interface SessionSnapshot {
  readonly session: SessionId
  readonly low: number
  readonly lastContactMs: number
}

/** What a record changed here, to be written to the store along with it. */
export interface SessionChanges {
  readonly marks: SessionSnapshot[]
  readonly ended: SessionId[]
  readonly remembered: { readonly session: SessionId; readonly number: number; readonly reply: Uint8Array }[]
  readonly forgotten: { readonly session: SessionId; readonly number: number }[]
}

export class Sessions {
  readonly #sessions = new Map<SessionId, Session>()
  #replies = 0
  #replyBytes = 0

  get count(): number {
    return this.#sessions.size
  }

  get replies(): number {
    return this.#replies
  }

  /** Of all replies. */
  get replyBytes(): number {
    return this.#replyBytes
  }

  /** Puts back what a store held. */
  restore(snapshot: SessionSnapshot): void {
    this.#sessions.set(snapshot.session, {
      low: snapshot.low,
      lastContactMs: snapshot.lastContactMs,
      replies: new Map(),
    })
  }

  restoreReply(session: SessionId, number: number, reply: Uint8Array): void {
    const found = this.#sessions.get(session)
    if (found === undefined || number < found.low) return
    this.#keep(found, number, reply)
  }

  has(session: SessionId): boolean {
    return this.#sessions.has(session)
  }

  /** The first reply to this command; `settled` if the client has it already; `new` if it was never done. */
  find(session: SessionId, number: number): Uint8Array | 'settled' | 'new' {
    const found = this.#sessions.get(session)
    if (found === undefined) return 'new'
    if (number < found.low) return 'settled'
    return found.replies.get(number) ?? 'new'
  }

  /** Takes in a valid commit record. */
  apply(record: CommitRecord): SessionChanges {
    const changes: SessionChanges = { marks: [], ended: [], remembered: [], forgotten: [] }
    for (const session of record.ended) this.#end(session, record.time, changes)
    for (const { session, low } of record.sessions) {
      let found = this.#sessions.get(session)
      if (found === undefined) {
        found = { low: 0, lastContactMs: record.time, replies: new Map() }
        this.#sessions.set(session, found)
      }
      found.lastContactMs = record.time
      if (low > found.low) {
        for (const number of settledNumbers(found, low)) {
          if (!this.#drop(found, number)) continue
          changes.forgotten.push({ session, number })
        }
        found.low = low
      }
      changes.marks.push({ session, low: found.low, lastContactMs: record.time })
    }
    for (const turn of record.turns) {
      if (turn.session === null) continue
      const { session } = record.sessions[turn.session]!
      const found = this.#sessions.get(session)!
      if (turn.number < found.low) continue
      // A copy: a small reply may be a view of a large block, which would stay as long as it does.
      const reply = new Uint8Array(turn.reply)
      this.#keep(found, turn.number, reply)
      changes.remembered.push({ session, number: turn.number, reply })
    }
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

  #keep({ replies }: Session, number: number, reply: Uint8Array): void {
    const former = replies.get(number)
    if (former === undefined) this.#replies++
    this.#replyBytes += reply.length - (former?.length ?? 0)
    replies.set(number, reply)
  }

  #drop({ replies }: Session, number: number): boolean {
    const reply = replies.get(number)
    if (reply === undefined) return false
    replies.delete(number)
    this.#replies--
    this.#replyBytes -= reply.length
    return true
  }

  #end(session: SessionId, timeMs: number, changes: SessionChanges): void {
    const found = this.#sessions.get(session)
    if (found === undefined || timeMs - found.lastContactMs < sessionTermMs) return
    for (const number of found.replies.keys()) {
      changes.forgotten.push({ session, number })
      this.#drop(found, number)
    }
    this.#sessions.delete(session)
    changes.ended.push(session)
  }
}

/** The numbers below `low` that may have a reply, by the shorter way: through the numbers that have become settled, or all replies. */
function* settledNumbers(session: Session, low: number): Iterable<number> {
  if (low - session.low <= session.replies.size) {
    for (let number = session.low; number < low; number++) yield number
  } else {
    for (const number of session.replies.keys()) if (number < low) yield number
  }
}
