import { afterEach, describe, expect, it } from 'vitest'
import { Counter } from '../../actors/keyed/counter.ts'
import { kv } from '../../src/behaviour/kv.ts'
import { Holdfast } from '../../src/client/holdfast.ts'
import type { HoldfastError } from '../../src/protocol/errors.ts'
import { compareKeys } from '../../src/protocol/key-order.ts'
import type { KvEntry } from '../../src/behaviour/kv-store.ts'
import type { Kv } from '../../src/client/kv.ts'
import { ScanAsks } from '../../src/client/scan-asks.ts'
import type { Message } from '../../src/ports/transport.ts'
import { silent } from '../../src/ports/observer.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { decodeScanRequest } from '../../src/protocol/scan.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { clusterName, SimCluster } from '../../src/testing/sim/cluster.ts'

const subjects = subjectsOf(clusterName)
const partitions = 4

let clusters: SimCluster[] = []
afterEach(async () => {
  for (const cluster of clusters) await cluster.close()
  clusters = []
})

/** A cluster in memory, a client, and all requests for pages that it sends. */
async function start(seed: number, names: readonly string[] = ['n1']) {
  const cluster = new SimCluster({ seed, partitions, definitions: [Counter] })
  clusters.push(cluster)
  for (const name of names) cluster.start(name)
  await cluster.settled()
  const connect = async () => {
    const { session, process } = cluster.client(`client-${seed}-${clusters.length}`, 10_000)
    const { transport, clock, random } = process
    const hf = new Holdfast({ transport, clock, random, observer: silent, session, subjects })
    await cluster.clock.settle(session.whenPlaced(), 1_000)
    return hf
  }
  const hf = await connect()
  const scans: Message[] = []
  cluster.world.start('spy').transport.subscribe(`${clusterName}.scan.*`, (message) => scans.push(message))
  const settle = <T>(promise: Promise<T>) => cluster.clock.settle(promise, 60_000)
  const code = (promise: Promise<unknown>) =>
    settle(
      promise.then(
        () => 'none',
        (error: unknown) => (error as { code?: string }).code ?? String(error),
      ),
    )
  const requests = (kind = 'rows') =>
    scans.map(({ data }) => decodeScanRequest(data)).filter((request) => request.kind === kind)
  return { cluster, clock: cluster.clock, hf, connect, scans, requests, settle, code, users: hf.kv('users') }
}

async function collect<V>(entries: AsyncIterable<KvEntry<V>>): Promise<KvEntry<V>[]> {
  const found: KvEntry<V>[] = []
  for await (const entry of entries) found.push(entry)
  return found
}

const keysOf = async (entries: AsyncIterable<KvEntry<unknown>>) => (await collect(entries)).map(({ key }) => key)

const numbered = (count: number) => Array.from({ length: count }, (_, i) => `k${String(i).padStart(4, '0')}`)
const filled = (users: Kv<unknown>, keys: readonly string[]) => users.putAll(keys.map((key) => [key, key]))

describe('an entry', () => {
  it('is what was put, null too, and undefined where there is none (E1)', async () => {
    const { users, settle, code } = await start(1)
    expect(await settle(users.get('a'))).toBe(undefined)
    expect(await settle(users.entry('a'))).toBe(undefined)
    for (const value of [null, 0, '', { a: [1n, new Date(5), new Uint8Array([1])] }]) {
      await settle(users.put('a', value))
      expect(await settle(users.get('a'))).toEqual(value)
      expect(await settle(collect(users.range()))).toMatchObject([{ key: 'a', value }])
    }
    await settle(users.delete('a'))
    expect(await settle(users.get('a'))).toBe(undefined)
    expect(await code(users.put('a', undefined))).toBe('INVALID')
    expect(await code(users.put('a', () => 1))).toBe('INVALID')
  })

  it('is seen by every read after its put, of any client (E2)', async () => {
    const { users, connect, settle } = await start(2, ['n1', 'n2', 'n3'])
    const others = (await connect()).kv('users')
    for (const key of numbered(20)) {
      await settle(users.put(key, 'first'))
      expect(await settle(others.get(key))).toBe('first')
      expect(await settle(others.count({ prefix: key }))).toBe(1)
      expect(await settle(keysOf(others.prefix(key)))).toEqual([key])
    }
  })

  it('has a rev that counts puts and deletions, and never comes twice (E3)', async () => {
    const { users, settle } = await start(3)
    expect(await settle(users.put('a', 1))).toBe(1)
    expect(await settle(users.put('a', 1))).toBe(2)
    await settle(users.delete('a'))
    expect(await settle(users.put('a', 1))).toBe(4)
    expect(await settle(users.entry('a'))).toEqual({ key: 'a', value: 1, rev: 4 })
  })

  it('is put by putIfAbsent where there is none only (E4)', async () => {
    const { users, settle } = await start(4)
    expect(await settle(users.putIfAbsent('a', 'first'))).toBe(1)
    expect(await settle(users.putIfAbsent('a', 'second'))).toBe(undefined)
    expect(await settle(users.get('a'))).toBe('first')
    await settle(users.delete('a'))
    expect(await settle(users.putIfAbsent('a', 'third'))).toBe(3)
  })

  it('is updated from the rev that it has, by one of several (E5)', async () => {
    const { users, settle, code } = await start(5)
    expect(await code(users.update('a', 1, { rev: 0 }))).toBe('CONFLICT')
    const rev = await settle(users.put('a', 1))
    expect(await code(users.update('a', 2, { rev: rev + 1 }))).toBe('CONFLICT')
    const outcomes = await settle(Promise.allSettled([2, 3, 4].map((n) => users.update('a', n, { rev }))))
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await settle(users.entry('a'))).toMatchObject({ rev: rev + 1 })
    expect(await code(users.update('a', 1, { rev: -1 }))).toBe('INVALID')
  })

  it('is deleted once, and what is not there is not (E6)', async () => {
    const { users, settle, code, cluster } = await start(6)
    const changes: string[] = []
    const { transport } = cluster.world.start('watcher')
    transport.subscribe(subjects.changesOf('kv-users'), ({ headers }) => changes.push(headers!['Hf-Rev']!))
    await settle(transport.flush())
    expect(await settle(users.delete('a'))).toBe(false)
    expect(await code(users.delete('a', { rev: 1 }))).toBe('CONFLICT')
    await settle(users.put('a', 1))
    expect(await code(users.delete('a', { rev: 2 }))).toBe('CONFLICT')
    expect(await settle(users.delete('a', { rev: 1 }))).toBe(true)
    expect(await settle(users.delete('a'))).toBe(false)
    expect(await settle(users.put('a', 2))).toBe(3)
    await cluster.clock.advance(1_000)
    expect(changes).toEqual(['1', '2', '3'])
  })

  it('is one of many, each by itself (E7)', async () => {
    const { users, settle, code } = await start(7)
    await settle(users.putAll([['a', 1], ['b', 2], ['a', 3]])) // prettier-ignore
    expect(await settle(users.getAll(['b', 'x', 'a', 'b']))).toEqual(new Map([['b', 2], ['a', 3]])) // prettier-ignore
    expect([...(await settle(users.getAll(['b', 'x', 'a']))).keys()]).toEqual(['b', 'a'])
    expect(await settle(users.deleteAll(['a', 'x', 'a']))).toBe(1)
    expect(await settle(users.getAll([]))).toEqual(new Map())
    expect(await settle(users.deleteAll([]))).toBe(0)
    const wrong = users.putAll([['c', 1], ['d', undefined], ['e', 1]]) // prettier-ignore
    expect(await code(wrong)).toBe('INVALID')
    expect(await settle(users.get('c'))).toBe(1)
    const keys = numbered(1_000)
    await settle(filled(users, keys))
    expect((await settle(users.getAll(keys))).size).toBe(1_000)
    expect(await settle(users.deleteAll(keys))).toBe(1_000)
  })

  it('has a key that can be one (E8)', async () => {
    const { users, hf, code } = await start(8)
    for (const key of ['', 'x'.repeat(513), '\uD800', 5 as unknown as string]) {
      expect(await code(users.get(key))).toBe('INVALID')
      expect(await code(users.put(key, 1))).toBe('INVALID')
      expect(await code(users.delete(key))).toBe('INVALID')
    }
    expect(await code(users.put('x'.repeat(512), 1))).toBe('none')
    for (const name of ['', 'x'.repeat(126), undefined as unknown as string]) {
      expect(() => hf.kv(name)).toThrow(expect.objectContaining({ code: 'INVALID' }))
    }
    expect(() => hf.kv({} as never)).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(() => users.range({ limit: -1 })).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(() => users.range({ from: 'x'.repeat(513) })).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(() => users.prefix('\uD800')).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(await code(users.count({ from: 5 as never }))).toBe('INVALID')
  })

  it.each<[option: string, values: readonly unknown[]]>([
    ['timeout', ['soon', -1, null, 1e16, Number.MAX_VALUE]],
    ['signal', [true, null, {}, new AbortController()]],
    ['idempotencyKey', ['', 7, null, 'x'.repeat(257), '\ud800']],
    ['maxStaleness', ['soon', -1, null, 1e16]],
    ['after', [7, null, '', 'start']],
    ['pageSize', [0, 1.5, 1_001, null, '5']],
    ['timeOut', [1]],
  ])('is not reached with an option that cannot be: %s', async (option, values) => {
    const { users } = await start(10)
    for (const given of values) {
      expect(() => users.with({ [option]: given }), JSON.stringify(given)).toThrow(
        expect.objectContaining({ code: 'INVALID', message: expect.stringMatching(`["\`]${option}["\`]`) as string }),
      )
    }
    for (const options of [null, undefined, 7, { id: 'a b' }, { id: null }] as never[]) {
      expect(() => users.with(options)).toThrow(expect.objectContaining({ code: 'INVALID' }))
    }
  })

  it('is not reached with what are no options, whatever is called', async () => {
    const { hf, users, settle } = await start(11)
    for (const given of [null, 7, 'soon'] as never[]) {
      const calls: Record<string, () => unknown> = {
        put: () => users.put('k', 1, given),
        putIfAbsent: () => users.putIfAbsent('k', 1, given),
        update: () => users.update('k', 1, given),
        delete: () => users.delete('k', given),
        putAll: () => users.putAll([], given),
        count: () => users.count(given),
        range: () => users.range(given),
        prefix: () => users.prefix('k', given),
        watch: () => users.watch(given),
        'watch of an actor': () => hf.actor(Counter, 'k').watch(given),
        'watch of a type': () => hf.watch(Counter, given),
        kv: () => kv('users', given),
      }
      for (const [name, call] of Object.entries(calls)) {
        const error = await settle(
          (async () => call())().then(
            () => 'none',
            (thrown: unknown) => thrown,
          ),
        )
        expect(error, name).toMatchObject({
          code: 'INVALID',
          message: expect.stringContaining('takes an object of options'),
        })
      }
    }
    expect(await settle(users.count())).toBe(0)
  })

  it.each<[what: string, given: unknown]>([
    ['null', null],
    ['a number', 7],
    ['a text', 'k'],
    ['an object', { k: 1 }],
  ])('is not reached by many calls for %s instead of a list', async (_, given) => {
    const { users, settle } = await start(12)
    await settle(users.put('k', 1))
    const calls = [
      users.putAll(given as never),
      users.putAll([given] as never),
      users.getAll(given as never),
      users.deleteAll(given as never),
    ]
    for (const outcome of await settle(Promise.allSettled(calls))) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'INVALID', message: expect.stringMatching(/^give the (keys|entries) as /) },
      })
    }
    expect(await settle(users.get('k'))).toBe(1)
  })

  it('is put once with an idempotency key, however often that is asked', async () => {
    const { users, settle, code } = await start(9)
    const once = users.with({ idempotencyKey: 'order 1' })
    expect(await settle(once.put('a', 1))).toBe(1)
    expect(await settle(users.put('a', 2))).toBe(2)
    expect(await settle(once.put('a', 1))).toBe(1)
    expect(await code(once.put('a', 3))).toBe('CONFLICT')
    expect(await settle(users.get('a'))).toBe(2)
  })

  it('is written once by a write that ended UNKNOWN and is repeated by its id (E10)', async () => {
    const { users, clock, settle } = await start(11)
    const abort = new AbortController()
    const unknown = users
      .with({ signal: abort.signal })
      .put('a', 1)
      .then(String, (error: HoldfastError) => error)
    await clock.advance(0.1)
    abort.abort()
    const { code, id } = (await unknown) as HoldfastError
    expect(code).toBe('UNKNOWN')
    expect(await settle(users.with({ id }).put('a', 1))).toBe(1)
    expect(await settle(users.entry('a'))).toMatchObject({ rev: 1, value: 1 })
  })
})

describe('a range', () => {
  const keys = ['a', 'a/b', 'ab', 'b', 'é', '\uFFFD', '😀']

  it('has the order of bytes, over all partitions, each key once (R1, R5)', async () => {
    const { users, hf, settle } = await start(20)
    const many = [...keys, ...numbered(100)].toSorted(compareKeys)
    await settle(filled(users, many))
    await settle(hf.kv('user').put('other', 1))
    expect(new Set(many.map((key) => partitionOf(key, partitions))).size).toBe(partitions)
    expect(await settle(keysOf(users.range()))).toEqual(many)
    expect(many.indexOf('\uFFFD')).toBeLessThan(many.indexOf('😀'))
  })

  it('has its lower bound and not its upper one, what has the prefix, both ways, and so many (R2, R3, R4)', async () => {
    const { users, settle, requests } = await start(21)
    await settle(filled(users, keys))
    const range = (options: Parameters<typeof users.range>[0]) => settle(keysOf(users.range(options)))
    expect(await range({ from: 'a/b', to: 'b' })).toEqual(['a/b', 'ab'])
    expect(await range({ from: 'aa' })).toEqual(keys.slice(2))
    expect(await range({ to: 'ab' })).toEqual(['a', 'a/b'])
    expect(await range({ from: '', reverse: true })).toEqual(keys.toReversed())
    expect(await range({ limit: 3 })).toEqual(keys.slice(0, 3))
    expect(await range({ limit: 3, reverse: true, to: '😀' })).toEqual(['\uFFFD', 'é', 'b'])
    expect(await settle(keysOf(users.prefix('a')))).toEqual(['a', 'a/b', 'ab'])
    expect(await settle(keysOf(users.prefix('a', { reverse: true, limit: 2 })))).toEqual(['ab', 'a/b'])
    expect(await settle(keysOf(users.prefix('')))).toEqual(keys)
    expect(await settle(keysOf(users.prefix('x')))).toEqual([])
    const asked = requests().length
    expect(await range({ from: 'b', to: 'b' })).toEqual([])
    expect(await range({ from: '😀', to: '\uFFFD' })).toEqual([])
    expect(await range({ to: '' })).toEqual([])
    expect(await range({ limit: 0 })).toEqual([])
    expect(requests().length).toBe(asked)
  })

  it('has what is there throughout, once, while others come and go (R6)', async () => {
    const { users, settle } = await start(22)
    const staying = numbered(1_500)
    await settle(filled(users, staying))
    const reading = async () => {
      const seen: string[] = []
      for await (const { key } of users.range()) {
        seen.push(key)
        if (seen.length % 100 !== 0) continue
        const n = seen.length
        await users.putAll([[`${key}+`, n], [`k0000-${n}`, n], [`z${n}`, n]]) // prettier-ignore
        await users.delete(`${staying[n - 1]!}+`)
      }
      return seen
    }
    const seen = await settle(reading())
    expect(new Set(seen).size).toBe(seen.length)
    expect(seen).toEqual(seen.toSorted(compareKeys))
    expect(seen.filter((key) => /^k\d{4}$/.test(key))).toEqual(staying)
    expect(seen.includes('z100')).toBe(true)
  })

  it('is read page by page, and no further once it is left (R7)', async () => {
    const { users, settle, clock, requests } = await start(23)
    await settle(filled(users, numbered(3_000)))
    const reading = users.range()[Symbol.asyncIterator]()
    await settle(reading.next())
    await clock.advance(5_000)
    expect(requests()).toHaveLength(partitions)
    for (let i = 0; i < 700; i++) await settle(reading.next())
    await clock.advance(5_000)
    expect(requests()).toHaveLength(2 * partitions)
    await settle(reading.return!())
    await clock.advance(5_000)
    expect(requests()).toHaveLength(2 * partitions)
    expect(requests().every(({ limit }) => limit === 256)).toBe(true)
  })

  it('leaves no question behind that nobody answers (R7)', async () => {
    const { users, settle, clock, cluster, requests } = await start(27)
    await settle(filled(users, numbered(2_000)))
    const reading = users.range()[Symbol.asyncIterator]()
    await settle(reading.next())
    cluster.crash('n1')
    for (let i = 0; i < 600; i++) await settle(reading.next())
    await clock.advance(100)
    await settle(reading.return!())
    const asked = requests().length
    expect(asked).toBeGreaterThan(partitions)
    await clock.advance(9_000)
    expect(requests()).toHaveLength(asked)
  })

  it('ends in the middle with its signal and its timeout', async () => {
    const { users, settle, code, cluster } = await start(24)
    await settle(filled(users, numbered(1_500)))
    const controller = new AbortController()
    const reading = users.with({ signal: controller.signal }).range()[Symbol.asyncIterator]()
    await settle(reading.next())
    controller.abort()
    const rest = async () => {
      while ((await reading.next()).done !== true);
    }
    expect(await code(rest())).toBe('RETRY')
    const later = users.with({ timeout: '1s' }).range()[Symbol.asyncIterator]()
    await settle(later.next())
    cluster.crash('n1')
    const end = async () => {
      while ((await later.next()).done !== true);
    }
    expect(await code(end())).toBe('RETRY')
  })

  it('goes on over a failover in the middle (R8)', async () => {
    const { users, settle, cluster } = await start(25, ['n1', 'n2', 'n3'])
    const all = numbered(2_000)
    await settle(filled(users, all))
    const reading = async () => {
      const seen: string[] = []
      for await (const { key } of users.range()) {
        seen.push(key)
        if (seen.length === 300) cluster.crash('n2')
        if (seen.length === 900) cluster.crash('n3')
      }
      return seen
    }
    expect(await settle(reading())).toEqual(all)
  })

  it('is counted at the owners as it is read (R9)', async () => {
    const { users, settle, requests } = await start(26)
    expect(await settle(users.count())).toBe(0)
    const all = numbered(1_200)
    await settle(filled(users, all))
    await settle(users.deleteAll(all.slice(0, 100)))
    expect(await settle(users.count())).toBe(1_100)
    expect(await settle(users.count({ from: 'k0099', to: 'k0110' }))).toBe(10)
    expect(await settle(users.count({ prefix: 'k11' }))).toBe(100)
    expect(await settle(users.count({ from: 'k2', to: 'k1' }))).toBe(0)
    expect(requests()).toHaveLength(0)
  })
})

describe('a snapshot', () => {
  it('is of one moment, and a watch goes on from there without a gap (S1, S2)', async () => {
    const { users, settle } = await start(40, ['n1', 'n2'])
    const all = numbered(300)
    await settle(filled(users, all))
    const writing = users.putAll(all.slice(0, 150).map((key) => [key, 'meanwhile']))
    const snapshot = await settle(users.snapshot())
    await settle(writing)
    await settle(users.deleteAll(all.slice(250)))
    await settle(users.put('new', 1))
    const entries = await settle(collect(snapshot.entries()))
    expect(entries.map(({ key }) => key)).toEqual(all)
    const model = new Map(entries.map(({ key, value, rev }) => [key, { value, rev }]))
    const watch = users.watch({ from: snapshot.cursor })
    const following = async () => {
      for await (const { key, rev, state } of watch) {
        expect(rev).toBe((model.get(key)?.rev ?? 0) + 1)
        model.set(key, { value: state, rev })
        const done = model.get('new') !== undefined && all.slice(250).every((k) => model.get(k)!.value === null)
        if (done && all.slice(0, 150).every((k) => model.get(k)!.rev === 2)) return
      }
    }
    await settle(following())
    for (const key of all.slice(0, 150)) expect(model.get(key)).toEqual({ value: 'meanwhile', rev: 2 })
    expect((await settle(collect(snapshot.entries()))).map(({ value }) => value)).toEqual(
      entries.map(({ value }) => value),
    )
    await settle(snapshot.close())
    await settle(snapshot.close())
  })

  it('is kept while it is read slowly, and gone after a pause (S3)', async () => {
    const { users, settle, clock, code } = await start(41)
    const all = numbered(2_000)
    await settle(filled(users, all))
    const snapshot = await settle(users.snapshot())
    const slowly = snapshot.entries()[Symbol.asyncIterator]()
    await settle(slowly.next())
    await clock.advance(120_000)
    let seen = 1
    const rest = async () => {
      while ((await slowly.next()).done !== true) seen++
    }
    await settle(rest())
    expect(seen).toBe(all.length)
    await clock.advance(25_000)
    expect(await settle(collect(snapshot.entries()))).toHaveLength(all.length)
    await clock.advance(31_000)
    const error: unknown = await settle(collect(snapshot.entries()).catch((thrown: unknown) => thrown))
    expect(error).toMatchObject({ code: 'RETRY', message: expect.stringContaining('take another') as string })
    await settle(snapshot.close())
    expect(await code(collect(snapshot.entries()))).toBe('INVALID')
  })

  it('is gone when an owner changes: another one can be taken (S3)', async () => {
    const { users, settle, code, cluster } = await start(42, ['n1', 'n2'])
    const all = numbered(1_500)
    await settle(filled(users, all))
    const snapshot = await settle(users.snapshot())
    const reading = snapshot.entries()[Symbol.asyncIterator]()
    await settle(reading.next())
    cluster.crash('n2')
    const rest = async () => {
      while ((await reading.next()).done !== true);
    }
    expect(await code(rest())).toBe('RETRY')
    const second = await settle(users.snapshot())
    expect(await settle(keysOf(second.entries()))).toEqual(all)
    await settle(second.close())
  })

  it('is one of a bounded number, and lets go of its place when it is closed (S3)', async () => {
    const { users, settle, code } = await start(43)
    await settle(users.put('a', 1))
    const kept = []
    for (let i = 0; i < 16; i++) kept.push(await settle(users.snapshot()))
    expect(await code(users.with({ timeout: '200ms' }).snapshot())).toBe('OVERLOADED')
    await settle(kept[3]!.close())
    const again = await settle(users.snapshot())
    expect(await settle(keysOf(again.entries()))).toEqual(['a'])
  })

  it('that cannot be had everywhere is let go of where it was', async () => {
    const { cluster, users, settle, code, requests } = await start(44)
    const { transport, clock, random } = cluster.world.start('greedy')
    const asks = new ScanAsks({ transport, clock, random, subjects })
    const request = { kind: 'open', type: 'kv-other', reverse: false, limit: 1 } as const
    for (let i = 0; i < 16; i++) await settle(asks.ask(2, request, { timeoutMs: 1_000 }))
    expect(await code(users.with({ timeout: '200ms' }).snapshot())).toBe('OVERLOADED')
    expect(requests('close')).toHaveLength(partitions - 1)
    asks.close()
  })
})

describe('an entry with a term', () => {
  it('is not there for any read once that is over, whoever owns it (T1, T2)', async () => {
    const { users, settle, clock, cluster, code } = await start(60, ['n1', 'n2'])
    const all = numbered(40)
    await settle(users.putAll(all.map((key) => [key, 1]), { ttl: '20s' })) // prettier-ignore
    await settle(users.put('stays', 1))
    const { expiresAt } = (await settle(users.entry('k0000')))!
    expect(Math.abs(expiresAt! - clock.now() - 20_000)).toBeLessThan(1_000)
    const snapshot = await settle(users.snapshot())
    expect(await settle(users.count())).toBe(41)
    cluster.crash('n2')
    await clock.advance(10_000)
    expect(await settle(users.count())).toBe(41)
    expect((await settle(users.entry('k0000')))!.expiresAt).toBe(expiresAt)
    await clock.advance(10_000)
    expect(await settle(users.count())).toBe(1)
    expect(await settle(keysOf(users.range()))).toEqual(['stays'])
    expect((await settle(users.getAll(all))).size).toBe(0)
    expect(await code(users.update('k0000', 1, { rev: 1 }))).toBe('CONFLICT')
    expect(await settle(users.delete('k0001'))).toBe(false)
    expect(await settle(users.putIfAbsent('k0002', 1))).toBeGreaterThan(1)
    await settle(snapshot.close())
  })

  it('has that of its last put, by default that of the store (T3)', async () => {
    const { hf, settle, clock, code } = await start(61)
    const users = hf.kv(kv<number>('users', { ttl: '10s' }))
    await settle(users.put('default', 1))
    await settle(users.put('own', 1, { ttl: '1m' }))
    await settle(users.put('longer', 1, { ttl: 1_000 }))
    await settle(users.put('longer', 1, { ttl: '1h' }))
    await settle(hf.kv('users').put('forever', 1, { ttl: 1_000 }))
    await settle(hf.kv('users').put('forever', 1))
    await clock.advance(11_000)
    expect(await settle(keysOf(users.range()))).toEqual(['forever', 'longer', 'own'])
    for (const ttl of [0, -1, 'soon', Number.NaN])
      expect(await code(users.put('a', 1, { ttl: ttl as number }))).toBe('INVALID')
  })

  it('is removed, which watchers see as a deletion (T4)', async () => {
    const { users, settle, clock } = await start(62)
    const watch = users.watch({ key: 'a' })
    await settle(watch.ready())
    await settle(users.put('a', 1, { ttl: '5s' }))
    const seen: unknown[] = []
    const following = (async () => {
      for await (const { rev, state } of watch) if (seen.push([rev, state]) === 2) return
    })()
    await clock.advance(20_000)
    await settle(following)
    expect(seen).toEqual([[1, 1], [2, null]]) // prettier-ignore
  })
})

describe('a store', () => {
  it('listens to a signal once for each reading, and lets go of it', async () => {
    const { users, settle, code } = await start(82)
    const keys = numbered(40)
    const controller = new AbortController()
    let [most, now] = [0, 0]
    const { signal } = controller
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      most = Math.max(most, ++now)
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      now--
      remove(...args)
    }
    const own = users.with({ signal })
    await settle(filled(own, keys))
    await settle(own.getAll(keys))
    await settle(own.count())
    await settle(collect(own.range()))
    const snapshot = await settle(own.snapshot())
    await settle(collect(snapshot.entries()))
    await settle(own.deleteAll(keys.slice(20)))
    expect([most, now]).toEqual([1, 0])
    controller.abort(new Error('enough'))
    expect(await code(own.count())).toBe('RETRY')
    expect(await code(collect(own.range()))).toBe('RETRY')
    expect(await code(own.getAll(keys))).toBe('RETRY')
    expect(await code(own.snapshot())).toBe('RETRY')
    expect(await code(collect(snapshot.entries()))).toBe('RETRY')
    await settle(snapshot.close())
    expect(await settle(users.count())).toBe(20)
  })

  it('is watched as a whole, by prefix or by key; a null that was put is no deletion (W1, W2)', async () => {
    const { users, settle } = await start(80)
    const [whole, one] = [users.watch({ from: 'start' }), users.watch({ key: 'b', from: 'start' })]
    const some = users.watch({ prefix: 'b/', from: 'start' })
    await settle(filled(users, ['a', 'b', 'c', 'b/1', 'd']))
    await settle(users.put('b/2', null))
    await settle(users.delete('b/1'))
    const first = async (watch: typeof whole, count: number) => {
      const seen: string[] = []
      for await (const { key, state, deleted = false } of watch) {
        seen.push(deleted ? `${key} gone` : `${key}=${String(state)}`)
        if (seen.length === count) break
      }
      return seen.toSorted()
    }
    expect(await settle(first(whole, 7))).toEqual(['a=a', 'b/1 gone', 'b/1=b/1', 'b/2=null', 'b=b', 'c=c', 'd=d'])
    expect(await settle(first(one, 1))).toEqual(['b=b'])
    expect(await settle(first(some, 3))).toEqual(['b/1 gone', 'b/1=b/1', 'b/2=null'])
    expect(() => users.watch({ key: '' })).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it('ends with its client: what is read then is INVALID, and what is on its way RETRY', async () => {
    const { hf, users, settle, clock, code, scans } = await start(81)
    await settle(filled(users, numbered(10)))
    const reading = users.count().catch((error: unknown) => error)
    await clock.runUntil(() => scans.length > 0, 1_000)
    const closing = hf.close()
    expect(await settle(reading)).toMatchObject({ code: 'RETRY' })
    await settle(closing)
    expect(await code(users.count())).toBe('INVALID')
    expect(await code(collect(users.range()))).toBe('INVALID')
    expect(await code(users.snapshot())).toBe('INVALID')
    expect(scans.length).toBeLessThanOrEqual(partitions)
  })
})
