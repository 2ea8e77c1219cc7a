import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RowBatch } from '../../src/core/row-batch.ts'
import { genesisRecord } from '../../src/core/log.ts'
import { encodePosition, positionKey } from '../../src/partition/store-layout.ts'
import { catchUp, Outdated } from '../../src/partition/log-tail.ts'
import {
  checkReplica,
  claim,
  openReplica,
  type ClaimResult,
  type TakeoverOptions,
} from '../../src/partition/takeover.ts'
import type { Replica } from '../../src/partition/replica.ts'
import type { Changelog, PartitionLog } from '../../src/ports/changelog.ts'
import { epoch, generation, rev, seq } from '../../src/protocol/ids.ts'
import type { ClaimRecord } from '../../src/protocol/record.ts'
import { FaultyChangelog, type AppendFault } from '../../src/testing/faulty-changelog.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { bytes } from '../conformance/bytes.ts'
import { LogWriter } from './log-writer.ts'
import { trimmedAsRead } from './trimmed-as-read.ts'
import { g1, p0, PartitionWorld, type TestNode } from './world.ts'

const leaseMs = 500

/** Opens and claims, as the host of a partition does. */
async function takeOver(options: TakeoverOptions, at: number): Promise<ClaimResult & { replica: Replica }> {
  const replica = await openReplica(options)
  return { ...(await claim(replica, epoch(at), options)), replica }
}

const claimsOf = (world: PartitionWorld): ClaimRecord[] =>
  world.validRecords().filter((record): record is ClaimRecord => record.kind === 'claim')

function faulty(node: TestNode, ...faults: AppendFault[]): { log: PartitionLog; changelog: FaultyChangelog } {
  const changelog = new FaultyChangelog(node.process.changelog, { clock: node.process.clock })
  changelog.next(...faults)
  return { log: changelog.log(p0), changelog }
}

describe('taking a partition over (O2, V3, V4)', () => {
  it('begins at epoch 1 in a log that nobody owned, and serves at once', async () => {
    const world = new PartitionWorld('first')
    const node = world.start('n1')
    const result = await world.settle(takeOver(world.takeover(node), 1))
    expect(claimsOf(world)).toMatchObject([{ epoch: 1, node: 'n1', incarnation: node.ref.incarnation }])
    expect(result).toMatchObject({ kind: 'claimed' })
    expect(result.kind === 'claimed' && result.serveFromMs).toBeLessThanOrEqual(node.process.clock.monotonic())
    expect(result.replica.position).toMatchObject({ seq: 2, validSeq: 2, epoch: 1, handedOff: false })
    expect(node.events.of('partition.claimed')).toMatchObject([{ epoch: 1, seq: 2 }])
  })

  it('reads everything first, exactly to the end, and stands right at its claim after', async () => {
    const world = new PartitionWorld('replay')
    const writer = new LogWriter(world).claim('old')
    for (let i = 0; i < 600; i++) writer.commit([{ key: `k${i % 7}`, state: i }])
    writer.stray()
    const node = world.start('n1')
    const { replica } = await world.settle(takeOver(world.takeover(node), 2))
    expect(replica.position).toMatchObject({ seq: 604, validSeq: 604, epoch: 2 })
    expect(replica.stateHash).toEqual(writer.stateHash)
    expect(node.events.of('partition.replayed')[0]).toMatchObject({ from: 1, to: 603, records: 603 })
    expect(node.events.of('partition.void-record')).toMatchObject([{ seq: 603 }])
    expect(node.events.of('partition.hash-mismatch')).toEqual([])
  })

  it('replays on an old store only what that has missed', async () => {
    const world = new PartitionWorld('old store')
    const writer = new LogWriter(world).claim('old')
    writer.commit([{ key: 'a', state: 1 }])
    const first = world.start('n1')
    const opened = await world.settle(openReplica(world.takeover(first)))
    await world.settle(catchUp(opened, world.takeover(first)))
    await world.settle(opened.close({ flush: true }))
    first.process.crash()
    writer.commit([{ key: 'a', state: 2 }])
    const node = world.start('n1')
    const { replica } = await world.settle(takeOver(world.takeover(node), 2))
    expect(node.events.of('partition.replayed')[0]).toMatchObject({ from: 4, to: 4, records: 1 })
    expect(replica.stateHash).toEqual(writer.stateHash)
    expect(node.events.of('store.set-aside')).toEqual([])
  })

  it('is outbid by an epoch that is not below its own, and appends nothing', async () => {
    for (const [proposed, by] of [
      [3, 3],
      [2, 3],
    ] as const) {
      const world = new PartitionWorld(`outbid ${proposed}`)
      new LogWriter(world).claim('old', { epoch: by })
      const result = await world.settle(takeOver(world.takeover(world.start('n1')), proposed))
      expect(result).toMatchObject({ kind: 'outbid', by })
      expect(world.records()).toHaveLength(2)
    }
  })

  it('reads on and claims behind what was appended while it was reading', async () => {
    const world = new PartitionWorld('moving log')
    const writer = new LogWriter(world).claim('old')
    const node = world.start('n1')
    const options = world.takeover(node)
    let late = 5
    const log: PartitionLog = {
      ...options.log,
      append(record, expected) {
        if (late-- > 0) writer.commit([{ key: 'a', state: late }])
        return options.log.append(record, expected)
      },
    }
    const { replica, kind } = await world.settle(takeOver({ ...options, log }, 2))
    expect(kind).toBe('claimed')
    expect(replica.stateHash).toEqual(writer.stateHash)
    expect(replica.position).toMatchObject({ seq: 8, epoch: 2 })
  })
})

describe('when a claimer may serve (O4, V5)', () => {
  it('is known also where the lease is no whole number of milliseconds: the time of the claim is one', async () => {
    const world = new PartitionWorld('fraction')
    const node = world.start('n1')
    const time = Math.floor(node.process.clock.now())
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }], { time })
    const result = await world.settle(takeOver(world.takeover(node, { leaseMs: 60_000.3 }), 2))
    expect(result.kind).toBe('claimed')
    expect(claimsOf(world).at(-1)).toMatchObject({ epoch: 2, time: time + 60_001 })
  })

  it('is 1.1 terms after it saw the last valid record of the former epoch itself', async () => {
    const world = new PartitionWorld('wait')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    const node = world.start('n1')
    const { clock } = node.process
    await world.clock.advance(10_000)
    const before = clock.monotonic()
    const result = await world.settle(takeOver(world.takeover(node), 2))
    if (result.kind !== 'claimed') throw new Error(result.kind)
    expect(result.serveFromMs).toBeGreaterThanOrEqual(before + leaseMs * 1.1)
    expect(result.serveFromMs).toBeLessThanOrEqual(clock.monotonic() + leaseMs * 1.1)
  })

  it('is not put off by void records that come after', async () => {
    const world = new PartitionWorld('voids')
    const writer = new LogWriter(world).claim('old')
    const node = world.start('n1')
    const options = world.takeover(node)
    const replica = await world.settle(openReplica(options))
    let strays = 3
    const log: PartitionLog = {
      ...options.log,
      async append(record, expected) {
        if (strays-- > 0) {
          writer.stray()
          await new Promise<void>((resolve) => node.process.clock.setTimeout(resolve, 1_000))
        }
        return options.log.append(record, expected)
      },
    }
    const startedAt = node.process.clock.monotonic()
    const result = await world.settle(claim(replica, epoch(2), { ...options, log }))
    if (result.kind !== 'claimed') throw new Error(result.kind)
    expect(node.process.clock.monotonic()).toBeGreaterThan(startedAt + 3_000)
    expect(result.serveFromMs).toBeLessThan(startedAt + leaseMs * 1.1 + 100)
  })

  it('is put off by a valid record that comes before the claim is in', async () => {
    const world = new PartitionWorld('put off')
    const writer = new LogWriter(world).claim('old')
    const node = world.start('n1')
    const options = world.takeover(node)
    const replica = await world.settle(openReplica(options))
    let first = true
    const log: PartitionLog = {
      ...options.log,
      async append(record, expected) {
        if (first) {
          first = false
          await new Promise<void>((resolve) => node.process.clock.setTimeout(resolve, 2_000))
          writer.commit([{ key: 'a', state: 1 }])
        }
        return options.log.append(record, expected)
      },
    }
    const startedAt = node.process.clock.monotonic()
    const result = await world.settle(claim(replica, epoch(2), { ...options, log }))
    if (result.kind !== 'claimed') throw new Error(result.kind)
    expect(result.serveFromMs).toBeGreaterThanOrEqual(startedAt + 2_000 + leaseMs * 1.1)
  })

  it('is at once after a hand-off, but not where somebody claimed since', async () => {
    const world = new PartitionWorld('hand-off')
    const writer = new LogWriter(world)
      .claim('old')
      .commit([{ key: 'a', state: 1 }])
      .handOff('n1')
    const node = world.start('n1')
    const result = await world.settle(takeOver(world.takeover(node), 2))
    if (result.kind !== 'claimed') throw new Error(result.kind)
    expect(result.serveFromMs).toBeLessThanOrEqual(node.process.clock.monotonic())

    const other = new PartitionWorld('claimed since')
    new LogWriter(other).claim('old').handOff('n1').claim('n1')
    const next = other.start('n2')
    const waiting = await other.settle(takeOver(other.takeover(next), 3))
    expect(waiting.kind === 'claimed' && waiting.serveFromMs).toBeGreaterThan(next.process.clock.monotonic())
    expect(writer.position.epoch).toBe(1)
  })

  it('is 1.1 terms after the claim of one that died right after it, too', async () => {
    const world = new PartitionWorld('died')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    const dying = world.start('n1')
    await world.settle(takeOver(world.takeover(dying), 2))
    dying.process.crash()
    await world.clock.advance(100)
    const node = world.start('n2')
    const result = await world.settle(takeOver(world.takeover(node), 3))
    if (result.kind !== 'claimed') throw new Error(result.kind)
    expect(result.serveFromMs).toBeGreaterThan(node.process.clock.monotonic() + leaseMs)
    expect(claimsOf(world).map((record) => record.epoch)).toEqual([1, 2, 3])
  })
})

describe('doubt about a claim (V4)', () => {
  it.each<[string, AppendFault[]]>([
    ['its acknowledgement is lost', ['lose-acknowledgement']],
    ['it is lost', ['lose-request']],
    ['it is lost twice', ['lose-request', 'lose-request']],
  ])('ends in one valid claim where %s', async (_, faults) => {
    const world = new PartitionWorld('doubt')
    new LogWriter(world).claim('old')
    const node = world.start('n1')
    const { log } = faulty(node, ...faults)
    expect(await world.settle(takeOver(world.takeover(node, { log }), 2))).toMatchObject({ kind: 'claimed' })
    expect(claimsOf(world).map((record) => record.epoch)).toEqual([1, 2])
  })

  it('ends in one valid claim where it arrives late, after it was sent again', async () => {
    const world = new PartitionWorld('late claim')
    new LogWriter(world).claim('old')
    const node = world.start('n1')
    const { log, changelog } = faulty(node, 'delay')
    const taking = takeOver(world.takeover(node, { log }), 2)
    await world.clock.advance(2_010)
    await world.settle(changelog.release())
    expect(await world.settle(taking)).toMatchObject({ kind: 'claimed' })
    await world.clock.advance(5_000)
    expect(claimsOf(world).map((record) => record.epoch)).toEqual([1, 2])
  })

  it('is over where the log could not be read after the claim was sent: its own claim is no other’s', async () => {
    const world = new PartitionWorld('interrupted')
    new LogWriter(world).claim('old')
    const node = world.start('n1')
    const options = world.takeover(node)
    const replica = await world.settle(openReplica(options))
    const cutting: PartitionLog = {
      ...options.log,
      async append(record, expected) {
        await options.log.append(record, expected)
        node.process.links.changelog.cut()
        return { kind: 'unknown', reason: 'the connection broke' }
      },
    }
    const interrupted = claim(replica, epoch(2), { ...options, log: cutting })
    await expect(world.settle(interrupted)).rejects.toMatchObject({ code: 'RETRY' })
    node.process.links.changelog.heal()
    await world.clock.advance(100)
    const result = await world.settle(claim(replica, epoch(2), options))
    if (result.kind !== 'claimed') throw new Error(result.kind)
    expect(result.serveFromMs).toBeGreaterThan(node.process.clock.monotonic() + leaseMs)
    expect(claimsOf(world).map((record) => record.epoch)).toEqual([1, 2])
  })

  it('is none where it was accepted behind the record that it expects: nothing is read again', async () => {
    const world = new PartitionWorld('certain')
    new LogWriter(world).claim('old')
    const node = world.start('n1')
    const options = world.takeover(node)
    const replica = await world.settle(openReplica(options))
    const { log } = options
    let reads = 0
    const counting: PartitionLog = {
      ...log,
      info: (known) => (reads++, log.info(known)),
      read: (...range) => (reads++, log.read(...range)),
    }
    expect(await world.settle(claim(replica, epoch(2), { ...options, log: counting }))).toMatchObject({
      kind: 'claimed',
    })
    // To the log's end, before it.
    expect(reads).toBe(2)
    expect(replica.position.seq).toBe(world.world.changelog.info(p0)!.last)
  })

  it('does not storm a log that takes nothing', async () => {
    const world = new PartitionWorld('takes nothing')
    const node = world.start('n1')
    node.process.changelog.faults.refuse = 1
    const options = world.takeover(node)
    let appends = 0
    const log = {
      ...options.log,
      append: (...given: Parameters<PartitionLog['append']>) => (appends++, options.log.append(...given)),
    }
    const taking = takeOver({ ...options, log }, 1)
    await world.clock.advance(10_000)
    expect(appends).toBeGreaterThan(20)
    expect(appends).toBeLessThan(250)
    node.process.changelog.faults.refuse = 0
    expect(await world.settle(taking)).toMatchObject({ kind: 'claimed' })
  })

  it('ends when it is aborted: it rejects, and appends nothing more', async () => {
    const world = new PartitionWorld('aborted')
    const node = world.start('n1')
    node.process.changelog.faults.refuse = 1
    const abort = new AbortController()
    const taking = takeOver(world.takeover(node, { signal: abort.signal }), 1)
    const outcome = taking.then(
      () => 'claimed',
      () => 'aborted',
    )
    await world.clock.advance(500)
    abort.abort()
    expect(await world.settle(outcome)).toBe('aborted')
    node.process.changelog.faults.refuse = 0
    await world.clock.advance(5_000)
    expect(world.records()).toHaveLength(1)
  })
})

describe('several claimers at once', () => {
  it('of one epoch: exactly one has it', async () => {
    for (let seed = 0; seed < 10; seed++) {
      const world = new PartitionWorld(`race ${seed}`)
      const nodes = ['a', 'b', 'c'].map((name) => world.start(name))
      const results = await world.settle(Promise.all(nodes.map((node) => takeOver(world.takeover(node), 1))))
      expect(results.map(({ kind }) => kind).sort()).toEqual(['claimed', 'outbid', 'outbid'])
      const winner = nodes[results.findIndex(({ kind }) => kind === 'claimed')]!
      expect(claimsOf(world)).toMatchObject([{ node: winner.ref.id, incarnation: winner.ref.incarnation }])
    }
  })

  it('of any epochs, over a log that loses, delays and refuses: who was told so has a valid claim, and nobody else', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ at: fc.integer({ min: 1, max: 5 }), afterMs: fc.nat({ max: 3_000 }) }), {
          minLength: 2,
          maxLength: 4,
        }),
        async (claimers) => {
          const world = new PartitionWorld(`claimers ${run++}`)
          const random = new SeededRandom(run)
          const outcomes = claimers.map(async ({ at, afterMs }, i) => {
            const node = world.start(`n${i}`)
            Object.assign(node.process.changelog.faults, {
              loseRequest: 0.2,
              loseAcknowledgement: 0.2,
              refuse: 0.1,
              delay: 0.2,
              delayMs: 4_000,
            })
            await new Promise<void>((resolve) => node.process.clock.setTimeout(resolve, afterMs * random.next()))
            return { at, node, result: await takeOver(world.takeover(node), at) }
          })
          const settled = await world.settle(Promise.all(outcomes), 600_000)
          await world.clock.advance(30_000)
          expect(world.judged().map(({ kind }) => kind)).not.toContain('broken')
          const valid = claimsOf(world).map((record) => `${record.epoch} ${record.incarnation}`)
          const told = settled
            .filter(({ result }) => result.kind === 'claimed')
            .map(({ at, node }) => `${at} ${node.ref.incarnation}`)
          // Who is not told so although the claim is valid has been outbid since.
          expect(valid.filter((name) => told.includes(name))).toHaveLength(told.length)
          expect(told).toContain(valid.at(-1))
          for (const { at, result } of settled)
            if (result.kind === 'outbid') expect(result.by).toBeGreaterThanOrEqual(at)
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('the store that is found (V1, V2)', () => {
  const g2 = generation('anotherGeneration56789')

  /** A node with a store that has come to the end of a log of some records. */
  const withStore = async (seed: string) => {
    const world = new PartitionWorld(seed)
    const writer = new LogWriter(world)
      .claim('old')
      .commit([{ key: 'a', state: 1 }])
      .commit([{ key: 'a', state: 2 }])
    const first = world.start('n1')
    const replica = await world.settle(openReplica(world.takeover(first)))
    await world.settle(catchUp(replica, world.takeover(first)))
    await world.settle(replica.close({ flush: true }))
    first.process.crash()
    const node = world.start('n1')
    return { world, writer, node, options: world.takeover(node) }
  }

  const rebuilt = async (world: PartitionWorld, node: TestNode, options: TakeoverOptions, reason: RegExp) => {
    const { replica, kind } = await world.settle(takeOver(options, 2))
    expect(kind).toBe('claimed')
    expect(node.events.of('store.set-aside')).toMatchObject([
      { reason: expect.stringMatching(reason), path: expect.any(String) },
    ])
    expect(world.world.disk('n1').aside).toHaveLength(1)
    return replica
  }

  it('is gone on with where it fits', async () => {
    const { world, node, options } = await withStore('fits')
    const replica = await world.settle(openReplica(options))
    expect(replica.position.seq).toBe(4)
    expect(node.events.of('store.set-aside')).toEqual([])
  })

  it('is gone on with where it was kept and had read nothing yet, unless the log has lost its beginning since', async () => {
    const world = new PartitionWorld('kept empty')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    const options = world.takeover(world.start('n1'))
    const kept = await world.settle(openReplica(options))
    expect(kept.position.seq).toBe(0)
    await world.settle(checkReplica(kept, options))
    await world.settle(options.log.trim(seq(3)))
    await expect(world.settle(checkReplica(kept, options))).rejects.toBeInstanceOf(Outdated)
  })

  it('is outdated, and not of another log, where the log is trimmed while it is compared (T5)', async () => {
    const { world, writer, node, options } = await withStore('trimmed as compared')
    const replica = await world.settle(openReplica(options))
    writer.commit([{ key: 'a', state: 3 }])
    const trimming = { ...options, log: trimmedAsRead(options.log, 5) }
    await expect(world.settle(checkReplica(replica, trimming))).rejects.toBeInstanceOf(Outdated)
    expect(node.events.of('store.set-aside')).toEqual([])
  })

  it('is set aside and rebuilt where it is damaged', async () => {
    const { world, writer, node, options } = await withStore('damaged')
    world.world.disk('n1').damage(p0)
    const replica = await rebuilt(world, node, options, /damaged/)
    expect(replica.stateHash).toEqual(writer.stateHash)
  })

  it('is set aside and rebuilt where its position cannot be read', async () => {
    const { world, writer, node, options } = await withStore('position')
    const store = await world.settle(node.process.stores.open(p0))
    await world.settle(store.write(RowBatch.of([{ key: positionKey, value: Uint8Array.of(0x93, 1, 2, 3) }])))
    await world.settle(store.close())
    const replica = await rebuilt(world, node, options, /position/)
    expect(replica.stateHash).toEqual(writer.stateHash)
  })

  it('is deleted and made anew where it is one that was to be restored, and was not finished (RN1)', async () => {
    const { world, writer, node, options } = await withStore('unfinished')
    const store = await world.settle(node.process.stores.open(p0))
    await world.settle(store.write(RowBatch.of([{ key: positionKey, value: bytes('being restored') }])))
    await world.settle(store.close())
    const { replica } = await world.settle(takeOver(options, 2))
    expect(replica.stateHash).toEqual(writer.stateHash)
    expect(node.events.of('store.discarded')).toHaveLength(1)
    expect(node.events.of('store.set-aside')).toEqual([])
    expect(world.world.disk('n1').aside).toEqual([])
  })

  it('is set aside and rebuilt where it is of another generation', async () => {
    const { world, node, options } = await withStore('generation')
    world.world.changelog.destroy(p0)
    world.world.changelog.provision(p0, g2, genesisRecord(p0, g2))
    const replica = await rebuilt(world, node, { ...options, generation: g2 }, /generation/)
    expect(replica.position).toMatchObject({ generation: g2, seq: 2, epoch: 2 })
  })

  it('is set aside and rebuilt where it has another record than the log, at the same place', async () => {
    const { world, node, options } = await withStore('other content')
    world.world.changelog.truncate(p0, seq(3))
    const writer = new LogWriter(world).commit([{ key: 'b', state: 'another history' }]).commit([])
    const replica = await rebuilt(world, node, options, /record 4/)
    expect(replica.stateHash).toEqual(writer.stateHash)
  })

  it('is kept where the log ends before it does: the partition stops, and says so (L1)', async () => {
    const { world, node, options } = await withStore('shorter')
    world.world.changelog.truncate(p0, seq(3))
    await expect(world.settle(takeOver(options, 2))).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(/ends at 3.*record 4/),
    })
    expect(node.events.of('store.set-aside')).toEqual([])
    expect(world.world.disk('n1').aside).toEqual([])
    expect(world.records()).toHaveLength(3)
    // It was closed: it can be opened again.
    const store = await world.settle(node.process.stores.open(p0))
    expect(await world.settle(store.getMany([positionKey]))).toEqual([expect.any(Uint8Array)])
  })

  it('is kept where the log is gone, or not the one that the registry names (L1)', async () => {
    const gone = await withStore('gone')
    gone.world.world.changelog.destroy(p0)
    await expect(gone.world.settle(takeOver(gone.options, 2))).rejects.toMatchObject({
      message: expect.stringContaining('gone'),
    })
    const other = await withStore('other log')
    other.world.world.changelog.destroy(p0)
    other.world.world.changelog.provision(p0, g2, genesisRecord(p0, g2))
    await expect(other.world.settle(takeOver(other.options, 2))).rejects.toMatchObject({
      message: expect.stringContaining('generation'),
    })
    for (const { world } of [gone, other]) expect(world.world.disk('n1').aside).toEqual([])
  })

  it('is closed where the log cannot be reached, so that the next try can open it', async () => {
    const { world, node, options } = await withStore('unreachable')
    const inner: Changelog = node.process.changelog
    const readingFails: PartitionLog = {
      ...inner.log(p0),
      // oxlint-disable-next-line require-yield
      async *read() {
        throw Object.assign(new Error('away'), { name: 'HoldfastError', code: 'RETRY' })
      },
    }
    await expect(world.settle(openReplica({ ...options, log: readingFails }))).rejects.toMatchObject({ code: 'RETRY' })
    expect((await world.settle(openReplica(options))).position.seq).toBe(4)
    expect(node.events.of('store.set-aside')).toEqual([])
  })

  it('is not opened where another process has it', async () => {
    const { world, options } = await withStore('held')
    await world.settle(openReplica(options))
    await expect(world.settle(openReplica(world.takeover(world.start('n1'))))).rejects.toMatchObject({
      code: 'CONFLICT',
    })
  })
})

describe('a log that is broken (L4)', () => {
  it.each([
    ['a record that nobody can read', () => Uint8Array.of(0xc1)],
    ['a second genesis', () => genesisRecord(p0, g1)],
  ])('stops the claimer at %s: it claims nothing, and keeps its store', async (_, bad) => {
    const world = new PartitionWorld('broken')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    world.append(bad())
    const node = world.start('n1')
    await expect(world.settle(takeOver(world.takeover(node), 2))).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('record 4'),
    })
    expect(world.world.changelog.recordsOf(p0)).toHaveLength(4)
    expect(node.events.of('store.set-aside')).toEqual([])
  })

  it.each([
    ['some of what was to be read', 4],
    ['all of it', 6],
  ])(
    'is not one that was trimmed while it was read, of %s: what is left of it makes the replica outdated (T5)',
    async (_, first) => {
      const world = new PartitionWorld('trimmed as read')
      const writer = new LogWriter(world).claim('old')
      for (let i = 0; i < 4; i++) writer.commit([{ key: 'a', state: i }])
      const options = world.takeover(world.start('n1'))
      const replica = await world.settle(openReplica(options))
      const trimming = { ...options, log: trimmedAsRead(options.log, first) }
      await expect(world.settle(catchUp(replica, trimming))).rejects.toBeInstanceOf(Outdated)
      expect(replica.position.seq).toBe(0)
    },
  )

  it('is one that has a gap in what it still keeps (T5)', async () => {
    const world = new PartitionWorld('gap')
    const writer = new LogWriter(world).claim('old')
    for (let i = 0; i < 4; i++) writer.commit([{ key: 'a', state: i }])
    const options = world.takeover(world.start('n1'))
    const replica = await world.settle(openReplica(options))
    const { log } = options
    const gap: PartitionLog = {
      ...log,
      async *read(from, to) {
        for await (const entry of log.read(from, to)) if (entry.seq !== 3) yield entry
      },
    }
    await expect(world.settle(catchUp(replica, { ...options, log: gap }))).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('sequence 4 follows 2'),
    })
  })

  it('is found out where it loses its end after it was opened', async () => {
    const world = new PartitionWorld('loses its end')
    new LogWriter(world).claim('old').commit([{ key: 'a', state: 1 }])
    const node = world.start('n1')
    const options = world.takeover(node)
    const replica = await world.settle(openReplica(options))
    await world.settle(catchUp(replica, options))
    world.world.changelog.truncate(p0, seq(2))
    await expect(world.settle(claim(replica, epoch(2), options))).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  it('is not what a store stands for that has a position of the future', async () => {
    const world = new PartitionWorld('future')
    const writer = new LogWriter(world).claim('old')
    const node = world.start('n1')
    const store = await world.settle(node.process.stores.open(p0))
    const position = { ...writer.position, seq: seq(99), validSeq: seq(99) }
    const stored = { position, stateHash: writer.stateHash, revFloor: rev(0), keptKeys: 0, keptKeyBytes: 0 }
    await world.settle(store.write(RowBatch.of([{ key: positionKey, value: encodePosition(stored) }])))
    await world.settle(store.close())
    await expect(world.settle(takeOver(world.takeover(node), 2))).rejects.toMatchObject({ code: 'INTERNAL' })
  })
})
