/**
 * The program `holdfast`, run as a process of the test's own.
 *
 * G1. `run` resolves when it has ended; `start` gives a process that goes on, whose lines can be waited for.
 * G2. Nothing of the test's own surroundings reaches it: no HOLDFAST_ variable, no colour.
 * G3. A process that a test started is killed by `stopAll`, at the latest by a guardian when the test's process is gone.
 * G4. A node that has `patientLease` among its variables is the program's, but for its lease: that outlasts what a busy machine stops a process
 *     for. Tests whose nodes all live give it to each, and find the leader and the owners that they had.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { builtFile, onOrphaned } from '../support/build.ts'

/** What users import, of the build: `export * from` it where a module says `holdfast`. */
export const builtIndex = builtFile('src/index.ts')
/** Its file, for what is to start it by itself. */
export const builtProgram = builtFile('src/cli/main.ts')

const lengthens = `
  import { defaultMembershipSettings } from ${JSON.stringify(pathToFileURL(builtFile('actors/membership.ts')).href)}
  Object.assign(defaultMembershipSettings, { leaseTermMs: 20_000 })`
/** G4 */
export const patientLease = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(lengthens)}` }

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Written to standard input, which is then closed. Default: nothing. */
  readonly stdin?: string
}

/** What a run has said, and how it ended. */
export interface Said {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Outcome extends Said {
  readonly signal: NodeJS.Signals | null
}

const running = new Set<ChildProcess>()

function launch(args: readonly string[], { cwd, env }: RunOptions): ChildProcess {
  const surroundings = Object.entries(process.env).filter(
    ([name]) => !/^(?:HOLDFAST_|VITEST|NODE_ENV$|TEST$|NODE_OPTIONS|NODE_V8|FORCE_COLOR|npm_)/.test(name),
  )
  const child = spawn(process.execPath, [builtProgram, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...Object.fromEntries(surroundings), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('close', () => running.delete(child))
  child.stdin?.on('error', () => {})
  return child
}

/** G1 */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = launch(args, options)
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin?.end(options.stdin ?? '')
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal, stdout, stderr }
}

export interface Started {
  readonly pid: number
  /** Of standard output. */
  readonly lines: readonly string[]
  /** Of standard error. */
  readonly complaints: readonly string[]
  /** Resolves with the first line of either that fits, from the `after`-th on; rejects when the process ends without. */
  printed(pattern: RegExp, after?: number): Promise<string>
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>
  kill(signal: NodeJS.Signals): void
  /** Nobody reads what it says any more. */
  stopReading(): void
}

export function start(args: readonly string[], options: RunOptions = {}): Started {
  const child = launch(args, options)
  const lines: string[] = []
  const complaints: string[] = []
  const all: string[] = []
  const waiting = new Set<() => void>()
  let over = false
  const dismiss = onOrphaned('kill -KILL "$1"', String(child.pid))
  const look = () => {
    for (const each of [...waiting]) each()
  }
  const collect = (into: string[]) => (line: string) => {
    into.push(line)
    all.push(line)
    look()
  }
  createInterface({ input: child.stdout! }).on('line', collect(lines))
  createInterface({ input: child.stderr! }).on('line', collect(complaints))
  const ended = once(child, 'close').then(([code]) => {
    over = true
    dismiss()
    look()
    return code as number | null
  })
  return {
    pid: child.pid ?? 0,
    lines,
    complaints,
    ended,
    printed: (pattern, after = 0) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const found = all.slice(after).find((line) => pattern.test(line))
          if (found === undefined && !over) return
          waiting.delete(check)
          if (found !== undefined) resolve(found)
          else reject(new Error(`the process ended without printing ${pattern}:\n${all.join('\n')}`))
        }
        waiting.add(check)
        check()
      }),
    kill: (signal) => void child.kill(signal),
    stopReading() {
      child.stdout!.destroy()
      child.stderr!.destroy()
    },
  }
}

/** G3 */
export async function stopAll(): Promise<void> {
  await Promise.all(
    [...running].map(async (child) => {
      const gone = once(child, 'close')
      child.kill('SIGKILL')
      await gone
    }),
  )
}

/** What a run printed with `--json`. */
export const jsonOf = (outcome: Said): unknown => {
  if (outcome.code !== 0) throw new Error(`it ended with ${outcome.code}: ${outcome.stderr}`)
  return JSON.parse(outcome.stdout)
}

export const jsonLinesOf = ({ stdout }: Said): unknown[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown)
