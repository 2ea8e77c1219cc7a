import { describe, expect, it } from 'vitest'
import { sessionTermMs } from '../../src/core/sessions.ts'
import { sessionId, type NodeId } from '../../src/protocol/ids.ts'
import { LogWriter } from './log-writer.ts'
import { OwnerBench, said } from './owner-bench.ts'
import { p0 } from './world.ts'

const n2 = 'n2' as NodeId

describe('replies to commands (R1, W1, W2)', () => {
  it('leave after the commit, and not before, however long that takes', async () => {
    const bench = new OwnerBench('after commit')
    const n1 = await bench.own('n1', 1)
    n1.faulty.next('delay')
    const first = n1.ask('add', 5)
    const second = n1.ask('read')
    await bench.pass(1_000)
    expect([said(first), said(second)]).toEqual([undefined, undefined])
    expect(bench.world.validRecords()).toHaveLength(2)
    await bench.world.settle(n1.faulty.release())
    await bench.pass()
    expect([said(first), said(second)]).toEqual([5, 5])
    expect(bench.changes).toEqual(['k1=5'])
  })

  it('leave once, also where the acknowledgement was lost and the record found in the log', async () => {
    const bench = new OwnerBench('lost acknowledgement')
    const n1 = await bench.own('n1', 1)
    n1.faulty.next('lose-acknowledgement')
    const asked = n1.ask('add', 5)
    await bench.pass(1_900)
    expect(said(asked)).toBeUndefined()
    await bench.pass(500)
    expect(said(asked)).toBe(5)
    expect(bench.changes).toEqual(['k1=5'])
  })

  it('of a failure leave after all that the handler can have seen is committed', async () => {
    const bench = new OwnerBench('failure')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 0, { key: 'other' })
    n1.faulty.next('delay')
    n1.ask('add', 5)
    const failed = n1.ask('throwing')
    await bench.pass(100)
    expect(said(n1.query('value'))).toBe(0)
    expect(said(failed)).toBeUndefined()
    await bench.world.settle(n1.faulty.release())
    await bench.pass()
    expect(failed.answers).toMatchObject([{ error: { code: 'FAILED', message: 'the handler threw: saw 5' } }])
  })

  it('of a failure do not leave at all where another node has claimed meanwhile: nothing happened', async () => {
    const bench = new OwnerBench('failure fenced')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    await bench.pass(1_000)
    new LogWriter(bench.world).claim('rival')
    const failed = n1.ask('throwing')
    await bench.pass()
    expect(said(failed)).toBe('RETRY')
    expect(n1.fenced).toHaveLength(1)
  })

  it('of unknown types, commands and queries are NOT_FOUND', async () => {
    const bench = new OwnerBench('unknown')
    const n1 = await bench.own('n1', 1)
    for (const asked of [
      n1.ask('add', 1, { type: 'nobody' }),
      n1.ask('nothing'),
      n1.ask('constructor'),
      n1.ask('value'),
      n1.query('add'),
      n1.query('__proto__'),
      n1.query('value', null, { type: 'nobody' }),
    ]) {
      expect(said(asked)).toBe('NOT_FOUND')
    }
    expect(bench.world.records()).toHaveLength(2)
  })
})

describe('queries (W3, O3)', () => {
  it('read what is committed, and nothing that is only on its way', async () => {
    const bench = new OwnerBench('committed only')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    n1.faulty.next('delay')
    n1.ask('add', 10)
    await bench.pass(10)
    expect(said(n1.query('value'))).toBe(1)
    await bench.world.settle(n1.faulty.release())
    await bench.pass()
    expect(said(n1.query('value'))).toBe(11)
  })

  it('are answered at once under the lease, and without it after an append of their own', async () => {
    const bench = new OwnerBench('lease')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    expect(said(n1.query('value'))).toBe(1)
    const records = bench.world.records().length
    await bench.pass(600)
    const [first, second] = [n1.query('value'), n1.query('value')]
    expect(said(first)).toBeUndefined()
    await bench.pass()
    expect([said(first), said(second)]).toEqual([1, 1])
    expect(bench.world.records()).toHaveLength(records + 1)
    expect(bench.world.validRecords().at(-1)).toMatchObject({ kind: 'commit', turns: [] })
  })

  it('are never answered with what is stale: without a lease they learn of the next owner, and say RETRY', async () => {
    const bench = new OwnerBench('stale')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    n1.node.process.links.changelog.cut({ noticeAfterMs: 100_000 })
    const n2 = await bench.own('n2', 2)
    expect(await n2.call('add', 10)).toBe(11)
    const stale = n1.query('value')
    await bench.pass(5_000)
    expect(said(stale)).toBeUndefined()
    n1.node.process.links.changelog.heal()
    await bench.pass(10_000)
    expect(said(stale)).toBe('RETRY')
    expect(n1.fenced).toHaveLength(1)
  })

  it('wait as soon as the two clocks of the node disagree', async () => {
    const bench = new OwnerBench('clocks')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    n1.node.process.clock.skewMs += 1_000
    const asked = n1.query('value')
    expect(said(asked)).toBeUndefined()
    await bench.pass()
    expect(said(asked)).toBe(1)
  })

  it('may fail, and get no more than fits into a reply', async () => {
    const bench = new OwnerBench('query errors')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    expect(said(n1.query('failing'))).toBe('FAILED')
    expect(said(n1.query('later'))).toBe('INVALID')
    expect(said(n1.query('fill', bench.settings.maxRecordBytes))).toBe('INVALID')
    expect(said(n1.query('fill', 1_000))).toBe('x'.repeat(1_000))
  })

  it('read actors that are not in memory, and those that nobody ever wrote', async () => {
    const bench = new OwnerBench('cold', { cacheBytes: 1 })
    const n1 = await bench.own('n1', 1)
    for (let i = 0; i < 20; i++) n1.ask('add', i, { key: `k${i}` })
    await bench.pass(100)
    const asked = Array.from({ length: 21 }, (_, i) => n1.query('value', null, { key: `k${i}` }))
    await bench.pass()
    expect(asked.map(said)).toEqual([...Array.from({ length: 20 }, (_, i) => i), 0])
  })
})

describe('a schema that does not settle', () => {
  it('fails a command after its time, and begins no handler later, beside the next turn of the key (N1, N3)', async () => {
    const bench = new OwnerBench('command', { handlerTimeoutMs: 1_000 })
    const n1 = await bench.own('n1', 1)
    expect(await n1.call('checked')).toBe('FAILED')
    const late = bench.gate.open
    const slow = n1.ask('slow')
    await bench.pass()
    late()
    await bench.pass()
    expect(bench.gate.begun).toBe(0)
    bench.gate.open()
    await bench.pass()
    expect(said(slow)).toBe(1)
  })

  it('begins no handler where the partition was handed off meanwhile', async () => {
    const bench = new OwnerBench('handed off')
    const n1 = await bench.own('n1', 1)
    const checked = n1.ask('checked')
    await bench.pass()
    const handingOff = n1.owner.handOff(n2)
    await bench.pass(999)
    expect(said(checked)).toBeUndefined()
    await bench.world.until(() => said(checked) !== undefined)
    bench.gate.open()
    expect(await bench.world.settle(handingOff)).toBe(true)
    expect(said(checked)).toBe('moved')
    expect(bench.gate.begun).toBe(0)
  })

  it('fails a query after its time, and gives its place to others (V4)', async () => {
    const bench = new OwnerBench('query', { handlerTimeoutMs: 1_000, mailboxTurns: 1 })
    const n1 = await bench.own('n1', 1)
    const checked = n1.query('checkedValue')
    await bench.pass(900)
    expect(await n1.call('value', null, { kind: 'query' })).toBe('OVERLOADED')
    await bench.pass(200)
    expect(said(checked)).toBe('FAILED')
    expect(await n1.call('value', null, { kind: 'query' })).toBe(0)
    bench.gate.open()
    await bench.pass()
    expect(said(checked)).toBe('FAILED')
  })

  it('is waited for by no query when the ownership has ended, and leaves no timer behind (V4)', async () => {
    const bench = new OwnerBench('ended')
    const n1 = await bench.own('n1', 1)
    const [stuck, settled] = [n1.query('checkedValue'), n1.query('checkedValue', null, { key: 'other' })]
    await bench.pass()
    bench.gate.open()
    await bench.pass()
    n1.owner.end()
    await bench.pass()
    expect([said(stuck), said(settled)]).toEqual(['RETRY', 0])
    await bench.world.settle(n1.replica.close({ flush: true }))
    const { fired } = bench.world.clock
    await bench.pass(60_000)
    expect(bench.world.clock.fired).toBe(fired)
  })
})

describe('one id (R1, R3)', () => {
  it('takes effect once, and gets the first reply, from this owner and from the next', async () => {
    const bench = new OwnerBench('repetition')
    const n1 = await bench.own('n1', 1)
    expect(await n1.call('add', 5, { number: 100 })).toBe(5)
    expect(await n1.call('add', 5, { number: 100 })).toBe(5)
    expect(await n1.call('read')).toBe(5)
    const n2 = await bench.own('n2', 2)
    expect(await n2.call('add', 5, { number: 100 })).toBe(5)
    expect(await n2.call('read', null, { number: 102 })).toBe(5)
  })

  it('takes effect once where the first owner was fenced with it in flight, whether it was in the log or not', async () => {
    for (const fault of ['lose-acknowledgement', 'lose-request', 'delay'] as const) {
      const bench = new OwnerBench(`in flight ${fault}`)
      const n1 = await bench.own('n1', 1)
      n1.faulty.next(fault)
      const first = n1.ask('add', 5, { number: 100 })
      await bench.pass(10)
      const next = await bench.own('n2', 2)
      const again = await next.call('add', 5, { number: 100 })
      await bench.world.settle(n1.faulty.release())
      await bench.pass(10_000)
      expect(again).toBe(5)
      // What was in the log before the claim is committed, and said so; the rest did not happen, and may be tried again.
      expect(said(first)).toBe(fault === 'lose-acknowledgement' ? 5 : 'RETRY')
      expect(await next.call('read', null, { number: 103 })).toBe(5)
    }
  })

  it('is remembered where its session comes back after a long silence, also by a record that ends that session', async () => {
    const bench = new OwnerBench('comes back', { groupBytes: 1_000 })
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1, { session: 'sleepy', number: 1, low: 1 })
    await n1.call('add', 1, { session: 'awake', key: 'other', number: 1 })
    // The look at who has ended comes just too early for this session …
    await bench.pass(sessionTermMs - 2_000)
    await n1.call('add', 1, { session: 'awake', key: 'other', number: 2 })
    await bench.pass(4_000)
    n1.faulty.next('delay', 'delay')
    const first = n1.ask('pad', 2_000, { session: 'sleepy', number: 2, low: 2 })
    // … and the next one finds it ended, while its new command is in flight.
    await bench.pass(1_500)
    n1.ask('pad', 2_000, { session: 'awake', key: 'other', number: 3, low: 3 })
    await bench.pass(1)
    await bench.world.settle(n1.faulty.release())
    await bench.pass()
    expect(bench.world.validRecords().at(-1)).toMatchObject({ ended: ['sleepy'] })
    expect(said(first)).toBe('x'.repeat(2_000))
    expect(await n1.call('pad', 2_000, { session: 'sleepy', number: 2, low: 2 })).toBe('x'.repeat(2_000))
    expect(await n1.call('read', null, { session: 'sleepy', number: 3, low: 2 })).toBe(2)
  })
})

describe('sessions that have ended (R3, D2)', () => {
  it('leave memory by a record, all of them, however many ended together', async () => {
    const bench = new OwnerBench('mass expiry')
    const n1 = await bench.own('n1', 1)
    for (let i = 0; i < 2_500; i++) n1.ask('add', 1, { session: `s${i}`, key: `k${i % 10}` })
    await bench.pass(100)
    expect(n1.replica.sessions.count).toBe(2_500)
    await bench.pass(sessionTermMs + 10_000)
    for (let i = 0; i < 10; i++) await n1.call('add', 1, { session: 'late' })
    expect(n1.replica.sessions.count).toBe(1)
    const ended = bench.world.validRecords().map((record) => (record.kind === 'commit' ? record.ended.length : 0))
    expect(ended.filter((count) => count > 0)).toEqual([1_000, 1_000, 500])
  })

  it('count from the claim for an owner who inherited them', async () => {
    const bench = new OwnerBench('inherited')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1, { session: 'a' })
    await bench.pass(sessionTermMs * 3)
    const n2 = await bench.own('n2', 2)
    await n2.call('add', 1, { session: 'b' })
    expect(n2.replica.sessions.has(sessionId('a'))).toBe(true)
    await bench.pass(sessionTermMs + 6_000)
    await n2.call('add', 1, { session: 'c' })
    expect(n2.replica.sessions.has(sessionId('a'))).toBe(false)
  })
})

describe('a hand-off (O3, O6)', () => {
  it('commits what is in flight, gives up the lease, and is the last record', async () => {
    const bench = new OwnerBench('hand-off')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    const asked = n1.ask('add', 2)
    const handedOff = n1.owner.handOff(n2)
    const late = n1.ask('add', 4)
    const query = n1.query('value')
    expect(await bench.world.settle(handedOff)).toBe(true)
    expect(said(asked)).toBe(3)
    expect(late.answers).toEqual([{ kind: 'moved', owner: 'n2', epoch: 2 }])
    expect(said(query)).toBe('moved')
    expect(bench.world.validRecords().at(-1)).toMatchObject({ kind: 'handoff', to: 'n2' })
    expect(n1.replica.position).toMatchObject({ handedOff: true, validSeq: bench.world.records().length })
    expect(said(n1.ask('add', 4))).toBe('moved')
    expect(await bench.world.settle(n1.owner.handOff(n2))).toBe(false)
  })

  it('waits a second for handlers that have not returned, and then goes without them: they did not happen', async () => {
    const bench = new OwnerBench('unfinished')
    const n1 = await bench.own('n1', 1)
    const slow = n1.ask('slow')
    await bench.pass()
    const handedOff = n1.owner.handOff(n2)
    await bench.pass(900)
    expect(said(slow)).toBeUndefined()
    expect(await bench.world.settle(handedOff)).toBe(true)
    expect(slow.answers).toEqual([{ kind: 'moved', owner: 'n2', epoch: 2 }])
    expect(bench.gate.aborted).toBe(true)
    bench.gate.open()
    await bench.pass(5_000)
    const next = await bench.own('n2', 2)
    expect(await next.call('read')).toBe(0)
  })

  it('takes with it a handler that returns in time', async () => {
    const bench = new OwnerBench('in time')
    const n1 = await bench.own('n1', 1)
    const slow = n1.ask('slow')
    await bench.pass()
    const handedOff = n1.owner.handOff(n2)
    await bench.pass(500)
    bench.gate.open()
    expect(await bench.world.settle(handedOff)).toBe(true)
    expect(said(slow)).toBe(1)
  })

  it('fails where another node has claimed, and what did not happen is said so', async () => {
    const bench = new OwnerBench('claimed first')
    const n1 = await bench.own('n1', 1)
    new LogWriter(bench.world).claim('rival')
    const asked = n1.ask('add', 1)
    expect(await bench.world.settle(n1.owner.handOff(n2))).toBe(false)
    expect(said(asked)).toBe('RETRY')
    expect(n1.fenced).toHaveLength(1)
  })

  it('ends where the ownership is ended meanwhile', async () => {
    const bench = new OwnerBench('ended meanwhile')
    const n1 = await bench.own('n1', 1)
    const slow = n1.ask('slow')
    await bench.pass()
    const handedOff = n1.owner.handOff(n2)
    n1.owner.end()
    expect(await bench.world.settle(handedOff)).toBe(false)
    expect(said(slow)).toBe('UNKNOWN')
    await bench.pass(5_000)
    expect(bench.world.records()).toHaveLength(2)
  })
})

describe('the end of an ownership (R2, W4)', () => {
  it('by a higher claim says RETRY to all that is not in the log, and tells the host once', async () => {
    const bench = new OwnerBench('fenced')
    const n1 = await bench.own('n1', 1)
    n1.faulty.next('delay')
    const asked = [n1.ask('add', 1), n1.ask('throwing'), n1.ask('add', 1, { key: 'other' })]
    await bench.pass(10)
    new LogWriter(bench.world).claim('rival')
    await bench.world.settle(n1.faulty.release())
    await bench.pass(5_000)
    expect(asked.map(said)).toEqual(['RETRY', 'RETRY', 'RETRY'])
    expect(n1.fenced).toMatchObject([{ epoch: 2 }])
    expect(bench.changes).toEqual([])
    expect(said(n1.ask('add', 1))).toBe('moved')
    expect(said(n1.query('value'))).toBe('moved')
  })

  it('by a log that is gone says UNKNOWN, and tells the host why', async () => {
    const bench = new OwnerBench('gone')
    const n1 = await bench.own('n1', 1)
    bench.world.world.changelog.destroy(p0)
    const asked = n1.ask('add', 1)
    await bench.pass(5_000)
    expect(said(asked)).toBe('UNKNOWN')
    expect(n1.broken).toMatchObject([{ message: expect.stringContaining('gone') }])
  })

  it('by itself answers everyone once, aborts handlers, and says nothing after', async () => {
    const bench = new OwnerBench('end')
    const n1 = await bench.own('n1', 1)
    n1.faulty.next('delay')
    await bench.pass(600)
    const asked = [
      n1.ask('add', 1),
      n1.ask('slow', null, { key: 'slow' }),
      n1.query('value', null, { key: 'never' }),
      n1.ask('throwing', null, { key: 'other' }),
    ]
    await bench.pass(10)
    n1.owner.end()
    n1.owner.end()
    bench.gate.open()
    n1.owner.reconnected()
    await bench.world.settle(n1.faulty.release())
    await bench.pass(10_000)
    expect(asked.map(said)).toEqual(['UNKNOWN', 'UNKNOWN', 'RETRY', 'RETRY'])
    expect(bench.gate.aborted).toBe(true)
    expect(bench.changes).toEqual([])
  })

  it('leaves nothing running', async () => {
    const bench = new OwnerBench('nothing running')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    n1.ask('slow')
    await bench.pass()
    n1.owner.end()
    await bench.world.settle(n1.replica.close({ flush: true }))
    await bench.pass(3_000)
    const fired = bench.world.clock.fired
    await bench.pass(100_000)
    expect(bench.world.clock.fired).toBe(fired)
  })
})

describe('a connection that comes back (L4, B3)', () => {
  it('is compared with the log, and changes that may be lost are said again', async () => {
    const bench = new OwnerBench('reconnect')
    const n1 = await bench.own('n1', 1)
    const { process } = n1.node
    process.transport.onStatus((status) => status === 'connected' && n1.owner.reconnected())
    await n1.call('add', 1)
    process.cut({ noticeAfterMs: 50 })
    const asked = n1.ask('add', 2)
    await bench.pass(1_000)
    expect(said(asked)).toBeUndefined()
    process.heal()
    await bench.pass(5_000)
    expect(said(asked)).toBe(3)
    expect([...new Set(bench.changes)]).toEqual(['k1=1', 'k2=3'])
    expect(n1.node.events.of('partition.recovered').length).toBeGreaterThan(0)
  })

  it('makes up for the changes that were committed while it was away', async () => {
    const bench = new OwnerBench('changes only')
    const n1 = await bench.own('n1', 1)
    const { process } = n1.node
    process.transport.onStatus((status) => status === 'connected' && n1.owner.reconnected())
    process.links.hub.cut()
    await bench.pass()
    expect(await n1.call('add', 1)).toBe(1)
    process.links.hub.heal()
    await bench.pass(100)
    expect(bench.changes).toEqual(['k1=1'])
  })

  it('of a new owner: everything after the mark of the old one is said again (E2)', async () => {
    const bench = new OwnerBench('republish')
    const n1 = await bench.own('n1', 1)
    await n1.call('add', 1)
    await n1.call('destroy')
    await bench.pass()
    n1.node.process.links.hub.cut()
    await n1.call('add', 7)
    n1.node.process.crash()
    await bench.pass()
    expect(bench.changes).toEqual(['k1=1', 'k2=null'])
    await bench.own('n2', 2)
    await bench.pass(500)
    expect(bench.changes).toContain('k3=7')
    const revs = bench.changes.map((change) => Number(change[1]))
    let seen = 0
    for (const rev of revs) if (rev === seen + 1) seen = rev
    expect(seen).toBe(3)
  })
})
