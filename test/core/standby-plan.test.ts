import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HostedRole } from '../../src/core/membership.ts'
import { hasStopped, type PlanMember } from '../../src/core/planner.ts'
import { planStandbys, type StandbyStep } from '../../src/core/standby-plan.ts'
import { initialTable, type PlacementEntry, type PlacementTable } from '../../src/core/table.ts'
import { incarnation, partitionId, sameNode, seq, type NodeId, type NodeRef } from '../../src/protocol/ids.ts'

const ref = (id: string, life = 'a'): NodeRef => ({ id: id as NodeId, incarnation: incarnation(life) })

/** It stands by for whatever it is asked to. */
const everything = (role: HostedRole = 'standby') =>
  new Map(Array.from({ length: 128 }, (_, p) => [partitionId(p), { role, appliedSeq: seq(1) }]))

const member = (id: string, options: Partial<PlanMember> = {}): PlanMember => ({
  ref: ref(id),
  host: id,
  zone: id,
  weight: 1,
  draining: false,
  avoid: new Set(),
  hosted: everything(),
  ...options,
})

const tableOf = (entries: readonly Partial<PlacementEntry>[]): PlacementTable => ({
  version: 1,
  entries: entries.map((entry) => ({ ...initialTable(1).entries[0]!, ...entry })),
})

/** Owners one after the other, and no standbys. */
const owned = (nodes: readonly PlanMember[], partitions: number) =>
  tableOf(Array.from({ length: partitions }, (_, p) => ({ owner: nodes[p % nodes.length]!.ref })))

const carriedOut = (table: PlacementTable, steps: readonly StandbyStep[]): PlacementTable => ({
  version: table.version + 1,
  entries: table.entries.map((entry, p) => {
    const step = steps.find(({ partition }) => partition === p)
    return step === undefined ? entry : { ...entry, standbys: step.standbys }
  }),
})

const options = { standbys: 1, maxExtra: 2 }

/** All tables on the way to where there is nothing more to do. */
function settled(nodes: readonly PlanMember[], table: PlacementTable, wanted = options): PlacementTable[] {
  const way = [table]
  for (let round = 0; round < 500; round++) {
    const steps = planStandbys(nodes, way.at(-1)!, wanted)
    if (steps.length === 0) return way
    way.push(carriedOut(way.at(-1)!, steps))
  }
  throw new Error('it plans for ever')
}

const names = (table: PlacementTable) => table.entries.map(({ standbys }) => standbys.map(({ id }) => id))

const anyNodes = fc
  .array(
    fc.record(
      {
        host: fc.constantFrom('h1', 'h2', 'h3'),
        zone: fc.constantFrom('z1', 'z2'),
        weight: fc.constantFrom(0, 1, 1, 1, 2),
        draining: fc.constantFrom(false, false, false, true),
        avoid: fc.array(fc.nat(7).map(partitionId), { maxLength: 2 }).map((list) => new Set(list)),
        hosted: fc.constantFrom(everything(), everything(), everything('replaying'), everything('stopped'), new Map()),
      },
      { noNullPrototype: true },
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((list) => list.map((changes, i) => member(`n${i}`, changes)))

const anyCluster = anyNodes.chain((nodes) => {
  const someone = fc
    .tuple(fc.constantFrom(...nodes.map(({ ref: { id } }) => id), 'gone'), fc.constantFrom('a', 'old'))
    .map(([id, life]) => ref(id, life))
  const entry = fc.record(
    { owner: fc.option(someone), standbys: fc.uniqueArray(someone, { maxLength: 3, selector: ({ id }) => id }) },
    { noNullPrototype: true },
  )
  return fc.record({
    nodes: fc.constant(nodes),
    table: fc.array(entry, { minLength: 8, maxLength: 8 }).map((entries) => tableOf(entries)),
    wanted: fc.record({ standbys: fc.integer({ min: 0, max: 3 }), maxExtra: fc.integer({ min: 1, max: 3 }) }),
  })
})

describe('a plan of standbys', () => {
  it('gives each partition as many as are wanted, or as there are other nodes, and replicas that are level (B1, B4)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 3 }), (count, wanted) => {
        const nodes = Array.from({ length: count }, (_, i) => member(`n${i}`))
        const end = settled(nodes, owned(nodes, 16), { standbys: wanted, maxExtra: 2 }).at(-1)!
        const counts = nodes.map((node) =>
          end.entries.reduce((sum, { owner, standbys }) => {
            return sum + [owner, ...standbys].filter((one) => sameNode(one, node.ref)).length
          }, 0),
        )
        for (const { standbys } of end.entries) expect(standbys).toHaveLength(Math.min(wanted, count - 1))
        if (wanted > 0) expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2)
      }),
    )
  })

  it('comes to an end from any table, and names only live nodes that are not the owner, each once (B1)', () => {
    fc.assert(
      fc.property(anyCluster, ({ nodes, table, wanted }) => {
        const way = settled(nodes, table, wanted)
        for (const [step, { entries }] of way.slice(1).entries()) {
          entries.forEach(({ owner, standbys }, p) => {
            if (!nodes.some((node) => sameNode(node.ref, owner))) return
            expect(new Set(standbys.map(({ id }) => id)).size).toBe(standbys.length)
            for (const standby of standbys) {
              const node = nodes.find((one) => sameNode(one.ref, standby))
              const before = way[step]!.entries[p]!.standbys.some((ref) => sameNode(ref, standby))
              expect(node?.avoid.has(partitionId(p))).toSatisfy((avoided) => avoided === false || before)
              expect(sameNode(standby, owner)).toBe(false)
            }
          })
        }
      }),
      { numRuns: 500 },
    )
  })

  it('never takes one away before as many as are wanted are level, and has few at a time with one more (B3)', () => {
    fc.assert(
      fc.property(anyCluster, ({ nodes, table, wanted }) => {
        const [before, after] = settled(nodes, table, wanted)
        if (before === undefined || after === undefined) return
        after.entries.forEach(({ owner, standbys }, p) => {
          if (!nodes.some((node) => sameNode(node.ref, owner))) return
          const kept = before.entries[p]!.standbys.filter((ref) => {
            const node = nodes.find((one) => sameNode(one.ref, ref))
            return node !== undefined && !sameNode(ref, owner) && !hasStopped(node, partitionId(p))
          })
          const gone = kept.filter((one) => !standbys.some((ref) => sameNode(ref, one)))
          if (gone.length === 0) return
          expect(standbys.length).toBeGreaterThanOrEqual(wanted.standbys)
          for (const ref of standbys.slice(0, wanted.standbys)) {
            expect(nodes.find((node) => sameNode(node.ref, ref))!.hosted.get(partitionId(p))?.role).toBe('standby')
          }
        })
        const extra = (at: PlacementTable) => at.entries.filter((entry) => entry.standbys.length > wanted.standbys)
        expect(extra(after).length).toBeLessThanOrEqual(Math.max(extra(before).length, wanted.maxExtra))
      }),
      { numRuns: 500 },
    )
  })

  it('keeps owner and standby apart: in two zones, else on two hosts, else on two nodes (B2)', () => {
    const owner = member('a', { host: 'h1', zone: 'z1' })
    const together = member('b', { host: 'h1', zone: 'z1' })
    const near = member('c', { host: 'h2', zone: 'z1' })
    const far = member('d', { host: 'h3', zone: 'z2' })
    const table = tableOf([{ owner: owner.ref }])
    const chosen = (...nodes: PlanMember[]) => names(settled([owner, ...nodes], table).at(-1)!)
    expect(chosen(together, near, far)).toEqual([['d']])
    expect(chosen(together, near)).toEqual([['c']])
    expect(chosen(together)).toEqual([['b']])
    expect(chosen()).toEqual([[]])
  })

  it('puts two standbys apart from each other, too (B2)', () => {
    const nodes = [
      member('a', { zone: 'z1' }),
      member('b', { zone: 'z2', host: 'h2' }),
      member('c', { zone: 'z2', host: 'h2' }),
      member('d', { zone: 'z3' }),
    ]
    const end = settled(nodes, tableOf([{ owner: ref('a') }]), { standbys: 2, maxExtra: 2 }).at(-1)!
    expect(names(end)[0]!.toSorted()).toEqual(['b', 'd'])
  })

  it('brings a better placed one first, and lets the other go when that one stands by (B3)', () => {
    const table = tableOf([{ owner: ref('a'), standbys: [ref('b')] }])
    const owner = member('a', { host: 'h1' })
    const near = member('b', { host: 'h1' })
    const cold = member('c', { hosted: new Map() })
    const [, both, ...more] = settled([owner, near, cold], table)
    expect(names(both!)).toEqual([['b', 'c']])
    expect(more).toEqual([])
    expect(planStandbys([owner, near, { ...cold, hosted: everything() }], both!, options)).toEqual([
      { partition: 0, standbys: [ref('c')] },
    ])
  })

  it('keeps one that is to be avoided, which may be warming up, and makes none of such a node (B1)', () => {
    const avoided = member('b', { avoid: new Set([partitionId(0)]), hosted: everything('replaying') })
    expect(planStandbys([member('a'), avoided], tableOf([{ owner: ref('a'), standbys: [ref('b')] }]), options)).toEqual(
      [],
    )
    expect(planStandbys([member('a'), avoided], tableOf([{ owner: ref('a') }]), options)).toEqual([])
  })

  it('replaces one of weight 0, as a former owner may be, by one as near (B4)', () => {
    const table = tableOf([{ owner: ref('a'), standbys: [ref('b')] }])
    const nodes = [member('a'), member('b', { weight: 0 })]
    expect(names(settled([...nodes, member('c')], table).at(-1)!)).toEqual([['c']])
    expect(names(settled([...nodes, member('c', { weight: 0 })], table).at(-1)!)).toEqual([['b']])
    // Not where that would be nearer to the owner (B2).
    expect(names(settled([...nodes, member('c', { host: 'a' })], table).at(-1)!)).toEqual([['b']])
  })

  it('replaces one on a node that drains, and takes nothing from it before', () => {
    const table = tableOf([{ owner: ref('a'), standbys: [ref('b')] }])
    const leaving = member('b', { draining: true })
    expect(names(settled([member('a'), leaving], table).at(-1)!)).toEqual([['b']])
    expect(settled([member('a'), leaving, member('c')], table).map((at) => names(at)[0])).toEqual([
      ['b'],
      ['b', 'c'],
      ['c'],
    ])
  })

  it('replaces one that has stopped the partition, rather than one that drains, and makes it none again (B3)', () => {
    const table = tableOf([{ owner: ref('a'), standbys: [ref('b')] }])
    const stopped = member('b', { hosted: everything('stopped') })
    expect(settled([member('a'), stopped, member('c', { host: 'a' })], table).map((at) => names(at)[0])).toEqual([
      ['b'],
      ['b', 'c'],
      ['c'],
    ])
    const both = tableOf([{ owner: ref('a'), standbys: [ref('b'), ref('c')] }])
    const after = (c: Partial<PlanMember>) => names(settled([member('a'), stopped, member('c', c)], both).at(-1)!)
    for (const c of [{ draining: true }, { hosted: new Map() }]) expect(after(c)).toEqual([['c']])
    // Not even where all have: one is left, as long as there is nobody else.
    expect(after({ hosted: everything('stopped') })[0]).toHaveLength(1)
    expect(planStandbys([member('a'), stopped], table, options)).toEqual([])
    expect(planStandbys([member('a'), stopped], tableOf([{ owner: ref('a') }]), options)).toEqual([])
  })

  it('spreads them evenly when a node joins, a bounded number at a time (B3, B4)', () => {
    const two = [member('n0'), member('n1')]
    const before = settled(two, owned(two, 16)).at(-1)!
    const three = [...two, member('n2')]
    const way = settled(three, before)
    const counts = three.map(
      ({ ref: { id } }) =>
        names(way.at(-1)!)
          .flat()
          .filter((name) => name === id).length,
    )
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(9)
    expect(counts[2]).toBeGreaterThan(8)
    for (const table of way) expect(names(table).filter((list) => list.length > 1).length).toBeLessThanOrEqual(2)
  })

  it('leaves a partition alone that has no live owner', () => {
    const table = tableOf([
      { owner: null, standbys: [ref('b')] },
      { owner: ref('gone'), standbys: [ref('b', 'old')] },
    ])
    expect(planStandbys([member('a'), member('b')], table, options)).toEqual([])
  })
})
