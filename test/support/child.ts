/**
 * A Node.js process of the test's own that runs a program, as a user's would: of JavaScript, or of TypeScript by tsx.
 *
 * P1. `lines` are what it printed; `printed` waits for one. `exited` resolves with how it ended, of its own accord unless `kill` was called.
 * P2. It never outlives the test process: a test kills what it started, and a child without its parent's pipe reads its end.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, builtFile } from './build.ts'

const root = new URL('../../', import.meta.url)

/** Source of an import of one of this project's modules, as it was built, e.g. `importOf('{ connect }', 'src/index.ts')`. */
export const importOf = (names: string, module: string): string =>
  `import ${names} from ${JSON.stringify(pathToFileURL(builtFile(module)).href)}\n`

export interface ChildOptions {
  /** What it imports is TypeScript: it starts more slowly. Default: JavaScript. */
  readonly typescript?: boolean
  /** Runs as this user; only root may ask for it. */
  readonly uid?: number
  readonly env?: Readonly<Record<string, string>>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Child {
  readonly pid: number
  /** Of standard output. */
  readonly lines: readonly string[]
  /** Of standard error. */
  readonly complaints: readonly string[]
  readonly exited: Promise<Ended>
  /** Resolves with the first line that starts with `prefix`; rejects if the process ends without one. */
  printed(prefix: string): Promise<string>
  /** Closes its standard input: what `untilTold` waits for. */
  tell(): void
  kill(): Promise<void>
}

/** In a child's source: resolves when the test calls `tell`, or is gone. Standard input keeps the process alive until then, and no longer. */
export const untilTold = `const untilTold = () => new Promise((resolve) => process.stdin.once('end', resolve).resume())\n`

/** Runs `source`, a module. */
export function runChild(source: string, { typescript = false, uid, env }: ChildOptions = {}): Child {
  if (!typescript) build()
  const loader = typescript ? ['--import', 'tsx'] : []
  const child = spawn(process.execPath, [...loader, '--input-type=module', '-e', source], {
    cwd: fileURLToPath(root),
    // The variables of the test runner are none of a user's.
    env: { ...withoutVitest(process.env), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  const lines: string[] = []
  const complaints: string[] = []
  const waiting = new Set<() => void>()
  let ended = false
  const wake = () => {
    for (const look of [...waiting]) look()
  }
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    wake()
  })
  createInterface({ input: child.stderr }).on('line', (line) => complaints.push(line))
  const exited = once(child, 'close').then(([code, signal]): Ended => {
    ended = true
    wake()
    return { code: code as number | null, signal: signal as NodeJS.Signals | null }
  })
  child.stdin.on('error', () => {})
  return {
    pid: child.pid ?? 0,
    lines,
    complaints,
    exited,
    printed: (prefix) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find((line) => line.startsWith(prefix))
          if (found === undefined && !ended) return
          waiting.delete(look)
          if (found !== undefined) resolve(found)
          else
            reject(new Error(`the process ended without printing ${prefix}:\n${[...lines, ...complaints].join('\n')}`))
        }
        waiting.add(look)
        look()
      }),
    tell: () => void child.stdin.end(),
    async kill() {
      if (!ended) child.kill('SIGKILL')
      await exited
    },
  }
}

function withoutVitest(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(?:VITEST|NODE_ENV|TEST$|NODE_OPTIONS|NODE_V8)/.test(name)),
  )
}
