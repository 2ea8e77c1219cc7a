import { describe, expect, it } from 'vitest'
import type { Metric } from '../../src/ports/metrics.ts'
import { OwnerBench, type Asked, type Owned } from './owner-bench.ts'
import { PartitionNode } from './partition-bench.ts'
import { PartitionWorld, settingsWith } from './world.ts'

const code = ({ answers: [answer] }: Asked) => (answer?.kind === 'error' ? answer.error.code : answer?.kind)
const metric = (of: { metrics(): readonly Metric[] }, name: string) => of.metrics().find((each) => each.name === name)
const gaugeOf = ({ owner }: Owned, name: string) => metric(owner, name)

describe('an owner whose log does not answer', () => {
  it('begins no command once as many bytes are on their way as may be, and goes on when it answers again', async () => {
    const bench = new OwnerBench('stalled', { maxUncommittedBytes: 100_000 })
    const owned = await bench.own('n1', 1)
    // So that it is in memory.
    owned.ask('add', 1)
    await bench.pass()
    owned.node.process.links.changelog.cut()
    const asked = Array.from({ length: 50 }, () => owned.ask('pad', 10_000))
    await bench.pass(0)
    const refused = asked.filter((each) => code(each) === 'OVERLOADED')
    expect(refused.length).toBeGreaterThan(35)
    expect(gaugeOf(owned, 'holdfast_uncommitted_bytes')!.value).toBeLessThan(120_000)
    owned.node.process.links.changelog.heal()
    await bench.pass(5_000)
    const done = asked.filter((each) => code(each) === 'value')
    expect(done.length + refused.length).toBe(50)
    expect(gaugeOf(owned, 'holdfast_uncommitted_bytes')).toMatchObject({ value: 0, limit: 100_000 })
    expect(code(owned.ask('add', 1))).toBeUndefined()
  })

  it('holds a bounded number of queries, and of bytes of their replies', async () => {
    const bench = new OwnerBench('queries', { mailboxTurns: 3, mailboxBytes: 10_000 })
    const owned = await bench.own('n1', 1)
    owned.ask('add', 1)
    // Without a lease queries wait for an append.
    await bench.pass(1_000)
    owned.node.process.links.changelog.cut()
    const large = Array.from({ length: 3 }, () => owned.ask('fill', 6_000, { kind: 'query' }))
    expect(large.map(code)).toEqual([undefined, 'OVERLOADED', 'OVERLOADED'])
    const small = Array.from({ length: 3 }, () => owned.ask('value', null, { kind: 'query' }))
    expect(small.map(code)).toEqual([undefined, undefined, 'OVERLOADED'])
    expect(gaugeOf(owned, 'holdfast_queries')).toMatchObject({ value: 3, limit: 3 })
    owned.node.process.links.changelog.heal()
    await bench.pass(3_000)
    expect([large[0]!, small[0]!, small[1]!].map(code)).toEqual(['value', 'value', 'value'])
    expect(gaugeOf(owned, 'holdfast_queries')).toMatchObject({ value: 0 })
    expect(gaugeOf(owned, 'holdfast_query_bytes')).toMatchObject({ value: 0 })
  })
})

describe('requests of watchers', () => {
  it('are answered a bounded number at a time, and the others are told to ask again (IQ1)', async () => {
    const world = new PartitionWorld('watchers')
    const node = new PartitionNode(world, 'n1', { settings: settingsWith({ maxWatchRequests: 2, tailBytes: 1 }) })
    await node.serve(1)
    for (let i = 0; i < 5; i++) await node.call('add', 1)
    const heard: string[] = []
    node.node.process.transport.subscribe('_INBOX.w.*', ({ subject, data }) => {
      const { error } = JSON.parse(Buffer.from(data).toString()) as { error?: { code: string } }
      heard.push(`${subject.slice(-1)} ${error?.code ?? 'page'}`)
    })
    const request = Buffer.from(JSON.stringify({ from: 'start', type: 'counter' }))
    const answered = [1, 2, 3].map((i) => node.partition.watch(request, `_INBOX.w.${i}`))
    expect(metric(node.partition, 'holdfast_watch_requests')).toMatchObject({ value: 2, limit: 2 })
    await world.settle(Promise.all(answered))
    await world.clock.advance(100)
    expect(heard.filter((each) => each.startsWith('3'))).toEqual(['3 OVERLOADED'])
    expect(heard.filter((each) => each === '1 page').length).toBeGreaterThan(5)
    expect(metric(node.partition, 'holdfast_watch_requests')).toMatchObject({ value: 0 })
  })
})
