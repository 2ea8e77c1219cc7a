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
import { FieldReader, FieldWriter } from './fields.ts'
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
import { PieceCutter } from './pieces.ts'

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
const sessionFields = 2
const turnFields = 4
const mutationFields = 5
const outputFields = 3

const writer = new FieldWriter()

export function encodeRecord(record: LogRecord): Uint8Array {
  const fields = writer.begin()
  fields.list(headerFields)
  fields.natural(recordVersion)
  fields.natural(kinds.indexOf(record.kind))
  fields.natural(record.partition)
  fields.natural(record.epoch)
  fields.text(record.incarnation)
  fields.bytes(record.prev)
  fields.natural(record.time)
  fields.natural(record.published)
  fields.bytes(record.stateHash)
  if (record.kind === 'commit') writeCommit(fields, record)
  else fields.text(record.kind === 'genesis' ? record.generation : record.kind === 'claim' ? record.node : record.to)
  return fields.take()
}

function writeCommit(fields: FieldWriter, { sessions, ended, turns, outputs }: CommitRecord): void {
  fields.list(commitParts)
  fields.list(sessions.length * sessionFields)
  for (const { session, low } of sessions) {
    fields.text(session)
    fields.natural(low)
  }
  fields.list(ended.length)
  for (const session of ended) fields.text(session)
  writePieces(fields, turns, outputs)
  fields.list(turns.length * turnFields)
  let mutationCount = 0
  for (const { session, number, reply, mutations } of turns) {
    if (session === null) fields.nil()
    else fields.natural(session)
    fields.natural(number)
    fields.natural(reply.length)
    fields.natural(mutations.length)
    mutationCount += mutations.length
  }
  fields.list(mutationCount * mutationFields)
  for (const { mutations } of turns) for (const mutation of mutations) writeMutation(fields, mutation)
  fields.list(outputs.length * outputFields)
  for (const { subject, data, headers } of outputs) {
    fields.text(subject)
    fields.natural(data.length)
    const entries = Object.entries(headers)
    fields.list(2 * entries.length)
    for (const [name, value] of entries) {
      fields.text(name)
      fields.text(value)
    }
  }
}

function writePieces(fields: FieldWriter, turns: readonly TurnRecord[], outputs: readonly OutputRecord[]): void {
  let bytes = 0
  for (const { reply, mutations } of turns) {
    bytes += reply.length
    for (const { state } of mutations) if (state != null) bytes += state.length
  }
  for (const { data } of outputs) bytes += data.length
  fields.bytesHead(bytes)
  for (const { reply, mutations } of turns) {
    for (const { state } of mutations) if (state != null) fields.piece(state)
    fields.piece(reply)
  }
  for (const { data } of outputs) fields.piece(data)
}

function writeMutation(fields: FieldWriter, { type, key, rev, state, expiresAt }: Mutation): void {
  fields.text(type)
  fields.text(key)
  fields.natural(rev)
  if (state === undefined) fields.no()
  else if (state === null) fields.nil()
  else fields.natural(state.length)
  if (expiresAt === null) fields.nil()
  else fields.natural(expiresAt)
}

/** Throws `INTERNAL` for anything that this version did not write (C1). Bytes in the result are views of `bytes`. */
export function decodeRecord(bytes: Uint8Array): LogRecord {
  const fields = new FieldReader(bytes, undecodable)
  if (fields.list('shape') !== headerFields) throw undecodable('shape')
  const version = fields.natural()
  if (version !== recordVersion) throw undecodable(`version ${version}`)
  const kind = fields.natural()
  const header: RecordHeader = {
    partition: partitionId(fields.natural()),
    epoch: epoch(fields.natural()),
    incarnation: incarnation(fields.text()),
    prev: fields.bytes(linkBytes),
    time: fields.natural(),
    published: seq(fields.natural()),
    stateHash: fields.bytes(stateHashBytes),
  }
  const record = readBody(fields, kind, header)
  if (!fields.done) throw undecodable('end')
  return record
}

function readBody(fields: FieldReader, kind: number, header: RecordHeader): LogRecord {
  switch (kinds[kind]) {
    case 'genesis':
      return { kind: 'genesis', ...header, generation: generation(fields.text()) }
    case 'claim':
      return { kind: 'claim', ...header, node: nodeIdOf(fields.text()) }
    case 'handoff':
      return { kind: 'handoff', ...header, to: nodeIdOf(fields.text()) }
    case 'commit':
      return { kind: 'commit', ...header, ...readCommit(fields) }
    default:
      throw undecodable(`kind ${kind}`)
  }
}

function readCommit(fields: FieldReader): Pick<CommitRecord, 'sessions' | 'ended' | 'turns' | 'outputs'> {
  if (fields.list() !== commitParts) throw undecodable('commit')
  const sessions: SessionMark[] = []
  for (let left = groups(fields, sessionFields, 'sessions'); left > 0; left--) {
    sessions.push({ session: sessionId(fields.text()), low: fields.natural() })
  }
  const ended: SessionId[] = []
  for (let left = fields.list(); left > 0; left--) ended.push(sessionId(fields.text()))
  const pieces = new PieceCutter(fields.bytes())
  const heads = readTurnHeads(fields, sessions.length)
  const mutations = readMutationHeads(fields)
  const turns = new Array<TurnRecord>(heads.length)
  let mutationAt = 0
  for (let i = 0; i < heads.length; i++) {
    const { session, number, replyBytes, mutationCount } = heads[i]!
    if (mutationCount > mutations.length - mutationAt) throw undecodable('mutations of a turn')
    const own = new Array<Mutation>(mutationCount)
    for (let m = 0; m < mutationCount; m++) own[m] = withState(mutations[mutationAt++]!, pieces)
    turns[i] = { session, number, reply: pieceOf(pieces, replyBytes), mutations: own }
  }
  if (mutationAt !== mutations.length) throw undecodable('count of mutations')
  const outputs = readOutputs(fields, pieces)
  if (!pieces.done) throw undecodable('length of turns')
  return { sessions, ended, turns, outputs }
}

interface TurnHead {
  readonly session: number | null
  readonly number: number
  readonly replyBytes: number
  readonly mutationCount: number
}

function readTurnHeads(fields: FieldReader, sessions: number): readonly TurnHead[] {
  const heads = new Array<TurnHead>(groups(fields, turnFields, 'turns'))
  for (let i = 0; i < heads.length; i++) {
    const session = fields.nil() ? null : fields.natural()
    if (session !== null && session >= sessions) throw undecodable('session of a turn')
    heads[i] = {
      session,
      number: fields.natural(),
      replyBytes: fields.natural(),
      mutationCount: fields.natural(),
    }
  }
  return heads
}

/** With the length of its state in place of the state. */
type MutationHead = Omit<Mutation, 'state'> & { readonly stateBytes: number | null | undefined }

function readMutationHeads(fields: FieldReader): readonly MutationHead[] {
  const heads = new Array<MutationHead>(groups(fields, mutationFields, 'mutations'))
  let like = ''
  for (let i = 0; i < heads.length; i++) {
    heads[i] = {
      // Most are of one type.
      type: (like = fields.text(like)),
      key: fields.text(),
      rev: rev(fields.natural()),
      stateBytes: fields.no() ? undefined : fields.nil() ? null : fields.natural(),
      expiresAt: fields.nil() ? null : fields.natural(),
    }
  }
  return heads
}

const withState = ({ type, key, rev, stateBytes, expiresAt }: MutationHead, pieces: PieceCutter): Mutation => ({
  type,
  key,
  rev,
  state: stateBytes == null ? stateBytes : pieceOf(pieces, stateBytes),
  expiresAt,
})

function readOutputs(fields: FieldReader, pieces: PieceCutter): readonly OutputRecord[] {
  const outputs: OutputRecord[] = []
  for (let left = groups(fields, outputFields, 'outputs'); left > 0; left--) {
    const subject = fields.text()
    const data = pieceOf(pieces, fields.natural())
    const headers: [name: string, value: string][] = []
    for (let pairs = groups(fields, 2, 'headers'); pairs > 0; pairs--) headers.push([fields.text(), fields.text()])
    // Also a header named __proto__, which no task can send any more, becomes a property of its own.
    outputs.push({ subject, data, headers: Object.fromEntries(headers) })
  }
  return outputs
}

const undecodable = (what: string) => new HoldfastError('INTERNAL', `a changelog record cannot be decoded: bad ${what}`)

function pieceOf(pieces: PieceCutter, length: number): Uint8Array {
  const piece = pieces.next(length)
  if (piece === undefined) throw undecodable('length of bytes')
  return piece
}

/** How many groups of `size` fields a flat list has. */
function groups(fields: FieldReader, size: number, what: string): number {
  const count = fields.list() / size
  if (!Number.isInteger(count)) throw undecodable(what)
  return count
}

function nodeIdOf(text: string): NodeId {
  if (!isNodeId(text)) throw undecodable('node id')
  return text
}
