/**
 * Redis, with its append-only file synced before each reply (redis.conf). The work is a script: it runs at the server, which is the way to
 * read, change and write a key atomically there.
 *
 * R1. The client is ioredis on one connection, over which commands go without waiting for answers: the server reads many at once, and
 *     syncs once for them. Its auto-pipelining and node-redis took more of the client's time for the same rate. The connection is a Unix
 *     socket, the fastest that Redis has.
 *
 * What it does not do, of what Holdfast does for the same increment: the handler is no code of the user's process but Lua in the server;
 * one thread does everything, and there are no partitions; nothing is published or can be followed; a request that is sent twice counts
 * twice; all data must fit into memory.
 */
import { execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { Child } from '../../examples/support/child.ts'
import { Teardown } from '../../examples/support/teardown.ts'
import { importPackage, installPackages, peersFolder, versionOf } from './packages.ts'
import { PeerAbsent, type StartPeer } from './peer.ts'

const run = promisify(execFile)

/** In PATH. */
const binary = 'redis-server'

/** What is used of the package `ioredis`. */
interface Ioredis {
  readonly Redis: new (path: string, options: { readonly lazyConnect: true; readonly retryStrategy: null }) => Client
}

interface Client {
  on(event: 'error', listener: (error: Error) => void): void
  connect(): Promise<void>
  quit(): Promise<unknown>
  script(subcommand: 'LOAD', script: string): Promise<unknown>
  evalsha(sha: string, keyCount: 1, key: string): Promise<unknown>
}

// As msgpack the state takes the 100 bytes of our counter's.
const script = `
local packed = redis.call('GET', KEYS[1])
local state = packed and cmsgpack.unpack(packed) or { count = 0, pad = string.rep('x', 82) }
state.count = state.count + 1
redis.call('SET', KEYS[1], cmsgpack.pack(state))
return state.count
`

export const startRedis: StartPeer = async (folder, teardown, troubles) => {
  await installPackages()
  const serverVersion = await findServer()
  const own = new Teardown()
  const close = async () => {
    if (!(await own.run())) throw new Error('Redis did not end well')
  }
  teardown.add(close)
  const socket = join(folder, 'redis.sock')
  await startServer(folder, socket, own, troubles)
  const { Redis } = await importPackage<Ioredis>('ioredis')
  const client = new Redis(socket, { lazyConnect: true, retryStrategy: null })
  client.on('error', (error) => troubles.push(`the client of Redis: ${error.message}`))
  await client.connect()
  own.add(async () => void (await client.quit()))
  const sha = (await client.script('LOAD', script)) as string
  return {
    name: 'redis',
    version: `redis-server ${serverVersion}, ioredis ${await versionOf('ioredis')}`,
    increment: async (key) => Number(await client.evalsha(sha, 1, key)),
    close,
  }
}

/** Resolves to the version of the `redis-server` in PATH, which is installed if that can be done without asking. */
async function findServer(): Promise<string> {
  const found = await readVersion()
  if (found !== undefined) return found
  if (process.getuid?.() !== 0) throw new PeerAbsent('there is no redis-server in PATH, and only root can install it')
  console.log('There is no redis-server in PATH: installing it with apt-get.')
  try {
    await run('apt-get', ['update'])
    await run('apt-get', ['install', '--yes', '--no-install-recommends', binary])
  } catch (error) {
    throw new PeerAbsent('there is no redis-server in PATH, and apt-get could not install it', { cause: error })
  }
  const installed = await readVersion()
  if (installed === undefined) throw new PeerAbsent('there is no redis-server in PATH, also after its installation')
  return installed
}

async function readVersion(): Promise<string | undefined> {
  try {
    const { stdout } = await run(binary, ['--version'])
    return / v=(\S+)/.exec(stdout)?.[1] ?? stdout.trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function startServer(folder: string, socket: string, teardown: Teardown, troubles: string[]): Promise<void> {
  const args = [join(peersFolder, 'redis.conf'), '--dir', folder, '--unixsocket', socket, '--port', '0']
  const server = spawn(binary, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const child = new Child(server, binary, troubles)
  teardown.add(() => child.end('SIGTERM'))
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      if (line.includes('eady to accept connections')) resolve()
    })
  })
  await child.before(ready)
}
