/**
 * A permission that nodes need is missing when their server is back, and is given back a little later: they go on, and nobody has to start
 * them again.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connect, createNode, provision, type HoldfastEvent, type HoldfastNode } from '../../src/index.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { accountsOf, Counter, loginOf, type Role } from './roles.ts'

const cluster = 'shop'
const partitions = 4
const timeout = 60_000

let home: string
let server: TestServer
const nodes: HoldfastNode[] = []
const events: HoldfastEvent[] = []
let heard = () => {}
const observer = {
  emit(event: HoldfastEvent) {
    events.push(event)
    heard()
  },
}
const as = (role: Role) => loginOf(server, cluster, role)
const until = async (done: () => boolean) => {
  while (!done()) await new Promise<void>((resolve) => (heard = resolve))
}

/** Read when the server starts. */
async function writeConfig(edit = (accounts: string) => accounts): Promise<string> {
  const configFile = join(home, 'server.conf')
  const shipped = await readFile(new URL('../../deploy/nats/server.conf', import.meta.url), 'utf8')
  await writeFile(configFile, [shipped, edit(await accountsOf(cluster))].join('\n'))
  return configFile
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-denied-'))
  server = await startNatsServer({ configFile: await writeConfig() })
  await provision({ ...as('provisioner'), partitions })
  for (const id of ['a', 'b']) {
    const node = { nodeId: id, dataDir: join(home, id), host: id, actors: [Counter], observer }
    nodes.push(await createNode({ ...as('node'), ...node }))
  }
}, timeout)
afterAll(async () => {
  for (const node of nodes) await node.close()
  await server?.stop()
  await rm(home, { recursive: true, force: true })
}, timeout)

it(
  'stops no partition for a permission that was missing for a while, and says which one it was',
  { timeout },
  async () => {
    const client = await connect({ ...as('client'), timeout })
    const keys = Array.from({ length: 16 }, (_, i) => `k${i}`)
    const add = () => Promise.all(keys.map((key) => client.actor(Counter, key).add(1)))
    expect(await add()).toEqual(keys.map(() => 1))
    await until(() => events.filter(({ type }) => type === 'partition.standing-by').length >= partitions)

    await writeConfig((accounts) => accounts.replace('"$JS.API.STREAM.INFO.*", ', ''))
    await server.restart()
    const denied = () =>
      new Set(events.flatMap((event) => (event.type === 'transport.error' ? [event.denied?.subject] : [])))
    const questions = Array.from({ length: partitions }, (_, p) => `$JS.API.STREAM.INFO.${cluster}_P${p}`)
    await until(() => questions.every((question) => denied().has(question)))

    await writeConfig()
    await server.restart()
    expect(await add()).toEqual(keys.map(() => 2))
    await until(() =>
      nodes.every((node) => node.status().partitions.every(({ role }) => role === 'owner' || role === 'standby')),
    )
    expect(events.filter(({ type }) => type === 'partition.stopped')).toEqual([])
    await client.close()
  },
)
