/**
 * Every way to log in to a real server, by text, by file and by variable; and what is said where it cannot be (W1–W3 of login.ts).
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeAccount, encodeOperator, encodeUser, fmtCreds } from '@nats-io/jwt'
import { createAccount, createOperator, createUser } from '@nats-io/nkeys'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openNatsTransport } from '../../src/adapters/nats/open.ts'
import type { NatsSettings } from '../../src/adapters/nats/settings.ts'
import { withEnvironment } from '../../src/node/environment.ts'
import { messageOf } from '../../src/protocol/errors.ts'
import { becomes, makeParts, quick } from '../adapters/nats-world.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-login-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

async function file(name: string, content: string): Promise<string> {
  const path = join(home, name)
  await writeFile(path, content)
  return path
}

const failure = async (settings: NatsSettings): Promise<unknown> =>
  openNatsTransport({ ...quick, ...settings }, makeParts()).then(
    async (transport) => {
      await transport.close()
      return 'connected'
    },
    (error: unknown) => error,
  )

describe('credentials', () => {
  let server: TestServer
  let creds: string
  let stranger: string
  beforeAll(async () => {
    const operator = createOperator()
    const [account, system, other] = [createAccount(), createAccount(), createAccount()]
    const jwtOf = (key: typeof account) =>
      encodeAccount('A', key, { limits: { subs: -1, data: -1, payload: -1, conn: -1 } }, { signer: operator })
    const user = createUser()
    creds = text(fmtCreds(await encodeUser('U', user, account), user))
    stranger = text(fmtCreds(await encodeUser('U', user, other), user))
    server = await startNatsServer({
      config: [
        `operator: ${await encodeOperator('O', operator)}`,
        `system_account: ${system.getPublicKey()}`,
        'resolver: MEMORY',
        `resolver_preload: {`,
        `  ${account.getPublicKey()}: ${await jwtOf(account)}`,
        `  ${system.getPublicKey()}: ${await jwtOf(system)}`,
        '}',
      ].join('\n'),
    })
  })
  afterAll(() => server?.stop())

  it('are taken as a text or from a file, also with line ends of Windows', async () => {
    const { url: servers } = server
    expect(await failure({ servers, creds })).toBe('connected')
    expect(await failure({ servers, credsFile: await file('user.creds', creds) })).toBe('connected')
    const windows = creds.replaceAll('\n', '\r\n')
    expect(await failure({ servers, credsFile: await file('windows.creds', windows) })).toBe('connected')
  })

  it('are taken from variables', async () => {
    const { observer } = makeParts()
    for (const variable of [{ HOLDFAST_CREDS: creds }, { HOLDFAST_CREDS_FILE: await file('user.creds', creds) }]) {
      const settings = withEnvironment({}, { HOLDFAST_SERVERS: server.url, ...variable }, observer)
      expect(await failure({ servers: '', ...settings })).toBe('connected')
    }
  })

  it('of another account are refused', async () => {
    const error = await failure({ servers: server.url, creds: stranger })
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(messageOf(error)).toContain('refuses the credentials')
  })
})

describe('the seed of an nkey', () => {
  const [first, second] = [createUser(), createUser()]
  const accepting = (user: typeof first) => `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`

  it('is read again from its file at each login, and the old one is tried where the file is unusable (W3)', async () => {
    const server = await startNatsServer({ config: accepting(first) })
    const nkeyFile = await file('user.nk', `${text(first.getSeed())}\n`)
    const transport = await openNatsTransport({ servers: server.url, nkeyFile, ...quick }, makeParts())
    await writeFile(nkeyFile, 'half of a')
    await server.restart()
    await becomes(transport, 'connected')
    await transport.flush()
    await server.kill()
    await becomes(transport, 'disconnected')
    await writeFile(nkeyFile, text(second.getSeed()))
    const other = await startNatsServer({ port: server.port, config: accepting(second) })
    await becomes(transport, 'connected')
    await transport.flush()
    expect(transport.connected).toBe(true)
    await transport.close()
    await other.stop()
    await server.stop()
  })
})

describe('a login that can never work', () => {
  const seed = text(createUser().getSeed())

  it.each<[string, Partial<NatsSettings>, string]>([
    ['two ways', { nkey: seed, creds: 'x' }, '(`nkey` and `creds`)'],
    ['text and file', { nkey: seed, nkeyFile: 'x' }, '(`nkey` and `nkeyFile`)'],
    ['a token beside a user in the address', { servers: 'u:p@x', token: 't' }, '(`user` and `token`)'],
    ['a password alone', { password: 'p' }, '`password` without a `user`'],
    ['an empty token', { token: '' }, '`token` is empty'],
    ['creds that are none', { creds: 'nothing' }, '`creds` cannot be used'],
  ])('is INVALID before anything is connected: %s', async (_, settings, named) => {
    const error = await failure({ servers: '127.0.0.1:1', ...settings })
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(messageOf(error)).toContain(named)
  })

  it('names the file, and says nothing of what is in it (W2)', async () => {
    const secret = 'SUsecretsecretsecret'
    await mkdir(join(home, 'folder'))
    const files = {
      [await file('none.nk', secret)]: 'should hold the seed of a user',
      [join(home, 'absent.nk')]: 'is not there',
      [join(home, 'folder')]: 'is not a file',
      [await file('large.nk', secret.repeat(60_000))]: 'has more than',
    }
    for (const setting of ['nkeyFile', 'credsFile'] as const) {
      for (const [path, sentence] of Object.entries(files)) {
        const error = await failure({ servers: '127.0.0.1:1', [setting]: path })
        expect(error).toMatchObject({ code: 'INVALID' })
        expect((error as Error).cause).toBeUndefined()
        const message = messageOf(error)
        expect(message).toContain(path)
        expect(message).toContain(`\`${setting}\``)
        if (setting === 'nkeyFile') expect(message).toContain(sentence)
        expect(message).not.toContain('secretsecret')
      }
    }
  })
})
