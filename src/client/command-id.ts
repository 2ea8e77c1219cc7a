/**
 * The id of a command, as callers see it: what an `UNKNOWN` error carries and what `{ id }` or the header `Hf-Id` repeats.
 *
 * I1. `<session>:<number>` is the command of that number of that session.
 * I2. Any other text is a caller's own id: command 1 of a session that it alone has, `x-<text>`. A random session name holds no
 *     `-`, so the two never meet.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { sessionId, type SessionId } from '../protocol/ids.ts'

export interface CommandId {
  readonly session: SessionId
  readonly number: number
}

const own = /^[A-Za-z0-9_-]{1,64}$/
const numbered = /^([A-Za-z0-9_-]{1,66}):([1-9][0-9]{0,15})$/

/** Whether it is an id of a caller's own making (I2). */
export const isOwnId = ({ session, number }: CommandId): boolean => number === 1 && session.startsWith('x-')

export const formatCommandId = (id: CommandId): string =>
  isOwnId(id) ? id.session.slice(2) : `${id.session}:${id.number}`

/** Throws `INVALID` for a text that is no id. */
export function parseCommandId(text: unknown): CommandId {
  if (typeof text === 'string') {
    if (own.test(text)) return { session: sessionId(`x-${text}`), number: 1 }
    const match = numbered.exec(text)
    const number = Number(match?.[2])
    if (match !== null && Number.isSafeInteger(number)) return { session: sessionId(match[1]!), number }
  }
  throw new HoldfastError(
    'INVALID',
    `"${String(text).slice(0, 80)}" is not the id of a command: pass the id of an UNKNOWN error as it is, or 1 to 64 of A-Z a-z 0-9 _ -`,
  )
}
