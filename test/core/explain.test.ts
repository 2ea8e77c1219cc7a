/** Why a partition is where it is (EX1, EX2), and the state of placement on its way to who asks (PS1, PS2). */
import { describe, expect, it } from 'vitest'
import { explain, noMember, whyNotMoved } from '../../src/core/explain.ts'
import type { HostedRole } from '../../src/core/membership.ts'
import {
  stateFromJson,
  stateToJson,
  stepsOf,
  type PlacementState,
  type StatedMember,
} from '../../src/core/placement-state.ts'
import { initialTable, type PlacementEntry } from '../../src/core/table.ts'
import { epoch, incarnation, partitionId, seq, type NodeId, type NodeRef } from '../../src/protocol/ids.ts'
import { parseJsonText } from '../../src/protocol/json-text.ts'

const ref = (id: string, life = 'a'): NodeRef => ({ id: id as NodeId, incarnation: incarnation(life) })
const p0 = partitionId(0)

interface Stated extends Partial<Omit<StatedMember, 'hosted'>> {
  /** Of partition 0. */
  readonly has?: readonly [role: HostedRole, applied: number]
}

const member = (id: string, { has, avoidedForMs = new Map(), ...more }: Stated = {}): StatedMember => ({
  ...{ ref: ref(id), host: id, zone: id, weight: 1, draining: false },
  hosted: new Map(has === undefined ? [] : [[p0, { role: has[0], appliedSeq: seq(has[1]) }]]),
  avoid: new Set(avoidedForMs.keys()),
  avoidedForMs,
  ...more,
})

const stateOf = (
  members: readonly StatedMember[],
  entries: readonly Partial<PlacementEntry>[],
  more: Partial<PlacementState> = {},
): PlacementState => ({
  leader: 'a' as NodeId,
  members,
  table: { version: 3, entries: entries.map((entry) => ({ ...initialTable(1).entries[0]!, ...entry })) },
  placedByHand: new Set(),
  standbys: 1,
  maxExtraStandbys: 2,
  ...more,
})

const at4 = { owner: ref('a'), epoch: epoch(4) }
const serving = member('a', { has: ['owner', 121] })

describe('an explanation', () => {
  it('tells of the owner and of each standby in a sentence, and of every node in a row', () => {
    const members = [
      member('c', { host: 'a', zone: 'a' }),
      serving,
      member('b', { host: 'b', zone: 'a', has: ['standby', 120] }),
    ]
    const entries = [{ ...at4, standbys: [ref('b')] }, { ...at4 }, { owner: ref('b') }, { owner: ref('c') }]
    const { nodes, sentences, ...rest } = explain(stateOf(members, entries), p0)
    expect(rest).toEqual({ partition: 0, epoch: 4 })
    expect(sentences).toEqual([
      'a owns it since epoch 4: its share is 2 of 4, of which it has 2',
      'b stands by on another host than a, at record 120 of 121; nobody else that can have it is farther from there',
    ])
    const usual = { canHave: 'yes', avoidedForMs: null }
    expect(nodes).toEqual([
      { id: 'a', role: 'owner', ...usual, apart: null, appliedSeq: 121, owns: 2, share: 2, replicas: 2 },
      { id: 'b', role: 'standby', ...usual, apart: 'host', appliedSeq: 120, owns: 1, share: 1, replicas: 2 },
      { id: 'c', role: 'none', ...usual, apart: 'no', appliedSeq: null, owns: 1, share: 1, replicas: 1 },
    ])
  })

  it('says who would be farther away than who stands by', () => {
    const near = member('b', { host: 'a', zone: 'a', has: ['standby', 121] })
    const entries = [{ ...at4, standbys: [ref('b')] }]
    const second = (...others: StatedMember[]) => explain(stateOf([serving, near, ...others], entries), p0).sentences[1]
    expect(second()).toBe(
      'b stands by on the same host as a, at record 121 of 121; nobody else that can have it is farther from there',
    )
    expect(second(member('c'))).toMatch(/; c would be farther from there$/)
    expect(second(member('c', { draining: true }))).toMatch(/; nobody else/)
    const far = explain(stateOf([serving, member('b', { has: ['standby', 9] })], entries), p0).sentences[1]
    expect(far).toBe('b stands by in another zone than a, at record 9 of 121')
  })

  it('says what keeps a node from having it, and for how long', () => {
    const members = [
      serving,
      member('b', { draining: true }),
      member('c', { weight: 0 }),
      member('d', { avoidedForMs: new Map([[p0, 1_500]]) }),
      member('e', { avoidedForMs: new Map([[partitionId(1), 1_500]]) }),
    ]
    const { nodes } = explain(stateOf(members, [at4]), p0)
    expect(nodes.map(({ id, canHave, avoidedForMs }) => [id, canHave, avoidedForMs])).toEqual([
      ['a', 'yes', null],
      ['b', 'draining', null],
      ['c', 'weight 0', null],
      ['d', 'avoided', 1_500],
      ['e', 'yes', null],
    ])
    const equal = [member('a', { weight: 0 }), member('b', { weight: 0 })]
    expect(explain(stateOf(equal, [at4]), p0).nodes.map(({ canHave }) => canHave)).toEqual(['yes', 'yes'])
  })

  it('tells of those that are gone, also of a former process of a node that lives (EX2)', () => {
    const entry = { ...at4, owner: ref('a', 'former'), standbys: [ref('z')] }
    const { nodes, sentences } = explain(stateOf([serving, member('b')], [entry]), p0)
    expect(nodes.map(({ id, role, canHave, apart }) => [id, role, canHave, apart])).toEqual([
      ['a', 'owner', 'dead', null],
      ['z', 'standby', 'dead', null],
      ['a', 'none', 'yes', null],
      ['b', 'none', 'yes', null],
    ])
    expect(sentences).toEqual([
      'a owned it at epoch 4 and is gone: a is to have it next',
      'z was to stand by and is gone',
      '1 is wanted to stand by, and none can be had at the moment',
    ])
  })

  it.each<[string, Partial<PlacementEntry>, readonly StatedMember[], Partial<PlacementState>]>([
    ['nobody has owned it yet: b is to have it next', {}, [member('b')], {}],
    ['nobody owns it since epoch 4: nobody can have it', { epoch: epoch(4) }, [member('b', { draining: true })], {}],
    [
      'a owns it since epoch 4: it drains, and b is to have it next',
      at4,
      [member('a', { draining: true, has: ['owner', 1] }), member('b')],
      {},
    ],
    [
      'a owns it since epoch 4: it drains, and nobody else can have it',
      at4,
      [member('a', { draining: true, has: ['owner', 1] })],
      {},
    ],
    [
      'a owns it since epoch 4: its weight is 0, and b is to have it next',
      at4,
      [member('a', { weight: 0, has: ['owner', 1] }), member('b')],
      {},
    ],
    [
      'a owns it since epoch 4, and does not serve it yet: its share is 1 of 1, of which it has 1',
      at4,
      [member('a', { has: ['replaying', 1] })],
      {},
    ],
    [
      'a owns it since epoch 4, and has stopped it: its share is 1 of 1, of which it has 1',
      at4,
      [member('a', { has: ['stopped', 1] })],
      {},
    ],
    [
      'a owns it since epoch 4: its share is 1 of 1, of which it has 1, and it was moved there by hand',
      at4,
      [serving],
      { placedByHand: new Set([p0]) },
    ],
  ])('says of the owner: %s', (sentence, entry, members, more) => {
    expect(explain(stateOf(members, [entry], { standbys: 0, ...more }), p0).sentences).toEqual([sentence])
  })

  it('says that a surplus goes elsewhere next, and who warms up', () => {
    const entries = [{ ...at4, standbys: [ref('b')] }, at4, at4, at4]
    const members = [serving, member('b', { has: ['replaying', 40] })]
    expect(explain(stateOf(members, entries), p0).sentences).toEqual([
      'a owns it since epoch 4: its share is 2 of 4, of which it has 4, so b is to have it next',
      'b is warming up to stand by in another zone than a, at record 40 of 121',
    ])
    const moving = [{ ...at4, moving: ref('b') }]
    expect(explain(stateOf(members, moving, { standbys: 0 }), p0).sentences).toEqual([
      'a owns it since epoch 4: it is moving to b',
      'b is warming up to own it next in another zone than a, at record 40 of 121',
    ])
  })

  it('says how many standbys are missing', () => {
    const entries = [{ ...at4, standbys: [ref('b')] }]
    const { sentences } = explain(stateOf([serving, member('b')], entries, { standbys: 2 }), p0)
    expect(sentences.at(-1)).toBe('2 are wanted to stand by, and only 1 can be had at the moment')
  })
})

describe('what keeps a partition from being moved', () => {
  const members = [
    serving,
    member('b'),
    member('d', { draining: true }),
    member('v', { avoidedForMs: new Map([[p0, 1_500]]) }),
    member('w', { weight: 0 }),
  ]
  const why = (to: string, entry: Partial<PlacementEntry> = at4, partition = p0) =>
    whyNotMoved(stateOf(members, [entry]), partition, to as NodeId)

  it('is nothing for a live node that can have it, also if it is moving there', () => {
    expect(why('b')).toBeNull()
    expect(why('b', { ...at4, moving: ref('b') })).toBeNull()
  })

  it.each<[string, string, Partial<PlacementEntry>?]>([
    ['d', 'd is draining, and takes no partitions: restart it, or choose another node'],
    ['w', 'the weight of w is 0, so that what it is given would be moved away again: choose another node'],
    [
      'v',
      'v could not have partition 0, and is avoided for another 2 s: try again then, or after "holdfast rebalance"',
    ],
    ['a', 'a owns partition 0 already'],
    ['zz', 'there is no node zz: the members are a, b, d, v, w'],
    ['b', 'nobody owns partition 0 now: it is assigned first', { ...at4, owner: ref('a', 'former') }],
    ['b', 'partition 0 is moving to v already', { ...at4, moving: ref('v') }],
  ])('to %s: %s', (to, sentence, entry) => {
    expect(why(to, entry)).toBe(sentence)
  })

  it('is that there is no such partition', () => {
    expect(why('b', at4, partitionId(1))).toBe('there is no partition 1: the cluster has 0 to 0')
    expect(noMember(stateOf(members, []), 'x')).toContain('no node x')
  })
})

describe('the state of placement', () => {
  const state = stateOf(
    [serving, member('b', { draining: true, avoidedForMs: new Map([[p0, 1_500]]) }), member('c', { weight: 0.5 })],
    [{ ...at4, standbys: [ref('b')] }, { owner: ref('gone', 'x'), epoch: epoch(9) }, {}, at4],
    { placedByHand: new Set([partitionId(1)]) },
  )
  const bytes = (json: object) => new TextEncoder().encode(JSON.stringify(json))

  it('comes back from its JSON, with the steps of who told it (PS1, PS2)', () => {
    const back = stateFromJson(parseJsonText(bytes(stateToJson(state))))
    expect(back.state).toEqual(state)
    expect(back.steps).toEqual(stepsOf(state))
    expect(stepsOf(back.state)).toEqual(back.steps)
  })

  it('has the steps in their order: who is named, what moves, who stands by for the owners that are named then', () => {
    expect(stepsOf(state)).toEqual([
      { kind: 'assign', partition: 1, to: 'a' },
      { kind: 'assign', partition: 2, to: 'c' },
      { kind: 'standbys', partition: 0, standbys: ['b', 'c'] },
      { kind: 'standbys', partition: 1, standbys: ['c'] },
      { kind: 'standbys', partition: 2, standbys: ['a'] },
      { kind: 'standbys', partition: 3, standbys: ['c'] },
    ])
    const crowded = stateOf([serving, member('b')], [at4, at4], { standbys: 0 })
    expect(stepsOf(crowded)).toEqual([{ kind: 'move', partition: 0, from: 'a', to: 'b' }])
  })

  it('of the largest cluster is within what a message and its reader take (PS2)', () => {
    const nodes = Array.from({ length: 100 }, (_, i) => `node-in-a-cloud-${i}`)
    const life = '3CMvi60J5NHHaQsFUDihbb'
    const place = (p: number, n: number) => ref(nodes[(p + n) % nodes.length]!, life)
    const entries = Array.from({ length: 512 }, (_, p) => ({
      ...{ owner: place(p, 0), epoch: epoch(1_000_000), moving: null },
      standbys: [place(p, 1), place(p, 2)],
    }))
    const members = nodes.map((id, i) => {
      const held = entries.flatMap(({ owner, standbys }, p) =>
        [owner, ...standbys].some((one) => one.id === id) ? [p] : [],
      )
      const hosted = new Map(
        held.map((p) => [partitionId(p), { role: 'standby' as const, appliedSeq: seq(1_000_000_000) }]),
      )
      return { ...member(id, { host: id, zone: `zone-${i % 3}` }), ref: ref(id, life), hosted }
    })
    const largest = bytes(stateToJson(stateOf(members, entries, { standbys: 2 })))
    expect(largest.length).toBeLessThan(400_000)
    expect(stateFromJson(parseJsonText(largest)).state.table.entries).toHaveLength(512)
  })

  it.each([
    ['nothing', null],
    ['a list', []],
    ['another format', { ...stateToJson(state), format: 2 }],
    ['no leader', { ...stateToJson(state), leader: 'a b' }],
    ['a bad number', { ...stateToJson(state), standbys: -1 }],
    ['no members', { ...stateToJson(state), members: {} }],
    ['a member without a name', { ...stateToJson(state), members: [{}] }],
    ['a bad table', { ...stateToJson(state), table: { version: 1, entries: [{}] } }],
    ['a strange step', { ...stateToJson(state), steps: [{ kind: 'explode', partition: 0 }] }],
    ['a bad partition', { ...stateToJson(state), placedByHand: [0.5] }],
  ])('is refused as %s', (_what, json) => {
    expect(() => stateFromJson(json)).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })
})
