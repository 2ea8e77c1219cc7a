/**
 * No secret comes out again: not in an error, its causes or its stack, not in an event, and not in anything that a program holds and
 * might print. What comes out is gathered as the largest printers show it, and searched for each secret.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { fmtCreds } from '@nats-io/jwt'
import { createUser } from '@nats-io/nkeys'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  actor,
  connect,
  createNode,
  provision,
  type ConnectOptions,
  type CreateNodeOptions,
  type HoldfastEvent,
  type ProvisionOptions,
} from '../../src/index.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { Certificates } from './certificates.ts'

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const user = createUser()
const seed = text(user.getSeed())
const jwt = 'eyJ0eXAiOiJKV1QifQ.c2VjcmV0Y2xhaW1z.c2VjcmV0c2ln'
const creds = text(fmtCreds(jwt, user))
const password = 'pa55-0f-the-us3r'
const token = 't0ken-0f-n0b0dy'
const secrets = [seed, seed.slice(0, 20), jwt, 'c2VjcmV0', password, token, encodeURIComponent(password)]

const Thing = actor('thing', {
  version: 1,
  state: () => 0,
  commands: { set: (ctx, to: number) => (ctx.state = to) },
  queries: {},
})

let home: string
let server: TestServer
let tlsServer: TestServer
let strangeKey: string
let output: string[] = []
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-secrets-'))
  server = await startNatsServer({ config: `authorization { user: right, password: "${password}" }` })
  const made = new Certificates(home)
  const ca = made.authority('ca')
  const pair = made.signed('server', ca, 'IP:127.0.0.1')
  strangeKey = made.signed('strange', made.authority('other'), 'DNS:x').key
  const tls = `tls { cert_file: "${pair.cert}", key_file: "${pair.key}" }`
  tlsServer = await startNatsServer({ config: `${tls}\nallow_non_tls: true` })
})
afterAll(async () => {
  await server?.stop()
  await tlsServer?.stop()
  await rm(home, { recursive: true, force: true })
})
afterEach(() => {
  output = []
})

function gather(value: unknown): void {
  output.push(inspect(value, { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null }))
  if (value instanceof Error) output.push(String(value), value.stack ?? '', String(value.cause))
  else output.push(inspect(value, { depth: Infinity, getters: true }), JSON.stringify(value))
}

const observer = { emit: (event: HoldfastEvent) => gather(event) }

function expectNoSecret(): void {
  const all = output.join('\n')
  expect(all).not.toBe('')
  for (const secret of secrets) expect(all).not.toContain(secret)
}

describe('nothing that comes out holds a secret', () => {
  it.each<[string, () => ConnectOptions]>([
    ['a wrong password', () => ({ servers: server.url, user: 'wrong', password })],
    ['a wrong password in the address', () => ({ servers: `nats://wrong:${password}@127.0.0.1:${server.port}` })],
    ['a wrong token', () => ({ servers: server.url, token })],
    ['a wrong nkey', () => ({ servers: server.url, nkey: seed })],
    ['wrong creds', () => ({ servers: server.url, creds })],
    ['a broken nkey', () => ({ servers: server.url, nkey: `${seed}x` })],
    ['broken creds', () => ({ servers: server.url, creds: creds.replaceAll('-----', '') })],
    ['creds for an nkey', () => ({ servers: server.url, nkey: creds })],
    ['two ways', () => ({ servers: server.url, creds, token })],
    ['an address that is none', () => ({ servers: `nats://u:${password}/x@host` })],
    ['an address with a broken escape', () => ({ servers: `nats://u:%E0%A4%A${password}@host` })],
    ['a text where a file is expected', () => ({ servers: server.url, credsFile: join(home, 'absent') })],
    ['no server', () => ({ servers: '127.0.0.1:1', user: 'u', password })],
    ['an untrusted certificate', () => ({ servers: tlsServer.url, tls: {}, user: 'u', password })],
    ['a key without its certificate', () => ({ servers: tlsServer.url, tls: { key: strangeKey }, token })],
  ])('where connecting fails by %s', async (_, options) => {
    await connect({ ...options(), observer, connectTimeout: 500 }).then(
      () => expect.unreachable('it connects'),
      (error: unknown) => {
        expect(error).toMatchObject({ name: 'HoldfastError' })
        gather(error)
      },
    )
    const node = { dataDir: join(home, 'none'), actors: [Thing] }
    await createNode({ ...options(), ...node, observer } as CreateNodeOptions).catch(gather)
    await provision({ ...options(), observer } as ProvisionOptions).catch(gather)
    expectNoSecret()
  })

  it('where it succeeds: in clients, nodes and what they say', { timeout: 60_000 }, async () => {
    const login = { servers: server.url, user: 'right', password, observer }
    const node = await createNode({ ...login, dataDir: join(home, 'n'), actors: [Thing], partitions: 1 })
    const client = await connect(login)
    const thing = client.actor(Thing, 'k')
    await thing.set(1)
    gather(client)
    gather(thing)
    gather(node)
    gather(node.status())
    await server.restart()
    await thing.set(2)
    await client.close()
    await node.close()
    gather(client)
    gather(node)
    expectNoSecret()
  })

  it('where variables are wrong', async () => {
    const variables = {
      HOLDFAST_PASWORD: password,
      HOLDFAST_TOKEN: token,
      HOLDFAST_SERVERS: `u:${password}@127.0.0.1:1`,
    }
    Object.assign(process.env, variables)
    try {
      await connect({ observer }).catch(gather)
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name]
    }
    expectNoSecret()
    expect(output.join()).toContain('HOLDFAST_PASWORD')
  })
})
