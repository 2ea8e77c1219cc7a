/** Whoever reads a message, straight: each gives a value or throws an error with one of its codes, and nothing else. */
import { hash } from 'node:crypto'
import { inputOf } from '../../actors/gateway.ts'
import { parseVector } from '../../src/client/watch-cursor.ts'
import { decodeGossip } from '../../src/core/gossip.ts'
import { judge, startOfLog } from '../../src/core/log.ts'
import { decodeTable, decodeView } from '../../src/core/table.ts'
import { decodeLease } from '../../src/membership/lease.ts'
import { decodeManifest } from '../../src/partition/snapshot/manifest.ts'
import { decodePointer } from '../../src/partition/snapshot/pointer.ts'
import { RowReader } from '../../src/partition/snapshot/rows.ts'
import { checkRow, decodePosition, decodeSession, decodeVersion } from '../../src/partition/store-layout.ts'
import { decodeNodeReply, decodeNodeRequest, decodeReport } from '../../src/placement/control.ts'
import { decodeOrder, decodeOrderReply } from '../../src/placement/order.ts'
import { decodeClusterReport } from '../../src/placement/status-report.ts'
import { parseCursor } from '../../src/protocol/cursor.ts'
import { decodeReplyFrame, decodeRequestFrame } from '../../src/protocol/frames.ts'
import { generation, partitionId, seq, sessionId } from '../../src/protocol/ids.ts'
import { decodeCommitted } from '../../src/protocol/position.ts'
import { decodeRecord } from '../../src/protocol/record.ts'
import { decodeScanReply, decodeScanRequest } from '../../src/protocol/scan.ts'
import { decodeToken } from '../../src/protocol/subjects.ts'
import { decodeTraces, parseTraceparent } from '../../src/protocol/traces.ts'
import { decodeInput, decodeValue } from '../../src/protocol/values.ts'
import { decodePageMessage, decodeWatchRequest } from '../../src/protocol/watch.ts'
import { taskMessage } from '../../src/task/message.ts'
import type { Form } from './corpus.ts'

type Decode = (bytes: Uint8Array) => unknown

const log = startOfLog(partitionId(0), generation('g'))

/** Of a frame also what is in it. */
const requestFrame: Decode = (bytes) =>
  decodeRequestFrame(bytes).requests.map(({ input }) => attempt(decodeInput, input))

/** What is inside may be anything, as long as it says so. */
function attempt(decode: Decode, bytes: Uint8Array): unknown {
  try {
    return decode(bytes)
  } catch (error) {
    if (typedCodes.has((error as { code?: string }).code ?? '')) return undefined
    throw error
  }
}

/** `INTERNAL` for what only nodes write; what readers of it do is stop. */
export const typedCodes: ReadonlySet<string> = new Set(['INVALID', 'INTERNAL'])

const task = { name: 't', key: undefined, format: 'json' } as const

export const decoders: Readonly<Record<Form, Decode>> = {
  'request-frame': requestFrame,
  'reply-frame': decodeReplyFrame,
  'scan-request': decodeScanRequest,
  'scan-page': decodeScanReply,
  'watch-request': decodeWatchRequest,
  page: decodePageMessage,
  committed: decodeCommitted,
  gossip: decodeGossip,
  view: decodeView,
  control: decodeNodeRequest,
  'control-reply': decodeNodeReply,
  report: decodeReport,
  order: decodeOrder,
  'order-reply': decodeOrderReply,
  status: decodeClusterReport,
  call: inputOf,
  'call-reply': inputOf,
  'list-request': inputOf,
  change: decodePageMessage,
  'task-input': (data) => taskMessage(task, { subject: 'in.x', data, headers: {}, seq: 1, at: 1 }, 4).envelope().value,
  lease: decodeLease,
  table: decodeTable,
  record: (bytes) => [judge(log, seq(1), bytes), decodeRecord(bytes)],
}

const withChecksum = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.of(0xc4, 32), hash('sha256', bytes, 'buffer')])

/** Not messages, but read from what messages hold, or from disks. */
export const parts: readonly Decode[] = [
  decodeValue,
  decodeInput,
  decodePosition,
  decodeVersion,
  (bytes) => decodeSession(sessionId('s'), bytes),
  (bytes) => checkRow(bytes.subarray(0, 9), bytes.subarray(9)),
  decodeManifest,
  // Past its checksum, which no chance gets right.
  (bytes) => decodeManifest(withChecksum(bytes)),
  (bytes) => decodePointer(bytes, partitionId(0)),
  (bytes) => [...new RowReader().rowsOf(bytes)],
  (bytes) => parseCursor(Buffer.from(bytes).toString()),
  (bytes) => parseVector(Buffer.from(bytes).toString()),
  (bytes) => decodeToken(Buffer.from(bytes).toString()),
  (bytes) => decodeTraces(Buffer.from(bytes).toString('latin1'), 8),
  (bytes) => parseTraceparent(Buffer.from(bytes).toString('latin1')),
]
