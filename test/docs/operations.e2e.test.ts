/** docs/operations.md: its lines are run in their order against a cluster of two nodes, and print what the page shows. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commandsOf, programOnly } from '../cli/program-only.ts'
import { builtIndex, patientLease, run, start, stopAll } from '../cli/program.ts'
import { settled } from '../cli/settled.ts'
import { build } from '../support/build.ts'
import { expectShown, shownLines } from '../cli/shown-lines.ts'
import { accepted, wordsOf } from '../deploy/said.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { page } from './markdown.ts'

const timeout = 300_000
const text = page('docs/operations.md')

let folder: string
let server: TestServer
const env = () => ({ HOLDFAST_SERVERS: server.url })

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-operations-'))
  await mkdir(join(folder, 'actors'))
  await writeFile(
    join(folder, 'actors', 'counter.mjs'),
    `import { actor } from ${JSON.stringify(builtIndex)}
export const Counter = actor('counter', { version: 1, state: () => 0, commands: {}, queries: { value: (state) => state } })`,
  )
  server = await startNatsServer({ syncAlways: false })
  for (const id of ['a', 'b']) {
    const words = `node --cluster shop --actors actors --data data/${id} --node-id ${id} --host ${id} --partitions 4`
    const node = start(words.split(' '), { cwd: folder, env: { ...env(), ...patientLease } })
    await node.printed(new RegExp(`^node ${id} `))
  }
  await settled(() => run(['status', '--cluster', 'shop', '--json'], { env: env() }), 2)
}, timeout)

afterAll(async () => {
  await stopAll()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

describe('docs/operations.md', () => {
  it('prints what it shows', { timeout }, async () => {
    const lines = shownLines(text)
    expect(lines.length).toBeGreaterThan(4)
    for (const line of lines) {
      const { code } = await expectShown(line, (args) => run(args, { cwd: folder, env: env() }))
      expect(code, `holdfast ${line.args.join(' ')}`).toBe(0)
    }
  })

  it('has the program do, in containers too, what it does', async () => {
    const inShells = Array.from(
      text.text.matchAll(/^docker (?:run|compose) .*(?:holdfast:\S+|exec node-1 holdfast) (.+)$/gm),
      ([, line]) => line!,
    )
    expect(inShells.length).toBeGreaterThan(1)
    for (const line of inShells) await expect(accepted(wordsOf(line)), line).resolves.toBeTruthy()
  })

  it('names no command that there is not', async () => {
    const named = Array.from(text.text.matchAll(/`holdfast ([a-z]+)[^`]*`/g), ([, name]) => name!)
    expect(named.length).toBeGreaterThan(4)
    const known = new Set(commandsOf(await programOnly()).map(({ path }) => path[0]))
    expect(named.filter((name) => !known.has(name))).toEqual([])
  })
})
