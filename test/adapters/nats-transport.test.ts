import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { openNatsTransport } from '../../src/adapters/nats/open.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { bytes, text } from '../conformance/bytes.ts'
import { Collector, transportConformance } from '../conformance/transport.ts'
import { runChild } from '../support/child.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { becomes, makeParts, quick, Wire } from './nats-world.ts'

let server: TestServer
beforeAll(async () => {
  server = await startNatsServer()
})
afterAll(() => server.stop())

transportConformance(
  'the transport over NATS',
  async () => {
    const parts = makeParts()
    const wires = new Map<Transport, Wire>()
    return {
      async connect() {
        const wire = await Wire.to(server.port)
        const transport = await openNatsTransport({ servers: wire.url, ...quick }, parts)
        wires.set(transport, wire)
        return transport
      },
      get thrown() {
        return parts.events.flatMap((event) => (event.type === 'handler.threw' ? [event.error] : []))
      },
      async sever(transport) {
        wires.get(transport)!.cut()
        await becomes(transport, 'disconnected')
      },
      async heal(transport) {
        wires.get(transport)!.mend()
        await becomes(transport, 'connected')
      },
      async close() {
        for (const [transport, wire] of wires) {
          await transport.close()
          await wire.close()
        }
      },
    }
  },
  { breakable: true },
)

describe('the transport over NATS', () => {
  it('finds its subscriptions in force again after the server was killed and restarted', async () => {
    const parts = makeParts()
    const own = await startNatsServer()
    const transport = await openNatsTransport({ servers: own.url, ...quick }, parts)
    try {
      const collector = new Collector()
      transport.subscribe('s.*', collector.handler)
      await own.kill()
      await becomes(transport, 'disconnected')
      await own.restart()
      await becomes(transport, 'connected')
      transport.publish('s.x', bytes('back'))
      await collector.count(1)
      expect(collector.texts).toEqual(['back'])
      expect(parts.events.map((event) => event.type)).toEqual([
        'transport.connected',
        'transport.disconnected',
        'transport.connected',
      ])
    } finally {
      await transport.close()
      await own.stop()
    }
  })

  it('gives up a server that hangs with a full socket, and comes back to it (K2)', async () => {
    const wire = await Wire.to(server.port)
    const transport = await openNatsTransport({ servers: wire.url, ...quick, pingIntervalMs: 100 }, makeParts())
    try {
      wire.hang()
      const large = new Uint8Array(transport.maxPayload)
      for (let i = 0; i < 20; i++) transport.publish('nobody', large)
      await becomes(transport, 'disconnected')
      wire.mend()
      await becomes(transport, 'connected')
      await transport.flush()
    } finally {
      await transport.close()
      await wire.close()
    }
    expect(transport.connected).toBe(false)
  })

  it('loses, and reports, what it cannot hold for a server that does not read (K6)', async () => {
    const parts = makeParts()
    const wire = await Wire.to(server.port)
    const settings = { servers: wire.url, ...quick, pingIntervalMs: 60_000, maxBacklogBytes: 100_000 }
    const transport = await openNatsTransport(settings, parts)
    try {
      wire.hang()
      const large = new Uint8Array(1_000_000)
      const dropped = parts.seen((event) => event.type === 'message.dropped')
      let done = false
      void dropped.then(() => (done = true))
      let sent = 0
      while (!done && sent++ < 1_000) {
        transport.publish('nobody', large)
        await Promise.resolve()
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(await dropped).toEqual({ type: 'message.dropped', subject: 'nobody', reason: 'overflow' })
      expect(transport.lost).toBeGreaterThan(0)
    } finally {
      await transport.close()
      await wire.close()
    }
  })

  it('sends what was published right before it closes', async () => {
    const [a, b] = await Promise.all([0, 1].map(() => openNatsTransport({ servers: server.url }, makeParts())))
    const collector = new Collector()
    b!.subscribe('farewell', collector.handler)
    await b!.flush()
    a!.publish('farewell', bytes('x'))
    await a!.close()
    await collector.count(1)
    expect(collector.texts).toEqual(['x'])
    await b!.close()
  })

  it('can be closed while the server is away, and while it hangs', async () => {
    for (const trouble of ['cut', 'hang'] as const) {
      const wire = await Wire.to(server.port)
      const transport = await openNatsTransport({ servers: wire.url, ...quick }, makeParts())
      await transport.flush()
      wire[trouble]()
      if (trouble === 'cut') await becomes(transport, 'disconnected')
      const unanswered = transport.flush().catch((error: unknown) => error)
      await transport.close()
      expect(await unanswered).toMatchObject({ code: 'RETRY' })
      await wire.close()
    }
  })

  it('lets the process end by itself after it was closed', async () => {
    const open = fileURLToPath(new URL('../../src/adapters/nats/open.ts', import.meta.url))
    const system = fileURLToPath(new URL('../../src/adapters/system/', import.meta.url))
    const script = `
      import { openNats } from ${JSON.stringify(open)}
      import { SystemClock } from ${JSON.stringify(`${system}clock.ts`)}
      import { SystemRandom } from ${JSON.stringify(`${system}random.ts`)}
      const parts = { clock: new SystemClock(), random: new SystemRandom(), observer: { emit() {} } }
      const ports = await openNats({ servers: ${JSON.stringify(server.url)}, cluster: 'exit' }, parts)
      await ports.provisionRegistry()
      ports.registry.watch('', () => {})
      ports.transport.subscribe('x', () => {})
      void ports.changelog.log(0).append(new Uint8Array(1), 0)
      await ports.close()
      console.log('closed')`
    const child = runChild(script, { typescript: true })
    onTestFinished(() => child.kill())
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect({ said: child.lines, complaints: child.complaints }).toEqual({ said: ['closed'], complaints: [] })
  }, 60_000)

  it('gives data as plain bytes, not as a Buffer', async () => {
    const transport = await openNatsTransport({ servers: server.url }, makeParts())
    const collector = new Collector()
    transport.subscribe('s.x', collector.handler)
    transport.publish('s.x', bytes('x'), { headers: { A: 'b' } })
    const [message] = await collector.count(1)
    expect(Object.getPrototypeOf(message!.data)).toBe(Uint8Array.prototype)
    await transport.close()
  })

  it('has all its inboxes under the prefix that is set', async () => {
    const parts = makeParts()
    const transport = await openNatsTransport({ servers: server.url, inboxPrefix: '_INBOX_n1.x' }, parts)
    expect(transport.inbox()).toMatch(/^_INBOX_n1\.x\.[A-Za-z0-9]{22}\.1$/)
    await transport.close()
  })

  it('reports a subject that its user may not use, and goes on', async () => {
    const own = await startNatsServer({
      config: `authorization { users: [ { user: u, password: p, permissions: { publish: ["ok.>", "_INBOX.>"], subscribe: ["ok.>", "_INBOX.>"] } } ] }`,
    })
    const parts = makeParts()
    const transport = await openNatsTransport({ servers: own.url, user: 'u', password: 'p' }, parts)
    try {
      transport.publish('secret', bytes('x'))
      transport.subscribe('hidden', () => {})
      for (const subject of ['secret', 'hidden']) {
        await parts.seen((event) => event.type === 'transport.error' && event.reason.includes(`"${subject}"`))
      }
      const collector = new Collector()
      transport.subscribe('ok.x', collector.handler)
      transport.publish('ok.x', bytes('fine'))
      expect((await collector.count(1)).map((message) => text(message.data))).toEqual(['fine'])
    } finally {
      await transport.close()
      await own.stop()
    }
  })

  it.each([
    ['an outer space in a header', () => ({ headers: { A: ' b' } })],
    ['a reply subject that is too long', () => ({ reply: 'r'.repeat(2_000) })],
  ])('refuses %s as INVALID', async (_, options) => {
    const transport = await openNatsTransport({ servers: server.url }, makeParts())
    expect(() => transport.publish('fine', bytes('x'), options())).toThrow(expect.objectContaining({ code: 'INVALID' }))
    await transport.close()
  })
})
