/**
 * A committed change as the JSON message that every language reads (E1).
 *
 * G1. The bytes of a message are good until the next one is made: publish them at once (T7).
 */
import type { Headers } from '../ports/transport.ts'
import { formatCursor } from '../protocol/cursor.ts'
import type { Generation, PartitionId } from '../protocol/ids.ts'
import { jsonRoom, writeJson } from '../protocol/json-bytes.ts'
import { headerNames, nameHeaders } from '../protocol/subjects.ts'
import { decodeValue, toJson } from '../protocol/values.ts'
import type { Change } from './history.ts'

export interface ChangeMessage {
  readonly data: Uint8Array
  readonly headers: Headers
}

/** More than the headers of a change can take. */
const headerAllowance = 4_096

/** Messages of the size that most have are made here (G1). */
const scratch = Buffer.allocUnsafeSlow(64 * 1_024)

/**
 * A state whose JSON is too large for a message is left out and `omitted: true` says so; a query still gives it. That takes a state
 * near the limit whose JSON form is much longer than its bytes. `reset`: it is what is there, whatever changes led to it.
 */
export function changeMessage(
  partition: PartitionId,
  generation: Generation,
  change: Change,
  maxPayload: number,
  reset?: 'reset',
): ChangeMessage {
  const { type, key, rev, seq, index, state, at } = change
  const cursor = formatCursor({ partition, generation, seq, index })
  const hashed = nameHeaders(type, key)
  const headers: Headers = { [headerNames.rev]: String(rev), [headerNames.cursor]: cursor, ...hashed }
  const head = `{"type":${JSON.stringify(type)},"key":${JSON.stringify(key)},"rev":${rev},`
  const marks = `${state === null ? ',"deleted":true' : ''}${reset === undefined ? '' : ',"reset":true'}`
  const tail = `,"cursor":"${cursor}","at":${at}${marks}}`
  const data = withState(head, state, tail)
  if (data.length + headerAllowance <= maxPayload) return { data, headers }
  return { data: Buffer.from(`${head}"omitted":true${tail}`), headers }
}

function withState(head: string, state: Uint8Array | null, tail: string): Uint8Array {
  const most =
    3 * (head.length + tail.length) + member.length + (state === null ? nothing.length : jsonRoom(state.length))
  if (most <= scratch.length) {
    const from = scratch.write(head + member)
    const to = state === null ? from + scratch.write(nothing, from) : writeJson(state, scratch, from)
    if (to >= 0) return scratch.subarray(0, to + scratch.write(tail, to))
  }
  return Buffer.from(head + member + (state === null ? nothing : JSON.stringify(toJson(decodeValue(state)))) + tail)
}

const member = '"state":'
const nothing = 'null'
