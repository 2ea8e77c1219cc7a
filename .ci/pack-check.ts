/**
 * Checks the package as its users will get it: packs what `npm run build` has left in dist/, unpacks it beside its dependencies, and
 * uses it from outside.
 *
 * K1. It holds what is published and nothing else.
 * K2. publint finds nothing.
 * K3. Every entry point can be imported, and its types can be used by a strict TypeScript project.
 * K4. `holdfast/client` needs no native code: it works where RocksDB is not installed.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'

const root = fileURLToPath(new URL('..', import.meta.url))
const home = mkdtempSync(join(tmpdir(), 'holdfast-pack-'))

const run = (cwd: string, command: string, ...args: string[]): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const bin = (name: string): string => join(root, 'node_modules/.bin', name)

const published = [
  /^dist\/(src|actors)\/.+\.(js|js\.map|d\.ts)$/,
  /^deploy\/nats\//,
  /^(package\.json|LICENSE|NOTICE|README\.md)$/,
]
const indispensable = ['LICENSE', 'NOTICE', 'README.md', 'deploy/nats/get-nats-server', 'deploy/nats/server.conf']
const entries = ['holdfast', 'holdfast/client']

try {
  const tarball = pack()
  await lint(tarball)
  const all = project('all', tarball, () => true)
  importAll(all, entries)
  typeCheck(all, entries)
  const light = project('light', tarball, (dependency) => dependency !== '@nxtedition')
  importAll(light, ['holdfast/client'])
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
  return join(home, packed.filename)
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

function importAll(folder: string, names: readonly string[]): void {
  for (const name of names) {
    const code = `const all = await import('${name}'); if (Object.keys(all).length === 0) throw new Error('${name} exports nothing')`
    run(folder, process.execPath, '--input-type=module', '-e', code)
  }
}

function typeCheck(folder: string, names: readonly string[]): void {
  const lines = names.map(
    (name, i) => `import * as entry${i} from '${name}'\nexport const names${i} = Object.keys(entry${i})`,
  )
  writeFileSync(join(folder, 'user.ts'), lines.join('\n'))
  const compilerOptions = { strict: true, target: 'es2023', module: 'nodenext', noEmit: true, types: ['node'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['user.ts'] }))
  run(folder, bin('tsc'), '-p', folder)
}
