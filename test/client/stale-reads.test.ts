import { describe, expect, it } from 'vitest'
import { cursorOf, parseAfter, Positions } from '../../src/client/positions.ts'
import { addressOf } from '../../src/client/session.ts'
import type { RequestOptions, SessionOptions } from '../../src/client/session-options.ts'
import type { ReplyPosition } from '../../src/protocol/frames.ts'
import { generation, partitionId, seq, type NodeId } from '../../src/protocol/ids.ts'
import { failure, FakeCluster, moved, value, type Answer, type Behave, type FakeNode } from './fake-cluster.ts'

const stale: RequestOptions = { maxStalenessMs: 500 }

/** One partition with an owner and standbys, and a client that knows them. */
class Bench {
  readonly cluster = new FakeCluster({ partitions: 1 })
  readonly owner: FakeNode
  readonly standbys: FakeNode[]
  readonly client

  constructor(standbys: Record<string, Behave>, options: Partial<SessionOptions> = {}, owner?: Behave) {
    this.owner = this.cluster.node('owner', owner ?? (() => value('owner')))
    this.standbys = Object.entries(standbys).map(([name, behave]) => this.cluster.node(name, behave, []))
    this.cluster.standbys = [Object.keys(standbys)]
    this.client = this.cluster.client(options)
  }

  async placed(): Promise<this> {
    await this.cluster.clock.settle(this.client.session.whenPlaced(), 1_000)
    return this
  }

  read(options: RequestOptions = stale, key = 'k') {
    return this.client.session.request('query', addressOf('cart', key), 'total', null, options)
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.cluster.clock.settle(promise, 20_000)
  }

  async reads(count: number): Promise<unknown[]> {
    const heard = []
    for (let i = 0; i < count; i++) heard.push(await this.settle(this.read()))
    return heard
  }
}

const at = (of: Partial<ReplyPosition>): ReplyPosition => ({
  partition: partitionId(0),
  generation: generation('g1'),
  seq: seq(1),
  ageMs: undefined,
  ...of,
})

describe('a query that allows some staleness (D1)', () => {
  it('is answered by the owner and the standbys in turn; any other by the owner', async () => {
    const bench = await new Bench({ s1: () => value('s1', 1, 5), s2: () => value('s2', 1, 5) }).placed()
    const heard = await bench.reads(30)
    for (const name of ['owner', 's1', 's2']) expect(heard.filter((one) => one === name)).toHaveLength(10)
    const strong = [await bench.settle(bench.read({}))]
    const { session } = bench.client
    strong.push(await bench.settle(session.request('command', addressOf('cart', 'k'), 'add', null, stale)))
    expect(strong).toEqual(['owner', 'owner'])
  })

  it('goes in one frame with all others of its tick', async () => {
    const bench = await new Bench({ s: () => value('s', 1, 5) }).placed()
    for (let tick = 0; tick < 4; tick++) {
      await bench.settle(Promise.all(Array.from({ length: 50 }, (_, i) => bench.read(stale, `k${i}`))))
    }
    expect([bench.owner, bench.standbys[0]!].map(({ received }) => received.length)).toEqual([2, 2])
  })

  it('is asked of the node that is near, where that has the partition (D3)', async () => {
    const bench = await new Bench(
      { s1: () => value('s1', 1, 5), s2: () => value('s2', 1, 5) },
      {
        near: 's2' as NodeId,
      },
    ).placed()
    expect(new Set(await bench.reads(9))).toEqual(new Set(['s2']))
  })
})

describe('a standby that does not answer (S6, D2)', () => {
  it.each<[string, Answer]>([
    ['says that it is not for it to answer', moved('owner')],
    ['knows of no owner', moved(null)],
    ['is told to ask again', failure('RETRY')],
  ])('because it %s leaves the query to the owner, and is asked again after a second', async (_, answer) => {
    const bench = await new Bench({ s: () => answer }).placed()
    const { clock } = bench.cluster
    const begun = clock.monotonic()
    expect(new Set(await bench.reads(20))).toEqual(new Set(['owner']))
    expect(clock.monotonic() - begun).toBeLessThan(100)
    expect(bench.standbys[0]!.requests).toHaveLength(1)
    await clock.advance(1_000)
    await bench.reads(2)
    expect(bench.standbys[0]!.requests).toHaveLength(2)
  })

  it('because it is frozen costs one query half an attempt, and is left alone for five seconds', async () => {
    const bench = await new Bench({ s: () => null }).placed()
    const { clock } = bench.cluster
    const begun = clock.monotonic()
    expect(new Set(await bench.reads(20))).toEqual(new Set(['owner']))
    expect(clock.monotonic() - begun).toBeGreaterThan(500)
    expect(clock.monotonic() - begun).toBeLessThan(700)
    await clock.advance(4_000)
    await bench.reads(4)
    expect(bench.standbys[0]!.requests).toHaveLength(1)
    await clock.advance(1_000)
    await bench.reads(2)
    expect(bench.standbys[0]!.requests).toHaveLength(2)
  })

  it('because it is gone costs nothing', async () => {
    const bench = await new Bench({ s: () => null }).placed()
    bench.standbys[0]!.leave()
    await bench.cluster.clock.advance(5)
    const begun = bench.cluster.clock.monotonic()
    expect(new Set(await bench.reads(20))).toEqual(new Set(['owner']))
    expect(bench.cluster.clock.monotonic() - begun).toBeLessThan(100)
  })

  it('is asked again at once by whoever has a new view of placement', async () => {
    const bench = await new Bench({ s: () => moved('owner') }).placed()
    await bench.reads(10)
    bench.cluster.publishView(bench.owner)
    await bench.cluster.clock.advance(10)
    await bench.reads(2)
    expect(bench.standbys[0]!.requests).toHaveLength(2)
  })
})

describe('what a session has seen (C1, C2)', () => {
  const after = (node: FakeNode) => node.requests.map(({ bounds }) => bounds?.after?.seq)

  it('is what its later reads are to be answered after, whoever said it', async () => {
    let at9 = 9
    const bench = await new Bench({ s: () => value('s', at9++, 5) }, {}, () => value('owner', at9++)).placed()
    for (let i = 0; i < 6; i++) await bench.settle(bench.read())
    const all = [...bench.owner.received, ...bench.standbys[0]!.received].toSorted((a, b) => a.atMs - b.atMs)
    expect(all.map(({ frame }) => frame.requests[0]!.bounds?.after?.seq)).toEqual([undefined, 9, 10, 11, 12, 13])
  })

  it('binds a strong query where a standby said it, and only there: the owner knows what it said itself', async () => {
    const bench = await new Bench({ s: () => value('s', 9, 5) }, { near: 's' as NodeId }, (request) =>
      request.bounds?.after === undefined ? value('owner', 8) : value('owner', 9),
    ).placed()
    await bench.settle(bench.read({}))
    await bench.settle(bench.read({}))
    await bench.settle(bench.read())
    await bench.settle(bench.read({}))
    await bench.settle(bench.read({}))
    expect(after(bench.owner)).toEqual([undefined, undefined, 9, undefined])
  })

  it('counts also of replies that are errors', async () => {
    const said = { ...(failure('FAILED') as object), at: at({ seq: seq(4) }) } as Answer
    const bench = await new Bench({}, {}, () => said).placed()
    await expect(bench.settle(bench.read())).rejects.toMatchObject({ code: 'FAILED' })
    await expect(bench.settle(bench.read())).rejects.toMatchObject({ code: 'FAILED' })
    expect(after(bench.owner)).toEqual([undefined, 4])
  })

  it('is forgotten where its log is no more, unless a caller gave it (C3)', async () => {
    let log = generation('g1')
    const owner: Behave = ({ bounds }) => {
      const known = bounds?.after === undefined || bounds.after.generation === log
      const answer = known ? value(log) : failure('INVALID')
      return { ...answer, at: at({ generation: log, seq: seq(3) }) } as Answer
    }
    const bench = await new Bench({}, {}, owner).placed()
    expect(await bench.settle(bench.read())).toBe('g1')
    const { cursor } = bench.client.session
    log = generation('g2')
    expect(await bench.settle(bench.read())).toBe('g2')
    expect(bench.owner.requests.map(({ bounds }) => bounds?.after?.generation)).toEqual([undefined, 'g1', 'g2'])
    const given = bench.read({ ...stale, after: parseAfter(cursor!) })
    await expect(bench.settle(given)).rejects.toMatchObject({ code: 'INVALID' })
  })

  it('is given to another client by its cursor', async () => {
    const bench = await new Bench({ s: () => value('s', 9, 5) }).placed()
    expect(bench.client.session.cursor).toBeDefined()
    await bench.reads(2)
    const other = bench.cluster.client()
    expect(other.session.cursor).toBeUndefined()
    await bench.cluster.clock.settle(other.session.whenPlaced(), 1_000)
    const given = { ...stale, after: parseAfter(bench.client.session.cursor!) }
    await bench.settle(other.session.request('query', addressOf('cart', 'k'), 'total', null, given))
    const asked = [...bench.owner.received, ...bench.standbys[0]!.received].toSorted((a, b) => a.atMs - b.atMs)
    expect(asked.at(-1)!.frame.requests[0]!.bounds?.after).toEqual({ generation: 'g1', seq: 9 })
  })

  it('is nothing to one who speaks for many', async () => {
    const bench = await new Bench({ s: () => value('s', 9, 5) }, { remembers: false }).placed()
    await bench.reads(6)
    expect([...after(bench.owner), ...after(bench.standbys[0]!)]).toEqual(Array(6).fill(undefined))
  })

  it('never goes back, except in a log that begins anew (C3)', () => {
    const positions = new Positions()
    const seen = () => positions.bounds(partitionId(0), 1)?.after
    for (const [said, expected] of [
      [at({ seq: seq(5) }), 5],
      [at({ seq: seq(3) }), 5],
      [at({ seq: seq(7), ageMs: 1 }), 7],
      [at({ seq: seq(2), generation: generation('g2') }), 2],
    ] as const) {
      positions.saw(said)
      expect(seen()?.seq).toBe(expected)
    }
    positions.saw(at({ partition: partitionId(99_999) }))
    expect(parseAfter(positions.cursor(2)).map(({ partition, seq: of }) => [partition, of])).toEqual([[0, 2]])
    const own = parseAfter(cursorOf(at({ seq: seq(9), generation: generation('g2') })))
    expect(positions.bounds(partitionId(0), undefined, own)?.after?.seq).toBe(9)
    expect(positions.bounds(partitionId(1), undefined, own)).toBeUndefined()
  })
})

describe('a measured call', () => {
  it('gives the age as of when the reply came, and the cursor of what it saw', async () => {
    const bench = await new Bench({ s: () => value('s', 9, 40) }, { near: 's' as NodeId }).placed()
    const { session } = bench.client
    const measured = await bench.settle(session.measure('query', addressOf('cart', 'k'), 'total', null, stale))
    expect(measured).toMatchObject({ value: 's', cursor: `0-g1-9-${2 ** 31 - 1}` })
    expect(measured.ageMs).toBeGreaterThanOrEqual(40)
    expect(measured.ageMs).toBeLessThan(45)
    const own = await bench.settle(session.measure('command', addressOf('cart', 'k'), 'add', null))
    expect(own).toMatchObject({ value: 'owner', cursor: `0-g1-1-${2 ** 31 - 1}` })
    expect(own.ageMs).toBeLessThan(5)
  })
})
