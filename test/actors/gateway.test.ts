import { afterEach, describe, expect, it } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from '../../actors/gateway.ts'
import { decodeView } from '../../src/core/table.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import type { Headers } from '../../src/ports/transport.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { escapeText } from '../../src/protocol/subjects.ts'
import { decodeValue } from '../../src/protocol/values.ts'
import { failure, FakeCluster, subjects, value, type Behave } from '../client/fake-cluster.ts'

interface JsonReply {
  readonly ok: boolean
  readonly value?: unknown
  readonly error?: {
    readonly code: string
    readonly message: string
    readonly id?: string
    readonly retryAfterMs?: number
    readonly path?: string
  }
}

let gateways: Gateway[] = []
afterEach(() => {
  for (const gateway of gateways) gateway.close()
  gateways = []
})

async function start(
  behave: Behave,
  options: Partial<GatewayOptions> = {},
  shape: ConstructorParameters<typeof FakeCluster>[0] = {},
) {
  const cluster = new FakeCluster(shape)
  const { clock } = cluster
  const node = cluster.node('n1', behave)
  const { session, process, events } = cluster.client({ timeoutMs: 3_000 })
  await clock.settle(session.whenPlaced(), 1_000)
  node.keepPlacement()
  const observer = { emit: (event: HoldfastEvent) => void events.push(event) }
  const gateway = createGateway({
    ...{
      transport: process.transport,
      clock: process.clock,
      observer,
      cluster: 'test',
      session,
      inboxPrefixes: ['_INBOX'],
    },
    view: () => decodeView(cluster.view()),
    ...options,
  })
  gateways.push(gateway)
  const plain = cluster.world.start('plain').transport
  await clock.advance(10)

  /** Headers of all that came. */
  const answers: (Headers | undefined)[] = []
  /** A request of a plain client: what comes to its inbox within `withinMs`. */
  const ask = async (
    subject: string,
    payload: string | Uint8Array = '',
    headers?: Headers,
    withinMs = 3_500,
  ): Promise<JsonReply> => {
    const inbox = plain.inbox()
    const replies: Uint8Array[] = []
    const subscription = plain.subscribe(inbox, ({ data, noResponders, headers: answered }) => {
      if (noResponders) throw new Error('nobody listens')
      replies.push(data)
      answers.push(answered)
    })
    plain.publish(subject, Buffer.from(payload), { reply: inbox, ...(headers === undefined ? {} : { headers }) })
    await clock.runUntil(() => replies.length > 0, withinMs)
    await clock.advance(5)
    subscription.close()
    expect(replies.length).toBe(1)
    return JSON.parse(Buffer.from(replies[0]!).toString()) as JsonReply
  }
  return { cluster, clock, node, session, gateway, events, plain, ask, answers }
}

const echo: Behave = ({ input }) => ({ kind: 'value', value: input })

describe('a plain client', () => {
  it('calls, tells and queries in JSON (Z1)', async () => {
    const { ask, node } = await start(({ kind, key, name, input }) =>
      value({ kind, key, name, input: decodeValue(input) }),
    )
    expect(await ask('test.call.cart.c1.add', '{"n":[1,"zwei",null]}')).toEqual({
      ok: true,
      value: { kind: 'command', key: 'c1', name: 'add', input: { n: [1, 'zwei', null] } },
    })
    expect(await ask('test.query.cart.c1.total', '7')).toMatchObject({ ok: true, value: { kind: 'query', input: 7 } })
    expect(await ask('test.tell.cart.c1.add', '7')).toEqual({ ok: true, value: null })
    expect(node.requests.map(({ kind, type }) => [kind, type])).toEqual([
      ['command', 'cart'],
      ['query', 'cart'],
      ['tell', 'cart'],
    ])
  })

  it('says in headers how old an answer may be and after which cursor, and is told both of it (Z6)', async () => {
    const { ask, node, answers } = await start(() => value(7, 9, 30))
    const headers = { 'Hf-Max-Staleness': '500', 'Hf-After': '1-g1-8-0' }
    const [key] = ['c1', 'c2', 'c3', 'c4'].filter((each) => partitionOf(each, 4) === 1)
    expect(await ask(`test.query.cart.${key}.total`, '', headers)).toEqual({ ok: true, value: 7 })
    expect(node.requests[0]!.bounds).toEqual({ maxStalenessMs: 500, after: { generation: 'g1', seq: 8 } })
    const [answered] = answers
    expect(answered).toMatchObject({ 'Hf-Cursor': `0-g1-9-${2 ** 31 - 1}` })
    expect(Number(answered!['Hf-Age'])).toBeGreaterThanOrEqual(30)
    for (const bad of [{ 'Hf-Max-Staleness': '0' }, { 'Hf-Max-Staleness': '1s' }, { 'Hf-After': 'no cursor' }]) {
      expect((await ask('test.query.cart.c1.total', '', bad)).error).toMatchObject({ code: 'INVALID' })
    }
  })

  it('sends an idempotency key in a header, escaped as names are', async () => {
    const { ask, node } = await start(echo)
    const longest = `é${'x'.repeat(254)}`
    for (const escaped of ['order-7', '=C3=B3rder=207', escapeText(longest)])
      expect(await ask('test.call.cart.c1.add', '1', { 'Hf-Idempotency-Key': escaped })).toEqual({ ok: true, value: 1 })
    expect(node.requests.map(({ idempotencyKey }) => idempotencyKey)).toEqual(['order-7', 'órder 7', longest])
    for (const escaped of ['', 'órder', 'a b', '=c3=b3', '=FF', 'x'.repeat(257), 'x'.repeat(2_000), '=41']) {
      const { error } = await ask('test.call.cart.c1.add', '1', { 'Hf-Idempotency-Key': escaped })
      expect(error).toMatchObject({ code: 'INVALID', message: expect.stringContaining('Hf-Idempotency-Key') })
    }
    expect(node.requests.length).toBe(3)
  })

  it('sends nothing where the input is null', async () => {
    const { ask } = await start(echo)
    expect(await ask('test.call.cart.c1.add')).toEqual({ ok: true, value: null })
  })

  it('sends and gets the values that JSON has no form for', async () => {
    const { ask, node } = await start(echo)
    const input = {
      big: { $bigint: '12345678901234567890' },
      at: { $date: '2026-01-31T12:00:00.000Z' },
      b: { $bytes: 'AAEC' },
    }
    expect(await ask('test.call.cart.c1.add', JSON.stringify(input))).toEqual({ ok: true, value: input })
    expect(decodeValue(node.requests[0]!.input)).toEqual({
      big: 12345678901234567890n,
      at: new Date('2026-01-31T12:00:00Z'),
      b: new Uint8Array([0, 1, 2]),
    })
  })

  it('names keys of any text: escaped, or hashed with the key in a header', async () => {
    const { ask, node } = await start(echo)
    const key = 'ü/🙂.*> '
    await ask(subjects.call('call', 'cart', key, 'add'))
    const long = 'x'.repeat(300)
    await ask(subjects.call('call', 'cart', long, 'add'), '', { 'Hf-Key': long })
    expect(node.requests.map((request) => request.key)).toEqual([key, long])
    expect(await ask(subjects.call('call', 'cart', long, 'add'), '', { 'Hf-Key': `${long}y` })).toMatchObject({
      ok: false,
      error: { code: 'INVALID' },
    })
    expect(await ask(subjects.call('call', 'cart', long, 'add'))).toMatchObject({
      ok: false,
      error: { code: 'INVALID' },
    })
    expect(node.requests.length).toBe(2)
  })

  it.each([
    ['bad JSON', '{"n":', undefined],
    ['no UTF-8', new Uint8Array([0xff, 0x22]), undefined],
    ['a bad form of a value', '{"$bigint":"x"}', undefined],
    ['a key that would be a prototype', '{"__proto__":{"a":1}}', undefined],
    ['a time-out that is no number', '1', { 'Hf-Timeout': '2s' }],
    ['a time-out of nothing', '1', { 'Hf-Timeout': '0' }],
    ['a time-out of days', '1', { 'Hf-Timeout': '9999999' }],
    ['an id with a space', '1', { 'Hf-Id': 'a b' }],
    ['an id that is empty', '1', { 'Hf-Id': '' }],
    ['an id that is too long', '1', { 'Hf-Id': 'x'.repeat(65) }],
  ])('is told INVALID for %s, and nothing is sent', async (_name, payload, headers) => {
    const { ask, node } = await start(echo)
    const { ok, error } = await ask('test.call.cart.c1.add', payload, headers as Headers | undefined, 50)
    expect([ok, error?.code]).toEqual([false, 'INVALID'])
    expect(node.requests).toEqual([])
  })

  it('is told where in its input the fault is', async () => {
    const { ask } = await start(echo)
    const { error } = await ask('test.call.cart.c1.add', '{"items":[1,{"$date":"never"}]}')
    expect(error).toMatchObject({ code: 'INVALID', path: '$.items[1]' })
  })

  it('is told INVALID for subjects that no type, key or command has', async () => {
    const { ask, node } = await start(echo)
    for (const subject of [
      'test.call.cart.c=2f.add',
      'test.call.cart.c1.=h' + '0'.repeat(64),
      'test.call.=FF.c1.add',
    ]) {
      expect(await ask(subject)).toMatchObject({ ok: false, error: { code: 'INVALID' } })
    }
    expect(node.requests).toEqual([])
  })

  it("hears the owner's errors as they are", async () => {
    const { ask } = await start(({ name }) =>
      failure(name === 'busy' ? 'OVERLOADED' : 'NOT_FOUND', name === 'busy' ? 250 : undefined),
    )
    expect(await ask('test.call.nothing.c1.add')).toEqual({
      ok: false,
      error: { code: 'NOT_FOUND', message: 'told to say NOT_FOUND' },
    })
    expect(await ask('test.call.cart.c1.busy')).toMatchObject({ error: { code: 'OVERLOADED', retryAfterMs: 250 } })
  })

  it('is told UNKNOWN with an id, and repeats the command with it', async () => {
    let deaf = true
    const { ask, node } = await start(({ number }) => (deaf ? null : value(`first of ${number}`)))
    const { error } = await ask('test.call.cart.c1.add', '1', { 'Hf-Timeout': '500' }, 600)
    expect(error?.code).toBe('UNKNOWN')
    deaf = false
    expect(await ask('test.call.cart.c1.add', '1', { 'Hf-Id': error!.id! })).toEqual({ ok: true, value: 'first of 1' })
    expect(new Set(node.received.map(({ frame }) => frame.session)).size).toBe(1)
  })

  it('repeats its own id by any node, and it is one command (Z4)', async () => {
    const { ask, node } = await start(echo)
    await ask('test.call.cart.c1.add', '1', { 'Hf-Id': 'order-17' })
    await ask('test.call.cart.c1.add', '1', { 'Hf-Id': 'order-17' })
    expect(
      node.received.map(({ frame }) => [frame.session, frame.low, frame.requests.map(({ number }) => number)]),
    ).toEqual([
      ['x-order-17', 0, [1]],
      ['x-order-17', 0, [1]],
    ])
  })

  it('hears that its own id is unknown by that id', async () => {
    const { ask } = await start(() => null)
    const { error } = await ask('test.call.cart.c1.add', '1', { 'Hf-Id': 'order-17', 'Hf-Timeout': '500' }, 600)
    expect(error).toMatchObject({ code: 'UNKNOWN', id: 'order-17' })
  })

  it('is told that a result is too large for a message', async () => {
    const { ask } = await start(() => value(new Uint8Array(7_000)), {}, { maxPayload: 8_192 })
    const { error } = await ask('test.call.cart.c1.add')
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(error?.message).toContain('it was done')
  })

  it('is told so, too, where its headers alone make it too large', async () => {
    for (const beside of [300, 100]) {
      // `{"ok":true,"value":"…"}`
      const result = 'x'.repeat(8_192 - 22 - beside)
      const { ask } = await start(() => value(result), {}, { maxPayload: 8_192 })
      const { ok, error } = await ask('test.call.cart.c1.add')
      expect([beside, ok, error?.code]).toEqual([beside, beside === 300, beside === 300 ? undefined : 'INVALID'])
    }
  })

  it('gets the placement', async () => {
    const { ask } = await start(echo)
    expect(await ask('test.placement.get')).toMatchObject({ version: 1, owners: ['n1', 'n1', 'n1', 'n1'] })
  })
})

describe('bounds', () => {
  it('refuse what is beyond those in flight, at once (Z3)', async () => {
    const replies: (() => void)[] = []
    let held = true
    const later: Behave = (request, _frame, reply) => {
      if (!held) return value(request.key)
      replies.push(() => reply(value(request.key)))
      return undefined
    }
    const { ask, plain, clock, node } = await start(later, { maxInFlight: 3 })
    const heard: unknown[] = []
    plain.subscribe('_INBOX.mine', ({ data }) => heard.push(JSON.parse(Buffer.from(data).toString())))
    for (const key of ['a', 'b', 'c'])
      plain.publish(`test.call.cart.${key}.add`, new Uint8Array(), { reply: '_INBOX.mine' })
    await clock.advance(10)
    expect(await ask('test.call.cart.d.add', '', undefined, 10)).toMatchObject({
      error: { code: 'OVERLOADED', retryAfterMs: 100 },
    })
    const repeated = { 'Hf-Id': 'aSession:7' }
    expect(await ask('test.call.cart.d.add', '', repeated, 10)).toMatchObject({
      error: { code: 'UNKNOWN', id: 'aSession:7', retryAfterMs: 100 },
    })
    expect(await ask('test.query.cart.d.total', '', repeated, 10)).toMatchObject({ error: { code: 'OVERLOADED' } })
    expect(await ask('test.call.cart.d.add', '', { 'Hf-Id': 'a b' }, 10)).toMatchObject({ error: { code: 'INVALID' } })
    expect(node.requests.length).toBe(3)
    for (const reply of replies) reply()
    await clock.advance(10)
    expect(heard).toEqual(['a', 'b', 'c'].map((key) => ({ ok: true, value: key })))
    held = false
    expect(await ask('test.call.cart.d.add')).toEqual({ ok: true, value: 'd' })
  })
})

describe('reply subjects (Z2)', () => {
  it.each([
    'test.log.3',
    '$JS.API.STREAM.DELETE.test_P3',
    'test.gossip.n1',
    'test.node.n1.control',
    '_INBOX',
    '_INBOXES.a',
    'x._INBOX.a',
  ])('%s is not answered: nothing is done, and it is told', async (reply) => {
    const { plain, clock, node, events, cluster } = await start(echo)
    const heard: string[] = []
    const spy = cluster.world.start('spy').transport
    spy.subscribe('>', ({ subject }) => heard.push(subject))
    await clock.advance(10)
    for (const subject of [
      'test.call.cart.c1.add',
      'test.tell.cart.c1.add',
      'test.query.cart.c1.add',
      'test.placement.get',
    ]) {
      plain.publish(subject, new Uint8Array(), { reply })
    }
    await clock.advance(4_000)
    expect(heard.filter((subject) => subject === reply)).toEqual([])
    expect(node.requests).toEqual([])
    expect(events.filter((event) => event.type === 'message.dropped')).toEqual(
      ['test.call.cart.c1.add', 'test.tell.cart.c1.add', 'test.query.cart.c1.add', 'test.placement.get'].map(
        (subject) => ({
          type: 'message.dropped',
          subject,
          reason: 'reply-subject',
        }),
      ),
    )
  })

  it('that are missing are no requests', async () => {
    const { plain, clock, node, events } = await start(echo)
    plain.publish('test.call.cart.c1.add', new Uint8Array())
    await clock.advance(100)
    expect(node.requests).toEqual([])
    expect(events).toContainEqual({ type: 'message.dropped', subject: 'test.call.cart.c1.add', reason: 'no-reply' })
  })

  it('are those of the prefix that is set', async () => {
    const { plain, clock, node } = await start(echo, { inboxPrefixes: ['_INBOX_shop.clients'] })
    const heard: string[] = []
    plain.subscribe('_INBOX_shop.clients.c7', ({ subject }) => heard.push(subject))
    plain.subscribe('_INBOX.c7', ({ subject }) => heard.push(subject))
    await clock.advance(10)
    plain.publish('test.call.cart.c1.add', new Uint8Array(), { reply: '_INBOX_shop.clients.c7' })
    plain.publish('test.call.cart.c2.add', new Uint8Array(), { reply: '_INBOX.c7' })
    await clock.advance(100)
    expect(heard).toEqual(['_INBOX_shop.clients.c7'])
    expect(node.requests.map(({ key }) => key)).toEqual(['c1'])
  })
})

describe('ending', () => {
  it('by draining answers what is on its way, and takes nothing new (Z5)', async () => {
    const { gateway, plain, clock, node, cluster } = await start((_request, _frame, reply) => {
      clock.setTimeout(() => reply(value('done')), 50)
      return undefined
    })
    const heard: unknown[] = []
    plain.subscribe('_INBOX.mine', ({ data, noResponders }) =>
      heard.push(noResponders || JSON.parse(Buffer.from(data).toString())),
    )
    plain.publish('test.call.cart.c1.add', new Uint8Array(), { reply: '_INBOX.mine' })
    await clock.advance(10)
    const drained = gateway.drain()
    expect(gateway.state).toBe('draining')
    await clock.advance(5)
    plain.publish('test.call.cart.c2.add', new Uint8Array(), { reply: '_INBOX.mine' })
    await clock.settle(drained, 100)
    await clock.advance(10)
    expect(heard).toEqual([true, { ok: true, value: 'done' }])
    expect(node.requests.length).toBe(1)
    expect(gateway.state).toBe('closed')
    expect(cluster.partitions).toBe(4)
    await gateway.drain()
  })

  it('by draining ends at once where nothing is on its way', async () => {
    const { gateway } = await start(echo)
    await gateway.drain()
    expect(gateway.state).toBe('closed')
  })

  it('by close says nothing more, and ends a drain', async () => {
    const { gateway, plain, clock, session } = await start(() => null)
    const heard: unknown[] = []
    plain.subscribe('_INBOX.mine', (message) => heard.push(message))
    plain.publish('test.call.cart.c1.add', new Uint8Array(), { reply: '_INBOX.mine' })
    await clock.advance(10)
    const drained = gateway.drain()
    gateway.close()
    gateway.close()
    session.close()
    await drained
    await clock.advance(5_000)
    expect(heard).toEqual([])
    expect(gateway.state).toBe('closed')
  })
})
