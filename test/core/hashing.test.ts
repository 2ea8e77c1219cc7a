import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  actorShare,
  hash64FromBytes,
  hash64ToBytes,
  hash64ToText,
  noLink,
  noShare,
  recordHash,
  replaceShare,
  sameBytes,
  type Hash64,
} from '../../src/core/hashing.ts'
import { linkBytes, stateHashBytes } from '../../src/protocol/record.ts'
import { text } from '../protocol/arbitraries.ts'

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const hash64 = fc.record({ hi: word, lo: word }, { noNullPrototype: true })
const bytes = (...values: number[]) => Uint8Array.from(values)

describe('the hash of a record (H1)', () => {
  it('is the first 16 bytes of its SHA-256', () => {
    expect(Buffer.from(recordHash(Buffer.from('abc'))).toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223')
    fc.assert(
      fc.property(fc.uint8Array(), (record) => {
        const hash = recordHash(record)
        expect(hash).toHaveLength(linkBytes)
        expect(sameBytes(hash, createHash('sha256').update(record).digest().subarray(0, linkBytes))).toBe(true)
      }),
    )
  })

  it('of a view is that of its bytes alone', () => {
    const whole = Buffer.from('xxabcxx')
    expect(sameBytes(recordHash(whole.subarray(2, 5)), recordHash(Buffer.from('abc')))).toBe(true)
  })

  it('is never the link of a genesis', () => {
    expect(noLink).toEqual(new Uint8Array(linkBytes))
    expect(sameBytes(recordHash(new Uint8Array(0)), noLink)).toBe(false)
  })
})

describe('bytes', () => {
  it('are the same if length and every byte are', () => {
    expect(sameBytes(bytes(), bytes())).toBe(true)
    expect(sameBytes(bytes(1, 2), bytes(1, 2, 3))).toBe(false)
    expect(sameBytes(bytes(1, 2, 3), bytes(1, 2))).toBe(false)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), fc.nat(), (a, at) => {
        expect(sameBytes(a, a.slice())).toBe(true)
        const b = a.slice()
        b[at % b.length]! ^= 1
        expect(sameBytes(a, b)).toBe(false)
      }),
    )
  })
})

/** MurmurHash3 x86_32 over the same words, written from its definition. */
function murmur(words: readonly number[], seed: number, length: number): number {
  const rotl = (x: number, by: number) => ((x << by) | (x >>> (32 - by))) >>> 0
  let h = seed >>> 0
  for (const word of words) {
    const k = Math.imul(rotl(Math.imul(word, 0xcc9e2d51) >>> 0, 15), 0x1b873593)
    h = (Math.imul(rotl((h ^ k) >>> 0, 13), 5) + 0xe6546b64) >>> 0
  }
  h = (h ^ length) >>> 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) >>> 0
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) >>> 0
  return (h ^ (h >>> 16)) >>> 0
}

/** Id, rev and state as words; a state always ends with a word for what is left of it, a tombstone has none. */
function wordsOf(id: string, rev: number, state: Uint8Array | null): number[] {
  const words = Array.from({ length: id.length }, (_, i) => id.charCodeAt(i))
  words.push(rev >>> 0, Math.floor(rev / 2 ** 32))
  if (state === null) return words
  const padded = Buffer.concat([state, Buffer.alloc(4)])
  for (let at = 0; at <= state.length - (state.length % 4); at += 4) words.push(padded.readUInt32LE(at))
  return words
}

describe('the share of one actor in the state hash (H2)', () => {
  const state = fc.option(fc.uint8Array({ maxLength: 70 }))
  const rev = fc.oneof(fc.nat({ max: 5 }), fc.maxSafeNat())

  it('is two MurmurHash3 of its id, rev and state under two seeds', () => {
    fc.assert(
      fc.property(text(), rev, state, (id, rev, state) => {
        const words = wordsOf(id, rev, state)
        const length = state?.length ?? -1
        expect(actorShare(id, rev, state)).toEqual({
          hi: murmur(words, 0x9747b28c, length) | 0,
          lo: murmur(words, 0x3c6ef372, length) | 0,
        })
      }),
      { numRuns: 1_000 },
    )
  })

  it('is for ever what it is, because other nodes and older stores compare it', () => {
    const words = Buffer.from('some state, longer than words')
    expect(hash64ToText(actorShare('cart.c1', 1, bytes(0x81, 0xa1, 0x6e, 0x01)))).toBe('f02275013268800a')
    expect(hash64ToText(actorShare('cart.c1', 2, null))).toBe('79ffaf684585f78b')
    expect(hash64ToText(actorShare('', 0, bytes()))).toBe('2bfb3133dcc7715e')
    expect(hash64ToText(actorShare('counter.=F0=9F', 2 ** 40 + 3, words))).toBe('54e916b62cf47a1b')
  })

  it('differs where id, rev or state differ, also a tombstone from an empty state', () => {
    const shares = [
      actorShare('a.b', 1, bytes()),
      actorShare('a.b', 1, null),
      actorShare('a.b', 2, bytes()),
      actorShare('a.b', 2 ** 32 + 1, bytes()),
      actorShare('a.c', 1, bytes()),
      actorShare('a.b', 1, bytes(0)),
      actorShare('a.b', 1, bytes(0, 0)),
      actorShare('a.b', 1, bytes(0, 0, 0, 0)),
      actorShare('a.b', 1, bytes(0, 0, 0, 0, 0)),
      actorShare('a.b', 1, bytes(1)),
    ]
    expect(new Set(shares.map(hash64ToText)).size).toBe(shares.length)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(), (state, flip) => {
        const other = state.slice()
        const bit = flip % (other.length * 8)
        other[bit >> 3]! ^= 1 << (bit & 7)
        expect(actorShare('a.b', 1, other)).not.toEqual(actorShare('a.b', 1, state))
      }),
    )
  })

  it('does not depend on where in memory a state lies', () => {
    const memory = Uint8Array.from({ length: 64 }, (_, i) => i * 7)
    for (let at = 0; at < 8; at++) {
      const view = memory.subarray(at, at + 23)
      expect(actorShare('a.b', 1, view)).toEqual(actorShare('a.b', 1, view.slice()))
    }
  })
})

describe('the state hash of a partition (H2, L9)', () => {
  const change = fc.record({ actor: fc.nat({ max: 5 }), state: fc.option(fc.uint8Array({ maxLength: 6 })) })

  it('is that of the last states alone, whatever came before and in whatever order', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), fc.nat(), (changes, turn) => {
        const shares = new Map<number, Hash64>()
        const revs = new Map<number, number>()
        let sum = noShare
        for (const { actor, state } of changes) {
          const rev = (revs.get(actor) ?? 0) + 1
          revs.set(actor, rev)
          const share = actorShare(`a.${actor}`, rev, state)
          sum = replaceShare(sum, shares.get(actor) ?? noShare, share)
          shares.set(actor, share)
        }
        const last = [...shares.values()]
        const turned = [...last.slice(turn % (last.length + 1)), ...last.slice(0, turn % (last.length + 1))]
        expect(turned.reduce((total, share) => replaceShare(total, noShare, share), noShare)).toEqual(sum)
      }),
    )
  })

  it('is what it was when a share is put in and taken out again, carries of 32 bits included', () => {
    fc.assert(
      fc.property(hash64, hash64, (sum, share) => {
        const grown = replaceShare(sum, noShare, share)
        for (const half of [grown.hi, grown.lo]) expect(half).toBe(half | 0)
        expect(replaceShare(grown, share, noShare)).toEqual(sum)
      }),
    )
  })

  it('comes back from its bytes, also as a view, and reads as sixteen digits', () => {
    fc.assert(
      fc.property(hash64, (hash) => {
        const stored = hash64ToBytes(hash)
        expect(stored).toHaveLength(stateHashBytes)
        const shifted = Buffer.concat([Uint8Array.of(1, 2, 3), stored]).subarray(3)
        expect(hash64FromBytes(shifted)).toEqual(hash)
        expect(hash64ToText(hash)).toBe(Buffer.from(stored).toString('hex'))
      }),
    )
  })
})
