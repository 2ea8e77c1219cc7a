import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedChangelog } from '../../src/adapters/embedded/changelog.ts'
import { EmbeddedObjects } from '../../src/adapters/embedded/objects.ts'
import { EmbeddedRegistry } from '../../src/adapters/embedded/registry.ts'
import { EmbeddedServer, type EmbeddedConnection } from '../../src/adapters/embedded/server.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { bytes, text } from '../conformance/bytes.ts'
import { changelogConformance, entriesOf } from '../conformance/changelog.ts'
import { objectsConformance } from '../conformance/objects.ts'
import { registryConformance } from '../conformance/registry.ts'
import { transportConformance } from '../conformance/transport.ts'
import { build } from '../support/build.ts'
import { Child } from './fixtures/run-child.ts'

const clock = new SystemClock()
const p0 = partitionId(0)
const maxRecord = 1_047_552
const scratch = () => mkdtemp(join(tmpdir(), 'holdfast-embedded-'))
const remove = (path: string) => rm(path, { recursive: true, force: true })
const openServer = (dataDir: string) => EmbeddedServer.open({ dataDir, clock, random: new SeededRandom('embedded') })

describe('one embedded server', () => {
  let dataDir: string
  let server: EmbeddedServer
  beforeAll(async () => {
    dataDir = await scratch()
    server = await openServer(dataDir)
  })
  afterAll(async () => {
    await server.close()
    await remove(dataDir)
  })

  it('reports what a listener of the registry throws, and tells all others, and it of the next change (R4)', async () => {
    const events: HoldfastEvent[] = []
    const { registry, transport } = server.connect({ emit: (event) => void events.push(event) })
    const error = new Error('of the listener')
    const heard: string[] = []
    registry.watch('told', () => {
      throw error
    })
    registry.watch('told', ({ key }) => void heard.push(key))
    await registry.create('told.a', bytes('1'))
    await registry.create('told.b', bytes('2'))
    await transport.flush()
    expect(heard).toEqual(['told.a', 'told.b'])
    expect(events).toEqual(heard.map((key) => ({ type: 'handler.threw', where: `registry ${key}`, error })))
    await Promise.all([registry.close(), transport.close()])
  })

  transportConformance(
    'its transport',
    async () => {
      const thrown: unknown[] = []
      const observer = {
        emit: (event: HoldfastEvent) => void (event.type === 'handler.threw' && thrown.push(event.error)),
      }
      const connections: EmbeddedConnection[] = []
      return {
        thrown,
        connect: async () => {
          const connection = server.connect(observer)
          connections.push(connection)
          return connection.transport
        },
        close: async () => void (await Promise.all(connections.map(({ transport }) => transport.close()))),
      }
    },
    { breakable: false },
  )
})

changelogConformance(
  'the embedded changelog',
  async () => {
    const folder = await scratch()
    let server = new EmbeddedChangelog({ folder, maxRecord })
    return {
      clock,
      maxRecord,
      tooLarge: maxRecord + 1,
      connect: async () => server.connect(),
      disconnect: () => server.close(),
      restart: async () => {
        await server.close()
        server = new EmbeddedChangelog({ folder, maxRecord })
      },
      close: async () => {
        await server.close()
        await remove(folder)
      },
    }
  },
  { durable: true },
)

registryConformance(
  'the embedded registry',
  async () => {
    const folder = await scratch()
    let server = await EmbeddedRegistry.open({ folder })
    return {
      connect: async () => server.connect((run) => clock.defer(run)),
      restart: async () => {
        await server.close()
        server = await EmbeddedRegistry.open({ folder })
      },
      close: async () => {
        await server.close()
        await remove(folder)
      },
    }
  },
  { durable: true },
)

objectsConformance(
  'the embedded objects',
  async () => {
    const folder = await scratch()
    let server = new EmbeddedObjects({ folder })
    return {
      connect: async () => server.connect(),
      damage: async (name) => {
        const path = join(folder, name)
        const file = await readFile(path)
        file[file.length - 1]! ^= 1
        await writeFile(path, file)
      },
      restart: async () => {
        await server.close()
        server = new EmbeddedObjects({ folder })
      },
      close: async () => {
        await server.close()
        await remove(folder)
      },
    }
  },
  { durable: true },
)

describe('an embedded server', () => {
  let dataDir: string
  let servers: EmbeddedServer[]
  let child: Child | undefined
  // What it runs is compiled once.
  beforeAll(build, 60_000)
  beforeEach(async () => {
    dataDir = await scratch()
    servers = []
  })
  afterEach(async () => {
    await child?.kill()
    child = undefined
    for (const server of servers) await server.close()
    await remove(dataDir)
  })
  const open = async () => {
    const server = await openServer(dataDir)
    servers.push(server)
    return server
  }

  it('has its directory alone, in a process and among processes (M1)', async () => {
    const first = await open()
    await expect(open()).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(dataDir) })
    await first.close()
    child = new Child('hold-server', dataDir)
    await child.said(1)
    await expect(open()).rejects.toMatchObject({ code: 'CONFLICT' })
    await child.kill()
    await open()
  })

  it('has everything after a restart', async () => {
    const first = await open()
    const before = first.connect()
    await before.changelog.provision(p0, generation('g'), bytes('genesis'))
    await before.changelog.log(p0).append(bytes('two'), seq(1))
    await before.registry.create('settings', bytes('s'))
    await before.objects.put('p0.one', bytes('o'))
    await first.close()
    await first.close()
    expect(() => first.connect()).toThrow(expect.objectContaining({ code: 'RETRY' }))
    expect((await before.changelog.log(p0).append(bytes('three'), seq(2))).kind).toBe('refused')
    await expect(before.changelog.log(p0).info()).rejects.toMatchObject({ code: 'RETRY' })
    await expect(before.registry.get('settings')).rejects.toMatchObject({ code: 'RETRY' })
    await expect(before.objects.get('p0.one')).rejects.toMatchObject({ code: 'RETRY' })
    const after = (await open()).connect()
    expect(await after.changelog.log(p0).info()).toEqual({ generation: 'g', first: 1, last: 2 })
    expect(text((await after.registry.get('settings'))!.value)).toBe('s')
    expect(text(await after.objects.get('p0.one'))).toBe('o')
  })

  it('has every record that it accepted, and a whole log, though its process was killed (C3)', async () => {
    child = new Child('append', dataDir)
    for (const lines of [150, 400]) {
      await child.said(lines)
      await child.kill()
      const accepted = child.lines.map(Number)
      const server = await open()
      const { changelog, registry } = server.connect()
      const log = changelog.log(p0)
      const { last } = (await log.info())!
      expect(last).toBeGreaterThanOrEqual(Math.max(...accepted))
      const entries = await entriesOf(log, 2, last)
      expect(entries).toHaveLength(last - 1)
      for (const [i, entry] of entries.entries()) {
        expect(text(entry.record)).toBe(`record ${i + 2} ${'x'.repeat((i + 1) % 700)}`)
      }
      expect(text((await registry.get('settings'))!.value)).toBe('kept')
      await server.close()
      child = new Child('append', dataDir)
    }
  })

  it('holds no file that it does not need', async () => {
    const { changelog } = (await open()).connect()
    for (const n of [0, 1]) await changelog.provision(partitionId(n), generation('g'), bytes('genesis'))
    expect((await readdir(join(dataDir, 'logs'))).toSorted()).toEqual(['p0.log', 'p1.log'])
    expect((await readdir(dataDir)).toSorted()).toEqual(['logs', 'node', 'objects', 'registry.log'])
    expect(await readdir(join(dataDir, 'objects'))).toEqual([])
  })
})
