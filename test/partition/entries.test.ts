import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../src/protocol/ids.ts'
import { decodeValue } from '../../src/protocol/values.ts'
import { LogWriter } from './log-writer.ts'
import { OwnerBench, said, type Owned } from './owner-bench.ts'
import { p0 } from './world.ts'

const users = { type: 'kv-users' }
const n2 = 'n2' as NodeId

/** Ends the ownership, and gives the rows of actors and expiries that it leaves in its store. */
async function rowsLeft({ world }: OwnerBench, { owner, node, replica }: Owned): Promise<string[]> {
  owner.end()
  await world.settle(replica.close({ flush: true }))
  const read = async () => {
    const store = await node.process.stores.open(p0)
    const rows: string[] = []
    for await (const [key] of store.range(Buffer.from('a'), Buffer.from('f')))
      rows.push(Buffer.from(key).toString('latin1'))
    return rows
  }
  return world.settle(read())
}

describe('an entry of a store', () => {
  it('is put, read, replaced and deleted, with a rev for each change (V1, V2)', async () => {
    const n1 = await new OwnerBench('entries').own('n1', 1)
    expect(await n1.call('entry', null, { ...users, kind: 'query' })).toBeNull()
    expect(await n1.call('put', { value: { name: 'Ada' } }, users)).toBe(1)
    expect(await n1.call('put', { value: { name: 'Ada' } }, users)).toBe(2)
    expect(await n1.call('get', null, { ...users, kind: 'query' })).toEqual({ name: 'Ada' })
    expect(await n1.call('entry', null, { ...users, kind: 'query' })).toEqual({
      value: { name: 'Ada' },
      rev: 2,
      expiresAt: null,
    })
    expect(await n1.call('delete', null, users)).toBe(true)
    expect(await n1.call('delete', null, users)).toBe(false)
    expect(await n1.call('get', null, { ...users, kind: 'query' })).toBeNull()
    expect(await n1.call('put', { value: null }, users)).toBe(4)
    expect(await n1.call('entry', null, { ...users, kind: 'query' })).toEqual({ value: null, rev: 4, expiresAt: null })
  })

  it('is put if it is absent, and only then', async () => {
    const n1 = await new OwnerBench('absent').own('n1', 1)
    expect(await n1.call('putIfAbsent', { value: 1 }, users)).toBe(1)
    expect(await n1.call('putIfAbsent', { value: 2 }, users)).toBeNull()
    await n1.call('delete', null, users)
    expect(await n1.call('putIfAbsent', { value: 3 }, users)).toBe(3)
  })

  it('is updated and deleted by its rev, else CONFLICT', async () => {
    const n1 = await new OwnerBench('compare and set').own('n1', 1)
    expect(await n1.call('update', { value: 1, rev: 0 }, users)).toBe('CONFLICT')
    await n1.call('put', { value: 1 }, users)
    expect(await n1.call('update', { value: 2, rev: 1 }, users)).toBe(2)
    expect(await n1.call('update', { value: 3, rev: 1 }, users)).toBe('CONFLICT')
    expect(await n1.call('delete', { rev: 1 }, users)).toBe('CONFLICT')
    expect(await n1.call('delete', { rev: 2 }, users)).toBe(true)
    expect(await n1.call('delete', { rev: 3 }, users)).toBe('CONFLICT')
  })

  it('refuses what is no put: INVALID, and nothing is there', async () => {
    const n1 = await new OwnerBench('bad input').own('n1', 1)
    for (const input of [
      null,
      5,
      'x',
      [],
      {},
      { value: 1, ttlMs: 0 },
      { value: 1, ttlMs: 0.5 },
      { value: 1, ttlMs: '1s' },
    ]) {
      expect(await n1.call('put', input, users)).toBe('INVALID')
      expect(await n1.call('putIfAbsent', input, users)).toBe('INVALID')
    }
    for (const rev of [null, -1, 0.5, '1']) expect(await n1.call('update', { value: 1, rev }, users)).toBe('INVALID')
    for (const input of [5, { rev: 'x' }, []]) expect(await n1.call('delete', input, users)).toBe('INVALID')
    expect(await n1.call('entry', null, { ...users, kind: 'query' })).toBeNull()
    expect(await n1.call('steal', null, users)).toBe('NOT_FOUND')
    expect(await n1.call('constructor', null, { ...users, kind: 'call' })).toBe('NOT_FOUND')
  })
})

describe('a call whose kind is not known', () => {
  it('is a command or a query, by its name', async () => {
    const n1 = await new OwnerBench('call').own('n1', 1)
    expect(await n1.call('add', 3, { kind: 'call' })).toBe(3)
    expect(await n1.call('value', null, { kind: 'call' })).toBe(3)
    expect(await n1.call('toString', null, { kind: 'call' })).toBe('NOT_FOUND')
  })
})

describe('an entry with a term (V3, N7)', () => {
  it('is there until then and not after, removed or not', async () => {
    const bench = new OwnerBench('term', { expireEveryMs: 3_600_000 })
    const n1 = await bench.own('n1', 1)
    await n1.call('put', { value: 1, ttlMs: 1_000 }, users)
    expect(await n1.call('entry', null, { ...users, kind: 'query' })).toMatchObject({ value: 1, rev: 1 })
    await bench.pass(1_100)
    expect(await n1.call('get', null, { ...users, kind: 'query' })).toBeNull()
    expect(await n1.call('update', { value: 2, rev: 1 }, users)).toBe('CONFLICT')
    expect(await n1.call('delete', null, users)).toBe(false)
    expect(await n1.call('putIfAbsent', { value: 3 }, users)).toBe(2)
    await bench.pass(3_600_000)
    expect(await n1.call('get', null, { ...users, kind: 'query' })).toBe(3)
  })

  it('is removed by a record of the log, a deletion with its change', async () => {
    const bench = new OwnerBench('removed')
    const n1 = await bench.own('n1', 1)
    await n1.call('put', { value: 1, ttlMs: 1_000 }, users)
    await n1.call('put', { value: 2 }, { ...users, key: 'stays' })
    await bench.pass(2_500)
    expect(bench.changes).toEqual(['k1=1', 'stays1=2', 'k2=null'])
    const last = bench.world.validRecords().at(-1)
    expect(last).toMatchObject({
      sessions: [],
      turns: [{ session: null, mutations: [{ type: 'kv-users', key: 'k', rev: 2, state: null }] }],
    })
  })

  it('lives on where it was put again', async () => {
    const bench = new OwnerBench('again')
    const n1 = await bench.own('n1', 1)
    await n1.call('put', { value: 1, ttlMs: 1_000 }, users)
    await bench.pass(900)
    await n1.call('put', { value: 2, ttlMs: 10_000 }, users)
    await bench.pass(5_000)
    expect(await n1.call('get', null, { ...users, kind: 'query' })).toBe(2)
    await n1.call('put', { value: 3 }, users)
    await bench.pass(10_000)
    expect(await n1.call('get', null, { ...users, kind: 'query' })).toBe(3)
    expect(await rowsLeft(bench, n1)).toEqual(['akv-users.k'])
  })

  it('is removed by the next owner, which finds it in its store or in the log', async () => {
    for (const store of [true, false]) {
      const bench = new OwnerBench(`next owner ${store}`)
      const n1 = await bench.own('n1', 1)
      await n1.call('put', { value: 1, ttlMs: 5_000 }, users)
      expect(await bench.world.settle(n1.owner.handOff(n2))).toBe(true)
      await bench.world.settle(n1.replica.close({ flush: true }))
      await bench.world.settle(n1.node.process.stores.close())
      const next = await bench.own(store ? 'n1' : 'n2', 2)
      expect(await next.call('get', null, { ...users, kind: 'query' })).toBe(1)
      await bench.pass(7_000)
      expect(new Set(bench.changes)).toEqual(new Set(['k1=1', 'k2=null']))
    }
  })

  it('does not come back for a reader at an owner whose clock is behind (E6)', async () => {
    const bench = new OwnerBench('behind', { expireEveryMs: 3_600_000 })
    const n1 = await bench.own('n1', 1)
    await n1.call('put', { value: 1, ttlMs: 400 }, users)
    await bench.pass(450)
    // Read under the lease of the put: no record tells of that time.
    const records = bench.world.records().length
    expect(await n1.call('get', null, { ...users, kind: 'query' })).toBeNull()
    expect(bench.world.records()).toHaveLength(records)
    const next = await bench.own('n2', 2, -3_600_000)
    expect(await next.call('get', null, { ...users, kind: 'query' })).toBeNull()
  })
})

describe('the tombstone of a deleted entry (E1)', () => {
  it('is collected after its time, and what is created then begins above its rev', async () => {
    const bench = new OwnerBench('collected', { tombstoneMs: 10_000 })
    const n1 = await bench.own('n1', 1)
    for (const value of [1, 2, 3]) await n1.call('put', { value }, users)
    await n1.call('delete', null, users)
    await bench.pass(12_000)
    expect(bench.changes).toEqual(['k1=1', 'k2=2', 'k3=3', 'k4=null'])
    expect(bench.world.validRecords().at(-1)).toMatchObject({
      turns: [{ session: null, mutations: [{ key: 'k', rev: 4, state: undefined }] }],
    })
    expect(await rowsLeft(bench, n1)).toEqual([])
    const next = await bench.own('n2', 2)
    expect(await next.call('put', { value: 5 }, users)).toBe(5)
  })

  it('leaves the same floor and the same state hash wherever the log is replayed', async () => {
    const bench = new OwnerBench('floor', { tombstoneMs: 1_000 })
    const n1 = await bench.own('n1', 1)
    for (const value of [1, 2]) await n1.call('put', { value }, users)
    await n1.call('put', { value: 1, ttlMs: 1 }, { ...users, key: 'other' })
    await n1.call('delete', null, users)
    await bench.pass(10_000)
    const hash = n1.replica.stateHash
    expect(await bench.world.settle(n1.owner.handOff(n2))).toBe(true)
    const next = await bench.own('n2', 2)
    expect(next.replica.stateHash).toEqual(hash)
    expect(next.replica.stateHash).toEqual({ hi: 0, lo: 0 })
    expect(next.node.events.of('partition.hash-mismatch')).toEqual([])
    expect(await next.call('put', { value: 5 }, users)).toBe(4)
  })

  it('is put to use where the key is written again before', async () => {
    const bench = new OwnerBench('written again', { tombstoneMs: 5_000 })
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    await n1.call('destroy')
    expect(await n1.call('add', 7)).toBe(7)
    await bench.pass(20_000)
    expect(await n1.call('value', null, { kind: 'query' })).toBe(7)
    expect(bench.changes).toEqual(['k1=1', 'k2=null', 'k3=7'])
  })
})

describe('a look for what has expired', () => {
  it('passes over a key with a turn that runs, and comes back to it', async () => {
    const bench = new OwnerBench('busy', { tombstoneMs: 1_000 })
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    await n1.call('destroy')
    const slow = n1.ask('slow')
    await bench.pass(5_000)
    expect(said(slow)).toBeUndefined()
    bench.gate.open()
    await bench.pass(5_000)
    expect(said(slow)).toBe(1)
    expect(bench.changes).toEqual(['k1=1', 'k2=null', 'k3=1'])
  })

  it('takes thousands at a time, others in between, each once', async () => {
    const bench = new OwnerBench('thousands')
    const n1 = await bench.own('n1', 1)
    for (let i = 0; i < 1_000; i++) n1.ask('put', { value: i, ttlMs: 1_000 }, { ...users, key: `k${i}` })
    await bench.pass(900)
    bench.changes.length = 0
    await bench.pass(20_000)
    expect(new Set(bench.changes).size).toBe(1_000)
    expect(bench.changes).toHaveLength(1_000)
  })

  it('is followed by the next as long as there is more, so that what expires is not left lying (Y4)', async () => {
    const bench = new OwnerBench('rate', { tombstoneMs: 1_000 })
    const n1 = await bench.own('n1', 1)
    for (let i = 0; i < 3_000; i++) {
      n1.ask('put', { value: i, ttlMs: 2_000 }, { ...users, key: `k${i}` })
      if (i % 500 === 499) await bench.pass(50)
    }
    await n1.call('put', { value: 'stays', ttlMs: 60_000 }, { ...users, key: 'stays' })
    await bench.pass(3_500)
    const deleted = bench.changes.filter((change) => change.endsWith('=null'))
    expect(new Set(deleted).size).toBe(3_000)
    expect(deleted).toHaveLength(3_000)
    // Their tombstones, too.
    await bench.pass(2_500)
    expect(await rowsLeft(bench, n1)).toHaveLength(2)
  })

  it('is not begun by an owner that was fenced', async () => {
    const bench = new OwnerBench('fenced')
    const n1 = await bench.own('n1', 1)
    await n1.call('put', { value: 1, ttlMs: 1_000 }, users)
    new LogWriter(bench.world).claim('rival')
    await bench.pass(5_000)
    expect(n1.fenced).toHaveLength(1)
    expect(bench.changes).toEqual(['k1=1'])
  })
})

describe('what a handler has to say of its state (N3)', () => {
  it('is in the record as the value’s own bytes', async () => {
    const bench = new OwnerBench('bytes')
    const n1 = await bench.own('n1', 1)
    await n1.call('put', { value: { at: new Date(0), n: 5n, raw: Uint8Array.of(1, 2) } }, users)
    const record = bench.world.validRecords().at(-1)
    const state = record?.kind === 'commit' ? record.turns[0]?.mutations[0]?.state : undefined
    expect(decodeValue(state!)).toEqual({ at: new Date(0), n: 5n, raw: Uint8Array.of(1, 2) })
  })
})
