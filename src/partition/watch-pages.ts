/**
 * Answers watchers: a page of committed changes after a cursor, then its end (protocol/watch.ts).
 *
 * Pages are pulled by the watcher, which is its back-pressure, and the owner keeps nothing for it. Asking again is the heartbeat: a
 * watcher whose `next` is the `head` has missed nothing.
 *
 * A page ends also when much was looked at and little of it matched, be it changes of others, or replies and what else is in records: the
 * watcher takes silence for a loss, and would ask for the same again and again.
 *
 * K1. A page `from: 'start'` or a cursor has every change behind it that matches, also those in the rest of the cursor's own record. Where
 *     the log does not keep the first of them any more, or is another log, there is no page: `EXPIRED`.
 */
import type { Transport } from '../ports/transport.ts'
import { endOfRecord, formatCursor, parseCursor } from '../protocol/cursor.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../protocol/errors.ts'
import { seq as seqOf, type Generation, type PartitionId, type Seq } from '../protocol/ids.ts'
import {
  decodeWatchRequest,
  encodePageEnd,
  encodePageError,
  maxPageBytes,
  maxPageChanges,
  type PageEnd,
  type WatchRequest,
} from '../protocol/watch.ts'
import { changeMessage } from './change-message.ts'
import type { Change, History } from './history.ts'
import { sendStates, type StateSource } from './watch-states.ts'

/** Records that a page looks at, at most; and it ends with the one by which they have so many bytes. */
const mostRecords = 2_048
const mostLookedAtBytes = 8 * 1_024 * 1_024

export interface WatchPagesOptions {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly history: History
  readonly states: StateSource
  readonly transport: Transport
}

/** Sends one page to `inbox`. What goes wrong is told there; it rejects where that cannot be. */
export async function sendPage(options: WatchPagesOptions, data: Uint8Array, inbox: string): Promise<void> {
  const { transport } = options
  try {
    const request = decodeWatchRequest(data)
    const send = request.from === 'state' ? sendStates : sendChanges
    transport.publish(inbox, encodePageEnd(await send(options, request, inbox)))
  } catch (error) {
    transport.publish(inbox, encodePageError(isHoldfastError(error) ? error.code : 'INTERNAL', messageOf(error)))
  }
}

async function sendChanges(
  options: WatchPagesOptions,
  request: WatchRequest,
  inbox: string,
): Promise<Omit<PageEnd, 'kind'>> {
  const { partition, generation, history, transport } = options
  const head = history.head
  const text = (seq: Seq, index: number) => formatCursor({ partition, generation, seq, index })
  const headText = text(head, endOfRecord)
  if (request.from === 'now') return { next: headText, head: headText, more: false, count: 0 }
  const from = startOf(request.from, partition, generation)
  if (from.seq > head) throw new HoldfastError('RETRY', 'this owner has not come to that cursor yet; ask again')
  const limit = request.limit ?? maxPageChanges
  let count = 0
  let bytes = 0
  let lookedAtBytes = 0
  // The record of the cursor itself may have changes behind it.
  const after = seqOf(from.index === endOfRecord ? from.seq : Math.max(0, from.seq - 1))
  const last = seqOf(Math.min(head, after + mostRecords))
  for await (const { seq, bytes: recordBytes, changes } of history.recordsAfter(after, last)) {
    for (const change of changes) {
      if (change.seq === from.seq && change.index <= from.index) continue
      if (!matches(request, change)) continue
      const message = changeMessage(partition, generation, change, transport.maxPayload)
      transport.publish(inbox, message.data, { headers: message.headers })
      count++
      bytes += message.data.length
      if (count >= limit || bytes >= maxPageBytes) {
        return { next: text(change.seq, change.index), head: headText, more: true, count }
      }
    }
    lookedAtBytes += recordBytes
    if (lookedAtBytes >= mostLookedAtBytes) {
      return { next: text(seq, endOfRecord), head: headText, more: seq < head, count }
    }
  }
  return { next: text(last, endOfRecord), head: headText, more: last < head, count }
}

const matches = ({ type, key, prefix }: WatchRequest, change: Change) =>
  (type === undefined || change.type === type) &&
  (key === undefined || change.key === key) &&
  (prefix === undefined || change.key.startsWith(prefix))

function startOf(
  from: string,
  partition: PartitionId,
  generation: Generation,
): { readonly seq: Seq; readonly index: number } {
  if (from === 'start') return { seq: seqOf(0), index: endOfRecord }
  const cursor = parseCursor(from)
  if (cursor.partition !== partition) {
    throw new HoldfastError('INVALID', `this cursor is of partition ${cursor.partition}, not ${partition}`)
  }
  if (cursor.generation !== generation) {
    throw new HoldfastError('EXPIRED', 'this cursor is of another generation of the log')
  }
  return cursor
}
