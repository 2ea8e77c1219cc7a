/**
 * The project as JavaScript, for what tests start as processes of their own: they start in a third of the time.
 *
 * B1. It is compiled when it is first asked for, once for a whole run: whoever asks meanwhile waits.
 * B2. It is inside the project, so that packages are found from there, and gone when the process is gone that named its folder.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const variable = 'HOLDFAST_TEST_BUILD'

/** Where it is, or will be. Who names it first is who it lasts for: the run (global-setup.ts), or this process. */
export function buildFolder(): string {
  const named = process.env[variable]
  if (named !== undefined) return named
  const folder = join(root, 'node_modules', '.cache', `holdfast-tests-${process.pid}`)
  process.env[variable] = folder
  onOrphaned('rm -rf -- "$1"', folder)
  return folder
}

/** The file that a module of the project is compiled to, e.g. of `src/cli/main.ts`. It is there once `build` has returned. */
export const builtFile = (module: string): string => join(buildFolder(), module.replace(/\.ts$/, '.js'))

/** Compiles it, if nobody has (B1). Throws where it does not compile. */
export function build(): void {
  const folder = buildFolder()
  const [done, failed] = [join(folder, 'done'), join(folder, 'failed')]
  if (!isFirst(folder)) {
    const tick = new Int32Array(new SharedArrayBuffer(4))
    while (!existsSync(done) && !existsSync(failed)) Atomics.wait(tick, 0, 0, 50)
    if (existsSync(done)) return
    throw new Error('the project does not compile: who asked first says why')
  }
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  // Types are checked elsewhere.
  const args = ['-p', 'test/support/tsconfig.json', '--noCheck', '--outDir', folder]
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...args], { cwd: root, encoding: 'utf8' })
  writeFileSync(status === 0 ? done : failed, '')
  if (status !== 0) throw new Error(`the project does not compile:\n${stdout}`)
}

function isFirst(folder: string): boolean {
  mkdirSync(dirname(folder), { recursive: true })
  try {
    mkdirSync(folder)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Runs a line of shell, with `$1`, when this process is gone before it is dismissed. */
export function onOrphaned(line: string, argument: string): () => void {
  const shell = spawn('/bin/sh', ['-c', `cat > /dev/null; ${line}`, 'test-guardian', argument], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  shell.unref()
  ;(shell.stdin as Socket).unref()
  return () => void shell.kill('SIGKILL')
}
