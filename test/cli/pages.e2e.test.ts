/**
 * docs/cli.md: its lines are run in their order, in an empty folder, against a real nats-server, and print what the page shows.
 * A line that starts a node goes on in the background.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { page } from '../docs/markdown.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { commandsOf, programOnly } from './program-only.ts'
import { run, start, stopAll } from './program.ts'
import { build } from '../support/build.ts'
import { patternOf, shownLines } from './shown-lines.ts'

const timeout = 120_000
const index = new URL('../../src/index.ts', import.meta.url).href

const lines = shownLines(page('docs/cli.md'))

let folder: string
let server: TestServer

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'))
  const at = join(folder, 'node_modules', 'holdfast')
  await mkdir(at, { recursive: true })
  await writeFile(join(at, 'package.json'), '{ "name": "holdfast", "type": "module", "exports": "./index.ts" }')
  await writeFile(join(at, 'index.ts'), `export * from ${JSON.stringify(index)}\n`)
  server = await startNatsServer({ syncAlways: false })
}, timeout)

afterAll(async () => {
  await stopAll()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

describe('docs/cli.md', () => {
  it('shows a line of every command', async () => {
    const shown = new Set(lines.flatMap(({ args }) => [args[0], args.slice(0, 2).join(' ')]))
    const names = commandsOf(await programOnly()).map(({ path }) => path.join(' '))
    // What `dev` does is shown in dev.e2e.test.ts.
    expect(names.filter((name) => !shown.has(name))).toEqual(['dev'])
  })

  it('prints what it shows', { timeout }, async () => {
    const env = { HOLDFAST_SERVERS: server.url }
    for (const { args, prints } of lines) {
      if (args[0] === 'node') {
        const node = start(args, { cwd: folder, env })
        expect(await node.printed(/^node /)).toMatch(
          patternOf(prints.split('\n').find((line) => line.startsWith('node '))!),
        )
        await node.printed(/^partition\.serving|^node b/)
        await settled(env, args.includes('b') ? 2 : 4)
        continue
      }
      const { stdout, stderr } = await run(args, { cwd: folder, env })
      // As a terminal shows them: notes come first but for those of `log`.
      const shown = args[0] === 'log' ? stdout + stderr : stderr + stdout
      expect(shown, `holdfast ${args.join(' ')}`).toMatch(patternOf(prints))
      // Another partition goes the other way.
      if (args[0] === 'move') await settled(env, 2)
    }
  })
})

/** Each node has so many partitions, and all are served. */
async function settled(env: Readonly<Record<string, string>>, each: number): Promise<void> {
  for (;;) {
    const { stdout, code } = await run(['status', '--cluster', 'shop', '--json'], { env })
    if (code !== 0) continue
    const { members, partitions } = JSON.parse(stdout) as {
      members: { owned: number }[]
      partitions: { role: string }[]
    }
    if (members.every(({ owned }) => owned === each) && partitions.every(({ role }) => role === 'owner')) return
  }
}
