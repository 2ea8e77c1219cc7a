/**
 * Restate as one node (restate.toml), which runs a virtual object in a service of one process (restate-service.ts): the nearest relative
 * of a Holdfast actor.
 *
 * R1. Durable: Restate replies when its log has the handler's result, and the log server syncs each batch of its write-ahead log before
 *     it acknowledges.
 * R2. The client is undici over keep-alive connections to the ingress, as many as there are requests in flight. Against it stood
 *     node:http and HTTP/2, which took more of the client's time for the same rate, and pipelining, in which answers wait for one another.
 *
 * What it does, of what Holdfast does not for the same increment: each invocation is journaled, and would continue in its midst after a
 * crash. What it does not do: changes of state cannot be followed, and a request is deduplicated only if it brings an idempotency key, which
 * these do not.
 */
import { fork, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Child } from '../../examples/support/child.ts'
import { Teardown } from '../../examples/support/teardown.ts'
import { fileOf, importPackage, installPackages, peersFolder, versionOf } from './packages.ts'
import { PeerAbsent, type StartPeer } from './peer.ts'
import type { ServiceMessage } from './restate-service.ts'

/** At most: as many as requests that the bench has in flight. More would wait in the client. */
const maxConnections = 1_024

/**
 * 24 as shipped, for any machine, and 10 in Restate's own benchmark. Each commits for itself, so on few cores fewer of them take less time
 * for an increment: on two cores one did best.
 */
const partitions = Math.min(24, Math.max(1, Math.floor(availableParallelism() / 2)))

/** What is used of the package `undici`. */
interface Undici {
  readonly Pool: new (origin: string, options: { readonly connections: number }) => Pool
}

interface Pool {
  request(options: { readonly method: 'POST'; readonly path: string }): Promise<{
    readonly statusCode: number
    readonly body: { text(): Promise<string> }
  }>
  close(): Promise<void>
}

interface Ports {
  readonly admin: number
  readonly ingress: number
}

export const startRestate: StartPeer = async (folder, teardown, troubles) => {
  await installPackages()
  const platform = `${process.platform}-${process.arch}`
  const serverPackage = `@restatedev/restate-server-${platform}`
  const serverBinary = fileOf(serverPackage, 'bin/restate-server')
  if (!existsSync(serverBinary)) throw new PeerAbsent(`there is no package of restate-server for ${platform}`)
  const runtime = await findRuntime(platform)
  const own = new Teardown()
  const close = async () => {
    if (!(await own.run())) throw new Error('Restate did not end well')
  }
  teardown.add(close)
  const servicePort = await startService(runtime.binary, own, troubles)
  const ports = await startServer(serverBinary, folder, own, troubles)
  await register(ports.admin, servicePort)
  const { Pool } = await importPackage<Undici>('undici')
  const pool = new Pool(`http://127.0.0.1:${ports.ingress}`, { connections: maxConnections })
  own.add(() => pool.close())
  const versions = await Promise.all([serverPackage, '@restatedev/restate-sdk', 'undici'].map(versionOf))
  return {
    name: 'restate',
    version: `restate-server ${versions[0]}, restate-sdk ${versions[1]} on Node.js ${runtime.version}, undici ${versions[2]}`,
    async increment(key) {
      const { statusCode, body } = await pool.request({ method: 'POST', path: `/counter/${key}/increment` })
      const text = await body.text()
      if (statusCode !== 200) throw new Error(`Restate answered with ${statusCode}: ${text}`)
      return Number(text)
    },
    close,
  }
}

/** The Node.js that the service runs on: that of the packages, or this one if it is new enough to run TypeScript too. */
async function findRuntime(platform: string): Promise<{ readonly binary: string; readonly version: string }> {
  const binary = fileOf(`node-${platform}`, 'bin/node')
  if (existsSync(binary)) return { binary, version: await versionOf(`node-${platform}`) }
  const { node } = process.versions
  if (Number.parseInt(node) >= 24) return { binary: process.execPath, version: node }
  throw new PeerAbsent(
    `its service needs Node.js 24: this is ${node}, and there is no package of another for ${platform}`,
  )
}

async function startService(node: string, teardown: Teardown, troubles: string[]): Promise<number> {
  const service = fork(join(peersFolder, 'restate-service.ts'), {
    cwd: peersFolder,
    // As shipped it logs two lines for each invocation.
    env: { ...process.env, NODE_ENV: 'production', RESTATE_LOGGING: 'ERROR' },
    execPath: node,
    // It says that running TypeScript is new to it.
    execArgv: ['--disable-warning=ExperimentalWarning'],
    detached: true,
  })
  const child = new Child<ServiceMessage>(service, 'the service of Restate', troubles)
  teardown.add(() => child.end('disconnect'))
  return (await child.message('ready')).port
}

async function startServer(binary: string, folder: string, teardown: Teardown, troubles: string[]): Promise<Ports> {
  const args = [
    '--config-file',
    join(peersFolder, 'restate.toml'),
    '--base-dir',
    folder,
    '--node-name',
    'bench',
    '--no-logo',
  ]
  const server = spawn(binary, args, {
    cwd: folder,
    env: { ...process.env, RESTATE_DEFAULT_NUM_PARTITIONS: String(partitions) },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  const child = new Child(server, 'restate-server', troubles)
  teardown.add(() => child.end('SIGTERM'))
  const ready = new Promise<Ports>((resolve) => {
    const found = new Map<string, number>()
    createInterface({ input: server.stdout }).on('line', (line) => {
      const { level, span } = JSON.parse(line) as LogLine
      if (level === 'ERROR') console.error(line)
      if (span?.server_name !== undefined && span['server.port'] !== undefined) {
        found.set(span.server_name, span['server.port'])
      }
      const [admin, ingress] = ['admin-api-server', 'http-ingress-server'].map((name) => found.get(name))
      if (admin !== undefined && ingress !== undefined) resolve({ admin, ingress })
    })
  })
  return child.before(ready)
}

interface LogLine {
  readonly level: string
  readonly span?: { readonly server_name?: string; readonly 'server.port'?: number }
}

/** Tells Restate where the service is. */
async function register(adminPort: number, servicePort: number): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/deployments`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ uri: `http://127.0.0.1:${servicePort}` }),
  })
  if (!answer.ok) throw new Error(`Restate did not take the service: ${answer.status}: ${await answer.text()}`)
}
