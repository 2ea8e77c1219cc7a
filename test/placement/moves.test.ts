/** Moves step by step, on the registry and transport of the simulations (MV1 to MV8). */
import { afterEach, describe, expect, it } from 'vitest'
import type { PlacementEntry } from '../../src/core/table.ts'
import { Moves, type Move } from '../../src/placement/moves.ts'
import { epoch, nextEpoch, partitionId, type NodeRef, type PartitionId } from '../../src/protocol/ids.ts'
import { PlacementWorld, subjects, type StatedNode } from './world.ts'

const stepTimeoutMs = 2_000
const stallMs = 10_000
const lookEveryMs = 50

const open: { readonly world: PlacementWorld; readonly stop: () => void }[] = []
afterEach(async () => {
  for (const { world, stop } of open.splice(0)) {
    stop()
    await world.close()
  }
})

/** Node a owns everything at epoch 1; b is to get some of it. */
async function begin({ partitions = 1, maxMoves = 4 } = {}) {
  const world = new PlacementWorld('moves')
  const [a, b] = [world.node('a'), world.node('b')]
  world.write(Array.from({ length: partitions }, () => ({ owner: a.ref, epoch: epoch(1) })))
  for (let p = 0; p < partitions; p++) world.says(a, p, 'owner', 5_000)
  const around = await world.process('leader', partitions)
  const { tables, process, events } = around
  const givenUp: [NodeRef, PartitionId][] = []
  let turn: Promise<unknown> = Promise.resolve()
  const moves = new Moves({
    ...{ transport: process.transport, clock: process.clock, observer: events, subjects, tables },
    ...{ stepTimeoutMs, stallMs, lookEveryMs, maxMoves },
    lives: (node) => world.alive().some(({ id }) => id === node.id),
    drains: (node) => world.alive().some(({ id, draining }) => id === node.id && draining),
    said: (node, p) => nodeOf(node).hosts.get(p),
    // As the leader: one change after the other, and what cannot be written is not.
    change: (partition, entryOf) => {
      const change = () =>
        tables.change((table) => {
          const entries = table.entries.map((entry, p) => (p === partition ? entryOf(entry) : entry))
          return entries[partition] === table.entries[partition] ? table : { ...table, entries }
        })
      turn = turn.then(change).catch(() => {})
      return turn.then(() => {})
    },
    named: (entry, owner, at) => ({ ...entry, owner, epoch: at, moving: null }),
    onGivenUp: (target, partition) => givenUp.push([target, partition]),
  })
  const nodeOf = (node: NodeRef): StatedNode => [a, b].find(({ ref }) => ref.id === node.id)!
  const move = (partition = 0): Move => ({ partition: partitionId(partition), epoch: epoch(1), from: a.ref, to: b.ref })
  open.push({ world, stop: () => moves.stop() })
  return { world, clock: world.clock, a, b, moves, move, givenUp, ...around }
}

const unmoved = (owner: StatedNode): Partial<PlacementEntry> => ({ owner: owner.ref, epoch: epoch(1), moving: null })

describe('a move', () => {
  it('is noted, waits for the target, has the owner hand off, and names the target at the next epoch', async () => {
    const { world, clock, a, b, moves, move, events, givenUp } = await begin()
    const begun = moves.begin(move())
    expect(await clock.settle(begun, 1_000)).toBe(true)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, epoch: 1, moving: b.ref })
    expect(events.of('placement.moving')).toEqual([{ type: 'placement.moving', partition: 0, from: 'a', to: 'b' }])
    world.says(b, 0, 'replaying', 4_900)
    await clock.advance(stallMs / 2)
    expect(a.handOffs).toEqual([])
    world.says(b, 0, 'standby', 4_900)
    await clock.runUntil(() => moves.count === 0, 1_000)
    expect(a.handOffs).toEqual([{ op: 'hand-off', partition: 0, epoch: 1, to: 'b' }])
    expect(world.entry(0)).toMatchObject({ owner: b.ref, epoch: 2, moving: null })
    expect(givenUp).toEqual([])
  })

  it('does not have a partition handed off while the target stands by and is far behind', async () => {
    const { world, clock, a, b, moves, move } = await begin()
    world.says(b, 0, 'standby', 3_999)
    await clock.settle(moves.begin(move()), 1_000)
    await clock.advance(stallMs / 2)
    expect(a.handOffs).toEqual([])
    world.says(b, 0, 'standby', 4_000)
    await clock.runUntil(() => world.entry(0).owner?.id === 'b', 1_000)
  })

  it('whose target never stands by is taken back after so long, and the target is to be avoided (MV2, MV6)', async () => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    await clock.settle(moves.begin(move()), 1_000)
    await clock.advance(stallMs - 100)
    expect(world.entry(0)).toMatchObject({ moving: b.ref })
    await clock.runUntil(() => moves.count === 0, 200)
    expect(world.entry(0)).toMatchObject(unmoved(a))
    expect(givenUp).toEqual([[b.ref, 0]])
    expect(a.handOffs).toEqual([])
  })

  it('waits for a target that comes further, however long, and no longer once it does not (MV2)', async () => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    world.says(a, 0, 'owner', 100_000)
    await clock.settle(moves.begin(move()), 1_000)
    for (let applied = 1; applied <= 20; applied++) {
      world.says(b, 0, 'replaying', applied)
      await clock.advance(stallMs - 200)
      expect(world.entry(0)).toMatchObject({ moving: b.ref })
    }
    // What it says now is not further than what it said before.
    world.says(b, 0, 'replaying', 3)
    await clock.runUntil(() => moves.count === 0, stallMs)
    expect(world.entry(0)).toMatchObject(unmoved(a))
    expect(givenUp).toEqual([[b.ref, 0]])
  })

  it('waits for a target that restores a snapshot, however long, and no longer once it does not come further (MV2)', async () => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    await clock.settle(moves.begin(move()), 1_000)
    // A newer one, from its beginning, in the middle of it.
    for (const left of [4_000, 3_000, 2_000, 5_000, 4_999, 3_000, 1]) {
      world.says(b, 0, 'replaying', 0, { headLag: left })
      await clock.advance(stallMs / 2 - 200)
      expect(world.entry(0)).toMatchObject({ moving: b.ref })
    }
    world.says(b, 0, 'replaying', 0)
    await clock.advance(stallMs / 2)
    expect(world.entry(0)).toMatchObject({ moving: b.ref })
    await clock.runUntil(() => moves.count === 0, stallMs / 2)
    expect(world.entry(0)).toMatchObject(unmoved(a))
    expect(givenUp).toEqual([[b.ref, 0]])
  })

  it('of a partition that has stopped waits for nobody to follow it (MV2)', async () => {
    const { world, clock, a, b, moves, move } = await begin()
    world.says(a, 0, 'stopped', 5_000)
    await clock.settle(moves.begin(move()), 1_000)
    await clock.runUntil(() => moves.count === 0, stepTimeoutMs + 500)
    expect(world.entry(0)).toMatchObject({ owner: b.ref, epoch: 2, moving: null })
  })

  it('to a target that serves at the next epoch already names it, and asks nobody (MV5)', async () => {
    const { world, clock, a, b, moves, move } = await begin()
    world.says(b, 0, 'owner', 9_000, { epoch: epoch(2) })
    await clock.settle(moves.begin(move()), 1_000)
    await clock.runUntil(() => moves.count === 0, 200)
    expect(world.entry(0)).toMatchObject({ owner: b.ref, epoch: 2, moving: null })
    expect(a.handOffs).toEqual([])
  })

  it('is taken back at once when the target dies', async () => {
    const { world, clock, a, b, moves, move } = await begin()
    await clock.settle(moves.begin(move()), 1_000)
    b.lives = false
    await clock.runUntil(() => moves.count === 0, 200)
    expect(world.entry(0)).toMatchObject(unmoved(a))
  })

  it('is taken back at once when the target is to own nothing any more, and the target is not avoided (MV8)', async () => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    world.says(b, 0, 'replaying', 100)
    await clock.settle(moves.begin(move()), 1_000)
    b.lease = { draining: true }
    world.says(b, 0, 'standby', 5_000)
    await clock.runUntil(() => moves.count === 0, 200)
    expect(world.entry(0)).toMatchObject(unmoved(a))
    expect(givenUp).toEqual([])
    expect(a.handOffs).toEqual([])
  })

  it('names a target that is to own nothing any more where it serves already (MV5, MV8)', async () => {
    const { world, clock, a, b, moves, move } = await begin()
    b.lease = { draining: true }
    world.says(b, 0, 'owner', 9_000, { epoch: epoch(2) })
    await clock.settle(moves.begin(move()), 1_000)
    await clock.runUntil(() => moves.count === 0, 200)
    expect(world.entry(0)).toMatchObject({ owner: b.ref, epoch: 2, moving: null })
    expect(a.handOffs).toEqual([])
  })

  it('is taken back when the owner says that it cannot hand off (MV3)', async () => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    a.handsOff = false
    world.says(b, 0, 'standby', 5_000)
    await clock.settle(moves.begin(move()), 1_000)
    await clock.runUntil(() => moves.count === 0, 1_000)
    expect(world.entry(0)).toMatchObject(unmoved(a))
    expect(givenUp).toEqual([])
  })

  it('waits for an owner that does not serve yet, and asks it all the same in the end (MV3)', async () => {
    const { world, clock, a, b, moves, move, givenUp, tables } = await begin()
    world.says(b, 0, 'standby', 5_000)
    for (const ready of [true, false]) {
      world.says(a, 0, 'replaying', 5_000)
      a.handsOff = ready
      await clock.settle(moves.begin(move()), 1_000)
      const asked = a.handOffs.length
      await clock.advance(stallMs - 200)
      expect(a.handOffs).toHaveLength(asked)
      if (ready) world.says(a, 0, 'owner', 5_000)
      await clock.runUntil(() => moves.count === 0, 1_000)
      expect(a.handOffs).toHaveLength(asked + 1)
      expect(world.entry(0)).toMatchObject(ready ? { owner: b.ref, epoch: 2 } : unmoved(a))
      world.write([{ owner: a.ref, epoch: epoch(1) }])
      await clock.settle(tables.refresh(), 1_000)
    }
    expect(givenUp).toEqual([])
  })

  it('names the target all the same when the owner does not answer in time (MV3)', async () => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    a.handsOff = 'silence'
    world.says(b, 0, 'standby', 5_000)
    await clock.settle(moves.begin(move()), 1_000)
    await clock.runUntil(() => a.handOffs.length === 1, 1_000)
    await clock.advance(stepTimeoutMs - 100)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, epoch: 1, moving: b.ref })
    await clock.runUntil(() => moves.count === 0, 200)
    expect(world.entry(0)).toMatchObject({ owner: b.ref, epoch: 2, moving: null })
    expect(givenUp).toEqual([])
  })

  it.each([
    ['another owner', { owner: 'c', at: 2 }],
    ['another epoch of the same owner', { owner: 'a', at: 2 }],
    ['no note any more', { owner: 'a', at: 1 }],
  ])('is nobody’s any more once the table has %s: nothing is changed (MV1)', async (_what, { owner, at }) => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    await clock.settle(moves.begin(move()), 1_000)
    const now = { owner: owner === 'a' ? a.ref : world.node(owner).ref, epoch: epoch(at), moving: null }
    world.write([now])
    world.says(b, 0, 'standby', 5_000)
    await clock.runUntil(() => moves.count === 0, 1_000)
    expect(world.entry(0)).toMatchObject(now)
    expect(a.handOffs).toEqual([])
    expect(givenUp).toEqual([])
  })

  it('is nobody’s any more when the table changes while the owner hands off (MV1)', async () => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    a.handsOff = 'silence'
    world.says(b, 0, 'standby', 5_000)
    await clock.settle(moves.begin(move()), 1_000)
    await clock.runUntil(() => a.handOffs.length === 1, 1_000)
    const now = { owner: world.node('c').ref, epoch: epoch(2), moving: b.ref }
    world.write([now])
    await clock.runUntil(() => moves.count === 0, stepTimeoutMs)
    expect(world.entry(0)).toMatchObject(now)
    expect(givenUp).toEqual([])
  })

  it('is not begun where the note cannot be written, and tries nothing', async () => {
    const { world, clock, a, b, moves, move, process, events } = await begin()
    world.says(b, 0, 'standby', 5_000)
    process.links.registry.cut()
    expect(await clock.settle(moves.begin(move()), 5_000)).toBe(false)
    await clock.runUntil(() => moves.count === 0, 1_000)
    expect(a.handOffs).toEqual([])
    expect(events.of('placement.moving')).toEqual([])
    expect(world.entry(0)).toMatchObject(unmoved(a))
  })

  it('whose last step could not be written can be gone on with: the owner is asked again (MV4)', async () => {
    const { world, clock, a, b, moves, move, process } = await begin()
    world.says(b, 0, 'standby', 5_000)
    await clock.settle(moves.begin(move()), 1_000)
    process.links.registry.cut()
    await clock.runUntil(() => moves.count === 0, 10_000)
    expect(world.entry(0)).toMatchObject({ owner: a.ref, moving: b.ref })
    process.links.registry.heal()
    moves.resume(move())
    await clock.runUntil(() => world.entry(0).owner?.id === 'b', 5_000)
    expect(world.entry(0)).toMatchObject({ epoch: nextEpoch(epoch(1)), moving: null })
    expect(a.handOffs).toHaveLength(2)
  })
})

describe('several moves', () => {
  it('are at most so many, and the next has room when one is over', async () => {
    const { clock, world, b, moves, move } = await begin({ partitions: 4, maxMoves: 2 })
    const begun = [0, 1, 2].map((p) => moves.begin(move(p)))
    expect(await clock.settle(Promise.all(begun), 1_000)).toEqual([true, true, false])
    expect([moves.count, moves.hasRoomFor(move(2))]).toEqual([2, false])
    expect(world.entry(2).moving).toBeNull()
    moves.resume(move(3))
    expect(moves.count).toBe(2)
    world.says(b, 1, 'standby', 5_000)
    await clock.runUntil(() => moves.count === 1, 1_000)
    expect(world.entry(1)).toMatchObject({ owner: b.ref, epoch: 2 })
    expect(await clock.settle(moves.begin(move(2)), 1_000)).toBe(true)
  })

  it('that have only to be handed off wait for none whose target replays, and are at most so many, too (MV7)', async () => {
    const { clock, world, a, b, moves, move } = await begin({ partitions: 8, maxMoves: 2 })
    a.handsOff = 'silence'
    for (const p of [0, 1, 5]) world.says(b, p, 'replaying', 100)
    for (const p of [2, 3, 4]) world.says(b, p, 'standby', 5_000)
    const begun = [0, 1, 2, 3, 4, 5].map((p) => moves.begin(move(p)))
    expect(await clock.settle(Promise.all(begun), 100)).toEqual([true, true, true, true, false, false])
    await clock.runUntil(() => a.handOffs.length === 2, 100)
    // One that comes level goes on where there is room.
    world.says(b, 0, 'standby', 5_000)
    await clock.advance(stepTimeoutMs / 2)
    expect(a.handOffs.map(({ partition }) => partition)).toEqual([2, 3])
    expect(await clock.settle(moves.begin(move(5)), 100)).toBe(false)
    await clock.runUntil(() => a.handOffs.length === 3, stepTimeoutMs)
    expect(a.handOffs.at(-1)).toMatchObject({ partition: 0 })
    expect([2, 3].map((p) => world.entry(p).owner?.id)).toEqual(['b', 'b'])
    expect(await clock.settle(moves.begin(move(5)), 100)).toBe(true)
  })

  it('of one partition are one', async () => {
    const { clock, a, b, world, moves, move } = await begin()
    world.says(b, 0, 'standby', 5_000)
    const begun = [moves.begin(move()), moves.begin(move())]
    moves.resume(move())
    expect(await clock.settle(Promise.all(begun), 1_000)).toEqual([true, false])
    await clock.runUntil(() => moves.count === 0, 1_000)
    expect(a.handOffs).toHaveLength(1)
  })
})

describe('moves that are stopped', () => {
  it.each(['waiting for the target', 'waiting for the owner'])('do nothing more while %s', async (when) => {
    const { world, clock, a, b, moves, move, givenUp } = await begin()
    a.handsOff = 'silence'
    await clock.settle(moves.begin(move()), 1_000)
    if (when === 'waiting for the owner') {
      world.says(b, 0, 'standby', 5_000)
      await clock.runUntil(() => a.handOffs.length === 1, 1_000)
    }
    moves.stop()
    const asked = a.handOffs.length
    const before = world.world.registry.get('table')!.revision
    world.says(b, 0, 'standby', 5_000)
    await clock.advance(stallMs + stepTimeoutMs)
    expect(world.world.registry.get('table')!.revision).toBe(before)
    expect(a.handOffs).toHaveLength(asked)
    expect(givenUp).toEqual([])
    expect(moves.count).toBe(0)
  })
})
