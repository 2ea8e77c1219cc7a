/**
 * A real nats-server of the test's own, on loopback, with deploy/nats/server.conf: what users run is what is tested.
 *
 * N1. `startNatsServer` and `restart` resolve when the server has recovered its streams and answers on its port: they wait for
 *     the server's own word, then connect; nothing sleeps.
 * N2. The port and the store are the same over `kill` and `restart`; each server has a store of its own.
 * N3. No server and no temporary folder outlives its test process, however that one ends: a guardian process holds the other
 *     end of a pipe, and ends and removes when the pipe closes.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const deployFolder = fileURLToPath(new URL('../../deploy/nats/', import.meta.url))

export interface TestServerOptions {
  /** Added to the end of deploy/nats/server.conf; what it sets again, it replaces (a block as a whole). Logging must stay on stderr. */
  readonly config?: string
  /** Used as it is, in place of deploy/nats/server.conf; what it includes is found from where it lies. Logging must stay on stderr. */
  readonly configFile?: string
  /** Besides NATS_STORE_DIR. */
  readonly env?: Readonly<Record<string, string>>
  /** An address of this machine that is listened on, whatever the configuration says. Default: what it says, and 127.0.0.1. */
  readonly host?: string
  /** Default: one that is free. */
  readonly port?: number
  /** Default: a new folder, removed by `stop`. A folder that is given is left alone. */
  readonly storeDir?: string
  /** Default true: fsync before each acknowledgement, as in server.conf. */
  readonly syncAlways?: boolean
}

type EndSignal = 'SIGKILL' | 'SIGTERM' | 'SIGINT'

export interface TestServer {
  /** `nats://<host>:<port>` */
  readonly url: string
  readonly port: number
  readonly storeDir: string
  /** Of the running process; throws while there is none. */
  readonly pid: number
  readonly running: boolean
  /** The last lines that the server logged, over all its lives. */
  readonly log: readonly string[]
  /** Ends the process, and resolves when it is gone. Nothing to do when it is gone already. Also ends a paused one. */
  kill(signal?: EndSignal): Promise<void>
  /** Starts it again on the same port and store; kills it first if it runs. */
  restart(): Promise<void>
  /** Ends it gracefully, and removes its folders. */
  stop(): Promise<void>
  /** Stops the process where it stands (SIGSTOP): connections stay open and nothing answers from when it returns. */
  pause(): void
  resume(): void
}

/** The binary of these tests: from the environment that the test run has set up, else from deploy/nats/get-nats-server. */
export function natsServerBinary(): string {
  binary ??= process.env['NATS_SERVER_BIN'] ?? getNatsServer()
  return binary
}
let binary: string | undefined

function getNatsServer(): string {
  const output = execFileSync(join(deployFolder, 'get-nats-server'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return output.trim()
}

export async function startNatsServer(options: TestServerOptions = {}): Promise<TestServer> {
  const home = await mkdtemp(join(tmpdir(), 'holdfast-nats-'))
  const storeDir = options.storeDir ?? join(home, 'store')
  await mkdir(storeDir, { recursive: true })
  const configFile = options.configFile ?? join(home, 'server.conf')
  if (options.configFile === undefined) await writeFile(configFile, configOf(options))
  const guardian = startGuardian(home)
  const log: string[] = []
  const { host, env = {} } = options
  const launch = (port: number) => launchServer({ storeDir, configFile, env, host, port, log, guardian })
  const remove = async () => {
    await rm(home, { recursive: true, force: true })
    guardian.dismiss()
  }

  let life: Life | undefined
  try {
    // -1: the server itself finds a free port, so that two tests never meet on one.
    life = await launch(options.port ?? -1)
  } catch (error) {
    await remove()
    throw error
  }
  const port = life.port

  const end = async (signal: EndSignal) => {
    const ending = life
    if (ending === undefined) return
    await ending.end(signal)
    if (life === ending) life = undefined
  }
  const running = () => {
    if (!life?.alive()) throw new Error(`this nats-server (port ${port}) does not run`)
    return life
  }

  return {
    url: `nats://${host ?? loopback}:${port}`,
    port,
    storeDir,
    log,
    get pid() {
      return running().pid
    },
    get running() {
      return life?.alive() ?? false
    },
    kill: (signal = 'SIGKILL') => end(signal),
    async restart() {
      await end('SIGKILL')
      life = await launch(port)
    },
    async stop() {
      await end('SIGTERM')
      await remove()
    },
    pause: () => pause(running().process),
    resume: () => void running().process.kill('SIGCONT'),
  }
}

/** The signal stops one thread after the other, and those on another processor go on until it gets there: this waits for all. */
function pause(process: ChildProcess): void {
  process.kill('SIGSTOP')
  const threads = `/proc/${process.pid}/task`
  if (!existsSync(threads)) return
  const stopped = (thread: string) => {
    const stat = readFileSync(join(threads, thread, 'stat'), 'latin1')
    // The name before the state is in brackets, and may hold anything.
    return stat[stat.lastIndexOf(')') + 2] === 'T'
  }
  while (!readdirSync(threads).every(stopped));
}

function configOf({ config = '', syncAlways = true }: TestServerOptions): string {
  const shipped = readFileSync(join(deployFolder, 'server.conf'), 'utf8')
  const relaxed = syncAlways ? '' : 'jetstream { store_dir: $NATS_STORE_DIR, sync_interval: "2m" }'
  return [shipped, relaxed, config].join('\n')
}

/** One process, from its start to its exit. */
interface Life {
  readonly process: ChildProcess
  readonly pid: number
  readonly port: number
  alive(): boolean
  end(signal: EndSignal): Promise<void>
}

interface Launch {
  readonly storeDir: string
  readonly configFile: string
  readonly env: Readonly<Record<string, string>>
  readonly host: string | undefined
  readonly port: number
  readonly log: string[]
  readonly guardian: Guardian
}

const loopback = '127.0.0.1'
const keptLogLines = 500
const readyWithinMs = 30_000
/** A server that does not end by itself within this is killed. */
const gracefulWithinMs = 10_000

async function launchServer({ storeDir, configFile, env, host, port, log, guardian }: Launch): Promise<Life> {
  const at = host === undefined ? [] : ['-a', host]
  const server = spawn(natsServerBinary(), ['-c', configFile, '-p', String(port), ...at], {
    env: { ...process.env, ...env, NATS_STORE_DIR: storeDir },
    stdio: ['ignore', 'ignore', 'pipe'],
    // Away from the terminal's process group: Ctrl-C reaches the test run, which then ends its servers.
    detached: true,
  })
  await once(server, 'spawn')
  const pid = server.pid
  if (pid === undefined) throw new Error('a spawned process has a pid')
  guardian.watch(pid)
  let alive = true
  // `close` and not `exit`: the log is complete by then.
  const gone = once(server, 'close').then(() => {
    alive = false
    guardian.watch(null)
  })
  const end = async (signal: EndSignal) => {
    server.kill(signal)
    // A paused process takes no signal but SIGKILL until it goes on.
    server.kill('SIGCONT')
    const late = setTimeout(() => server.kill('SIGKILL'), gracefulWithinMs)
    await gone
    clearTimeout(late)
  }
  try {
    const listening = await Promise.race([listeningPort(server, log), gone.then(() => undefined)])
    if (listening === undefined) throw new Error(`nats-server ended at its start:\n${log.join('\n')}`)
    await greeting(host ?? loopback, listening)
    return { process: server, pid, port: listening, alive: () => alive, end }
  } catch (error) {
    await end('SIGKILL')
    throw error
  }
}

/** Resolves with the port once the server says that it is ready, and goes on collecting its log. */
function listeningPort(server: ChildProcess, log: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    if (server.stderr === null) throw new Error('stderr is a pipe')
    const late = setTimeout(
      () => reject(new Error(`nats-server was not ready after ${readyWithinMs} ms:\n${log.join('\n')}`)),
      readyWithinMs,
    )
    server.once('close', () => clearTimeout(late))
    let port: number | undefined
    createInterface({ input: server.stderr }).on('line', (line) => {
      log.push(line)
      if (log.length > keptLogLines) log.shift()
      const listening = /Listening for client connections on .*:(\d+)$/.exec(line)
      if (listening) port = Number(listening[1])
      if (port !== undefined && line.includes('Server is ready')) {
        clearTimeout(late)
        resolve(port)
      }
    })
  })
}

/** Resolves when the server has greeted a connection, as a server with JetStream. */
async function greeting(host: string, port: number): Promise<void> {
  const socket = connect({ host, port })
  try {
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    const info = bytes.toString('utf8')
    if (!info.startsWith('INFO ') || !info.includes('"jetstream":true'))
      throw new Error(`not a JetStream server: ${info}`)
  } finally {
    socket.destroy()
  }
}

/** Knows the process that runs now, and the folder; when this process is gone, so are they (N3). */
interface Guardian {
  /** `null`: none runs. */
  watch(pid: number | null): void
  dismiss(): void
}

function startGuardian(home: string): Guardian {
  // The last line on its standard input is the pid to end; the end of the input is the end of this process.
  const script = 'pid=; while read -r line; do pid=$line; done; [ "$pid" ] && kill -KILL "$pid"; rm -rf -- "$1"'
  const shell = spawn('/bin/sh', ['-c', script, 'nats-server-guardian', home], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  shell.unref()
  ;(shell.stdin as Socket).unref()
  return {
    watch: (pid) => shell.stdin.write(`${pid ?? ''}\n`),
    dismiss: () => void shell.kill('SIGKILL'),
  }
}
