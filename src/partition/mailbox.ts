/**
 * What a partition has accepted and not answered yet: how much that is, and whether one more may come in (N5 of the turn loop).
 *
 * B1. Bounded are turns, of all keys and of each; bytes of inputs that have not run, of the partition and of its node; sessions and replies
 *     that are remembered; outcomes that no log has; rows that no store has; and how long turns wait for the processor.
 * B2. At a bound the answer comes at once, and names the time by which there is likely to be room (core/drain.ts).
 */
import { beginDrain, drainMs, lookAtDrain, withinReason } from '../core/drain.ts'
import { gauge, Refusals, type Metric } from '../ports/metrics.ts'
import { overloadedBy, ownersBounds, type Bound } from './answers.ts'
import type { NodeMemory } from './node-memory.ts'
import type { Replica } from './replica.ts'
import type { Answer, Turn } from './turn.ts'

export interface MailboxOptions {
  readonly replica: Pick<Replica, 'sessions' | 'isBehind'>
  /** Turns accepted and not answered yet, at most. Default 16,384. */
  readonly mailboxTurns: number
  /** Those of one key, at most. Default 4,096. */
  readonly keyTurns: number
  /** Bytes of inputs of those that have not run, at most. Default 32 MiB. */
  readonly mailboxBytes: number
  /** What it shares with the other partitions of its node. */
  readonly memory: Pick<NodeMemory, 'hasRoom' | 'waitingBytes'>
  /** How long turns may wait for the processor, ms. Default 2,000. */
  readonly maxWaitMs: number
  /** Bytes that finished turns have on their way to the log, and how many they may have at most. */
  readonly uncommittedBytes: () => number
  readonly maxUncommittedBytes: () => number
  /** Sessions remembered at most. Default 100,000. */
  readonly maxSessions: number
  /** Replies remembered at most. Default 1,000,000. */
  readonly maxReplies: number
  /** Bytes of these, at most. Default 64 MiB. */
  readonly maxReplyBytes: number
}

/** Sessions, and what they have not settled, are let go of after two minutes at the latest (R3). */
const sessionsWaitMs = 5_000
const noInput = new Uint8Array(0)

export class Mailbox {
  readonly refusals = new Refusals<Bound>('partition', ownersBounds)
  readonly #options: MailboxOptions
  #turns = 0
  #bytes = 0
  /** Turns that have been answered. */
  #answered = 0
  #drain = beginDrain

  constructor(options: MailboxOptions) {
    this.#options = options
  }

  metrics(): readonly Metric[] {
    const { mailboxTurns, mailboxBytes, maxSessions, maxReplies, maxReplyBytes, replica } = this.#options
    const { count, replies, replyBytes } = replica.sessions
    return [
      gauge('holdfast_mailbox_turns', this.#turns, mailboxTurns),
      gauge('holdfast_mailbox_bytes', this.#bytes, mailboxBytes),
      gauge('holdfast_uncommitted_bytes', this.#options.uncommittedBytes(), this.#options.maxUncommittedBytes()),
      gauge('holdfast_sessions', count, maxSessions),
      gauge('holdfast_replies', replies, maxReplies),
      gauge('holdfast_reply_bytes', replyBytes, maxReplyBytes),
      ...this.refusals.metrics(),
    ]
  }

  /**
   * The bound that keeps a turn from coming in, if one does. `ofKey`: turns of its key that are here; `waitMs`: how long it would wait for
   * the processor.
   */
  boundOf(turn: Turn, ofKey: number, waitMs: number): Bound | undefined {
    const { mailboxTurns, keyTurns, mailboxBytes, maxWaitMs, maxSessions, maxReplies, maxReplyBytes } = this.#options
    const { memory, replica } = this.#options
    const { sessions } = replica
    const bytes = turn.input.length
    if (this.#turns >= mailboxTurns) return 'turns'
    if (ofKey >= keyTurns) return 'key'
    if (this.#bytes + bytes > mailboxBytes) return 'bytes'
    if (!memory.hasRoom(bytes)) return 'node'
    if (waitMs > maxWaitMs) return 'processor'
    if (sessions.replies + this.#turns >= maxReplies || sessions.replyBytes >= maxReplyBytes) return 'replies'
    if (sessions.count >= maxSessions && !sessions.has(turn.session)) return 'sessions'
    return replica.isBehind ? 'store' : undefined
  }

  /** Whether turns that are in may begin: what they leave has to wait somewhere. */
  get mayBegin(): boolean {
    return this.#options.uncommittedBytes() < this.#options.maxUncommittedBytes()
  }

  /**
   * The answer at a bound. A key takes about as long as the next of its turns has waited, which came at `nextOfKeyMs`; all else goes as
   * fast as the mailbox drains (B2).
   */
  refuse(bound: Bound, nowMs: number, nextOfKeyMs?: number): Answer {
    this.refusals.count(bound)
    this.#drain = lookAtDrain(this.#drain, nowMs, this.#answered)
    if (bound === 'key' && nextOfKeyMs !== undefined) return overloadedBy(bound, withinReason(nowMs - nextOfKeyMs))
    if (bound === 'sessions' || bound === 'replies') return overloadedBy(bound, sessionsWaitMs)
    return overloadedBy(bound, drainMs(this.#drain, this.#turns))
  }

  enter(turn: Turn): void {
    this.#turns++
    this.#hold(turn.input.length)
  }

  /** It has run, or never will: its input is not wanted any more. */
  letGoOfInput(turn: Turn): void {
    this.#hold(-turn.input.length)
    turn.input = noInput
  }

  /** It was answered. */
  leave(turn: Turn): void {
    this.#turns--
    this.#answered++
    this.letGoOfInput(turn)
  }

  #hold(bytes: number): void {
    this.#bytes += bytes
    this.#options.memory.waitingBytes += bytes
  }
}
