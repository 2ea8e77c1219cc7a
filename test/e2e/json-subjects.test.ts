/**
 * The subjects for other languages, as docs/protocol.md has them: a plain NATS client, JSON, and nothing of Holdfast on its side. Two
 * nodes on a real nats-server. Tokens and partitions are computed here from the description, not by our code.
 */
import { createHash } from 'node:crypto'
import { connect, headers, type Msg, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { actor } from '../../src/index.ts'
import { clusterName as c, TestCluster } from '../support/cluster.ts'

const timeout = 60_000
const patience = 30_000
const partitions = 4

/** What `putBehind` waits for: the nodes are in this process. */
let opened: Promise<void> = Promise.resolve()

/** Keeps one value of any kind. */
const Box = actor('box', {
  version: 1,
  state: () => ({ value: null as unknown, puts: 0 }),
  commands: {
    put(ctx, value: unknown) {
      ctx.state.value = value
      return ++ctx.state.puts
    },
    echo: (_, value: unknown) => value,
    nothing() {},
    async putSlowly(ctx, ms: number) {
      await new Promise((resolve) => setTimeout(resolve, ms))
      return ++ctx.state.puts
    },
    async putBehind(ctx) {
      await opened
      return ++ctx.state.puts
    },
    fail(ctx, why: string): never {
      ctx.state.puts += 100
      throw new RangeError(why)
    },
    unsayable: () => new Map(),
    remove: (ctx) => ctx.destroy(),
  },
  queries: {
    value: (state) => state.value,
    puts: (state) => state.puts,
    failToo: (_, why: string) => {
      throw new Error(why)
    },
  },
})

/** Types have tokens as keys do. */
const Odd = actor('odd/type ✓', {
  version: 1,
  state: () => 0,
  commands: { add: (ctx, n: number) => (ctx.state += n) },
  queries: { sum: (state) => state },
})

let cluster: TestCluster
let nc: NatsConnection

beforeAll(async () => {
  cluster = await TestCluster.open('nats', { actors: [Box, Odd], partitions })
  await cluster.start('a')
  await cluster.start('b')
  await cluster.when(() => cluster.owned('a').length === 2 && cluster.owned('b').length === 2, 'both have their share')
  nc = await connect({ servers: cluster.nats!.url })
}, timeout)

afterAll(async () => {
  await nc?.close()
  await cluster?.close()
}, timeout)

/** docs/protocol.md, "Names and tokens". */
function escaped(name: string): string {
  let token = ''
  for (const byte of Buffer.from(name, 'utf8')) {
    const character = String.fromCharCode(byte)
    token += /[A-Za-z0-9_-]/.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return token
}
const tokenOf = (name: string) =>
  escaped(name).length <= 128 ? escaped(name) : `=h${createHash('sha256').update(name, 'utf8').digest('hex')}`

/** docs/protocol.md, "Partitions". */
function partitionOf(key: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(tokenOf(key))) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % partitions
}

interface Reply {
  readonly ok: boolean
  readonly value?: unknown
  readonly error?: { readonly code: string; readonly message: string; readonly id?: string; readonly path?: string }
}

async function ask(
  subject: string,
  payload: string | Uint8Array,
  more: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const extra = headers()
  for (const [name, value] of Object.entries(more)) extra.set(name, value)
  const reply = await nc.request(subject, payload, { timeout: patience, headers: extra })
  return reply.json()
}

const call = (key: string, command: string, input: unknown = null, more?: Readonly<Record<string, string>>) =>
  ask(`${c}.call.box.${tokenOf(key)}.${command}`, JSON.stringify(input), more)
const tell = (key: string, command: string, input: unknown = null, more?: Readonly<Record<string, string>>) =>
  ask(`${c}.tell.box.${tokenOf(key)}.${command}`, JSON.stringify(input), more)
const query = (key: string, name: string, input: unknown = null) =>
  ask(`${c}.query.box.${tokenOf(key)}.${name}`, JSON.stringify(input))

let fresh = 0
const freshKey = () => `key-${++fresh}`
/** One in each partition. */
const keyIn = (partition: number) => {
  let key = freshKey()
  while (partitionOf(key) !== partition) key = freshKey()
  return key
}

const ok = (value: unknown) => ({ ok: true, value })
const failed = (code: string, message: RegExp) => ({
  ok: false,
  error: expect.objectContaining({ code, message: expect.stringMatching(message) }),
})

describe('call, tell and query', () => {
  it('answer for keys of every partition and node', { timeout }, async () => {
    const owners = new Set<string>()
    for (let p = 0; p < partitions; p++) {
      const key = keyIn(p)
      owners.add(cluster.owned('a').includes(p) ? 'a' : 'b')
      expect(await call(key, 'put', 'x')).toEqual(ok(1))
      expect(await tell(key, 'put', 'y')).toEqual(ok(null))
      expect(await query(key, 'puts')).toEqual(ok(2))
      expect(await query(key, 'value')).toEqual(ok('y'))
    }
    expect([...owners].toSorted()).toEqual(['a', 'b'])
  })

  it('give each request one reply, though every node listens', { timeout }, async () => {
    const inbox = `_INBOX.once.${freshKey()}`
    const replies: Msg[] = []
    nc.subscribe(`${inbox}.*`, { callback: (_, message) => void replies.push(message) })
    const key = freshKey()
    const count = 20
    for (let i = 0; i < count; i++)
      nc.publish(`${c}.call.box.${key}.put`, JSON.stringify(i), { reply: `${inbox}.${i}` })
    // A later command of the same key is answered after them.
    while (Number((await query(key, 'puts')).value) < count) await nc.flush()
    await call(key, 'nothing')
    await nc.flush()
    expect(replies.map((message) => message.subject).toSorted()).toEqual(
      Array.from({ length: count }, (_, i) => `${inbox}.${i}`).toSorted(),
    )
    expect(replies.map((message) => message.json<Reply>().value).toSorted((x, y) => Number(x) - Number(y))).toEqual(
      Array.from({ length: count }, (_, i) => i + 1),
    )
  })

  it('take an empty payload as null, and give null for nothing', { timeout }, async () => {
    const key = freshKey()
    expect(await ask(`${c}.call.box.${key}.echo`, '')).toEqual(ok(null))
    expect(await ask(`${c}.query.box.${key}.value`, '')).toEqual(ok(null))
    expect(await call(key, 'nothing')).toEqual(ok(null))
  })

  it('say what the handler threw, and leave no trace of it', { timeout }, async () => {
    const key = freshKey()
    await call(key, 'put', 1)
    expect(await call(key, 'fail', 'out of range')).toEqual(failed('FAILED', /^the handler threw: out of range$/))
    expect(await tell(key, 'fail', 'out of range')).toEqual(failed('FAILED', /out of range/))
    expect(await query(key, 'failToo', 'no luck')).toEqual(failed('FAILED', /no luck/))
    expect(await call(key, 'unsayable')).toEqual(failed('INVALID', /./))
    expect(await query(key, 'puts')).toEqual(ok(1))
  })

  it('know no other types, commands and queries', { timeout }, async () => {
    const key = freshKey()
    expect(await ask(`${c}.call.bax.${key}.put`, '1')).toEqual(failed('NOT_FOUND', /"bax"/))
    expect(await call(key, 'take')).toEqual(failed('NOT_FOUND', /box has no command "take"/))
    expect(await tell(key, 'take')).toEqual(failed('NOT_FOUND', /box has no command "take"/))
    expect(await query(key, 'take')).toEqual(failed('NOT_FOUND', /box has no query "take"/))
    // A command is no query, and a query no command.
    expect(await query(key, 'put', 1)).toEqual(failed('NOT_FOUND', /box has no query "put"/))
    expect(await call(key, 'value')).toEqual(failed('NOT_FOUND', /box has no command "value"/))
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(await call(key, name)).toEqual(failed('NOT_FOUND', /has no command/))
      expect(await query(key, name)).toEqual(failed('NOT_FOUND', /has no query/))
    }
    expect(await query(key, 'puts')).toEqual(ok(0))
  })

  it.each([
    ['no JSON', '{"a":', /not JSON/],
    ['two values', '1 2', /not JSON/],
    ['ill-formed UTF-8', Uint8Array.from([0x22, 0xff, 0x22]), /not JSON/],
    ['a lone surrogate', '"\\ud800"', /./],
    ['__proto__', '{"__proto__": 1}', /__proto__/],
    ['bytes that are no base64', '{"$bytes": "?"}', /\$bytes holds base64/],
    ['bytes without padding', '{"$bytes": "AA"}', /\$bytes holds base64/],
    ['bytes that are a number', '{"$bytes": 5}', /\$bytes holds a text/],
    ['a bigint that is none', '{"$bigint": "1.5"}', /\$bigint/],
    ['a bigint that is too large', `{"$bigint": "${'9'.repeat(400)}"}`, /bit/],
    ['a date that is none', '{"$date": "yesterday"}', /\$date/],
    ['too many levels', '['.repeat(200) + ']'.repeat(200), /level|deep/],
  ])('refuse %s', { timeout }, async (_, payload, message) => {
    const key = freshKey()
    expect(await ask(`${c}.call.box.${key}.put`, payload)).toEqual(failed('INVALID', message))
    expect(await ask(`${c}.query.box.${key}.value`, payload)).toEqual(failed('INVALID', message))
    expect(await query(key, 'puts')).toEqual(ok(0))
  })

  it('name the place of what is refused', { timeout }, async () => {
    const reply = await call(freshKey(), 'put', { items: [1, { price: { $bigint: 'much' } }] })
    expect(reply.error).toMatchObject({ code: 'INVALID', path: '$.items[1].price' })
  })

  it.each([
    ['null', null],
    ['truth', true],
    ['a number', -1.5e300],
    ['a text with everything', 'ä✓😀\u0000"\\\n'],
    ['bytes', { $bytes: Buffer.from([0, 1, 254, 255]).toString('base64') }],
    ['no bytes', { $bytes: '' }],
    ['a small bigint', { $bigint: '-123' }],
    ['a large bigint', { $bigint: '123456789012345678901234567890' }],
    ['a date', { $date: '2026-01-31T12:00:00.000Z' }],
    ['a date before 1970', { $date: '0001-01-01T00:00:00.001Z' }],
    ['an object that looks like a form', { $object: { $bytes: 'AA==' } }],
    ['all of it together', { list: [{ $date: '2026-01-31T12:00:00.000Z' }, [], {}], deep: { a: { $bigint: '1' } } }],
  ])('keep %s as it is', { timeout }, async (_, value) => {
    const key = freshKey()
    expect(await call(key, 'echo', value)).toEqual(ok(value))
    expect(await call(key, 'put', value)).toEqual(ok(1))
    expect(await query(key, 'value')).toEqual(ok(value))
  })
})

describe('keys and types', () => {
  it.each([
    ['a slash', 'a/b'],
    ['wildcards and dots', '*.>.$ '],
    ['an emoji', '😀'],
    ['128 bytes, not escaped', 'k'.repeat(128)],
    ['129 bytes, hashed', 'k'.repeat(129)],
    ['43 escapes, hashed', '/'.repeat(43)],
    ['512 bytes', 'ä'.repeat(256)],
    ['what looks like a hash', `=h${'0'.repeat(64)}`],
    ['line breaks and outer spaces', ' a\r\nHf-Key: b '],
  ])('can be %s', { timeout }, async (_, key) => {
    const more: Record<string, string> = tokenOf(key).startsWith('=h') ? { 'Hf-Key': escaped(key) } : {}
    const changes: Msg[] = []
    const subscription = nc.subscribe(`${c}.changes.box.${tokenOf(key)}`, {
      callback: (_error, message) => void changes.push(message),
    })
    await nc.flush()
    expect(await call(key, 'put', 'x', more)).toEqual(ok(1))
    const subject = `${c}.query.box.${tokenOf(key)}.value`
    expect(await ask(subject, 'null', more)).toEqual(ok('x'))
    while (changes.length === 0) await nc.flush()
    subscription.unsubscribe()
    expect(changes[0]!.json()).toMatchObject({ type: 'box', key, rev: 1 })
    expect(changes[0]!.headers?.get('Hf-Key')).toBe(more['Hf-Key'] ?? '')
  })

  it('can be types, too', { timeout }, async () => {
    const subject = (kind: string, name: string) => `${c}.${kind}.${tokenOf('odd/type ✓')}.k.${name}`
    expect(await ask(subject('call', 'add'), '2')).toEqual(ok(2))
    expect(await ask(subject('query', 'sum'), 'null')).toEqual(ok(2))
  })

  it.each([
    ['a plain byte that is escaped', '=61', {}],
    ['lower-case hex', 'a=2fb', {}],
    ['a cut escape', 'a=2', {}],
    ['ill-formed UTF-8', '=FF', {}],
    ['a hash without its header', tokenOf('k'.repeat(200)), {}],
    ['a hash with another key in the header', tokenOf('k'.repeat(200)), { 'Hf-Key': 'l'.repeat(200) }],
    ['a hash of a key that needs none', `=h${createHash('sha256').update('k').digest('hex')}`, { 'Hf-Key': 'k' }],
    ['more than 128 bytes', 'k'.repeat(129), {}],
    [
      'a hash of more than 512 bytes',
      `=h${createHash('sha256').update('k'.repeat(513)).digest('hex')}`,
      { 'Hf-Key': 'k'.repeat(513) },
    ],
  ])('have one token each: %s is INVALID', { timeout }, async (_, token, more) => {
    expect(await ask(`${c}.call.box.${token}.put`, '1', more)).toEqual(failed('INVALID', /./))
  })

  it('of other counts of tokens have nobody who listens', { timeout }, async () => {
    for (const subject of [`${c}.call.box.k`, `${c}.call.box.k.put.more`, `${c}.calls.box.k.put`]) {
      await expect(nc.request(subject, '1', { timeout: patience })).rejects.toThrow(/no responders/)
    }
  })
})

describe('Hf-Id', () => {
  it('makes a repetition the same command, by whatever node it goes', { timeout }, async () => {
    for (let p = 0; p < partitions; p++) {
      const key = keyIn(p)
      const more = { 'Hf-Id': `once-${key}` }
      const replies = await Promise.all(Array.from({ length: 10 }, () => call(key, 'put', 'x', more)))
      expect(replies).toEqual(replies.map(() => ok(1)))
      await call(key, 'put', 'y')
      // Ten more, so that both nodes are asked; the queue group chooses.
      for (let i = 0; i < 10; i++) expect(await call(key, 'put', 'x', more)).toEqual(ok(1))
      expect(await tell(key, 'put', 'x', more)).toEqual(ok(null))
      expect(await query(key, 'puts')).toEqual(ok(2))
      expect(await query(key, 'value')).toEqual(ok('y'))
    }
  })

  it('may be repeated after a failure, which is not remembered', { timeout }, async () => {
    const key = freshKey()
    const more = { 'Hf-Id': `fail-${key}` }
    expect(await call(key, 'fail', 'first', more)).toEqual(failed('FAILED', /first/))
    expect(await call(key, 'fail', 'second', more)).toEqual(failed('FAILED', /second/))
  })

  it('of an UNKNOWN tells by repetition what happened', { timeout }, async () => {
    const key = freshKey()
    const lost = await call(key, 'putSlowly', 1_000, { 'Hf-Timeout': '100' })
    expect(lost).toEqual(failed('UNKNOWN', /may have happened/))
    const id = lost.error!.id!
    expect(id).toMatch(/^[A-Za-z0-9_-]+:[1-9][0-9]*$/)
    expect(await call(key, 'putSlowly', 1_000, { 'Hf-Id': id })).toEqual(ok(1))
    expect(await query(key, 'puts')).toEqual(ok(1))
  })

  it.each(['', 'two words', 'x'.repeat(65), 'a:b', 'a:0', '!'])('"%s" is none', { timeout }, async (id) => {
    const key = freshKey()
    const reply = await call(key, 'put', 1, { 'Hf-Id': id })
    expect(reply).toEqual(failed('INVALID', /is not the id of a command/))
    expect(await query(key, 'puts')).toEqual(ok(0))
  })
})

describe('Hf-Timeout', () => {
  it('is how long the node tries', { timeout }, async () => {
    const key = freshKey()
    let open = () => {}
    opened = new Promise((resolve) => (open = resolve))
    // Nothing else could end it.
    expect(await call(key, 'putBehind', null, { 'Hf-Timeout': '300' })).toEqual(failed('UNKNOWN', /300 ms have passed/))
    open()
    expect(await call(freshKey(), 'putSlowly', 300, { 'Hf-Timeout': '20000' })).toEqual(ok(1))
  })

  it.each(['0', '-1', '1.5', 'soon', '3600001', ' '])('"%s" is none', { timeout }, async (value) => {
    expect(await call(freshKey(), 'put', 1, { 'Hf-Timeout': value })).toEqual(failed('INVALID', /Hf-Timeout/))
  })
})

interface ChangeMessage {
  readonly type: string
  readonly key: string
  readonly rev: number
  readonly state: unknown
  readonly cursor: string
  readonly at: number
}

describe('changes', () => {
  it('come in order, each with its rev, state and cursor, deletions too', { timeout }, async () => {
    const key = freshKey()
    const seen: Msg[] = []
    const subscription = nc.subscribe(`${c}.changes.box.${key}`, { callback: (_, message) => void seen.push(message) })
    await nc.flush()
    await call(key, 'put', { $bytes: 'AAE=' })
    await call(key, 'echo', 'no change')
    await call(key, 'fail', 'no change').catch(() => {})
    await tell(key, 'put', { $bigint: '7' })
    await call(key, 'remove')
    await call(key, 'put', 'again')
    while (seen.length < 4) await nc.flush()
    subscription.unsubscribe()
    const changes = seen.map((message) => message.json<ChangeMessage>())
    expect(changes.map(({ rev, state }) => ({ rev, state }))).toEqual([
      { rev: 1, state: { value: { $bytes: 'AAE=' }, puts: 1 } },
      { rev: 2, state: { value: { $bigint: '7' }, puts: 2 } },
      { rev: 3, state: null },
      { rev: 4, state: { value: 'again', puts: 1 } },
    ])
    for (const [i, { type, key: of, cursor, at }] of changes.entries()) {
      expect({ type, of }).toEqual({ type: 'box', of: key })
      expect(Math.abs(at - Date.now())).toBeLessThan(60_000)
      expect(cursor).toMatch(new RegExp(`^${partitionOf(key)}-[A-Za-z0-9]+-[0-9]+-[0-9]+$`))
      expect(seen[i]!.headers?.get('Hf-Rev')).toBe(`${i + 1}`)
      expect(seen[i]!.headers?.get('Hf-Cursor')).toBe(cursor)
    }
  })
})

interface Page {
  readonly changes: readonly ChangeMessage[]
  readonly end?: { readonly next: string; readonly head: string; readonly more: boolean; readonly count: number }
  readonly error?: { readonly code: string; readonly message: string }
}

/** One page, as it is described. */
function page(partition: number, request: unknown): Promise<Page> {
  const inbox = `_INBOX.pages.${freshKey()}`
  const changes: ChangeMessage[] = []
  return new Promise((resolve) => {
    const subscription = nc.subscribe(inbox, {
      callback: (_, message) => {
        const part = message.json<Record<string, unknown>>()
        if (part['end'] !== true && part['error'] === undefined)
          return void changes.push(part as unknown as ChangeMessage)
        subscription.unsubscribe()
        resolve(
          part['error'] === undefined
            ? { changes, end: part as unknown as NonNullable<Page['end']> }
            : ({ changes, ...part } as Page),
        )
      },
    })
    nc.publish(`${c}.watch.${partition}`, typeof request === 'string' ? request : JSON.stringify(request), {
      reply: inbox,
    })
  })
}

describe('watch', () => {
  it('gives every change after a cursor, page by page, on every partition', { timeout }, async () => {
    for (let p = 0; p < partitions; p++) {
      const { end: now } = await page(p, { from: 'now' })
      expect(now).toMatchObject({ more: false, count: 0 })
      expect(now!.next).toBe(now!.head)
      const keys = [keyIn(p), keyIn(p)]
      for (let i = 1; i <= 5; i++) for (const key of keys) await call(key, 'put', i)
      const found: ChangeMessage[] = []
      let from = now!.next
      for (let more = true; more;) {
        const { changes, end } = await page(p, { from, type: 'box', limit: 3 })
        expect(changes).toHaveLength(end!.count)
        expect(end!.count).toBeLessThanOrEqual(3)
        found.push(...changes)
        ;({ next: from, more } = end!)
      }
      for (const key of keys)
        expect(found.filter((change) => change.key === key).map(({ rev }) => rev)).toEqual([1, 2, 3, 4, 5])
      expect(found).toHaveLength(10)
      // From the cursor of any change, and of one key alone.
      const { changes: rest } = await page(p, { from: found[5]!.cursor })
      expect(rest).toEqual(found.slice(6))
      const { changes: ofOne } = await page(p, { from: 'start', type: 'box', key: keys[1] })
      expect(ofOne).toEqual(found.filter((change) => change.key === keys[1]))
      expect(await page(p, { from })).toMatchObject({
        changes: [],
        end: { next: expect.any(String), more: false, count: 0 },
      })
    }
  })

  it('says what is wrong with a request', { timeout }, async () => {
    const { end } = await page(0, { from: 'now' })
    const [partition, , seq, index] = end!.next.split('-')
    for (const [request, code] of [
      ['no JSON', 'INVALID'],
      [[], 'INVALID'],
      [{ from: 'yesterday' }, 'INVALID'],
      [{ from: '1-x-1-0' }, 'INVALID'],
      [{ from: 'start', limit: 0 }, 'INVALID'],
      [{ from: 'start', limit: 1_001 }, 'INVALID'],
      [{ from: 'start', key: 'without a type' }, 'INVALID'],
      [{ from: 'start', type: 5 }, 'INVALID'],
      [{ from: [partition, 'ofAnotherGeneration000', seq, index].join('-') }, 'EXPIRED'],
    ] as const) {
      expect((await page(0, request)).error, JSON.stringify(request)).toMatchObject({
        code,
        message: expect.any(String),
      })
    }
  })

  it('has nobody who listens for a partition that there is not', { timeout }, async () => {
    await expect(nc.request(`${c}.watch.${partitions}`, '{"from":"now"}', { timeout: patience })).rejects.toThrow(
      /no responders/,
    )
  })
})

describe('placement', () => {
  it('is told to who asks, and to everybody when it changes', { timeout }, async () => {
    const reply = await nc.request(`${c}.placement.get`, '', { timeout: patience })
    const before = reply.json<{ format: number; version: number; owners: string[]; standbys: string[][] }>()
    expect(before).toEqual({
      format: 1,
      version: expect.any(Number),
      owners: expect.any(Array),
      standbys: expect.any(Array),
    })
    expect(before.owners.toSorted()).toEqual(['a', 'a', 'b', 'b'])
    for (const name of ['a', 'b']) {
      expect(before.owners.flatMap((owner, p) => (owner === name ? [p] : []))).toEqual(cluster.owned(name))
    }
    const told: (typeof before)[] = []
    const subscription = nc.subscribe(`${c}.placement`, { callback: (_, message) => void told.push(message.json()) })
    await nc.flush()
    await cluster.start('c')
    await cluster.when(() => cluster.owned('c').length === 1, 'c has its share')
    await cluster.node('c').drain()
    await cluster.settled('a', 'b')
    await cluster.stop('c')
    await nc.flush()
    subscription.unsubscribe()
    expect(told.length).toBeGreaterThan(1)
    expect(told.map(({ version }) => version)).toEqual(told.map(({ version }) => version).toSorted((x, y) => x - y))
    expect(told.some(({ owners }) => owners.includes('c'))).toBe(true)
    expect(told.at(-1)!.owners.includes('c')).toBe(false)
  })
})
