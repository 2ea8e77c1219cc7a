import { describe, expect, it } from 'vitest'
import type { PartitionSettings } from '../../../src/partition/settings.ts'
import { manifestName } from '../../../src/partition/snapshot/manifest.ts'
import { readPointer } from '../../../src/partition/snapshot/pointer.ts'
import { CutSlots } from '../../../src/partition/snapshot/slots.ts'
import { PartitionNode } from '../partition-bench.ts'
import { said } from '../owner-bench.ts'
import { p0, PartitionWorld, settingsWith } from '../world.ts'

const small: Partial<PartitionSettings> = {
  snapshotBytes: 2_048,
  snapshotLookEveryMs: 100,
  retention: { ageMs: 1_000, bytes: 4_096 },
}

const nodeOf = (world: PartitionWorld, name: string, changes: Partial<PartitionSettings> = {}, slots?: CutSlots) =>
  new PartitionNode(world, name, { settings: settingsWith({ ...small, ...changes }), cutSlots: slots })

const infoOf = (world: PartitionWorld) => world.world.changelog.info(p0)!

/** So many commands, spread over time and over ten keys. */
async function work(world: PartitionWorld, node: PartitionNode, commands: number): Promise<void> {
  for (let i = 0; i < commands; i++) {
    await node.call('add', 1, { key: `k${i % 10}` })
    await world.clock.advance(20)
  }
}

async function sums(node: PartitionNode): Promise<number> {
  let sum = 0
  for (let k = 0; k < 10; k++) sum += (await node.call('read', null, { key: `k${k}` })) as number
  return sum
}

describe('the log of an owned partition (K1, K4)', () => {
  it('is bounded under endless writes: snapshots are cut, and it is trimmed behind them', async () => {
    const world = new PartitionWorld('bounded')
    const node = await nodeOf(world, 'n1').serve(1)
    const lengths: number[] = []
    for (let round = 0; round < 8; round++) {
      await work(world, node, 100)
      const { first, last } = infoOf(world)
      lengths.push(last - first)
    }
    expect(node.node.events.of('snapshot.cut').length).toBeGreaterThan(4)
    expect(node.node.events.of('log.trimmed').length).toBeGreaterThan(4)
    expect(Math.max(...lengths.slice(2))).toBeLessThan(250)
    expect(node.node.events.of('snapshot.failed')).toEqual([])
    expect(await sums(node)).toBe(800)
    const { kept, cutting } = await world.settle(readPointer(node.node.process.registry, p0))
    expect(kept).toHaveLength(2)
    expect(cutting).toBeNull()
    expect(infoOf(world).first).toBeLessThanOrEqual(kept[1]!.validSeq)
  })

  it('keeps what watchers are promised', async () => {
    const world = new PartitionWorld('promised')
    const node = await nodeOf(world, 'n1', { retention: { ageMs: 3_600_000, bytes: 1_000_000 } }).serve(1)
    await work(world, node, 300)
    expect(node.node.events.of('snapshot.cut').length).toBeGreaterThan(1)
    expect(infoOf(world).first).toBe(1)
  })

  it('keeps it by partition time, also where the wall clock leaps ahead (K4)', async () => {
    const world = new PartitionWorld('leap')
    const node = await nodeOf(world, 'n1', { retention: { ageMs: 600_000, bytes: 1_000_000 } }).serve(1)
    await work(world, node, 300)
    node.node.process.clock.skewMs += 3_600_000
    await work(world, node, 50)
    expect(infoOf(world).first).toBe(1)
    await world.clock.advance(610_000)
    expect(infoOf(world).first).toBeGreaterThan(100)
  })

  it('is cut again only when it has grown by as much as the last snapshot has (K1)', async () => {
    const world = new PartitionWorld('proportion')
    const node = await nodeOf(world, 'n1').serve(1)
    for (let i = 0; i < 200; i++) await node.call('add', 1, { key: `a key that takes its room ${i}` })
    await world.clock.advance(500)
    const before = node.node.events.of('snapshot.cut').length
    const [newest] = node.node.events.of('snapshot.cut').slice(-1)
    expect(newest!.bytes).toBeGreaterThan(8_192)
    await work(world, node, 30)
    expect(node.node.events.of('snapshot.cut')).toHaveLength(before)
  })

  it('is gone on with by a new owner, who knows neither bytes nor the last snapshot at first (K2)', async () => {
    const world = new PartitionWorld('inherited')
    const first = await nodeOf(world, 'n1').serve(1)
    await work(world, first, 200)
    first.node.process.crash()
    const second = await nodeOf(world, 'n2').serve(2)
    await work(world, second, 200)
    expect(second.node.events.of('snapshot.cut').length).toBeGreaterThan(0)
    expect(second.node.events.of('log.trimmed').length).toBeGreaterThan(0)
    expect(await sums(second)).toBe(400)
  })

  it.each(['missing', 'damaged'] as const)(
    'is cut and trimmed again where the manifest of the newest snapshot is %s (K7)',
    async (fault) => {
      const world = new PartitionWorld(`${fault} manifest`)
      const node = await nodeOf(world, 'n1').serve(1)
      await work(world, node, 200)
      node.want(null)
      await node.until('none')
      const { registry } = node.node.process
      const [newest] = (await world.settle(readPointer(registry, p0))).kept
      const { objects } = world.world
      if (fault === 'missing') objects.delete(manifestName(p0, newest!.id))
      else objects.damage(manifestName(p0, newest!.id))
      const cuts = () => node.node.events.of('snapshot.cut').length
      const [cutBefore, trimmedBefore] = [cuts(), infoOf(world).first]
      await node.serve(2)
      await world.clock.advance(1_000)
      expect(node.node.events.of('snapshot.faulty')).toMatchObject([{ id: newest!.id }])
      expect(cuts()).toBe(cutBefore + 1)
      await work(world, node, 200)
      expect(infoOf(world).first).toBeGreaterThan(trimmedBefore + 100)
      expect(await sums(node)).toBe(400)
    },
  )

  it('waits for its turn where the node cuts another one (K3)', async () => {
    const world = new PartitionWorld('turns')
    const slots = new CutSlots()
    const node = await nodeOf(world, 'n1', {}, slots).serve(1)
    expect(slots.take()).toBe(true)
    await work(world, node, 100)
    expect(node.node.events.of('snapshot.cut')).toEqual([])
    slots.release()
    await work(world, node, 10)
    expect(node.node.events.of('snapshot.cut').length).toBeGreaterThan(0)
    expect(slots.take()).toBe(true)
  })

  it('is served on while objects cannot be reached, and cut when they can be again (K5)', async () => {
    const world = new PartitionWorld('away')
    const node = await nodeOf(world, 'n1').serve(1)
    node.node.process.links.objects.cut()
    await work(world, node, 100)
    expect(node.node.events.of('snapshot.cut')).toEqual([])
    expect(infoOf(world).first).toBe(1)
    node.node.process.links.objects.heal()
    await work(world, node, 50)
    expect(node.node.events.of('snapshot.cut').length).toBeGreaterThan(0)
    expect(await sums(node)).toBe(150)
  })

  it('is not touched by who does not own it any more', async () => {
    const world = new PartitionWorld('ended')
    const node = await nodeOf(world, 'n1').serve(1)
    await work(world, node, 20)
    node.want(null)
    await node.until('none')
    const cuts = node.node.events.of('snapshot.cut').length
    await world.clock.advance(60_000)
    expect(node.node.events.of('snapshot.cut')).toHaveLength(cuts)
  })
})

describe('a store that the log does not reach back to (V1)', () => {
  const trimmed = async (seed: string) => {
    const world = new PartitionWorld(seed)
    const owner = await nodeOf(world, 'n1').serve(1)
    await work(world, owner, 300)
    expect(infoOf(world).first).toBeGreaterThan(100)
    return { world, owner }
  }

  it('that is empty is made of the newest snapshot, and replays only what came after it', async () => {
    const { world, owner } = await trimmed('empty')
    owner.node.process.crash()
    const next = await nodeOf(world, 'n2').serve(2)
    expect(await sums(next)).toBe(300)
    const [restored] = next.node.events.of('snapshot.restored')
    expect(next.node.events.of('partition.replayed')[0]).toMatchObject({ from: restored!.seq + 1 })
    expect(next.node.events.of('partition.hash-mismatch')).toEqual([])
  })

  it('tells what is left of the snapshot while it is restored', async () => {
    const { world } = await trimmed('left')
    const late = nodeOf(world, 'n2')
    late.partition.want({ role: 'standby' })
    const status = () => late.partition.status()
    await world.until(() => status().progress.lag > 0)
    expect(status()).toMatchObject({ role: 'replaying', progress: { appliedSeq: 0, stateHash: '' } })
    const { lag } = status().progress
    await late.until('standby')
    expect(late.node.events.of('snapshot.restored')[0]!.seq).toBe(lag)
    expect(status().progress.lag).toBe(0)
  })

  it('has the replies to ids with it: a command that comes again is answered, and done once (R3)', async () => {
    const { world, owner } = await trimmed('replies')
    const asked = { key: 'k0', session: 'other', number: 7 }
    expect(await owner.call('add', 5, asked)).toBe(35)
    await work(world, owner, 100)
    owner.node.process.crash()
    const next = await nodeOf(world, 'n2').serve(2)
    expect(next.node.events.of('snapshot.restored')).toHaveLength(1)
    const again = next.ask('add', 5, asked)
    await world.until(() => again.answers.length > 0)
    expect(said(again)).toBe(35)
  })

  it('that was away for too long is made anew, and then deleted, as a standby and as an owner', async () => {
    for (const role of ['standby', 'owner'] as const) {
      const world = new PartitionWorld(`behind ${role}`)
      const owner = await nodeOf(world, 'n1').serve(1)
      await work(world, owner, 10)
      const late = nodeOf(world, 'n2')
      late.partition.want({ role: 'standby' })
      await late.until('standby')
      late.want(null)
      await late.until('none')
      const restored = late.node.events.of('snapshot.restored').length
      await work(world, owner, 300)
      expect(infoOf(world).first).toBeGreaterThan(100)
      if (role === 'standby') late.partition.want({ role })
      else {
        owner.node.process.crash()
        await late.serve(2)
      }
      await late.until(role)
      expect(late.node.events.of('store.set-aside')).toEqual([])
      expect(late.node.events.of('store.outdated')).toMatchObject([
        { reason: expect.stringMatching(/^it has come to record \d+, and the log begins at \d+$/) },
      ])
      expect(late.node.events.of('snapshot.restored')).toHaveLength(restored + 1)
      expect(late.node.events.of('store.discarded')).toHaveLength(1)
      expect(world.world.disk('n2').aside).toEqual([])
      if (role === 'standby') {
        await world.until(() => late.partition.status().progress.appliedSeq === infoOf(world).last)
        expect(late.partition.status().progress.stateHash).toBe(owner.partition.status().progress.stateHash)
      } else expect(await sums(late)).toBe(310)
    }
  })

  it('that is cut off while the log is trimmed beyond it is made anew when it is back', async () => {
    const world = new PartitionWorld('cut off')
    const owner = await nodeOf(world, 'n1').serve(1)
    const standby = nodeOf(world, 'n2')
    standby.partition.want({ role: 'standby' })
    await standby.until('standby')
    standby.node.process.cut()
    await work(world, owner, 300)
    expect(infoOf(world).first).toBeGreaterThan(100)
    standby.node.process.heal()
    await world.until(() => standby.node.events.of('store.discarded').length > 0)
    expect(standby.node.events.of('store.outdated')).toHaveLength(1)
    expect(standby.node.events.of('store.set-aside')).toEqual([])
    await standby.until('standby')
    await world.until(() => standby.partition.status().progress.appliedSeq === infoOf(world).last)
    expect(standby.partition.status().progress.stateHash).toBe(owner.partition.status().progress.stateHash)
  })

  it('stops, and says why, where no snapshot can be used', async () => {
    const { world, owner } = await trimmed('no snapshot')
    const { objects } = owner.node.process
    owner.want(null)
    await owner.until('none')
    for (const { name } of await world.settle(objects.list(''))) await world.settle(objects.delete(name))
    const next = nodeOf(world, 'n2')
    next.want(2)
    await next.until('stopped')
    expect(next.partition.status().reason).toContain('no snapshot')
  })

  it('waits where the snapshot cannot be reached, and goes on when it can', async () => {
    const { world, owner } = await trimmed('not now')
    owner.node.process.crash()
    const next = nodeOf(world, 'n2')
    next.node.process.links.objects.cut()
    next.want(2)
    await world.clock.advance(10_000)
    expect(next.role).toBe('replaying')
    next.node.process.links.objects.heal()
    await next.until('owner')
    expect(await sums(next)).toBe(300)
  })
})
