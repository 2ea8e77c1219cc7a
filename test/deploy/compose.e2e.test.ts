/**
 * deploy/compose.yaml without containers: its servers, its provision and its nodes as processes, with its commands, its environment and its
 * files. Names and ports of the containers' network give way to loopback; that is all.
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../../examples/support/free-port.ts'
import { builtIndex, jsonOf, run, start, stopAll, type Started } from '../cli/program.ts'
import { build } from '../support/build.ts'
import { root } from '../docs/markdown.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { answersProbes } from './said.ts'
import { composeFile, natsServices, nodeServices, type Service } from './compose-file.ts'

const timeout = 300_000
const { services } = composeFile()

let folder: string
const servers = new Map<string, TestServer>()
const nodes = new Map<string, Started>()

/** Addresses of the containers' network, as they are on loopback. */
const onLoopback = (text: string) =>
  text.replaceAll(/nats:\/\/(nats-\d):4222/g, (_, name: string) => servers.get(name)!.url)

/** Of the probes of each node, which the image sets to 9464. */
const probePorts = new Map<string, number>()

const envOf = ({ environment }: Service, name: string) => ({
  ...Object.fromEntries(Object.entries(environment).map(([variable, value]) => [variable, onLoopback(value)])),
  HOLDFAST_DATA_DIR: join(folder, name),
})

/** The command of a node, with the folder that is mounted by default. */
const wordsOf = ({ command }: Service) =>
  command.map((word) => (word === '/app/actors' ? join(folder, 'compose/actors') : word))

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-compose-'))
  for (const part of ['compose', 'nats']) await cp(join(root, 'deploy', part), join(folder, part), { recursive: true })
  // The package, found as in the image.
  const at = join(folder, 'node_modules', 'holdfast')
  await mkdir(at, { recursive: true })
  await writeFile(join(at, 'package.json'), '{ "name": "holdfast", "type": "module", "exports": "./index.js" }')
  await writeFile(join(at, 'index.js'), `export * from ${JSON.stringify(builtIndex)}\n`)
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')

  const routes = await Promise.all(natsServices.map(freePort))
  const monitors = await Promise.all(natsServices.map(freePort))
  const conf = await readFile(join(folder, 'compose/nats.conf'), 'utf8')
  await Promise.all(
    natsServices.map(async (name, i) => {
      const [, file = ''] = /^\/etc\/holdfast\/(.*)$/.exec(services[name]!.command.at(-1)!) ?? []
      expect(services[name]!.command).toEqual(['-c', '/etc/holdfast/compose/nats.conf'])
      const own = join(folder, file.replace('.conf', `-${name}.conf`))
      const substituted = conf
        .replace('listen: 0.0.0.0:6222', `listen: "127.0.0.1:${routes[i]}"`)
        .replace('host: 0.0.0.0', 'host: 127.0.0.1')
        .replace('127.0.0.1:8222', `127.0.0.1:${monitors[i]}`)
        .replaceAll(/nats-(\d):6222/g, (_, n: string) => `127.0.0.1:${routes[Number(n) - 1]}`)
      await writeFile(own, substituted)
      const { NATS_NAME = '' } = services[name]!.environment
      servers.set(name, await startNatsServer({ configFile: own, env: { NATS_NAME } }))
      const { healthcheck } = services[name]!
      await healthy(healthcheck!.test!.at(-1)!.replace('8222', String(monitors[i])))
    }),
  )
}, timeout)

afterAll(async () => {
  await stopAll()
  await Promise.all([...servers.values()].map((server) => server.stop()))
  await rm(folder, { recursive: true, force: true })
}, timeout)

/** What the health check of a server asks; it is asked until it is well, as by compose. */
async function healthy(url: string): Promise<void> {
  for (;;) {
    const { ok } = await fetch(url)
    if (ok) return
  }
}

const ask = (...words: string[]) => run([...words, '--timeout', '30s'], { env: envOf(services['node-1']!, 'client') })

describe('deploy/compose.yaml, as processes', () => {
  it('comes up, keeps three copies of each log, and serves clients through any server', { timeout }, async () => {
    const { command, environment } = services['provision']!
    const env = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, onLoopback(value)]))
    const set_up = await run([...command, '--json'], { env })
    expect(jsonOf(set_up)).toEqual({ cluster: 'holdfast', partitions: 16, created: 18 })

    for (const name of nodeServices) {
      probePorts.set(name, await freePort())
      const env = { ...envOf(services[name]!, name), HOLDFAST_HTTP: `127.0.0.1:${probePorts.get(name)}` }
      nodes.set(name, start(wordsOf(services[name]!), { cwd: folder, env }))
    }
    await Promise.all([...nodes].map(([name, node]) => node.printed(new RegExp(`^node ${name} .* hosts counter$`))))
    expect(jsonOf(await ask('call', 'counter', 'c1', 'add', '5', '--json'))).toBe(5)
    for (const server of servers.values()) {
      const answer = await run(['query', 'counter', 'c1', 'value', '--json', '--servers', server.url])
      expect(jsonOf(answer)).toBe(5)
    }
    const { stdout } = await run(['doctor'], { env: envOf(services['node-1']!, 'client') })
    expect(stdout).toMatch(/^ok +replicas +each stream has 3 copies/m)
    const { members } = jsonOf(await ask('status', '--json')) as { members: { id: string; host: string }[] }
    expect(members.map(({ id, host }) => ({ id, host }))).toEqual(nodeServices.map((id) => ({ id, host: id })))
  })

  it.runIf(answersProbes)('answers the probes that deploy/ asks', { timeout }, async () => {
    for (const [name, port] of probePorts) {
      for (const path of ['healthz', 'readyz', 'metrics']) {
        // A node is ready once all that it is named for is served.
        const status = async () => (await fetch(`http://127.0.0.1:${port}/${path}`)).status
        await expect.poll(status, { timeout: 60_000, message: `${path} of ${name}` }).toBe(200)
      }
    }
  })

  it('outlives the loss of a server and of a node', { timeout }, async () => {
    await servers.get('nats-1')!.kill()
    nodes.get('node-1')!.kill('SIGKILL')
    await nodes.get('node-1')!.ended
    expect(jsonOf(await ask('call', 'counter', 'c1', 'add', '2', '--json'))).toBe(7)
  })

  it('ends in order with SIGTERM', { timeout }, async () => {
    for (const name of ['node-2', 'node-3']) {
      nodes.get(name)!.kill('SIGTERM')
      expect(await nodes.get(name)!.ended, name).toBe(0)
    }
  })
})
