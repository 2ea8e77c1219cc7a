/** `snapshot`, `verify`, `restore` and `recover`, as an operator gives them, with nodes that go on running. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import { connect, createNode, type Change, type Holdfast, type HoldfastNode } from '../../src/index.ts'
import type { Audit } from '../../src/partition/recovery/audit.ts'
import { silent, type HoldfastEvent } from '../../src/ports/observer.ts'
import { partitionId, seq as seqOf } from '../../src/protocol/ids.ts'
import { Ledger } from '../e2e/support/ledger.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { jsonLinesOf } from './program.ts'
import { runHere } from './program-only.ts'

const timeout = 60_000
const cluster = 'shop'
const lost = partitionId(0)

let server: TestServer
let folder: string
let ports: NatsPorts
let hf: Holdfast
const nodes: HoldfastNode[] = []
const events: HoldfastEvent[] = []
let tell = () => {}

beforeAll(async () => {
  server = await startNatsServer({ syncAlways: false })
  folder = await mkdtemp(join(tmpdir(), 'holdfast-recovery-'))
  for (const nodeId of ['a', 'b']) {
    const observer = {
      emit(event: HoldfastEvent) {
        events.push(event)
        tell()
      },
    }
    const options = {
      servers: server.url,
      cluster,
      partitions: 1,
      nodeId,
      dataDir: join(folder, nodeId),
      actors: [Ledger],
      observer,
    }
    nodes.push(await createNode(options))
  }
  const parts = { clock: new SystemClock(), random: new SystemRandom(), observer: silent }
  ports = await openNats({ servers: server.url, cluster }, parts)
  hf = await connect({ servers: server.url, cluster })
}, timeout)

afterAll(async () => {
  await hf?.close()
  await ports?.close()
  for (const node of nodes) await node.close()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

const run = (...words: readonly string[]) =>
  runHere([...words, '--servers', server.url, '--cluster', cluster, '--timeout', '20s'])

async function json<T>(...words: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run(...words, '--json')
  if (code !== 0) throw new Error(`it ended with ${code}: ${stderr}`)
  return JSON.parse(stdout) as T
}

/** Resolves once there are so many events of the type. */
async function heard(type: HoldfastEvent['type'], count: number): Promise<void> {
  await new Promise<void>((resolve) => {
    tell = () => {
      if (events.filter((event) => event.type === type).length >= count) resolve()
    }
    tell()
  })
}

/** Asks JetStream, as its operator does. */
function api(question: string): Promise<unknown> {
  const inbox = ports.transport.inbox()
  return new Promise((resolve) => {
    const answers = ports.transport.subscribe(inbox, ({ data }) => {
      answers.close()
      resolve(JSON.parse(new TextDecoder().decode(data)))
    })
    ports.transport.publish(`$JS.API.${question}`, new Uint8Array(), { reply: inbox })
  })
}

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => `it was answered: ${String(value)}`,
    (error: unknown) => error,
  )

it('cuts, verifies and restores; names what is damaged', { timeout }, async () => {
  const ledger = hf.actor(Ledger, 'k')
  await ledger.append('one')
  const [first] = await json<{ id: string; seq: number }[]>('snapshot', '0')
  await ledger.append('two')
  const [second] = await json<{ id: string; seq: number; rows: number }[]>('snapshot', '--all')
  expect(second).toMatchObject({ partition: 0, rows: expect.any(Number) })
  expect(second!.seq).toBeGreaterThan(first!.seq)
  const [whole] = await json<Audit[]>('verify')
  expect(whole).toMatchObject({ ok: true, snapshots: [{ id: second!.id }, { id: first!.id }], log: { fault: null } })

  await ports.changelog.log(lost).trim(seqOf(first!.seq))
  const printed = jsonLinesOf(await run('log', '0', '--json', '--limit', '1000'))
  expect(printed[0]).toMatchObject({ seq: first!.seq + 1, verdict: 'valid' })
  expect(jsonLinesOf(await run('log', '0', '--json', '--from', String(second!.seq)))).toEqual(
    printed.slice(second!.seq - first!.seq - 1),
  )
  expect(await run('log', '0', '--from', '1')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`can be judged from ${first!.seq + 1} on`),
  })

  await ledger.append('three')
  const to = join(folder, 'new')
  const [restored] = await json<object[]>('restore', '--to', to)
  expect(restored).toMatchObject({ partition: 0, snapshot: second!.id, records: expect.any(Number) })
  await mkdir(join(to, 'discarded', 'p0-20260101T000000Z'), { recursive: true })
  expect(await json<Audit[]>('verify', '0', '--data', to)).toMatchObject([{ ok: true, store: { fault: null } }])
  // Who only looks leaves it to the next node.
  expect((await readdir(to)).toSorted()).toEqual(['discarded', 'node', 'p0'])

  const name = `p0.${second!.id}.c0`
  const chunk = (await ports.objects.get(name))!
  await ports.objects.delete(name)
  await ports.objects.put(
    name,
    chunk.map((byte, i) => (i === 9 ? byte ^ 1 : byte)),
  )
  const damaged = await run('verify', '--json')
  expect(damaged.code).toBe(1)
  expect(JSON.parse(damaged.stdout)).toMatchObject([
    {
      ok: false,
      snapshots: [{ fault: expect.stringContaining(`${name} is damaged`) }, { fault: null }],
      log: { fault: null },
    },
  ])
  await ports.objects.delete(name)
  await ports.objects.put(name, chunk)
})

it(
  'recovers a log that was deleted: nodes go on by themselves, ids are known, watchers are reset once',
  { timeout },
  async () => {
    expect(await run('recover', '0')).toMatchObject({ code: 5, stderr: expect.stringContaining('is there') })
    const ledger = hf.actor(Ledger, 'w')
    const order = ledger.with({ idempotencyKey: 'order-1' })
    expect(await order.append('kept')).toBe(1)
    const watching = ledger.watch({ from: 'start' })[Symbol.asyncIterator]()
    const { cursor } = (await watching.next()).value as Change<unknown>
    await watching.return?.()
    const [{ seq }] = (await json<{ seq: number }[]>('snapshot', '0')) as [{ seq: number }]
    expect(await ledger.append('lost')).toBe(2)

    await api(`STREAM.DELETE.${cluster}_P0`)
    expect(await errorOf(ledger.with({ timeout: '3s' }).append('in doubt'))).toMatchObject({ code: 'UNKNOWN' })
    await heard('partition.stopped', 1)
    expect(await run('verify')).toMatchObject({ code: 1, stderr: expect.stringContaining('its log is gone') })

    const plan = await json<{ losesAtLeast: number }>('recover', '0')
    expect(plan).toMatchObject({ done: false, seq, from: expect.stringContaining('snapshot') })
    expect(plan.losesAtLeast).toBeGreaterThan(0)
    expect(await ports.changelog.log(lost).info()).toBeNull()

    const done = await json<{ generation: string }>('recover', '0', '--yes')
    await heard('log.reseeded', 2)
    expect(await order.append('kept')).toBe(1)
    expect(await ledger.append('new')).toBe(2)
    expect(await ledger.all()).toEqual(['kept', 'new'])
    expect(await hf.actor(Ledger, 'k').all()).toEqual(['one', 'two', 'three'])
    expect(await ports.changelog.log(lost).info()).toMatchObject({ generation: done.generation })

    const resets: unknown[] = []
    const again = ledger.watch({ from: cursor, onReset: () => void resets.push('reset') })[Symbol.asyncIterator]()
    expect((await again.next()).value).toMatchObject({ reset: true, state: { ids: ['kept', 'new'] } })
    const next = again.next()
    await ledger.append('newer')
    expect((await next).value).toMatchObject({ rev: 3, state: { ids: ['kept', 'new', 'newer'] } })
    expect(resets).toHaveLength(1)
    await again.return?.()
    expect(await run('log', '0', '--json')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\{"seq":\d{13},.*"genesis"/),
    })
    expect(await json<Audit[]>('verify')).toMatchObject([{ ok: true, generation: done.generation }])
  },
)

it.each([
  [['snapshot'], 'name partitions'],
  [['snapshot', '9'], 'there is no partition 9'],
  [['recover', '0', '--from', 'store'], '--data DIR'],
  [['recover', '0', '--from', 'nothing', '--snapshot', 'x'], '--from snapshot'],
  [['verify', '--data', '/nowhere/at/all'], 'there is no directory'],
])('refuses %j', async (words, sentence) => {
  const { code, stderr } = await run(...words)
  expect([2, 5]).toContain(code)
  expect(stderr).toContain(sentence)
})
