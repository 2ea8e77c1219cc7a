/**
 * What is damaged on a node's disk ends in a clear error or a rebuild, never in a wrong read (S4, L1, L4): all states are compared.
 *
 * Each test begins with a copy of one cluster's directory: eight partitions, each with two tables and a write-ahead log.
 */
import { cp, mkdtemp, readFile, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect as connectNats } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { RowBatch } from '../../src/core/row-batch.ts'
import { RocksDbStores } from '../../src/adapters/rocksdb/stores.ts'
import { isHoldfastError, type Holdfast } from '../../src/index.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { TestCluster } from '../support/cluster.ts'
import { Ledger, noise } from '../support/ledger.ts'

const timeout = 180_000
const partitions = 8
const keys = Array.from({ length: 160 }, (_, i) => `k${i}`)
const keysOf = (partition: number) => keys.filter((key) => partitionOf(key, partitions) === partition)
const options = { actors: [Ledger], partitions }
/** Stores so small that almost every read is one of the disk. */
const thrifty = { storeMemory: 1, settings: { partition: { cacheBytes: 1 } } }

let base: string
/** The logs as they were in the middle of it all. */
let earlier: string
/** What each key holds at the end. */
const expected = new Map<string, readonly string[]>()
const closers: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

beforeAll(async () => {
  earlier = await mkdtemp(join(tmpdir(), 'holdfast-earlier-'))
  const cluster = await TestCluster.open('embedded', options)
  base = await mkdtemp(join(tmpdir(), 'holdfast-base-'))
  try {
    // What the write-ahead log holds at a start becomes a table.
    await written(cluster, (client) =>
      keys.map((key, i) => client.actor(Ledger, key).fillUp({ seed: i, count: 1_500 })),
    )
    await written(cluster, (client) =>
      keys.filter((_, i) => i % 3 === 0).map((key) => client.actor(Ledger, key).append('second')),
    )
    await cp(join(cluster.serverDir, 'logs'), earlier, { recursive: true })
    await written(cluster, (client) =>
      keys.filter((_, i) => i % 5 === 0).map((key) => client.actor(Ledger, key).append('third')),
    )
    await cp(cluster.folder, base, { recursive: true })
  } finally {
    await cluster.close()
  }
  keys.forEach((key, i) => {
    expected.set(key, [noise(i, 1_500), ...(i % 3 === 0 ? ['second'] : []), ...(i % 5 === 0 ? ['third'] : [])])
  })
  for (let p = 0; p < partitions; p++) {
    const names = await readdir(join(base, 'a', `p${p}`))
    expect(names.filter((name) => name.endsWith('.sst'))).toHaveLength(2)
    expect(keysOf(p).length).toBeGreaterThan(9)
  }
}, timeout)

afterAll(async () => {
  await rm(base, { recursive: true, force: true })
  await rm(earlier, { recursive: true, force: true })
})

async function written(cluster: TestCluster, calls: (client: Holdfast) => Promise<unknown>[]): Promise<void> {
  await cluster.start('a')
  await cluster.settled()
  const client = await cluster.client()
  await Promise.all(calls(client))
  await client.close()
  await cluster.stop('a')
}

async function copy(): Promise<TestCluster> {
  const cluster = await TestCluster.open('embedded', { ...options, copyOf: base })
  closers.push(() => cluster.close())
  return cluster
}

const storeOf = (cluster: TestCluster, p: number) => join(cluster.dirOf('a'), `p${p}`)
const logOf = (cluster: TestCluster, p: number) => join(cluster.serverDir, 'logs', `p${p}.log`)

async function file(folder: string, ofKind: (name: string) => boolean): Promise<string> {
  const found = (await readdir(folder)).filter(ofKind).toSorted()
  return join(folder, found[0]!)
}
const manifest = (folder: string) => file(folder, (name) => name.startsWith('MANIFEST'))
const current = (folder: string) => Promise.resolve(join(folder, 'CURRENT'))
const table = (folder: string) => file(folder, (name) => name.endsWith('.sst'))

async function flip(path: string, from: number, to: number): Promise<void> {
  const bytes = await readFile(path)
  for (let i = Math.floor(from * bytes.length); i < Math.min(bytes.length, Math.ceil(to * bytes.length)); i++)
    bytes[i]! ^= 0x5a
  await writeFile(path, bytes)
}

const cut = async (path: string, share: number) => truncate(path, Math.floor((await stat(path)).size * share))

async function expectAllStates(cluster: TestCluster): Promise<void> {
  const client = await cluster.client()
  await Promise.all(
    keys.map(async (key) => {
      expect(await client.actor(Ledger, key).all(), `the state of ${key}`).toEqual(expected.get(key))
    }),
  )
  await client.close()
}

type Damage = readonly [what: string, harm: (folder: string) => Promise<void>]

/** Damages that no store can be opened with. */
const fatal: readonly Damage[] = [
  ['CURRENT of other bytes', async (folder) => flip(await current(folder), 0, 1)],
  ['an empty CURRENT', async (folder) => cut(await current(folder), 0)],
  ['half of CURRENT', async (folder) => cut(await current(folder), 0.5)],
  [
    'CURRENT that names a manifest that is not there',
    async (folder) => writeFile(await current(folder), 'MANIFEST-999999\n'),
  ],
  ['no CURRENT', async (folder) => rm(await current(folder))],
  ['an empty MANIFEST', async (folder) => cut(await manifest(folder), 0)],
  ['half of the MANIFEST', async (folder) => cut(await manifest(folder), 0.5)],
  ['no MANIFEST', async (folder) => rm(await manifest(folder))],
  ['a MANIFEST with other bytes at its beginning', async (folder) => flip(await manifest(folder), 0, 0.05)],
  ['a MANIFEST with other bytes in its middle', async (folder) => flip(await manifest(folder), 0.5, 0.55)],
  ['a MANIFEST of zeros', async (folder) => writeFile(await manifest(folder), Buffer.alloc(300))],
  ['an empty table', async (folder) => cut(await table(folder), 0)],
  ['half of a table', async (folder) => cut(await table(folder), 0.5)],
  ['all but the end of a table', async (folder) => cut(await table(folder), 0.99)],
  ['no table', async (folder) => rm(await table(folder))],
  ['a table with other bytes at its end', async (folder) => flip(await table(folder), 0.99, 1)],
]

/** Damages of one spot in a table, which may show at the opening, at a read, or never. */
const spots: readonly Damage[] = Array.from({ length: 24 }, (_, i) => {
  const from = i / 24
  return [
    `a table with other bytes at ${Math.round(from * 100)} %`,
    async (folder) => flip(await table(folder), from, from + 0.01),
  ]
})

/** Eight at a time, each on a partition of its own. */
const rounds = (damages: readonly Damage[]) =>
  Array.from({ length: damages.length / partitions }, (_, i) => {
    const round = damages.slice(i * partitions, (i + 1) * partitions)
    return { names: round.map(([what]) => what).join('; '), round }
  })

async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (const name of await readdir(folder)) files.set(name, await readFile(join(folder, name)))
  return files
}

describe('a store that is damaged while its node is away', () => {
  it.each(rounds(fatal))('is set aside as it is and rebuilt from the log: $names', { timeout }, async ({ round }) => {
    const cluster = await copy()
    const damaged: Map<string, Buffer>[] = []
    for (const [p, [, harm]] of round.entries()) {
      await harm(storeOf(cluster, p))
      damaged.push(await filesOf(storeOf(cluster, p)))
    }
    await cluster.start('a', thrifty)
    await cluster.settled()
    await expectAllStates(cluster)
    const aside = cluster.eventsOf('store.set-aside')
    expect(aside.map(({ partition }) => partition as number).toSorted()).toEqual(round.map((_, p) => p))
    for (const { partition, path, reason } of aside) {
      expect(path?.startsWith(join(cluster.dirOf('a'), 'set-aside', `p${partition}-`)), round[partition]![0]).toBe(true)
      const kept = await filesOf(path!)
      expect(kept.get('reason.txt')?.toString()).toBe(`${reason}\n`)
      for (const [name, bytes] of damaged[partition]!) {
        if (name.endsWith('.sst') || name.startsWith('MANIFEST') || name === 'CURRENT')
          expect(kept.get(name)).toEqual(bytes)
      }
      const [first] = cluster.eventsOf('partition.replayed').filter((event) => event.partition === partition)
      expect(first!.from).toBe(1)
    }
    // What was rebuilt is a store like any other.
    await cluster.stop('a')
    cluster.forget()
    await cluster.start('a', thrifty)
    await cluster.settled()
    await expectAllStates(cluster)
    expect(cluster.eventsOf('store.set-aside')).toEqual([])
  })

  it.each(rounds(spots))(
    'is rebuilt when the damage shows, and read rightly where it does not: $names',
    { timeout },
    async ({ round }) => {
      const cluster = await copy()
      for (const [p, [, harm]] of round.entries()) await harm(storeOf(cluster, p))
      await cluster.start('a', thrifty)
      await cluster.settled()
      // An error is as good as a right answer, a wrong answer is not.
      const client = await cluster.client()
      await Promise.all(
        keys.map(async (key) => {
          const read = client.actor(Ledger, key).all()
          const answer = await read.catch((error: unknown) =>
            isHoldfastError(error, 'INTERNAL') ? 'a clear error' : error,
          )
          if (answer !== 'a clear error') expect(answer, `the state of ${key}`).toEqual(expected.get(key))
        }),
      )
      await client.close()
      await cluster.settled()
      await expectAllStates(cluster)
      expect(cluster.eventsOf('store.set-aside').length).toBeGreaterThan(0)
    },
  )

  it(
    'is damaged, or has the effect of some first batches, whatever its MANIFEST and its write-ahead logs have lost (S1, S4)',
    { timeout },
    async () => {
      const home = await mkdtemp(join(tmpdir(), 'holdfast-manifest-'))
      closers.push(() => rm(home, { recursive: true, force: true }))
      const written = 6_000
      const keyOf = (i: number) => Buffer.from(`k${String(i).padStart(6, '0')}`)
      // Two lives, so that the second has tables of the first, tables of its own, and more than one log.
      for (const [from, to] of [
        [0, written / 2],
        [written / 2, written],
      ] as const) {
        const stores = await RocksDbStores.open({ dataDir: join(home, 'whole'), memoryBudget: 1 })
        const store = await stores.open(partitionId(0))
        for (let i = from; i < to; i++) {
          await store.write(
            RowBatch.of([
              { key: keyOf(i), value: Buffer.from(noise(i, 200)) },
              { key: Buffer.from('latest'), value: Buffer.from(`${i}`) },
            ]),
          )
        }
        await stores.close()
      }
      const whole = join(home, 'whole', 'p0')
      const bytes = await readFile(await manifest(whole))
      // Where one entry of it ends and the next begins: length and type follow a checksum of four bytes.
      const ends: number[] = []
      for (let at = 0; at + 7 <= bytes.length; at += 7 + bytes.readUInt16LE(at + 4)) ends.push(at)
      const logs = (await readdir(whole)).filter((name) => name.endsWith('.log'))
      expect(ends.length).toBeGreaterThan(8)
      expect(logs.length).toBeGreaterThan(1)
      const losses: Damage[] = [
        ['nothing', () => Promise.resolve()],
        ...ends.map((end): Damage => [
          `all of the MANIFEST after ${end}`,
          async (folder) => truncate(await manifest(folder), end),
        ]),
        ...logs.map((name): Damage => [name, (folder) => rm(join(folder, name))]),
        ...logs.map((name): Damage => [`half of ${name}`, (folder) => cut(join(folder, name), 0.5)]),
        ...logs.map((name): Damage => [`the content of ${name}`, (folder) => cut(join(folder, name), 0)]),
      ]
      const outcomes = { damaged: 0, whole: 0, shorter: 0 }
      for (const [i, [lost, lose]] of losses.entries()) {
        const dataDir = join(home, `${i}`)
        await cp(join(home, 'whole'), dataDir, { recursive: true })
        await lose(join(dataDir, 'p0'))
        const stores = await RocksDbStores.open({ dataDir, memoryBudget: 1 })
        try {
          const store = await stores.open(partitionId(0))
          const [latest] = await store.getMany([Buffer.from('latest')])
          const count = latest === undefined ? 0 : Number(Buffer.from(latest).toString()) + 1
          const found: string[] = []
          for await (const [key] of store.range(keyOf(0), Buffer.from('l'))) found.push(Buffer.from(key).toString())
          expect(found, `without ${lost}`).toEqual(Array.from({ length: count }, (_, n) => keyOf(n).toString()))
          outcomes[count === written ? 'whole' : 'shorter']++
        } catch (error) {
          if (!isHoldfastError(error, 'INTERNAL')) throw error
          outcomes.damaged++
        } finally {
          await stores.close()
        }
      }
      expect(outcomes.damaged).toBeGreaterThan(ends.length / 2)
      expect(outcomes.whole).toBeGreaterThan(0)
      expect(outcomes.shorter).toBeGreaterThan(0)
    },
  )

  it(
    'goes on from an earlier moment where its write-ahead log is cut, and is rebuilt where an older one is gone',
    { timeout },
    async () => {
      const cluster = await copy()
      for (let p = 0; p < partitions; p++) {
        const log = await file(storeOf(cluster, p), (name) => name.endsWith('.log'))
        if (p % 2 === 0) await cut(log, 0.4)
        else await rm(log)
      }
      await cluster.start('a', thrifty)
      await cluster.settled()
      await expectAllStates(cluster)
      expect(cluster.eventsOf('partition.replayed').filter(({ records }) => records > 1).length).toBeGreaterThanOrEqual(
        partitions,
      )
    },
  )
})

describe('a store that is damaged while its node serves', () => {
  it('is set aside and rebuilt without a restart, and no read is wrong', { timeout }, async () => {
    const cluster = await copy()
    await cluster.start('a', thrifty)
    await cluster.settled()
    for (let p = 0; p < partitions; p++) {
      const folder = storeOf(cluster, p)
      for (const name of await readdir(folder)) if (name.endsWith('.sst')) await flip(join(folder, name), 0, 0.7)
    }
    const client = await cluster.client()
    const outcomes = await Promise.all(
      keys.map(async (key) => {
        const answer = await client
          .actor(Ledger, key)
          .all()
          .catch((error: unknown) => error)
        if (isHoldfastError(answer, 'INTERNAL')) return 'error'
        expect(answer, `the state of ${key}`).toEqual(expected.get(key))
        return 'right'
      }),
    )
    expect(outcomes).toContain('error')
    await client.close()
    await cluster.when(() => cluster.eventsOf('store.set-aside').length >= partitions, 'all stores are set aside')
    await cluster.settled()
    await expectAllStates(cluster)
    // Each once, however many reads had failed.
    const aside = cluster.eventsOf('store.set-aside')
    expect(aside.map(({ partition }) => partition as number).toSorted()).toEqual(
      Array.from({ length: partitions }, (_, p) => p),
    )
    for (const { path } of aside)
      expect(await readdir(path!)).toEqual(expect.arrayContaining(['CURRENT', 'reason.txt']))
  })
})

/** Calls that find nobody to serve their partition. What was on its way when time was up is in doubt for its caller; the states tell later. */
async function expectNoService(cluster: TestCluster, partition: number): Promise<void> {
  const client = await cluster.client(1_000)
  const [key] = keysOf(partition)
  await expect(client.actor(Ledger, key!).all()).rejects.toMatchObject({ code: 'RETRY' })
  const command = client.actor(Ledger, key!).append('must not happen')
  await expect(command).rejects.toMatchObject({ code: expect.stringMatching(/^(?:RETRY|UNKNOWN)$/) })
  await client.close()
}

async function expectOthersServe(cluster: TestCluster, but: number): Promise<void> {
  const client = await cluster.client()
  for (let p = 0; p < partitions; p++) {
    if (p === but) continue
    const [key] = keysOf(p)
    expect(await client.actor(Ledger, key!).all()).toEqual(expected.get(key!))
  }
  await client.close()
}

const broken = 3

async function logSwapped(cluster: TestCluster, how: (log: string) => Promise<void>): Promise<() => Promise<void>> {
  const log = logOf(cluster, broken)
  const kept = `${log}.kept`
  await cp(log, kept)
  await how(log)
  return () => rename(kept, log)
}

const logDamages: readonly (readonly [what: string, harm: (log: string) => Promise<void>, reason: RegExp])[] = [
  [
    'an earlier copy of itself',
    (log) => cp(join(earlier, basename(log)), log),
    /ends at \d+, though this node's store has record \d+/,
  ],
  ['cut behind its beginning', (log) => cut(log, 0.3), /ends at \d+, though this node's store has record \d+/],
  ['gone', (log) => rm(log), /it is gone/],
  ['damaged in its middle', (log) => flip(log, 0.5, 0.51), /damaged/],
  ['damaged at its beginning', (log) => flip(log, 0, 0.001), /damaged/],
]

describe('the registry of the local server', () => {
  const registryOf = (cluster: TestCluster) => join(cluster.serverDir, 'registry.log')

  it.each([
    ['at its beginning', 0, 0.01],
    ['in its middle', 0.5, 0.51],
  ])('is a clear error where it is damaged %s, and is left as it is', { timeout }, async (_, from, to) => {
    const cluster = await copy()
    const whole = await readFile(registryOf(cluster))
    await flip(registryOf(cluster), from, to)
    const damaged = await readFile(registryOf(cluster))
    await expect(cluster.start('a')).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(/registry\.log is damaged/),
    })
    expect(await readFile(registryOf(cluster))).toEqual(damaged)
    await writeFile(registryOf(cluster), whole)
    await cluster.start('a')
    await cluster.settled()
    await expectAllStates(cluster)
  })

  it('is made anew where it is gone, and takes the logs that are there for its own', { timeout }, async () => {
    const cluster = await copy()
    await rm(registryOf(cluster))
    await cluster.start('a')
    await cluster.settled()
    await expectAllStates(cluster)
    expect(cluster.eventsOf('log.provisioned')).toEqual([])
    expect(cluster.eventsOf('store.set-aside')).toEqual([])
  })
})

describe('a log that does not hold what the stores hold', () => {
  it.each(logDamages)(
    'stops its partition alone, and keeps the store, when it is %s (L1)',
    { timeout },
    async (_, harm, reason) => {
      const cluster = await copy()
      const restore = await logSwapped(cluster, harm)
      await cluster.start('a')
      const stopped = () => cluster.node('a').status().partitions[broken]!
      await cluster.when(() => stopped().role === 'stopped', 'the partition stops')
      await cluster.when(() => cluster.owned('a').length === partitions - 1, 'the others are served')
      expect(stopped().reason).toMatch(
        new RegExp(`the log of partition ${broken} is broken: .*${reason.source}.*stores are kept`),
      )
      expect(cluster.eventsOf('partition.stopped')).toEqual([
        { type: 'partition.stopped', partition: broken, reason: expect.stringMatching(reason) },
      ])
      await expectNoService(cluster, broken)
      await expectOthersServe(cluster, broken)
      expect(cluster.eventsOf('store.set-aside')).toEqual([])
      expect(cluster.eventsOf('log.provisioned')).toEqual([])
      await cluster.stop('a')

      // The store was good all the time: with its log back it goes on.
      await restore()
      cluster.forget()
      await cluster.start('a')
      await cluster.settled()
      await expectAllStates(cluster)
      const [first] = cluster.eventsOf('partition.replayed').filter(({ partition }) => partition === broken)
      expect(first!.records).toBe(0)
    },
  )

  it('stops its partition while it is served, too', { timeout }, async () => {
    const cluster = await TestCluster.open('nats', { actors: [Ledger], partitions: 2 })
    closers.push(() => cluster.close())
    await cluster.start('a')
    await cluster.settled()
    const client = await cluster.client()
    await client.actor(Ledger, 'x').append('1')
    const partition = partitionOf('x', 2)
    const operator = await connectNats({ servers: cluster.nats!.url })
    closers.push(() => operator.close())
    await (await jetstreamManager(operator)).streams.delete(`test_P${partition}`)
    // It may have happened, for all that the caller can know.
    await expect(client.actor(Ledger, 'x').with({ timeout: 1_500 }).append('2')).rejects.toMatchObject({
      code: expect.stringMatching(/UNKNOWN|RETRY/),
    })
    await cluster.when(() => cluster.eventsOf('partition.stopped').length === 1, 'the partition stops')
    expect(cluster.eventsOf('partition.stopped')[0]).toMatchObject({
      partition,
      reason: expect.stringContaining('it is gone'),
    })
    await cluster.stop('a')

    cluster.forget()
    await cluster.start('a')
    await cluster.when(
      () => cluster.eventsOf('partition.stopped').length === 1,
      'the partition is stopped after a restart',
    )
    expect(cluster.eventsOf('log.provisioned')).toEqual([])
    expect(cluster.eventsOf('store.set-aside')).toEqual([])
    expect(await readdir(join(cluster.dirOf('a'), `p${partition}`))).toContain('CURRENT')
  })

  it('of another generation stops the partition, where the registry names the former one', { timeout }, async () => {
    const other = await copy()
    await rm(other.serverDir, { recursive: true })
    await rm(other.dirOf('a'), { recursive: true })
    await other.start('a')
    await other.settled()
    await other.stop('a')
    const cluster = await copy()
    const restore = await logSwapped(cluster, (log) => cp(logOf(other, broken), log))
    await cluster.start('a')
    await cluster.when(() => cluster.eventsOf('partition.stopped').length === 1, 'the partition stops')
    expect(cluster.eventsOf('partition.stopped')[0]).toMatchObject({
      partition: broken,
      reason: expect.stringMatching(/it is of generation \w+, though the registry names \w+/),
    })
    expect(cluster.eventsOf('store.set-aside')).toEqual([])
    await cluster.stop('a')
    await restore()
    await cluster.start('a')
    await cluster.settled()
    await expectAllStates(cluster)
  })

  it(
    'of another generation, which the registry names, has the store set aside: it is of another cluster',
    { timeout },
    async () => {
      const cluster = await copy()
      await rm(cluster.serverDir, { recursive: true })
      await cluster.start('a')
      await cluster.settled()
      const aside = cluster.eventsOf('store.set-aside')
      expect(aside.map(({ partition }) => partition as number).toSorted()).toEqual(
        Array.from({ length: partitions }, (_, p) => p),
      )
      for (const { reason, path } of aside) {
        expect(reason).toMatch(/it is of generation \w+, the log of \w+/)
        expect(await readdir(path!)).toEqual(expect.arrayContaining(['CURRENT', 'reason.txt']))
      }
      const client = await cluster.client()
      expect(await client.actor(Ledger, keys[0]!).all()).toEqual([])
    },
  )

  it('with other records than the store has it set aside and rebuilt (L4)', { timeout }, async () => {
    const cluster = await copy()
    // The same log up to some point, then another history: that of a copy that went on without this node.
    const fork = await copy()
    for (let p = 0; p < partitions; p++) await cp(join(earlier, `p${p}.log`), logOf(fork, p))
    await rm(fork.dirOf('a'), { recursive: true })
    await fork.start('a')
    await fork.settled()
    const client = await fork.client()
    await Promise.all(keys.map((key) => client.actor(Ledger, key).append('of the fork')))
    // Longer than the store has seen.
    for (let i = 0; i < 20; i++) await Promise.all(keys.map((key) => client.actor(Ledger, key).append(`and on ${i}`)))
    const forked = new Map(
      await Promise.all(keys.map(async (key) => [key, await client.actor(Ledger, key).all()] as const)),
    )
    await client.close()
    await fork.stop('a')
    for (let p = 0; p < partitions; p++) await cp(logOf(fork, p), logOf(cluster, p))
    await cluster.start('a')
    await cluster.settled()
    const aside = cluster.eventsOf('store.set-aside')
    expect(aside).toHaveLength(partitions)
    for (const { reason } of aside) expect(reason).toMatch(/record \d+ of the log is not the one that the store has/)
    const reader = await cluster.client()
    for (const key of keys) expect(await reader.actor(Ledger, key).all()).toEqual(forked.get(key))
  })
})
