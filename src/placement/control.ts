/**
 * What the leader of placement and the nodes say to each other, as JSON: hand-off requests to a node's control subject, reports to
 * the leader; and what an operator asks of one node there. A lost or repeated message does no harm: the table and the log decide.
 */
import { HoldfastError } from '../protocol/errors.ts'
import {
  epoch,
  incarnation,
  isNodeId,
  partitionId,
  type Epoch,
  type NodeId,
  type NodeRef,
  type PartitionId,
} from '../protocol/ids.ts'
import { parseJsonText } from '../protocol/json-text.ts'

/** Leader to owner: hand the partition over. The reply is `{ "done": true }` once the hand-off record is committed, or if it is stopped. */
export interface HandOffRequest {
  readonly op: 'hand-off'
  readonly partition: PartitionId
  readonly epoch: Epoch
  readonly to: NodeId
}

export type Report =
  /** The node that placement named cannot use this epoch (any more): it asks for a higher one (O1). */
  | { readonly op: 'epoch-spent'; readonly node: NodeRef; readonly partition: PartitionId; readonly epoch: Epoch }
  /** It cannot open the partition (O6). */
  | {
      readonly op: 'cannot-open'
      readonly node: NodeRef
      readonly partition: PartitionId
      readonly epoch: Epoch
      readonly reason: string
    }

/** Operator to node: move everything away. The reply is `{ "done": true }` once that is noted in its lease, and placement does the rest; `false` where the registry did not take it yet. */
export interface DrainRequest {
  readonly op: 'drain'
}

/** Operator to node: what time is it there? */
export interface ClockRequest {
  readonly op: 'clock'
}

/**
 * Operator to owner: cut a snapshot now. The same request again, with the same `name`, tells how far that has come; an owner that has not heard of it
 * yet begins. Not done: it does not own the partition.
 */
export interface SnapshotRequest {
  readonly op: 'snapshot'
  readonly partition: PartitionId
  /** Of the order, `[A-Za-z0-9]{1,32}`. */
  readonly name: string
}

/** How far a snapshot has come that was ordered. */
export type OrderedSnapshot =
  /** The node cuts another one first. */
  | { readonly state: 'waiting' }
  | { readonly state: 'cutting' }
  | { readonly state: 'failed'; readonly reason: string }
  | {
      readonly state: 'cut'
      readonly id: string
      readonly seq: number
      readonly rows: number
      readonly bytes: number
      readonly stored: number
      readonly tookMs: number
    }

export type NodeRequest = HandOffRequest | DrainRequest | ClockRequest | SnapshotRequest

export interface NodeReply {
  readonly done: boolean
  /** Of a `clock` request: the node's wall clock, ms since 1970. */
  readonly now?: number
  /** Of a `snapshot` request. */
  readonly snapshot?: OrderedSnapshot
}

export const encodeControl = (message: NodeRequest | Report | NodeReply): Uint8Array =>
  Buffer.from(JSON.stringify(message))

/** Throws `INVALID`. */
export function decodeNodeRequest(data: Uint8Array): NodeRequest {
  const message = parse(data)
  switch (message['op']) {
    case 'hand-off':
      return { op: 'hand-off', partition: partitionOf(message), epoch: epochOf(message), to: nodeIdOf(message['to']) }
    case 'drain':
      return { op: 'drain' }
    case 'clock':
      return { op: 'clock' }
    case 'snapshot':
      return { op: 'snapshot', partition: partitionOf(message), name: nameOf(message['name']) }
    default:
      throw invalid
  }
}

/** Throws `INVALID`. */
export function decodeNodeReply(data: Uint8Array): NodeReply {
  const { done, now, snapshot } = parse(data)
  if (typeof done !== 'boolean' || (now !== undefined && typeof now !== 'number')) throw invalid
  return {
    done,
    ...(now === undefined ? {} : { now }),
    ...(snapshot === undefined ? {} : { snapshot: orderedSnapshot(snapshot) }),
  }
}

function orderedSnapshot(json: unknown): OrderedSnapshot {
  const { state, reason, id, ...rest } = (json ?? {}) as Record<string, unknown>
  if (state === 'waiting' || state === 'cutting') return { state }
  if (state === 'failed') return { state, reason: String(reason).slice(0, maxReasonLength) }
  if (state !== 'cut') throw invalid
  const whole = (name: string): number => {
    const n = rest[name]
    if (typeof n !== 'number' || !Number.isSafeInteger(n) || n < 0) throw invalid
    return n
  }
  return {
    state,
    id: nameOf(id),
    seq: whole('seq'),
    rows: whole('rows'),
    bytes: whole('bytes'),
    stored: whole('stored'),
    tookMs: whole('tookMs'),
  }
}

/** Throws `INVALID`. */
export function decodeReport(data: Uint8Array): Report {
  const message = parse(data)
  const from = message['node']
  if (typeof from !== 'object' || from === null) throw invalid
  const { id, incarnation: process } = from as Record<string, unknown>
  if (typeof process !== 'string') throw invalid
  const node: NodeRef = { id: nodeIdOf(id), incarnation: incarnation(process) }
  const about = { node, partition: partitionOf(message), epoch: epochOf(message) }
  switch (message['op']) {
    case 'epoch-spent':
      return { op: 'epoch-spent', ...about }
    case 'cannot-open':
      return { op: 'cannot-open', ...about, reason: String(message['reason']).slice(0, maxReasonLength) }
    default:
      throw invalid
  }
}

export const isDone = (reply: Uint8Array): boolean => {
  try {
    return parse(reply)['done'] === true
  } catch {
    return false
  }
}

const maxControlBytes = 65_536
/** What is longer is cut. */
const maxReasonLength = 1_024

const invalid = new HoldfastError('INVALID', 'this is not a message between placement and a node')

function parse(data: Uint8Array): Record<string, unknown> {
  if (data.length > maxControlBytes) throw invalid
  let message: unknown
  try {
    message = parseJsonText(data)
  } catch {
    throw invalid
  }
  if (typeof message !== 'object' || message === null) throw invalid
  return message as Record<string, unknown>
}

function partitionOf({ partition }: Record<string, unknown>): PartitionId {
  if (typeof partition !== 'number' || !Number.isSafeInteger(partition) || partition < 0) throw invalid
  return partitionId(partition)
}

function epochOf({ epoch: value }: Record<string, unknown>): Epoch {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalid
  return epoch(value)
}

function nameOf(value: unknown): string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9]{1,32}$/.test(value)) throw invalid
  return value
}

function nodeIdOf(value: unknown): NodeId {
  if (typeof value !== 'string' || !isNodeId(value)) throw invalid
  return value
}
