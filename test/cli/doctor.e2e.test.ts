/**
 * `doctor`, `status` and `log` where something is wrong, or the login may little: with the accounts of deploy/nats, each role in its place,
 * and streams that were changed behind the cluster's back.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectNats, type NatsConnection } from '@nats-io/transport-node'
import { jetstreamManager } from '@nats-io/jetstream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkNodeVersion } from '../../src/cli/doctor/machine.ts'
import { connect, provision, type ActorDefinition } from '../../src/index.ts'
import { loginOf, passwordOf, startServerWithRoles, type Role } from '../security/roles.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { jsonLinesOf, jsonOf, start, stopAll, type Said } from './program.ts'
import { runHere } from './program-only.ts'
import { build } from '../support/build.ts'

const timeout = 90_000
const cluster = 'shop'
const index = new URL('../../src/index.ts', import.meta.url).href

let folder: string
const servers: TestServer[] = []

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'))
  const text = `import { actor } from ${JSON.stringify(index)}
export const Counter = actor('counter', { version: 1, state: () => 0, commands: { add: (ctx, n: number) => (ctx.state += n) }, queries: {} })`
  await writeFile(join(folder, 'counter.ts'), text)
}, timeout)

afterAll(async () => {
  await stopAll()
  await Promise.all(servers.map((server) => server.stop()))
  await rm(folder, { recursive: true, force: true })
}, timeout)

const nodeArgs = ['node', '--actors', 'counter.ts', '--cluster', cluster]

interface Finding {
  readonly mark: 'ok' | 'warn' | 'fail' | 'skip'
  readonly check: string
  readonly says: string
  readonly advice?: string
}

const findingsOf = ({ stdout }: Said): readonly Finding[] => (JSON.parse(stdout) as { findings: Finding[] }).findings
const findingOf = (outcome: Said, check: string) => findingsOf(outcome).find((finding) => finding.check === check)

describe('with the accounts of deploy/nats', () => {
  let server: TestServer
  const as = (role: Role, ...args: readonly string[]) =>
    runHere(args, {
      env: {
        HOLDFAST_SERVERS: server.url,
        HOLDFAST_CLUSTER: cluster,
        HOLDFAST_USER: role,
        HOLDFAST_PASSWORD: passwordOf(role),
        HOLDFAST_INBOX_PREFIX: `_INBOX_${cluster}.${role}`,
      },
    })

  beforeAll(async () => {
    server = await startServerWithRoles(cluster)
    servers.push(server)
    const made = ['provision', '--partitions', '2', '--json']
    expect(jsonOf(await as('provisioner', ...made))).toEqual({ cluster, partitions: 2, created: 4 })
    expect(await as('provisioner', 'provision')).toMatchObject({
      code: 0,
      stdout: 'the cluster shop has 2 partitions; 0 streams were created\n',
    })
    expect(await as('provisioner', 'provision', '--partitions', '4')).toMatchObject({ code: 2, stdout: '' })
    expect(await as('provisioner', 'provision', '--partitions', '3')).toMatchObject({ code: 2, stdout: '' })
    const node = start([...nodeArgs, '--data', 'roles', '--servers', server.url, '--json'], {
      cwd: folder,
      env: {
        HOLDFAST_USER: 'node',
        HOLDFAST_PASSWORD: passwordOf('node'),
        HOLDFAST_INBOX_PREFIX: `_INBOX_${cluster}.node`,
      },
    })
    await node.printed(/"ready"/)
    await node.printed(/"partition.serving","partition":0/)
    await node.printed(/"partition.serving","partition":1/)
  }, timeout)

  it('a client calls, a watcher watches, an operator looks', { timeout }, async () => {
    expect(jsonOf(await as('client', 'call', 'counter', 'c1', 'add', '2', '--json'))).toBe(2)
    expect(
      jsonLinesOf(await as('watcher', 'watch', 'counter', '--from', 'start', '--limit', '1', '--json')),
    ).toMatchObject([{ key: 'c1', rev: 1, state: 2 }])
    // What gossip says: of a moment ago.
    await expect
      .poll(async () => jsonOf(await as('operator', 'status', '--json')), { timeout })
      .toMatchObject({ cluster, partitions: [{ role: 'owner' }, { role: 'owner' }] })
    expect(await as('operator', 'log', '0')).toMatchObject({ code: 0, stdout: expect.stringContaining('genesis') })
  })

  it('an operator reads a log that is longer than what is read at a time', { timeout }, async () => {
    const hf = await connect(loginOf(server, cluster, 'client'))
    const counter = hf.actor<ActorDefinition>('counter', 'long') as unknown as { add(n: number): Promise<number> }
    // One after the other: a record each.
    for (let n = 1; n <= 70; n++) expect(await counter.add(1)).toBe(n)
    await hf.close()
    const logs = await Promise.all(
      ['0', '1'].map((p) => as('operator', 'log', p, '--json', '--from', '1', '--limit', '10000')),
    )
    const records = logs.map((log) => jsonLinesOf(log) as { seq: number; turns?: object[] }[])
    for (const log of records) expect(log.map(({ seq }) => seq)).toEqual(log.map((_, i) => i + 1))
    expect(records.flatMap((log) => log.flatMap(({ turns = [] }) => turns))).toHaveLength(71)
  })

  it('what a role may not is one sentence', { timeout }, async () => {
    for (const [role, ...args] of [
      ['watcher', 'call', 'counter', 'c1', 'add', '1', '--timeout', '2s'],
      ['watcher', 'status'],
    ] as const) {
      const { code, stdout, stderr } = await as(role, ...args)
      expect(stdout).toBe('')
      expect(code, stderr).not.toBe(0)
      expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    }
  })

  it('doctor tells what the login may, and that it cannot append to logs', { timeout }, async () => {
    const client = await as('client', 'doctor', '--json')
    expect(client.code, client.stdout).toBe(0)
    expect(findingOf(client, 'login')).toMatchObject({ mark: 'ok', says: 'it may call, tell, query, watch' })
    expect(findingOf(client, 'fence')).toMatchObject({ mark: 'ok' })
    expect(findingOf(client, 'jetstream')).toMatchObject({ mark: 'skip' })
    expect(findingOf(client, 'streams')).toMatchObject({ mark: 'skip' })
    expect(findingOf(client, 'partitions')).toMatchObject({ mark: 'ok' })
    const operator = await as('operator', 'doctor', '--json')
    expect(operator.code, operator.stdout).toBe(0)
    expect(findingOf(operator, 'logs')).toMatchObject({ mark: 'ok', says: expect.stringContaining('all 2 partitions') })
    expect(findingOf(operator, 'clocks')).toMatchObject({ mark: 'ok' })
    expect(findingOf(operator, 'login')).toMatchObject({ mark: 'skip' })
    expect(operator.stdout).not.toContain('5ecret')
  })
})

describe('doctor', () => {
  let server: TestServer
  let nc: NatsConnection
  const doctor = () => runHere(['doctor', '--json', '--servers', server.url, '--cluster', cluster])

  beforeAll(async () => {
    server = await startNatsServer({ syncAlways: false, config: 'max_payload: 64KB' })
    servers.push(server)
    nc = await connectNats({ servers: server.url })
  }, timeout)
  afterAll(() => nc?.close())

  it('finds that there is no such cluster', { timeout }, async () => {
    const outcome = await doctor()
    expect(outcome.code).toBe(1)
    expect(findingOf(outcome, 'registry')).toMatchObject({ mark: 'fail', advice: expect.stringContaining('--cluster') })
    expect(findingOf(outcome, 'nodes')).toMatchObject({
      mark: 'fail',
      says: expect.stringContaining('no node of the cluster'),
    })
    expect(findingOf(outcome, 'payload')).toMatchObject({ mark: 'warn', says: expect.stringContaining('65536') })
  })

  it('finds streams that were changed, that are gone, and partitions that nobody serves', { timeout }, async () => {
    await provision({ servers: server.url, cluster, partitions: 4 })
    const streams = (await jetstreamManager(nc)).streams
    await streams.update(`${cluster}_P1`, { max_age: 3_600_000_000_000 })
    await streams.delete(`${cluster}_P2`)
    const outcome = await doctor()
    expect(outcome.code).toBe(1)
    const logs = findingsOf(outcome).filter(({ check }) => check === 'log')
    expect(logs).toMatchObject([
      { mark: 'fail', says: expect.stringMatching(/stream shop_P1 has max_age 3600000000000 .* must be 0/) },
      { mark: 'fail', says: expect.stringContaining('the log of partition 2 is gone') },
    ])
    const node = start([...nodeArgs, '--data', 'broken', '--servers', server.url, '--json'], { cwd: folder })
    await node.printed(/"partition.serving","partition":0/)
    await node.printed(/"partition.serving","partition":3/)
    const served = await doctor()
    expect(findingOf(served, 'nodes')).toMatchObject({ mark: 'ok' })
    expect(findingOf(served, 'partitions')).toMatchObject({ mark: 'fail', says: expect.stringMatching(/1, 2|2/) })
    const status = await runHere(['status', '--servers', server.url, '--cluster', cluster])
    expect(status.stdout).toMatch(/^partitions {2}not served: (?:1, )?2$/m)
  })

  it('is not needed to see that a log is broken', { timeout }, async () => {
    nc.publish(`${cluster}.log.3`, 'no record')
    await nc.flush()
    const outcome = await runHere(['log', '3', '--servers', server.url, '--cluster', cluster, '--limit', '1000'])
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(/^the log of partition 3 is broken: record \d+: /)
    expect(outcome.stdout).toMatch(/^1 {2}genesis/)
  })

  it('knows which Node.js is too old', () => {
    expect(checkNodeVersion('20.19.0').mark).toBe('ok')
    expect(checkNodeVersion('24.1.0').mark).toBe('ok')
    expect(checkNodeVersion('20.18.3')).toMatchObject({ mark: 'fail', advice: expect.stringContaining('20.19') })
    expect(checkNodeVersion('18.20.0').mark).toBe('fail')
  })
})
