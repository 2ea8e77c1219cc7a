/** A committed change as the JSON message that every language reads (E1). */
import type { Headers } from '../ports/transport.ts'
import { formatCursor } from '../protocol/cursor.ts'
import { isTooHeavy } from '../protocol/json-text.ts'
import type { Generation, PartitionId } from '../protocol/ids.ts'
import { headerNames, nameHeaders } from '../protocol/subjects.ts'
import { decodeValue, toJson } from '../protocol/values.ts'
import type { Change } from './history.ts'

export interface ChangeMessage {
  readonly data: Uint8Array
  readonly headers: Headers
}

/**
 * A state whose JSON is too large for a message, or has too many parts for its reader, is left out and `omitted: true` says so; a query still gives it. That takes a state
 * near the limit whose JSON form is much longer than its bytes. `reset`: it is what is there, whatever changes led to it.
 */
export function changeMessage(
  partition: PartitionId,
  generation: Generation,
  change: Change,
  maxPayload: number,
  reset?: 'reset',
): ChangeMessage {
  const { type, key, rev, seq, index } = change
  const cursor = formatCursor({ partition, generation, seq, index })
  const headers = { [headerNames.rev]: String(rev), [headerNames.cursor]: cursor, ...nameHeaders(type, key) }
  const state = change.state === null ? null : toJson(decodeValue(change.state))
  const at = change.at
  const mark = { ...(change.state === null ? { deleted: true } : {}), ...(reset === undefined ? {} : { reset: true }) }
  const data = Buffer.from(JSON.stringify({ type, key, rev, state, cursor, at, ...mark }))
  if (data.length + headerAllowance <= maxPayload && !isTooHeavy(data)) return { data, headers }
  return { data: Buffer.from(JSON.stringify({ type, key, rev, omitted: true, cursor, at, ...mark })), headers }
}

/** More than the headers of a change can take. */
const headerAllowance = 4_096
