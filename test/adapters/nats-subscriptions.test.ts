import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it, onTestFinished } from 'vitest'
import { VirtualClock } from '../../src/adapters/memory/virtual-clock.ts'
import { Link } from '../../src/adapters/nats/link.ts'
import { openNatsTransport } from '../../src/adapters/nats/open.ts'
import { Requests } from '../../src/adapters/nats/requests.ts'
import { bytes, text } from '../conformance/bytes.ts'
import { Collector } from '../conformance/transport.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { becomes, makeParts, quick } from './nats-world.ts'

const askAgainMs = 5_000

/** Speaks as much of the protocol as is needed here: it takes subscriptions, or refuses them, and answers each question with "yes". */
class Refusing {
  /** How often a subscription to what it refuses now was asked for. */
  refusals = 0
  #refused: RegExp | undefined
  readonly #sockets = new Set<Socket>()
  readonly #subjects = new Map<string, string>()

  static async start(refused: RegExp): Promise<Refusing & { readonly url: string }> {
    const refusing = new Refusing(refused)
    const server = createServer((socket) => refusing.#greet(socket)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    return Object.assign(refusing, { url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}` })
  }

  private constructor(refused: RegExp) {
    this.#refused = refused
  }

  allow(): void {
    this.#refused = undefined
  }

  /** As a server does that was given other permissions. */
  end(refused: RegExp): void {
    this.#refused = refused
    for (const [sid, subject] of this.#subjects) {
      if (!refused.test(subject)) continue
      this.#subjects.delete(sid)
      this.#say(`-ERR 'Permissions Violation for Subscription to "${subject}" (sid "${sid}")'`)
    }
  }

  deliver(subject: string, data: string): void {
    for (const [sid, to] of this.#subjects) {
      if (to === subject || (to.endsWith('*') && subject.startsWith(to.slice(0, -1))))
        this.#say(`MSG ${subject} ${sid} ${data.length}\r\n${data}`)
    }
  }

  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #greet(socket: Socket): void {
    this.#sockets.add(socket)
    this.#subjects.clear()
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    const info = { server_id: 'x', version: '2.12.0', proto: 1, headers: true, max_payload: 1_048_576 }
    this.#say(`INFO ${JSON.stringify(info)}`)
    createInterface({ input: socket }).on('line', (line) => this.#hear(line.split(' ')))
  }

  #hear([verb, ...words]: string[]): void {
    if (verb === 'PING') this.#say('PONG')
    else if (verb === 'UNSUB') this.#subjects.delete(words[0]!)
    else if (verb === 'PUB' && words.length === 3) this.deliver(words[1]!, 'yes')
    else if (verb === 'SUB') {
      const [subject, sid] = [words[0]!, words.at(-1)!]
      if (this.#refused?.test(subject) !== true) return void this.#subjects.set(sid, subject)
      this.refusals++
      const queue = words.length === 3 ? ` using queue "${words[1]}"` : ''
      this.#say(`-ERR 'Permissions Violation for Subscription to "${subject}"${queue}'`)
    }
  }

  #say(line: string): void {
    for (const socket of this.#sockets) socket.write(`${line}\r\n`)
  }
}

async function world(refused: RegExp) {
  const server = await Refusing.start(refused)
  const clock = new VirtualClock()
  const parts = { ...makeParts(), clock }
  const denied = () => parts.events.filter((event) => event.type === 'transport.error' && event.denied !== undefined)
  return { server, clock, parts, denied, settings: { servers: server.url, ...quick } }
}

async function openTransport(refused: RegExp) {
  const its = await world(refused)
  const transport = await openNatsTransport(its.settings, its.parts)
  onTestFinished(() => transport.close())
  /** Resolves when the server has answered what is asked again by then. */
  const later = async () => {
    await its.clock.advance(askAgainMs)
    await transport.flush()
  }
  return { ...its, transport, later }
}

describe('a subscription that the server refuses', () => {
  it.each([undefined, 'owner'])(
    'is asked for again until it is taken, and its refusal told once (K10, K11): queue %s',
    async (queue) => {
      const { server, transport, denied, later } = await openTransport(/^s\.x$/)
      const collector = new Collector()
      transport.subscribe('s.x', collector.handler, queue === undefined ? {} : { queue })
      await transport.flush()
      for (let i = 0; i < 3; i++) await later()
      expect(server.refusals).toBe(4)
      expect(denied()).toMatchObject([{ denied: { operation: 'subscribe', subject: 's.x' } }])
      server.allow()
      await later()
      server.deliver('s.x', 'taken')
      await collector.count(1)
      server.end(/^s\.x$/)
      await transport.flush()
      for (let i = 0; i < 3; i++) await later()
      expect(denied()).toHaveLength(2)
      server.allow()
      await later()
      await later()
      server.deliver('s.x', 'taken again')
      await collector.count(2)
      await transport.flush()
      expect(collector.texts).toEqual(['taken', 'taken again'])
    },
  )

  it('is asked for over a new connection at once, and in force when that is told (K10)', async () => {
    const { server, transport, denied } = await openTransport(/^s\.x$/)
    const collector = new Collector()
    transport.subscribe('s.x', collector.handler)
    await transport.flush()
    server.breakAll()
    await becomes(transport, 'disconnected')
    await becomes(transport, 'connected')
    expect(server.refusals).toBe(2)
    expect(denied()).toHaveLength(1)
    server.allow()
    server.breakAll()
    await becomes(transport, 'disconnected')
    await becomes(transport, 'connected')
    server.deliver('s.x', 'taken')
    await collector.count(1)
  })

  it('is not asked for any more once it is closed', async () => {
    const { server, transport, later } = await openTransport(/^s\./)
    const [x, y] = ['s.x', 's.y'].map((subject) => transport.subscribe(subject, () => {}))
    await transport.flush()
    await later()
    expect(server.refusals).toBe(4)
    x!.close()
    await later()
    expect(server.refusals).toBe(5)
    y!.close()
    for (let i = 0; i < 3; i++) await later()
    expect(server.refusals).toBe(5)
  })

  it('is told to whoever subscribes to the same, too', async () => {
    const { transport, parts, denied } = await openTransport(/^s\.x$/)
    for (let i = 1; i <= 2; i++) {
      transport.subscribe('s.x', () => {})
      await parts.seen(() => denied().length >= i)
    }
    expect(denied()).toHaveLength(2)
  })

  it('to answers: questions are denied at once until it is taken', async () => {
    const { server, clock, parts, settings } = await world(/\.log\.\*$/)
    const link = await Link.connect(settings, parts)
    const hold = link.hold()
    onTestFinished(() => hold.close())
    const requests = new Requests(link, 'log', 60_000)
    const ask = () => requests.ask({ subject: 'q' }, bytes('?'))
    await link.flush()
    expect(await ask()).toMatchObject({ kind: 'denied', reason: expect.stringContaining('.log.*') })
    await clock.advance(askAgainMs)
    expect(await ask()).toMatchObject({ kind: 'denied' })
    server.allow()
    await clock.advance(askAgainMs)
    await link.flush()
    const answer = await ask()
    expect(answer.kind === 'answered' && text(answer.message.data)).toBe('yes')
    requests.close()
  })

  it('for as long as its permissions are wrong, which are changed while a real server runs', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-permissions-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const configFile = join(folder, 'server.conf')
    const permit = (subscribe: string) =>
      writeFile(
        configFile,
        `jetstream { store_dir: $NATS_STORE_DIR }
         authorization { users: [ { user: u, password: p, permissions: { publish: ">", subscribe: ${subscribe} } } ] }`,
      )
    await permit('">"')
    const server = await startNatsServer({ configFile })
    onTestFinished(() => server.stop())
    const clock = new VirtualClock()
    const parts = makeParts()
    const settings = { servers: server.url, user: 'u', password: 'p', ...quick }
    const transport = await openNatsTransport(settings, { ...parts, clock })
    onTestFinished(() => transport.close())
    const collectors = [new Collector(), new Collector()]
    transport.subscribe('shop.p.3', collectors[0]!.handler, { queue: 'owner' })
    transport.subscribe('shop.p.4', collectors[1]!.handler)
    await transport.flush()

    await permit('{ allow: ">", deny: "shop.p.>" }')
    process.kill(server.pid, 'SIGHUP')
    for (const subject of ['shop.p.3', 'shop.p.4'])
      await parts.seen((event) => event.type === 'transport.error' && event.denied?.subject === subject)
    await permit('">"')
    process.kill(server.pid, 'SIGHUP')
    // The server does not say when it has read its configuration.
    while (collectors.some(({ messages }) => messages.length === 0)) {
      await clock.advance(askAgainMs)
      for (const subject of ['shop.p.3', 'shop.p.4']) transport.publish(subject, bytes('x'))
      await transport.flush()
    }
    expect(parts.events.filter((event) => event.type === 'transport.error')).toHaveLength(2)
  })
})
