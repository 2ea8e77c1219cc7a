/**
 * How a replica lies in its store: one key space, told apart by the first byte.
 *
 *   m                    the position: how far the store has come, and the state hash there
 *   a <actor id>         a keyed actor: share of the state hash, rev, state; or a tombstone
 *   s <session>          a session: lowest outstanding number, last contact
 *   r <session> 0 <n>    the reply to command n of a session
 *   v <sequence>         a void record (L3): read past when changes are read again
 *
 * Numbers are big-endian, so that byte order is their order.
 */
import type { Hash64 } from '../core/hashing.ts'
import type { LogPosition } from '../core/log.ts'
import type { SessionSnapshot } from '../core/sessions.ts'
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

const layoutVersion = 1

export const positionKey: Uint8Array = Buffer.from('m')
export const actorKey = (id: string): Uint8Array => Buffer.from(`a${id}`)
export const sessionKey = (session: SessionId): Uint8Array => Buffer.from(`s${session}`)
export const sessionRange = [Buffer.from('s'), Buffer.from('t')] as const
export const replyRange = [Buffer.from('r'), Buffer.from('s')] as const
export const voidRange = [Buffer.from('v'), Buffer.from('w')] as const

export function replyKey(session: SessionId, number: number): Uint8Array {
  const key = Buffer.alloc(session.length + 10)
  key.write(`r${session}`, 'latin1')
  writeNumber(key, number, session.length + 2)
  return key
}

/** Throws `INTERNAL`, as all that reads here does where the store is damaged. */
export function parseReplyKey(key: Uint8Array): { session: SessionId; number: number } {
  const end = key.length - 9
  if (end < 1 || key[end] !== 0) throw damaged('the key of a reply')
  const session = sessionId(Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1', 1, end))
  return { session, number: natural(uint64(key, end + 1), 'the key of a reply') }
}

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

/** What an actor was as of one committed turn. `state: null`: never written, or deleted. */
export interface Version {
  readonly rev: Rev
  readonly state: Uint8Array | null
  readonly share: Hash64
}

const versionHeader = 17

export function encodeVersion(version: Version): Uint8Array {
  const state = version.state
  const bytes = Buffer.allocUnsafe(versionHeader + (state?.length ?? 0))
  bytes.writeUInt32BE(version.share.hi, 0)
  bytes.writeUInt32BE(version.share.lo, 4)
  writeNumber(bytes, version.rev, 8)
  bytes[16] = state === null ? 0 : 1
  if (state !== null) bytes.set(state, versionHeader)
  return bytes
}

export function decodeVersion(stored: Uint8Array): Version {
  if (stored.length < versionHeader) throw damaged('an actor is cut short')
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length)
  const kept = stored[16]
  if (kept !== 1 && (kept !== 0 || stored.length !== versionHeader)) throw damaged('an actor')
  return {
    share: { hi: view.getUint32(0), lo: view.getUint32(4) },
    rev: rev(natural(uint64(stored, 8), 'the rev of an actor')),
    state: kept === 0 ? null : stored.subarray(versionHeader),
  }
}

export function encodeSession(session: SessionSnapshot): Uint8Array {
  const bytes = Buffer.allocUnsafe(16)
  bytes.writeDoubleBE(session.low, 0)
  bytes.writeDoubleBE(session.lastContactMs, 8)
  return bytes
}

export function decodeSession(session: SessionId, stored: Uint8Array): SessionSnapshot {
  if (stored.length !== 16) throw damaged('a session is cut short')
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length)
  const [low, lastContactMs] = [view.getFloat64(0), view.getFloat64(8)]
  return { session, low: natural(low, 'a session'), lastContactMs: natural(lastContactMs, 'a session') }
}

/** Position and state hash are written in one batch with the data that they speak of. */
export interface StoredPosition {
  readonly position: LogPosition
  readonly stateHash: Hash64
}

export function encodePosition({ position: p, stateHash }: StoredPosition): Uint8Array {
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
    stateHash.hi,
    stateHash.lo,
  ])
}

export function decodePosition(stored: Uint8Array): StoredPosition {
  let fields: unknown
  try {
    fields = readValue(stored)
  } catch (cause) {
    throw damaged(position, cause)
  }
  if (!Array.isArray(fields) || fields.length !== 13 || fields[0] !== layoutVersion) throw damaged(position)
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
    stateHash: { hi: whole(11), lo: whole(12) },
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
