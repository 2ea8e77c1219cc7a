/**
 * A committed change as the JSON message that every language reads (E1).
 *
 * G1. The bytes of a message are good until the next one is made: publish them at once (T7).
 */
import type { Headers } from '../ports/transport.ts'
import { formatCursor } from '../protocol/cursor.ts'
import { isTooHeavy } from '../protocol/json-text.ts'
import type { Generation, PartitionId, Seq } from '../protocol/ids.ts'
import { jsonRoom, writeJson } from '../protocol/json-bytes.ts'
import { nameHeaders, type headerNames } from '../protocol/subjects.ts'
import { TextWriter } from '../protocol/text-writer.ts'
import { decodeValue, toJson } from '../protocol/values.ts'
import type { Change } from './history.ts'

export interface ChangeMessage {
  readonly data: Uint8Array
  readonly headers: Headers
}

/** More than the headers of a change can take. */
const headerAllowance = 4_096
/** More than the text of a change can take beside its state: type and key have 512 bytes each, and at most six for each of these. */
const aroundState = 8_192

/** Messages of the size that most have are made here (G1). */
const scratch = new TextWriter(64 * 1_024)
/** Views of its beginning, by their length: making one takes as long as copying it. */
const views: Uint8Array[] = []
const mostViews = 4_096

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
  const { type, key, rev, seq, index, state } = change
  const cursor = cursorText(partition, generation, seq, index)
  const hashed = nameHeaders(type, key)
  // By their names as they are: an object whose names are computed takes longer to make than the message.
  const plain: Record<typeof headerNames.rev | typeof headerNames.cursor, string> = {
    'Hf-Rev': String(rev),
    'Hf-Cursor': cursor,
  }
  const headers: Headers = hashed === undefined ? plain : { ...plain, ...hashed }
  writeHead(change)
  const fits = state === null || jsonRoom(state.length) + aroundState <= scratch.bytes.length
  const begin = scratch.at
  scratch.text('"state":')
  if (state === null) scratch.text('null')
  else if (!fits || !writeJson(state, scratch)) {
    const text = JSON.stringify(toJson(decodeValue(state)))
    scratch.at = begin
    const room = headerAllowance + aroundState + Buffer.byteLength(text)
    // Rare: larger than what is made here, or with values that have forms of their own.
    if (room <= maxPayload) {
      const data = joined(change, cursor, text, reset)
      if (!isTooHeavy(data)) return { data, headers }
      writeHead(change)
    }
    scratch.text('"omitted":true')
  }
  writeTail(change, cursor, reset)
  const data = written()
  if (data.length + headerAllowance <= maxPayload && !isTooHeavy(data)) return { data, headers }
  scratch.at = begin
  scratch.text('"omitted":true')
  writeTail(change, cursor, reset)
  return { data: written(), headers }
}

/** Cursors of one record, which most are asked for one after the other, differ in their end. */
function cursorText(partition: PartitionId, generation: Generation, seq: Seq, index: number): string {
  if (seq !== record.seq || partition !== record.partition || generation !== record.generation) {
    const cursors = formatCursor({ partition, generation, seq, index: 0 }).slice(0, -1)
    record = { partition, generation, seq, cursors }
  }
  return record.cursors + index
}

let record = { partition: -1 as PartitionId, generation: '' as Generation, seq: -1 as Seq, cursors: '' }

function joined(change: Change, cursor: string, state: string, reset: 'reset' | undefined): Uint8Array {
  const head = Buffer.from(scratch.bytes.subarray(0, scratch.at))
  scratch.at = 0
  writeTail(change, cursor, reset)
  return Buffer.concat([head, Buffer.from(`"state":${state}`), written()])
}

function writeHead({ type, key, rev }: Change): void {
  scratch.at = 0
  scratch.text('{"type":')
  scratch.json(type)
  scratch.text(',"key":')
  scratch.json(key)
  scratch.text(',"rev":')
  scratch.decimal(rev)
  scratch.text(',')
}

function writeTail({ state, at }: Change, cursor: string, reset: 'reset' | undefined): void {
  scratch.text(',"cursor":"')
  scratch.text(cursor)
  scratch.text('","at":')
  scratch.decimal(at)
  if (state === null) scratch.text(',"deleted":true')
  if (reset !== undefined) scratch.text(',"reset":true')
  scratch.text('}')
}

function written(): Uint8Array {
  const length = scratch.at
  if (length >= mostViews) return new Uint8Array(scratch.bytes.buffer, 0, length)
  return (views[length] ??= new Uint8Array(scratch.bytes.buffer, 0, length))
}
