/**
 * Answers watchers: a page of committed changes after a cursor, then one end message with the place to go on from and the head.
 *
 * Pages are pulled by the watcher, which is its back-pressure, and the owner keeps nothing for it. Asking again is the heartbeat: a
 * watcher whose `next` is the `head` has missed nothing.
 */
import type { Transport } from '../ports/transport.ts'
import { formatCursor, parseCursor, type Cursor } from '../protocol/cursor.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../protocol/errors.ts'
import { seq as seqOf, type Generation, type PartitionId, type Seq } from '../protocol/ids.ts'
import { changeMessage } from './change-message.ts'
import type { History } from './history.ts'

export interface WatchRequest {
  readonly from: Cursor | 'start' | 'now'
  readonly type: string | undefined
  readonly key: string | undefined
  /** Changes in the page, at most. */
  readonly limit: number
}

const mostChanges = 1_000
const mostBytes = 512 * 1_024
/** Behind the last change of any record. */
const endOfRecord = 2 ** 31 - 1

/** Throws `INVALID` for anything else than a watch request of this partition. */
export function parseWatchRequest(data: Uint8Array, partition: PartitionId): WatchRequest {
  let request: unknown
  try {
    request = data.length === 0 ? {} : JSON.parse(Buffer.from(data).toString())
  } catch (cause) {
    throw new HoldfastError('INVALID', 'a watch request is a JSON object', { cause })
  }
  if (typeof request !== 'object' || request === null) throw new HoldfastError('INVALID', 'a watch request is a JSON object')
  const { from = 'now', type, key, limit = mostChanges } = request as Record<string, unknown>
  if (typeof from !== 'string') throw new HoldfastError('INVALID', '`from` is a cursor, "start" or "now"')
  if (!isTextOrAbsent(type) || !isTextOrAbsent(key)) throw new HoldfastError('INVALID', '`type` and `key` are texts')
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1) {
    throw new HoldfastError('INVALID', '`limit` is a whole number from 1')
  }
  const cursor = from === 'start' || from === 'now' ? from : parseCursor(from)
  if (typeof cursor === 'object' && cursor.partition !== partition) {
    throw new HoldfastError('INVALID', `this cursor is of partition ${cursor.partition}, not ${partition}`)
  }
  return { from: cursor, type, key, limit: Math.min(limit, mostChanges) }
}

export interface WatchPagesOptions {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly history: History
  readonly transport: Transport
}

/** Sends one page to `inbox`. Rejects never: what goes wrong is told there. */
export async function sendPage(options: WatchPagesOptions, data: Uint8Array, inbox: string): Promise<void> {
  const { transport } = options
  try {
    const end = await sendChanges(options, parseWatchRequest(data, options.partition), inbox)
    transport.publish(inbox, Buffer.from(JSON.stringify(end)))
  } catch (error) {
    const code = isHoldfastError(error) ? error.code : 'INTERNAL'
    transport.publish(inbox, Buffer.from(JSON.stringify({ error: { code, message: messageOf(error) } })))
  }
}

interface EndOfPage {
  readonly end: true
  readonly next: string
  readonly head: string
  readonly more: boolean
}

async function sendChanges(options: WatchPagesOptions, request: WatchRequest, inbox: string): Promise<EndOfPage> {
  const { partition, generation, history, transport } = options
  const text = (seq: Seq, index: number) => formatCursor({ partition, generation, seq, index })
  const head = history.head
  const endOf = (seq: Seq) => text(seq, endOfRecord)
  if (request.from === 'now') return { end: true, next: endOf(head), head: endOf(head), more: false }
  const from = request.from === 'start' ? { seq: seqOf(0), index: endOfRecord } : request.from
  if (typeof request.from === 'object' && request.from.generation !== generation) {
    throw new HoldfastError('CONFLICT', 'this cursor is of another generation of the log: watch from "start" or "now"')
  }
  if (from.seq > head) throw new HoldfastError('RETRY', 'this owner has not come to that cursor yet; ask again')
  let sent = 0
  let bytes = 0
  // The record of the cursor itself may have changes behind it.
  const after = seqOf(from.index === endOfRecord ? from.seq : Math.max(0, from.seq - 1))
  for await (const changes of history.after(after)) {
    for (const change of changes) {
      if (change.seq > head) return { end: true, next: endOf(head), head: endOf(head), more: false }
      if (change.seq === from.seq && change.index <= from.index) continue
      if (request.type !== undefined && change.type !== request.type) continue
      if (request.key !== undefined && change.key !== request.key) continue
      const message = changeMessage(partition, generation, change, transport.maxPayload)
      transport.publish(inbox, message.data, { headers: message.headers })
      sent++
      bytes += message.data.length
      if (sent >= request.limit || bytes >= mostBytes) {
        return { end: true, next: text(change.seq, change.index), head: endOf(head), more: true }
      }
    }
  }
  return { end: true, next: endOf(head), head: endOf(head), more: false }
}

const isTextOrAbsent = (value: unknown): value is string | undefined => value === undefined || typeof value === 'string'
