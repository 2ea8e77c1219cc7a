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
import { Packr, Unpackr } from 'msgpackr'
import type { Hash64 } from '../core/hashing.ts'
import type { LogPosition } from '../core/log.ts'
import type { SessionSnapshot } from '../core/sessions.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { rev, seq, sessionId, type Rev, type Seq, type SessionId } from '../protocol/ids.ts'

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
  key.writeBigUInt64BE(BigInt(number), session.length + 2)
  return key
}

export function parseReplyKey(key: Uint8Array): { session: SessionId; number: number } {
  const buffer = Buffer.from(key.buffer, key.byteOffset, key.length)
  const end = buffer.length - 9
  return { session: sessionId(buffer.toString('latin1', 1, end)), number: Number(buffer.readBigUInt64BE(end + 1)) }
}

export const parseSessionKey = (key: Uint8Array): SessionId => sessionId(Buffer.from(key).toString('latin1', 1))

export function voidKey(at: Seq): Uint8Array {
  const key = Buffer.alloc(9)
  key.write('v')
  key.writeBigUInt64BE(BigInt(at), 1)
  return key
}

export const parseVoidKey = (key: Uint8Array): Seq => seq(Number(Buffer.from(key).readBigUInt64BE(1)))

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
  bytes.writeBigUInt64BE(BigInt(version.rev), 8)
  bytes[16] = state === null ? 0 : 1
  if (state !== null) bytes.set(state, versionHeader)
  return bytes
}

export function decodeVersion(stored: Uint8Array): Version {
  if (stored.length < versionHeader) throw damaged('an actor is cut short')
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length)
  return {
    share: { hi: view.getUint32(0), lo: view.getUint32(4) },
    rev: rev(Number(view.getBigUint64(8))),
    state: stored[16] === 0 ? null : stored.subarray(versionHeader),
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
  return { session, low: view.getFloat64(0), lastContactMs: view.getFloat64(8) }
}

/** Position and state hash are written in one batch with the data that they speak of. */
export interface StoredPosition {
  readonly position: LogPosition
  readonly stateHash: Hash64
}

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' })

export function encodePosition({ position: p, stateHash }: StoredPosition): Uint8Array {
  return packr.pack([
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
    fields = unpackr.unpack(stored)
  } catch (cause) {
    throw damaged('its position is not msgpack', cause)
  }
  if (!Array.isArray(fields) || fields.length !== 13 || fields[0] !== layoutVersion) throw damaged('its position')
  const [, partition, generation, at, validSeq, validHash, epoch, incarnation, handedOff, time, published, hi, lo] =
    fields as [number, ...unknown[]]
  return {
    position: {
      partition,
      generation,
      seq: at,
      validSeq,
      validHash: new Uint8Array(validHash as Uint8Array),
      epoch,
      incarnation,
      handedOff,
      time,
      published,
    } as LogPosition,
    stateHash: { hi: hi as number, lo: lo as number },
  }
}

const damaged = (what: string, cause?: unknown) =>
  new HoldfastError('INTERNAL', `the store is damaged: ${what}. It will be set aside and rebuilt from the log.`, { cause })
