/** What is installed without RocksDB, and without what only a node's HTTP door and traces need: clients work against a node elsewhere, and a node says what it lacks. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { actor, createNode, type HoldfastNode } from '../../src/index.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { install, runIn } from './installed.ts'

const timeout = 60_000

const definition = `actor('counter', {
  version: 1,
  state: () => 0,
  commands: { add: (ctx, by) => (ctx.state += by) },
  queries: { value: (state) => state },
})`

const Counter = actor('counter', {
  version: 1,
  state: () => 0,
  commands: { add: (ctx, by: number) => (ctx.state += by) },
  queries: { value: (state) => state },
})

let folder: string
let dataDir: string
let server: TestServer
let node: HoldfastNode
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'holdfast-light-'))
  ;[folder, server] = await Promise.all([
    install((dependency) => !['@nxtedition', '@opentelemetry', 'prom-client'].includes(dependency)),
    startNatsServer({ syncAlways: false }),
  ])
  node = await createNode({ servers: server.url, dataDir, actors: [Counter], partitions: 1 })
}, timeout)
afterAll(async () => {
  await node?.close()
  await server?.stop()
  await rm(dataDir, { recursive: true, force: true })
  await rm(folder, { recursive: true, force: true })
}, timeout)

describe.each(['holdfast/client', 'holdfast'])('%s, where RocksDB is not installed', (name) => {
  const use = `
    const Counter = ${definition}
    const client = await connect()
    const counter = client.actor(Counter, process.env.KEY)
    await counter.add(2)
    console.log(await counter.add(3), await counter.value())
    await client.close()`

  it('connects by variables alone and calls', { timeout }, async () => {
    const env = { HOLDFAST_SERVERS: server.url, KEY: name }
    const said = await runIn(folder, `import { actor, connect } from '${name}'\n${use}`, 'module', env)
    expect(said).toBe('5 5')
  })

  it('can be required', { timeout }, async () => {
    const env = { HOLDFAST_SERVERS: server.url, KEY: `${name} required` }
    const program = `const { actor, connect } = require('${name}');(async () => {${use}})()`
    expect(await runIn(folder, program, 'commonjs', env)).toBe('5 5')
  })
})

it('createNode says in one sentence what is missing, and where nodes run', { timeout }, async () => {
  const program = `
    import { createNode } from 'holdfast'
    await createNode({ embedded: true, dataDir: 'data', actors: [] }).catch((error) => console.log(error.code, error.message))`
  const said = await runIn(folder, program)
  expect(said).toContain(
    `INVALID RocksDB (@nxtedition/rocksdb) is not installed; this is ${process.platform}-${process.arch}`,
  )
  expect(said).toContain('nodes run on linux-x64 with glibc 2.34 or newer and on darwin-arm64')
})
