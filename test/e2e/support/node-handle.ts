/**
 * One node process, as its test sees it: what it has said, and what can be done to it.
 *
 * D1. `exited` resolves when the process is gone and everything that it wrote has been read.
 * D2. What was sent and never answered as of its end is in `unanswered`: the process wrote it before sending (node-process.ts, E2).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { HoldfastEvent } from '../../../src/index.ts'
import { build, builtFile } from '../../support/build.ts'
import type { Guardian } from './guardian.ts'
import type { NodeLine, NodeOrder, SentAppend } from './node-lines.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** An append, and its answer once there is one. */
export interface Append extends SentAppend {
  result?: 'accepted' | 'refused' | 'unknown'
}

/** In what surroundings a process runs. */
export interface Launch {
  /** A command that runs the command behind it. Default: none. */
  readonly through?: readonly string[]
  /** On top of the environment of the test. */
  readonly env?: Readonly<Record<string, string>>
}

export interface NodeHandleOptions {
  readonly name: string
  readonly dataDir: string
  readonly launch?: Launch
  readonly guardian: Guardian
  /** After each line of the process, and its end. */
  readonly onNews: () => void
}

export class NodeHandle {
  readonly name: string
  readonly dataDir: string
  readonly exited: Promise<Exit>
  readonly events: HoldfastEvent[] = []
  readonly errors: string[] = []
  ready = false
  freezing = false
  drained = false
  failed: string | undefined
  exit: Exit | undefined
  /** All of them, in their order. */
  readonly appends: Append[] = []
  lastStatus: Extract<NodeLine, { readonly is: 'status' }>['status'] | undefined
  readonly #inFlight = new Map<string, Append>()
  #commits = 0
  #told = false
  readonly #process: ChildProcess
  readonly #pid: number
  readonly #onNews: () => void

  constructor({ name, dataDir, launch: { through = [], env = {} } = {}, guardian, onNews }: NodeHandleOptions) {
    this.name = name
    this.dataDir = dataDir
    this.#onNews = onNews
    build()
    const [command, ...args] = [...through, process.execPath, builtFile('test/e2e/support/node-process.ts')]
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      // Away from the terminal's process group: Ctrl-C reaches the test run, which then ends its nodes.
      detached: true,
    })
    if (child.pid === undefined) throw new Error(`${process.execPath} cannot be started`)
    this.#process = child
    this.#pid = child.pid
    guardian.watch(this.#pid)
    createInterface({ input: child.stdout }).on('line', (line) => this.#hear(JSON.parse(line) as NodeLine))
    createInterface({ input: child.stderr }).on('line', (line) => this.errors.push(line))
    // It may end between two orders.
    child.stdin.on('error', () => {})
    this.exited = once(child, 'close').then(([code, signal]) => {
      guardian.forget(this.#pid)
      this.exit = { code: code as number | null, signal: signal as NodeJS.Signals | null }
      onNews()
      return this.exit
    })
  }

  /** Appends of records with commands that were begun. */
  get commits(): number {
    return this.#commits
  }

  get running(): boolean {
    return this.exit === undefined
  }

  /** Of records with commands: those that were sent and whose answer has not come, or never came (D2). */
  get unanswered(): readonly Append[] {
    return [...this.#inFlight.values()].filter(({ turns }) => turns > 0)
  }

  /** All that it has said of one type, in its order. */
  eventsOf<Type extends HoldfastEvent['type']>(type: Type): Extract<HoldfastEvent, { readonly type: Type }>[] {
    return this.events.filter((event): event is Extract<HoldfastEvent, { type: Type }> => event.type === type)
  }

  /** It has ended, and nobody had told it to. */
  get endedUntold(): boolean {
    return this.exit !== undefined && !this.#told
  }

  order(order: NodeOrder): void {
    if (order.do === 'close') this.#told = true
    this.#process.stdin?.write(`${JSON.stringify(order)}\n`)
  }

  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    if (signal === 'SIGKILL') this.#told = true
    if (this.running) this.#process.kill(signal)
  }

  #hear(line: NodeLine): void {
    switch (line.is) {
      case 'ready':
        this.ready = true
        break
      case 'failed':
        this.failed = `${line.code} ${line.message}`
        break
      case 'event':
        this.events.push(line.event)
        break
      case 'append': {
        const { is: _, ...append } = line
        this.appends.push(append)
        if (append.turns > 0) this.#commits++
        this.#inFlight.set(append.hash, append)
        break
      }
      case 'settled': {
        const append = this.#inFlight.get(line.hash)
        if (append !== undefined) append.result = line.result
        this.#inFlight.delete(line.hash)
        break
      }
      case 'freezing':
        this.freezing = true
        break
      case 'drained':
        this.drained = true
        break
      case 'status':
        this.lastStatus = line.status
        break
    }
    this.#onNews()
  }
}
