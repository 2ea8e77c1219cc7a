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
 * D4. What the store has to learn is told when it is asked for, replies by blocks of numbers: of one that came and went meanwhile it hears
 *     nothing, and those of the moment are a row or two.
 */
import type { SessionId } from '../protocol/ids.ts'
import { ownBytes } from '../protocol/own-bytes.ts'
import type { CommitRecord } from '../protocol/record.ts'
import { NumberMap } from './number-map.ts'

/** Partition time, ms. A client stops repeating an id well before that. */
export const sessionTermMs = 120_000

interface Session {
  low: number
  lastContactMs: number
  readonly replies: NumberMap<Uint8Array>
  /** Blocks of numbers that the store has a row for, and those whose replies have changed since (D4). */
  readonly stored: Set<number>
  readonly changed: Set<number>
}

/** Numbers of one block of replies, which are one row of the store. */
const blockNumbers = 4_096

const blockOf = (number: number) => Math.floor(number / blockNumbers)

export interface SessionSnapshot {
  readonly session: SessionId
  readonly low: number
  readonly lastContactMs: number
}

/** Replies of one session whose numbers are of one block. */
export interface ReplyBlock {
  readonly session: SessionId
  readonly block: number
  readonly replies: ReadonlyMap<number, Uint8Array>
}

/** What has changed here, to be written to the store: first what is gone, then what is there. */
export interface SessionChanges {
  readonly ended: SessionId[]
  readonly forgotten: { readonly session: SessionId; readonly block: number }[]
  readonly marks: SessionSnapshot[]
  /** Each whole, in place of what the store had of it. */
  readonly remembered: ReplyBlock[]
}

const noChanges = (): SessionChanges => ({ ended: [], forgotten: [], marks: [], remembered: [] })

export class Sessions {
  readonly #sessions = new Map<SessionId, Session>()
  #replies = 0
  #replyBytes = 0
  /** Sessions with something to tell, and what is gone (D4). */
  readonly #changed = new Set<SessionId>()
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
    this.#sessions.set(session, newSession(low, lastContactMs))
  }

  restoreReplies({ session, block, replies }: ReplyBlock): void {
    const found = this.#sessions.get(session)
    if (found === undefined) return
    found.stored.add(block)
    for (const [number, reply] of replies) if (number >= found.low) this.#remember(found, number, reply)
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
  apply(record: CommitRecord): void {
    for (const session of record.ended) this.#end(session, record.time)
    for (const { session, low } of record.sessions) this.#contact(session, low, record.time)
    for (const { session: index, number, reply } of record.turns) {
      if (index === null) continue
      const found = this.#sessions.get(record.sessions[index]!.session)!
      if (number < found.low) continue
      this.#remember(found, number, ownBytes(reply))
      found.changed.add(blockOf(number))
    }
  }

  /** What has changed since this was last asked (D4). */
  takeChanges(): SessionChanges {
    const changes = this.#gone
    this.#gone = noChanges()
    for (const session of this.#changed) {
      const found = this.#sessions.get(session)
      if (found === undefined) continue
      changes.marks.push({ session, low: found.low, lastContactMs: found.lastContactMs })
      for (const [block, replies] of changedBlocks(found)) {
        if (replies.size > 0) {
          changes.remembered.push({ session, block, replies })
          found.stored.add(block)
        } else if (found.stored.delete(block)) changes.forgotten.push({ session, block })
      }
      found.changed.clear()
    }
    this.#changed.clear()
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
      found = newSession(0, timeMs)
      this.#sessions.set(session, found)
    }
    found.lastContactMs = timeMs
    if (low > found.low) this.#settle(found, low)
    this.#changed.add(session)
  }

  /** Forgets the replies below `low`, by the shorter way: through the numbers that have become settled, or all replies. */
  #settle(found: Session, low: number): void {
    if (low - found.low <= found.replies.size) {
      for (let number = found.low; number < low; number++) this.#forget(found, number)
    } else {
      for (const number of [...found.replies.keys()]) if (number < low) this.#forget(found, number)
    }
    found.low = low
  }

  #remember({ replies }: Session, number: number, reply: Uint8Array): void {
    const former = replies.get(number)
    replies.set(number, reply)
    if (former === undefined) this.#replies++
    this.#replyBytes += reply.length - (former?.length ?? 0)
  }

  #forget({ replies, changed }: Session, number: number): void {
    const reply = replies.get(number)
    if (reply === undefined) return
    replies.delete(number)
    changed.add(blockOf(number))
    this.#replies--
    this.#replyBytes -= reply.length
  }

  #end(session: SessionId, timeMs: number): void {
    const found = this.#sessions.get(session)
    if (found === undefined || timeMs - found.lastContactMs < sessionTermMs) return
    for (const number of [...found.replies.keys()]) this.#forget(found, number)
    for (const block of found.stored) this.#gone.forgotten.push({ session, block })
    this.#sessions.delete(session)
    this.#gone.ended.push(session)
  }
}

/** The replies of each block that has changed, by the shorter way: through the numbers of these blocks, or all replies. */
function changedBlocks({ low, replies, changed }: Session): ReadonlyMap<number, ReadonlyMap<number, Uint8Array>> {
  const blocks = new Map<number, Map<number, Uint8Array>>()
  for (const block of changed) blocks.set(block, new Map())
  if (changed.size * blockNumbers > replies.size) {
    for (const [number, reply] of replies) blocks.get(blockOf(number))?.set(number, reply)
    return blocks
  }
  for (const [block, found] of blocks) {
    const first = block * blockNumbers
    for (let number = Math.max(low, first); number < first + blockNumbers; number++) {
      const reply = replies.get(number)
      if (reply !== undefined) found.set(number, reply)
    }
  }
  return blocks
}

const newSession = (low: number, lastContactMs: number): Session => ({
  low,
  lastContactMs,
  replies: new NumberMap(),
  stored: new Set(),
  changed: new Set(),
})
