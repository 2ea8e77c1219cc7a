/** The report on a cluster, and what an operator asks of a node: SR1, SR2, and the messages of control.ts. */
import { describe, expect, it } from 'vitest'
import { initialTable, type PlacementTable } from '../../src/core/table.ts'
import type { SeenMember } from '../../src/membership/gossiper.ts'
import type { NodeLease } from '../../src/membership/lease.ts'
import { decodeNodeReply, decodeNodeRequest, encodeControl } from '../../src/placement/control.ts'
import { decodeClusterReport, encodeReport, reportOf, type ReportSources } from '../../src/placement/status-report.ts'
import { epoch, incarnation, partitionId, seq, type NodeId, type NodeRef } from '../../src/protocol/ids.ts'

const ref = (id: string, life = `${id}1`): NodeRef => ({ id: id as NodeId, incarnation: incarnation(life) })

const lease = (node: NodeRef, more: Partial<NodeLease> = {}): NodeLease => ({
  ...node,
  ...{ state: 'alive', host: `host-${node.id}`, zone: 'z', weight: 1, draining: false, renewal: 1 },
  ...more,
})

const seen = (node: NodeRef, suspected = false, role: 'owner' | 'stopped' = 'owner'): SeenMember => ({
  phi: suspected ? 9 : 0,
  suspected,
  member: {
    ...node,
    ...{ boot: 1, heartbeat: 1, revised: 1 },
    details: {
      ...{ host: `host-${node.id}`, zone: 'z', version: '1.2.3', load: 42, leaving: false },
      partitions: [
        {
          partition: partitionId(0),
          role,
          epoch: epoch(3),
          appliedSeq: seq(17),
          headLag: 2,
          stateHash: '0'.repeat(16),
        },
      ],
    },
  },
})

const table = (...owners: (NodeRef | null)[]): PlacementTable => ({
  version: 5,
  entries: initialTable(owners.length).entries.map((entry, p) => ({
    ...entry,
    owner: owners[p] ?? null,
    epoch: epoch(3),
  })),
})

const sources = (more: Partial<ReportSources>): ReportSources => ({
  ...{ cluster: 'c', self: 'a' as NodeId, nowMs: 1_000, settings: { partitions: 2, leaseMs: 500 }, leader: ref('a') },
  ...{ table: table(ref('a'), null), alive: [lease(ref('a'))], members: [seen(ref('a'))] },
  ...more,
})

describe('the report (SR1)', () => {
  it('says who lives by leases, and how they do by gossip', () => {
    const report = reportOf(
      sources({
        alive: [lease(ref('b'), { draining: true }), lease(ref('a'))],
        members: [seen(ref('a')), seen(ref('b'), true)],
      }),
    )
    expect(report.members).toMatchObject([
      { id: 'a', lease: 'alive', suspected: false, owned: 1, load: 42, version: '1.2.3', host: 'host-a' },
      { id: 'b', lease: 'draining', suspected: true, owned: 0 },
    ])
    expect(report).toMatchObject({ format: 1, cluster: 'c', node: 'a', at: 1_000, leader: 'a', version: 5 })
  })

  it('knows a member before gossip has told of it, and one that is gone', () => {
    const report = reportOf(
      sources({ alive: [lease(ref('a')), lease(ref('new'))], members: [seen(ref('a')), seen(ref('gone'))] }),
    )
    expect(report.members).toMatchObject([
      { id: 'a' },
      { id: 'gone', lease: 'expired', load: 0 },
      { id: 'new', lease: 'alive', version: '', load: 0 },
    ])
  })

  it('gives a partition the role that its owner says, of that very process', () => {
    expect(reportOf(sources({})).partitions).toEqual([
      { partition: 0, owner: 'a', epoch: 3, role: 'owner', seq: 17, lag: 2, moving: null, standbys: [] },
      { partition: 1, owner: null, epoch: 3, role: null, seq: null, lag: null, moving: null, standbys: [] },
    ])
    const reborn = sources({ table: table(ref('a', 'a2'), null), members: [seen(ref('a', 'a1'))] })
    expect(reportOf(reborn).partitions[0]).toMatchObject({ owner: 'a', role: null })
    const stopped = sources({ members: [seen(ref('a'), false, 'stopped')] })
    expect(reportOf(stopped).partitions[0]).toMatchObject({ role: 'stopped' })
  })

  it('names no leader whose lease is not alive', () => {
    expect(reportOf(sources({ leader: ref('a', 'former') })).leader).toBeNull()
    expect(reportOf(sources({ leader: null })).leader).toBeNull()
  })

  it('comes back from its bytes', () => {
    const report = reportOf(sources({}))
    expect(decodeClusterReport(encodeReport(report))).toEqual(report)
  })

  it.each(['', 'no JSON', 'null', '[]', '5', '{}', '{"format":2}', '{"format":1,"cluster":"c"}'])(
    'is refused for %j (SR2)',
    (text) => {
      expect(() => decodeClusterReport(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID' }))
    },
  )

  const whole = reportOf(sources({}))
  const [member, ...members] = whole.members
  const [first, second] = whole.partitions
  it.each<[string, object]>([
    ['a member that is none', { members: [null] }],
    ['a member without a lease', { members: [{ ...member, lease: undefined }, ...members] }],
    ['a lease of another kind', { members: [{ ...member, lease: 'lent' }, ...members] }],
    ['a member that may be suspected', { members: [{ ...member, suspected: 'no' }, ...members] }],
    ['a partition that is none', { partitions: [5, second] }],
    ['an owner that is no name', { partitions: [{ ...first, owner: { id: 'a' } }, second] }],
    ['a role of another kind', { partitions: [{ ...first, role: 'king' }, second] }],
    ['standbys that are no list', { partitions: [{ ...first, standbys: 'b' }, second] }],
    ['partitions in another order', { partitions: [second, first] }],
    ['settings without the partitions', { settings: { leaseMs: 500 } }],
    ['a leader that is no name', { leader: 7 }],
  ])('is refused with %s (SR2)', (_, other) => {
    const bytes = Buffer.from(JSON.stringify({ ...whole, ...other }))
    expect(() => decodeClusterReport(bytes)).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it('may have fields that nobody knows yet (SR2)', () => {
    const bytes = Buffer.from(JSON.stringify({ ...whole, members: [{ ...member, mood: 'good' }], more: 1 }))
    expect(decodeClusterReport(bytes)).toMatchObject({ cluster: 'c', members: [{ id: 'a' }] })
  })
})

describe('requests to a node', () => {
  it('come back from their bytes', () => {
    for (const request of [
      { op: 'drain' },
      { op: 'clock' },
      { op: 'hand-off', partition: partitionId(3), epoch: epoch(7), to: 'b' as NodeId },
    ] as const) {
      expect(decodeNodeRequest(encodeControl(request))).toEqual(request)
    }
    for (const reply of [{ done: true }, { done: false }, { done: true, now: 5 }]) {
      expect(decodeNodeReply(encodeControl(reply))).toEqual(reply)
    }
  })

  it.each([
    '',
    'x',
    'null',
    '{}',
    '{"op":"explode"}',
    '{"op":"hand-off"}',
    '{"op":"hand-off","partition":-1,"epoch":1,"to":"b"}',
  ])('are refused for %j', (text) => {
    expect(() => decodeNodeRequest(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it.each(['', '{}', '{"done":1}', '{"done":true,"now":"5"}'])('have no reply %j', (text) => {
    expect(() => decodeNodeReply(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })
})
