/**
 * What is there now, as pages for watchers whose cursor is too old (E2; G4 of protocol/watch.ts).
 *
 * K2. One keyed actor is told with its rev, there or not. Of a type, or of keys that begin alike, those that are there are told, all as of one
 *     record: what fits into one page is read at once, what does not from a snapshot (B4 of scan-pages.ts), which its watcher lets go of.
 * K3. A page leaves under the read lease: what was told of before, by this owner or a former one, is in it.
 */
import type { Transport } from '../ports/transport.ts'
import { endOfRecord, formatCursor } from '../protocol/cursor.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { Generation, PartitionId, Seq } from '../protocol/ids.ts'
import { decodeScanReply, encodeScanRequest, maxScanRows, type ScanPage, type ScanRequest } from '../protocol/scan.ts'
import type { PageEnd, WatchRequest } from '../protocol/watch.ts'
import { changeMessage } from './change-message.ts'
import type { Change, History } from './history.ts'
import { isOwnType } from './names.ts'
import type { ScanPages } from './scan-pages.ts'
import type { Version } from './store-layout.ts'

export interface StateSource {
  readonly scans: Pick<ScanPages, 'answer'>
  /** Partition time. */
  readonly time: number
  /** A keyed actor as of the last committed record. Rejects with `RETRY` where this owner is not sure to be one (O3). */
  present(type: string, key: string): Promise<{ readonly version: Version; readonly seq: Seq }>
}

export interface WatchStatesOptions {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly history: Pick<History, 'head'>
  readonly states: StateSource
  readonly transport: Transport
}

type Present = Pick<Change, 'key' | 'rev' | 'state'>

/** Sends one page of states to `inbox`, and gives its end. */
export async function sendStates(
  options: WatchStatesOptions,
  request: WatchRequest,
  inbox: string,
): Promise<Omit<PageEnd, 'kind'>> {
  const { partition, generation, history, states, transport } = options
  const { key } = request
  const type = request.type!
  if (isOwnType(type)) throw new HoldfastError('INVALID', 'types that begin with a dot are not for watchers')
  const text = (seq: Seq) => formatCursor({ partition, generation, seq, index: endOfRecord })
  const send = (seq: Seq, present: readonly Present[]): Omit<PageEnd, 'kind'> => {
    for (const each of present) {
      const change = { ...each, type, seq, index: endOfRecord, at: states.time }
      const { data, headers } = changeMessage(partition, generation, change, transport.maxPayload, 'reset')
      transport.publish(inbox, data, { headers })
    }
    const { head } = history
    return { next: text(seq), head: text(head), more: seq < head, count: present.length }
  }
  if (key !== undefined) {
    const { version, seq } = await states.present(type, key)
    return send(seq, [{ key, rev: version.rev, state: version.state }])
  }
  const page = await scanned(states, request)
  const end = send(page.seq, page.rows)
  return page.more ? { ...end, snapshot: page.snapshot!, ...(page.last === null ? {} : { after: page.last }) } : end
}

async function scanned({ scans }: StateSource, { type, prefix, limit, snapshot, after, done }: WatchRequest) {
  const scan = async (request: Pick<ScanRequest, 'kind' | 'prefix' | 'after' | 'snapshot'>): Promise<ScanPage> => {
    const whole = { ...request, type: type!, reverse: false, limit: limit ?? maxScanRows }
    const reply = decodeScanReply(await scans.answer(encodeScanRequest(whole)))
    if (reply.kind === 'error') throw new HoldfastError(reply.code, reply.message)
    return reply
  }
  if (snapshot !== undefined) return scan({ kind: done ? 'close' : 'rows', snapshot, after })
  const first = await scan({ kind: 'rows', prefix })
  if (!first.more) return first
  const opened = await scan({ kind: 'open', prefix })
  return scan({ kind: 'rows', snapshot: opened.snapshot! })
}
