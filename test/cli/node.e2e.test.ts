/** `node` as a process: how it begins, what it says, and how it ends. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { jsonOf, run, start, stopAll } from './program.ts'
import { build } from '../support/build.ts'

const timeout = 90_000
const index = new URL('../../src/index.ts', import.meta.url).href
const source = (type: string) =>
  `import { actor } from ${JSON.stringify(index)}
export default actor('${type}', { version: 1, state: () => 0, commands: { add: (ctx, n: number) => (ctx.state += n) }, queries: {} })`

let folder: string
let server: TestServer

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'))
  await mkdir(join(folder, 'actors', 'deeper'), { recursive: true })
  await writeFile(join(folder, 'actors', 'one.ts'), source('one'))
  await writeFile(join(folder, 'actors', 'deeper', 'two.mts'), source('two'))
  await writeFile(
    join(folder, 'actors', 'again.ts'),
    `export { default } from './one.ts'\nexport const nothing = null\n`,
  )
  await writeFile(
    join(folder, 'actors', 'tally.ts'),
    `import { task } from ${JSON.stringify(index)}
export const tally = task('tally', {
  input: { subject: 'words.*' },
  stores: ['tally'],
  process: async ({ key }, { store }) => void (await store('tally').put(key, true)),
})`,
  )
  await writeFile(join(folder, 'actors', 'one.test.ts'), `throw new Error('a test is no actor')`)
  server = await startNatsServer({ syncAlways: false })
}, timeout)

afterAll(async () => {
  await stopAll()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

const node = (id: string, ...more: readonly string[]) =>
  start(['node', '--actors', 'actors', '--data', id, '--node-id', id, '--partitions', '4', ...more], {
    cwd: folder,
    env: { HOLDFAST_SERVERS: server.url, HOLDFAST_CLUSTER: 'nodes' },
  })
const cli = (...args: readonly string[]) => run([...args, '--servers', server.url, '--cluster', 'nodes'])

describe('node', () => {
  it(
    'hosts every exported actor type and task of a folder, says so, and ends orderly with SIGTERM',
    { timeout },
    async () => {
      const a = node('a')
      expect(await a.printed(/^node a /)).toBe(
        `node a of the cluster nodes at ${server.url} hosts one, two, the task tally`,
      )
      await a.printed(/^partition\.serving {2}partition=\d epoch=1$/)
      expect(jsonOf(await cli('call', 'two', 'k', 'add', '3', '--json'))).toBe(3)
      const watch = start(['kv', 'watch', 'tally', '--limit', '1'], {
        env: { HOLDFAST_SERVERS: server.url, HOLDFAST_CLUSTER: 'nodes' },
      })
      await watch.printed(/^watching/)
      await a.printed(new RegExp(`^task\\.serving .*partition=${partitionOf('words.tea', 4)}\\b`))
      const nc = await connect({ servers: server.url })
      nc.publish('words.tea', '1')
      await nc.drain()
      await watch.printed(/^kv-tally\/words\.tea {2}rev 1 {2}true$/)
      const b = node('b', '--json')
      await b.printed(/"partition\.serving"/)
      // Every line is JSON, and a secret would be nowhere in it.
      expect(b.lines.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(
        expect.arrayContaining(['node.started', 'ready', 'partition.serving']),
      )
      a.kill('SIGTERM')
      expect(await a.ended).toBe(0)
      expect(a.complaints).toEqual(['node a: leaving'])
      // What it drained is served by the other.
      expect(jsonOf(await cli('call', 'two', 'k', 'add', '-1', '--json'))).toBe(2)
      b.kill('SIGINT')
      expect(await b.ended).toBe(0)
    },
  )

  it('goes on when nobody reads what it says any more, and ends orderly', { timeout }, async () => {
    const unread = node('unread', '--cluster', 'unread')
    await unread.printed(/^node unread /)
    unread.stopReading()
    // It has something to say of that.
    const reader = node('reader', '--cluster', 'unread')
    await reader.printed(/^partition\.serving/)
    unread.kill('SIGTERM')
    expect(await unread.ended).toBe(0)
    expect(await reader.printed(/^member\.(?:left|died)/)).toMatch(/^member\.left {2}node=unread/)
    reader.kill('SIGTERM')
    expect(await reader.ended).toBe(0)
  })

  it('ends at once at a second signal', { timeout }, async () => {
    const stuck = node('a', '--quiet')
    await stuck.printed(/^node a /)
    // Without its server it cannot give its lease back, and tries for a while. Signals that differ come both, though one follows at once.
    server.pause()
    stuck.kill('SIGTERM')
    stuck.kill('SIGINT')
    expect(await stuck.ended).toBe(1)
    server.resume()
  })

  it('ends with an error when another process takes its id', { timeout }, async () => {
    const first = node('same')
    await first.printed(/^node same /)
    const second = start(
      [
        'node',
        '--actors',
        'actors',
        '--data',
        'elsewhere',
        '--node-id',
        'same',
        '--servers',
        server.url,
        '--cluster',
        'nodes',
      ],
      { cwd: folder },
    )
    await second.printed(/^node same /)
    expect(await first.ended).toBe(5)
    expect(first.complaints.at(-1)).toBe(
      'another process runs as the node same: give each node an id and a folder of its own',
    )
    second.kill('SIGTERM')
    expect(await second.ended).toBe(0)
  })

  it('ends with the error that keeps it from coming back after it was declared dead', { timeout }, async () => {
    const odd = node('odd', '--cluster', 'odd')
    await odd.printed(/^node odd /)
    const nc = await connect({ servers: server.url })
    const lease = { id: 'odd', incarnation: '', host: '', zone: '', weight: 1, draining: false, renewal: 0 }
    nc.publish('$KV.odd_registry.settings', JSON.stringify({ format: 2 }))
    nc.publish('$KV.odd_registry.lease.odd', JSON.stringify({ ...lease, state: 'dead' }))
    await nc.drain()
    expect(await odd.ended).toBe(2)
    const why = "the cluster's settings have format 2; this version knows 1"
    expect(odd.complaints.at(-1)).toMatch(why)
    expect(odd.lines).toContainEqual(expect.stringMatching(`^node\\.failed  node=odd error=${why}`))
  })

  it('refuses a folder that another process has', { timeout }, async () => {
    const first = node('taken')
    await first.printed(/^node taken /)
    const second = await run(
      ['node', '--actors', 'actors', '--data', 'taken', '--servers', server.url, '--cluster', 'nodes'],
      { cwd: folder },
    )
    expect(second).toMatchObject({ code: 5, stdout: expect.not.stringContaining('hosts') })
    expect(second.stderr).toMatch(/is in use by another/)
    first.kill('SIGTERM')
    await first.ended
  })

  it.each([
    ['nothing', undefined, /^nothing is not there: give the folder, or the file, of your actors$/],
    ['none', `export const x = 1`, /^no actor type or task is exported by none: write "export const Cart = actor/],
    ['throws', `throw new Error('at load')`, /throws\/a\.ts cannot be loaded: at load$/],
    ['lost', `import './gone.ts'`, /lost\/a\.ts cannot be loaded: Cannot find module .*gone\.ts/],
    [
      'twice',
      source('one').replace('export default', 'export const a =') +
        source('one').split('\n')[1]!.replace('export default', '\nexport const b ='),
      /the actor type "one" is defined twice/,
    ],
  ])('ends with 2 and a sentence for actors that cannot be: %s', { timeout }, async (name, text, sentence) => {
    if (text !== undefined) {
      await mkdir(join(folder, name))
      await writeFile(join(folder, name, 'a.ts'), text)
    }
    const outcome = await run(['node', '--embedded', '--port', '0', '--actors', name, '--data', 'x'], { cwd: folder })
    expect(outcome).toMatchObject({ code: 2, stdout: '' })
    expect(outcome.stderr.trimEnd()).toMatch(sentence)
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  it('answers for its health where HOLDFAST_HTTP says, and refuses an address that is none', { timeout }, async () => {
    const begin = (HOLDFAST_HTTP: string) =>
      start(['node', '--embedded', '--port', '0', '--actors', 'actors', '--data', 'watched'], {
        cwd: folder,
        env: { HOLDFAST_HTTP },
      })
    const node = begin('0')
    const said = await node.printed(/^health and metrics at http:\/\/127\.0\.0\.1:\d+$/)
    const metrics = await (await fetch(`${said.split(' ').at(-1)}/metrics`)).text()
    expect(metrics).toContain('holdfast_node_live 1\n')
    node.kill('SIGTERM')
    expect(await node.ended).toBe(0)
    const wrong = begin('everywhere')
    expect(await wrong.ended).toBe(2)
    expect(wrong.complaints.at(-1)).toMatch(
      /^http: give a port, or host:port such as 127\.0\.0\.1:9464, not "everywhere"$/,
    )
  })

  it('needs no server when it is embedded', { timeout }, async () => {
    const whole = start(
      [
        'node',
        '--embedded',
        '--port',
        '0',
        '--actors',
        'actors',
        '--data',
        'whole',
        '--json',
        '--quiet',
        '--http',
        '0',
      ],
      { cwd: folder },
    )
    const { servers, http } = JSON.parse(await whole.printed(/"ready"/)) as { servers: string; http: string }
    expect(whole.complaints).toEqual([])
    expect((await fetch(`${http}/healthz`)).status).toBe(200)
    expect(jsonOf(await run(['call', 'one', 'k', 'add', '1', '--json', '--servers', servers]))).toBe(1)
    const taken = await run(
      ['node', '--embedded', '--port', servers.split(':').at(-1)!, '--actors', 'actors', '--data', 'other'],
      { cwd: folder },
    )
    expect(taken).toMatchObject({ code: 5 })
    expect(taken.stderr).toMatch(/port \d+ of 127\.0\.0\.1 is taken: give another one with --port/)
    whole.kill('SIGTERM')
    expect(await whole.ended).toBe(0)
  })
})
