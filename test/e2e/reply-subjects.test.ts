/**
 * A node answers only to subjects under the inbox prefix: whoever puts another subject into `reply` would have it speak with its own
 * permissions. Such a request is dropped and counted, and nothing of it is done. On a real nats-server, watched by a plain client that
 * sees every message.
 */
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { connect as connectNats, type Msg, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect, createNode, type HoldfastEvent } from '../../src/index.ts'
import { encodeRequestFrame, type RequestKind } from '../../src/protocol/frames.ts'
import { partitionId, sessionId, type NodeId } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { encodeControl } from '../../src/placement/control.ts'
import { clusterName, TestCluster } from '../support/cluster.ts'
import { Ledger } from '../support/ledger.ts'

const timeout = 60_000
const subjects = subjectsOf(clusterName)
const partitions = 4
const key = 'k'
const partition = partitionId(partitionOf(key, partitions))
const node = 'a' as NodeId

let cluster: TestCluster
let asker: NatsConnection
let spy: NatsConnection
const overheard: Msg[] = []

beforeAll(async () => {
  cluster = await TestCluster.open('nats', { actors: [Ledger], partitions })
  await cluster.start('a')
  await cluster.settled()
  asker = await connectNats({ servers: cluster.nats!.url })
  spy = await connectNats({ servers: cluster.nats!.url })
  spy.subscribe('>', { callback: (_, message) => void overheard.push(message) })
  await spy.flush()
}, timeout)

afterAll(async () => {
  await asker?.close()
  await spy?.close()
  await cluster?.close()
}, timeout)

beforeEach(() => {
  overheard.length = 0
  cluster.forget()
})

const frame = (kind: RequestKind, name: string) =>
  encodeRequestFrame({
    partitions,
    session: sessionId('rawSession'),
    low: 1,
    frame: 1,
    requests: [{ kind, number: 1, type: 'ledger', key, name, input: encodeValue('evil'), timeoutMs: 5_000 }],
  })
const json = (value: unknown) => Buffer.from(JSON.stringify(value))

/** Everything that a node answers. */
const requests: readonly (readonly [what: string, subject: string, data: Uint8Array])[] = [
  ['a command to a partition', subjects.partition(partition), frame('command', 'append')],
  ['a tell to a partition', subjects.partition(partition), frame('tell', 'append')],
  ['a query to a partition', subjects.partition(partition), frame('query', 'all')],
  ['a command to a node', subjects.nodeFrame(node), frame('command', 'append')],
  [
    'a hand-off to a node',
    subjects.nodeControl(node),
    encodeControl({ op: 'hand-off', partition, epoch: 1 as never, to: 'b' as NodeId }),
  ],
  ['a watcher', subjects.watch(partition), json({ from: 'start', type: 'ledger' })],
  ['a JSON call', subjects.call('call', 'ledger', key, 'append'), json('evil')],
  ['a JSON tell', subjects.call('tell', 'ledger', key, 'append'), json('evil')],
  ['a JSON query', subjects.call('query', 'ledger', key, 'all'), json(null)],
  ['a client that asks who owns what', subjects.placementGet, new Uint8Array()],
]

/** Where no node may speak for others. */
const evil = [
  subjects.log(partitionId(3)),
  subjects.log(partition),
  '$JS.API.STREAM.INFO.test_P0',
  '$JS.API.STREAM.DELETE.test_P0',
  '$KV.test_registry.table',
  subjects.gossip(node),
  subjects.nodeFrame(node),
  subjects.call('call', 'ledger', key, 'append'),
  subjects.changes('ledger', key),
  'other.application',
  '_INBOX',
  '_INBOXES.x',
  'a._INBOX.x',
  '_inbox.x',
]

const dropped = () => cluster.eventsOf('message.dropped').map(({ subject, reason }) => ({ subject, reason }))

/** Resolves when the node has handled what was sent before to its partition, its node, its gateway and its watch. */
async function handled(): Promise<void> {
  await asker.flush()
  await asker.request(subjects.call('query', 'ledger', key, 'all'), json(null), { timeout: 20_000 })
}

const stateOf = async () => {
  const answer = await asker.request(subjects.call('query', 'ledger', key, 'all'), json(null), { timeout: 20_000 })
  return answer.json()
}

/** What looks like an answer there: requests, those of the asker and of the node itself, have a reply subject. */
const answersTo = (subject: string) => overheard.filter((message) => message.subject === subject && !message.reply)

describe.each(requests)('%s', (_, subject, data) => {
  it.each(evil)('gets nothing sent to %s', { timeout }, async (reply) => {
    asker.publish(subject, data, { reply })
    await handled()
    await spy.flush()
    expect(dropped()).toEqual([{ subject, reason: 'reply-subject' }])
    expect(overheard.filter((message) => message.subject === subject && message.reply === reply)).toHaveLength(1)
    expect(answersTo(reply).map((message) => message.string())).toEqual([])
    expect(cluster.eventsOf('partition.handed-off')).toEqual([])
    expect(await stateOf()).toEqual({ ok: true, value: [] })
  })

  it('gets nothing without a reply subject', { timeout }, async () => {
    asker.publish(subject, data)
    await handled()
    await spy.flush()
    expect(dropped()).toEqual([{ subject, reason: 'no-reply' }])
    expect(await stateOf()).toEqual({ ok: true, value: [] })
    expect(overheard.filter((message) => message.subject.startsWith(`${clusterName}.changes`))).toEqual([])
  })
})

/** Speaks the protocol itself: no client library that would refuse what is malformed. */
async function rawly(lines: readonly (readonly [subject: string, reply: string, data: Uint8Array])[]): Promise<void> {
  const socket: Socket = connectSocket({ host: '127.0.0.1', port: cluster.nats!.port })
  const heard: string[] = []
  socket.on('data', (bytes: Buffer) => heard.push(bytes.toString()))
  await once(socket, 'connect')
  socket.write('CONNECT {"verbose":false,"pedantic":false,"lang":"test","version":"1","protocol":1}\r\n')
  for (const [subject, reply, data] of lines) {
    socket.write(`PUB ${subject} ${reply} ${data.length}\r\n`)
    socket.write(Buffer.concat([data, Buffer.from('\r\n')]))
  }
  socket.write('PING\r\n')
  while (!heard.join('').includes('PONG')) await once(socket, 'data')
  socket.end()
  await once(socket, 'close')
  expect(heard.join('')).not.toContain('-ERR')
}

describe('a reply subject under the prefix that is none', () => {
  it.each(['_INBOX.>', '_INBOX.*', '_INBOX.a.*.b', '_INBOX.a..b', '_INBOX.', `_INBOX.${'x'.repeat(1_500)}`])(
    '%s is dropped and counted, and the node goes on',
    { timeout },
    async (reply) => {
      await rawly(requests.map(([, subject, data]) => [subject, reply, data] as const))
      await handled()
      expect(dropped().toSorted(bySubject)).toEqual(
        requests.map(([, subject]) => ({ subject, reason: 'reply-subject' })).toSorted(bySubject),
      )
      expect(await stateOf()).toEqual({ ok: true, value: [] })
      expect(cluster.node('a').status().state).toBe('running')
      expect(cluster.eventsOf('handler.threw')).toEqual([])
    },
  )
})

const bySubject = (a: { readonly subject: string }, b: { readonly subject: string }) => (a.subject < b.subject ? -1 : 1)

describe('the inbox prefix', () => {
  it('can be another one: then only that is answered', { timeout }, async () => {
    const servers = cluster.nats!.url
    const events: HoldfastEvent[] = []
    const own = await createNode({
      servers,
      cluster: 'own-prefix',
      nodeId: 'n',
      dataDir: `${cluster.folder}/own-prefix`,
      actors: [Ledger],
      partitions: 1,
      inboxPrefix: 'replies.nodes',
      settings: { inboxPrefixes: ['replies'] },
      observer: { emit: (event) => void events.push(event) },
    })
    try {
      const client = await connect({ servers, cluster: 'own-prefix', inboxPrefix: 'replies.clients', timeout: 20_000 })
      expect(await client.actor(Ledger, 'k').append('1')).toBe(1)
      await client.close()
      const plain = await connectNats({ servers, inboxPrefix: 'replies.plain' })
      const answer = await plain.request('own-prefix.call.ledger.k.append', json('2'), { timeout: 20_000 })
      expect(answer.json()).toEqual({ ok: true, value: 2 })
      plain.publish('own-prefix.call.ledger.k.append', json('evil'), { reply: '_INBOX.x.y' })
      const after = await plain.request('own-prefix.query.ledger.k.all', json(null), { timeout: 20_000 })
      expect(after.json()).toEqual({ ok: true, value: ['1', '2'] })
      await plain.close()
      const drops = events.filter((event) => event.type === 'message.dropped')
      expect(drops).toEqual([
        { type: 'message.dropped', subject: 'own-prefix.call.ledger.k.append', reason: 'reply-subject' },
      ])
      await expect(connect({ servers, cluster: 'own-prefix', connectTimeout: 500 })).rejects.toMatchObject({
        code: 'TIMEOUT',
      })
    } finally {
      await own.close()
    }
  })

  it('of a node itself is one that its peers answer, or the node does not start', { timeout }, async () => {
    const node = createNode({
      servers: cluster.nats!.url,
      cluster: 'deaf',
      nodeId: 'n',
      dataDir: `${cluster.folder}/deaf`,
      actors: [Ledger],
      partitions: 1,
      inboxPrefix: 'elsewhere',
    })
    await expect(node).rejects.toMatchObject({ code: 'INVALID', message: expect.stringContaining('inboxPrefix') })
  })
})

describe('a result that no message can hold', () => {
  it('is INVALID for who asks, and the node goes on', { timeout }, async () => {
    const client = await connect({ servers: cluster.nats!.url, cluster: clusterName, timeout: 20_000 })
    const actor = client.actor(Ledger, key)
    const most = asker.info!.max_payload / 2
    expect(await actor.large(most - 1_024)).toHaveLength(most - 1_024)
    await expect(actor.large(most)).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining('ask for less'),
    })
    // Base64 is longer than bytes.
    const ask = (bytes: number) =>
      asker.request(subjects.call('query', 'ledger', key, 'large'), json(bytes), { timeout: 20_000 })
    expect((await ask(most)).json()).toMatchObject({ ok: false, error: { code: 'INVALID' } })
    expect(await actor.all()).toEqual([])
    await client.close()
    expect(cluster.node('a').status().state).toBe('running')
  })
})
