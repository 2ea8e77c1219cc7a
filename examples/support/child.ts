/**
 * A process of an example, which sends messages of the type `M`. None outlives the example.
 *
 * C1. One that ends unasked is a trouble. One that was asked to, and does not end well by itself within 10 s, is an error.
 * C2. Each is in a process group of its own: Ctrl-C reaches the example's first process alone, which then ends them in order.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const patienceMs = 10_000

/** The root of the package; also for what was compiled into a folder of it. */
export const root = findRoot(dirname(fileURLToPath(import.meta.url)))

function findRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : findRoot(dirname(folder))
}

/** Runs a TypeScript file, with a channel for messages. */
export function runScript(file: URL, args: readonly string[]): ChildProcess {
  return fork(fileURLToPath(file), args, {
    cwd: root,
    execArgv: ['--import', 'tsx'],
    detached: true,
    serialization: 'advanced',
  })
}

const living = new Set<ChildProcess>()
process.once('exit', () => living.forEach((child) => child.kill('SIGKILL')))

export class Child<M extends { readonly kind: string } = never> {
  readonly #process: ChildProcess
  readonly #name: string
  readonly #gone: Promise<void>
  #asked = false

  constructor(child: ChildProcess, name: string, troubles: string[]) {
    this.#process = child
    this.#name = name
    living.add(child)
    this.#gone = new Promise((resolve) => {
      const gone = (how: string) => {
        living.delete(child)
        if (!this.#asked) troubles.push(`${name} ended unasked: ${how}`)
        resolve()
      }
      child.once('exit', (code, signal) => gone(signal ?? `exit code ${code}`))
      child.once('error', (error) => gone(error.message))
    })
  }

  get pid(): number {
    return this.#process.pid!
  }

  /** Resolves as `promise` does; rejects if the process ends before. */
  before<T>(promise: Promise<T>): Promise<T> {
    const gone = this.#gone.then(() => Promise.reject(new Error(`${this.#name} is gone`)))
    return Promise.race([promise, gone])
  }

  onMessage(listener: (message: M) => void): void {
    this.#process.on('message', listener)
  }

  /** Resolves to the next message of this kind. */
  message<K extends M['kind']>(kind: K): Promise<Extract<M, { readonly kind: K }>> {
    const isOfKind = (message: M): message is Extract<M, { readonly kind: K }> => message.kind === kind
    return this.before(new Promise((resolve) => this.onMessage((message) => isOfKind(message) && resolve(message))))
  }

  send(message: object): void {
    this.#process.send(message)
  }

  /** SIGKILL. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#asked = true
    this.#process.kill('SIGKILL')
    await this.#gone
  }

  /** Asks it to end, by SIGTERM or by letting go of the channel to it. Resolves when it is gone; rejects if that was not well. */
  async end(how: 'SIGTERM' | 'disconnect'): Promise<void> {
    if (!living.has(this.#process)) return
    this.#asked = true
    if (how === 'SIGTERM') this.#process.kill(how)
    else if (this.#process.connected) this.#process.disconnect()
    const late = setTimeout(() => this.#process.kill('SIGKILL'), patienceMs)
    await this.#gone
    clearTimeout(late)
    const { exitCode, signalCode } = this.#process
    if (exitCode !== 0) throw new Error(`${this.#name} did not end well: ${signalCode ?? `exit code ${exitCode}`}`)
  }
}
