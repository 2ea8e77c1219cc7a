import { describe, expect, it } from 'vitest'
import { ActorCache } from '../../src/partition/actor-cache.ts'
import { StateArena } from '../../src/partition/state-arena.ts'
import { rev } from '../../src/protocol/ids.ts'
import { decodeValue } from '../../src/protocol/values.ts'

const stateOf = (byte: number, length = 1_000) => new Uint8Array(length + 500).fill(byte).subarray(100, 100 + length)

describe('the memory of states', () => {
  it('holds copies, side by side: nothing that a state came in stays with it', () => {
    const arena = new StateArena()
    const source = stateOf(7)
    const [one, two] = [arena.keep(source), arena.keep(stateOf(8))]
    source.fill(0)
    expect([one[0], two[0], one.length]).toEqual([7, 8, 1_000])
    expect(one.buffer).toBe(two.buffer)
    expect(arena.keeps(one)).toBe(true)
    expect(arena.keeps(stateOf(1))).toBe(false)
  })

  it('leaves small states as they are, and gives large ones memory of their own (A2)', () => {
    const arena = new StateArena()
    const small = Uint8Array.of(1, 2, 3)
    expect(arena.keep(small)).toBe(small)
    expect(arena.keep(stateOf(1, 60_000)).buffer.byteLength).toBe(60_000)
    expect(arena.bytes).toBe(0)
  })

  it('is not written again where a state was let go of (A1)', () => {
    const arena = new StateArena()
    const former = arena.keep(stateOf(1))
    arena.release(former)
    for (let i = 0; i < 500; i++) arena.release(arena.keep(stateOf(2)))
    expect(new Set(former)).toEqual(new Set([1]))
  })

  it('has values written to where they stay, and takes back the one that was written last (A1)', () => {
    const arena = new StateArena()
    const values = [{ n: 1, text: 'x'.repeat(100) }, [new Date(0), 'y'.repeat(100)], 'z'.repeat(20_000), 7, null]
    for (const value of values) {
      const state = arena.write(value)
      expect(decodeValue(state)).toEqual(value)
      expect(arena.keeps(state)).toBe(true)
      arena.drop(state)
    }
    const first = arena.write('a'.repeat(100))
    const second = arena.write('b'.repeat(100))
    arena.drop(second)
    const third = arena.write('c'.repeat(100))
    expect([third.buffer, third.byteOffset]).toEqual([second.buffer, second.byteOffset])
    arena.drop(first)
    expect(decodeValue(arena.write('d'.repeat(100)))).toBe('d'.repeat(100))
    expect([first, third].map(decodeValue)).toEqual(['a'.repeat(100), 'c'.repeat(100)])
    expect(() => arena.write(() => {})).toThrow('a function is not a value')
    expect(decodeValue(arena.write('e'.repeat(100)))).toBe('e'.repeat(100))
  })

  it('is let go of when nothing is in it', () => {
    const arena = new StateArena()
    for (let i = 0; i < 10_000; i++) arena.release(arena.keep(stateOf(2)))
    expect(arena.bytes).toBeLessThanOrEqual(2 * 65_536)
  })
})

describe('the cache of actors', () => {
  const version = (n: number, byte: number) =>
    ({ rev: rev(n), state: stateOf(byte), expiresAt: null, hi: n, lo: byte }) as const

  it('moves what is left in sparse memory together, and keeps every state as it was (A3)', () => {
    const cache = new ActorCache(() => 100_000_000)
    const actors = Array.from({ length: 1_000 }, (_, i) => cache.add(`thing.${i}`, version(1, i % 250), 0))
    // Nine of ten get a new state, again and again; the tenth stays where it is.
    for (let round = 2; round < 12; round++) {
      actors.forEach((actor, i) => {
        if (i % 10 === 0) return
        cache.commit(actor, version(round, (i + round) % 250))
        actor.tip = actor.committed
        cache.compact()
      })
    }
    actors.forEach((actor, i) => {
      const byte = i % 10 === 0 ? i % 250 : (i + 11) % 250
      expect(new Set(actor.committed.state)).toEqual(new Set([byte]))
      expect(actor.tip).toBe(actor.committed)
    })
    // 1,000 states of 1,000 bytes.
    expect(cache.states.bytes).toBeLessThan(3.2e6)
  })
})
