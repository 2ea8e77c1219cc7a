/**
 * Changelog records: what is on the disk of the log, for ever.
 *
 * A record is one msgpack array. Its bytes are its identity: the next record names their hash (L3), and a record that is
 * appended again is byte-identical (L5). It holds no sequence of its own.
 *
 *   [version, kind, partition, epoch, incarnation, prev, time, published, stateHash, body]
 *
 *   genesis  body = generation
 *   claim    body = id of the claiming node
 *   commit   body = [sessions, ended, bytes, turns, mutations, outputs]: flat arrays, so that a record of a thousand turns is one
 *            allocation of each
 *            sessions = (id, lowest outstanding number)*, ended = id*
 *            bytes = the states of the mutations, the replies of the turns and the data of the outputs, as one piece
 *            turns = (index of session | nil: the partition's own, number, length of reply, count of mutations)*
 *            mutations = (type, key, rev, length of state | nil: deleted | false: collected, expiry | nil)*, those of the first
 *            turn first
 *            outputs = (subject, length of data, [name, value, …] of headers)*
 *   handoff  body = id of the node that is to own it next
 *
 * C1. An unknown version or kind, or any other shape, is an error and never a guess: the log is then broken (L4).
 * C2. State, input and reply are opaque value bytes; hashes are over these stored bytes.
 */
import { HoldfastError } from './errors.ts'
import {
  epoch,
  generation,
  incarnation,
  isNodeId,
  partitionId,
  rev,
  seq,
  sessionId,
  type Epoch,
  type Generation,
  type Incarnation,
  type NodeId,
  type PartitionId,
  type Rev,
  type Seq,
  type SessionId,
} from './ids.ts'
import { joinPieces, PieceCutter } from './pieces.ts'
import { readValue, writeValue } from './value-bytes.ts'

export const recordVersion = 1

/** Bytes of a record's hash, and of the link to it. */
export const linkBytes = 16
/** Bytes of a state hash. */
export const stateHashBytes = 8

export interface RecordHeader {
  readonly partition: PartitionId
  readonly epoch: Epoch
  readonly incarnation: Incarnation
  /** Hash of the last valid record; zeros in a genesis. */
  readonly prev: Uint8Array
  /** Partition time, ms (E6). */
  readonly time: number
  /** The changes of all records up to this sequence have reached the server (E2). */
  readonly published: Seq
  /** Hash of the partition's state after this record. */
  readonly stateHash: Uint8Array
}

export interface GenesisRecord extends RecordHeader {
  readonly kind: 'genesis'
  readonly generation: Generation
}

export interface ClaimRecord extends RecordHeader {
  readonly kind: 'claim'
  readonly node: NodeId
}

export interface CommitRecord extends RecordHeader {
  readonly kind: 'commit'
  /** Each session that has a turn here, with its lowest outstanding number (R3). */
  readonly sessions: readonly SessionMark[]
  /** Sessions whose time is over, unless they were in contact since; their replies are forgotten. */
  readonly ended: readonly SessionId[]
  /** In the order in which they took effect. Empty: a record that only extends the lease (O3). */
  readonly turns: readonly TurnRecord[]
  /** What the turns send, in order: published after the commit, like changes (E2). */
  readonly outputs: readonly OutputRecord[]
}

export interface HandoffRecord extends RecordHeader {
  readonly kind: 'handoff'
  readonly to: NodeId
}

export type LogRecord = GenesisRecord | ClaimRecord | CommitRecord | HandoffRecord
export type RecordKind = LogRecord['kind']

export interface SessionMark {
  readonly session: SessionId
  readonly low: number
}

export interface TurnRecord {
  /** Index into the record's `sessions`; `null`: the partition's own turn, which nobody waits for. */
  readonly session: number | null
  readonly number: number
  /** The encoded result. */
  readonly reply: Uint8Array
  /** What it changed: nothing, its own keyed actor, or several entries of this partition at once. */
  readonly mutations: readonly Mutation[]
}

export interface Mutation {
  readonly type: string
  readonly key: string
  /** After it. */
  readonly rev: Rev
  /** The new state's bytes, `null` for a deletion, `undefined` where a tombstone is collected: then nothing of it is left. */
  readonly state: Uint8Array | null | undefined
  /** Partition time at which this version ends, ms: an entry is deleted, a tombstone collected. `null`: never. */
  readonly expiresAt: number | null
}

export interface OutputRecord {
  readonly subject: string
  readonly data: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

const kinds = ['genesis', 'claim', 'commit', 'handoff'] as const satisfies readonly RecordKind[]
const headerFields = 10
const commitParts = 6
const turnFields = 4
const mutationFields = 5
const outputFields = 3
/** What the lists of an empty record weigh, and more. */
const smallestWeight = 1_024
/** In place of the length of a state. */
const deleted = null
const collected = false

export function encodeRecord(record: LogRecord): Uint8Array {
  return writeValue([
    recordVersion,
    kinds.indexOf(record.kind),
    record.partition,
    record.epoch,
    record.incarnation,
    record.prev,
    record.time,
    record.published,
    record.stateHash,
    encodeBody(record),
  ])
}

function encodeBody(record: LogRecord): unknown {
  switch (record.kind) {
    case 'genesis':
      return record.generation
    case 'claim':
      return record.node
    case 'handoff':
      return record.to
    case 'commit': {
      const sessions: unknown[] = []
      for (const mark of record.sessions) sessions.push(mark.session, mark.low)
      const bytes: Uint8Array[] = []
      const turns: unknown[] = []
      const mutations: unknown[] = []
      for (const turn of record.turns) {
        turns.push(turn.session, turn.number, turn.reply.length, turn.mutations.length)
        for (const { type, key, rev, state, expiresAt } of turn.mutations) {
          mutations.push(type, key, rev, state === undefined ? collected : state === null ? deleted : state.length)
          mutations.push(expiresAt)
          if (state != null) bytes.push(state)
        }
        bytes.push(turn.reply)
      }
      const outputs: unknown[] = []
      for (const { subject, data, headers } of record.outputs) {
        outputs.push(subject, data.length, Object.entries(headers).flat())
        bytes.push(data)
      }
      return [sessions, record.ended, joinPieces(bytes), turns, mutations, outputs]
    }
  }
}

/** Throws `INTERNAL` for anything that this version did not write (C1). Bytes in the result are views of `bytes`. */
export function decodeRecord(bytes: Uint8Array): LogRecord {
  let fields: unknown
  try {
    // Flat lists: nothing in a record weighs more than its bytes do, but for the heads of its lists.
    fields = readValue(bytes, true, bytes.length + smallestWeight)
  } catch (cause) {
    throw undecodable('msgpack', cause)
  }
  if (!Array.isArray(fields) || fields.length !== headerFields) throw undecodable('shape')
  if (fields[0] !== recordVersion) throw undecodable(`version ${natural(fields[0])}`)
  const header: RecordHeader = {
    partition: partitionId(natural(fields[2])),
    epoch: epoch(natural(fields[3])),
    incarnation: incarnation(text(fields[4])),
    prev: bytesOf(fields[5], linkBytes),
    time: natural(fields[6]),
    published: seq(natural(fields[7])),
    stateHash: bytesOf(fields[8], stateHashBytes),
  }
  const body: unknown = fields[9]
  const kind = natural(fields[1])
  switch (kinds[kind]) {
    case 'genesis':
      return { kind: 'genesis', ...header, generation: generation(text(body)) }
    case 'claim':
      return { kind: 'claim', ...header, node: nodeIdOf(body) }
    case 'handoff':
      return { kind: 'handoff', ...header, to: nodeIdOf(body) }
    case 'commit':
      return { kind: 'commit', ...header, ...decodeCommit(body) }
    default:
      throw undecodable(`kind ${kind}`)
  }
}

function decodeCommit(body: unknown): Pick<CommitRecord, 'sessions' | 'ended' | 'turns' | 'outputs'> {
  const parts = list(body)
  if (parts.length !== commitParts) throw undecodable('commit')
  const [sessionFields, endedFields, bytes, turnFieldsList, mutationFieldsList, outputFieldsList] = parts
  const sessions: SessionMark[] = []
  const pairs = groups(sessionFields, 2, 'sessions')
  for (let i = 0; i < pairs.length; i += 2) {
    sessions.push({ session: sessionId(text(pairs[i])), low: natural(pairs[i + 1]) })
  }
  const pieces = new PieceCutter(bytesOf(bytes))
  const flat = groups(turnFieldsList, turnFields, 'turns')
  const mutations = groups(mutationFieldsList, mutationFields, 'mutations')
  const turns = new Array<TurnRecord>(flat.length / turnFields)
  let mutationAt = 0
  for (let i = 0, at = 0; i < turns.length; i++, at += turnFields) {
    const session = flat[at] === null ? null : natural(flat[at])
    if (session !== null && session >= sessions.length) throw undecodable('session of a turn')
    const end = mutationAt + natural(flat[at + 3]) * mutationFields
    if (end > mutations.length) throw undecodable('mutations of a turn')
    const own: Mutation[] = []
    for (; mutationAt < end; mutationAt += mutationFields) own.push(decodeMutation(mutations, mutationAt, pieces))
    turns[i] = { session, number: natural(flat[at + 1]), reply: pieceOf(pieces, flat[at + 2]), mutations: own }
  }
  if (mutationAt !== mutations.length) throw undecodable('count of mutations')
  const outputs: OutputRecord[] = []
  const outputList = groups(outputFieldsList, outputFields, 'outputs')
  for (let at = 0; at < outputList.length; at += outputFields) {
    const data = pieceOf(pieces, outputList[at + 1])
    outputs.push({ subject: text(outputList[at]), data, headers: decodeHeaders(outputList[at + 2]) })
  }
  if (!pieces.done) throw undecodable('length of turns')
  return { sessions, ended: list(endedFields).map((s) => sessionId(text(s))), turns, outputs }
}

function decodeMutation(fields: readonly unknown[], at: number, pieces: PieceCutter): Mutation {
  const state = fields[at + 3]
  const expiresAt = fields[at + 4]
  return {
    type: text(fields[at]),
    key: text(fields[at + 1]),
    rev: rev(natural(fields[at + 2])),
    state: state === collected ? undefined : state === deleted ? null : pieceOf(pieces, state),
    expiresAt: expiresAt === null ? null : natural(expiresAt),
  }
}

function decodeHeaders(field: unknown): Record<string, string> {
  const pairs = groups(field, 2, 'headers')
  const headers: Record<string, string> = {}
  for (let i = 0; i < pairs.length; i += 2) {
    const name = text(pairs[i])
    if (name === '__proto__') throw undecodable('header')
    headers[name] = text(pairs[i + 1])
  }
  return headers
}

const undecodable = (what: string, cause?: unknown) =>
  new HoldfastError('INTERNAL', `a changelog record cannot be decoded: bad ${what}`, { cause })

function natural(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw undecodable('number')
  return value
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw undecodable('text')
  return value
}

function bytesOf(value: unknown, length?: number): Uint8Array {
  if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length)) throw undecodable('bytes')
  return value
}

function pieceOf(pieces: PieceCutter, length: unknown): Uint8Array {
  const piece = pieces.next(natural(length))
  if (piece === undefined) throw undecodable('length of bytes')
  return piece
}

/** A flat list of groups of `size` fields. */
function groups(value: unknown, size: number, what: string): unknown[] {
  const fields = list(value)
  if (fields.length % size !== 0) throw undecodable(what)
  return fields
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw undecodable('list')
  return value
}

function nodeIdOf(value: unknown): NodeId {
  if (typeof value !== 'string' || !isNodeId(value)) throw undecodable('node id')
  return value
}
