/** The first day: `init` writes a project, `dev` runs it without any server, what it says to try works, and a changed file is taken up. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtIndex, jsonOf, run, start, stopAll, type Started } from './program.ts'
import { build } from '../support/build.ts'

const timeout = 90_000
const tsc = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url))

let folder: string
let project: string
let counter: string

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'))
  project = join(folder, 'shop')
  counter = join(project, 'actors', 'counter.ts')
}, timeout)

afterAll(async () => {
  await stopAll()
  await rm(folder, { recursive: true, force: true })
}, timeout)

const portThatIsFree = () =>
  new Promise<number>((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })

/** The package as it would be installed. */
async function install(): Promise<void> {
  const at = join(project, 'node_modules', 'holdfast')
  await mkdir(at, { recursive: true })
  await writeFile(join(at, 'package.json'), '{ "name": "holdfast", "type": "module", "exports": "./index.js" }')
  await writeFile(join(at, 'index.js'), `export * from ${JSON.stringify(pathToFileURL(builtIndex).href)}\n`)
}

describe('init', () => {
  it('writes a project into a new folder, and says what to do next', { timeout }, async () => {
    const outcome = await run(['init', 'shop'], { cwd: folder })
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    expect(outcome.stdout).toMatch(
      /wrote shop\/actors\/counter\.ts\n[^]*Next:\n {2}cd shop\n {2}npm install\n {2}npx holdfast dev\n$/,
    )
    expect((await readdir(project, { recursive: true })).toSorted()).toEqual(
      ['.gitignore', 'README.md', 'actors', 'actors/counter.ts', 'package.json', 'tsconfig.json'].toSorted(),
    )
    const manifest = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as Record<string, object>
    expect(manifest).toMatchObject({ name: 'shop', type: 'module', private: true })
    expect(Object.keys({ ...manifest['dependencies'], ...manifest['devDependencies'] })).toEqual(
      expect.arrayContaining(['holdfast', 'tsx', 'typescript']),
    )
  })

  it('overwrites nothing, and then writes nothing', { timeout }, async () => {
    await mkdir(join(folder, 'taken'))
    await writeFile(join(folder, 'taken', 'README.md'), 'mine')
    const outcome = await run(['init', 'taken', '--json'], { cwd: folder })
    expect(outcome).toMatchObject({ code: 5, stdout: '' })
    expect(JSON.parse(outcome.stderr)).toMatchObject({ error: { code: 'CONFLICT', message: /README\.md/ } })
    expect(await readdir(join(folder, 'taken'))).toEqual(['README.md'])
    expect(await readFile(join(folder, 'taken', 'README.md'), 'utf8')).toBe('mine')
  })

  it('says so where a file is in the way', { timeout }, async () => {
    await writeFile(join(folder, 'file'), '')
    expect(await run(['init', 'file/inside'], { cwd: folder })).toMatchObject({ code: 2, stdout: '' })
  })
})

describe('dev', () => {
  let dev: Started
  let servers: string[]
  /** Lines so far, of which the next are waited for. */
  const soFar = () => dev.lines.length + dev.complaints.length
  const cli = (...args: readonly string[]) => run([...args, ...servers], { cwd: project })

  it('runs the project, and what it says to try works as it is', { timeout }, async () => {
    await install()
    const port = await portThatIsFree()
    servers = ['--servers', `nats://127.0.0.1:${port}`]
    dev = start(['dev', 'shop', '--port', String(port)], { cwd: folder })
    await dev.printed(/ status /)
    expect(dev.lines[0]).toBe(`counter at nats://127.0.0.1:${port}, cluster holdfast`)
    const lines = dev.lines.filter((line) => line.startsWith('  ')).map((line) => line.trim().split(' ').slice(1))
    expect(lines.map(([name]) => name)).toEqual(['call', 'query', 'watch', 'kv', 'status'])
    const results: string[] = []
    for (const words of lines) {
      const args = words.map((word) => word.replaceAll("'", ''))
      const outcome = await run(words[0] === 'watch' ? [...args, '--limit', '1'] : args, { cwd: project })
      expect(outcome.code, `${args.join(' ')}: ${outcome.stderr}`).toBe(0)
      results.push(outcome.stdout.split('\n')[0]!)
    }
    expect(results).toEqual(['1', '1', 'counter/c1  rev 1  {"value":1}', 'rev 1', expect.stringContaining('cluster')])
  })

  it('answers any NATS client', { timeout }, async () => {
    const nc = await connect({ servers: servers[1]! })
    const reply = await nc.request('holdfast.query.counter.c1.value', '', { timeout: 10_000 })
    expect(reply.json()).toEqual({ ok: true, value: 1 })
    await nc.close()
  })

  it('is well, says doctor, though it has no JetStream', { timeout }, async () => {
    const { ok, findings } = jsonOf(await cli('doctor', '--json')) as {
      ok: boolean
      findings: { check: string; mark: string }[]
    }
    expect(ok).toBe(true)
    expect(findings).toContainEqual(expect.objectContaining({ check: 'jetstream', mark: 'skip' }))
    expect(findings).toContainEqual(expect.objectContaining({ check: 'partitions', mark: 'ok' }))
  })

  it('takes up a changed file, and keeps the data', { timeout }, async () => {
    const text = await readFile(counter, 'utf8')
    const before = soFar()
    await writeFile(counter, text.replace('reset(ctx)', 'double: (ctx) => (ctx.state.value *= 2),\n    reset(ctx)'))
    await dev.printed(/^actors\/counter\.ts has changed$/, before)
    await dev.printed(/^ready: counter$/, before)
    expect(jsonOf(await cli('call', 'counter', 'c1', 'double', '--json'))).toBe(2)
  })

  it('says what is wrong with a broken file, and waits for the next change', { timeout }, async () => {
    const text = await readFile(counter, 'utf8')
    const before = soFar()
    await writeFile(counter, `${text}\nexport const broken = {`)
    await dev.printed(/counter\.ts cannot be loaded: .*counter\.ts:\d+:\d+: ERROR/, before)
    await dev.printed(/^the node does not run; the next change of a file starts it again$/, before)
    expect(await cli('status')).toMatchObject({ code: 3 })
    const broken = soFar()
    await writeFile(counter, text)
    await dev.printed(/^ready: counter$/, broken)
    expect(jsonOf(await cli('query', 'counter', 'c1', 'value', '--json'))).toBe(2)
  })

  it('ends with Ctrl-C, and its child with it; a new one has the data', { timeout }, async () => {
    dev.kill('SIGINT')
    expect(await dev.ended).toBe(0)
    expect(await cli('status')).toMatchObject({ code: 3 })
    dev = start(['dev', '--json', '--port', servers[1]!.split(':').at(-1)!], { cwd: project })
    const ready = JSON.parse(await dev.printed(/"dev\.ready"/)) as Record<string, unknown>
    expect(ready).toMatchObject({ servers: servers[1], cluster: 'holdfast', actors: [{ type: 'counter' }] })
    expect(jsonOf(await cli('query', 'counter', 'c1', 'value', '--json'))).toBe(2)
    // However it ends, its child does, too, in a moment: then the folder is free again.
    dev.kill('SIGKILL')
    await dev.ended
    for (let runs = false; !runs;) {
      dev = start(['dev', '--port', '0'], { cwd: project })
      runs = (await dev.printed(/^counter at|is in use by/)).startsWith('counter')
      dev.kill('SIGTERM')
      expect(await dev.ended).toBe(0)
    }
  })

  it('may be left for a node with the actors as they are built', { timeout }, async () => {
    // Imports name files as they are written.
    await writeFile(join(project, 'actors', 'twin.ts'), "export { Counter as Twin } from './counter.ts'\n")
    // What the types are is found where the package is installed.
    await promisify(execFile)(process.execPath, [tsc, '--noCheck', '--types', ''], { cwd: project })
    expect((await readdir(join(project, 'dist', 'actors'))).toSorted()).toEqual(['counter.js', 'twin.js'])
    const words = ['--embedded', '--port', '0', '--store-memory', '67108864', '--retention-age', '2h']
    const node = start(['node', ...words, '--actors', 'dist/actors', '--data', 'data/node-1'], { cwd: project })
    await node.printed(/^node .* hosts counter$/)
    node.kill('SIGTERM')
    expect(await node.ended).toBe(0)
  })

  it('names a folder that is not there, and one without actors', { timeout }, async () => {
    expect(await run(['dev', 'nothing'], { cwd: folder })).toMatchObject({ code: 2, stdout: '' })
    const empty = join(folder, 'empty')
    await mkdir(empty)
    const idle = start(['dev', '--port', '0'], { cwd: empty })
    await idle.printed(/there is no module in/)
    await idle.printed(/^the node does not run/)
    idle.kill('SIGTERM')
    expect(await idle.ended).toBe(0)
  })
})
