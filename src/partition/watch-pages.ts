/**
 * Answers watchers: a page of committed changes after a cursor, then its end (protocol/watch.ts).
 *
 * Pages are pulled by the watcher, which is its back-pressure, and the owner keeps nothing for it. Asking again is the heartbeat: a
 * watcher whose `next` is the `head` has missed nothing.
 */
import type { Transport } from '../ports/transport.ts'
import { formatCursor, parseCursor } from '../protocol/cursor.ts'
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
import type { History } from './history.ts'

/** Behind the last change of any record. */
const endOfRecord = 2 ** 31 - 1

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
    transport.publish(inbox, encodePageEnd(await sendChanges(options, decodeWatchRequest(data), inbox)))
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
  const whole = (count: number) => ({ next: headText, head: headText, more: false, count })
  if (request.from === 'now') return whole(0)
  const from = startOf(request.from, partition, generation)
  if (from.seq > head) throw new HoldfastError('RETRY', 'this owner has not come to that cursor yet; ask again')
  const limit = request.limit ?? maxPageChanges
  let count = 0
  let bytes = 0
  // The record of the cursor itself may have changes behind it.
  const after = seqOf(from.index === endOfRecord ? from.seq : Math.max(0, from.seq - 1))
  for await (const changes of history.after(after)) {
    for (const change of changes) {
      if (change.seq > head) return whole(count)
      if (change.seq === from.seq && change.index <= from.index) continue
      if (request.type !== undefined && change.type !== request.type) continue
      if (request.key !== undefined && change.key !== request.key) continue
      const message = changeMessage(partition, generation, change, transport.maxPayload)
      transport.publish(inbox, message.data, { headers: message.headers })
      count++
      bytes += message.data.length
      if (count >= limit || bytes >= maxPageBytes) {
        return { next: text(change.seq, change.index), head: headText, more: true, count }
      }
    }
  }
  return whole(count)
}

function startOf(from: string, partition: PartitionId, generation: Generation): { readonly seq: Seq; readonly index: number } {
  if (from === 'start') return { seq: seqOf(0), index: endOfRecord }
  const cursor = parseCursor(from)
  if (cursor.partition !== partition) {
    throw new HoldfastError('INVALID', `this cursor is of partition ${cursor.partition}, not ${partition}`)
  }
  if (cursor.generation !== generation) {
    throw new HoldfastError('CONFLICT', 'this cursor is of another generation of the log: watch from "start" or "now"')
  }
  return cursor
}
