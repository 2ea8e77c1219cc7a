import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import { bytes, pattern, same, text } from '../conformance/bytes.ts'
import { inputsConformance, take } from '../conformance/inputs.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { addRaw, ask, becomes, makeParts, quick, Wire } from './nats-world.ts'

let server: TestServer
beforeAll(async () => {
  server = await startNatsServer({ syncAlways: false })
})
afterAll(() => server.stop())

const open = (servers: string): Promise<NatsPorts> => openNats({ servers, cluster: 'inputs', ...quick }, makeParts())

/** What a client of JetStream does, over the wire protocol alone. */
async function admin(servers: string) {
  const { transport, ...ports } = await open(servers)
  const api = async (question: string, body?: unknown) => {
    const answer = await ask(transport, `$JS.API.${question}`, body)
    expect(answer['error']).toBeUndefined()
    return answer
  }
  return {
    transport,
    api,
    create: async (stream: string, config: object = {}) => {
      await ask(transport, `$JS.API.STREAM.DELETE.${stream}`)
      await api(`STREAM.CREATE.${stream}`, { name: stream, subjects: [`${stream}.>`], storage: 'memory', ...config })
    },
    add: async (stream: string, subject: string, data: Uint8Array, headers?: Readonly<Record<string, string>>) => {
      const inbox = transport.inbox()
      const answer = await new Promise<Uint8Array>((resolve) => {
        const replies = transport.subscribe(inbox, (message) => {
          replies.close()
          resolve(message.data)
        })
        transport.publish(subject, data, { reply: inbox, ...(headers === undefined ? {} : { headers }) })
      })
      const { seq, stream: said } = JSON.parse(text(answer)!) as { readonly seq: number; readonly stream: string }
      expect(said).toBe(stream)
      return seq
    },
    close: () => ports.close(),
  }
}

inputsConformance('the streams of NATS', async () => {
  const wire = await Wire.to(server.port)
  const { transport, api, create, add, close } = await admin(server.url)
  const opened: NatsPorts[] = []
  for (const stream of ['A', 'B']) await ask(transport, `$JS.API.STREAM.DELETE.${stream}`)
  return {
    connect: async () => {
      const ports = await open(wire.url)
      opened.push(ports)
      return ports.inputs
    },
    create,
    remove: async (stream) => void (await api(`STREAM.DELETE.${stream}`)),
    add,
    trim: async (stream, first) => void (await api(`STREAM.PURGE.${stream}`, { seq: first })),
    breakAll: async () => {
      wire.cut()
      await Promise.all(opened.map((ports) => becomes(ports.transport, 'disconnected')))
      wire.mend()
      await Promise.all(opened.map((ports) => becomes(ports.transport, 'connected')))
    },
    close: async () => {
      await Promise.all([close(), ...opened.map((ports) => ports.close())])
      await wire.close()
    },
  }
})

describe('a reading of a stream of NATS', () => {
  it('notices a message that was lost on its way, and says RETRY (D1)', async () => {
    const { create, add, close } = await admin(server.url)
    await create('LOSSY')
    for (const n of ['one', 'two', 'six']) await add('LOSSY', 'LOSSY.x', bytes(n))
    const wire = await Wire.to(server.port)
    // The second delivery comes with the number of the third.
    wire.rewrite((said) => said.replace(/(\$JS\.ACK\.LOSSY\.\w+\.1\.2)\.2\./, '$1.3.'))
    const ports = await open(wire.url)
    const reading = ports.inputs.read({ stream: 'LOSSY', from: 1 })
    try {
      expect((await take(reading, 1)).map(({ data }) => text(data))).toEqual(['one'])
      await expect(reading.next()).rejects.toMatchObject({
        code: 'RETRY',
        reason: expect.stringContaining('lost on its way'),
      })
    } finally {
      reading.close()
      await Promise.all([ports.close(), close()])
      await wire.close()
    }
  })

  it.each([
    ['a name with a space', 'NATS/1.0\r\nMy Key: x\r\n\r\n', {}],
    ['a name that is not ASCII', 'NATS/1.0\r\nschlüssel: x\r\n\r\n', {}],
    ['a line break in a value', 'NATS/1.0\r\nKey: a\nb\r\n\r\n', {}],
    [
      'the status of a heartbeat',
      'NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 9\r\n\r\n',
      { 'Nats-Last-Consumer': '9' },
    ],
    ['the status of an end', 'NATS/1.0 503\r\n\r\n', {}],
  ])('gives a message whose headers have %s, and those behind it (D5)', async (_, block, headers) => {
    const { create, add, close } = await admin(server.url)
    await create('ODD')
    await addRaw(server.port, 'ODD.x', block, 'odd')
    await add('ODD', 'ODD.x', bytes('next'), { Key: 'y' })
    const ports = await open(server.url)
    const reading = ports.inputs.read({ stream: 'ODD', from: 1 })
    try {
      const found = (await take(reading, 2)).map((message) => [text(message.data), message.headers])
      expect(found).toEqual([
        ['odd', headers],
        ['next', { Key: 'y' }],
      ])
    } finally {
      reading.close()
      await Promise.all([ports.close(), close()])
    }
  })

  it('ends with RETRY soon after its consumer was removed, and leaves none behind when it is closed (D2, D3)', async () => {
    const { api, create, add, close } = await admin(server.url)
    await create('GONE')
    await add('GONE', 'GONE.x', bytes('one'))
    const ports = await open(server.url)
    const consumers = async () => ((await api('CONSUMER.NAMES.GONE'))['consumers'] ?? []) as readonly string[]
    try {
      const reading = ports.inputs.read({ stream: 'GONE', from: 1 })
      await take(reading, 1)
      const ended = reading.next().catch((error: unknown) => error)
      const [consumer] = await consumers()
      await api(`CONSUMER.DELETE.GONE.${consumer}`)
      expect(await ended).toMatchObject({ code: 'RETRY' })
      reading.close()
      const other = ports.inputs.read({ stream: 'GONE', from: 1 })
      await take(other, 1)
      expect(await consumers()).toHaveLength(1)
      other.close()
      while ((await consumers()).length > 0);
    } finally {
      await Promise.all([ports.close(), close()])
    }
  })

  it('survives a restart of the server by another one that goes on', async () => {
    const own = await startNatsServer({ syncAlways: false })
    const { create, add, transport, close } = await admin(own.url)
    try {
      await create('LASTING', { storage: 'file' })
      await add('LASTING', 'LASTING.x', bytes('one'))
      const ports = await open(own.url)
      const before = await ports.inputs.info('LASTING')
      const reading = ports.inputs.read({ stream: 'LASTING', from: 1 })
      await take(reading, 1)
      const ended = reading.next().catch((error: unknown) => error)
      await own.kill('SIGTERM')
      expect(await ended).toMatchObject({ code: 'RETRY' })
      reading.close()
      await own.restart()
      await Promise.all([becomes(ports.transport, 'connected'), becomes(transport, 'connected')])
      expect(await ports.inputs.info('LASTING')).toEqual(before)
      await add('LASTING', 'LASTING.x', bytes('two'))
      const other = ports.inputs.read({ stream: 'LASTING', from: 2 })
      expect((await take(other, 1)).map(({ data }) => text(data))).toEqual(['two'])
      other.close()
      await ports.close()
    } finally {
      await close()
      await own.stop()
    }
  })

  it('of messages that are more than one pull takes leaves out nothing (D2)', async () => {
    const { create, add, close } = await admin(server.url)
    await create('LARGE')
    const count = 24
    for (let i = 0; i < count; i++) await add('LARGE', 'LARGE.x', pattern(500_000, i))
    const ports = await open(server.url)
    const reading = ports.inputs.read({ stream: 'LARGE', from: 1 })
    try {
      const messages = await take(reading, count)
      expect(messages.map(({ seq, data }) => same(data, pattern(500_000, seq - 1)))).toEqual(Array(count).fill(true))
    } finally {
      reading.close()
      await Promise.all([ports.close(), close()])
    }
  })

  it('is refused for a stream that removes what others have read', async () => {
    const { create, close } = await admin(server.url)
    await create('QUEUE', { retention: 'workqueue' })
    const ports = await open(server.url)
    try {
      await expect(ports.inputs.info('QUEUE')).rejects.toMatchObject({
        code: 'INVALID',
        reason: expect.stringContaining('workqueue retention'),
      })
    } finally {
      await Promise.all([ports.close(), close()])
    }
  })
})
