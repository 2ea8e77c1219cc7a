/**
 * The commands for actors, stores and the cluster, against a real nats-server and nodes that are processes: what they print, for people and as
 * JSON, and how they end. One is a process, and so are those that are told to end; all others run here.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClusterReport } from '../../src/placement/status-report.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { jsonLinesOf, jsonOf, patientLease, run, start, stopAll, type Started } from './program.ts'
import { runHere } from './program-only.ts'
import { settled } from './settled.ts'
import { build } from '../support/build.ts'

const timeout = 60_000
const index = new URL('../../src/index.ts', import.meta.url).href

const basket = `import { actor } from ${JSON.stringify(index)}
export const Basket = actor('basket', {
  version: 1,
  state: () => ({ items: [] as string[] }),
  commands: {
    add(ctx, item: string) {
      if (typeof item !== 'string') throw new TypeError('an item is\\na text')
      ctx.state.items.push(item)
      return ctx.state.items.length
    },
    clear: (ctx) => ctx.destroy(),
    when: (ctx) => new Date(0),
  },
  queries: { items: (state) => state.items, nothing: () => {} },
})
export const other = { kind: 'something else' }
`

let folder: string
let server: TestServer
let nodeA: Started
let nodeB: Started

const env = () => ({ HOLDFAST_SERVERS: server.url, HOLDFAST_CLUSTER: 'shop' })
const cli = (args: readonly string[], stdin?: string) => runHere(args, { env: env(), ...(stdin && { stdin }) })
const node = (id: string) =>
  start(['node', '--actors', 'actors', '--data', id, '--node-id', id, '--host', id, '--partitions', '4', '--json'], {
    cwd: folder,
    env: { ...env(), ...patientLease },
  })
const status = () => cli(['status', '--json'])
const reported = async () => jsonOf(await status()) as ClusterReport
/** What it prints once nodes have heard of each other how they are. */
const comesToPrint = (...args: string[]) => expect.poll(async () => (await cli(args)).stdout, { timeout: 30_000 })

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'))
  await mkdir(join(folder, 'actors'))
  await writeFile(join(folder, 'actors', 'basket.ts'), basket)
  server = await startNatsServer({ syncAlways: false })
  nodeA = node('a')
  await nodeA.printed(/"type":"ready"/)
  nodeB = node('b')
  await nodeB.printed(/"type":"ready"/)
  await settled(status, 2)
}, timeout)

afterAll(async () => {
  await stopAll()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

describe('call, tell and query', () => {
  it('print the result, and end with 0', { timeout }, async () => {
    expect(await run(['call', 'basket', 'c1', 'add', '"tea"'], { env: env() })).toEqual({
      code: 0,
      signal: null,
      stdout: '1\n',
      stderr: '',
    })
    expect(await cli(['tell', 'basket', 'c1', 'add', '"cup"'])).toMatchObject({ code: 0, stdout: 'accepted\n' })
    expect(await cli(['query', 'basket', 'c1', 'items'])).toMatchObject({ stdout: '[\n  "tea",\n  "cup"\n]\n' })
    expect(await cli(['query', 'basket', 'c1', 'items', '--json'])).toMatchObject({ stdout: '["tea","cup"]\n' })
    expect(await cli(['call', 'basket', 'c1', 'items', '--json'])).toMatchObject({ stdout: '["tea","cup"]\n' })
  })

  it('print no result as null, and values that JSON lacks in their forms', { timeout }, async () => {
    expect(jsonOf(await cli(['query', 'basket', 'c2', 'nothing', '--json']))).toBeNull()
    expect(jsonOf(await cli(['call', 'basket', 'c2', 'when', '--json']))).toEqual({ $date: '1970-01-01T00:00:00.000Z' })
    expect(jsonOf(await cli(['tell', 'basket', 'c2', 'add', '"x"', '--json']))).toEqual({ accepted: true })
  })

  it('take the input from standard input, or a file', { timeout }, async () => {
    const file = join(folder, 'item.json')
    await writeFile(file, '"from a file"')
    expect(await cli(['call', 'basket', 'c3', 'add', '-'], '"from stdin"')).toMatchObject({ stdout: '1\n' })
    expect(await cli(['call', 'basket', 'c3', 'add', `@${file}`])).toMatchObject({ stdout: '2\n' })
    expect(jsonOf(await cli(['query', 'basket', 'c3', 'items', '--json']))).toEqual(['from stdin', 'from a file'])
  })

  it('take effect once for one idempotency key, or one id', { timeout }, async () => {
    const keyed = ['call', 'basket', 'c4', 'add', '"once"', '--idempotency-key', 'order 17']
    expect([(await cli(keyed)).stdout, (await cli(keyed)).stdout]).toEqual(['1\n', '1\n'])
    const numbered = ['call', 'basket', 'c4', 'add', '"more"', '--id', 'mine-1']
    expect([(await cli(numbered)).stdout, (await cli(numbered)).stdout]).toEqual(['2\n', '2\n'])
    const otherwise = await cli([...keyed.slice(0, 4), '"another"', ...keyed.slice(5)])
    expect(otherwise).toMatchObject({ code: 5, stdout: '', stderr: expect.stringContaining('idempotency key') })
  })

  it('end with 1, and one line, when the handler throws', { timeout }, async () => {
    const outcome = await cli(['call', 'basket', 'c5', 'add', '5'])
    expect(outcome).toMatchObject({ code: 1, stdout: '', stderr: 'the handler threw: an item is a text\n' })
    const json = await cli(['call', 'basket', 'c5', 'add', '5', '--json'])
    expect(json).toMatchObject({ code: 1, stdout: '' })
    expect(JSON.parse(json.stderr)).toEqual({
      error: { code: 'FAILED', message: 'the handler threw: an item is a text' },
    })
  })

  it('end with 5 for what there is not', { timeout }, async () => {
    expect(await cli(['call', 'basket', 'c5', 'fly'])).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('fly'),
    })
    expect(await cli(['query', 'nothing', 'c5', 'x'])).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('nothing'),
    })
  })

  const refused: readonly (readonly [args: readonly string[], sentence: RegExp])[] = [
    [['call', 'basket', 'c5', 'add', 'tea'], /input tea is not JSON: for a text write '"tea"'/],
    [['call', 'basket', 'c5', 'add', '{"a":'], /input \{"a": is not JSON$/],
    [['call', 'basket', 'c5', 'add', '@nothing.json'], /nothing\.json cannot be read/],
    [['call', 'basket', '', 'add'], /key is not empty|key/],
    [['call', 'basket', 'c5', 'add', '1', '--id', 'a b'], /id/],
    [['call', 'basket', 'c5', 'add', '1', '--idempotency-key', ''], /--idempotency-key/],
    [['call', 'basket', 'c5', 'add', '1', '--timeout', 'soon'], /duration/],
    [['call', 'basket', 'c5'], /missing required argument 'command'/],
    [['call', 'basket', 'c5', 'add', '1', '2'], /too many arguments/],
    [['call', 'basket', 'c5', 'add', '--bogus'], /unknown option '--bogus'/],
  ]

  it('end with 2 and one sentence for what can never be', { timeout }, async () => {
    await Promise.all(
      refused.map(async ([args, sentence]) => {
        const { code, stdout, stderr } = await cli(args)
        expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: '' })
        expect(stderr.trimEnd()).toMatch(sentence)
        expect(stderr.trimEnd().split('\n')).toHaveLength(1)
      }),
    )
  })
})

describe('watch', () => {
  it('prints changes as JSON lines, from a cursor on too', { timeout }, async () => {
    for (const item of ['a', 'b', 'c']) await cli(['call', 'basket', 'w1', 'add', JSON.stringify(item)])
    const first = await cli(['watch', 'basket', 'w1', '--from', 'start', '--limit', '2', '--json'])
    expect(first).toMatchObject({ code: 0, stderr: '' })
    const [one, two] = jsonLinesOf(first) as { rev: number; state: { items: string[] }; cursor: string }[]
    expect([one, two]).toMatchObject([
      { type: 'basket', key: 'w1', rev: 1, state: { items: ['a'] }, at: expect.any(Number) },
      { rev: 2, state: { items: ['a', 'b'] } },
    ])
    const next = await cli(['watch', 'basket', 'w1', '--from', two!.cursor, '--limit', '1'])
    expect(next).toMatchObject({ code: 0, stdout: 'basket/w1  rev 3  {"items":["a","b","c"]}\n' })
  })

  it('tells of a deletion, of what happens while it runs, and ends with Ctrl-C', { timeout }, async () => {
    const watch = start(['watch', 'basket'], { env: env() })
    await watch.printed(/^watching/)
    await cli(['call', 'basket', 'w2', 'add', '"x"'])
    await cli(['call', 'basket', 'w2', 'clear'])
    await watch.printed(/^basket\/w2 {2}rev 2 {2}\(deleted\)$/)
    expect(watch.lines).toEqual(['basket/w2  rev 1  {"items":["x"]}', 'basket/w2  rev 2  (deleted)'])
    watch.kill('SIGINT')
    expect(await watch.ended).toBe(0)
  })

  it('follows the keys that begin alike', { timeout }, async () => {
    for (const key of ['us/1', 'eu/1', 'eu/2']) await cli(['kv', 'put', 'places', key, '1'])
    const entries = await cli(['kv', 'watch', 'places', '--prefix', 'eu/', '--from', 'start', '--limit', '2', '--json'])
    const keys = jsonLinesOf(entries).map((change) => (change as { key: string }).key)
    expect(keys.toSorted()).toEqual(['eu/1', 'eu/2'])
    expect(await cli(['watch', 'kv-places', '--prefix', 'us/', '--from', 'start', '--limit', '1'])).toMatchObject({
      code: 0,
      stdout: 'kv-places/us/1  rev 1  1\n',
    })
    for (const both of [
      ['watch', 'basket', 'w1'],
      ['kv', 'watch', 'places', 'eu/1'],
    ])
      expect(await cli([...both, '--prefix', 'e'])).toMatchObject({ code: 2, stdout: '' })
  })

  it('ends with 2 for what is no cursor', { timeout }, async () => {
    expect(await cli(['watch', 'basket', 'w1', '--from', 'yesterday'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('"yesterday" is not a cursor'),
    })
  })
})

describe('kv', () => {
  it('puts, gets, updates and deletes', { timeout }, async () => {
    expect(jsonOf(await cli(['kv', 'put', 'users', 'ada', '{"name":"Ada"}', '--json']))).toEqual({ rev: 1 })
    expect(jsonOf(await cli(['kv', 'get', 'users', 'ada', '--json']))).toEqual({ name: 'Ada' })
    const entry = jsonOf(await cli(['kv', 'get', 'users', 'ada', '--entry', '--json']))
    expect(entry).toEqual({ key: 'ada', rev: 1, value: { name: 'Ada' } })
    expect(await cli(['kv', 'update', 'users', 'ada', '"A"', '--rev', '7'])).toMatchObject({ code: 5, stdout: '' })
    expect(await cli(['kv', 'update', 'users', 'ada', '"A"', '--rev', '1'])).toMatchObject({
      code: 0,
      stdout: 'rev 2\n',
    })
    expect(await cli(['kv', 'put', 'users', 'ada', '1', '--if-absent'])).toMatchObject({ code: 5 })
    expect(await cli(['kv', 'delete', 'users', 'ada', '--rev', '1'])).toMatchObject({ code: 5 })
    expect(await cli(['kv', 'delete', 'users', 'ada'])).toMatchObject({ code: 0, stdout: 'deleted\n' })
    expect(jsonOf(await cli(['kv', 'delete', 'users', 'ada', '--json']))).toEqual({ deleted: false })
    expect(await cli(['kv', 'get', 'users', 'ada'])).toMatchObject({
      code: 5,
      stdout: '',
      stderr: 'the store users has no entry ada\n',
    })
  })

  it('puts with a term', { timeout }, async () => {
    await cli(['kv', 'put', 'sessions', 's1', '"open"', '--ttl', '1h'])
    const entry = jsonOf(await cli(['kv', 'get', 'sessions', 's1', '--entry', '--json'])) as { expiresAt: number }
    const leftMs = entry.expiresAt - Date.now()
    expect(leftMs).toBeGreaterThan(3_000_000)
    expect(leftMs).toBeLessThan(3_700_000)
  })

  it('reads ranges, prefixes and counts', { timeout }, async () => {
    for (const key of ['a1', 'a2', 'b1', 'c1']) await cli(['kv', 'put', 'r', key, `"${key}"`])
    const range = (...args: string[]) => cli(['kv', 'range', 'r', ...args])
    expect((await range()).stdout).toBe(['a1', 'a2', 'b1', 'c1'].map((key) => `${key}  rev 1  "${key}"\n`).join(''))
    expect(jsonLinesOf(await range('--from', 'a2', '--to', 'c1', '--json'))).toEqual([
      { key: 'a2', rev: 1, value: 'a2' },
      { key: 'b1', rev: 1, value: 'b1' },
    ])
    expect(jsonLinesOf(await range('--prefix', 'a', '--reverse', '--limit', '1', '--json'))).toMatchObject([
      { key: 'a2' },
    ])
    expect(await range('--prefix', 'z')).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await cli(['kv', 'count', 'r'])).toMatchObject({ stdout: '4\n' })
    expect(jsonOf(await cli(['kv', 'count', 'r', '--prefix', 'a', '--json']))).toBe(2)
    expect(await range('--prefix', 'a', '--from', 'b')).toMatchObject({ code: 2 })
  })

  it('watches a store', { timeout }, async () => {
    await cli(['kv', 'put', 'seen', 'k', '1'])
    const seen = await cli(['kv', 'watch', 'seen', 'k', '--from', 'start', '--limit', '1'])
    expect(seen).toMatchObject({ code: 0, stdout: 'kv-seen/k  rev 1  1\n' })
  })

  it('ends with 2 without a subcommand, and for a name that is none', { timeout }, async () => {
    expect(await cli(['kv'])).toMatchObject({ code: 2 })
    expect(await cli(['kv', 'get', '', 'k'])).toMatchObject({ code: 2, stdout: '' })
  })
})

describe('status, members and partitions', () => {
  it('tell who is there and who owns what', { timeout }, async () => {
    const report = await settled(status, 2)
    expect(report).toMatchObject({ cluster: 'shop', leader: 'a', settings: { partitions: 4, leaseMs: 500 } })
    expect(report.members.map(({ id, host, lease, owned }) => [id, host, lease, owned])).toEqual([
      ['a', 'a', 'alive', 2],
      ['b', 'b', 'alive', 2],
    ])
    expect(report.partitions.map(({ role }) => role)).toEqual(['owner', 'owner', 'owner', 'owner'])
    expect(report.partitions.every(({ seq, epoch }) => seq! > 1 && epoch > 0)).toBe(true)
    expect(jsonOf(await cli(['members', '--json']))).toMatchObject(report.members.map(({ id }) => ({ id })))
    expect(jsonOf(await cli(['partitions', '--json']))).toMatchObject(report.partitions.map(({ owner }) => ({ owner })))
  })

  it('are tables for people, without colours where there is no terminal', { timeout }, async () => {
    await comesToPrint('status').toMatch(
      /^cluster {5}shop \(4 partitions, read lease 500 ms\)\npartitions {2}all are served\n(?:.*\n)*NODE {2}LEASE {3,}OWNS/,
    )
    await comesToPrint('members').toMatch(/^a {5}alive .*\nb {5}alive /m)
    await comesToPrint('partitions').toMatch(/^3 +[ab] +\d+ +serving +\d+ +0 +standby [ab]$/m)
    expect((await cli(['status'])).stdout).not.toContain('\u001B')
  })
})

describe('log', () => {
  it('prints records as they are, valid and void', { timeout }, async () => {
    await cli(['kv', 'put', 'logged', 'key', '{"n":1}'])
    const partitions = (jsonOf(await cli(['partitions', '--json'])) as { partition: number; seq: number }[]).map(
      ({ partition }) => partition,
    )
    const logs = await Promise.all(
      partitions.map((p) => cli(['log', String(p), '--json', '--values', '--from', '1', '--limit', '1000'])),
    )
    const records = logs.map(
      (log) => jsonLinesOf(log) as { seq: number; kind: string; turns?: { mutations: object[] }[] }[],
    )
    for (const log of records) {
      expect(log.map(({ seq }) => seq)).toEqual(log.map((_, i) => i + 1))
      expect(log.slice(0, 2)).toMatchObject([
        { kind: 'genesis', verdict: 'valid', epoch: 0 },
        { kind: 'claim', verdict: 'valid', epoch: 1, node: 'a' },
      ])
    }
    const mutations = records.flat().flatMap(({ turns = [] }) => turns.flatMap((turn) => turn.mutations))
    expect(mutations).toContainEqual({ type: 'kv-logged', key: 'key', rev: 1, change: 'written', state: { n: 1 } })
  })

  it('says why a record counts for nothing', { timeout }, async () => {
    // A former owner that has not heard: it claims once more, at an epoch that is over.
    const nc = await connect({ servers: server.url })
    const manager = await jetstreamManager(nc)
    const claim = await manager.streams.getMessage('shop_P0', { seq: 2 })
    const { seq } = (await jetstream(nc).publish('shop.log.0', claim!.data)) satisfies { seq: number }
    await nc.close()
    const [record] = jsonLinesOf(await cli(['log', '0', '--json', '--from', String(seq), '--limit', '1']))
    expect(record).toMatchObject({
      seq,
      verdict: 'void',
      kind: 'claim',
      reason: expect.stringMatching(/claim of epoch 1 after/),
    })
    expect((await cli(['log', '0', '--from', String(seq), '--limit', '1'])).stdout).toMatch(
      / void: claim of epoch 1 after \d+$/m,
    )
    // The owner goes on behind it.
    const after = ['call', 'basket', 'after', 'add', '"x"']
    expect(await cli(after)).toMatchObject({ code: 0 })
  })

  it('prints the last ones, for people, and says where the log is', { timeout }, async () => {
    const { stdout, stderr, code } = await cli(['log', '0', '--limit', '1'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d+ {2}(?:commit|claim|handoff)/)
    expect(stderr).toMatch(/^up to (\d+) of \1: last valid record \d+, epoch \d+\n$/)
    const middle = await cli(['log', '0', '--from', '1', '--to', '1', '--json'])
    expect(jsonLinesOf(middle)).toMatchObject([{ seq: 1, kind: 'genesis' }])
  })

  it('ends with 5 for a partition that there is not, and 2 for what is none', { timeout }, async () => {
    expect(await cli(['log', '4'])).toMatchObject({
      code: 5,
      stdout: '',
      stderr: expect.stringContaining('partition 4'),
    })
    expect(await cli(['log', 'x'])).toMatchObject({ code: 2, stdout: '' })
    expect(await cli(['log', '-1'])).toMatchObject({ code: 2, stdout: '' })
  })
})

describe('doctor', () => {
  it('finds nothing to repair in a cluster that is well', { timeout }, async () => {
    const outcome = await cli(['doctor', '--data', join(folder, 'a'), '--json'])
    const { ok, findings } = jsonOf(outcome) as { ok: boolean; findings: { mark: string; check: string }[] }
    expect(ok).toBe(true)
    expect(findings.filter(({ mark }) => mark === 'fail')).toEqual([])
    for (const check of [
      'node.js',
      'rocksdb',
      'disk',
      'server',
      'jetstream',
      'registry',
      'logs',
      'snapshots',
      'nodes',
      'partitions',
      'clocks',
      'login',
    ]) {
      expect(findings, check).toContainEqual(expect.objectContaining({ check, mark: 'ok' }))
    }
    // It cannot be seen by a client, and one login may do everything here.
    expect(findings).toContainEqual(expect.objectContaining({ check: 'fsync', mark: 'skip' }))
    expect(findings).toContainEqual(expect.objectContaining({ check: 'fence', mark: 'warn' }))
  })

  it('leaves the logs as they are', { timeout }, async () => {
    const seqs = async () => (jsonOf(await cli(['log', '0', '--json', '--limit', '1'])) as { seq: number }).seq
    const before = await seqs()
    await cli(['doctor'])
    expect(await seqs()).toBe(before)
  })

  it('says what to do about a folder that cannot be written', { timeout }, async () => {
    await writeFile(join(folder, 'a-file'), '')
    const { code, stdout } = await cli(['doctor', '--data', join(folder, 'a-file')])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^fail {2}disk .*a-file cannot be written.*\n +→ make it a folder/m)
  })
})

describe('move, placement explain and rebalance', () => {
  const ownedIn = ({ partitions }: ClusterReport, id: string) =>
    partitions.flatMap(({ owner, role }, p) => (owner === id && role === 'owner' ? [p] : []))

  it('move a partition to a node, which keeps it while another goes back', { timeout }, async () => {
    const before = await settled(status, 2)
    const [partition] = ownedIn(before, 'a')
    const { epoch } = before.partitions[partition!]!
    const outcome = await cli(['move', String(partition), '--to', 'b', '--wait', '--json'])
    expect(jsonOf(outcome)).toEqual({ partition, from: 'a', to: 'b', moved: true, epoch: epoch + 1 })
    expect(ownedIn(await settled(status, 2), 'b')).toContain(partition)
    expect(await cli(['call', 'basket', 'c1', 'add', '"moved"'])).toMatchObject({ code: 0 })

    await comesToPrint('placement', 'explain', String(partition)).toMatch(
      /^b owns it since epoch \d+: its share is 2 of 4, of which it has 2, and it was moved there by hand\na stands by on another host than b, at record \d+ of \d+; nobody else that can have it is farther from there\n\nNODE {2}ROLE {5}CAN HAVE IT /,
    )
    const explained = await cli(['placement', 'explain', String(partition), '--json'])
    expect(explained).toMatchObject({ code: 0, stderr: '' })
    const { nodes, sentences, ...rest } = jsonOf(explained) as Record<string, readonly object[]>
    expect(rest).toEqual({ partition, epoch: epoch + 1 })
    expect(sentences).toHaveLength(2)
    expect(nodes).toMatchObject([
      { id: 'b', role: 'owner', canHave: 'yes', apart: null, owns: 2, share: 2, replicas: 4 },
      { id: 'a', role: 'standby', canHave: 'yes', apart: 'host', owns: 2, share: 2, replicas: 4 },
    ])
  })

  it('does not wait where it is not told to', { timeout }, async () => {
    const [partition] = ownedIn(await settled(status, 2), 'b')
    const moved = await cli(['move', String(partition), '--to', 'a'])
    expect(moved).toMatchObject({
      code: 0,
      stdout: `partition ${partition} is moving from b to a: see "holdfast placement explain ${partition}"\n`,
    })
    while (!ownedIn(await reported(), 'a').includes(partition!));
    expect(ownedIn(await settled(status, 2), 'a')).toContain(partition)
  })

  it('end with 5, and why, for what cannot be', { timeout }, async () => {
    const [partition] = ownedIn(await settled(status, 2), 'a')
    expect(await cli(['move', '0', '--to', 'zz'])).toMatchObject({
      code: 5,
      stdout: '',
      stderr: 'there is no node zz: the members are a, b\n',
    })
    for (const line of ['move 4 --to a', 'placement explain 4'])
      expect(await cli(line.split(' '))).toMatchObject({
        code: 5,
        stdout: '',
        stderr: 'there is no partition 4: the cluster has 0 to 3\n',
      })
    const already = await cli(['move', String(partition), '--to', 'a', '--json'])
    expect(already).toMatchObject({ code: 5, stdout: '' })
    expect(JSON.parse(already.stderr)).toEqual({
      error: { code: 'CONFLICT', message: `a owns partition ${partition} already` },
    })
    for (const line of ['move x --to a', 'move 0', 'placement explain -1', 'placement'])
      expect(await cli(line.split(' ')), line).toMatchObject({ code: 2, stdout: '' })
  })

  it('plan anew, or print what that would come to', { timeout }, async () => {
    await settled(status, 2)
    expect(jsonOf(await cli(['rebalance', '--dry-run', '--json']))).toEqual({ done: false, steps: [] })
    expect(jsonOf(await cli(['rebalance', '--json']))).toEqual({ done: true, steps: [] })
    expect(await cli(['rebalance'])).toMatchObject({
      stdout: 'placement has planned anew, and nothing is to be done\n',
    })
  })
})

describe('drain', () => {
  it('names the members for a node that there is not', { timeout }, async () => {
    expect(await cli(['drain', 'zz'])).toMatchObject({
      code: 5,
      stdout: '',
      stderr: 'there is no node zz: the members are a, b\n',
    })
  })

  it(
    'moves everything away, after which the node can be stopped; the last one has nowhere to drain to',
    { timeout },
    async () => {
      await settled(status, 2)
      const drained = await cli(['drain', 'b', '--json'])
      expect(jsonOf(drained)).toEqual({ node: 'b', drained: true, moved: 2 })
      const members = async () => (await reported()).members.map(({ id, lease, owned }) => [id, lease, owned])
      await expect.poll(members, { timeout: 30_000 }).toEqual([
        ['a', 'alive', 4],
        ['b', 'draining', 0],
      ])
      nodeB.kill('SIGTERM')
      expect(await nodeB.ended).toBe(0)
      expect(await cli(['drain', 'a'])).toMatchObject({ code: 5, stderr: expect.stringContaining('no other node') })
      expect(await cli(['call', 'basket', 'c1', 'add', '"after"'])).toMatchObject({ code: 0 })
    },
  )
})
