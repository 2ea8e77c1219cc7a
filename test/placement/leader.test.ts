/** The leader as a whole: what it makes of members, table and reports (PL1 to PL7). */
import { afterEach, describe, expect, it } from 'vitest'
import { Counter } from '../../actors/keyed/counter.ts'
import { encodeControl, type Report } from '../../src/placement/control.ts'
import { epoch, partitionId, sameNode } from '../../src/protocol/ids.ts'
import { SimCluster } from '../../src/testing/sim/cluster.ts'
import { PlacementWorld, subjects, type StatedNode } from './world.ts'

const worlds: PlacementWorld[] = []
const clusters: SimCluster[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
  for (const cluster of clusters.splice(0)) await cluster.close()
})

function begin(seed = 'leader'): PlacementWorld {
  const world = new PlacementWorld(seed)
  worlds.push(world)
  return world
}

const cannotOpen = (node: StatedNode, at: number): Report => ({
  ...{ op: 'cannot-open', node: node.ref, partition: partitionId(0), epoch: epoch(at), reason: 'its disk is full' },
})

function report(world: PlacementWorld, told: Report): void {
  world.world.start('reporter').transport.publish(subjects.placementReport, encodeControl(told))
}

const ids = (nodes: readonly { readonly id: string }[]) => nodes.map(({ id }) => id)

describe('a plan that is carried out', () => {
  it('assigns first, and appoints standbys for the owners that it has just named', async () => {
    const world = begin()
    const nodes = [world.node('a'), world.node('b')]
    const { events } = await world.lead('leader', 4)
    await world.clock.advance(50)
    for (const p of [0, 1, 2, 3]) {
      const { owner, standbys, epoch: at } = world.entry(p)
      const other = nodes.find(({ ref }) => !sameNode(ref, owner))!
      expect([at, standbys]).toEqual([1, [other.ref]])
    }
    expect(events.of('placement.assigned')).toHaveLength(4)
    expect(events.of('placement.standbys')).toHaveLength(4)
    // And is done with that.
    const { revision } = world.world.registry.get('table')!
    await world.clock.advance(2_000)
    expect(world.world.registry.get('table')!.revision).toBe(revision)
  })

  it('names the standby that has applied most when the owner dies', async () => {
    const world = begin()
    const [a, b, c] = [world.node('a'), world.node('b'), world.node('c')]
    a.lives = false
    world.says(b, 0, 'standby', 7)
    world.says(c, 0, 'standby', 9)
    world.write([{ owner: a.ref, epoch: epoch(3), standbys: [b.ref, c.ref] }])
    await world.lead('leader', 1, { standbys: 2 })
    await world.clock.advance(50)
    expect(world.entry(0)).toMatchObject({ owner: c.ref, epoch: 4, standbys: [b.ref] })
  })
})

describe('a plan that somebody else was faster than', () => {
  it('tells of no standbys that were not appointed', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.write([{ owner: a.ref, epoch: epoch(1) }])
    const { process, events } = await world.lead('leader', 1)
    const { registry } = process
    const update = registry.update.bind(registry)
    let conflicts = 0
    registry.update = (key, value, revision) => {
      if (conflicts++ === 0) world.write([{ owner: a.ref, epoch: epoch(1) }])
      return update(key, value, revision)
    }
    await world.clock.runUntil(() => world.entry(0).standbys.length > 0, 1_000)
    await world.clock.advance(50)
    expect(conflicts).toBeGreaterThan(1)
    expect(events.of('placement.standbys')).toEqual([
      { type: 'placement.standbys', partition: 0, standbys: [b.ref.id] },
    ])
  })
})

describe('who was the owner (PL7)', () => {
  const moved = async (standbys: number) => {
    const world = begin()
    const [a, b] = [world.node('a', { draining: true }), world.node('b')]
    world.says(b, 0, 'standby', 5)
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: standbys > 0 ? [b.ref] : [] }])
    await world.lead('leader', 1, { standbys })
    await world.clock.runUntil(() => world.entry(0).owner?.id === 'b', 1_000)
    return { world, a, b }
  }

  it('stands by, where there are standbys', async () => {
    expect(ids((await moved(1)).world.entry(0).standbys)).toEqual(['a'])
    expect((await moved(0)).world.entry(0).standbys).toEqual([])
  })

  it('stands by until the plan of standbys has another that has caught up', async () => {
    const { world } = await moved(1)
    const c = world.node('c')
    await world.clock.runUntil(() => ids(world.entry(0).standbys).join() === 'a,c', 1_000)
    world.says(c, 0, 'standby', 5)
    await world.clock.runUntil(() => ids(world.entry(0).standbys).join() === 'c', 1_000)
    expect(world.entry(0)).toMatchObject({ owner: { id: 'b' }, epoch: 2 })
  })

  it('does not stand by when it has died', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    a.lives = false
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: [b.ref] }])
    await world.lead('leader', 1)
    await world.clock.runUntil(() => world.entry(0).owner?.id === 'b', 1_000)
    expect(world.entry(0).standbys).toEqual([])
  })
})

describe('a node that cannot open a partition (PL4)', () => {
  it('stands by for it no more, if it did, and another one is appointed; the owner stays', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.says(b, 0, 'standby', 5)
    world.write([{ owner: a.ref, epoch: epoch(3), standbys: [b.ref] }])
    const { leader } = await world.lead('leader', 1)
    await world.clock.advance(50)
    report(world, cannotOpen(b, 0))
    await world.clock.runUntil(() => world.entry(0).standbys.length === 0, 1_000)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, epoch: 3 })
    expect(leader.load.avoided).toBe(1)
    world.node('c')
    await world.clock.runUntil(() => ids(world.entry(0).standbys).join() === 'c', 1_000)
  })

  it('is appointed again after its back-off, where there is nobody else', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.write([{ owner: a.ref, epoch: epoch(3), standbys: [b.ref] }])
    await world.lead('leader', 1)
    await world.clock.advance(50)
    report(world, cannotOpen(b, 0))
    await world.clock.runUntil(() => world.entry(0).standbys.length === 0, 1_000)
    await world.clock.advance(1_500)
    expect(world.entry(0).standbys).toEqual([])
    await world.clock.runUntil(() => ids(world.entry(0).standbys).join() === 'b', 1_000)
  })

  it('owns it no more, if it did: its standby takes over at once', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.write([{ owner: a.ref, epoch: epoch(3), standbys: [b.ref] }])
    await world.lead('leader', 1)
    await world.clock.advance(50)
    report(world, cannotOpen(a, 3))
    await world.clock.runUntil(() => world.entry(0).owner?.id === 'b', 100)
    expect(world.entry(0)).toMatchObject({ epoch: 4, standbys: [] })
  })

  it('is not moved to, if it was about to be', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.write([{ owner: a.ref, epoch: epoch(3), moving: b.ref }])
    await world.lead('leader', 1, { standbys: 0 })
    await world.clock.advance(50)
    report(world, cannotOpen(b, 0))
    await world.clock.runUntil(() => world.entry(0).moving === null, 100)
    await world.clock.advance(1_000)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, epoch: 3, moving: null })
    expect(a.handOffs).toEqual([])
  })
})

describe('a move that is noted and that nobody carries out (PL3)', () => {
  it('is gone on with by who leads next', async () => {
    const world = begin()
    const [a, b] = [world.node('a', { draining: true }), world.node('b')]
    world.write([{ owner: a.ref, epoch: epoch(1) }])
    const former = await world.lead('former', 1)
    await world.clock.runUntil(() => world.entry(0).moving?.id === 'b', 1_000)
    former.leader.stop()
    world.says(b, 0, 'standby', 5)
    await world.clock.advance(1_000)
    expect(a.handOffs).toEqual([])
    await world.lead('next', 1)
    await world.clock.runUntil(() => world.entry(0).owner?.id === 'b', 1_000)
    expect(world.entry(0)).toMatchObject({ epoch: 2, moving: null })
  })

  it('is gone on with where it was noted by a former leader after the next one had begun', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: [b.ref] }])
    world.says(b, 0, 'standby', 5)
    await world.lead('next', 1)
    await world.clock.advance(1_000)
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: [b.ref], moving: b.ref }])
    await world.clock.runUntil(() => world.entry(0).owner?.id === 'b', 1_000)
    expect(world.entry(0)).toMatchObject({ epoch: 2, moving: null })
  })

  it('is gone on with where the registry was away when it was to end', async () => {
    const world = begin()
    const [a, b] = [world.node('a', { draining: true }), world.node('b')]
    world.says(b, 0, 'standby', 5)
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: [b.ref] }])
    const { process, leader } = await world.lead('leader', 1)
    await world.clock.runUntil(() => a.handOffs.length === 1, 1_000)
    process.links.registry.cut()
    await world.clock.runUntil(() => leader.load.moves === 0, 20_000)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, moving: b.ref })
    process.links.registry.heal()
    await world.clock.runUntil(() => world.entry(0).owner?.id === 'b', 5_000)
    expect(a.handOffs.length).toBeGreaterThan(1)
  })

  it('is ended by naming the target that serves already; its former owner asks in vain for an epoch (MV5)', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.says(b, 0, 'owner', 9, { epoch: epoch(2) })
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: [b.ref], moving: b.ref }])
    await world.lead('leader', 1)
    report(world, { op: 'epoch-spent', node: a.ref, partition: partitionId(0), epoch: epoch(1) })
    await world.clock.runUntil(() => world.entry(0).moving === null, 1_000)
    expect(world.entry(0)).toMatchObject({ owner: b.ref, epoch: 2, standbys: [a.ref] })
    await world.clock.advance(1_000)
    expect(world.entry(0)).toMatchObject({ owner: b.ref, epoch: 2 })
    expect(a.handOffs).toEqual([])
  })

  it('is taken back where the target is gone', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    b.lives = false
    world.write([{ owner: a.ref, epoch: epoch(1), moving: b.ref }])
    await world.lead('leader', 1)
    await world.clock.runUntil(() => world.entry(0).moving === null, 1_000)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, epoch: 1 })
  })

  it('is gone on with where the owner has handed off already and the leader died before it knew', async () => {
    const cluster = new SimCluster({ seed: 11, partitions: 4, definitions: [Counter] })
    clusters.push(cluster)
    for (const name of ['l', 'a', 'b']) {
      await cluster.clock.settle(cluster.start(name).started, 10_000)
      await cluster.clock.runUntil(() => cluster.nodes.get('l')!.node.status().leading, 10_000)
    }
    await cluster.settled()
    await cluster.clock.advance(5_000)
    const before = cluster.events.length
    // Of a, not of the leader.
    const drained = cluster.nodes.get('a')!.node.drain()
    const handedOff = () =>
      cluster.events.slice(before).find(({ node, event }) => node === 'a' && event.type === 'partition.handed-off')
    await cluster.clock.runUntil(() => handedOff() !== undefined, 30_000)
    cluster.crash('l')
    await cluster.settled()
    await cluster.clock.settle(drained, 30_000)
    const roles = () =>
      cluster.nodes
        .get('b')!
        .node.status()
        .partitions.map(({ role }) => role)
    await cluster.clock.runUntil(() => roles().every((role) => role === 'owner'), 30_000)
    expect(cluster.events.filter(({ event }) => event.type === 'partition.stopped')).toEqual([])
  })
})

describe('a hand-off', () => {
  it('that is asked for again while it is under way, or after it, has the answer of the first', async () => {
    const cluster = new SimCluster({ seed: 12, partitions: 1, definitions: [Counter] })
    clusters.push(cluster)
    const { node } = cluster.start('a')
    await cluster.settled()
    const asker = cluster.world.start('asker').transport
    const answers: string[] = []
    asker.subscribe('_INBOX.asker', ({ data }) => answers.push(String(Buffer.from(data))))
    await cluster.clock.advance(10)
    const { epoch: at } = node.status().partitions[0]!
    const order = encodeControl({ op: 'hand-off', partition: partitionId(0), epoch: at, to: 'b' as never })
    for (let i = 0; i < 2; i++) asker.publish('sim.node.a.control', order, { reply: '_INBOX.asker' })
    await cluster.clock.runUntil(() => answers.length === 2, 5_000)
    asker.publish('sim.node.a.control', order, { reply: '_INBOX.asker' })
    await cluster.clock.runUntil(() => answers.length === 3, 100)
    expect(answers).toEqual(Array.from({ length: 3 }, () => '{"done":true}'))
  })
})

describe('a drain while as many moves as may be wait for a node that replays', () => {
  it('has handed off at once what another node is level for (MV7)', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    const partitions = Array.from({ length: 16 }, (_, p) => p)
    const ofA = (p: number) => p < 8
    world.write(
      partitions.map((p) => ({ owner: (ofA(p) ? a : b).ref, epoch: epoch(1), standbys: [(ofA(p) ? b : a).ref] })),
    )
    for (const p of partitions) {
      world.says(a, p, ofA(p) ? 'owner' : 'standby', 5)
      world.says(b, p, ofA(p) ? 'standby' : 'owner', 5)
    }
    const { leader } = await world.lead('leader', 16)
    await world.clock.advance(1_000)
    const c = world.node('c')
    const toC = () => partitions.filter((p) => sameNode(world.entry(p).moving, c.ref)).length
    await world.clock.runUntil(() => toC() === 4, 1_000)
    await world.clock.advance(1_000)
    expect([leader.load.moves, toC()]).toEqual([4, 4])
    b.lease = { draining: true }
    await world.clock.runUntil(() => b.handOffs.length > 0, 1_000)
    expect(b.handOffs[0]).toMatchObject({ to: 'a' })
    await world.clock.runUntil(() => partitions.filter((p) => sameNode(world.entry(p).owner, a.ref)).length > 8, 1_000)
  })
})

describe('a node that is drained while a partition is on its way to it', () => {
  it('is not given it any more (MV8)', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    world.says(b, 0, 'replaying', 5)
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: [b.ref], moving: b.ref }])
    const { leader } = await world.lead('leader', 1)
    await world.clock.runUntil(() => leader.load.moves === 1, 1_000)
    b.lease = { draining: true }
    world.says(b, 0, 'standby', 5)
    await world.clock.runUntil(() => world.entry(0).moving === null, 1_000)
    await world.clock.advance(1_000)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, epoch: 1, moving: null })
    expect(leader.load).toMatchObject({ moves: 0, avoided: 0 })
  })
})

describe('a target that was given up (MV6)', () => {
  it('goes on standing by, if it did: what it has restored is not lost', async () => {
    const world = begin()
    const [a, b] = [world.node('a', { draining: true }), world.node('b')]
    world.says(a, 0, 'owner', 5_000)
    world.says(b, 0, 'replaying', 0, { headLag: 4_000 })
    world.write([{ owner: a.ref, epoch: epoch(1), standbys: [b.ref] }])
    const { leader } = await world.lead('leader', 1)
    await world.clock.runUntil(() => world.entry(0).moving !== null, 1_000)
    await world.clock.runUntil(() => world.entry(0).moving === null, 11_000)
    expect(leader.load.avoided).toBe(1)
    await world.clock.advance(1_000)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, epoch: 1, standbys: [b.ref], moving: null })
  })
})

describe('a leader that was stopped', () => {
  it('changes nothing more, whatever it is told and whoever dies', async () => {
    const world = begin()
    const [a, b] = [world.node('a'), world.node('b')]
    const { leader } = await world.lead('leader', 2)
    await world.clock.advance(50)
    leader.stop()
    const { revision } = world.world.registry.get('table')!
    report(world, cannotOpen(a, 1))
    b.lives = false
    leader.hurry()
    await world.clock.advance(5_000)
    expect(world.world.registry.get('table')!.revision).toBe(revision)
  })
})
