/**
 * Checks the package as its users will get it: packs what `npm run build` has left in dist/, unpacks it beside its dependencies, and
 * uses it from outside.
 *
 * K1. It holds what is published and nothing else: also what its documents and source maps refer to.
 * K2. publint finds nothing.
 * K3. Every entry point can be imported, also by `require`, and neither loads native code by itself.
 * K4. Its types can be used by strict projects of TypeScript 5.9 and 7, under both ways to resolve modules, with optional properties
 *     exact or not, and with all declarations checked that it brings along.
 * K5. `holdfast/client` needs no native code: it works where RocksDB is not installed, and `createNode` says there what is missing.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'

const root = fileURLToPath(new URL('..', import.meta.url))
const home = mkdtempSync(join(tmpdir(), 'holdfast-pack-'))

const run = (cwd: string, command: string, ...args: string[]): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

const published = [
  /^dist\/(src|actors)\/.+\.(js|js\.map|d\.ts)$/,
  /^deploy\/(nats|compose|kubernetes|systemd)\//,
  /^deploy\/(Dockerfile|compose\.yaml)$/,
  /^docs\/.+\.(md|svg)$/,
  /^(package\.json|LICENSE|NOTICE|README\.md|CHANGELOG\.md|SECURITY\.md)$/,
]
const indispensable = [
  ...['LICENSE', 'NOTICE', 'README.md', 'SECURITY.md', 'docs/errors.md', 'docs/security.md'],
  ...['get-nats-server', 'server.conf', 'accounts.conf'].map((file) => `deploy/nats/${file}`),
  ...['docs/operations.md', 'deploy/compose.yaml', 'deploy/kubernetes/statefulset.yaml'],
]
const entries = ['holdfast', 'holdfast/client']

const user = `
import { actor, connect, createNode, isHoldfastError, type ConnectOptions, type CreateNodeOptions } from 'holdfast'
import { connect as connectLight, HoldfastError } from 'holdfast/client'

export const Cart = actor('cart', {
  version: 1,
  state: () => ({ items: [] as string[] }),
  commands: {
    add(ctx, item: string) {
      ctx.state.items.push(item)
      return ctx.state.items.length
    },
  },
  queries: { count: (state) => state.items.length },
})

export async function use(options: ConnectOptions, nodeOptions: CreateNodeOptions): Promise<number> {
  const node = await createNode(nodeOptions)
  const client = await connect({ servers: 'nats://127.0.0.1', cluster: 'shop', tls: { ca: 'ca.pem' }, timeout: '2s' })
  const count: number = await client.actor(Cart, 'c1').add('tea')
  // @ts-expect-error a number is no item
  await client.actor(Cart, 'c1').add(1)
  // @ts-expect-error there is no such option
  await connect({ server: 'nats://127.0.0.1' })
  const light = await connectLight(options)
  await Promise.all([light.close(), client.close(), node.close()])
  return count
}

export const codeOf = (error: unknown): string | undefined =>
  isHoldfastError(error) || error instanceof HoldfastError ? error.code : undefined
`

const legacyUser = `
import holdfast = require('holdfast')
import client = require('holdfast/client')
export const names: readonly string[] = [...Object.keys(holdfast), ...Object.keys(client)]
`

try {
  const tarball = pack()
  await lint(tarball)
  const all = project('all', tarball, () => true)
  load(all, entries)
  await typeCheck(all)
  const light = project('light', tarball, (dependency) => dependency !== '@nxtedition')
  load(light, entries)
  nameWhatIsMissing(light)
  process.stdout.write('the package is as it should be\n')
} finally {
  rmSync(home, { recursive: true, force: true })
}

/** The path of the tarball, once its list of files is found right (K1). */
function pack(): string {
  const output = run(root, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', home)
  const [packed] = JSON.parse(output) as [{ filename: string; files: { path: string }[] }]
  const files = packed.files.map(({ path }) => path)
  const strangers = files.filter((file) => !published.some((pattern) => pattern.test(file)))
  assert.deepEqual(strangers, [], 'the package holds files that are not to be published')
  const missing = indispensable.filter((file) => !files.includes(file))
  assert.deepEqual(missing, [], 'the package lacks files')
  const documents = files.filter((file) => /^(docs\/.+|SECURITY)\.md$/.test(file))
  assert.deepEqual(
    documents.flatMap((file) => brokenLinks(file, files)),
    [],
    'documents of the package link to documents that are not in it',
  )
  const [map = ''] = files.filter((file) => file.endsWith('/index.js.map'))
  const { sourcesContent = [] } = JSON.parse(readFileSync(join(root, map), 'utf8')) as { sourcesContent?: string[] }
  assert.ok(sourcesContent.length > 0, 'source maps hold no sources, and the package has none beside them')
  return join(home, packed.filename)
}

/** To other documents; sources are looked up in the repository. */
function brokenLinks(file: string, files: readonly string[]): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/\]\(([^)#:\s]+\.md)(?:#[^)]*)?\)/g)]
    .map(([, target = '']) => normalize(join(dirname(file), target)))
    .filter((target) => !files.includes(target))
    .map((target) => `${file}: ${target}`)
}

/** K2 */
async function lint(tarball: string): Promise<void> {
  const { buffer } = new Uint8Array(readFileSync(tarball))
  const { messages, pkg } = await publint({ pack: { tarball: buffer }, strict: true })
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg, { color: false })),
    [],
    'publint finds faults',
  )
}

/** A project that has installed the package, and those of its dependencies that are wanted. */
function project(name: string, tarball: string, wanted: (dependency: string) => boolean): string {
  const folder = join(home, name)
  const modules = join(folder, 'node_modules')
  const installed = join(modules, 'holdfast')
  mkdirSync(installed, { recursive: true })
  run(folder, 'tar', '-xzf', tarball, '--strip-components=1', '-C', installed)
  for (const dependency of readdirSync(join(root, 'node_modules'))) {
    if (!dependency.startsWith('.') && wanted(dependency)) {
      symlinkSync(join(root, 'node_modules', dependency), join(modules, dependency))
    }
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
  return folder
}

/** K3 */
function load(folder: string, names: readonly string[]): void {
  const isNative =
    'Object.keys(require.cache).concat(process.report.getReport().sharedObjects).find((file) => /rocksdb/.test(file))'
  for (const name of names) {
    const check = (all: string) =>
      `const all = ${all}; if (!('connect' in all)) throw new Error('${name} lacks exports'); const native = ${isNative}; if (native) throw new Error('${name} loads ' + native)`
    const require =
      "const { createRequire } = await import('node:module'); const require = createRequire(process.cwd() + '/x.js');"
    run(folder, process.execPath, '--input-type=module', '-e', `${require} ${check(`await import('${name}')`)}`)
    run(folder, process.execPath, '--input-type=commonjs', '-e', check(`require('${name}')`))
  }
}

/** K4. */
async function typeCheck(folder: string): Promise<void> {
  writeFileSync(join(folder, 'user.ts'), user)
  writeFileSync(join(folder, 'legacy-user.cts'), legacyUser)
  const resolutions = {
    nodenext: { options: { module: 'nodenext' }, files: ['user.ts', 'legacy-user.cts'] },
    bundler: { options: { module: 'esnext', moduleResolution: 'bundler' }, files: ['user.ts'] },
  }
  for (const [name, { options, files }] of Object.entries(resolutions)) {
    const compilations = [true, false].flatMap((exact) => {
      const config = `tsconfig.${name}.${exact ? 'exact' : 'loose'}.json`
      const strict = { strict: true, skipLibCheck: false, exactOptionalPropertyTypes: exact }
      const compilerOptions = { ...strict, ...options, target: 'es2023', noEmit: true, types: ['node'] }
      writeFileSync(join(folder, config), JSON.stringify({ compilerOptions, files }))
      return ['typescript', 'typescript-5'].map((version) => compile(folder, version, config))
    })
    assert.equal((await Promise.all(compilations)).join(''), '', 'a project that uses the package does not compile')
  }
}

/** What the compiler has to say. */
async function compile(folder: string, version: string, config: string): Promise<string> {
  const tsc = join(root, 'node_modules', version, 'bin/tsc')
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', config], { cwd: folder })
    return stdout
  } catch (error) {
    return `${version} ${config}: ${(error as { stdout?: string }).stdout ?? String(error)}`
  }
}

/** K5 */
function nameWhatIsMissing(folder: string): void {
  const code = `
    import { createNode } from 'holdfast'
    await createNode({ embedded: true, dataDir: 'data', actors: [] }).then(
      () => process.stdout.write('it runs'),
      (error) => process.stdout.write(error.code + ': ' + error.message),
    )`
  const said = run(folder, process.execPath, '--input-type=module', '-e', code)
  const here = `this is ${process.platform}-${process.arch}`
  for (const part of ['INVALID: RocksDB', 'is not installed', here, 'glibc 2.34', 'darwin-arm64']) {
    assert.ok(said.includes(part), `createNode without RocksDB says: ${said}`)
  }
}
