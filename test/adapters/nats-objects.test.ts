/** Objects over NATS: as other clients of an object store see them, and over everything that can happen to a server and a connection. */
import { Objm } from '@nats-io/obj'
import { connect as connectNats, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import type { NatsSettings } from '../../src/adapters/nats/settings.ts'
import { maxObjectBytes } from '../../src/core/objects.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { bytes, pattern, same, text } from '../conformance/bytes.ts'
import { objectsConformance } from '../conformance/objects.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { ask, becomes, makeParts, quick, Wire } from './nats-world.ts'

let server: TestServer
/** Without the adapter. */
let plain: NatsConnection
beforeAll(async () => {
  server = await startNatsServer()
  plain = await connectPlain()
})
afterAll(async () => {
  await plain.close()
  await server.stop()
})

const connectPlain = () => connectNats({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })

let clusters = 0
const newCluster = () => `o${++clusters}`

const open = async (settings: Partial<NatsSettings> & { readonly cluster: string }): Promise<NatsPorts> => {
  const ports = await openNats({ servers: server.url, ...quick, ...settings }, makeParts())
  await ports.provisionObjects()
  return ports
}

const chunksOf = async ({ transport }: NatsPorts, cluster: string): Promise<Record<string, number>> => {
  const info = await ask(transport, `$JS.API.STREAM.INFO.OBJ_${cluster}_snapshots`, {
    subjects_filter: `$O.${cluster}_snapshots.C.>`,
  })
  return ((info['state'] as { subjects?: Record<string, number> }).subjects ?? {}) as Record<string, number>
}

objectsConformance(
  'the objects over NATS',
  async () => {
    const cluster = newCluster()
    const opened: NatsPorts[] = []
    const closeAll = () => Promise.all(opened.splice(0).map((ports) => ports.close()))
    return {
      async connect() {
        const ports = await open({ cluster })
        opened.push(ports)
        return ports.objects
      },
      async damage(name) {
        const official = await new Objm(plain).open(`${cluster}_snapshots`)
        const { nuid } = (await official.info(name))!
        const subject = `$O.${cluster}_snapshots.C.${nuid}`
        const content = (await official.getBlob(name))!
        content[content.length >> 1]! ^= 1
        await ask(opened[0]!.transport, `$JS.API.STREAM.PURGE.OBJ_${cluster}_snapshots`, { filter: subject })
        for (let at = 0; at < content.length; at += 131_072) {
          await plain.request(subject, content.subarray(at, at + 131_072))
        }
      },
      async restart() {
        await closeAll()
        // What it asks while it is away is lost.
        await plain.close()
        await server.restart()
        plain = await connectPlain()
      },
      async close() {
        await closeAll()
      },
    }
  },
  { durable: true },
)

describe('the bucket of the objects', () => {
  it('is created once, by whoever comes first', async () => {
    const cluster = newCluster()
    const nodes = await Promise.all(
      [1, 2, 3].map(() => openNats({ servers: server.url, cluster, ...quick }, makeParts())),
    )
    const created = await Promise.all(nodes.map((node) => node.provisionObjects()))
    expect(created.filter((each) => each.created).length).toBeGreaterThanOrEqual(1)
    expect(await nodes[0]!.provisionObjects()).toEqual({ created: false })
    await nodes[1]!.objects.put('one', bytes('x'))
    expect(text(await nodes[2]!.objects.get('one'))).toBe('x')
    await Promise.all(nodes.map((node) => node.close()))
  })

  it.each([
    ['max_age', { max_age: 1_000_000_000 }],
    ['discard', { discard: 'old' }],
    ['allow_direct', { allow_direct: true }],
    ['storage', { storage: 'memory' }],
  ])('is not taken from one with another %s, as INVALID', async (setting, different) => {
    const cluster = newCluster()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
    const bucket = `${cluster}_snapshots`
    const answer = await ask(ports.transport, `$JS.API.STREAM.CREATE.OBJ_${bucket}`, {
      name: `OBJ_${bucket}`,
      subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
      discard: 'new',
      deny_delete: true,
      allow_rollup_hdrs: true,
      ...different,
    })
    expect(answer).not.toHaveProperty('error')
    await expect(ports.provisionObjects()).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining(setting),
    })
    await ports.close()
  })

  it('that is missing says so with RETRY: nothing was stored', async () => {
    const ports = await openNats({ servers: server.url, cluster: newCluster(), ...quick }, makeParts())
    const { objects } = ports
    const retry = { code: 'RETRY', message: expect.stringContaining('provision') }
    await expect(objects.put('o', bytes('x'))).rejects.toMatchObject(retry)
    await expect(objects.get('o')).rejects.toMatchObject(retry)
    await expect(objects.list('')).rejects.toMatchObject(retry)
    await expect(objects.delete('o')).rejects.toMatchObject(retry)
    await ports.close()
  })
})

describe('an object over NATS, for other clients', () => {
  it('is one like any: the official library lists, describes, reads and deletes it', async () => {
    const cluster = newCluster()
    const ports = await open({ cluster })
    const { objects } = ports
    const official = await new Objm(plain).open(`${cluster}_snapshots`)
    const content = pattern(1_000_000)
    await objects.put('p3.Gen_1.c-0', content)
    await objects.put('empty', new Uint8Array())
    expect((await official.list()).map(({ name, size }) => [name, size])).toEqual([
      ['p3.Gen_1.c-0', 1_000_000],
      ['empty', 0],
    ])
    expect(await official.info('p3.Gen_1.c-0')).toMatchObject({ size: 1_000_000, chunks: 8, deleted: false })
    expect(same((await official.getBlob('p3.Gen_1.c-0'))!, content)).toBe(true)
    expect(await official.getBlob('empty')).toHaveLength(0)

    await objects.delete('empty')
    expect(await official.info('empty')).toBeNull()
    await official.delete('p3.Gen_1.c-0')
    expect(await objects.get('p3.Gen_1.c-0')).toBeNull()
    expect(await objects.list('')).toEqual([])
    await objects.delete('p3.Gen_1.c-0')
    await objects.put('p3.Gen_1.c-0', bytes('again'))
    expect(Buffer.from((await official.getBlob('p3.Gen_1.c-0'))!).toString()).toBe('again')
    await ports.close()
  })

  it('may have been put by one of them, in chunks of another size, and is read whole', async () => {
    const cluster = newCluster()
    const ports = await open({ cluster })
    const official = await new Objm(plain).open(`${cluster}_snapshots`)
    const content = pattern(300_001)
    await official.putBlob({ name: 'p1.theirs', options: { max_chunk_size: 10_000 } }, content)
    await official.putBlob({ name: 'not a name of ours' }, bytes('x'))
    expect(same((await ports.objects.get('p1.theirs'))!, content)).toBe(true)
    expect(await ports.objects.list('')).toEqual([{ name: 'p1.theirs', bytes: 300_001 }])
    await ports.objects.put('p1.theirs', content)
    await expect(ports.objects.put('p1.theirs', bytes('x'))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(await ports.objects.sweep()).toBe(0)
    await ports.close()
  })

  it.each([
    ['is no JSON', 'what'],
    [
      'is a link',
      '{"name":"one","options":{"link":{"bucket":"x"}},"nuid":"a","size":1,"chunks":1,"digest":"SHA-256=x"}',
    ],
    ['has no digest', '{"name":"one","nuid":"a","size":1,"chunks":1}'],
    ['names subjects of others', '{"name":"one","nuid":">","size":1,"chunks":1,"digest":"SHA-256=x"}'],
    ['has chunks that are not there', '{"name":"one","nuid":"a","size":1,"chunks":1,"digest":"SHA-256=x"}'],
    ['has an absurd size', `{"name":"one","nuid":"a","size":${2 ** 52},"chunks":1,"digest":"SHA-256=x"}`],
  ])('is INTERNAL where its description %s, is listed, and can be deleted', async (_, description) => {
    const cluster = newCluster()
    const ports = await open({ cluster })
    await plain.request(`$O.${cluster}_snapshots.M.${Buffer.from('one').toString('base64')}`, description)
    await expect(ports.objects.get('one')).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining(' one '),
    })
    expect((await ports.objects.list('')).map(({ name }) => name)).toEqual(['one'])
    await ports.objects.delete('one')
    expect(await ports.objects.get('one')).toBeNull()
    await ports.objects.put('one', bytes('mine'))
    expect(text(await ports.objects.get('one'))).toBe('mine')
    await ports.close()
  })
})

describe('objects over NATS, when the connection or the server fails', () => {
  it('are read whole though the chunks of many were written in between (X3)', async () => {
    const cluster = newCluster()
    const nodes = await Promise.all([open({ cluster }), open({ cluster })])
    const contents = Array.from({ length: 12 }, (_, i) => pattern(900_000 + i, i))
    await Promise.all(contents.map((content, i) => nodes[i % 2]!.objects.put(`p.${i}`, content)))
    const read = await Promise.all(contents.map((_, i) => nodes[(i + 1) % 2]!.objects.get(`p.${i}`)))
    expect(read.every((got, i) => same(got!, contents[i]!))).toBe(true)
    expect(Object.values(await chunksOf(nodes[0], cluster))).toEqual(contents.map(() => 7))
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('are RETRY where the connection breaks among the chunks, and nothing is there (B4)', async () => {
    const cluster = newCluster()
    const wire = await Wire.to(server.port)
    const ports = await open({ cluster, servers: wire.url, appendTimeoutMs: 60_000, requestTimeoutMs: 60_000 })
    const near = await open({ cluster })
    // The first acknowledgement of a chunk: the others are on their way.
    wire.rewrite((answer) => {
      if (answer.includes('"stream":"OBJ_')) queueMicrotask(() => wire.cut())
      return answer
    })
    await expect(ports.objects.put('one', pattern(maxObjectBytes))).rejects.toMatchObject({ code: 'RETRY' })
    await expect(ports.objects.get('one')).rejects.toMatchObject({ code: 'RETRY' })
    await expect(ports.objects.list('')).rejects.toMatchObject({ code: 'RETRY' })
    await expect(ports.objects.delete('one')).rejects.toMatchObject({ code: 'RETRY' })
    expect(await near.objects.get('one')).toBeNull()
    expect(await near.objects.list('')).toEqual([])
    // What it has left is spared now (P5) …
    expect(Object.keys(await chunksOf(near, cluster))).toHaveLength(1)
    expect(await near.objects.sweep()).toBe(0)
    wire.rewrite((answer) => answer)
    wire.mend()
    await becomes(ports.transport, 'connected')
    const content = pattern(300_000)
    await ports.objects.put('one', content)
    // … and swept when the server's clock is a century further.
    wire.rewrite((answer) => answer.replaceAll('"ts":"20', '"ts":"21'))
    expect(await ports.objects.sweep()).toBe(1)
    expect(await ports.objects.sweep()).toBe(0)
    expect(Object.values(await chunksOf(near, cluster))).toEqual([3])
    expect(same((await near.objects.get('one'))!, content)).toBe(true)
    await Promise.all([ports.close(), near.close()])
    await wire.close()
  })

  it('are read without a consumer where the stream has as many as it may (X3)', async () => {
    const own = await startNatsServer({
      config: 'accounts { A { users: [ { user: a, password: p } ], jetstream: { max_consumers: 1 } } }',
    })
    const cluster = newCluster()
    const ports = await open({ cluster, servers: own.url, user: 'a', password: 'p' })
    const content = pattern(1_000_000)
    await ports.objects.put('one', content)
    const stream = `OBJ_${cluster}_snapshots`
    const consumer = { stream_name: stream, config: { durable_name: 'other', ack_policy: 'none' } }
    const only = await ask(ports.transport, `$JS.API.CONSUMER.CREATE.${stream}.other`, consumer)
    expect(only).not.toHaveProperty('error')
    expect(same((await ports.objects.get('one'))!, content)).toBe(true)
    await ports.close()
    await own.stop()
  })

  it('are swept of remains though there are links and objects of other kinds, not where a description cannot be read', async () => {
    const cluster = newCluster()
    const wire = await Wire.to(server.port)
    const ports = await open({ cluster, servers: wire.url })
    const bucket = `$O.${cluster}_snapshots`
    const describe = (name: string, description: string) =>
      plain.request(`${bucket}.M.${Buffer.from(name).toString('base64')}`, description)
    await describe('link', '{"name":"link","options":{"link":{"bucket":"x"}},"nuid":"","size":0,"chunks":0}')
    await describe('other', '{"name":"other","nuid":"theirs","size":1,"chunks":1,"digest":"SHA-512=x"}')
    for (const nuid of ['theirs', 'left1', 'left2', 'left3']) await plain.request(`${bucket}.C.${nuid}`, 'x')
    wire.rewrite((answer) => answer.replaceAll('"ts":"20', '"ts":"21'))
    await describe('bad', 'what')
    expect(await ports.objects.sweep()).toBe(0)
    await ports.objects.delete('bad')
    expect(await ports.objects.sweep()).toBe(3)
    expect(Object.keys(await chunksOf(ports, cluster))).toEqual([`${bucket}.C.theirs`])
    await ports.close()
    await wire.close()
  })

  it('are UNKNOWN where the last acknowledgement is lost, and the same put again finds out (B4)', async () => {
    const cluster = newCluster()
    const wire = await Wire.to(server.port)
    const ports = await open({ cluster, servers: wire.url })
    let acknowledgements = 0
    wire.rewrite((answer) =>
      answer.replace(/"stream":"OBJ_/g, (said) => (++acknowledgements === 2 ? '"strean":"OBJ_' : said)),
    )
    await expect(ports.objects.put('one', bytes('content'))).rejects.toMatchObject({ code: 'UNKNOWN' })
    expect(text(await ports.objects.get('one'))).toBe('content')
    await ports.objects.put('one', bytes('content'))
    await expect(ports.objects.put('one', bytes('other'))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(Object.values(await chunksOf(ports, cluster))).toEqual([1])
    await ports.close()
    await wire.close()
  })

  it('leave no chunks behind where another put of the name came first (P3)', async () => {
    const cluster = newCluster()
    const nodes = await Promise.all([open({ cluster }), open({ cluster })])
    const outcomes = await Promise.allSettled(
      [0, 1, 2, 3, 4, 5].map((i) => nodes[i % 2]!.objects.put('one', pattern(300_000, i))),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(Object.values(await chunksOf(nodes[0], cluster))).toEqual([3])
    await nodes[1].objects.delete('one')
    expect(await chunksOf(nodes[0], cluster)).toEqual({})
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('are INVALID at once where this user may not put or delete', async () => {
    const own = await startNatsServer({
      config: `authorization { users: [
        { user: a, password: p }
        { user: b, password: p, permissions: { publish: { deny: [ "$O.>", "$JS.API.STREAM.PURGE.>" ] } } } ] }`,
    })
    const settings = { servers: own.url, cluster: newCluster(), password: 'p', appendTimeoutMs: 60_000 }
    const owner = await open({ ...settings, user: 'a' })
    const stranger = await open({ ...settings, user: 'b' })
    await owner.objects.put('one', bytes('x'))
    const invalid = { code: 'INVALID', message: expect.stringContaining('does not let this user publish') }
    await expect(stranger.objects.put('two', bytes('x'))).rejects.toMatchObject(invalid)
    await expect(stranger.objects.delete('one')).rejects.toMatchObject(invalid)
    expect(text(await stranger.objects.get('one'))).toBe('x')
    await Promise.all([owner.close(), stranger.close()])
    await own.stop()
  })

  it(
    'are what they were said to be over kills of the server in the middle of puts and gets',
    { timeout: 60_000 },
    async () => {
      const own = await startNatsServer()
      const cluster = newCluster()
      const ports = await open({ cluster, servers: own.url, appendTimeoutMs: 60_000, requestTimeoutMs: 60_000 })
      const { objects, transport } = ports
      const content = (n: number) => pattern(2_000_000, n)
      const outcomes: ('stored' | 'RETRY' | 'UNKNOWN')[] = []
      const interrupted: unknown[] = []
      await objects.put('read', content(99))
      for (let round = 0; round < 4; round++) {
        // The connection breaks some time after the first chunk is on its way.
        const first = 4 * round
        const puts = Array.from({ length: 4 }, async (_, i) => {
          try {
            await objects.put(`o.${first + i}`, content(first + i))
            outcomes[first + i] = 'stored'
          } catch (error) {
            if (!isHoldfastError(error, 'RETRY') && !isHoldfastError(error, 'UNKNOWN')) throw error
            outcomes[first + i] = error.code
          }
        })
        const reading = (async () => {
          for (;;) {
            try {
              expect(same((await objects.get('read'))!, content(99))).toBe(true)
            } catch (error) {
              interrupted.push(error)
              return
            }
          }
        })()
        if (round % 2 === 0) await puts[0]
        const down = becomes(transport, 'disconnected')
        await own.kill()
        await down
        await Promise.all([...puts, reading])
        await own.restart()
        await becomes(transport, 'connected')
      }
      expect(outcomes).toContain('stored')
      expect(outcomes).toContain('RETRY')
      for (const error of interrupted) expect(error).toMatchObject({ code: 'RETRY' })
      expect(interrupted).toHaveLength(4)
      for (const [n, outcome] of outcomes.entries()) {
        const got = await objects.get(`o.${n}`)
        if (outcome === 'stored') expect(got).not.toBeNull()
        if (outcome === 'RETRY') expect(got).toBeNull()
        if (got !== null) expect(same(got, content(n))).toBe(true)
        await objects.put(`o.${n}`, content(n))
      }
      expect(await objects.list('o')).toHaveLength(16)
      await ports.close()
      await own.stop()
    },
  )
})
