/**
 * How far a task has come in its stream, in one partition: an entry of the partition's own, written in the unit of the message that it
 * stands at.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { decodeValue, encodeValue } from '../protocol/values.ts'

/** The type of these entries; the key is the task's name. */
export const positionType = '.task'

export interface Position {
  readonly stream: string
  /** Which stream of that name. */
  readonly created: string
  /** Everything of this partition up to here is done with. */
  readonly seq: number
}

export const encodePosition = ({ stream, created, seq }: Position): Uint8Array => encodeValue([stream, created, seq])

/** Throws `INTERNAL` for anything that `encodePosition` cannot have written. */
export function decodePosition(state: Uint8Array): Position {
  const fields = decodeValue(state)
  if (Array.isArray(fields) && fields.length === 3) {
    const [stream, created, seq] = fields
    if (typeof stream === 'string' && typeof created === 'string' && Number.isSafeInteger(seq)) {
      return { stream, created, seq: seq as number }
    }
  }
  throw new HoldfastError('INTERNAL', 'the position of a task cannot be decoded')
}
