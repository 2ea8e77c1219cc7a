/**
 * How far a task has come in its stream, in one partition: an entry of the partition's own, written in the unit of the message that it
 * stands at.
 */
import type { InputInfo } from '../ports/inputs.ts'
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

/** Why a position is not one of this stream. */
export function strangeness(known: Position, stream: string, { created, last }: InputInfo): string | undefined {
  if (known.stream !== stream) return `its position is one in the stream ${known.stream}, and its input is ${stream}`
  if (known.created !== created) {
    return `the stream ${stream} was made at ${created}, and its position is one in the stream made at ${known.created}`
  }
  if (known.seq > last)
    return `the stream ${stream} ends at ${last}, and ${known.seq} was processed: it has lost messages`
  return undefined
}
