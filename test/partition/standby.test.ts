import { describe, expect, it } from 'vitest'
import { hash64ToText } from '../../src/core/hashing.ts'
import { RowBatch } from '../../src/core/row-batch.ts'
import { actorId } from '../../src/partition/names.ts'
import { versionOf } from '../../src/partition/outcome.ts'
import { decodePosition, positionKey, writeActor } from '../../src/partition/store-layout.ts'
import { Denied } from '../../src/ports/denied.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { epoch, rev, seq, type NodeId } from '../../src/protocol/ids.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { PartitionNode, storesWith, storeThatFails } from './partition-bench.ts'
import { said } from './owner-bench.ts'
import { LogWriter } from './log-writer.ts'
import { p0, PartitionWorld, settingsWith, watching } from './world.ts'

const standBy = async (node: PartitionNode): Promise<PartitionNode> => {
  node.partition.want({ role: 'standby' })
  await node.until('standby')
  return node
}

/** Until its store is closed. */
async function dismiss(world: PartitionWorld, node: PartitionNode): Promise<void> {
  node.want(null)
  await node.until('none')
  await world.clock.advance(100)
}

const progressOf = (node: PartitionNode) => {
  const { appliedSeq, stateHash, lag } = node.partition.status().progress
  return { appliedSeq, stateHash, lag }
}

/** Waits until it has taken in all that the log has. */
const level = (world: PartitionWorld, node: PartitionNode) =>
  world.until(() => node.partition.status().progress.appliedSeq === world.world.changelog.info(p0)!.last)

/** Its store can be opened, so it does not have it. */
const closed = async (world: PartitionWorld, node: PartitionNode) =>
  world.settle((await world.settle(node.node.process.stores.open(p0))).close())

/** Its store has another state of the actor `a` than the log, and knows nothing of that. */
async function damageState(world: PartitionWorld, { node }: PartitionNode): Promise<void> {
  const store = await world.settle(node.process.stores.open(p0))
  const batch = new RowBatch(1_024)
  const id = actorId('thing', 'a')
  writeActor(batch, id, versionOf(id, rev(9), encodeValue('rotten').slice(), null))
  await world.settle(store.write(batch))
  await world.settle(store.close())
}

describe('a standby (A4, T1, T2)', () => {
  it('replays, follows what the owner writes, and is the same state after each record', async () => {
    const world = new PartitionWorld('follow')
    const owner = await new PartitionNode(world, 'owner').serve(1)
    for (let i = 0; i < 20; i++) await owner.call('add', i, { key: `k${i % 3}` })
    const standby = await standBy(new PartitionNode(world, 'standby'))
    for (let i = 0; i < 20; i++) await owner.call('add', i, { key: `k${i % 5}` })
    await level(world, standby)
    expect(progressOf(standby)).toEqual(progressOf(owner))
    expect(standby.node.events.of('partition.standing-by')).toHaveLength(1)
    expect(standby.node.events.of('partition.hash-mismatch')).toEqual([])
  })

  it('answers nothing: it listens to no subject, and says who has the partition', async () => {
    const world = new PartitionWorld('silent')
    const standby = await standBy(new PartitionNode(world, 'standby'))
    expect(standby.listening).toBe(0)
    expect(said(standby.ask('add', 1))).toBe('moved')
    expect(await standby.partition.handOff('other' as never)).toBe(false)
  })

  it('passes over void records, and remembers them', async () => {
    const world = new PartitionWorld('voids')
    const writer = new LogWriter(world).claim('old')
    const standby = await standBy(new PartitionNode(world, 'standby'))
    writer.commit([{ key: 'a', state: 1 }]).stray()
    writer.commit([{ key: 'a', state: 2 }])
    await level(world, standby)
    expect(standby.node.events.of('partition.void-record')).toMatchObject([{ seq: 4 }])
    expect(progressOf(standby).stateHash).toBe(hash64ToText(writer.stateHash))
  })

  it('that is named goes on with the replica that it has, and serves without a pause (O4)', async () => {
    const world = new PartitionWorld('promoted')
    const owner = await new PartitionNode(world, 'owner').serve(1)
    const standby = await standBy(new PartitionNode(world, 'standby'))
    for (let i = 1; i <= 10; i++) await owner.call('add', 1)
    await level(world, standby)
    owner.node.process.crash()
    await world.clock.advance(2_000)
    const before = world.clock.monotonic()
    await standby.serve(2)
    expect(await standby.call('read')).toBe(10)
    expect(world.clock.monotonic() - before).toBeLessThan(100)
    // Nothing was left to be read.
    expect(standby.node.events.of('partition.replayed').slice(1)).toMatchObject([{ records: 0 }])
    expect(standby.node.events.of('store.set-aside')).toEqual([])
  })

  it('that is named waits for the lease of an owner whose last record it has only just seen (O4)', async () => {
    const world = new PartitionWorld('too soon')
    const owner = await new PartitionNode(world, 'owner').serve(1)
    const standby = await standBy(new PartitionNode(world, 'standby'))
    await owner.call('add', 1)
    await level(world, standby)
    const sawAtMs = world.clock.monotonic()
    await standby.serve(2)
    expect(world.clock.monotonic() - sawAtMs).toBeGreaterThan(500)
    expect(await standby.call('read')).toBe(1)
  })

  it('was an owner before, and is named again', async () => {
    const world = new PartitionWorld('to and fro')
    const [a, b] = [new PartitionNode(world, 'a'), new PartitionNode(world, 'b')]
    await a.serve(1)
    await standBy(b)
    for (let round = 0; round < 3; round++) {
      const [owner, next] = round % 2 === 0 ? [a, b] : [b, a]
      await owner.call('add', 1)
      await level(world, next)
      expect(await world.settle(owner.partition.handOff(next.node.ref.id))).toBe(true)
      await next.serve(2 + round)
      await standBy(owner)
    }
    expect(await b.call('read')).toBe(3)
  })

  it('that is no longer wanted closes its store, and has it where it is wanted again', async () => {
    const world = new PartitionWorld('unwanted')
    const writer = new LogWriter(world).claim('old')
    for (let i = 0; i < 10; i++) writer.commit([{ key: 'a', state: i }])
    const node = await standBy(new PartitionNode(world, 'standby'))
    await dismiss(world, node)
    await closed(world, node)
    writer.commit([{ key: 'a', state: 'more' }])
    await standBy(node)
    expect(node.node.events.of('partition.replayed').map(({ records }) => records)).toEqual([12, 1])
  })

  it('goes on behind its last record when its connection is back, and reads nothing twice', async () => {
    const world = new PartitionWorld('cut')
    const writer = new LogWriter(world).claim('old')
    const standby = await standBy(new PartitionNode(world, 'standby'))
    writer.commit([{ key: 'a', state: 1 }])
    await level(world, standby)
    standby.node.process.cut()
    await standby.until('replaying')
    for (let i = 0; i < 5; i++) writer.commit([{ key: 'a', state: i }])
    await world.clock.advance(5_000)
    standby.node.process.heal()
    await standby.until('standby')
    expect(progressOf(standby).stateHash).toBe(hash64ToText(writer.stateHash))
    expect(standby.node.events.of('partition.replayed').at(-1)).toMatchObject({ from: 4, records: 5 })
  })
})

describe('a standby that is not the same as its owner (L9, X4)', () => {
  it('is built anew, tells, and is the same then', async () => {
    const world = new PartitionWorld('diverged')
    const writer = new LogWriter(world).claim('old')
    writer.commit([{ key: 'a', state: 1 }])
    const standby = await standBy(new PartitionNode(world, 'standby'))
    // A bit of its own state is another one from here on.
    await dismiss(world, standby)
    await damageState(world, standby)
    await standBy(standby)
    writer.commit([{ key: 'a', state: 2 }])
    await world.until(() => standby.node.events.of('store.set-aside').length > 0)
    await standby.until('standby')
    await level(world, standby)
    expect(standby.node.events.of('partition.hash-mismatch')).toMatchObject([{ seq: 4, rebuilt: false }])
    expect(standby.node.events.of('store.set-aside')).toMatchObject([{ reason: expect.stringContaining('record 4') }])
    expect(progressOf(standby).stateHash).toBe(hash64ToText(writer.stateHash))
    writer.commit([{ key: 'a', state: 3 }])
    await level(world, standby)
    expect(standby.node.events.of('partition.hash-mismatch')).toHaveLength(1)
  })

  it('once it was built anew believes what the writer has, reports that, and goes on', async () => {
    const world = new PartitionWorld('wrong writer')
    const writer = new LogWriter(world).claim('old')
    writer.stateHash = { hi: 1, lo: 2 }
    writer.commit([{ key: 'a', state: 1 }])
    writer.commit([{ key: 'a', state: 2 }])
    writer.stateHash = { hi: 3, lo: 4 }
    writer.commit([{ key: 'a', state: 3 }])
    const standby = await standBy(new PartitionNode(world, 'standby'))
    await level(world, standby)
    expect(standby.node.events.of('partition.hash-mismatch').map(({ seq: at, rebuilt }) => [at, rebuilt])).toEqual([
      [3, false],
      [3, true],
      [5, false],
      [3, true],
      [5, true],
    ])
    expect(progressOf(standby).stateHash).toBe(hash64ToText(writer.stateHash))
  })
})

describe('a standby that cannot stand by', () => {
  it('stops, says why, and keeps its store, where the log is shorter than that (L1)', async () => {
    const world = new PartitionWorld('shorter')
    const writer = new LogWriter(world).claim('old')
    for (let i = 0; i < 5; i++) writer.commit([{ key: 'a', state: i }])
    const standby = await standBy(new PartitionNode(world, 'standby'))
    await dismiss(world, standby)
    world.world.changelog.truncate(p0, seq(4))
    standby.partition.want({ role: 'standby' })
    await standby.until('stopped')
    expect(standby.partition.status().reason).toContain('it ends at 4')
    expect(standby.node.events.of('store.set-aside')).toEqual([])
  })

  it('tries again, with pauses, and says each time that it cannot be opened here, where the disk is no place for it (O6)', async () => {
    const world = new PartitionWorld('no place')
    let refusing = true
    const { stores } = world.start('disk').process
    const standby = new PartitionNode(world, 'standby', {
      stores: storesWith(stores, {
        open: (partition) =>
          refusing ? Promise.reject(new HoldfastError('CONFLICT', 'it is open elsewhere')) : stores.open(partition),
      }),
    })
    standby.partition.want({ role: 'standby' })
    await world.until(() => standby.cannotOpen.length === 3)
    expect(standby.cannotOpen).toEqual(Array.from({ length: 3 }, () => '0 it is open elsewhere'))
    expect(standby.node.events.of('store.failed')).toHaveLength(3)
    refusing = false
    await standby.until('standby')
  })

  it('tries again, with longer and longer pauses, while the log cannot be reached', async () => {
    const world = new PartitionWorld('away')
    const standby = new PartitionNode(world, 'standby')
    standby.node.process.cut()
    standby.partition.want({ role: 'standby' })
    await world.clock.advance(20_000)
    expect(standby.role).toBe('replaying')
    standby.node.process.heal()
    await standby.until('standby')
  })

  it('tries again, as a node that takes over does, while it is not let to read the log (T6)', async () => {
    const world = new PartitionWorld('denied')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    let denied = true
    const changes = {
      changelog: watching(world.start('log').process.changelog, (log) => ({
        ...log,
        info: async (known) => {
          if (denied) throw new Denied('the NATS server does not let this user ask')
          return log.info(known)
        },
      })),
    }
    const standby = new PartitionNode(world, 'standby', changes)
    const owner = new PartitionNode(world, 'owner', changes)
    standby.partition.want({ role: 'standby' })
    owner.want(9)
    await world.clock.advance(20_000)
    expect([standby.role, owner.role]).toEqual(['replaying', 'replaying'])
    expect([...standby.cannotOpen, ...owner.cannotOpen]).toEqual([])
    denied = false
    await standby.until('standby')
    await owner.until('owner')
  })

  it('goes on as a standby while it is not let to follow the log, and blames no store for it (T6)', async () => {
    const world = new PartitionWorld('denied to follow')
    const writer = new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    let denied = true
    const standby = new PartitionNode(world, 'standby', {
      changelog: watching(world.start('log').process.changelog, (log) => ({
        ...log,
        follow: (from) => {
          const denial = () => Promise.reject(new Denied('the NATS server does not let this user ask'))
          return denied ? { next: denial, close() {} } : log.follow(from)
        },
      })),
    })
    standby.partition.want({ role: 'standby' })
    await world.clock.advance(2_000)
    expect(standby.cannotOpen).toEqual([])
    expect(standby.node.events.of('store.failed')).toEqual([])
    denied = false
    await standby.until('standby')
    writer.commit([{ key: 'a', state: 2 }])
    await level(world, standby)
  })

  it('begins anew with another replica where its store failed, also while it rests', async () => {
    for (const code of ['INVALID', 'INTERNAL'] as const) {
      const world = new PartitionWorld(`failing at rest ${code}`)
      const writer = new LogWriter(world).claim('old')
      const { stores } = world.start('disk').process
      let failing = false
      const standby = new PartitionNode(world, 'standby', {
        stores: storesWith(stores, {
          open: async (partition) => storeThatFails(await stores.open(partition), () => failing, code),
        }),
        settings: settingsWith({ applyEveryMs: 5_000 }),
      })
      await standBy(standby)
      writer.commit([{ key: 'a', state: 1 }])
      await level(world, standby)
      standby.node.process.cut()
      failing = true
      await world.until(() => standby.node.events.of('store.failed').length > 0)
      failing = false
      standby.node.process.heal()
      await standby.until('standby')
      expect(standby.cannotOpen, code).toEqual(code === 'INVALID' ? ['0 the disk says no'] : [])
      expect(standby.node.events.of('store.set-aside'), code).toHaveLength(code === 'INVALID' ? 0 : 1)
      // What it is now it can write.
      await dismiss(world, standby)
      const store = await world.settle(stores.open(p0))
      const stored = (await world.settle(store.getMany([positionKey])))[0]!
      expect(decodePosition(stored).position.seq, code).toBe(writer.position.seq)
    }
  })

  it('ends at once in a crash and in an orderly end, and leaves no timer', async () => {
    for (const end of ['close', 'crash'] as const) {
      const world = new PartitionWorld(end)
      new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
      const standby = await standBy(new PartitionNode(world, 'standby'))
      await world.settle(end === 'close' ? standby.partition.close(0) : standby.partition.crash())
      expect(standby.listening).toBe(0)
      await world.clock.advance(10_000)
      expect(standby.role).toBe('replaying')
    }
  })
})

describe('an heir (A1, X2, X5)', () => {
  const heir = async (node: PartitionNode, of: number): Promise<PartitionNode> => {
    node.partition.want({ role: 'standby', heirOf: epoch(of) })
    await node.until('standby')
    return node
  }
  const claims = (world: PartitionWorld) =>
    world.validRecords().flatMap((record) => (record.kind === 'claim' ? [[record.epoch, record.node]] : []))

  it('claims as soon as the log says that it was handed over, serves what came before, and is named later', async () => {
    const world = new PartitionWorld('heir')
    const owner = await new PartitionNode(world, 'owner').serve(1)
    const next = await heir(new PartitionNode(world, 'next'), 1)
    expect(await owner.call('add', 5)).toBe(5)
    const handedOff = owner.partition.handOff(next.node.ref.id)
    expect(owner.ask('add', 1).answers).toEqual([{ kind: 'moved', owner: 'next', epoch: 2 }])
    const early = next.ask('add', 1)
    const before = world.clock.monotonic()
    await next.until('owner')
    expect(world.clock.monotonic() - before).toBeLessThan(50)
    expect(await world.settle(handedOff)).toBe(true)
    await world.until(() => early.answers.length > 0)
    expect(said(early)).toBe(6)
    expect(next.partition.status()).toMatchObject({ role: 'owner', epoch: 2 })
    next.want(2)
    expect(await next.call('read')).toBe(6)
    await world.clock.advance(5_000)
    expect(claims(world)).toEqual([
      [1, 'owner'],
      [2, 'next'],
    ])
    expect(next.spent).toEqual([])
  })

  it('claims also where placement’s note comes after the hand-off', async () => {
    const world = new PartitionWorld('late note')
    const owner = await new PartitionNode(world, 'owner').serve(1)
    const next = await standBy(new PartitionNode(world, 'next'))
    expect(await world.settle(owner.partition.handOff(next.node.ref.id))).toBe(true)
    await level(world, next)
    await world.clock.advance(1_000)
    expect(next.role).toBe('standby')
    next.partition.want({ role: 'standby', heirOf: epoch(1) })
    await next.until('owner')
    expect(next.partition.status().epoch).toBe(2)
  })

  it.each([
    ['another node', 1, 'other'],
    ['it, at an epoch that is not the one that it is the heir of', 2, 'next'],
  ])('does not claim what was handed over to %s', async (_, of, to) => {
    const world = new PartitionWorld('not the heir')
    const owner = await new PartitionNode(world, 'owner').serve(1)
    const next = await heir(new PartitionNode(world, 'next'), of)
    expect(await world.settle(owner.partition.handOff(to as NodeId))).toBe(true)
    await level(world, next)
    await world.clock.advance(5_000)
    expect(next.role).toBe('standby')
    expect(claims(world)).toHaveLength(1)
  })

  it('that comes to nothing has what it held go on to where it is now', async () => {
    const world = new PartitionWorld('note taken back')
    await new PartitionNode(world, 'owner').serve(1)
    const next = await heir(new PartitionNode(world, 'next'), 1)
    next.knownOwner = 'owner' as NodeId
    const held = next.ask('add', 1)
    expect(held.answers).toEqual([])
    next.partition.want({ role: 'standby' })
    expect(said(held)).toBe('moved')
    expect(said(next.ask('add', 1))).toBe('moved')
  })

  it('holds nothing before it follows the log', async () => {
    const world = new PartitionWorld('not level')
    await new PartitionNode(world, 'owner').serve(1)
    const next = new PartitionNode(world, 'next')
    next.partition.want({ role: 'standby', heirOf: epoch(1) })
    expect(said(next.ask('add', 1))).toBe('moved')
    await next.until('standby')
  })

  it('whose note is taken back after its claim leaves: what it has in flight is in doubt, and another one is named', async () => {
    const world = new PartitionWorld('taken back late')
    const owner = await new PartitionNode(world, 'owner').serve(1)
    const next = await heir(new PartitionNode(world, 'next'), 1)
    expect(await world.settle(owner.partition.handOff(next.node.ref.id))).toBe(true)
    await next.until('owner')
    expect(await next.call('add', 1)).toBe(1)
    next.partition.want({ role: 'standby' })
    await next.until('standby')
    owner.want(2)
    await world.until(() => owner.spent.includes(2))
    await owner.serve(3)
    expect(await owner.call('read')).toBe(1)
  })

  it('dies at any moment: the one that is named instead has all that was acknowledged', async () => {
    for (let at = 0; at < 12; at++) {
      const world = new PartitionWorld(`dies at ${at}`)
      const owner = await new PartitionNode(world, 'owner').serve(1)
      const next = await heir(new PartitionNode(world, 'next'), 1)
      expect(await owner.call('add', 5)).toBe(5)
      void owner.partition.handOff(next.node.ref.id)
      await world.clock.advance(at)
      next.node.process.crash()
      const claimed = claims(world).length > 1
      const third = new PartitionNode(world, 'third')
      if (claimed) {
        third.want(2)
        await world.until(() => third.spent.includes(2))
      }
      await third.serve(3)
      expect(await third.call('read')).toBe(5)
    }
  })
})

describe('who has handed off (X5)', () => {
  it('names the successor, until placement names somebody at its epoch', async () => {
    const world = new PartitionWorld('successor')
    let named = { owner: null as NodeId | null, epoch: epoch(1) }
    const owner = await new PartitionNode(world, 'owner', { knownOwner: () => named }).serve(1)
    expect(await world.settle(owner.partition.handOff('next' as NodeId))).toBe(true)
    await world.clock.advance(200)
    expect(owner.ask('add', 1).answers).toEqual([{ kind: 'moved', owner: 'next', epoch: 2 }])
    named = { owner: 'third' as NodeId, epoch: epoch(2) }
    expect(owner.ask('add', 1).answers).toEqual([{ kind: 'moved', owner: 'third', epoch: 2 }])
  })
})
