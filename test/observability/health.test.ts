/** What nodes on a real nats-server say of their health while things break. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectNats } from '@nats-io/transport-node'
import { jetstreamManager } from '@nats-io/jetstream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { actor, connect, createNode, type CreateNodeOptions, type HoldfastNode } from '../../src/index.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

const timeout = 60_000
const Cart = actor('cart', { version: 1, state: () => 0, commands: { add: (ctx) => ++ctx.state } })

interface Health {
  readonly status: number
  readonly state: string
  readonly codes: readonly string[]
  readonly messages: readonly string[]
}

let folder: string
let server: TestServer
const nodes: HoldfastNode[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-health-'))
  server = await startNatsServer({ syncAlways: false })
}, timeout)
afterEach(async () => {
  if (!server.running) await server.restart()
  await Promise.all(nodes.splice(0).map((node) => node.close()))
  await server.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

async function start(name: string, options: Partial<CreateNodeOptions> = {}): Promise<HoldfastNode> {
  const node = await createNode({
    servers: server.url,
    cluster: 'health',
    partitions: 4,
    dataDir: join(folder, name),
    host: name,
    nodeId: name,
    actors: [Cart],
    http: 0,
    ...options,
  } as CreateNodeOptions)
  nodes.push(node)
  return node
}

async function ask(url: string | undefined, path: '/healthz' | '/readyz'): Promise<Health> {
  const response = await fetch(`${url}${path}`)
  const { ok, state, reasons } = (await response.json()) as {
    ok: boolean
    state: string
    reasons: { code: string; message: string }[]
  }
  expect(ok).toBe(response.status === 200)
  expect(ok).toBe(reasons.length === 0)
  return {
    status: response.status,
    state,
    codes: reasons.map(({ code }) => code),
    messages: reasons.map(({ message }) => message),
  }
}
const alive = (node: HoldfastNode) => ask(node.http, '/healthz')

/** Asks until it is so. */
async function readyWhen(node: HoldfastNode, holds: (health: Health) => boolean): Promise<Health> {
  for (;;) {
    const health = await ask(node.http, '/readyz')
    if (holds(health)) return health
  }
}
const isReady = ({ status }: Health) => status === 200

describe('a node', { timeout }, () => {
  it('is ready when it serves what it is named for, and answers nobody once it is closed', async () => {
    const node = await start('a')
    await readyWhen(node, isReady)
    await readyWhen(node, () => node.status().partitions.every(({ role }) => role === 'owner'))
    expect(await ask(node.http, '/readyz')).toMatchObject({ status: 200, state: 'running' })
    expect(await alive(node)).toMatchObject({ status: 200, state: 'running' })
    await node.close()
    await expect(fetch(`${node.http}/healthz`)).rejects.toThrow()
  })

  it('lives on and is not ready while its server is gone, and is ready when that is back', async () => {
    const node = await start('a')
    await readyWhen(node, isReady)
    await server.kill()
    expect((await readyWhen(node, (health) => !isReady(health))).codes).toContain('disconnected')
    expect((await readyWhen(node, ({ codes }) => codes.includes('lease-not-renewed'))).status).toBe(503)
    expect(await alive(node)).toMatchObject({ status: 200 })
    await server.restart()
    await readyWhen(node, isReady)
    const hf = await connect({ servers: server.url, cluster: 'health' })
    expect(await hf.actor(Cart, 'c').add()).toBe(1)
    await hf.close()
  })

  it('is not ready once its server answers nothing any more, though the connection stands', async () => {
    const node = await start('a')
    await readyWhen(node, isReady)
    server.pause()
    const { codes, messages } = await readyWhen(node, (health) => !isReady(health))
    expect(codes).toEqual(['lease-not-renewed'])
    expect(messages[0]).toMatch(/^its lease was renewed \d+ ms ago; its term is 2000 ms$/)
    expect(await alive(node)).toMatchObject({ status: 200 })
    server.resume()
    await readyWhen(node, isReady)
  })

  it('is not ready while a partition of it is stopped, and says why', async () => {
    const node = await start('a')
    await readyWhen(node, () => node.status().partitions.every(({ role }) => role === 'owner'))
    const nc = await connectNats({ servers: server.url })
    await (await jetstreamManager(nc)).streams.delete('health_P2')
    await nc.close()
    const hf = await connect({ servers: server.url, cluster: 'health', timeout: '5s' })
    await Promise.allSettled(Array.from({ length: 20 }, (_, i) => hf.actor(Cart, `${i}`).add()))
    // And for no other reason, as its lease would be while the machine stops.
    const { messages } = await readyWhen(node, ({ codes }) => codes.join() === 'partition-not-served')
    expect(messages).toEqual([
      expect.stringMatching(/^partition 2 is to be served at epoch 1 and is stopped at epoch 1: .*it is gone/),
    ])
    expect(await alive(node)).toMatchObject({ status: 200 })
    await hf.close()
  })

  it('is not ready while it drains, and the other one is', async () => {
    const a = await start('a')
    const b = await start('b')
    await readyWhen(b, () => b.status().partitions.filter(({ role }) => role === 'owner').length === 2)
    await a.drain()
    expect((await ask(a.http, '/readyz')).codes).toContain('draining')
    expect(await alive(a)).toMatchObject({ status: 200 })
    await readyWhen(b, isReady)
    expect(b.status().partitions.every(({ role }) => role === 'owner')).toBe(true)
  })

  it('does not live any more once another process goes by its id', async () => {
    const first = await start('a')
    const second = await start('same', { nodeId: 'a' })
    for (;;) {
      const { status, state, codes } = await alive(first)
      if (status === 200) continue
      expect([status, state, codes]).toEqual([503, 'fenced', ['state']])
      break
    }
    expect(await ask(first.http, '/readyz')).toMatchObject({ status: 503, codes: ['state'] })
    await readyWhen(second, isReady)
  })
})

it('a node that cannot begin gives its port back', { timeout }, async () => {
  const free = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => free.once('listening', resolve))
  const { port } = free.address() as { port: number }
  await expect(start('a', { http: port })).rejects.toMatchObject({ code: 'CONFLICT' })
  await new Promise((resolve) => free.close(resolve))
  await expect(start('a', { http: port, nodeId: 'no id' })).rejects.toMatchObject({ code: 'INVALID' })
  const again = await start('b', { http: `127.0.0.1:${port}` })
  expect(again.http).toBe(`http://127.0.0.1:${port}`)
})

it('a node that starts lives and is not ready, for as long as its server lets it wait', { timeout }, async () => {
  await start('first').then((node) => node.close())
  nodes.length = 0
  // Its address is known before it is there.
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  const url = `http://127.0.0.1:${port}`
  server.pause()
  const starting = start('second', { http: port, connectTimeoutMs: 60_000 })
  for (;;) {
    const health = await ask(url, '/healthz').catch(() => undefined)
    if (health === undefined) continue
    expect(health).toMatchObject({ status: 200, state: 'starting' })
    break
  }
  expect(await ask(url, '/readyz')).toMatchObject({ status: 503, state: 'starting' })
  expect((await fetch(`${url}/metrics`)).status).toBe(200)
  server.resume()
  await readyWhen(await starting, isReady)
})
