/** Lists of entries for other languages: a plain NATS client, JSON, two nodes on a real nats-server. */
import { connect, headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Counter } from '../../actors/keyed/counter.ts'
import type { Holdfast } from '../../src/index.ts'
import { encodeToken, escapeText } from '../../src/protocol/subjects.ts'
import { clusterName as c, TestCluster } from '../support/cluster.ts'

const timeout = 60_000

interface Listed {
  readonly ok: boolean
  readonly value: {
    readonly entries: { readonly key: string; readonly [name: string]: unknown }[]
    readonly next: string | null
  }
  readonly error: { readonly code: string; readonly message: string }
}

let cluster: TestCluster
let nc: NatsConnection
let hf: Holdfast

beforeAll(async () => {
  cluster = await TestCluster.open('nats', { actors: [Counter], partitions: 4 })
  await cluster.start('a')
  await cluster.start('b')
  await cluster.settled()
  nc = await connect({ servers: cluster.nats!.url })
  hf = await cluster.client()
}, timeout)

afterAll(async () => {
  await nc?.close()
  await cluster?.close()
}, timeout)

async function list(type: string, request?: unknown, hdrs?: MsgHdrs): Promise<Listed> {
  const data = request === undefined ? '' : typeof request === 'string' ? request : JSON.stringify(request)
  const options = { timeout: 30_000, ...(hdrs === undefined ? {} : { headers: hdrs }) }
  return (await nc.request(`${c}.list.${type}`, data, options)).json<Listed>()
}

const keysOf = ({ value }: Listed) => value.entries.map(({ key }) => key)

describe('a list', () => {
  it('has key, value, rev and expiry of each entry, in order, over all partitions', async () => {
    const users = hf.kv('users')
    await users.putAll([['b', { n: 1n }], ['a', null], ['😀', 'x'], ['\uFFFD', 'y']]) // prettier-ignore
    await users.put('b', { n: 2n }, { ttl: '1h' })
    await users.put('gone', 1)
    await users.delete('gone')
    const { ok, value } = await list('kv-users')
    expect(ok).toBe(true)
    expect(value.next).toBe(null)
    expect(value.entries).toEqual([
      { key: 'a', value: null, rev: 1, expiresAt: null },
      { key: 'b', value: { n: { $bigint: '2' } }, rev: 2, expiresAt: expect.any(Number) as number },
      { key: '\uFFFD', value: 'y', rev: 1, expiresAt: null },
      { key: '😀', value: 'x', rev: 1, expiresAt: null },
    ])
    expect(await list('kv-none', {})).toEqual({ ok: true, value: { entries: [], next: null } })
  })

  it('is of any type, also of one whose token is a hash', async () => {
    await hf.actor(Counter, 'k').add(5)
    expect((await list('counter', {})).value.entries).toEqual([{ key: 'k', value: 5, rev: 1, expiresAt: null }])
    const long = 'ы'.repeat(100)
    const hdrs = headers()
    hdrs.set('Hf-Type', escapeText(long))
    expect(await list(encodeToken(long), {}, hdrs)).toMatchObject({ ok: true, value: { entries: [] } })
    expect(await list(encodeToken(long), {})).toMatchObject({ ok: false, error: { code: 'INVALID' } })
  })

  it('goes on behind `next`, in both directions, within bounds', async () => {
    const keys = Array.from({ length: 25 }, (_, i) => `k${String(i).padStart(2, '0')}`)
    await hf.kv('paged').putAll(keys.map((key) => [key, 1]))
    for (const reverse of [false, true]) {
      const seen: string[] = []
      const sizes: number[] = []
      for (let after: string | null = null, first = true; first || after !== null; first = false) {
        const page: Listed = await list('kv-paged', { limit: 10, reverse, after })
        seen.push(...keysOf(page))
        sizes.push(page.value.entries.length)
        after = page.value.next
      }
      expect(seen).toEqual(reverse ? keys.toReversed() : keys)
      expect(sizes).toEqual([10, 10, 5])
    }
    expect(keysOf(await list('kv-paged', { from: 'k05', to: 'k08' }))).toEqual(['k05', 'k06', 'k07'])
    expect(keysOf(await list('kv-paged', { prefix: 'k2', limit: 1000 }))).toEqual(keys.slice(20))
    expect(keysOf(await list('kv-paged', { from: 'k08', to: 'k05' }))).toEqual([])
    expect(await list('kv-paged', { prefix: 'k2', limit: 5 })).toMatchObject({ value: { next: null } })
  })

  it('fits into a message, and leaves out a value that does not', async () => {
    const large = hf.kv('large')
    for (const key of ['a', 'b', 'c', 'd']) await large.put(key, 'x'.repeat(200_000))
    const first = await list('kv-large')
    expect(keysOf(first)).toEqual(['a', 'b'])
    expect(keysOf(await list('kv-large', { after: first.value.next }))).toEqual(['c', 'd'])
    // As JSON each of these characters takes six bytes.
    await large.put('huge', '\u0001'.repeat(200_000))
    expect((await list('kv-large', { from: 'h' })).value).toEqual({
      entries: [{ key: 'huge', value: null, omitted: true, rev: 1, expiresAt: null }],
      next: null,
    })
  })

  it.each([
    ['what is no JSON', '{"limit":'],
    ['what is no object', [1]],
    ['a limit of none', { limit: 0 }],
    ['a limit above the bound', { limit: 1_001 }],
    ['a limit that is no number', { limit: '10' }],
    ['a bound that is no text', { from: 5 }],
    ['a bound that is too long', { prefix: 'x'.repeat(513) }],
    ['a direction that is none', { reverse: 'yes' }],
    ['a name that is none', { form: 'a' }],
  ])('is INVALID for %s', async (_, request) => {
    expect(await list('kv-users', request)).toMatchObject({ ok: false, error: { code: 'INVALID' } })
  })

  it('is one of a bounded number that a node works on: one more is OVERLOADED at once (L3)', async () => {
    await hf.kv('crowded').putAll(Array.from({ length: 500 }, (_, i) => [`k${i}`, i]))
    const all = await Promise.all(Array.from({ length: 1_000 }, () => list('kv-crowded', { limit: 500 })))
    const refused = all.filter(({ ok }) => !ok).map(({ error }) => error)
    expect(refused.length).toBeGreaterThan(0)
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['OVERLOADED']))
    const told = ['a', 'b'].flatMap((name) => cluster.node(name).metrics())
    const counted = told.filter(({ labels }) => labels['where'] === 'lister').reduce((sum, { value }) => sum + value, 0)
    expect(counted).toBe(refused.length)
    expect(all.filter(({ ok }) => ok).every(({ value }) => value.entries.length === 500)).toBe(true)
  })

  it('is not of what partitions keep for themselves', async () => {
    expect(await list(encodeToken('.kept'))).toMatchObject({ ok: false, error: { code: 'INVALID' } })
  })

  it('goes to inboxes only', async () => {
    const dropped = () => cluster.eventsOf('message.dropped').filter(({ subject }) => subject === `${c}.list.kv-users`)
    cluster.forget()
    nc.publish(`${c}.list.kv-users`, '{}', { reply: `${c}.p.0` })
    nc.publish(`${c}.list.kv-users`, '{}')
    await cluster.when(() => dropped().length === 2, 'both are dropped')
    // By the one node or the other.
    expect(
      dropped()
        .map(({ reason }) => reason)
        .toSorted(),
    ).toEqual(['no-reply', 'reply-subject'])
  })
})
