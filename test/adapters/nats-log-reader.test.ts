/**
 * Reading by a consumer whose server does not have all of the stream yet: before 2.11 it begins behind the last message that it has, whatever it
 * was asked for (nats-server, pull request 6253). Newer ones do not; here they are asked to.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { JetStream } from '../../src/adapters/nats/jetstream.ts'
import { Link } from '../../src/adapters/nats/link.ts'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import { entryFrom, LogReader } from '../../src/adapters/nats/read.ts'
import { Requests } from '../../src/adapters/nats/requests.ts'
import { StreamReading } from '../../src/adapters/nats/stream-reading.ts'
import type { PartitionLog } from '../../src/ports/changelog.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { bytes, text } from '../conformance/bytes.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { makeParts, quick, Wire } from './nats-world.ts'

const partition = partitionId(0)
const stream = 'shop_P0'
/** More than one pull takes. */
const stored = 400

class Lagging extends JetStream {
  /** What the server of the consumers has. */
  last = 0

  override createConsumer(...[name, config]: Parameters<JetStream['createConsumer']>) {
    const from = Math.min(Number(config['opt_start_seq']), this.last + 1)
    return super.createConsumer(name, { ...config, opt_start_seq: from })
  }
}

let server: TestServer
let ports: NatsPorts
let log: PartitionLog
let link: Link
let hold: ReturnType<Link['hold']>
let requests: Requests
let jetstream: Lagging
beforeAll(async () => {
  server = await startNatsServer({ syncAlways: false })
  const settings = { servers: server.url, cluster: 'shop', ...quick }
  ports = await openNats(settings, makeParts())
  await ports.changelog.provision(partition, generation('generation123456789012'), bytes('1'))
  log = ports.changelog.log(partition)
  for (let n = 2; n <= stored; n++) await log.append(bytes(String(n)), seq(n - 1))
  link = await Link.connect(settings, makeParts())
  hold = link.hold()
  requests = new Requests(link, 'log', quick.requestTimeoutMs)
  jetstream = new Lagging(requests)
})
afterAll(async () => {
  requests.close()
  await hold.close()
  await ports.close()
  await server.stop()
})

const named = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}:${from + i}`)

async function readAll(reader: LogReader, from: number): Promise<string[]> {
  const read: string[] = []
  for await (const { seq: at, record } of reader.read(seq(from), seq(stored))) read.push(`${at}:${text(record)}`)
  return read
}

it.each([
  ['a few before what is asked for', 95],
  ['many, several pulls of them', 0],
])('a span begins where it was asked for, whatever comes before it: %s', async (_, last) => {
  jetstream.last = last
  expect(await readAll(new LogReader(link, jetstream, stream), 101)).toEqual(named(101, stored))
})

it('what is said of a pull that is over comes when the next one is under way', async () => {
  const wire = await Wire.to(server.port)
  const apart = await Link.connect({ servers: wire.url, ...quick }, makeParts())
  const held = apart.hold()
  const itsRequests = new Requests(apart, 'log', quick.requestTimeoutMs)
  // Behind the last message of a pull the server says that it is complete: here in a piece of its own.
  wire.holdFrom('NATS/1.0 409 Batch Completed')
  try {
    expect(await readAll(new LogReader(apart, new JetStream(itsRequests), stream), 2)).toEqual(named(2, stored))
    expect(wire.holds).toBeGreaterThan(0)
  } finally {
    itsRequests.close()
    await held.close()
    await wire.close()
  }
})

it('what is to come begins where it was asked for', async () => {
  jetstream.last = 150
  const reading = new StreamReading(link, jetstream, { stream, from: stored + 1, take: entryFrom })
  try {
    const next = reading.next()
    await log.append(bytes(String(stored + 1)), seq(stored))
    expect(await next).toEqual({ seq: stored + 1, record: bytes(String(stored + 1)) })
  } finally {
    reading.close()
  }
})
