import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { plan, sharesOf, type PlanMember, type PlanStep } from '../../src/core/planner.ts'
import type { HostedRole } from '../../src/core/membership.ts'
import { initialTable, type PlacementEntry, type PlacementTable } from '../../src/core/table.ts'
import {
  incarnation,
  nextEpoch,
  partitionId,
  sameNode,
  seq,
  type NodeId,
  type NodeRef,
} from '../../src/protocol/ids.ts'

const ref = (id: string, life = 'a'): NodeRef => ({ id: id as NodeId, incarnation: incarnation(life) })

const member = (id: string, options: Partial<PlanMember> & { readonly life?: string } = {}): PlanMember => {
  const { life, ...rest } = options
  return {
    ref: ref(id, life),
    host: id,
    zone: 'z',
    weight: 1,
    draining: false,
    avoid: new Set(),
    hosted: new Map(),
    ...rest,
  }
}

const members = (count: number, from = 0) => Array.from({ length: count }, (_, i) => member(`n${i + from}`))

/** The table after the steps were carried out to their end. */
const carriedOut = (table: PlacementTable, steps: readonly PlanStep[]): PlacementTable => ({
  version: table.version + 1,
  entries: table.entries.map((entry, p) => {
    const step = steps.find(({ partition }) => partition === p)
    return step === undefined ? entry : { ...entry, epoch: nextEpoch(entry.epoch), owner: step.to, moving: null }
  }),
})

/** Plans and carries out until there is nothing more to do. */
const settled = (nodes: readonly PlanMember[], table: PlacementTable): PlacementTable => {
  let current = table
  for (let round = 0; round < 5; round++) {
    const steps = plan(nodes, current)
    if (steps.length === 0) return current
    current = carriedOut(current, steps)
  }
  throw new Error('it plans for ever')
}

const countOf = (table: PlacementTable, node: PlanMember) =>
  table.entries.filter(({ owner }) => sameNode(owner, node.ref)).length

const tableOf = (entries: readonly Partial<PlacementEntry>[]): PlacementTable => ({
  version: 1,
  entries: entries.map((entry) => ({ ...initialTable(1).entries[0]!, ...entry })),
})

const partitions = fc.constantFrom(1, 2, 4, 8, 16, 32, 64, 128)
const seeds = fc.infiniteStream(fc.nat())

/** Any table: owners alive, dead, restarted or none, moves under way. */
const anyTable = (ids: readonly string[]) =>
  partitions.chain((count) =>
    fc
      .array(
        fc.record(
          {
            owner: fc.option(fc.tuple(fc.constantFrom(...ids, 'gone'), fc.constantFrom('a', 'old')), { nil: null }),
            moving: fc.option(fc.tuple(fc.constantFrom(...ids, 'gone'), fc.constantFrom('a', 'old')), {
              nil: null,
              freq: 4,
            }),
            standbys: fc.array(fc.tuple(fc.constantFrom(...ids, 'gone'), fc.constantFrom('a', 'old')), {
              maxLength: 2,
            }),
          },
          { noNullPrototype: true },
        ),
        { minLength: count, maxLength: count },
      )
      .map((entries) =>
        tableOf(
          entries.map(({ owner, moving, standbys }) => ({
            owner: owner && ref(...owner),
            moving: owner && moving && ref(...moving),
            standbys: standbys.map((standby) => ref(...standby)),
          })),
        ),
      ),
  )

const anyMembers = fc
  .array(
    fc.record(
      {
        weight: fc.constantFrom(0, 0.5, 1, 1, 1, 3),
        draining: fc.constantFrom(false, false, false, true),
        avoid: fc.array(fc.nat(15).map(partitionId), { maxLength: 3 }).map((list) => new Set(list)),
        hosted: fc
          .array(fc.tuple(fc.nat(15).map(partitionId), fc.constantFrom<HostedRole>('standby', 'replaying', 'stopped')))
          .map((list) => new Map(list.map(([partition, role]) => [partition, { role, appliedSeq: seq(1) }]))),
      },
      { noNullPrototype: true },
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((list) => list.map((options, i) => member(`n${i}`, options)))

const anyCluster = anyMembers.chain((nodes) =>
  anyTable(nodes.map(({ ref: { id } }) => id)).map((table) => ({ nodes, table })),
)

describe('a plan', () => {
  it('gives each partition one live owner, and shares that differ by one at most (N1, N2)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), partitions, (count, size) => {
        const nodes = members(count)
        const steps = plan(nodes, initialTable(size))
        expect(steps.map(({ kind, partition }) => [kind, partition])).toEqual(
          Array.from({ length: size }, (_, p) => ['assign', p]),
        )
        const counts = nodes.map((node) => countOf(carriedOut(initialTable(size), steps), node))
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('ends in a table where every partition has a live owner and equal nodes are level, whatever it began with (N1, N2)', () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 6 })
          .chain((n) => fc.tuple(fc.constant(members(n)), anyTable(members(n).map(({ ref: { id } }) => id)))),
        ([nodes, table]) => {
          const unmoving = { ...table, entries: table.entries.map((entry) => ({ ...entry, moving: null })) }
          const end = settled(nodes, unmoving)
          for (const { owner } of end.entries) expect(nodes.some((node) => sameNode(node.ref, owner))).toBe(true)
          const counts = nodes.map((node) => countOf(end, node))
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
        },
      ),
    )
  })

  it('is empty for a table that it has made, and for one that it made itself in several rounds (N2)', () => {
    fc.assert(
      fc.property(anyCluster, ({ nodes, table }) => {
        expect(plan(nodes, settled(nodes, table))).toEqual([])
      }),
    )
  })

  it('gives nothing to a node that drains, is dead or is to be avoided, and touches each partition once (N4)', () => {
    fc.assert(
      fc.property(anyCluster, ({ nodes, table }) => {
        const steps = plan(nodes, table)
        for (const step of steps) {
          const to = nodes.find((node) => sameNode(node.ref, step.to))!
          expect(to.draining).toBe(false)
          expect(to.avoid.has(step.partition)).toBe(false)
          const { owner } = table.entries[step.partition]!
          const ownerLives = nodes.some((node) => sameNode(node.ref, owner))
          expect(step.kind).toBe(ownerLives ? 'move' : 'assign')
          if (step.kind === 'move') {
            expect(step.from).toEqual(owner)
            expect(sameNode(step.from, step.to)).toBe(false)
          }
        }
        const touched = steps.map(({ partition }) => partition)
        expect(new Set(touched).size).toBe(touched.length)
      }),
    )
  })

  it('leaves no partition without a live owner while somebody can have it (N1, N4)', () => {
    fc.assert(
      fc.property(anyCluster, ({ nodes, table }) => {
        const steps = plan(nodes, table)
        table.entries.forEach(({ owner }, p) => {
          const lives = nodes.some((node) => sameNode(node.ref, owner))
          const possible = nodes.some((node) => !node.draining && !node.avoid.has(partitionId(p)))
          if (!lives && possible)
            expect(steps).toContainEqual(expect.objectContaining({ kind: 'assign', partition: p }))
          else expect(steps).not.toContainEqual(expect.objectContaining({ kind: 'assign', partition: p }))
        })
      }),
    )
  })

  it('is the same whatever the order of the members (N6)', () => {
    fc.assert(
      fc.property(anyCluster, seeds, ({ nodes, table }, seed) => {
        const shuffled = nodes.map((node) => ({ node, at: seed.next().value as number })).sort((a, b) => a.at - b.at)
        expect(
          plan(
            shuffled.map(({ node }) => node),
            table,
          ),
        ).toEqual(plan(nodes, table))
      }),
    )
  })

  it('for a node that joins moves at most ⌈partitions / nodes⌉, all to it (N3)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), partitions, (count, size) => {
        const balanced = settled(members(count), initialTable(size))
        const steps = plan(members(count + 1), balanced)
        expect(steps.length).toBeLessThanOrEqual(Math.ceil(size / (count + 1)))
        for (const step of steps) expect(step).toMatchObject({ kind: 'move', to: ref(`n${count}`) })
        const after = carriedOut(balanced, steps)
        expect(countOf(after, member(`n${count}`))).toBeGreaterThanOrEqual(Math.floor(size / (count + 1)))
      }),
    )
  })

  it('for a node that dies, or drains, touches only what it had (N3)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 20 }), partitions, fc.nat(), fc.boolean(), (count, size, pick, drains) => {
        const nodes = members(count)
        const balanced = settled(nodes, initialTable(size))
        const leaver = nodes[pick % count]!
        const left = nodes.filter((node) => node !== leaver)
        const steps = plan(drains ? [...left, { ...leaver, draining: true }] : left, balanced)
        const had = balanced.entries.flatMap(({ owner }, p) => (sameNode(owner, leaver.ref) ? [p] : []))
        expect(steps.map(({ partition }) => partition)).toEqual(had)
        for (const { kind } of steps) expect(kind).toBe(drains ? 'move' : 'assign')
        const counts = left.map((node) => countOf(carriedOut(balanced, steps), node))
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('goes by weights, within one of the exact share (N2)', () => {
    const weights = fc.array(fc.constantFrom(0, 0.1, 0.5, 1, 2, 7), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(
        weights.filter((list) => list.some((w) => w > 0)),
        partitions,
        (list, size) => {
          const nodes = list.map((weight, i) => member(`n${i}`, { weight }))
          const total = list.reduce<number>((sum, w) => sum + w, 0)
          const end = settled(nodes, initialTable(size))
          nodes.forEach((node, i) => {
            const exact = (size * list[i]!) / total
            expect(Math.abs(countOf(end, node) - exact)).toBeLessThan(1)
            if (list[i] === 0) expect(countOf(end, node)).toBe(0)
          })
        },
      ),
    )
  })

  it('moves everything away from a node whose weight becomes 0', () => {
    const balanced = settled(members(3), initialTable(16))
    const nodes = [member('n0', { weight: 0 }), member('n1'), member('n2')]
    expect(countOf(settled(nodes, balanced), nodes[0]!)).toBe(0)
  })

  it('moves nothing for the rounding alone: who has the odd ones keeps them (N2)', () => {
    const owners = ['n0', 'n1', 'n2', 'n2']
    expect(plan(members(3), tableOf(owners.map((owner) => ({ owner: ref(owner) }))))).toEqual([])
  })

  it('leaves nothing to a node of weight 0, not even what rounds up (N2)', () => {
    const balanced = settled(members(4), initialTable(16))
    const nodes = [member('n0', { weight: 0 }), ...members(3, 1)]
    expect(nodes.map((node) => countOf(settled(nodes, balanced), node)).sort()).toEqual([0, 5, 5, 6])
  })

  it('counts what moves to a node when it gives it more (N5)', () => {
    const owners = ['n1', 'n1', 'n1', 'n1', 'n0', 'n0', 'n0', 'n9']
    const table = tableOf(owners.map((owner, p) => ({ owner: ref(owner), moving: p === 0 ? ref('n0') : null })))
    expect(plan(members(2), table)).toEqual([{ kind: 'assign', partition: 7, to: ref('n1') }])
  })

  it('treats nodes as equals when all have weight 0', () => {
    const nodes = [member('n0', { weight: 0 }), member('n1', { weight: 0 })]
    expect(nodes.map((node) => countOf(settled(nodes, initialTable(8)), node))).toEqual([4, 4])
  })

  it('gives a restarted node its partitions back (N1)', () => {
    const balanced = settled(members(3), initialTable(16))
    const restarted = [member('n0'), member('n1', { life: 'b' }), member('n2')]
    const had = balanced.entries.flatMap(({ owner }, p) => (owner?.id === 'n1' ? [p] : []))
    expect(plan(restarted, balanced)).toEqual(
      had.map((partition) => ({ kind: 'assign', partition, to: ref('n1', 'b') })),
    )
  })

  it('prefers the target of a move, then a live standby in order, then the former node (N1)', () => {
    const nodes = [member('n0', { life: 'b' }), ...members(3, 1)]
    const standbys = [ref('n9'), ref('n3'), ref('n2')]
    const one = (entry: Partial<PlacementEntry>) => plan(nodes, tableOf([entry]))[0]?.to.id
    expect(one({ owner: ref('n0'), standbys, moving: ref('n1') })).toBe('n1')
    expect(one({ owner: ref('n0'), standbys, moving: null })).toBe('n3')
    expect(one({ owner: ref('n0'), standbys: [], moving: null })).toBe('n0')
    expect(one({ owner: ref('n0'), standbys: [ref('n3', 'old')], moving: ref('n9') })).toBe('n0')
  })

  it('leaves a partition alone while it moves, and counts it where it goes (N5)', () => {
    const nodes = members(2)
    const table = tableOf([
      { owner: ref('n0'), moving: ref('n1') },
      { owner: ref('n0') },
      { owner: ref('n0') },
      { owner: ref('n1') },
    ])
    expect(plan(nodes, table)).toEqual([])
  })

  it('plans a move anew when its target is dead or draining, but not for a live owner that has its share (N5)', () => {
    const toDead = tableOf([{ owner: ref('n0'), moving: ref('n9') }, { owner: ref('n1') }])
    expect(plan(members(2), toDead)).toEqual([])
    const crowded = tableOf([{ owner: ref('n0'), moving: ref('n9') }, { owner: ref('n0') }])
    expect(plan(members(2), crowded)).toEqual([{ kind: 'move', partition: 0, from: ref('n0'), to: ref('n1') }])
  })

  it('does nothing where nobody can have anything (N4)', () => {
    const balanced = settled(members(1), initialTable(4))
    expect(plan([], balanced)).toEqual([])
    expect(plan([member('n0', { draining: true })], balanced)).toEqual([])
    const avoiding = member('n0', { avoid: new Set([partitionId(0)]) })
    expect(plan([avoiding], initialTable(1))).toEqual([])
    expect(plan([avoiding, member('n1')], initialTable(1))).toEqual([{ kind: 'assign', partition: 0, to: ref('n1') }])
  })

  it('names the standby that has applied most, and a node that was moved to only where that is further (N1)', () => {
    const table = tableOf([{ owner: ref('gone'), standbys: [ref('a'), ref('b'), ref('c')], moving: ref('d') }])
    const at = (appliedSeq: number) => ({
      hosted: new Map([[partitionId(0), { role: 'standby' as const, appliedSeq: seq(appliedSeq) }]]),
    })
    const named = (...nodes: PlanMember[]) => plan(nodes, table).map(({ to }) => to.id)
    expect(named(member('a', at(5)), member('b', at(9)), member('c', at(7)), member('d', at(1)))).toEqual(['b'])
    expect(named(member('a'), member('b'), member('d', at(1)))).toEqual(['d'])
    expect(named(member('a'), member('b'), member('e', at(99)))).toEqual(['a'])
  })

  it('gives what a node has stopped to anybody else, however far it has come, and to it only where there is nobody (N8)', () => {
    const at = (role: HostedRole, appliedSeq: number) => ({
      hosted: new Map([[partitionId(0), { role, appliedSeq: seq(appliedSeq) }]]),
    })
    const b = member('b', at('stopped', 100))
    const named = (entry: Partial<PlacementEntry>, ...nodes: PlanMember[]) =>
      plan(nodes, tableOf([entry])).map(({ to }) => to.id)
    const orphan = { owner: ref('gone'), standbys: [ref('b'), ref('c')] }
    expect(named(orphan, b, member('c', at('standby', 99)))).toEqual(['c'])
    expect(named(orphan, b, member('d'))).toEqual(['d'])
    expect(named({ owner: ref('b', 'old') }, b, member('d'))).toEqual(['d'])
    expect(named(orphan, b)).toEqual(['b'])
    expect(named(orphan, b, member('d', { avoid: new Set([partitionId(0)]) }))).toEqual(['b'])
    const [a, draining] = [member('a'), member('a', { draining: true })]
    expect(named({ ...orphan, owner: a.ref }, draining, b, member('c', at('standby', 99)))).toEqual(['c'])
    // For the balance another one goes.
    const two = tableOf([{ owner: a.ref, standbys: [b.ref] }, { owner: a.ref }])
    expect(plan([a, b], two)).toEqual([{ kind: 'move', partition: 1, from: a.ref, to: b.ref }])
  })

  it('moves first what a standby can take, so that nothing has to be warmed up (N3)', () => {
    const [a, b] = members(2) as [PlanMember, PlanMember]
    const table = tableOf([
      { owner: a.ref },
      { owner: a.ref },
      { owner: a.ref, standbys: [b.ref] },
      { owner: a.ref, standbys: [b.ref] },
    ])
    expect(plan([a, b], table)).toEqual(
      [2, 3].map((partition) => ({ kind: 'move', partition, from: a.ref, to: b.ref })),
    )
  })

  it('moves first what a standby has caught up with, then what one is warming up for, then the rest (N3)', () => {
    const at = (role: HostedRole, ...partitions: number[]) =>
      partitions.map((p) => [partitionId(p), { role, appliedSeq: seq(1) }] as const)
    const [a, b] = [member('n0'), member('n1', { hosted: new Map([...at('replaying', 3, 4), ...at('standby', 5)]) })]
    const given = (partitions: number) =>
      plan(
        [a, b],
        tableOf(Array.from({ length: partitions }, (_, p) => ({ owner: a.ref, standbys: p < 3 ? [] : [b.ref] }))),
      ).map(({ partition }) => partition)
    expect(given(6)).toEqual([5, 3, 4])
    expect(given(8)).toEqual([5, 3, 4, 6])
  })

  it('gives what a draining node has to standbys up to their share, and no further (N3)', () => {
    const [a, b, c] = members(3) as [PlanMember, PlanMember, PlanMember]
    const draining = { ...a, draining: true }
    const table = tableOf(Array.from({ length: 4 }, () => ({ owner: a.ref, standbys: [b.ref] })))
    expect(plan([draining, b, c], table).map(({ to }) => to.id)).toEqual(['n1', 'n1', 'n2', 'n2'])
    expect(plan([b, c], table).map(({ to }) => to.id)).toEqual(['n1', 'n1', 'n1', 'n1'])
  })

  it('gives away what was placed by hand last, even where another stands by for it (N7)', () => {
    const nodes = members(2)
    // Partition 0 was moved from n0 to n1 by hand: n0 stands by for it, and for nothing else.
    const table = tableOf([
      { owner: ref('n1'), standbys: [ref('n0')] },
      { owner: ref('n1') },
      { owner: ref('n1') },
      { owner: ref('n0') },
    ])
    const given = (byHand: readonly number[]) =>
      plan(nodes, table, new Set(byHand.map(partitionId))).map(({ partition }) => partition)
    expect(given([])).toEqual([0])
    expect(given([0])).toEqual([1])
    expect(given([0, 1])).toEqual([2])
    // Shares are held all the same.
    expect(given([0, 1, 2])).toEqual([0])
  })

  it('by hand or not, ends with the same shares (N2, N7)', () => {
    fc.assert(
      fc.property(anyCluster, fc.array(fc.nat(15).map(partitionId)), ({ nodes: some, table }, byHand) => {
        // What goes where may differ where nodes have stopped partitions, or avoid them.
        const nodes = some.map((node) => ({
          ...node,
          hosted: new Map([...node.hosted].filter(([, { role }]) => role !== 'stopped')),
        }))
        if (nodes.some(({ avoid }) => avoid.size > 0)) return
        const counts = (at: PlacementTable) => nodes.map((node) => countOf(at, node))
        const steps = plan(nodes, table)
        const others = plan(nodes, table, new Set(byHand))
        expect(others).toHaveLength(steps.length)
        expect(counts(carriedOut(table, others))).toEqual(counts(carriedOut(table, steps)))
      }),
    )
  })

  it('tells the shares that it goes by, which are all there is (N2)', () => {
    fc.assert(
      fc.property(anyCluster, ({ nodes, table }) => {
        const shares = sharesOf(nodes, table)
        const total = [...shares.values()].reduce((sum, share) => sum + share, 0)
        expect(total).toBe(nodes.every(({ draining }) => draining) ? 0 : table.entries.length)
        for (const { ref: at, draining } of nodes) if (draining) expect(shares.get(at.id)).toBe(0)
      }),
    )
  })
})
