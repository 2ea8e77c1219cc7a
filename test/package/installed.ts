/** The package as it is built, installed in a folder of its own beside chosen dependencies; what runs there knows nothing of the sources. */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** The folder; remove it in the end. */
export async function install(wanted: (dependency: string) => boolean): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-installed-'))
  const modules = join(folder, 'node_modules')
  const installed = join(modules, 'holdfast')
  await mkdir(installed, { recursive: true })
  await cp(join(root, 'package.json'), join(installed, 'package.json'))
  for (const dependency of await readdir(join(root, 'node_modules'))) {
    if (dependency.startsWith('.') || !wanted(dependency)) continue
    await symlink(join(root, 'node_modules', dependency), join(modules, dependency))
  }
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const project = ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(installed, 'dist'), '--noCheck']
  await run(process.execPath, [
    tsc,
    ...project,
    '--declaration',
    'false',
    '--sourceMap',
    'false',
    '--inlineSources',
    'false',
  ])
  return folder
}

/** Runs a program there, and gives what it prints. Rejects with what it complains of. */
export async function runIn(
  folder: string,
  program: string,
  type: 'module' | 'commonjs' = 'module',
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const words = [`--input-type=${type}`, '-e', program]
  const { stdout } = await run(process.execPath, words, { cwd: folder, env: { ...process.env, ...env } })
  return stdout.trim()
}
