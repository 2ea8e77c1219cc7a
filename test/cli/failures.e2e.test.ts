/**
 * What a user meets when something around is wrong: one clear sentence with what to do, no stack, and the exit code of its kind. Against
 * real servers, but for the old one, which is a socket that says it is old.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Certificates } from '../security/certificates.ts'
import { natsServerBinary, startNatsServer, type TestServer } from '../support/nats-server.ts'
import { run, start, stopAll, type Said } from './program.ts'
import { runHere } from './program-only.ts'
import { build, onOrphaned } from '../support/build.ts'

const timeout = 60_000

const index = new URL('../../src/index.ts', import.meta.url).href
const nothing = `import { actor } from ${JSON.stringify(index)}
export const Nothing = actor('nothing', { version: 1, state: () => 0, commands: {} })
`

let folder: string
let server: TestServer
const servers: TestServer[] = []

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'))
  server = await startNatsServer({ syncAlways: false })
  servers.push(server)
}, timeout)

afterAll(async () => {
  await stopAll()
  await Promise.all(servers.map((each) => each.stop()))
  await rm(folder, { recursive: true, force: true })
}, timeout)

/** The sentence, after a look at all else. */
function sentenceOf({ code, stdout, stderr }: Said, expected: number): string {
  expect({ code, stdout }).toEqual({ code: expected, stdout: '' })
  const lines = stderr.trimEnd().split('\n')
  expect(lines).toHaveLength(1)
  expect(lines[0]).not.toMatch(/^\s+at |\bError:|node:internal|docs\/errors\.md/)
  return lines[0]!
}

const status = (...args: readonly string[]) => runHere(['status', ...args])

describe('a server that is not there', () => {
  it('is named, with what to do', { timeout }, async () => {
    const gone = await startNatsServer({ syncAlways: false })
    await gone.stop()
    for (const args of [['status'], ['call', 'a', 'b', 'c'], ['watch', 'a'], ['kv', 'get', 'a', 'b'], ['log', '0']]) {
      const sentence = sentenceOf(await runHere([...args, '--servers', gone.url]), 3)
      expect(sentence, args[0]).toMatch(/^no NATS server answers at 127\.0\.0\.1:\d+ \(.+\): start one, or correct/)
    }
  })

  it('does not show the password that stands in its address', { timeout }, async () => {
    const { code, stdout, stderr } = await status('--servers', 'nats://ada:5ecret@127.0.0.1:1')
    expect(code).toBe(3)
    expect(stdout + stderr).not.toContain('5ecret')
  })

  it('is waited for no longer than --timeout says, if it accepts and is silent', { timeout }, async () => {
    const silent = createServer(() => {})
    const port = await listening(silent)
    const sentence = sentenceOf(await status('--servers', `127.0.0.1:${port}`, '--timeout', '300ms'), 3)
    expect(sentence).toMatch(/^no NATS server answers/)
    silent.close()
  })

  it('is an object with --json', { timeout }, async () => {
    const outcome = await status('--servers', '127.0.0.1:1', '--json')
    expect(outcome).toMatchObject({ code: 3, stdout: '' })
    expect(JSON.parse(outcome.stderr)).toEqual({
      error: { code: 'RETRY', message: expect.stringMatching(/^no NATS server/) },
    })
  })
})

describe('a cluster of which nobody answers', () => {
  it('is named, with how to start a node', { timeout }, async () => {
    const commands = [
      ...['status', 'call a b c', 'watch a', 'kv count a', 'drain a'],
      ...['move 0 --to a', 'placement explain 0', 'rebalance'],
    ].map((line) => line.split(' '))
    await Promise.all(
      commands.map(async (args) => {
        const sentence = sentenceOf(await runHere([...args, '--cluster', 'shoop', '--servers', server.url]), 3)
        expect(sentence, args[0]).toMatch(
          /answers, but no node of the cluster "shoop" does: correct --cluster, or start a node/,
        )
      }),
    )
  })

  it('has no log either', { timeout }, async () => {
    const sentence = sentenceOf(await runHere(['log', '0', '--cluster', 'shoop', '--servers', server.url]), 5)
    expect(sentence).toMatch(/no log of partition 0 of the cluster "shoop"/)
  })

  it('cannot have a name that is none', { timeout }, async () => {
    expect(sentenceOf(await status('--cluster', 'a.b', '--servers', server.url), 2)).toMatch(/"a\.b" is not a name/)
  })
})

describe('a server that is too old', () => {
  it('is refused, with the version that is needed', { timeout }, async () => {
    const old = createServer((socket) => {
      const info = {
        server_id: 'X',
        version: '2.9.10',
        proto: 1,
        max_payload: 1_048_576,
        headers: true,
        jetstream: true,
      }
      socket.write(`INFO ${JSON.stringify(info)}\r\n`)
      socket
        .on('error', () => {})
        .on('data', (data) => {
          if (data.includes('PING')) socket.write('PONG\r\n')
        })
    })
    const port = await listening(old)
    for (const args of [['status'], ['node', '--actors', folder], ['doctor']]) {
      const outcome = await run([...args, '--servers', `127.0.0.1:${port}`], { cwd: folder })
      expect(outcome.stdout + outcome.stderr, args[0]).toMatch(
        args[0] === 'node' ? /no module/ : /is version 2\.9\.10, and Holdfast needs 2\.10\.27 or newer: upgrade it/,
      )
    }
    sentenceOf(await status('--servers', `127.0.0.1:${port}`), 2)
    old.close()
  })
})

describe('a login that is refused', () => {
  it('is said to be, without the secret', { timeout }, async () => {
    const closed = await startNatsServer({
      syncAlways: false,
      config: 'authorization { users: [ { user: ada, password: right-5ecret } ] }',
    })
    servers.push(closed)
    const wrong = { HOLDFAST_USER: 'ada', HOLDFAST_PASSWORD: 'wrong-5ecret', HOLDFAST_SERVERS: closed.url }
    const refused = await runHere(['status'], { env: wrong })
    expect(sentenceOf(refused, 2)).toMatch(/refuses the credentials/)
    expect(refused.stderr).not.toContain('5ecret')
    // An option wins over the variable, and then nobody is missing but a node.
    const right = await runHere(['status', '--password', 'right-5ecret', '--user', 'ada'], { env: wrong })
    expect(sentenceOf(right, 3)).toMatch(/no node of the cluster/)
    expect(sentenceOf(await status('--servers', closed.url), 2)).toMatch(/credentials/)
  })

  it('is not tried where its file is not there', { timeout }, async () => {
    const sentence = sentenceOf(await status('--servers', server.url, '--creds', 'nothing.creds'), 2)
    expect(sentence).toMatch(/nothing\.creds/)
    expect(sentenceOf(await status('--servers', server.url, '--nkey', 'nothing.nk'), 2)).toMatch(/nothing\.nk/)
  })

  it('is one way only', { timeout }, async () => {
    const both = await status('--servers', server.url, '--user', 'ada', '--token', 't')
    expect(sentenceOf(both, 2)).toMatch(/more than one way to log in/)
  })

  it('may do only what it is permitted', { timeout }, async () => {
    const narrow = await startNatsServer({
      syncAlways: false,
      config:
        'authorization { users: [ { user: eve, password: e, permissions: { publish: ["x"], subscribe: ["_INBOX.>"] } } ] }',
    })
    servers.push(narrow)
    const login = ['--servers', narrow.url, '--user', 'eve', '--password', 'e']
    expect(sentenceOf(await status(...login), 2)).toMatch(
      /does not let this user publish to "holdfast\.status": allow it/,
    )
    expect(sentenceOf(await runHere(['call', 'a', 'b', 'c', ...login]), 2)).toMatch(/does not let this user publish to/)
  })
})

describe('placement that nobody leads, as far as is known', () => {
  it('is said to have no leader that answers, with what may be the reason', { timeout }, async () => {
    // As with permissions that are older than the nodes.
    const narrow = await startNatsServer({
      syncAlways: false,
      config:
        'authorization { users: [ { user: eve, password: e, permissions: { subscribe: { deny: ["holdfast.placement.order"] } } } ] }',
    })
    servers.push(narrow)
    const login = ['--servers', narrow.url, '--user', 'eve', '--password', 'e']
    await mkdir(join(folder, 'actors'))
    await writeFile(join(folder, 'actors', 'nothing.ts'), nothing)
    const node = start(['node', '--actors', 'actors', '--data', 'narrow', '--node-id', 'a', '--json', ...login], {
      cwd: folder,
    })
    await node.printed(/"type":"ready"/)
    const outcomes = await Promise.all([
      runHere(['move', '0', '--to', 'a', ...login]),
      runHere(['placement', 'explain', '0', ...login]),
      runHere(['rebalance', ...login]),
    ])
    for (const outcome of outcomes) {
      expect(sentenceOf(outcome, 3)).toMatch(
        /^no node answers as the leader of placement on holdfast\.placement\.order: try again; .* permit nodes/,
      )
    }
  })
})

describe('a server without JetStream', () => {
  it('is said to have none, by what needs it', { timeout }, async () => {
    const plain = await startPlainServer()
    const url = `127.0.0.1:${plain.port}`
    const sentence = sentenceOf(await runHere(['log', '0', '--servers', url]), 2)
    expect(sentence).toMatch(/has no JetStream: start it with/)
    const doctor = await runHere(['doctor', '--servers', url])
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(/^fail {2}jetstream/m)
    await plain.stop()
  })
})

describe('TLS', () => {
  it('that does not fit is named: an unknown authority, and a server that has none', { timeout }, async () => {
    const certificates = new Certificates(folder)
    const authority = certificates.authority('authority')
    const pair = certificates.signed('server', authority, 'IP:127.0.0.1')
    const secure = await startNatsServer({
      syncAlways: false,
      config: `tls { cert_file: "${pair.cert}", key_file: "${pair.key}" }`,
    })
    servers.push(secure)
    expect(sentenceOf(await status('--servers', secure.url), 2)).toMatch(
      /no TLS with .*not signed by anybody trusted here/,
    )
    const trusted = await status('--servers', secure.url, '--tls-ca', authority.cert)
    expect(sentenceOf(trusted, 3)).toMatch(/no node of the cluster/)
    const plain = await status('--servers', server.url, '--tls-ca', authority.cert)
    expect(sentenceOf(plain, 2)).toMatch(/it offers none/)
    expect(sentenceOf(await status('--servers', secure.url, '--tls-ca', 'nothing.pem'), 2)).toMatch(/nothing\.pem/)
  })
})

describe('variables', () => {
  it('that mean nothing are told, with the nearest', { timeout }, async () => {
    const { stderr } = await runHere(['status', '--servers', '127.0.0.1:1'], { env: { HOLDFAST_CLUSTR: 'x' } })
    expect(stderr).toMatch(/^the variable HOLDFAST_CLUSTR means nothing: do you mean HOLDFAST_CLUSTER\?\n/)
  })
})

async function listening(socket: Server): Promise<number> {
  socket.listen(0, '127.0.0.1')
  await once(socket, 'listening')
  const address = socket.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** A nats-server that was started without JetStream. */
async function startPlainServer(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const plain = spawn(natsServerBinary(), ['-a', '127.0.0.1', '-p', '-1'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const dismiss = onOrphaned('kill -KILL "$1"', String(plain.pid))
  let port = 0
  for await (const line of createInterface({ input: plain.stderr })) {
    port = Number(/client connections on .*:(\d+)$/.exec(line)?.[1] ?? port)
    if (line.includes('Server is ready')) break
  }
  return {
    port,
    async stop() {
      const gone = once(plain, 'exit')
      plain.kill('SIGKILL')
      await gone
      dismiss()
    },
  }
}
