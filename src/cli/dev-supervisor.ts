/**
 * Keeps one child process running on files that change.
 *
 * D1. One child at a time: the next begins when the former is gone, so that they never meet on a folder or a port.
 * D2. A child is asked to end by closing its channel, which is no signal: Ctrl-C reaches both processes, and a second signal would end
 *     the child at once. Who does not end within 10 s is killed.
 * D3. A child that ends by itself is not started again before a file changes: it would only fail again.
 * D4. Changes are gathered for 100 ms: an editor writes more than once.
 * D5. The child ends with this process, however this one ends: its channel closes.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { watch, type FSWatcher } from 'chokidar'
import { basename } from 'node:path'
import { SystemClock } from '../adapters/system/clock.ts'
import type { Timer } from '../ports/clock.ts'
import type { ReadyMessage } from './commands/node.ts'

export interface DevSupervisorOptions {
  /** Watched, without what is installed, hidden or built there; also where the child runs. */
  readonly folder: string
  /** Of this program. */
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** `times`: from 1. */
  readonly onReady: (ready: ReadyMessage, times: number) => void
  readonly onChange: (path: string) => void
  /** It ended by itself. */
  readonly onBroken: (code: number | null) => void
}

const gatherMs = 100
const killAfterMs = 10_000
const watched = /\.(?:[cm]?[jt]s|json)$/
const left = new Set(['node_modules', 'dist', 'data'])

export class DevSupervisor {
  readonly #options: DevSupervisorOptions
  readonly #clock = new SystemClock()
  #timesReady = 0
  /** The path that changed, since it was last looked at. */
  #changed: string | undefined
  #gathering: Timer | undefined
  #wake: () => void = () => {}

  constructor(options: DevSupervisorOptions) {
    this.#options = options
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const watcher = await this.#watch()
    signal.addEventListener('abort', () => this.#wake(), { once: true })
    try {
      while (!signal.aborted) await this.#oneLife(signal)
    } finally {
      this.#clock.clearTimeout(this.#gathering)
      await watcher.close()
    }
  }

  async #oneLife(signal: AbortSignal): Promise<void> {
    const child = this.#spawn()
    let code: number | null | undefined
    const gone = new Promise<void>((resolve) => {
      child.once('error', () => resolve())
      child.once('exit', (status) => {
        code = status
        resolve()
        this.#wake()
      })
    })
    await this.#until(() => signal.aborted || this.#changed !== undefined || code !== undefined)
    if (code !== undefined && !signal.aborted) {
      this.#options.onBroken(code)
      await this.#until(() => signal.aborted || this.#changed !== undefined)
    }
    await this.#end(child, gone)
    const path = this.#changed
    this.#changed = undefined
    if (path !== undefined && !signal.aborted) this.#options.onChange(path)
  }

  #spawn(): ChildProcess {
    const { args, env, folder } = this.#options
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
      cwd: folder,
      env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    child.on('message', (message) => this.#options.onReady(message as ReadyMessage, ++this.#timesReady))
    return child
  }

  /** D2 */
  async #end(child: ChildProcess, gone: Promise<void>): Promise<void> {
    if (child.connected) child.disconnect()
    const late = this.#clock.setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    await gone
    this.#clock.clearTimeout(late)
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  async #watch(): Promise<FSWatcher> {
    const { folder } = this.#options
    const watcher = watch(folder, {
      ignoreInitial: true,
      ignored: (path, stats) => {
        if (path === folder) return false
        const name = basename(path)
        return name.startsWith('.') || left.has(name) || (stats?.isFile() === true && !watched.test(name))
      },
    })
    watcher.on('all', (event, path) => {
      if (event === 'addDir' || event === 'unlinkDir') return
      this.#clock.clearTimeout(this.#gathering)
      this.#gathering = this.#clock.setTimeout(() => {
        this.#changed = path
        this.#wake()
      }, gatherMs)
    })
    // A folder that cannot be watched any more: the node goes on as it is.
    watcher.on('error', () => {})
    await new Promise<void>((resolve) => watcher.once('ready', resolve))
    return watcher
  }
}
