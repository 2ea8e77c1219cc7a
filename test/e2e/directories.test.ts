/** A node and its directory: what it finds there again, and who may have it. */
import { spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { createNode, isHoldfastError, type HoldfastError, type HoldfastEvent } from '../../src/index.ts'
import { importOf, runChild, untilTold, type Child } from '../support/child.ts'
import { TestCluster, type World } from '../support/cluster.ts'
import { Ledger } from '../support/ledger.ts'

const timeout = 120_000
const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function clusterOf(world: World): Promise<TestCluster> {
  const cluster = await TestCluster.open(world, { actors: [Ledger] })
  closers.push(() => cluster.close())
  return cluster
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-directories-'))
  closers.push(() => rm(path, { recursive: true, force: true }))
  return path
}

function child(source: string, uid?: number): Child {
  const started = runChild(source, uid === undefined ? {} : { uid })
  closers.push(() => started.kill())
  return started
}

/** Appends the ids to every key, each as one command. */
async function append(cluster: TestCluster, ids: readonly string[]): Promise<void> {
  const client = await cluster.client()
  for (const id of ids) await Promise.all(keys.map((key) => client.actor(Ledger, key).append(id)))
  await client.close()
}

async function states(cluster: TestCluster): Promise<readonly (readonly string[])[]> {
  const client = await cluster.client()
  const all = await Promise.all(keys.map((key) => client.actor(Ledger, key).all()))
  await client.close()
  return all
}

/** Where each partition of a node stands. */
const applied = (cluster: TestCluster, name: string) =>
  cluster
    .node(name)
    .status()
    .partitions.map(({ progress }) => progress.appliedSeq as number)

/** What the first replay of each partition on a node read. */
function firstReplays(cluster: TestCluster, name: string) {
  const replays = cluster.eventsOf('partition.replayed', name)
  return Array.from({ length: cluster.partitions }, (_, p) => {
    const { from, to, records } = replays.find(({ partition }) => partition === p)!
    return { from: from as number, to: to as number, records }
  })
}

/** Records that a node read of each partition, in all its replays. */
function replayedRecords(cluster: TestCluster, name: string) {
  const replays = cluster.eventsOf('partition.replayed', name)
  return Array.from({ length: cluster.partitions }, (_, p) =>
    replays.filter(({ partition }) => partition === p).reduce((sum, { records }) => sum + records, 0),
  )
}

const never = 3_600_000
/** Nothing reaches the store but at a graceful close. */
const hoarding = { settings: { partition: { applyEveryMs: never } } }

describe.each(['embedded', 'nats'] as const)('a node on its old directory, %s', (world) => {
  it('replays nothing after it was closed', { timeout }, async () => {
    const cluster = await clusterOf(world)
    await cluster.start('a')
    await cluster.settled()
    await append(cluster, ['1', '2', '3'])
    const last = applied(cluster, 'a')
    await cluster.stop('a')
    cluster.forget()

    await cluster.start('a')
    await cluster.settled()
    firstReplays(cluster, 'a').forEach(({ from, to, records }, p) => {
      expect({ from, records }).toEqual({ from: to + 1, records: 0 })
      expect(to).toBeGreaterThanOrEqual(last[p]!)
    })
    expect(replayedRecords(cluster, 'a')).toEqual(last.map(() => 0))
    expect(await states(cluster)).toEqual(keys.map(() => ['1', '2', '3']))
  })

  it('replays after a crash exactly what its stores had not got', { timeout }, async () => {
    const cluster = await clusterOf(world)
    await cluster.start('a')
    await cluster.settled()
    await append(cluster, ['1', '2', '3'])
    await cluster.stop('a')
    cluster.forget()

    await cluster.start('a', hoarding)
    await cluster.settled()
    // It found all of the log in its stores, and adds nothing to them from now on.
    const found = firstReplays(cluster, 'a')
    expect(found.map(({ records }) => records)).toEqual(found.map(() => 0))
    const stored = found.map(({ to }) => to)
    await append(cluster, ['4', '5'])
    const last = applied(cluster, 'a')
    expect(last.every((seq, p) => seq > stored[p]!)).toBe(true)
    await cluster.crash('a')
    cluster.forget()

    await cluster.start('a')
    await cluster.settled()
    expect(firstReplays(cluster, 'a')).toEqual(
      last.map((seq, p) => ({ from: stored[p]! + 1, to: seq, records: seq - stored[p]! })),
    )
    expect(await states(cluster)).toEqual(keys.map(() => ['1', '2', '3', '4', '5']))
  })

  it(
    'has after a crash in the middle of work what was acknowledged, and replays less than the log',
    { timeout },
    async () => {
      const cluster = await clusterOf(world)
      await cluster.start('a')
      await cluster.settled()
      await append(
        cluster,
        Array.from({ length: 20 }, (_, i) => `before ${i}`),
      )
      const client = await cluster.client()
      const acknowledged = keys.map((): string[] => [])
      let crashed = false
      let load: Promise<void>[] = []
      await new Promise<void>((enough) => {
        load = keys.map(async (key, k) => {
          for (let i = 0; !crashed; i++) {
            const done = await client
              .actor(Ledger, key)
              .append(`during ${i}`)
              .catch((error: unknown) => error)
            if (typeof done === 'number') acknowledged[k]!.push(`during ${i}`)
            if (acknowledged.every((ids) => ids.length >= 20)) enough()
          }
        })
      })
      await cluster.crash('a')
      crashed = true
      await client.close()
      await Promise.all(load)
      cluster.forget()

      await cluster.start('a')
      await cluster.settled()
      const found = await states(cluster)
      found.forEach((ids, k) => {
        // An append whose reply was lost may be there, once, as the last.
        const during = ids.slice(20)
        expect(during.slice(0, acknowledged[k]!.length)).toEqual(acknowledged[k])
        expect(during.length - acknowledged[k]!.length).toBeLessThanOrEqual(1)
        expect(new Set(ids).size).toBe(ids.length)
      })
      for (const { from, to } of firstReplays(cluster, 'a')) {
        expect(from).toBeGreaterThan(20)
        expect(to).toBeGreaterThanOrEqual(from - 1)
      }
    },
  )

  it('replays what another owner wrote while it was away', { timeout }, async () => {
    const cluster = await clusterOf(world)
    await cluster.start('a')
    await cluster.settled()
    await append(cluster, ['1'])
    const left = applied(cluster, 'a')
    await cluster.start('b')
    await cluster.when(() => cluster.owned('a').length === 2 && cluster.owned('b').length === 2, 'b has its share')
    await cluster.stop('a')
    await cluster.settled('b')
    await append(cluster, ['2', '3'])
    const last = applied(cluster, 'b')
    cluster.forget()

    await cluster.start('a')
    await cluster.when(() => cluster.owned('a').length === 2, 'a has its share again')
    for (const partition of cluster.owned('a')) {
      const [first] = cluster.eventsOf('partition.replayed', 'a').filter((event) => event.partition === partition)
      expect(first!.from).toBeGreaterThan(left[partition]!)
      expect(first!.to).toBeGreaterThanOrEqual(last[partition]!)
      expect(first!.records).toBe(first!.to - first!.from + 1)
    }
    expect(await states(cluster)).toEqual(keys.map(() => ['1', '2', '3']))
  })
})

const caught = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as HoldfastError,
  )

/** A program that starts a node on a directory, says what came of it, and closes it when it is told to. */
const nodeProgram = (dataDir: string) =>
  importOf('{ createNode }', 'src/index.ts') +
  importOf('{ Ledger }', 'test/support/ledger.ts') +
  untilTold +
  `try {
    const node = await createNode({ embedded: true, dataDir: ${JSON.stringify(dataDir)}, actors: [Ledger], partitions: 1 })
    console.log('started')
    await untilTold()
    await node.close()
    console.log('closed')
  } catch (error) {
    console.log('failed ' + JSON.stringify({ code: error.code, message: error.message }))
    process.stdin.destroy()
  }`

const failureOf = (line: string) => JSON.parse(line.slice('failed '.length)) as { code: string; message: string }

const embedded = (dataDir: string) => createNode({ embedded: true, dataDir, actors: [Ledger], partitions: 1 })

describe('one directory', () => {
  it('takes one node of a process at a time', { timeout }, async () => {
    const dataDir = await folder()
    const first = await embedded(dataDir)
    closers.push(() => first.close())
    const error = await caught(embedded(dataDir))
    expect(isHoldfastError(error, 'CONFLICT')).toBe(true)
    expect(error?.message).toMatch(
      /holdfast-directories-.* is in use by another node or process: stop that one, or give this node a directory of its own/,
    )
    expect(first.status().state).toBe('running')
    await first.close()
    const second = await embedded(dataDir)
    expect(second.id).toBe(first.id)
    await second.close()
  })

  it('takes one process at a time, whatever else was tried before', { timeout }, async () => {
    const dataDir = await folder()
    const first = await embedded(dataDir)
    closers.push(() => first.close())
    // An attempt of the same process must not loosen the lock.
    expect(await caught(embedded(dataDir))).toMatchObject({ code: 'CONFLICT' })
    const other = child(nodeProgram(dataDir))
    const failure = failureOf(await other.printed('failed'))
    expect(failure.code).toBe('CONFLICT')
    expect(failure.message).toMatch(
      /is in use by another node or process: stop that one, or give this node a directory of its own/,
    )
    expect(await other.exited).toEqual({ code: 0, signal: null })
    await first.close()

    const next = child(nodeProgram(dataDir))
    await next.printed('started')
    expect(await caught(embedded(dataDir))).toMatchObject({ code: 'CONFLICT' })
    next.tell()
    await next.printed('closed')
    expect(await next.exited).toEqual({ code: 0, signal: null })
    await (await embedded(dataDir)).close()
  })

  it('is free as soon as its process was killed', { timeout }, async () => {
    const dataDir = await folder()
    const holder = child(nodeProgram(dataDir))
    await holder.printed('started')
    await holder.kill()
    const node = await embedded(dataDir)
    expect(node.status().state).toBe('running')
    await node.close()
  })

  it('is refused to a second node of a cluster on NATS', { timeout }, async () => {
    const cluster = await clusterOf('nats')
    await cluster.start('a')
    const { url: servers } = cluster.nats!
    const second = createNode({ servers, cluster: 'test', nodeId: 'b', dataDir: cluster.dirOf('a'), actors: [Ledger] })
    expect(await caught(second)).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining(cluster.dirOf('a')),
    })
    await cluster.settled()
  })
})

describe('one node id', () => {
  it.each(['embedded', 'nats'] as const)(
    'belongs to who took it last: the former node is fenced, says so, and can be closed, %s',
    { timeout },
    async (world) => {
      const cluster = await clusterOf(world)
      const former = await cluster.start('a')
      await cluster.settled()
      await append(cluster, ['1'])
      closers.push(() => former.close())
      const where = world === 'nats' ? { servers: cluster.nats!.url } : { embedded: former.embedded! }
      const events: HoldfastEvent[] = []
      const latter = await createNode({
        ...where,
        cluster: 'test',
        nodeId: 'a',
        dataDir: cluster.dirOf('other'),
        actors: [Ledger],
        observer: { emit: (event) => void events.push(event) },
      })
      closers.push(() => latter.close())
      await cluster.when(() => former.status().state === 'fenced', 'the former node is fenced')
      expect(cluster.eventsOf('node.fenced')).toEqual([
        {
          type: 'node.fenced',
          node: 'a',
          reason: expect.stringMatching(/another process took the node id "a"; give each an id of its own/),
        },
      ])
      await append(cluster, ['2'])
      expect(await states(cluster)).toEqual(keys.map(() => ['1', '2']))
      await former.close()
      expect(former.status().state).toBe('closed')
      await append(cluster, ['3'])
      expect(await states(cluster)).toEqual(keys.map(() => ['1', '2', '3']))
      expect(latter.status().state).toBe('running')
      expect(events.filter(({ type }) => type === 'node.fenced')).toEqual([])
    },
  )
})

const nobody = 65_534
const isRoot = process.getuid?.() === 0

describe('a directory that cannot be used is INVALID', () => {
  const sentence = /make (?:it|its directory) (?:a directory|one) that this user may read and write, or choose another/

  it.each([
    ['a file', (path: string) => path],
    ['below a file', (path: string) => join(path, 'below')],
  ])('%s', { timeout }, async (_, dataDirOf) => {
    const file = join(await folder(), 'file')
    await writeFile(file, 'not a directory')
    const error = await caught(embedded(dataDirOf(file)))
    expect(error).toMatchObject({ code: 'INVALID', message: expect.stringMatching(sentence) })
    expect(error?.message).toContain(file)
  })

  it('in a place where nothing can be made', { timeout }, async () => {
    expect(await caught(embedded('/proc/holdfast'))).toMatchObject({
      code: 'INVALID',
      message: expect.stringMatching(sentence),
    })
  })

  it('with a file where the local server keeps its logs', { timeout }, async () => {
    const dataDir = await folder()
    await writeFile(join(dataDir, 'server'), 'not a directory')
    expect(await caught(embedded(dataDir))).toMatchObject({ code: 'INVALID', message: expect.stringMatching(sentence) })
    // Nothing is held after a failure.
    await rm(join(dataDir, 'server'))
    await (await embedded(dataDir)).close()
  })

  it('whose node id is none', { timeout }, async () => {
    const dataDir = await folder()
    await writeFile(join(dataDir, 'node-id'), 'two words\n')
    const error = await caught(embedded(dataDir))
    expect(error).toMatchObject({ code: 'INVALID', message: expect.stringContaining(join(dataDir, 'node-id')) })
  })

  // Only root can make a process that is not allowed something; whoever is not root is refused already.
  it.each([
    ['that this user may not write', async (dataDir: string) => chmod(dataDir, 0o555)],
    [
      'with a store that this user may not write',
      async (dataDir: string) => {
        await (await embedded(dataDir)).close()
        await chmodAll(dataDir, 'a+rX,a-w')
      },
    ],
  ])('%s', { timeout }, async (_, forbid) => {
    const dataDir = await folder()
    await forbid(dataDir)
    closers.push(() => chmod(dataDir, 0o755))
    if (!isRoot) {
      expect(await caught(embedded(dataDir))).toMatchObject({
        code: 'INVALID',
        message: expect.stringContaining(dataDir),
      })
      return
    }
    const other = child(nodeProgram(dataDir), nobody)
    const failure = failureOf(await other.printed('failed'))
    expect(failure).toMatchObject({ code: 'INVALID', message: expect.stringMatching(sentence) })
    expect(failure.message).toContain(dataDir)
    expect(await other.exited).toEqual({ code: 0, signal: null })
  })

  it('is a matter of one partition where only its store is, and another node takes that', { timeout }, async () => {
    const cluster = await clusterOf('embedded')
    await cluster.start('a')
    await cluster.settled()
    await append(cluster, ['1'])
    await mkdir(cluster.dirOf('b'))
    for (let p = 0; p < cluster.partitions; p++) await writeFile(join(cluster.dirOf('b'), `p${p}`), 'not a directory')
    await cluster.start('b')
    await cluster.when(() => cluster.eventsOf('placement.moving').length >= 2, 'b is offered partitions')
    await cluster.settled('a')
    await append(cluster, ['2'])
    expect(await states(cluster)).toEqual(keys.map(() => ['1', '2']))
  })
})

function chmodAll(path: string, mode: string): Promise<void> {
  const { status, stderr } = spawnSync('chmod', ['-R', mode, path], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`chmod: ${stderr}`)
  return Promise.resolve()
}
