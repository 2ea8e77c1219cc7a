import type { WireError } from '../protocol/frames.ts'
import type { Answer } from './turn.ts'

/** What an overloaded caller is asked to wait. */
const retryAfterMs = 100

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

/** A bound of the partition is reached; nothing happened. */
export const overloaded: Answer = {
  kind: 'error',
  error: {
    code: 'OVERLOADED',
    message: 'the partition has as many requests waiting as it may; nothing happened, try again a little later',
    retryAfterMs,
  },
}

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

export const notFound = (message: string): Answer => ({ kind: 'error', error: { code: 'NOT_FOUND', message } })
