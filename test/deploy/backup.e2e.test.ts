/** What docs/operations.md says of a backup: the store of the server, copied while it is down, is all there is to it. */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtIndex, jsonOf, run, start, stopAll, type Started } from '../cli/program.ts'
import { build } from '../support/build.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

const timeout = 90_000
let folder: string
let server: TestServer

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-backup-'))
  await mkdir(join(folder, 'actors'))
  await writeFile(
    join(folder, 'actors', 'counter.mjs'),
    `import { actor } from ${JSON.stringify(builtIndex)}
export const Counter = actor('counter', {
  version: 1,
  state: () => 0,
  commands: { add: (ctx, n) => (ctx.state += n) },
  queries: { value: (state) => state },
})`,
  )
  server = await startNatsServer({ storeDir: join(folder, 'js') })
}, timeout)

afterAll(async () => {
  await stopAll()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

const env = () => ({ HOLDFAST_SERVERS: server.url, HOLDFAST_CLUSTER: 'shop' })

/** A node that serves, for as long as `work` takes; `data` is its folder. */
async function withNode<T>(data: string, work: (node: Started) => Promise<T>): Promise<T> {
  const words = ['node', '--actors', 'actors', '--data', data, '--node-id', 'a', '--partitions', '4']
  const node = start(words, { cwd: folder, env: env() })
  try {
    await node.printed(/^node a /)
    return await work(node)
  } finally {
    node.kill('SIGTERM')
    await node.ended
  }
}

async function restore(): Promise<void> {
  await server.kill('SIGTERM')
  await rm(join(folder, 'js'), { recursive: true })
  await cp(join(folder, 'backup'), join(folder, 'js'), { recursive: true })
  await server.restart()
}

const counter = async (kind: 'call' | 'query', ...words: string[]) =>
  jsonOf(await run([kind, 'counter', 'c1', ...words, '--json'], { env: env() }))

describe('a backup of the store of a server', () => {
  it('brings every state back as it was, into nodes with new folders', { timeout }, async () => {
    expect(await withNode('data', () => counter('call', 'add', '5'))).toBe(5)
    await server.kill('SIGTERM')
    await cp(join(folder, 'js'), join(folder, 'backup'), { recursive: true })
    await server.restart()
    expect(await withNode('data', () => counter('call', 'add', '2'))).toBe(7)

    await restore()
    expect(await withNode('new', () => counter('query', 'value'))).toBe(5)
    expect(await withNode('new', () => counter('call', 'add', '1'))).toBe(6)
  })

  it(
    'is not taken for the log by a node that remembers more: its partitions stop, and say so',
    { timeout },
    async () => {
      await restore()
      const reason =
        /^partition\.stopped {2}partition=\d reason=.*it ends at \d+, though this node's store has record \d+/
      await expect(withNode('data', (node) => node.printed(reason))).resolves.toMatch(reason)
    },
  )
})
