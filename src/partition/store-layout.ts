/**
 * How a replica lies in its store: one key space, told apart by the first byte.
 *
 *   m                    the position: how far the store has come, and the state hash there
 *   a <actor id>         a keyed actor: share of the state hash, rev, expiry, state; or a tombstone
 *   e <expiry> <id>      a keyed actor or tombstone that expires, by when
 *   s <session>          a session: lowest outstanding number, last contact
 *   r <session> 0 <n>    the replies to commands of a session, those of block n of their numbers
 *   v <sequence>         a void record (L3): read past when changes are read again
 *
 * Numbers are big-endian, so that byte order is their order.
 */
import { isNoShare, type Hash64 } from '../core/hashing.ts'
import type { LogPosition } from '../core/log.ts'
import type { RowBatch } from '../core/row-batch.ts'
import type { ReplyBlock, SessionSnapshot } from '../core/sessions.ts'
import { HoldfastError } from '../protocol/errors.ts'
import {
  epoch,
  generation,
  incarnation,
  partitionId,
  rev,
  seq,
  sessionId,
  type Rev,
  type Seq,
  type SessionId,
} from '../protocol/ids.ts'
import { linkBytes } from '../protocol/record.ts'
import { readValue, writeValue } from '../protocol/value-bytes.ts'

const layoutVersion = 2

export const positionKey: Uint8Array = Buffer.from('m')
export const actorKey = (id: string): Uint8Array => Buffer.from(`a${id}`)
/** The actor whose row it is; `undefined`: another's. */
export const parseActorKey = (key: Uint8Array): string | undefined =>
  key[0] === actorPrefix ? Buffer.from(key.buffer, key.byteOffset, key.length).toString('utf8', 1) : undefined
/** From the first row there can be to behind the last. */
export const allRows = { gte: Buffer.from('a'), lt: Buffer.from('w') } as const
export const sessionRange = [Buffer.from('s'), Buffer.from('t')] as const
/** Of expiries from `ms` on. */
export const expiryRange = (ms: number): readonly [Uint8Array, Uint8Array] => [
  expiryKey(Math.floor(ms), ''),
  Buffer.from('f'),
]
export const replyRange = [Buffer.from('r'), Buffer.from('s')] as const
export const voidRange = [Buffer.from('v'), Buffer.from('w')] as const

/** A row of replies: each number with the length of its reply and the reply. */
export function writeReplies(batch: RowBatch, { session, block, replies }: ReplyBlock): void {
  writeReplyKey(batch, session, block)
  for (const [number, reply] of replies) {
    batch.uint64(number)
    batch.uint32(reply.length)
    batch.bytes(reply)
  }
  batch.endValue()
}

export function deleteReplies(batch: RowBatch, session: SessionId, block: number): void {
  writeReplyKey(batch, session, block)
  batch.noValue()
}

function writeReplyKey(batch: RowBatch, session: SessionId, block: number): void {
  batch.byte(replyPrefix)
  batch.text(session)
  batch.byte(0)
  batch.uint64(block)
  batch.endKey()
}

export function expiryKey(expiresAt: number, id: string): Uint8Array {
  const key = Buffer.alloc(9 + Buffer.byteLength(id))
  key.write('e')
  writeNumber(key, expiresAt, 1)
  key.write(id, 9)
  return key
}

export function parseExpiryKey(key: Uint8Array): { readonly expiresAt: number; readonly id: string } {
  if (key.length < 10) throw damaged('the key of an expiry')
  const id = Buffer.from(key.buffer, key.byteOffset, key.length).toString('utf8', 9)
  return { expiresAt: natural(uint64(key, 1), 'the key of an expiry'), id }
}

/** Throws `INTERNAL`, as all that reads here does where the store is damaged. The replies are bytes of their own. */
export function readReplies(key: Uint8Array, value: Uint8Array): ReplyBlock {
  const end = key.length - 9
  if (end < 1 || key[end] !== 0) throw damaged('the key of replies')
  const session = sessionId(Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1', 1, end))
  const replies = new Map<number, Uint8Array>()
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  for (let at = 0; at < value.length;) {
    if (at + replyHead > value.length) throw damaged('replies')
    const begin = at + replyHead
    const next = begin + view.getUint32(at + 8)
    if (next > value.length) throw damaged('replies')
    replies.set(natural(uint64(value, at), 'the number of a reply'), new Uint8Array(value.subarray(begin, next)))
    at = next
  }
  return { session, block: natural(uint64(key, end + 1), 'the key of replies'), replies }
}

const replyPrefix = 0x72
/** Number and length. */
const replyHead = 12

export const parseSessionKey = (key: Uint8Array): SessionId => sessionId(Buffer.from(key).toString('latin1', 1))

export function voidKey(at: Seq): Uint8Array {
  const key = Buffer.alloc(9)
  key.write('v')
  writeNumber(key, at, 1)
  return key
}

export function parseVoidKey(key: Uint8Array): Seq {
  if (key.length !== 9) throw damaged('the key of a void record')
  return seq(natural(uint64(key, 1), 'the key of a void record'))
}

/** What an actor was as of one committed turn, and its share of the state hash. `state: null`: never written, or deleted. */
export interface Version extends Hash64 {
  readonly rev: Rev
  readonly state: Uint8Array | null
  /** Partition time, ms, at which an entry is deleted, or a tombstone collected; `null`: never. */
  readonly expiresAt: number | null
}

/** As it counts now: without its state where that has expired, to be removed by and by (N7). */
export const unexpired = (version: Version, now: () => number): Version =>
  version.expiresAt === null || version.state === null || version.expiresAt > now()
    ? version
    : { ...version, state: null, expiresAt: null }

const versionHeader = 17
const expiryBytes = 8
/** In the byte that tells what follows. */
const hasState = 1
const hasExpiry = 2

const actorPrefix = 0x61

/** The row of an actor, or its deletion where nothing is left of it. */
export function writeActor(batch: RowBatch, id: string, version: Version): void {
  batch.byte(actorPrefix)
  batch.text(id)
  batch.endKey()
  const { state, hi, lo, rev: number, expiresAt } = version
  if (isNoShare(version)) return batch.noValue()
  batch.uint32(hi)
  batch.uint32(lo)
  batch.uint64(number)
  batch.byte((state === null ? 0 : hasState) + (expiresAt === null ? 0 : hasExpiry))
  if (expiresAt !== null) batch.uint64(expiresAt)
  if (state !== null) batch.bytes(state)
  batch.endValue()
}

export function decodeVersion(stored: Uint8Array): Version {
  if (stored.length < versionHeader) throw damaged('an actor is cut short')
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length)
  const flags = stored[16]!
  const expires = (flags & hasExpiry) !== 0
  const stateAt = versionHeader + (expires ? expiryBytes : 0)
  const lives = (flags & hasState) !== 0
  if (flags > (hasState | hasExpiry) || stored.length < stateAt || (!lives && stored.length !== stateAt)) {
    throw damaged('an actor')
  }
  return {
    rev: rev(natural(uint64(stored, 8), 'the rev of an actor')),
    state: lives ? stored.subarray(stateAt) : null,
    expiresAt: expires ? natural(uint64(stored, versionHeader), 'the expiry of an actor') : null,
    hi: view.getInt32(0),
    lo: view.getInt32(4),
  }
}

const sessionPrefix = 0x73

export function writeSession(batch: RowBatch, { session, low, lastContactMs }: SessionSnapshot): void {
  writeSessionKey(batch, session)
  batch.uint64(low)
  batch.uint64(lastContactMs)
  batch.endValue()
}

export function deleteSession(batch: RowBatch, session: SessionId): void {
  writeSessionKey(batch, session)
  batch.noValue()
}

function writeSessionKey(batch: RowBatch, session: SessionId): void {
  batch.byte(sessionPrefix)
  batch.text(session)
  batch.endKey()
}

export function decodeSession(session: SessionId, stored: Uint8Array): SessionSnapshot {
  if (stored.length !== 16) throw damaged('a session is cut short')
  return {
    session,
    low: natural(uint64(stored, 0), 'a session'),
    lastContactMs: natural(uint64(stored, 8), 'a session'),
  }
}

/** Reads any row but the position; of an actor's row the version. Throws `INTERNAL` where it is none. */
export function checkRow(key: Uint8Array, value: Uint8Array): Version | undefined {
  switch (key[0]) {
    case actorPrefix:
      return decodeVersion(value)
    case 0x65:
      parseExpiryKey(key)
      return undefined
    case sessionPrefix:
      decodeSession(parseSessionKey(key), value)
      return undefined
    case replyPrefix:
      readReplies(key, value)
      return undefined
    case 0x76:
      parseVoidKey(key)
      return undefined
    default:
      throw damaged('a row of no known kind')
  }
}

/** Written in one batch with the data that it speaks of. */
export interface StoredPosition {
  readonly position: LogPosition
  readonly stateHash: Hash64
  /** Highest rev of a tombstone that was collected: what is created after that begins above it (E1). */
  readonly revFloor: Rev
  /** Idempotency keys that are kept, and the bytes of their replies. */
  readonly keptKeys: number
  readonly keptKeyBytes: number
}

export function encodePosition({
  position: p,
  stateHash,
  revFloor,
  keptKeys,
  keptKeyBytes,
}: StoredPosition): Uint8Array {
  return writeValue([
    layoutVersion,
    p.partition,
    p.generation,
    p.seq,
    p.validSeq,
    p.validHash,
    p.epoch,
    p.incarnation,
    p.handedOff,
    p.time,
    p.published,
    stateHash.hi >>> 0,
    stateHash.lo >>> 0,
    revFloor,
    keptKeys,
    keptKeyBytes,
  ])
}

const positionFields = 16

export function decodePosition(stored: Uint8Array): StoredPosition {
  let fields: unknown
  try {
    fields = readValue(stored)
  } catch (cause) {
    throw damaged(position, cause)
  }
  if (!Array.isArray(fields) || fields.length !== positionFields || fields[0] !== layoutVersion) throw damaged(position)
  const whole = (i: number) => natural(fields[i], position)
  const text = (i: number) => check(fields[i], (field): field is string => typeof field === 'string')
  return {
    position: {
      partition: partitionId(whole(1)),
      generation: generation(text(2)),
      seq: seq(whole(3)),
      validSeq: seq(whole(4)),
      validHash: check(
        fields[5],
        (field): field is Uint8Array => field instanceof Uint8Array && field.length === linkBytes,
      ),
      epoch: epoch(whole(6)),
      incarnation: incarnation(text(7)),
      handedOff: check(fields[8], (field): field is boolean => typeof field === 'boolean'),
      time: whole(9),
      published: seq(whole(10)),
    },
    stateHash: { hi: whole(11) | 0, lo: whole(12) | 0 },
    revFloor: rev(whole(13)),
    keptKeys: whole(14),
    keptKeyBytes: whole(15),
  }
}

const position = 'its position'

function check<T>(field: unknown, is: (field: unknown) => field is T): T {
  if (!is(field)) throw damaged(position)
  return field
}

function natural(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw damaged(what)
  return value
}

/** Past what a number can say it is something that is refused as such. */
const uint64 = (bytes: Uint8Array, at: number): number =>
  Number(new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(at))

const damaged = (what: string, cause?: unknown) =>
  new HoldfastError('INTERNAL', `the store is damaged: ${what}. It will be set aside and rebuilt from the log.`, {
    cause,
  })

const word = 0x1_0000_0000

/** Eight bytes, big-endian; without a BigInt, which would be garbage for each. */
function writeNumber(bytes: Buffer, number: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(number / word), at)
  bytes.writeUInt32BE(number % word, at + 4)
}
