import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import type { RegistryChange } from '../../src/ports/registry.ts'
import { bytes, pattern, text } from '../conformance/bytes.ts'
import { registryConformance } from '../conformance/registry.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { addRaw, ask, becomes, makeParts, quick, Wire } from './nats-world.ts'

let server: TestServer
beforeAll(async () => {
  server = await startNatsServer()
})
afterAll(() => server.stop())

let clusters = 0
const newCluster = () => `r${++clusters}`

registryConformance(
  'the registry over NATS',
  async () => {
    const cluster = newCluster()
    const opened: NatsPorts[] = []
    const closeAll = () => Promise.all(opened.splice(0).map((ports) => ports.close()))
    return {
      async connect() {
        const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
        opened.push(ports)
        await ports.provisionRegistry()
        return ports.registry
      },
      async restart() {
        await closeAll()
        await server.restart()
      },
      async close() {
        await closeAll()
      },
    }
  },
  { durable: true },
)

describe('the registry over NATS', () => {
  it('is created once, by whoever comes first', async () => {
    const cluster = newCluster()
    const nodes = await Promise.all(
      [1, 2, 3].map(() => openNats({ servers: server.url, cluster, ...quick }, makeParts())),
    )
    await Promise.all(nodes.map((node) => node.provisionRegistry()))
    expect(await nodes[0]!.provisionRegistry()).toEqual({ created: false })
    expect((await nodes[1]!.registry.create('settings', bytes('x'))).kind).toBe('written')
    expect(await nodes[2]!.provisionRegistry()).toEqual({ created: false })
    expect(text((await nodes[2]!.registry.get('settings'))!.value)).toBe('x')
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('is not taken from a bucket that forgets, as INVALID', async () => {
    const cluster = newCluster()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
    const bucket = {
      name: `KV_${cluster}_registry`,
      subjects: [`$KV.${cluster}_registry.>`],
      max_age: 1_000_000_000,
    }
    await ask(ports.transport, `$JS.API.STREAM.CREATE.${bucket.name}`, bucket)
    await expect(ports.provisionRegistry()).rejects.toMatchObject({ code: 'INVALID' })
    await ports.close()
  })

  it('that is missing says so with RETRY: nothing was written', async () => {
    const ports = await openNats({ servers: server.url, cluster: newCluster(), ...quick }, makeParts())
    const { registry } = ports
    const retry = { code: 'RETRY' }
    await expect(registry.get('k')).rejects.toMatchObject(retry)
    await expect(registry.list('')).rejects.toMatchObject(retry)
    await expect(registry.create('k', bytes('x'))).rejects.toMatchObject(retry)
    await expect(registry.update('k', bytes('x'), 1)).rejects.toMatchObject(retry)
    await expect(registry.delete('k')).rejects.toMatchObject(retry)
    await ports.close()
  })

  it('throws RETRY for what was never sent, UNKNOWN for a write without an answer', async () => {
    const wire = await Wire.to(server.port)
    const settings = { servers: wire.url, cluster: newCluster(), ...quick, requestTimeoutMs: 60_000 }
    const ports = await openNats(settings, makeParts())
    const { registry, transport } = ports
    await ports.provisionRegistry()
    wire.hang()
    const write = registry.create('k', bytes('x'))
    const read = registry.get('k')
    wire.cut()
    await expect(write).rejects.toMatchObject({ code: 'UNKNOWN' })
    await expect(read).rejects.toMatchObject({ code: 'RETRY' })
    await expect(registry.create('k', bytes('x'))).rejects.toMatchObject({ code: 'RETRY' })
    wire.mend()
    await becomes(transport, 'connected')
    expect((await registry.create('k2', bytes('x'))).kind).toBe('written')
    await ports.close()
    await wire.close()
    await expect(registry.get('k')).rejects.toMatchObject({ code: 'RETRY' })
  })

  it('refuses a value above the limit and a revision that is none, as INVALID', async () => {
    const ports = await openNats({ servers: server.url, cluster: newCluster(), ...quick }, makeParts())
    await ports.provisionRegistry()
    const invalid = { code: 'INVALID' }
    await expect(ports.registry.create('k', pattern(ports.transport.maxPayload))).rejects.toMatchObject(invalid)
    for (const revision of [0, -1, 1.5, Number.NaN]) {
      await expect(ports.registry.update('k', bytes('x'), revision)).rejects.toMatchObject(invalid)
      await expect(ports.registry.delete('k', revision)).rejects.toMatchObject(invalid)
    }
    expect(await ports.registry.get('k')).toBeNull()
    await ports.close()
  })

  it('lists more keys than it asks for at once', async () => {
    const ports = await openNats({ servers: server.url, cluster: newCluster(), ...quick }, makeParts())
    await ports.provisionRegistry()
    const keys = Array.from({ length: 75 }, (_, i) => `lease.n${i}`)
    await Promise.all(keys.map((key) => ports.registry.create(key, bytes(key))))
    const list = await ports.registry.list('lease')
    expect(list.map((entry) => entry.key).toSorted()).toEqual(keys.toSorted())
    expect(list.every((entry) => text(entry.value) === entry.key)).toBe(true)
    await ports.close()
  })

  it('lists what was deleted as such, for that is read as well (G4)', async () => {
    const ports = await openNats({ servers: server.url, cluster: newCluster(), ...quick }, makeParts())
    await ports.provisionRegistry()
    await ports.registry.create('lease.n1', bytes('x'))
    await ports.registry.create('lease.n2', bytes('y'))
    const gone = await ports.registry.delete('lease.n1')
    expect(await ports.registry.get('lease.n1')).toBeNull()
    const list = await ports.registry.list('lease')
    expect(list.map(({ key, value }) => [key, text(value)]).toSorted()).toEqual([
      ['lease.n1', undefined],
      ['lease.n2', 'y'],
    ])
    expect(list.find(({ value }) => value === null)!.revision).toBe(gone.kind === 'written' && gone.revision)
    await ports.close()
  })

  it('tells a watch what it missed while the connection was away, and nothing twice (W1, W2)', async () => {
    const cluster = newCluster()
    const wire = await Wire.to(server.port)
    const near = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
    const far = await openNats({ servers: wire.url, cluster, ...quick }, makeParts())
    await near.provisionRegistry()
    const written: number[] = []
    const write = async (key: string) => {
      const result = await near.registry.create(key, bytes(key))
      if (result.kind === 'written') written.push(result.revision)
    }
    const heard: RegistryChange[] = []
    let wake = () => {}
    far.registry.watch('', (change) => {
      heard.push(change)
      wake()
    })
    const until = async (count: number) => {
      while (heard.length < count) await new Promise<void>((resolve) => (wake = resolve))
    }
    await write('before')
    await write('lost')
    await until(2)
    wire.cut()
    await becomes(far.transport, 'disconnected')
    await write('meanwhile')
    const gone = await near.registry.delete('lost')
    await near.registry.create('never-heard', bytes('x'))
    await near.registry.delete('never-heard')
    wire.mend()
    await becomes(far.transport, 'connected')
    await until(4)
    await write('after')
    await until(5)
    expect(heard.map((change) => `${change.key}${change.value === null ? ' gone' : ''}`).toSorted()).toEqual(
      ['before', 'lost', 'lost gone', 'meanwhile', 'after'].toSorted(),
    )
    expect(heard.find((change) => change.value === null)!.revision).toBe(gone.kind === 'written' && gone.revision)
    expect(
      heard
        .filter((change) => change.value !== null)
        .map((change) => change.revision)
        .toSorted((a, b) => a - b),
    ).toEqual(written)
    await near.close()
    await far.close()
    await wire.close()
  })

  it('begins a watch before there is a registry, and goes on where the listener throws', async () => {
    const cluster = newCluster()
    const parts = makeParts()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, parts)
    const error = new Error('thrown by a test')
    const heard = new Promise<RegistryChange>((resolve) => {
      ports.registry.watch('k', (change) => {
        if (change.key === 'k.1') throw error
        resolve(change)
      })
    })
    await ports.provisionRegistry()
    await ports.registry.create('k.1', bytes('1'))
    await ports.registry.create('k.2', bytes('2'))
    expect((await heard).key).toBe('k.2')
    expect(parts.events).toContainEqual(expect.objectContaining({ type: 'handler.threw', error }))
    await ports.close()
  })

  it('tells a watch all but what has headers that nobody can read, and does not begin it anew for that (W4)', async () => {
    const cluster = newCluster()
    const parts = makeParts()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, parts)
    await ports.provisionRegistry()
    let consumers = 0
    ports.transport.subscribe(`$JS.API.CONSUMER.CREATE.KV_${cluster}_registry`, () => consumers++)
    const poison = (key: string) =>
      addRaw(server.port, `$KV.${cluster}_registry.${key}`, 'NATS/1.0\r\nbad key: x\r\n\r\n', '{}')
    await poison('k.poison')
    await ports.registry.create('k.stored', bytes('1'))
    const heard: string[] = []
    let wake = () => {}
    ports.registry.watch('k', ({ key }) => {
      heard.push(key)
      wake()
    })
    const until = async (count: number) => {
      while (heard.length < count) await new Promise<void>((resolve) => (wake = resolve))
    }
    await until(1)
    await poison('k.more')
    await ports.registry.create('k.later', bytes('2'))
    await until(2)
    expect(heard).toEqual(['k.stored', 'k.later'])
    expect(consumers).toBe(1)
    expect(parts.events.filter((event) => event.type === 'handler.threw')).toEqual([])
    await ports.close()
  })
})
