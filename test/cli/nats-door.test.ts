/** The door to an embedded cluster, met by the NATS client that users have, and by bytes that no client sends. */
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectLink } from '../../src/adapters/memory/link.ts'
import { MemoryHub } from '../../src/adapters/memory/hub.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import { openNatsDoor, type NatsDoor } from '../../src/cli/nats-door.ts'
import { silent } from '../../src/ports/observer.ts'
import type { Transport } from '../../src/ports/transport.ts'

const maxPayload = 10_000
const random = new SystemRandom()

let door: NatsDoor
let opened: Transport[]
const clients: NatsConnection[] = []
const inside = (hub: MemoryHub) =>
  hub.connect({ link: new DirectLink(new SystemClock()), name: random.id(), observer: silent })
let hub: MemoryHub

beforeEach(async () => {
  hub = new MemoryHub({ random, maxPayload })
  opened = []
  const connectInside = () => {
    const transport = inside(hub)
    opened.push(transport)
    return transport
  }
  door = await openNatsDoor(0, connectInside, () => {})
})

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  await door.close()
})

async function client(): Promise<NatsConnection> {
  const nc = await connect({ servers: `127.0.0.1:${door.port}`, reconnect: false })
  clients.push(nc)
  return nc
}

describe('a NATS client at the door', () => {
  it('is answered from inside, with headers both ways', async () => {
    inside(hub).subscribe('echo.*', ({ subject, data, reply, headers: sent }) => {
      inside(hub).publish(reply!, Buffer.concat([Buffer.from(`${subject} `), data]), {
        headers: { 'Hf-Key': sent?.['Hf-Key'] ?? '', other: 'a: b' },
      })
    })
    const nc = await client()
    const given = headers()
    given.set('Hf-Key', 'k=2F')
    const reply = await nc.request('echo.x', new Uint8Array([104, 105, 0, 13, 10]), { headers: given, timeout: 10_000 })
    expect(Buffer.from(reply.data).toString('latin1')).toBe('echo.x hi\u0000\r\n')
    expect([reply.headers?.get('Hf-Key'), reply.headers?.get('other')]).toEqual(['k=2F', 'a: b'])
  })

  it('hears at once that nobody listens', async () => {
    const nc = await client()
    await expect(nc.request('nobody', '', { timeout: 10_000 })).rejects.toThrow(/no responders/)
  })

  it('shares a queue with others, and has wildcards', async () => {
    const [one, two] = [await client(), await client()]
    const got: string[] = []
    for (const [name, nc] of [
      ['one', one],
      ['two', two],
    ] as const) {
      nc.subscribe('work.>', { queue: 'q', callback: (_, { subject }) => void got.push(`${name} ${subject}`) })
    }
    const all: string[] = []
    one.subscribe('work.*.x', { callback: (_, { subject }) => void all.push(subject) })
    await Promise.all([one.flush(), two.flush()])
    for (let n = 0; n < 10; n++) two.publish(`work.${n}.x`)
    await two.flush()
    await one.flush()
    // The second round trip: what was on its way to a client has come.
    await Promise.all([one.flush(), two.flush()])
    expect(got.map((line) => line.split(' ')[1]).toSorted()).toEqual(
      Array.from({ length: 10 }, (_, n) => `work.${n}.x`),
    )
    expect(all).toHaveLength(10)
  })

  it('ends a subscription when it says so, or after a number of messages', async () => {
    const nc = await client()
    const got: string[] = []
    const two = nc.subscribe('a', { max: 2, callback: (_, m) => void got.push(`two ${m.string()}`) })
    const ended = nc.subscribe('a', { callback: (_, m) => void got.push(`ended ${m.string()}`) })
    await nc.flush()
    nc.publish('a', '1')
    await nc.flush()
    await nc.flush()
    ended.unsubscribe()
    for (const n of ['2', '3']) nc.publish('a', n)
    await nc.flush()
    await nc.flush()
    expect(got).toEqual(['two 1', 'ended 1', 'two 2'])
    expect(two.isClosed()).toBe(true)
  })

  it('takes its subscriptions along when it goes (D1)', async () => {
    const nc = await client()
    nc.subscribe('a')
    await nc.flush()
    await nc.close()
    const answered = new Promise<boolean>((resolve) => {
      const transport = inside(hub)
      transport.subscribe('reply', ({ noResponders }) => resolve(noResponders))
      const ask = () => transport.publish('a', new Uint8Array(), { reply: 'reply' })
      // Its socket closes a moment later.
      const look = () => (opened[0]!.connected ? setImmediate(look) : ask())
      look()
    })
    expect(await answered).toBe(true)
  })
})

/** What the door says to raw bytes, until it hangs up or has said enough. */
async function told(bytes: string, enough?: RegExp): Promise<string> {
  const socket: Socket = connectSocket({ host: '127.0.0.1', port: door.port })
  let text = ''
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece
    if (enough?.test(text) === true) socket.destroy()
  })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(bytes, 'latin1')
  await once(socket, 'close')
  return text
}

describe('what is not the protocol (D2, D3)', () => {
  it.each([
    ['an unknown verb', 'HELO\r\n', 'unknown protocol operation'],
    ['a line without end', 'x'.repeat(5_000), 'maximum control line exceeded'],
    ['a payload above the limit', `PUB a ${maxPayload + 1}\r\n`, 'maximum payload violation'],
    ['headers longer than the whole', 'HPUB a 20 10\r\n', 'maximum payload violation'],
    ['a number that is none', 'PUB a x\r\n', 'bad number'],
    ['a negative number', 'PUB a -1\r\n', 'bad number'],
    ['a publish without a subject', 'PUB 0\r\n', 'bad publish'],
    ['a payload longer than it was announced', 'PUB a 1\r\nxxx\r\n', 'bad payload'],
    ['headers that are none', 'HPUB a 4 4\r\nxxxx\r\n', 'bad headers'],
    ['a subject with an empty token', 'PUB a..b 0\r\n\r\n', 'subject'],
    ['a wildcard to publish to', 'PUB a.* 0\r\n\r\n', 'subject'],
    ['a subscription without a number', 'SUB a\r\n', 'bad subscription'],
    ['settings that are no JSON', 'CONNECT {\r\n', 'JSON'],
  ])('%s ends the connection with a reason', async (_, bytes, reason) => {
    const text = await told(bytes)
    expect(text).toMatch(/^INFO \{.*"version":"\d+\.\d+\.\d+".*\}\r\n-ERR '/)
    expect(text.toLowerCase()).toContain(reason.toLowerCase())
  })

  it('does no harm to others', async () => {
    const nc = await client()
    await told('HELO\r\n')
    await nc.flush()
    expect(nc.isClosed()).toBe(false)
  })

  it('takes a message that comes byte by byte', async () => {
    const got = new Promise<string>((resolve) => {
      inside(hub).subscribe('a', ({ data }) => resolve(Buffer.from(data).toString()))
    })
    const socket = connectSocket({ host: '127.0.0.1', port: door.port })
    await once(socket, 'data')
    socket.setNoDelay(true)
    for (const byte of 'CONNECT {}\r\nPUB a 2\r\nhi\r\n') {
      await new Promise<void>((resolve) => socket.write(byte, () => resolve()))
    }
    expect(await got).toBe('hi')
    socket.destroy()
  })

  it('ends a subscription by itself after the number that was asked for', async () => {
    // Clients count, too: these bytes do not.
    const text = await told(
      `SUB a 1\r\nUNSUB 1 2\r\n${'PUB a 0\r\n\r\n'.repeat(3)}PING\r\nPING\r\nSUB done 2\r\nPUB done 0\r\n\r\n`,
      /MSG done/,
    )
    expect(text.match(/MSG a 1 0\r\n/g)).toHaveLength(2)
  })

  it('says that its port is taken', async () => {
    await expect(
      openNatsDoor(
        door.port,
        () => inside(hub),
        () => {},
      ),
    ).rejects.toMatchObject({ code: 'CONFLICT' })
  })
})
