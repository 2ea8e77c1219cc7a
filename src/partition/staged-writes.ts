/**
 * What is to be written to the store beside actors and position: sessions, replies and void records, only the last value of each.
 * Keys and values become bytes when they are taken: most replies are forgotten before they were ever written.
 */
import type { SessionChanges, SessionSnapshot } from '../core/sessions.ts'
import type { StoreOp } from '../ports/store.ts'
import type { Seq, SessionId } from '../protocol/ids.ts'
import { encodeSession, replyKey, sessionKey, voidKey } from './store-layout.ts'

const nothing = new Uint8Array(0)

export class StagedWrites {
  readonly #sessions = new Map<SessionId, SessionSnapshot | null>()
  readonly #replies = new Map<SessionId, Map<number, Uint8Array | null>>()
  #voids: Seq[] = []
  #size = 0

  /** Writes that `take` will give, about. */
  get size(): number {
    return this.#size
  }

  addVoid(at: Seq): void {
    this.#voids.push(at)
    this.#size++
  }

  addSessions(changes: SessionChanges): void {
    // What ends goes before what is new: a session may end and begin again in one record.
    for (const session of changes.ended) this.#sessions.set(session, null)
    for (const mark of changes.marks) this.#sessions.set(mark.session, mark)
    for (const { session, number } of changes.forgotten) this.#repliesOf(session).set(number, null)
    for (const { session, number, reply } of changes.remembered) this.#repliesOf(session).set(number, reply)
    this.#size += changes.ended.length + changes.marks.length + changes.forgotten.length + changes.remembered.length
  }

  /** All of it, and begins anew. */
  take(): StoreOp[] {
    const ops: StoreOp[] = this.#voids.map((at) => ({ key: voidKey(at), value: nothing }))
    for (const [session, mark] of this.#sessions) {
      ops.push({ key: sessionKey(session), value: mark === null ? null : encodeSession(mark) })
    }
    for (const [session, replies] of this.#replies) {
      for (const [number, reply] of replies) ops.push({ key: replyKey(session, number), value: reply })
    }
    this.#voids = []
    this.#sessions.clear()
    this.#replies.clear()
    this.#size = 0
    return ops
  }

  #repliesOf(session: SessionId): Map<number, Uint8Array | null> {
    let replies = this.#replies.get(session)
    if (replies === undefined) {
      replies = new Map()
      this.#replies.set(session, replies)
    }
    return replies
  }
}
