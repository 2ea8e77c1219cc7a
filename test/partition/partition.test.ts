import { beforeEach, describe, expect, it } from 'vitest'
import { genesisRecord } from '../../src/core/log.ts'
import type { Stores } from '../../src/ports/store.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { generation, type NodeId } from '../../src/protocol/ids.ts'
import { LogWriter } from './log-writer.ts'
import { said } from './owner-bench.ts'
import { PartitionNode, storesWith, storeThatFails } from './partition-bench.ts'
import { p0, PartitionWorld, settingsWith } from './world.ts'

describe('a partition on a node', () => {
  let world: PartitionWorld
  let n1: PartitionNode
  beforeEach(() => {
    world = new PartitionWorld('partition')
    n1 = new PartitionNode(world, 'n1')
  })

  const pass = (ms = 20) => world.clock.advance(ms)

  it('is nothing before placement wants it here, and says who has it', async () => {
    n1.knownOwner = 'n9' as NodeId
    expect(n1.role).toBe('none')
    expect(n1.listening).toBe(0)
    expect(n1.ask('add', 1).answers).toEqual([{ kind: 'moved', owner: 'n9', epoch: 99 }])
    await pass(5_000)
    expect(world.records()).toHaveLength(1)
    expect(n1.spent).toEqual([])
  })

  it('is taken over at the epoch at which it is wanted, listens, holds what arrives meanwhile, and serves it', async () => {
    n1.want(3)
    expect(n1.role).toBe('replaying')
    expect(n1.listening).toBe(1)
    const held = [n1.ask('add', 1), n1.ask('add', 2)]
    expect(held.map(said)).toEqual([undefined, undefined])
    await n1.until('owner')
    await pass()
    expect(held.map(said)).toEqual([1, 3])
    expect(world.validRecords()[1]).toMatchObject({ kind: 'claim', epoch: 3, node: 'n1' })
    expect(n1.node.events.of('partition.serving')).toMatchObject([{ epoch: 3 }])
    expect(n1.partition.status()).toMatchObject({ role: 'owner', epoch: 3, progress: { turns: 2, lag: 0 } })
  })

  it('waits before it serves until no lease of a former owner can be left (O4)', async () => {
    new LogWriter(world).claim('old')
    n1.want(2)
    const held = n1.ask('read')
    await pass(500)
    expect(n1.role).toBe('replaying')
    expect(said(held)).toBeUndefined()
    await pass(100)
    expect(n1.role).toBe('owner')
    expect(said(held)).toBe(0)
  })

  it('is left where it is no longer wanted while it is taken over: what was held moves on, and nothing is claimed later', async () => {
    n1.node.process.changelog.faults.refuse = 1
    n1.want(1)
    const held = n1.ask('add', 1)
    await pass(300)
    n1.want(null)
    await n1.until('none')
    expect(said(held)).toBe('moved')
    expect(n1.listening).toBe(0)
    n1.node.process.changelog.faults.refuse = 0
    await pass(5_000)
    expect(world.records()).toHaveLength(1)
  })

  it('is taken over anew at a higher epoch, with everything that was committed', async () => {
    await n1.serve(1)
    expect(await n1.call('add', 5)).toBe(5)
    n1.want(2)
    await world.until(() => n1.partition.status().epoch === 2 && n1.role === 'owner')
    expect(await n1.call('read')).toBe(5)
    expect(world.validRecords().filter(({ kind }) => kind === 'claim')).toHaveLength(2)
  })

  it('never goes back to an epoch that has ended here (A1), and asks for another while it is wanted at it (A3)', async () => {
    await n1.serve(1)
    new LogWriter(world).claim('rival')
    const asked = n1.ask('add', 1)
    await n1.until('none')
    expect(said(asked)).toBe('RETRY')
    expect(n1.node.events.of('partition.fenced')).toMatchObject([{ epoch: 1, by: 2 }])
    await pass(1_600)
    expect(n1.spent).toEqual([1, 1, 1])
    n1.want(null)
    await pass(2_000)
    n1.want(1)
    await pass(2_000)
    expect(n1.role).toBe('none')
    expect(world.records()).toHaveLength(3)
    await n1.serve(3)
    expect(world.validRecords().at(-1)).toMatchObject({ kind: 'claim', epoch: 3 })
  })

  it('asks for an epoch above the one that has outbid it (O1)', async () => {
    new LogWriter(world).claim('old', { epoch: 7 })
    n1.want(2)
    await world.until(() => n1.spent.length > 0)
    expect(n1.spent).toEqual([7])
    await n1.until('none')
    await n1.serve(8)
  })

  it('is tried again, with pauses, while the log cannot be reached', async () => {
    n1.node.process.links.changelog.cut()
    n1.want(1)
    const held = n1.ask('add', 1)
    await pass(30_000)
    expect(n1.role).toBe('replaying')
    expect(said(held)).toBeUndefined()
    n1.node.process.links.changelog.heal()
    await n1.until('owner')
    expect(await n1.call('read')).toBe(0)
  })

  it('begins nothing that was held for longer than its sender had patience for', async () => {
    n1.node.process.links.changelog.cut()
    n1.want(1)
    const impatient = n1.ask('add', 1, { timeoutMs: 5_000 })
    await pass(6_000)
    const patient = n1.ask('add', 10, { timeoutMs: 60_000 })
    n1.node.process.links.changelog.heal()
    await n1.until('owner')
    await pass(100)
    expect(said(impatient)).toBe('RETRY')
    expect(said(patient)).toBe(10)
  })

  it('holds a bounded number of requests and of bytes, and says OVERLOADED beyond it', async () => {
    const small = new PartitionNode(world, 'small', {
      settings: settingsWith({ mailboxTurns: 3, mailboxBytes: 1_000 }),
    })
    small.node.process.links.changelog.cut()
    small.want(1)
    const large = [small.ask('add', 'x'.repeat(600)), small.ask('add', 'x'.repeat(600))]
    const more = [small.ask('add', 1), small.ask('add', 1), small.ask('add', 1)]
    expect([...large, ...more].map(said)).toEqual([undefined, 'OVERLOADED', undefined, undefined, 'OVERLOADED'])
    small.want(null)
    await pass(5_000)
    small.want(2)
    expect(said(small.ask('add', 'x'.repeat(600)))).toBeUndefined()
  })
})

describe('a log that begins again under another generation (A5)', () => {
  const g2 = generation('anotherGeneration56789')
  let world: PartitionWorld
  let n1: PartitionNode
  beforeEach(async () => {
    world = new PartitionWorld('reseeded')
    n1 = new PartitionNode(world, 'n1')
    n1.want(3)
    await n1.until('owner')
    await answered(n1.ask('add', 5))
  })

  const answered = async (asked: ReturnType<PartitionNode['ask']>) => {
    await world.until(() => said(asked) !== undefined)
  }

  /** What an operator does, in the registry last. */
  const recover = async () => {
    const { registry } = n1.node.process
    world.world.changelog.destroy(p0)
    world.world.changelog.provision(p0, g2, genesisRecord(p0, g2))
    await world.settle(registry.create('generation.0', Buffer.from(g2)))
  }

  it('is asked for by who is stopped, and is served then at the same epoch, with nothing of the former one', async () => {
    world.world.changelog.destroy(p0)
    const before = n1.ask('add', 1)
    await n1.until('stopped')
    expect(n1.partition.status().progress.appliedSeq).toBe(3)
    await world.clock.advance(10_000)
    expect(n1.role).toBe('stopped')
    await recover()
    await n1.until('owner')
    expect(before.answers).toHaveLength(1)
    const after = n1.ask('add', 2)
    await answered(after)
    expect(said(after)).toBe(2)
    expect(n1.partition.status()).toMatchObject({ role: 'owner', epoch: 3, reason: undefined })
    expect(n1.node.events.of('log.reseeded')).toMatchObject([{ generation: g2 }])
    expect(n1.node.events.of('store.set-aside')).toHaveLength(1)
  })

  it('ends an ownership that has noticed nothing, as soon as it is told', async () => {
    await recover()
    expect(n1.role).toBe('owner')
    n1.partition.named(g2)
    const held = n1.ask('read')
    await n1.until('owner')
    await answered(held)
    const asked = n1.ask('read')
    await answered(asked)
    expect(said(asked)).toBe(0)
    // Told again it is no news.
    n1.partition.named(g2)
    expect(n1.role).toBe('owner')
    expect(n1.node.events.of('log.reseeded')).toHaveLength(1)
  })
})

describe('a partition one of whose records cannot be written', () => {
  it('is left in doubt, and taken over anew with all that was committed', async () => {
    const world = new PartitionWorld('unwritable')
    const n1 = await new PartitionNode(world, 'n1').serve(1)
    expect(await n1.call('add', 1)).toBe(1)
    // No frame has such a key.
    const asked = n1.ask('add', 1, { key: '\ud800' })
    await n1.until('none')
    expect(said(asked)).toBe('UNKNOWN')
    expect(n1.node.events.of('handler.threw')).toHaveLength(1)
    await world.until(() => n1.spent.includes(1))
    await n1.serve(2)
    expect(await n1.call('read')).toBe(1)
    expect(n1.cannotOpen).toEqual([])
    expect(world.world.disk('n1').aside).toEqual([])
  })
})

describe('a partition that is handed off', () => {
  it('leaves with its last record, and the next owner serves at once (O4)', async () => {
    const world = new PartitionWorld('hand-off')
    const n1 = await new PartitionNode(world, 'n1').serve(1)
    const n2 = new PartitionNode(world, 'n2')
    expect(await n1.call('add', 5)).toBe(5)
    n1.knownOwner = 'n2' as NodeId
    const last = n1.ask('add', 1)
    const handedOff = n1.partition.handOff('n2' as NodeId)
    expect(n1.role).toBe('handing-off')
    expect(said(n1.ask('add', 1))).toBe('moved')
    expect(await world.settle(handedOff)).toBe(true)
    expect(said(last)).toBe(6)
    await n1.until('none')
    expect(n1.ask('read').answers).toEqual([{ kind: 'moved', owner: 'n2', epoch: 99 }])
    const before = world.clock.monotonic()
    await n2.serve(2)
    expect(world.clock.monotonic() - before).toBeLessThan(100)
    expect(await n2.call('read')).toBe(6)
  })

  it('is not, where it is not served here; whoever asks again while it is, or when it is done, hears the same', async () => {
    const world = new PartitionWorld('no hand-off')
    const n1 = new PartitionNode(world, 'n1')
    expect(await n1.partition.handOff('n2' as NodeId)).toBe(false)
    n1.want(1)
    expect(await n1.partition.handOff('n2' as NodeId)).toBe(false)
    await n1.until('owner')
    n1.ask('slow')
    await world.clock.advance(20)
    const first = n1.partition.handOff('n2' as NodeId)
    expect(await world.settle(n1.partition.handOff('n2' as NodeId))).toBe(true)
    expect(await first).toBe(true)
    expect(await n1.partition.handOff('n2' as NodeId)).toBe(true)
  })

  it('is not, where it is no longer wanted meanwhile', async () => {
    const world = new PartitionWorld('unwanted')
    const n1 = await new PartitionNode(world, 'n1').serve(1)
    n1.ask('slow')
    await world.clock.advance(20)
    const handedOff = n1.partition.handOff('n2' as NodeId)
    n1.want(null)
    expect(await world.settle(handedOff)).toBe(false)
    await n1.until('none')
    await world.clock.advance(5_000)
    expect(world.validRecords().at(-1)).toMatchObject({ kind: 'claim' })
  })
})

describe('a partition whose log is not what it must be (A2, L1)', () => {
  it('stops, says why, keeps its store, and never begins again', async () => {
    const world = new PartitionWorld('gone')
    const n1 = await new PartitionNode(world, 'n1').serve(1)
    await n1.call('add', 5)
    world.world.changelog.destroy(p0)
    const asked = n1.ask('add', 1)
    await n1.until('stopped')
    expect(said(asked)).toBe('UNKNOWN')
    expect(n1.partition.status()).toMatchObject({ role: 'stopped', reason: expect.stringContaining('gone') })
    expect(n1.node.events.of('partition.stopped')).toMatchObject([{ reason: expect.stringContaining('gone') }])
    expect(n1.listening).toBe(0)
    await world.clock.advance(100)
    expect(n1.ask('add', 1).answers).toMatchObject([
      { error: { code: 'RETRY', message: expect.stringContaining('gone') } },
    ])
    n1.knownOwner = 'n9' as NodeId
    expect(said(n1.ask('add', 1))).toBe('moved')
    n1.want(2)
    n1.want(null)
    n1.want(3)
    await world.clock.advance(10_000)
    expect(n1.role).toBe('stopped')
    expect(world.world.disk('n1').aside).toEqual([])
    // The store was closed, and holds what was committed.
    expect((await world.openReplica(n1.node)).position.seq).toBe(3)
  })

  it('stops just the same where that is found when it is taken over', async () => {
    const world = new PartitionWorld('broken')
    world.append(Uint8Array.of(0xc1))
    const n1 = new PartitionNode(world, 'n1')
    n1.want(1)
    const held = n1.ask('add', 1)
    await n1.until('stopped')
    expect(held.answers).toMatchObject([{ error: { code: 'RETRY', message: expect.stringContaining('record 2') } }])
    expect(n1.partition.status().reason).toContain('record 2')
  })
})

describe('a partition whose store fails', () => {
  it('sets it aside where it is damaged, and rebuilds it at the next epoch', async () => {
    const world = new PartitionWorld('damaged')
    let failing = false
    const disk = new PartitionNode(world, 'disk')
    const { stores } = disk.node.process
    const n1 = new PartitionNode(world, 'n1', {
      stores: storesWith(stores, {
        open: async (partition) => storeThatFails(await stores.open(partition), () => failing, 'INTERNAL'),
      }),
      settings: settingsWith({ cacheBytes: 1 }),
    })
    await n1.serve(1)
    for (let i = 0; i < 5; i++) await n1.call('add', i, { key: `k${i}` })
    await world.clock.advance(100)
    failing = true
    const asked = n1.ask('add', 1, { key: 'k0' })
    await n1.until('none')
    failing = false
    expect(['INTERNAL', 'UNKNOWN', 'RETRY']).toContain(said(asked))
    await world.until(() => n1.node.events.of('store.set-aside').length > 0)
    expect(world.world.disk('disk').aside).toHaveLength(1)
    await world.clock.advance(600)
    expect(n1.spent).toContain(1)
    await n1.serve(2)
    for (let i = 0; i < 5; i++) expect(await n1.call('read', null, { key: `k${i}` })).toBe(i)
  })

  it('leaves, and says that it cannot be opened here, where the disk is no place for it (O6)', async () => {
    for (const code of ['INVALID', 'CONFLICT'] as const) {
      const world = new PartitionWorld(`cannot ${code}`)
      const open: Stores['open'] = () => Promise.reject(new HoldfastError(code, 'not on this disk'))
      const n1: PartitionNode = new PartitionNode(world, 'n1', {
        stores: storesWith(world.start('d').process.stores, { open }),
      })
      n1.want(4)
      const held = n1.ask('add', 1)
      await n1.until('none')
      expect(n1.cannotOpen).toEqual(['4 not on this disk'])
      expect(n1.node.events.of('store.failed')).toMatchObject([{ partition: 0, reason: 'not on this disk' }])
      expect(said(held)).toBe('moved')
    }
  })

  it('leaves, and loses nothing that it has answered, where nothing more can be written', async () => {
    const world = new PartitionWorld('full disk')
    let failing = false
    const { stores } = world.start('disk').process
    const n1 = new PartitionNode(world, 'n1', {
      stores: storesWith(stores, {
        open: async (partition) => storeThatFails(await stores.open(partition), () => failing, 'INVALID'),
      }),
    })
    await n1.serve(1)
    await n1.call('add', 1)
    await world.clock.advance(100)
    failing = true
    expect(await n1.call('add', 10)).toBe(11)
    await n1.until('none')
    expect(n1.cannotOpen).toEqual(['1 the disk says no'])
    expect(n1.node.events.of('store.failed').length).toBeGreaterThan(0)
    const n2 = await new PartitionNode(world, 'n2').serve(2)
    expect(await n2.call('read')).toBe(11)
  })
})

describe('the end of a node', () => {
  it('closes a partition with a hand-off to nobody in particular, its store, its subscriptions and its timers', async () => {
    const world = new PartitionWorld('close')
    const n1 = await new PartitionNode(world, 'n1').serve(1)
    const asked = n1.ask('add', 5)
    await world.settle(n1.partition.close(1_000))
    expect(said(asked)).toBe(5)
    expect(world.validRecords().at(-1)).toMatchObject({ kind: 'handoff' })
    expect(n1.listening).toBe(0)
    expect((await world.openReplica(n1.node)).position.seq).toBe(world.records().length)
    await world.clock.advance(5_000)
    const fired = world.clock.fired
    await world.clock.advance(60_000)
    expect(world.clock.fired).toBe(fired)
  })

  it('does not wait for a hand-off longer than it may', async () => {
    const world = new PartitionWorld('close slowly')
    const n1 = await new PartitionNode(world, 'n1').serve(1)
    n1.node.process.links.changelog.cut({ noticeAfterMs: 100_000 })
    const asked = n1.ask('add', 5)
    const startedAt = world.clock.monotonic()
    await world.settle(n1.partition.close(500))
    expect(world.clock.monotonic() - startedAt).toBeLessThan(1_000)
    expect(said(asked)).toBe('UNKNOWN')
  })

  it('closes it in every state, whatever comes after', async () => {
    for (const when of ['unowned', 'standing by', 'taking', 'waiting', 'serving', 'leaving', 'stopped'] as const) {
      const world = new PartitionWorld(`close ${when}`)
      new LogWriter(world).claim('old')
      const n1 = new PartitionNode(world, 'n1')
      if (when === 'standing by') n1.partition.want({ role: 'standby' })
      else if (when !== 'unowned') n1.want(2)
      if (when === 'standing by') await n1.until('standby')
      if (when === 'waiting') await world.clock.advance(100)
      if (when === 'serving' || when === 'leaving' || when === 'stopped') await n1.until('owner')
      if (when === 'leaving') n1.want(null)
      if (when === 'stopped') {
        world.world.changelog.destroy(p0)
        n1.ask('add', 1)
        await n1.until('stopped')
      }
      await world.settle(n1.partition.close(100))
      n1.want(9)
      n1.partition.reconnected()
      expect(['moved', 'RETRY']).toContain(said(n1.ask('add', 1)))
      expect(await n1.partition.handOff('n2' as NodeId)).toBe(when === 'stopped' || when === 'serving')
      await world.clock.advance(5_000)
      await world.settle(n1.partition.close(100))
      // Nothing holds the store any more.
      await world.openReplica(n1.node)
    }
  })

  it('drops everything in a crash: nothing is said, nothing appended, nothing written', async () => {
    const world = new PartitionWorld('crash')
    const n1 = await new PartitionNode(world, 'n1').serve(1)
    await n1.call('add', 1)
    const records = world.records().length
    await world.settle(n1.partition.crash())
    await world.clock.advance(5_000)
    expect(world.records()).toHaveLength(records)
    expect(n1.listening).toBe(0)
    const n2 = await new PartitionNode(world, 'n2').serve(2)
    expect(await n2.call('read')).toBe(1)
  })
})
