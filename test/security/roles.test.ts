/**
 * Each role does its work on a real server with deploy/nats/accounts.conf, and is told in one sentence what it may not do.
 *
 * Nobody's permissions are wider than its work: test/security/permissions.test.ts. Here: they are wide enough.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectNats } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNats } from '../../src/adapters/nats/open.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import { connect, createNode, provision, type HoldfastEvent, type HoldfastNode } from '../../src/index.ts'
import { partitionId, type Seq } from '../../src/protocol/ids.ts'
import type { TestServer } from '../support/nats-server.ts'
import { Counter, loginOf, startServerWithRoles, type Role } from './roles.ts'

const cluster = 'shop'
const timeout = 60_000

let server: TestServer
let home: string
const events: HoldfastEvent[] = []
const observer = { emit: (event: HoldfastEvent) => void events.push(event) }
const as = (role: Role) => ({ ...loginOf(server, cluster, role), observer })
const refusals = () => events.filter((event) => event.type === 'transport.error')

const nodes: HoldfastNode[] = []
async function startNode(id: string): Promise<HoldfastNode> {
  const node = await createNode({ ...as('node'), nodeId: id, dataDir: join(home, id), actors: [Counter], host: id })
  nodes.push(node)
  return node
}

beforeAll(async () => {
  server = await startServerWithRoles(cluster)
  home = await mkdtemp(join(tmpdir(), 'holdfast-roles-'))
})
afterAll(async () => {
  for (const node of nodes) await node.close()
  await server?.stop()
  await rm(home, { recursive: true, force: true })
}, timeout)

describe('before the cluster is provisioned', () => {
  it('a node says which permission it lacks, and creates nothing', { timeout }, async () => {
    const node = createNode({ ...as('node'), dataDir: join(home, 'early'), actors: [Counter] })
    await expect(node).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining('does not let this user publish to "$JS.API.STREAM.CREATE.KV_shop_registry"'),
    })
  })
})

describe('a cluster with a role for each', () => {
  beforeAll(async () => {
    expect(await provision({ ...as('provisioner'), partitions: 2 })).toEqual({ cluster, partitions: 2, created: 4 })
    expect(await provision(as('provisioner'))).toEqual({ cluster, partitions: 2, created: 0 })
    events.length = 0
    await startNode('a')
  }, timeout)

  it('runs commands, shows changes, replays and is read, with no permission missing', { timeout }, async () => {
    const client = await connect(as('client'))
    const watcher = await connect(as('watcher'))
    const keys = ['a', 'b', 'c', 'd']
    const turns = 80
    for (let turn = 1; turn <= turns; turn++) {
      const values = await Promise.all(keys.map((key) => client.actor(Counter, key).add(1)))
      expect(values).toEqual(keys.map(() => turn))
    }
    expect(await client.actor(Counter, 'a').value()).toBe(turns)

    const users = client.kv<number>('users')
    await users.putAll([
      ['a', 1],
      ['b', 2],
    ])
    const listed = []
    for await (const { key } of users.range()) listed.push(key)
    expect(listed).toEqual(['a', 'b'])

    let seen = 0
    for await (const change of watcher.watch(Counter, { from: 'start' })) {
      expect(change).toMatchObject({ type: 'counter', state: change.rev })
      if (++seen === turns * keys.length) break
    }

    // A second node takes partitions over: it replays their logs, gossips, asks and is asked.
    const second = await startNode('b')
    const owns = () => second.status().partitions.some(({ role }) => role === 'owner')
    while (!owns()) await client.actor(Counter, 'a').value()
    await nodes[0]!.drain()
    expect(await client.actor(Counter, 'a').add(2)).toBe(turns + 2)

    const parts = { clock: new SystemClock(), random: new SystemRandom(), observer }
    // Without the library, and for the command line.
    const ask = async (role: Role, subject: string, data = '') => {
      const { user, password: pass, inboxPrefix } = as(role)
      const plain = await connectNats({ servers: server.url, user, pass, inboxPrefix })
      const answer = await plain.request(subject, data, { timeout })
      await plain.close()
      return answer.json<Record<string, unknown>>()
    }
    expect(await ask('client', 'shop.call.counter.a.add', '1')).toEqual({ ok: true, value: turns + 3 })
    expect(await ask('client', 'shop.list.kv-users')).toMatchObject({ ok: true })
    for (const role of ['client', 'operator'] as const) {
      expect(await ask(role, 'shop.status')).not.toHaveProperty('error')
    }

    // An operator gives orders to placement: whoever leads answers.
    expect(await ask('operator', 'shop.placement.order', '{"op":"plan"}')).toMatchObject({ done: true, plan: {} })
    expect(await ask('operator', 'shop.placement.order', '{"op":"move","partition":0,"to":"a"}')).toMatchObject({
      done: false,
      reason: expect.stringMatching(/^a is draining/),
    })

    const operator = await openNats({ ...as('operator') }, parts)
    expect((await operator.registry.list('')).map(({ key }) => key)).toContain('table')
    const asNode = await openNats({ ...as('node') }, parts)
    const content = new Uint8Array(300_000).fill(7)
    await asNode.objects.put('p0.one', content)
    await asNode.objects.put('p0.two', content)
    await asNode.objects.delete('p0.two')
    expect(await asNode.objects.sweep()).toBe(0)
    expect((await asNode.registry.create('snapshot.0', new Uint8Array())).kind).toBe('written')
    await asNode.registry.delete('snapshot.0')
    expect(await operator.objects.list('')).toEqual([{ name: 'p0.one', bytes: 300_000 }])
    expect(Buffer.compare((await operator.objects.get('p0.one'))!, content)).toBe(0)
    await asNode.close()
    await client.close()
    await watcher.close()
    expect(refusals()).toEqual([])

    // It may read snapshots, and neither make nor remove one.
    const denied = { code: 'INVALID', message: expect.stringContaining('does not let this user publish') }
    await expect(operator.objects.put('p0.three', content)).rejects.toMatchObject(denied)
    await expect(operator.objects.delete('p0.one')).rejects.toMatchObject(denied)

    // An operator may make no consumers: it reads record by record.
    const log = operator.changelog.log(partitionId(0))
    const last = (await log.info())!.last
    let read = 0
    for await (const { seq } of log.read(1 as Seq, last)) expect(seq).toBe(++read)
    expect(read).toBe(last)
    expect(last).toBeGreaterThan(64)
    await operator.close()
  })

  it('tells a watcher at once that it may not call', { timeout }, async () => {
    const watcher = await connect({ ...as('watcher'), timeout: timeout })
    const refused = {
      code: 'INVALID',
      message: expect.stringMatching(/^the NATS server does not let this user publish to "shop\.(node|p)\./),
    }
    await expect(watcher.actor(Counter, 'a').add(1)).rejects.toMatchObject(refused)
    await expect(watcher.actor(Counter, 'b').value()).rejects.toMatchObject(refused)
    await expect(watcher.kv('users').count()).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringMatching(/^the NATS server does not let this user publish to "shop\.scan\./),
    })
    await watcher.close()
  })

  it('tells a watch at once that it may not ask for changes', { timeout }, async () => {
    // A node asks nobody for changes.
    const client = await connect(as('node'))
    await expect(client.watch(Counter).ready()).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringMatching(/^the NATS server does not let this user publish to "shop\.watch\./),
    })
    await client.close()
  })

  it('tells a client at once that its inbox is not its own', { timeout }, async () => {
    for (const inboxPrefix of ['_INBOX', '_INBOX_shop.node']) {
      const client = connect({ ...as('client'), inboxPrefix, connectTimeout: timeout })
      await expect(client).rejects.toMatchObject({
        code: 'INVALID',
        message: expect.stringContaining(`does not let this user subscribe to "${inboxPrefix}.`),
      })
    }
  })

  it('tells a node at once that its inbox, or its role, is not a node’s', { timeout }, async () => {
    const node = { dataDir: join(home, 'wrong'), actors: [Counter] }
    await expect(createNode({ ...as('node'), ...node, inboxPrefix: '_INBOX_shop.client' })).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining('does not let this user subscribe to "_INBOX_shop.client.'),
    })
    await expect(createNode({ ...as('client'), ...node })).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining('does not let this user publish to "$JS.API.INFO"'),
    })
  })

  it('tells who may not provision', { timeout }, async () => {
    await expect(provision({ ...as('operator'), partitions: 4 })).rejects.toMatchObject({ code: 'INVALID' })
    await expect(provision({ ...as('provisioner'), partitions: 4 })).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining('the cluster has 2'),
    })
  })
})
