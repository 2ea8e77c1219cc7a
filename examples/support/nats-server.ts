/** A nats-server of an example's own: the binary that deploy/nats/get-nats-server finds, with deploy/nats/server.conf. */
import { execFile, spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { Child, root } from './child.ts'
import type { Teardown } from './teardown.ts'

const deploy = join(root, 'deploy/nats')

/** Resolves to its URL once it is ready. */
export async function startNatsServer(storeDir: string, teardown: Teardown, troubles: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(join(deploy, 'get-nats-server'))
  await mkdir(storeDir, { recursive: true })
  // Port -1: one that is free.
  const server = spawn(stdout.trim(), ['-c', join(deploy, 'server.conf'), '-p', '-1'], {
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
  return child.before(ready)
}
