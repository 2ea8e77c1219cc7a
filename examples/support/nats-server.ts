/** A nats-server of an example's own: the binary that deploy/nats/get-nats-server finds, with deploy/nats/server.conf. */
import { execFile, spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { Child, root } from './child.ts'
import type { Teardown } from './teardown.ts'

const deploy = join(root, 'deploy/nats')

export interface NatsServer {
  readonly url: string
  readonly pid: number
}

export interface NatsServerOptions {
  /** Default: deploy/nats/server.conf. */
  readonly config?: string
  /** More of the command line. Default: none. */
  readonly args?: readonly string[]
}

/** Resolves to its URL once it is ready. */
export const startNatsServer = async (storeDir: string, teardown: Teardown, troubles: string[]): Promise<string> =>
  (await launchNatsServer(storeDir, teardown, troubles)).url

export async function launchNatsServer(
  storeDir: string,
  teardown: Teardown,
  troubles: string[],
  { config = join(deploy, 'server.conf'), args = [] }: NatsServerOptions = {},
): Promise<NatsServer> {
  const { stdout } = await promisify(execFile)(join(deploy, 'get-nats-server'))
  await mkdir(storeDir, { recursive: true })
  // Port -1: one that is free.
  const server = spawn(stdout.trim(), ['-c', config, '-p', '-1', ...args], {
    env: { ...process.env, NATS_STORE_DIR: storeDir },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  const child = new Child(server, 'nats-server', troubles)
  teardown.add(() => child.end('SIGTERM'))
  const ready = new Promise<string>((resolve) => {
    let url = ''
    createInterface({ input: server.stderr }).on('line', (line) => {
      const port = /Listening for client connections on .*:(\d+)$/.exec(line)?.[1]
      if (port !== undefined) url = `nats://127.0.0.1:${port}`
      if (line.includes('Server is ready')) resolve(url)
      if (/\[(ERR|FTL)\]/.test(line)) console.error(line)
    })
  })
  return { url: await child.before(ready), pid: server.pid! }
}
