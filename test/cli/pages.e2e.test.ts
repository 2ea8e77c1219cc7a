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
import { patientLease, run, start, stopAll } from './program.ts'
import { settled } from './settled.ts'
import { build } from '../support/build.ts'
import { expectShown, patternOf, shownLines } from './shown-lines.ts'

const timeout = 600_000
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
    const status = () => run(['status', '--cluster', 'shop', '--json'], { env })
    for (const line of lines) {
      const { args, prints } = line
      if (args[0] === 'node') {
        const node = start(args, { cwd: folder, env: { ...env, ...patientLease } })
        expect(await node.printed(/^node /)).toMatch(
          patternOf(prints.split('\n').find((shown) => shown.startsWith('node '))!),
        )
        await node.printed(/^partition\.serving|^node b/)
        await settled(status, args.includes('b') ? 2 : 4)
        continue
      }
      await expectShown(line, (words) => run(words, { cwd: folder, env }))
      // Another partition goes the other way.
      if (args[0] === 'move') await settled(status, 2)
    }
  })
})
