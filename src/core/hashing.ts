/**
 * Two hashes for two jobs.
 *
 * H1. A record's hash is what the next record links to; it decides validity (L3), so it is cryptographic: SHA-256, first 16 bytes.
 * H2. The state hash is a diagnosis (L9) kept up with each turn, so it is cheap: the sum of one 64-bit hash for each keyed actor,
 *     which makes it independent of order and lets one actor's old share be taken out when the new one goes in.
 *     Each half is MurmurHash3 x86_32 (A. Appleby, public domain) under a seed of its own.
 * H3. The share of something that is there is never zero: that of nothing is.
 */
import { hash } from 'node:crypto'
import { linkBytes, stateHashBytes } from '../protocol/record.ts'

/** The link of a genesis record, which has no record before it. */
export const noLink: Uint8Array = new Uint8Array(linkBytes)

export function recordHash(record: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', record, 'buffer').subarray(0, linkBytes))
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** A 64-bit number as two halves, each an integer of 32 bits with its sign: the engine keeps those without an object. */
export interface Hash64 {
  readonly hi: number
  readonly lo: number
}

export const noShare: Hash64 = { hi: 0, lo: 0 }

/** H3 */
export const isNoShare = ({ hi, lo }: Hash64): boolean => hi === 0 && lo === 0

/**
 * An actor's share of the state hash. `id` names the actor within its partition; `state: null` is a tombstone; `expiresAt` is in ms,
 * `null` where it does not expire.
 */
export function actorShare(id: string, rev: number, state: Uint8Array | null, expiresAt: number | null = null): Hash64 {
  let hi = 0x9747b28c
  let lo = 0x3c6ef372
  for (let i = 0; i < id.length; i++) {
    const k = scramble(id.charCodeAt(i))
    hi = stir(hi, k)
    lo = stir(lo, k)
  }
  const low = scramble(rev | 0)
  const high = scramble((rev / 0x1_0000_0000) | 0)
  hi = stir(stir(hi, low), high)
  lo = stir(stir(lo, low), high)
  if (expiresAt !== null) {
    const soon = scramble(expiresAt | 0)
    const late = scramble((expiresAt / 0x1_0000_0000) | 0)
    hi = stir(stir(hi, soon), late)
    lo = stir(stir(lo, soon), late)
  }
  const length = state === null ? -1 : state.length
  if (state !== null) {
    const words = length & ~3
    let i = 0
    for (; i < words; i += 4) {
      const k = scramble(state[i]! | (state[i + 1]! << 8) | (state[i + 2]! << 16) | (state[i + 3]! << 24))
      hi = stir(hi, k)
      lo = stir(lo, k)
    }
    let rest = 0
    for (let shift = 0; i < length; i++, shift += 8) rest |= state[i]! << shift
    const k = scramble(rest)
    hi = stir(hi, k)
    lo = stir(lo, k)
  }
  hi = finish(hi ^ length)
  lo = finish(lo ^ length)
  return { hi, lo: hi === 0 && lo === 0 ? 1 : lo }
}

function scramble(k: number): number {
  k = Math.imul(k, 0xcc9e2d51)
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593)
}

function stir(h: number, k: number): number {
  h ^= k
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
}

function finish(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** `sum` with `out` taken from it and `into` added to it. */
export function replaceShare(sum: Hash64, out: Hash64, into: Hash64): Hash64 {
  return { hi: (sum.hi - out.hi + into.hi) | 0, lo: (sum.lo - out.lo + into.lo) | 0 }
}

export function hash64ToBytes(hash: Hash64): Uint8Array {
  const bytes = new Uint8Array(stateHashBytes)
  const view = new DataView(bytes.buffer)
  view.setInt32(0, hash.hi)
  view.setInt32(4, hash.lo)
  return bytes
}

export function hash64FromBytes(bytes: Uint8Array): Hash64 {
  const view = new DataView(bytes.buffer, bytes.byteOffset, stateHashBytes)
  return { hi: view.getInt32(0), lo: view.getInt32(4) }
}

/** Sixteen hexadecimal digits. */
export const hash64ToText = (hash: Hash64): string => halfToText(hash.hi) + halfToText(hash.lo)

const halfToText = (half: number) => (half >>> 0).toString(16).padStart(8, '0')
