/** TLS to a real server, with certificates made here: what is needed for it, and one sentence for each thing that is wrong (X1, X2). */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNatsTransport } from '../../src/adapters/nats/open.ts'
import type { NatsSettings, TlsSettings } from '../../src/adapters/nats/settings.ts'
import { withEnvironment } from '../../src/node/environment.ts'
import { messageOf } from '../../src/protocol/errors.ts'
import { becomes, makeParts, quick } from '../adapters/nats-world.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { Certificates, type Pair } from './certificates.ts'

let home: string
let ca: Pair
let otherCa: Pair
let serverPair: Pair
let elsewhere: Pair
let client: Pair
let strange: Pair
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-tls-'))
  const made = new Certificates(home)
  ca = made.authority('ca')
  otherCa = made.authority('other-ca')
  serverPair = made.signed('server', ca, 'IP:127.0.0.1')
  elsewhere = made.signed('elsewhere', ca, 'DNS:nats.example')
  client = made.signed('client', ca, 'DNS:client')
  strange = made.signed('strange', otherCa, 'DNS:strange')
})
afterAll(() => rm(home, { recursive: true, force: true }))

const tlsBlock = ({ cert, key }: Pair, more = '') => `tls { cert_file: "${cert}", key_file: "${key}" ${more} }`

const failure = async (settings: NatsSettings): Promise<unknown> =>
  openNatsTransport({ ...quick, ...settings }, makeParts()).then(
    async (transport) => {
      await transport.flush()
      await transport.close()
      return 'connected'
    },
    (error: unknown) => error,
  )

async function expectInvalid(settings: NatsSettings, ...sentences: readonly string[]): Promise<void> {
  const error = await failure(settings)
  expect(error).toMatchObject({ code: 'INVALID' })
  for (const sentence of sentences) expect(messageOf(error)).toContain(sentence)
}

// The test server speaks in the clear when it is looked for, and so needs a port of its own; TLS is for whoever asks.
const serving = (pair: Pair, more = '') => startNatsServer({ config: `${tlsBlock(pair, more)}\nallow_non_tls: true` })

describe('a server with a certificate', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await serving(serverPair)
  })
  afterAll(() => server?.stop())

  it('is reached with the certificate of its authority, as a file or a text', async () => {
    const { url: servers } = server
    expect(await failure({ servers, tls: { ca: ca.cert } })).toBe('connected')
    expect(await failure({ servers, tls: { ca: await readFile(ca.cert, 'utf8') } })).toBe('connected')
    const both = (await readFile(otherCa.cert, 'utf8')) + (await readFile(ca.cert, 'utf8'))
    expect(await failure({ servers, tls: { ca: both } })).toBe('connected')
    const bundle = join(home, 'bundle.pem')
    await writeFile(bundle, both)
    const { observer } = makeParts()
    const settings = withEnvironment({}, { HOLDFAST_SERVERS: servers, HOLDFAST_TLS_CA: bundle }, observer)
    expect(await failure({ servers, ...settings })).toBe('connected')
  })

  it('is not believed without it, or with another', async () => {
    const where = `no TLS with the NATS server at 127.0.0.1:${server.port}`
    for (const tls of [{}, { ca: otherCa.cert }]) {
      await expectInvalid({ servers: server.url, tls }, where, 'not signed by anybody trusted here', '`tls.ca`')
    }
    await expectInvalid({ servers: `tls://127.0.0.1:${server.port}` }, where, '`tls.ca`')
  })

  it('is reached again after its certificate and authority were replaced (X2)', async () => {
    const trusted = join(home, 'trusted.pem')
    await writeFile(trusted, await readFile(ca.cert))
    const own = await serving(serverPair)
    const transport = await openNatsTransport({ servers: own.url, tls: { ca: trusted }, ...quick }, makeParts())
    await own.kill()
    await becomes(transport, 'disconnected')
    const renewed = new Certificates(home).signed('renewed', otherCa, 'IP:127.0.0.1')
    await writeFile(trusted, await readFile(otherCa.cert))
    const next = await startNatsServer({ port: own.port, config: `${tlsBlock(renewed)}\nallow_non_tls: true` })
    await becomes(transport, 'connected')
    await transport.flush()
    expect(transport.connected).toBe(true)
    await transport.close()
    await next.stop()
    await own.stop()
  })
})

it('a certificate for another name is refused', async () => {
  const server = await serving(elsewhere)
  await expectInvalid({ servers: server.url, tls: { ca: ca.cert } }, 'its certificate is for another name')
  await server.stop()
})

it('a server without TLS is refused where TLS is asked for', async () => {
  const server = await startNatsServer()
  await expectInvalid({ servers: server.url, tls: {} }, 'it offers none')
  await server.stop()
})

describe('a server that asks for a certificate', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await serving(serverPair, `, ca_file: "${ca.cert}", verify: true`)
  })
  afterAll(() => server?.stop())

  it('takes one that its authority signed', async () => {
    const tls = { ca: ca.cert, cert: client.cert, key: client.key }
    expect(await failure({ servers: server.url, tls })).toBe('connected')
    const texts = { ca: ca.cert, cert: await readFile(client.cert, 'utf8'), key: await readFile(client.key, 'utf8') }
    expect(await failure({ servers: server.url, tls: texts })).toBe('connected')
  })

  it('takes none and no other', async () => {
    // nats.js does not hear that it was refused, and waits to the end (K9).
    const connectTimeoutMs = 8_000
    await Promise.all(
      [{ ca: ca.cert }, { ca: ca.cert, cert: strange.cert, key: strange.key }].map((tls) =>
        expectInvalid(
          { servers: server.url, tls, connectTimeoutMs },
          'asks for a certificate that it trusts',
          '`tls.cert`',
        ),
      ),
    )
  })
})

describe('TLS that can never work', () => {
  it('is INVALID before anything is connected, and names the file, never what is in it (X1)', async () => {
    const broken = join(home, 'broken.pem')
    await writeFile(broken, '-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n')
    const cases: [TlsSettings, string][] = [
      [{ ca: join(home, 'absent.pem') }, `${join(home, 'absent.pem')}, which is not there`],
      [{ ca: broken }, `the file ${broken} of \`tls.ca\` cannot be used: it should hold a certificate`],
      [{ cert: client.cert }, '`tls.cert` and `tls.key` belong together'],
      [{ cert: client.cert, key: broken }, `the file ${broken} of \`tls.key\` cannot be used`],
      [{ cert: client.cert, key: strange.key }, 'is not the key of the certificate'],
      [{ key: 'c2VjcmV0c2VjcmV0\nc2VjcmV0c2VjcmV0', cert: client.cert }, 'no line -----BEGIN'],
      [{ caFile: ca.cert } as TlsSettings, '`tls.caFile` is not a setting: use ca'],
    ]
    for (const [tls, sentence] of cases) {
      const error = await failure({ servers: '127.0.0.1:1', tls })
      expect(error).toMatchObject({ code: 'INVALID' })
      expect((error as Error).cause).toBeUndefined()
      expect(messageOf(error)).toContain(sentence)
      expect(messageOf(error)).not.toContain('c2Vj')
    }
  })
})
