import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { afterEach, describe, expect, it } from 'vitest'
import { startNatsServer, type TestServer, type TestServerOptions } from './nats-server.ts'

const started: TestServer[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.stop()))
})

async function start(options?: TestServerOptions): Promise<TestServer> {
  const server = await startNatsServer(options)
  started.push(server)
  return server
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

async function greetingOf({ port }: TestServer): Promise<void> {
  const socket = connectSocket({ host: '127.0.0.1', port })
  await once(socket, 'data')
  socket.destroy()
}

describe('the nats-server of a test', () => {
  it('answers on its port as soon as it is started (N1)', async () => {
    const server = await start()
    const nc = await connect({ servers: server.url, reconnect: false })
    await nc.flush()
    expect(nc.info?.port).toBe(server.port)
    expect(nc.info?.jetstream).toBe(true)
    await nc.close()
  })

  it('has what it acknowledged again after kill -9 and a restart, on the same port (N2)', async () => {
    const server = await start()
    const before = await connect({ servers: server.url, reconnect: false })
    await (await jetstreamManager(before)).streams.add({ name: 'S', subjects: ['s'] })
    await jetstream(before).publish('s', 'kept')
    const { pid, port } = server

    await server.kill()
    expect(isAlive(pid)).toBe(false)
    expect(server.running).toBe(false)
    expect(() => server.pid).toThrow(/does not run/)
    await before.closed()

    await server.restart()
    expect(server.port).toBe(port)
    expect(server.pid).not.toBe(pid)
    const after = await connect({ servers: server.url, reconnect: false })
    const { state } = await (await jetstreamManager(after)).streams.info('S')
    expect(state.messages).toBe(1)
    await after.close()
  })

  it('writes through to the disk before each acknowledgement, unless the test asks for less', async () => {
    const config = 'http: "127.0.0.1:-1"'
    const [always, relaxed] = await Promise.all([start({ config }), start({ config, syncAlways: false })])
    expect(await syncsAlways(always)).toBe(true)
    expect(await syncsAlways(relaxed)).toBe(false)
  })

  it('takes more configuration, and says what is wrong with it', async () => {
    const server = await start({ config: 'max_payload: 65536' })
    const nc = await connect({ servers: server.url, reconnect: false })
    expect(nc.info?.max_payload).toBe(65536)
    await nc.close()
    await expect(startNatsServer({ config: 'max_payloads: 1' })).rejects.toThrow(/ended at its start[^]*max_payloads/)
  })

  it('says so when its port is taken', async () => {
    const first = await start()
    await expect(startNatsServer({ port: first.port })).rejects.toThrow(/address already in use/)
  })

  it('answers nobody while it is paused, and goes on after', async () => {
    const [paused, other] = await Promise.all([start(), start()])
    paused.pause()
    // The kernel accepts the connection; the server's greeting comes only once it goes on.
    const socket = connectSocket({ host: '127.0.0.1', port: paused.port })
    await once(socket, 'connect')
    let greeted = false
    const greeting = once(socket, 'data').then(() => (greeted = true))
    // Meanwhile a server that runs greets many.
    for (let i = 0; i < 50; i++) await greetingOf(other)
    expect(greeted).toBe(false)
    paused.resume()
    expect(await greeting).toBe(true)
    socket.destroy()
  })

  it('ends and leaves nothing behind, also when it was paused', async () => {
    const server = await startNatsServer()
    const { pid, storeDir } = server
    server.pause()
    await server.stop()
    expect(isAlive(pid)).toBe(false)
    expect(await exists(storeDir)).toBe(false)
  })

  it('leaves a store that it was given where it is', async () => {
    const storeDir = await mkdtemp(join(tmpdir(), 'holdfast-store-'))
    const server = await startNatsServer({ storeDir })
    await server.stop()
    expect(await exists(storeDir)).toBe(true)
    await rm(storeDir, { recursive: true })
  })

  it('does not outlive a test process that is killed (N3)', async () => {
    const script = `
      import { startNatsServer } from ${JSON.stringify(new URL('./nats-server.ts', import.meta.url).href)}
      const server = await startNatsServer()
      console.log(JSON.stringify({ port: server.port, pid: server.pid, storeDir: server.storeDir }))`
    const owner = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(owner.stdout, 'data')) as [Buffer]
    const server = JSON.parse(line.toString('utf8')) as { port: number; pid: number; storeDir: string }
    const socket = connectSocket({ host: '127.0.0.1', port: server.port })
    await once(socket, 'data')

    owner.kill('SIGKILL')
    // Only the server's end closes the connection; that it is a zombie until somebody reaps it does not matter.
    await once(socket.resume(), 'close')
    while (await exists(server.storeDir));
    expect(await exists(server.storeDir)).toBe(false)
  }, 60_000)
})

/** As the server's own monitoring reports it. */
async function syncsAlways(server: TestServer): Promise<unknown> {
  const monitor = server.log.join('\n').match(/Starting http monitor on (\S+)/)?.[1]
  const response = await fetch(`http://${monitor}/jsz?config=true`)
  const { config } = (await response.json()) as { config: { sync_always?: boolean } }
  return config.sync_always ?? false
}
