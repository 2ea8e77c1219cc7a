/**
 * A process of the demonstration. None outlives it.
 *
 * C1. One that ends unasked is a trouble.
 * C2. One that was asked to end and has not after 10 s is killed, which is a trouble, too.
 * C3. Each is in a process group of its own: Ctrl-C reaches the demonstration alone, which then ends them in order.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const patienceMs = 10_000

/** The root of the package. */
export const root = fileURLToPath(new URL('../../', import.meta.url))

const living = new Set<ChildProcess>()
process.once('exit', () => living.forEach((child) => child.kill('SIGKILL')))

export class Child {
  readonly #process: ChildProcess
  readonly #name: string
  readonly #troubles: string[]
  readonly #gone: Promise<void>
  #asked = false

  constructor(child: ChildProcess, name: string, troubles: string[]) {
    this.#process = child
    this.#name = name
    this.#troubles = troubles
    living.add(child)
    this.#gone = Promise.race([once(child, 'exit'), once(child, 'error')]).then(([how]) => {
      living.delete(child)
      if (!this.#asked) troubles.push(`${name} ended by itself: ${String(how ?? child.signalCode)}`)
    })
  }

  /** Resolves as `promise` does; rejects if the process ends before. */
  async before<T>(promise: Promise<T>): Promise<T> {
    const gone = this.#gone.then(() => Promise.reject(new Error(`${this.#name} is gone`)))
    return Promise.race([promise, gone])
  }

  onMessage(listener: (message: never) => void): void {
    this.#process.on('message', listener)
  }

  /** Resolves to the first message of this kind. */
  message<M extends { readonly kind: string }>(kind: M['kind']): Promise<M> {
    return this.before(
      new Promise((resolve) => {
        this.#process.on('message', (message: M) => {
          if (message.kind === kind) resolve(message)
        })
      }),
    )
  }

  send(message: object): void {
    this.#process.send(message)
  }

  /** Asks it to end: by a signal, or by letting go of the channel to it. Resolves when it is gone. */
  async end(how: NodeJS.Signals | 'disconnect'): Promise<void> {
    this.#asked = true
    if (!living.has(this.#process)) return
    if (how !== 'disconnect') this.#process.kill(how)
    else if (this.#process.connected) this.#process.disconnect()
    const late = setTimeout(() => {
      this.#troubles.push(`${this.#name} did not end within ${patienceMs} ms and was killed`)
      this.#process.kill('SIGKILL')
    }, patienceMs)
    await this.#gone
    clearTimeout(late)
  }
}

/** Runs a TypeScript file of this folder; it ends when the channel to it closes. */
export function startScript(file: string, args: readonly string[], name: string, troubles: string[]): Child {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const options = { cwd: root, execArgv: ['--import', 'tsx'], detached: true, serialization: 'advanced' } as const
  return new Child(fork(path, args, options), name, troubles)
}
