import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeKept, digestOf, encodeKept, keptForMs, keptId, keptKey } from '../../src/partition/kept-reply.ts'
import { isKeptId } from '../../src/partition/names.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import type { NodeId } from '../../src/protocol/ids.ts'
import { name } from '../protocol/arbitraries.ts'
import { OwnerBench, said } from './owner-bench.ts'

const n2 = 'n2' as NodeId
const once = (idempotencyKey: string, session = 's') => ({ idempotencyKey, session })

describe('a command with an idempotency key (N6, R3)', () => {
  it('takes effect once, whoever repeats it, and gives its first reply', async () => {
    const bench = new OwnerBench('once')
    const n1 = await bench.own('n1', 1)
    expect(await n1.call('add', 5, once('order-1'))).toBe(5)
    expect(await n1.call('add', 2)).toBe(7)
    expect(await n1.call('add', 5, once('order-1', 'another'))).toBe(5)
    expect(await n1.call('value', null, { kind: 'query' })).toBe(7)
    expect(bench.changes).toEqual(['k1=5', 'k2=7'])
  })

  it('is one command where two clients send it at once, before and while it is read from the store', async () => {
    const bench = new OwnerBench('at once')
    const n1 = await bench.own('n1', 1)
    const asked = ['a', 'b', 'c'].map((session) => n1.ask('slow', null, once('same', session)))
    await bench.pass()
    bench.gate.open()
    await bench.pass()
    expect(asked.map(said)).toEqual([1, 1, 1])
    expect(bench.changes).toEqual(['k1=1'])
  })

  it('is CONFLICT with other arguments, and nothing happens (I2)', async () => {
    const bench = new OwnerBench('conflict')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 5, once('order-1'))
    expect(await n1.call('add', 6, once('order-1'))).toBe('CONFLICT')
    expect(await n1.call('add', 5, once('order-1'))).toBe(5)
    await bench.pass()
    expect(bench.changes).toEqual(['k1=5'])
  })

  it('is another one at another key, type or command (I1)', async () => {
    const n1 = await new OwnerBench('scope').own('n1', 1)
    expect(await n1.call('add', 5, once('x'))).toBe(5)
    expect(await n1.call('add', 5, { ...once('x'), key: 'other' })).toBe(5)
    expect(await n1.call('pad', 3, once('x'))).toBe('xxx')
    expect(await n1.call('put', { value: 1 }, { ...once('x'), type: 'kv-users' })).toBe(1)
    expect(await n1.call('add', 5, once('x'))).toBe(5)
    expect(await n1.call('read')).toBe(6)
  })

  it('is not remembered where it failed: the same key may try again (I4)', async () => {
    const bench = new OwnerBench('failed')
    const n1 = await bench.own('n1', 1)
    expect(await n1.call('throwing', 1, once('x'))).toBe('FAILED')
    expect(await n1.call('throwing', 2, once('x'))).toBe('FAILED')
    expect(n1.replica.keptKeys).toBe(0)
  })

  it('is remembered also where it changed nothing', async () => {
    const n1 = await new OwnerBench('unchanged').own('n1', 1)
    expect(await n1.call('read', null, once('x'))).toBe(0)
    await n1.call('add', 1)
    expect(await n1.call('read', null, once('x'))).toBe(0)
  })

  it('is remembered over hand-offs, takeovers and stores that are gone, and no longer than 24 h (I3)', async () => {
    const bench = new OwnerBench('a day')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 5, once('order-1'))
    const hash = n1.replica.stateHash
    expect(await bench.world.settle(n1.owner.handOff(n2))).toBe(true)
    const next = await bench.own('n2', 2)
    expect(next.replica.stateHash).toEqual(hash)
    expect(next.replica.keptKeys).toBe(1)
    expect(await next.call('add', 5, once('order-1', 'later'))).toBe(5)
    await bench.pass(keptForMs - 60_000)
    expect(await next.call('add', 5, once('order-1', 'much later'))).toBe(5)
    await bench.pass(61_000)
    expect(next.replica.keptKeys).toBe(0)
    expect(next.replica.keptKeyBytes).toBe(0)
    expect(await next.call('add', 5, once('order-1', 'too late'))).toBe(10)
    await bench.pass()
    expect([...new Set(bench.changes)]).toEqual(['k1=5', 'k2=10'])
  })

  it('is OVERLOADED where as many are kept as may be, and none is forgotten for it (I3)', async () => {
    const bench = new OwnerBench('quota', { maxKeptKeys: 3 })
    const n1 = await bench.own('n1', 1)
    const first = ['a', 'b', 'c', 'd'].map((key) => n1.ask('add', 1, once(key)))
    await bench.pass()
    expect(first.map(said)).toEqual([1, 2, 3, 'OVERLOADED'])
    expect(first[3]!.answers[0]).toMatchObject({ error: { retryAfterMs: 60_000 } })
    expect(await n1.call('add', 1, once('a'))).toBe(1)
    expect(await n1.call('add', 1)).toBe(4)
    await bench.pass(keptForMs + 2_000)
    expect(await n1.call('add', 1, once('d'))).toBe(5)
  })

  it('is OVERLOADED where what is kept has as many bytes as it may', async () => {
    const bench = new OwnerBench('bytes', { maxKeptKeyBytes: 1_000 })
    const n1 = await bench.own('n1', 1)
    expect(await n1.call('pad', 2_000, once('a'))).toHaveLength(2_000)
    expect(await n1.call('add', 1, once('b'))).toBe('OVERLOADED')
  })

  it('is INVALID where reply and what is kept of it do not fit into one record, and leaves no trace', async () => {
    const bench = new OwnerBench('too large', { maxRecordBytes: 20_000 })
    const n1 = await bench.own('n1', 1)
    expect(await n1.call('pad', 9_000, once('x'))).toBe('INVALID')
    expect(await n1.call('pad', 9_000)).toHaveLength(9_000)
    expect(n1.replica.keptKeys).toBe(0)
    await bench.pass()
    expect(bench.changes).toEqual(['k1=1'])
  })

  it('holds nothing in memory once it is answered', async () => {
    const bench = new OwnerBench('holds')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 5, once('x'))
    await n1.call('add', 6, once('x'))
    await n1.call('throwing', 6, once('y'))
    await bench.pass(100)
    for (const id of [
      'counter.k',
      keptId(keptKey('counter', 'k', 'add', 'x')),
      keptId(keptKey('counter', 'k', 'throwing', 'y')),
    ])
      expect(n1.replica.peek(id)?.holds, id).toBe(0)
  })
})

describe('what an idempotency key stands for', () => {
  it('has one id for each scope, which no actor has', () => {
    fc.assert(
      fc.property(fc.tuple(name, name, name, name), fc.tuple(name, name, name, name), (a, b) => {
        const id = (parts: readonly [string, string, string, string]) => {
          const [type, key, command, once] = parts
          return keptId(keptKey(type, key, command.replaceAll('.', '_'), once))
        }
        const plain = ([type, key, command, once]: readonly string[]) => [
          type,
          key,
          command!.replaceAll('.', '_'),
          once,
        ]
        expect(id(a) === id(b)).toBe(JSON.stringify(plain(a)) === JSON.stringify(plain(b)))
        expect(isKeptId(id(a))).toBe(true)
      }),
    )
  })

  it('comes back as it was, and is INTERNAL where it is damaged', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), fc.nat(), (input, reply, at) => {
        const kept = { asked: digestOf(input), reply }
        const bytes = encodeKept(kept)
        expect(decodeKept(bytes)).toEqual(kept)
        let back: unknown
        try {
          back = decodeKept(bytes.subarray(0, at % bytes.length))
        } catch (error) {
          back = isHoldfastError(error) ? 'typed' : error
        }
        expect(back).toBe('typed')
      }),
    )
  })
})
