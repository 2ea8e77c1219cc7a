import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isNoShare, noShare } from '../../src/core/hashing.ts'
import { startOfLog, type LogPosition } from '../../src/core/log.ts'
import {
  actorKey,
  decodePosition,
  decodeSession,
  decodeVersion,
  encodePosition,
  expiryKey,
  parseExpiryKey,
  parseSessionKey,
  parseVoidKey,
  positionKey,
  readReplies,
  replyRange,
  sessionRange,
  voidKey,
  voidRange,
  writeActor,
  writeReplies,
  writeSession,
  type Version,
} from '../../src/partition/store-layout.ts'
import { RowBatch, type Row } from '../../src/core/row-batch.ts'
import type { ReplyBlock, SessionSnapshot } from '../../src/core/sessions.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import {
  epoch,
  generation,
  incarnation,
  partitionId,
  rev,
  seq,
  sessionId,
  type SessionId,
} from '../../src/protocol/ids.ts'
import { writeValue } from '../../src/protocol/value-bytes.ts'
import { g1, p0 } from './world.ts'

const plain = { noNullPrototype: true } as const
const number = fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat())
const session = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/).map(sessionId)
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const stateHash = fc.record({ hi: word, lo: word }, plain)
/** Of an actor of which something is left. */
const share = stateHash.filter((hash) => !isNoShare(hash))

const position: fc.Arbitrary<LogPosition> = fc.record(
  {
    partition: number.map(partitionId),
    generation: fc.string().map(generation),
    seq: number.map(seq),
    validSeq: number.map(seq),
    validHash: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    epoch: number.map(epoch),
    incarnation: fc.string().map(incarnation),
    handedOff: fc.boolean(),
    time: number,
    published: number.map(seq),
  },
  plain,
)

/** The one row that is written. */
function rowOf(write: (batch: RowBatch) => void): Row & { readonly value: Uint8Array } {
  const batch = new RowBatch()
  write(batch)
  const [row, ...more] = batch.rows()
  expect(more).toEqual([])
  return row as Row & { readonly value: Uint8Array }
}

const versionRow = (version: Version) => rowOf((batch) => writeActor(batch, 'thing.k', version))
const sessionRow = (mark: SessionSnapshot) => rowOf((batch) => writeSession(batch, mark))
const replyRow = (replies: ReplyBlock) => rowOf((batch) => writeReplies(batch, replies))
const sessionKey = (name: SessionId) => sessionRow({ session: name, low: 0, lastContactMs: 0 }).key
const replyKey = (name: SessionId, block: number) => replyRow({ session: name, block, replies: new Map() }).key

/** What decodes, or nothing where it is `INTERNAL`; any other outcome is thrown. */
function intact<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (isHoldfastError(error, 'INTERNAL')) return undefined
    throw error
  }
}

/** Bytes that differ from the given ones in one bit, or are cut, or longer. */
const damagedForms = (bytes: Uint8Array, flip: number): Uint8Array[] => {
  const flipped = bytes.slice()
  if (flipped.length > 0) flipped[(flip >> 3) % flipped.length]! ^= 1 << (flip & 7)
  return [flipped, bytes.slice(0, flip % (bytes.length + 1)), Buffer.concat([bytes, Uint8Array.of(flip & 0xff)])]
}

describe('the layout of a store', () => {
  it('gives back every position, version, session and key as it was', () => {
    fc.assert(
      fc.property(
        position,
        share,
        number,
        number,
        fc.option(fc.uint8Array()),
        session,
        (at, hash, a, b, state, name) => {
          const stored = { position: at, stateHash: hash, revFloor: rev(a), keptKeys: b, keptKeyBytes: a }
          expect(decodePosition(encodePosition(stored))).toEqual(stored)
          for (const expiresAt of [null, b]) {
            const version = { rev: rev(a), state, expiresAt, ...hash }
            expect(decodeVersion(versionRow(version).value)).toEqual(version)
          }
          expect(parseExpiryKey(expiryKey(a, `thing.${name}`))).toEqual({ expiresAt: a, id: `thing.${name}` })
          expect(decodeSession(name, sessionRow({ session: name, low: a, lastContactMs: b }).value)).toEqual({
            session: name,
            low: a,
            lastContactMs: b,
          })
          expect(parseSessionKey(sessionKey(name))).toBe(name)
          const replies = { session: name, block: a, replies: new Map([[b, state ?? new Uint8Array(0)]]) }
          const row = replyRow(replies)
          expect(readReplies(row.key, row.value)).toEqual(replies)
          expect(parseVoidKey(voidKey(seq(a)))).toBe(a)
        },
      ),
    )
  })

  it('deletes an actor of which nothing is left', () => {
    const batch = new RowBatch()
    writeActor(batch, 'thing.k', { rev: rev(0), state: null, expiresAt: null, ...noShare })
    expect(batch.rows()).toEqual([{ key: new Uint8Array(actorKey('thing.k')), value: null }])
  })

  it('keeps the position of an empty replica', () => {
    const stored = { position: startOfLog(p0, g1), stateHash: noShare, revFloor: rev(0), keptKeys: 0, keptKeyBytes: 0 }
    expect(decodePosition(encodePosition(stored))).toEqual(stored)
  })

  it('puts each kind into its own range, replies of a session in the order of their numbers', () => {
    const order = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b)
    const within = (key: Uint8Array, [from, to]: readonly [Uint8Array, Uint8Array]) =>
      order(key, from) >= 0 && order(key, to) < 0
    fc.assert(
      fc.property(session, session, number, number, (one, other, a, b) => {
        const keys = [positionKey, actorKey(`s.${one}`), sessionKey(one), replyKey(one, a), voidKey(seq(b))]
        for (const [i, range] of [sessionRange, replyRange, voidRange].entries()) {
          expect(keys.map((key) => within(key, range))).toEqual(keys.map((_, k) => k === i + 2))
        }
        expect(Math.sign(order(replyKey(one, a), replyKey(one, b)))).toBe(Math.sign(a - b))
        if (one !== other) expect(order(replyKey(one, a), replyKey(other, a))).not.toBe(0)
      }),
    )
  })

  it('has no two replies under one key, also of sessions whose names begin alike', () => {
    const keys = new Set<string>()
    for (const name of ['a', 'aa', 'a0', 'a-', 'a_0', '0']) {
      for (const n of [0, 1, 0x61, 0x6161, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
        keys.add(Buffer.from(replyKey(sessionId(name), n)).toString('latin1'))
      }
    }
    expect(keys.size).toBe(36)
  })
})

describe('a damaged store', () => {
  it('is INTERNAL or another value, and nothing else, wherever it is damaged', () => {
    fc.assert(
      fc.property(position, share, number, fc.uint8Array(), session, fc.nat(), (at, hash, n, state, name, flip) => {
        const whole = { position: at, stateHash: hash, revFloor: rev(n), keptKeys: n, keptKeyBytes: n }
        for (const bytes of damagedForms(encodePosition(whole).slice(), flip)) {
          const back = intact(() => decodePosition(bytes))
          if (back === undefined) continue
          for (const field of [back.position.seq, back.position.time, back.stateHash.hi])
            expect(field).toBeTypeOf('number')
          expect(back.position.validHash).toHaveLength(16)
        }
        const version = versionRow({ rev: rev(n), state, expiresAt: n, ...hash }).value
        for (const bytes of damagedForms(version, flip)) {
          const back = intact(() => decodeVersion(bytes))
          if (back !== undefined)
            expect(Number.isSafeInteger(back.rev) && Number.isSafeInteger(back.expiresAt ?? 0)).toBe(true)
        }
        const stored = sessionRow({ session: name, low: n, lastContactMs: n }).value
        for (const bytes of damagedForms(stored, flip)) {
          const back = intact(() => decodeSession(name, bytes))
          if (back !== undefined)
            expect(Number.isSafeInteger(back.low) && Number.isSafeInteger(back.lastContactMs)).toBe(true)
        }
        const { key, value } = replyRow({ session: name, block: n, replies: new Map([[n, state]]) })
        for (const bytes of damagedForms(key, flip)) {
          const back = intact(() => readReplies(bytes, value))
          if (back !== undefined) expect(Number.isSafeInteger(back.block)).toBe(true)
        }
        for (const bytes of damagedForms(value, flip)) {
          const back = intact(() => readReplies(key, bytes))
          for (const number of back?.replies.keys() ?? []) expect(Number.isSafeInteger(number)).toBe(true)
        }
        for (const bytes of damagedForms(new Uint8Array(expiryKey(n, 'thing.k')), flip)) {
          const back = intact(() => parseExpiryKey(bytes))
          if (back !== undefined) expect(Number.isSafeInteger(back.expiresAt)).toBe(true)
        }
        for (const bytes of damagedForms(new Uint8Array(voidKey(seq(n))), flip)) intact(() => parseVoidKey(bytes))
      }),
      { numRuns: 500 },
    )
  })

  it('is INTERNAL where its position has another version, field or count of fields', () => {
    const fields = [2, 0, 'g', 5, 5, new Uint8Array(16), 2, 'inc', false, 1_000, 4, 1, 2, 3, 4, 5]
    expect(intact(() => decodePosition(writeValue(fields)))?.position).toMatchObject({
      seq: 5,
      epoch: 2,
      handedOff: false,
    })
    const wrong: Record<number, readonly unknown[]> = {
      0: [0, 1, '2', null],
      1: [-1, '0'],
      2: [null, 7],
      3: ['5', -1, 1.5, null],
      4: [true, {}],
      5: [5, 2 ** 40, '', new Uint8Array(15), null, []],
      6: ['2', null],
      7: [0, null],
      8: [0, 1, 'true', null],
      9: ['x', -5],
      10: [null],
      11: [null, 'x', -1],
      12: [1.5],
      13: [-1, null],
      14: ['4', 0.5],
      15: [2 ** 53, true],
    }
    for (const [at, values] of Object.entries(wrong)) {
      for (const value of values) {
        const damaged = Object.assign([...fields], { [at]: value })
        expect(
          intact(() => decodePosition(writeValue(damaged))),
          `field ${at}`,
        ).toBeUndefined()
      }
    }
    for (const other of [[], fields.slice(1), [...fields, 0], null, 'm', 5, {}]) {
      expect(intact(() => decodePosition(writeValue(other)))).toBeUndefined()
    }
    expect(intact(() => decodePosition(new Uint8Array(0)))).toBeUndefined()
  })
})
