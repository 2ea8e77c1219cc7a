import type { ReplyPosition, WireError } from '../protocol/frames.ts'
import type { Answer } from './turn.ts'

/** Nothing happened here; whoever owns the partition now may be asked. */
export const notExecuted: Answer = {
  kind: 'error',
  error: { code: 'RETRY', message: 'the partition changed hands before this was done; nothing happened, try again' },
}

/** It may be in the log (R2); whoever owns the partition now knows by the id. */
export const inDoubt: Answer = {
  kind: 'error',
  error: {
    code: 'UNKNOWN',
    message: 'the owner stopped before it knew whether this is in the log; repeat it with its id',
  },
}

/** Its session has said that it has the reply (R3); what asks now is late, or a copy. */
export const forgotten: Answer = {
  kind: 'error',
  error: { code: 'CONFLICT', message: 'this command was answered before, and its session has let go of the reply' },
}

/** The bounds of a partition (docs/limits.md), and what is said of each that is reached. */
const bounds = {
  turns: 'the partition has as many commands waiting as it may',
  key: 'this key has as many commands waiting as one may',
  bytes: 'the partition has as many bytes of inputs waiting as it may',
  node: 'this node has as many bytes of inputs waiting as it may',
  processor: 'commands would wait too long for the processor of this node',
  uncommitted: 'the log of the partition does not keep up with its commands',
  store: 'the store of the partition does not keep up with its commands',
  sessions: 'the partition remembers as many clients as it may',
  replies: 'the partition remembers as many replies as it may',
  repetitions: 'as many repetitions of commands wait for the partition as may',
  queries: 'the partition has as many queries waiting as it may',
  held: 'as many requests wait for the partition to be taken over as may',
} as const

export type Bound = keyof typeof bounds

/** All but that of the host, which is reached where there is no ownership yet. */
export const ownersBounds = (Object.keys(bounds) as readonly Bound[]).filter((bound) => bound !== 'held')

/** Where nothing is known of how long it will take. */
const usualWaitMs = 100

/** A bound of the partition is reached; nothing happened. `retryAfterMs`: when there is likely to be room. */
export const overloadedBy = (bound: Bound, retryAfterMs = usualWaitMs): Answer => ({
  kind: 'error',
  error: {
    code: 'OVERLOADED',
    message: `${bounds[bound]}; nothing happened, try again a little later`,
    retryAfterMs,
  },
})

/** As many idempotency keys are kept as may be (kept-reply.ts, I3). */
export const keysFull: WireError = {
  code: 'OVERLOADED',
  message:
    'the partition keeps as many idempotency keys as it may; nothing happened: wait for old ones to expire, or call without',
  retryAfterMs: 60_000,
}

/** What no retry here can mend (L1, L4); another owner, or an operator, may. */
export const stopped = (reason: string): Answer => ({
  kind: 'error',
  error: { code: 'RETRY', message: `the partition is stopped and nothing happened: ${reason}` },
})

/** The reader has seen what this owner has not heard of yet. */
export const behind = (at: ReplyPosition): Answer => ({
  kind: 'error',
  error: {
    code: 'RETRY',
    message: 'the owner does not yet know of the record that this is to be answered after; ask again',
  },
  at,
})

/** No order is between the two: the reader has to begin anew. */
export const anotherLog = (at: ReplyPosition): Answer => ({
  kind: 'error',
  error: {
    code: 'INVALID',
    message: `what this is to be answered after is of another log: that of the partition is of generation ${at.generation} now`,
  },
  at,
})

export const notFound = (message: string): Answer => ({ kind: 'error', error: { code: 'NOT_FOUND', message } })
