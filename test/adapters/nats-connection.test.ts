import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { nkeys } from '@nats-io/transport-node'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import { openNats, openNatsTransport } from '../../src/adapters/nats/open.ts'
import type { NatsSettings } from '../../src/adapters/nats/settings.ts'
import { messageOf } from '../../src/protocol/errors.ts'
import { runChild } from '../support/child.ts'
import { natsServerBinary, startNatsServer, type TestServer, type TestServerOptions } from '../support/nats-server.ts'
import { becomes, makeParts, quick } from './nats-world.ts'

const servers: TestServer[] = []
const stubs: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop()
  for (const stub of stubs.splice(0)) stub.close()
})

async function start(options?: TestServerOptions): Promise<TestServer> {
  const server = await startNatsServer(options)
  servers.push(server)
  return server
}

/** Speaks as much of the protocol as a client needs to connect. */
async function stub(greet: (socket: Socket) => void): Promise<string> {
  const server = createServer(greet)
  stubs.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `nats://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const announcing = (version: string) => (socket: Socket) => {
  socket.write(
    `INFO ${JSON.stringify({ server_id: 'x', version, proto: 1, headers: true, max_payload: 1_048_576, jetstream: true })}\r\n`,
  )
  socket.on('data', (data) => {
    if (data.includes('PING')) socket.write('PONG\r\n')
  })
  socket.on('error', () => {})
}

const failure = async (settings: NatsSettings): Promise<unknown> =>
  openNats({ cluster: 'c', ...quick, ...settings }, makeParts()).then(
    async (ports) => {
      await ports.close()
      return 'connected'
    },
    (error: unknown) => error,
  )

describe('connecting to NATS', () => {
  it('where no server is fails with RETRY and says what to do', async () => {
    const url = await stub(() => {})
    const closed = stubs.pop()!
    closed.close()
    await once(closed, 'close')
    const error = await failure({ servers: [url] })
    expect(error).toMatchObject({ code: 'RETRY' })
    expect(messageOf(error)).toContain(`no NATS server answers at ${url.slice('nats://'.length)}`)
    expect(messageOf(error)).toContain('start one, or correct')
  })

  it('to one that says nothing fails with RETRY, and leaves no socket open (K1)', async () => {
    let accepted: (socket: Socket) => void
    const socket = new Promise<Socket>((resolve) => (accepted = resolve))
    const url = await stub((incoming) => accepted(incoming))
    const error = await failure({ servers: url, connectTimeoutMs: 100 })
    expect(error).toMatchObject({ code: 'RETRY' })
    const left = await socket
    left.resume()
    if (!left.closed) await once(left, 'close')
    expect(left.closed).toBe(true)
  })

  it.each(['2.9.10', '2.10.26', '1.99.99'])('to a server of version %s is INVALID', async (version) => {
    const url = await stub(announcing(version))
    const error = await failure({ servers: url })
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(messageOf(error)).toContain(`is version ${version}, and Holdfast needs 2.10.27 or newer`)
  })

  it.each(['2.10.27', '2.11.0-preview.2', '3.0.0'])('to a server of version %s is taken', async (version) => {
    const url = await stub(announcing(version))
    const transport = await openNatsTransport({ servers: url }, makeParts())
    expect(transport.connected).toBe(true)
    await transport.close()
  })

  it('tries each server of the list', async () => {
    const server = await start()
    const transport = await openNatsTransport({ servers: `127.0.0.1:1,${server.url}` }, makeParts())
    expect(transport.connected).toBe(true)
    await transport.close()
  })

  it('as a node to a server without JetStream is INVALID and says what to do; a client needs none', async () => {
    const server = spawn(natsServerBinary(), ['-a', '127.0.0.1', '-p', '-1'], { stdio: ['ignore', 'ignore', 'pipe'] })
    const gone = once(server, 'close')
    try {
      let port: string | undefined
      for await (const line of createInterface({ input: server.stderr })) {
        port ??= /Listening for client connections on .*:(\d+)$/.exec(line)?.[1]
        if (line.includes('Server is ready')) break
      }
      const servers = `127.0.0.1:${port}`
      const error = await failure({ servers })
      expect(error).toMatchObject({ code: 'INVALID' })
      expect(messageOf(error)).toContain('has no JetStream: start it with')
      const transport = await openNatsTransport({ servers }, makeParts())
      expect(transport.connected).toBe(true)
      await transport.close()
    } finally {
      server.kill('SIGKILL')
      await gone
    }
  })

  it('as a node in an account without JetStream is INVALID', async () => {
    const server = await start({
      config: 'accounts { PLAIN: { users: [ { user: u, password: p } ] }, JS: { jetstream: enabled } }',
    })
    const error = await failure({ servers: server.url, user: 'u', password: 'p' })
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(messageOf(error)).toContain("enable it for the user's account")
  })

  it('is over when the link is closed, also where the address of a server comes later: no connection is left (K12)', async () => {
    const sockets = new Set<Socket>()
    const url = await stub((incoming) => {
      sockets.add(incoming)
      announcing('2.12.0')(incoming)
    })
    const open = fileURLToPath(new URL('../../src/adapters/nats/open.ts', import.meta.url))
    const system = fileURLToPath(new URL('../../src/adapters/system/', import.meta.url))
    const script = `
      import dns from 'node:dns'
      import { openNatsTransport } from ${JSON.stringify(open)}
      import { SystemClock } from ${JSON.stringify(`${system}clock.ts`)}
      import { SystemRandom } from ${JSON.stringify(`${system}random.ts`)}
      const parts = { clock: new SystemClock(), random: new SystemRandom(), observer: { emit() {} } }
      const settings = { servers: ${JSON.stringify(url.replace('127.0.0.1', 'localhost'))}, reconnectWaitMs: 50, reconnectJitterMs: 0 }
      const transport = await openNatsTransport(settings, parts)
      const { lookup } = dns
      const asked = new Promise((resolve) => (dns.lookup = (...question) => resolve(question)))
      console.log('connected')
      const question = await asked
      await transport.close()
      lookup(...question)
      console.log('closed')`
    const child = runChild(script, { typescript: true })
    onTestFinished(() => child.kill())
    await child.printed('connected')
    for (const socket of sockets) socket.destroy()
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect({ said: child.lines, complaints: child.complaints }).toEqual({
      said: ['connected', 'closed'],
      complaints: [],
    })
    expect(sockets.size).toBe(1)
  }, 60_000)

  it('closes the connection again where the rest fails', async () => {
    let accepted: (socket: Socket) => void
    const socket = new Promise<Socket>((resolve) => (accepted = resolve))
    const url = await stub((incoming) => {
      accepted(incoming)
      announcing('2.9.10')(incoming)
    })
    await failure({ servers: url })
    const left = await socket
    if (!left.closed) await once(left, 'close')
    expect(left.closed).toBe(true)
  })
})

describe('authentication with NATS', () => {
  const user = nkeys.createUser()
  const seed = new TextDecoder().decode(user.getSeed())
  const other = new TextDecoder().decode(nkeys.createUser().getSeed())

  it.each([
    [
      'a user and a password',
      () => '{ user: "u@x", password: "p:w" }',
      { user: 'u@x', password: 'p:w' },
      { user: 'u@x', password: 'no' },
    ],
    ['an nkey', () => `{ users: [ { nkey: ${user.getPublicKey()} } ] }`, { nkey: seed }, { nkey: other }],
    ['a token', () => '{ token: "t0ken" }', { token: 't0ken' }, { token: 'wrong' }],
  ])('by %s works; a wrong one and none at all are INVALID', async (_, authorization, right, wrong) => {
    const { url } = await start({ config: `authorization ${authorization()}` })
    expect(await failure({ servers: url, ...right })).toBe('connected')
    for (const settings of [wrong, {}]) {
      const error = await failure({ servers: url, ...settings })
      expect(error).toMatchObject({ code: 'INVALID' })
      expect(messageOf(error)).toContain('refuses the credentials')
    }
  })

  it('is understood in an address', async () => {
    const { port } = await start({ config: 'authorization { user: "u@x", password: "p:w" }' })
    expect(await failure({ servers: `nats://u%40x:p%3Aw@127.0.0.1:${port}` })).toBe('connected')
  })

  it('that is refused after a reconnect does not end the connection: it comes back when it is accepted again', async () => {
    const home = await start()
    const parts = makeParts()
    const transport = await openNatsTransport({ servers: home.url, user: 'u', password: 'p', ...quick }, parts)
    await home.kill()
    await becomes(transport, 'disconnected')
    const locked = await startNatsServer({ port: home.port, config: 'authorization { user: someone, password: else }' })
    const refusals = () => parts.events.filter((event) => event.type === 'transport.error')
    await parts.seen(() => refusals().length >= 3)
    expect(refusals()[0]).toMatchObject({ reason: expect.stringMatching(/authorization/i) })
    await locked.stop()
    await home.restart()
    await becomes(transport, 'connected')
    await transport.flush()
    await transport.close()
  })
})

describe('settings of the connection that can never work', () => {
  it.each([
    ['no server', { servers: [] }, '`servers`'],
    ['another scheme', { servers: 'http://127.0.0.1:4222' }, 'http'],
    ['a port that is none', { servers: 'nats://127.0.0.1:70000' }, '127.0.0.1:70000'],
    ['a port that is no number', { servers: '[::1]:nats' }, '[::1]:nats'],
    ['websockets', { servers: 'ws://127.0.0.1:4222' }, 'ws'],
    ['no address', { servers: 'nats://' }, 'address'],
    ['a space in an address', { servers: 'a b:4222' }, 'address'],
    ['two ways to authenticate', { servers: 'x', token: 't', user: 'u' }, 'more than one way'],
    ['a broken nkey', { servers: 'x', nkey: 'SUABC' }, '`nkey`'],
    ['broken creds', { servers: 'x', creds: 'nothing here' }, '`creds`'],
    ['an inbox prefix with wildcards', { servers: 'x', inboxPrefix: '_INBOX.*' }, '`inboxPrefix`'],
    ['a negative time', { servers: 'x', appendTimeoutMs: -1 }, '`appendTimeoutMs`'],
    ['no time', { servers: 'x', requestTimeoutMs: Number.NaN }, '`requestTimeoutMs`'],
    ['too long a time', { servers: 'x', pingIntervalMs: 2 ** 40 }, '`pingIntervalMs`'],
    ['two replicas', { servers: 'x', replicas: 2 }, '`replicas`'],
    ['a cluster that is none', { servers: 'x', cluster: 'A.b' }, 'cluster'],
  ])('are INVALID before anything is connected: %s', async (_, settings, named) => {
    const error = await failure(settings)
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(messageOf(error)).toContain(named)
  })

  it('never show a password', async () => {
    for (const servers of ['nats://u:secret@', 'http://u:secret@host', 'nats://u:secret@127.0.0.1:1']) {
      expect(messageOf(await failure({ servers }))).not.toContain('secret')
    }
  })
})
