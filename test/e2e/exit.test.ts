/**
 * Every process ends by itself after `close()`, and after a start that failed: nothing of ours keeps it alive. Each program here is a
 * process of its own, and none of them calls `process.exit`.
 */
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { importOf, runChild, untilTold, type Child } from '../support/child.ts'
import { clusterName, TestCluster } from '../support/cluster.ts'
import { Ledger } from '../support/ledger.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

const timeout = 120_000
/** From the program's last word to its end. Less than any time-out that could be left behind. */
const soonMs = 8_000

let server: TestServer
let folder: string
let folders = 0
const children: Child[] = []

beforeAll(async () => {
  server = await startNatsServer()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-exit-'))
}, timeout)
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()))
})
afterAll(async () => {
  await server?.stop()
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
}, timeout)

const freshDir = () => join(folder, `node-${++folders}`)

const imports =
  importOf('{ actor, connect, createNode }', 'src/index.ts') +
  importOf('{ Ledger }', 'test/support/ledger.ts') +
  untilTold

/** Runs a program that says `done` at its end, and expects that it ends by itself soon after that, without a complaint. */
async function expectExit(body: string): Promise<readonly string[]> {
  const child = runChild(`${imports}\n${body}\nconsole.log('done')\n`)
  children.push(child)
  await child.printed('done')
  let late: NodeJS.Timeout | undefined
  const tooLate = new Promise<'still running'>((resolve) => (late = setTimeout(resolve, soonMs, 'still running')))
  const ended = await Promise.race([child.exited, tooLate])
  clearTimeout(late)
  expect(ended).toEqual({ code: 0, signal: null })
  expect(child.complaints).toEqual([])
  return child.lines
}

const text = (value: unknown) => JSON.stringify(value)
const embeddedNode = (name = 'node', actors = 'Ledger') =>
  `const ${name} = await createNode({ embedded: true, dataDir: ${text(freshDir())}, actors: [${actors}], partitions: 2 })\n`
const natsNode = (cluster: string, name = 'node', actors = 'Ledger') =>
  `const ${name} = await createNode({ servers: ${text(server.url)}, cluster: ${text(cluster)}, dataDir: ${text(freshDir())}, actors: [${actors}], partitions: 2 })\n`
const natsClient = (cluster: string) =>
  `const client = await connect({ servers: ${text(server.url)}, cluster: ${text(cluster)} })\n`
const embeddedClient = 'const client = await connect({ embedded: node.embedded })\n'

const work = `
const ledger = client.actor(Ledger, 'k')
console.log('appended ' + (await ledger.append('1')))
await ledger.tell.append('2')
console.log('read ' + JSON.stringify(await ledger.all()))
`
/** Of an actor whose handlers end when the program lets them, once two have begun. */
const gated = `
let twoRun, letGo, begun = 0
const running = new Promise((resolve) => (twoRun = resolve))
const free = new Promise((resolve) => (letGo = resolve))
const Gated = actor('gated', {
  version: 1,
  state: () => 0,
  commands: {
    async pass() {
      if (++begun === 2) twoRun()
      await free
    },
  },
})
`
const closed = 'await client.close()\nawait node.close()\n'

describe('a process ends by itself', () => {
  it.each([
    ['embedded', () => embeddedNode() + embeddedClient],
    ['on NATS', () => natsNode('plain') + natsClient('plain')],
  ])('after a node and a client were closed, %s', { timeout }, async (_, opened) => {
    const lines = await expectExit(opened() + work + closed)
    expect(lines).toEqual(['appended 1', 'read ["1","2"]', 'done'])
  })

  it.each([
    ['embedded', () => embeddedNode('node', 'Ledger, Gated') + embeddedClient],
    ['on NATS', () => natsNode('busy', 'node', 'Ledger, Gated') + natsClient('busy')],
  ])(
    'though watches were open, calls waited and handlers ran when they were closed, %s',
    { timeout },
    async (_, opened) => {
      const lines = await expectExit(`${gated}${opened()}${work}
      const all = client.watch(Ledger, { from: 'start' })
      const one = ledger.watch()
      await Promise.all([all.ready(), one.ready()])
      const iteration = (async () => { for await (const change of all) console.log('saw ' + change.rev) })()
      const waiting = client.actor(Gated, 'k').pass().catch((error) => console.log('ended with ' + error.code))
      const patient = client.actor(Gated, 'other').with({ timeout: '1h' }).pass().catch(() => {})
      await running
      await client.close()
      const closing = node.close()
      letGo()
      await closing
      await Promise.all([iteration, waiting, patient])`)
      expect(lines).toContain('ended with UNKNOWN')
    },
  )

  it('though the node was closed before its client', { timeout }, async () => {
    await expectExit(`${natsNode('order')}${natsClient('order')}${work}
      await node.close()
      const failed = ledger.with({ timeout: 500 }).append('3').catch((error) => console.log('ended with ' + error.code))
      await failed
      await client.close()`)
  })

  it.each([
    ['embedded', () => embeddedNode()],
    ['on NATS', () => natsNode('bare')],
  ])('after a node was closed as soon as it had started, and closed again, %s', { timeout }, async (_, opened) => {
    await expectExit(`${opened()}await Promise.all([node.close(), node.close()])\nawait node.close()`)
  })

  it.each([
    ['embedded', () => embeddedNode() + embeddedClient],
    ['on NATS', () => natsNode('crash') + natsClient('crash')],
  ])('after a node crashed, %s', { timeout }, async (_, opened) => {
    await expectExit(`${opened()}${work}await client.close()\nawait node.crash()`)
  })

  it('after several nodes drained and were closed, embedded and on NATS', { timeout }, async () => {
    const more = (name: string) =>
      `const ${name} = await createNode({ embedded: node.embedded, nodeId: '${name}', dataDir: ${text(freshDir())}, actors: [Ledger] })\n`
    await expectExit(`${embeddedNode()}${embeddedClient}${more('second')}${more('third')}${work}
      await second.drain(); await second.close()
      await node.close(); await client.close(); await third.close()`)
    await expectExit(`${natsNode('several')}${natsNode('several', 'second')}${natsClient('several')}${work}
      await node.drain()
      await Promise.all([client.close(), node.close(), second.close()])`)
  })

  it('after its server was killed, if it is closed then', { timeout }, async () => {
    const own = await startNatsServer()
    try {
      const child = runChild(`${imports}
        const options = { servers: ${text(own.url)}, cluster: 'left-alone', requestTimeoutMs: 1_000 }
        const node = await createNode({ ...options, dataDir: ${text(freshDir())}, actors: [Ledger], partitions: 2 })
        const client = await connect(options)
        ${work}
        console.log('ready')
        await untilTold()
        ${closed}
        console.log('done')`)
      children.push(child)
      await child.printed('ready')
      await own.kill()
      child.tell()
      await child.printed('done')
      expect(await child.exited).toEqual({ code: 0, signal: null })
    } finally {
      await own.stop()
    }
  })
})

const failing = (call: string) => `
  const error = await ${call}.then(() => undefined, (thrown) => thrown)
  console.log('failed with ' + error?.code)
`
const options = (more: string) => `{ dataDir: ${text(freshDir())}, actors: [Ledger], ${more} }`
const nobodyListens = 'nats://127.0.0.1:1'

describe('a process ends by itself after a start that failed:', () => {
  it.each([
    [
      'no server',
      'RETRY',
      () => failing(`createNode(${options(`servers: ${text(nobodyListens)}, connectTimeoutMs: 500`)})`),
    ],
    [
      'no server for a client',
      'RETRY',
      () => failing(`connect({ servers: ${text(nobodyListens)}, connectTimeoutMs: 500 })`),
    ],
    [
      'no node for a client',
      'TIMEOUT',
      () => failing(`connect({ servers: ${text(server.url)}, cluster: 'nobody', connectTimeout: 500 })`),
    ],
    ['neither servers nor embedded', 'INVALID', () => failing(`createNode(${options('')})`)],
    [
      'a wrong count of partitions',
      'INVALID',
      () => failing(`createNode(${options('embedded: true, partitions: 3')})`),
    ],
    ['a wrong node id', 'INVALID', () => failing(`createNode(${options("embedded: true, nodeId: 'two words'")})`)],
    ['a wrong lease', 'INVALID', () => failing(`createNode(${options("embedded: true, lease: '1ms'")})`)],
    ['a wrong server address', 'INVALID', () => failing(`createNode(${options("servers: 'http://127.0.0.1'")})`)],
    ['wrong replicas', 'INVALID', () => failing(`createNode(${options(`servers: ${text(server.url)}, replicas: 2`)})`)],
    [
      'replicas that one server cannot keep',
      'INVALID',
      () => failing(`createNode(${options(`servers: ${text(server.url)}, cluster: 'replicated', replicas: 3`)})`),
    ],
  ])('%s', { timeout }, async (_, code, body) => {
    expect(await expectExit(body())).toEqual([`failed with ${code}`, 'done'])
  })

  it('a directory that cannot be used', { timeout }, async () => {
    const file = join(folder, 'file')
    await writeFile(file, 'not a directory')
    const call = `createNode({ embedded: true, dataDir: ${text(file)}, actors: [Ledger] })`
    expect(await expectExit(failing(call))).toEqual(['failed with INVALID', 'done'])
  })

  it('a directory that is taken, a setting that the cluster does not have', { timeout }, async () => {
    const cluster = await TestCluster.open('nats', { actors: [Ledger], partitions: 2 })
    try {
      await cluster.start('a')
      await cluster.settled()
      const { url } = cluster.nats!
      const node = (more: string) =>
        `createNode({ servers: ${text(url)}, cluster: '${clusterName}', actors: [Ledger], ${more} })`
      const taken = failing(node(`dataDir: ${text(cluster.dirOf('a'))}`))
      expect(await expectExit(taken)).toEqual(['failed with CONFLICT', 'done'])
      const other = failing(node(`dataDir: ${text(freshDir())}, partitions: 4`))
      expect(await expectExit(other)).toEqual(['failed with INVALID', 'done'])
    } finally {
      await cluster.close()
    }
  })
})

describe('what these tests use', () => {
  it('leaves no folder and no process behind', { timeout }, async () => {
    const cluster = await TestCluster.open('nats', { actors: [Ledger], partitions: 2 })
    await cluster.start('a')
    await cluster.client()
    await cluster.transport()
    const { nats, folder: left } = cluster
    const { pid, storeDir } = nats!
    await cluster.close()
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    await expect(access(left)).rejects.toThrow('ENOENT')
    await expect(access(storeDir)).rejects.toThrow('ENOENT')
    const child = runChild('setInterval(() => {}, 1_000)\nconsole.log("up")')
    await child.printed('up')
    await child.kill()
    expect(() => process.kill(child.pid, 0)).toThrow('ESRCH')
  })
})
