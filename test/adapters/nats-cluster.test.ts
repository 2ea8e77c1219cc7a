/** Three servers, three replicas: what only a NATS cluster can show. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../../examples/support/free-port.ts'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { BrokenLog } from '../../src/core/log.ts'
import { claim, openReplica } from '../../src/partition/takeover.ts'
import { HoldfastError, isHoldfastError, type ErrorCode } from '../../src/protocol/errors.ts'
import { epoch, generation, partitionId, seq, type Seq } from '../../src/protocol/ids.ts'
import { bytes, pattern, same, text } from '../conformance/bytes.ts'
import { entriesOf } from '../conformance/changelog.ts'
import { PartitionWorld } from '../partition/world.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { makeParts, quick } from './nats-world.ts'

const names = ['n1', 'n2', 'n3']
const servers: TestServer[] = []

beforeAll(async () => {
  const ports = await Promise.all(names.map(freePort))
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ')
  servers.push(
    ...(await Promise.all(
      names.map((name, i) =>
        startNatsServer({
          syncAlways: false,
          config: `server_name: ${name}\ncluster { name: trio, listen: "127.0.0.1:${ports[i]}", routes: [ ${routes} ] }`,
        }),
      ),
    )),
  )
})
afterAll(() => Promise.all(servers.map((server) => server.stop())))

/** What is asked of a server that is gone has to be asked again. What nobody kills is asked by ports without it. */
const impatient = { appendTimeoutMs: 2_000, requestTimeoutMs: 2_000 } as const

const p0 = partitionId(0)
const g1 = generation('generation123456789012')

const connectTimeoutMs = 20_000

/** Asks again while the answer is `RETRY`, or another of `codes`: a cluster takes a moment to elect. */
async function eventually<T>(question: () => Promise<T>, codes: readonly ErrorCode[] = ['RETRY']): Promise<T> {
  const { clock } = makeParts()
  while (true) {
    try {
      return await question()
    } catch (error) {
      if (!isHoldfastError(error) || !codes.includes(error.code)) throw error
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 100))
    }
  }
}

interface StreamInfo {
  readonly cluster: { readonly leader: string }
  readonly config: object
}

const isLed = (info: Partial<StreamInfo>): info is StreamInfo => (info.cluster?.leader ?? '') !== ''

/** Asks until the stream names a leader: while it elects one it names none, or nobody answers. */
async function infoOf({ transport }: NatsPorts, stream: string) {
  const inbox = transport.inbox()
  const ask = () => transport.publish(`$JS.API.STREAM.INFO.${stream}`, new Uint8Array(), { reply: inbox })
  return new Promise<StreamInfo>((resolve) => {
    const again = setInterval(ask, 200)
    const answers = transport.subscribe(inbox, ({ data }) => {
      if (data.length === 0) return
      const info = JSON.parse(new TextDecoder().decode(data)) as Partial<StreamInfo>
      if (!isLed(info)) return
      clearInterval(again)
      answers.close()
      resolve(info)
    })
    ask()
  })
}

/** The server that leads it. */
const leaderOf = async (ports: NatsPorts, stream: string) =>
  servers[names.indexOf((await infoOf(ports, stream)).cluster.leader)]!

describe('a NATS cluster of three', { timeout: 60_000 }, () => {
  it('keeps every accepted record and every write over the loss of the leader', async () => {
    const settings = {
      servers: servers.map((server) => server.url),
      cluster: 'shop',
      replicas: 3,
      ...quick,
      connectTimeoutMs,
    }
    const [patient, a, b] = await Promise.all(
      [{}, impatient, impatient].map((more) => eventually(() => openNats({ ...settings, ...more }, makeParts()))),
    )
    try {
      await eventually(() => patient!.provisionRegistry())
      expect(await eventually(() => patient!.changelog.provision(p0, g1, bytes('genesis')))).toEqual({ created: true })
      const lease = await eventually(() => patient!.registry.create('lease.n1', bytes('1')))
      const log = a!.changelog.log(p0)
      const accepted = ['1:genesis']
      const append = async (from: Seq, name: string, count: number, by = log) => {
        const results = await Promise.all(
          Array.from({ length: count }, (_, i) => by.append(bytes(`${name}${i}`), seq(from + i))),
        )
        for (const [i, result] of results.entries()) {
          if (result.kind === 'accepted') accepted.push(`${result.seq}:${name}${i}`)
        }
        return results
      }
      const before = await append(seq(1), 'before', 200, patient!.changelog.log(p0))
      expect(before.every((result) => result.kind === 'accepted')).toBe(true)

      const killed = await leaderOf(patient!, 'shop_P0')
      const kill = killed.kill()
      const during = append(seq(201), 'during', 50)
      await kill
      await during

      const info = await eventually(async () => (await b!.changelog.log(p0).info())!)
      expect(info.generation).toBe(g1)
      expect(info.last).toBeGreaterThanOrEqual(accepted.length)
      const after = await eventually(async () => {
        const last = (await log.info())!.last
        const [result] = await append(last, 'after', 1)
        return result!.kind === 'accepted' ? result! : Promise.reject(new HoldfastError('RETRY', 'not accepted yet'))
      })
      expect(after.kind).toBe('accepted')

      await killed.restart()
      const { last } = await eventually(async () => (await b!.changelog.log(p0).info())!)
      for (let round = 0; round < 3; round++) {
        // Each round has a consumer on some replica, the one that was away too.
        const read = await eventually(() => entriesOf(b!.changelog.log(p0), 1, last))
        const stored = read.map((entry) => `${entry.seq}:${text(entry.record)}`)
        expect(stored).toHaveLength(last)
        expect(stored).toEqual(expect.arrayContaining(accepted))
      }

      const entry = await eventually(() => b!.registry.get('lease.n1'))
      expect(entry).toMatchObject({ revision: lease.kind === 'written' && lease.revision })
      const update = (ports: NatsPorts, value: string) =>
        eventually(() => ports.registry.update('lease.n1', bytes(value), entry!.revision), ['RETRY', 'UNKNOWN'])
      // Where nobody could say whether it was written, the repetition is in conflict with it.
      await update(b!, '2')
      expect((await update(a!, '3')).kind).toBe('conflict')
      expect(text((await eventually(() => b!.registry.get('lease.n1')))!.value)).toBe('2')
    } finally {
      await Promise.all([patient, a, b].map((ports) => ports!.close()))
    }
  })

  describe('whose log ends before a record that it had (C8)', () => {
    /** Some time later than it is. */
    class LaterClock extends SystemClock {
      laterMs = 0
      override monotonic(): number {
        return super.monotonic() + this.laterMs
      }
    }
    let clock: LaterClock
    let nats: NatsPorts
    beforeEach(async () => {
      clock = new LaterClock()
      const settings = { servers: servers.map((server) => server.url), cluster: 'short', replicas: 3, ...quick }
      const parts = { ...makeParts(), clock }
      nats = await eventually(() => openNats({ ...settings, connectTimeoutMs }, parts))
    })
    afterEach(() => nats.close())

    it('is believed after half a minute in which nothing else was said: it may be the word of a former leader', async () => {
      await eventually(() => nats.changelog.provision(p0, g1, bytes('genesis')))
      const log = nats.changelog.log(p0)
      const known = seq(4)
      await eventually(() => log.info())
      await expect(log.info(known)).rejects.toMatchObject({
        code: 'RETRY',
        message: expect.stringContaining('ends at 1'),
      })
      clock.laterMs = 29_000
      await expect(log.info(known)).rejects.toMatchObject({ code: 'RETRY' })
      for (let last = 1; last < known; last++) await log.append(bytes('more'), seq(last))
      // Whoever had it all along has told.
      expect(await eventually(async () => (await log.info())!)).toMatchObject({ last: known })
      clock.laterMs = 50_000
      await expect(log.info(seq(known + 1))).rejects.toMatchObject({ code: 'RETRY' })
      clock.laterMs = 81_000
      expect(await eventually(async () => (await log.info(seq(known + 1)))!)).toMatchObject({ last: known })
    })

    it('is believed as soon by a takeover, which asks for its end before it says what it knows', async () => {
      const world = new PartitionWorld('short')
      const options = world.takeover(world.start('n1'))
      const replica = await world.settle(openReplica(options))
      await world.settle(claim(replica, epoch(1), options))
      await world.settle(replica.close({ flush: true }))
      const partition = partitionId(1)
      await eventually(() => nats.changelog.provision(partition, options.generation, bytes('genesis')))
      const log = nats.changelog.log(partition)
      await eventually(() => log.info())
      const open = () => openReplica({ ...options, log })
      world.clock.start()
      try {
        for (const laterMs of [0, 29_000]) {
          clock.laterMs = laterMs
          await expect(open()).rejects.toMatchObject({ code: 'RETRY', message: expect.stringContaining('ends at 1') })
        }
        clock.laterMs = 60_000
        await expect(eventually(open)).rejects.toThrow(BrokenLog)
      } finally {
        world.clock.stop()
      }
    })
  })

  it('keeps every object over the loss of the leader', async () => {
    const settings = {
      servers: servers.map((server) => server.url),
      cluster: 'objects',
      replicas: 3,
      ...quick,
      connectTimeoutMs,
    }
    const [patient, a, b] = await Promise.all(
      [{}, impatient, impatient].map((more) => eventually(() => openNats({ ...settings, ...more }, makeParts()))),
    )
    try {
      await eventually(() => patient!.provisionObjects())
      const contents = [0, 1, 2, 3].map((n) => pattern(600_000, n))
      for (const [n, content] of contents.entries()) await eventually(() => patient!.objects.put(`o.${n}`, content))
      const killed = await leaderOf(patient!, 'OBJ_objects_snapshots')
      await killed.kill()
      for (const [n, content] of contents.entries()) {
        expect(same((await eventually(() => b!.objects.get(`o.${n}`)))!, content)).toBe(true)
      }
      await eventually(() => b!.objects.put('o.4', contents[0]!), ['RETRY', 'UNKNOWN'])
      await killed.restart()
      expect(await eventually(() => a!.objects.list('o'))).toHaveLength(5)
      expect((await infoOf(a!, 'OBJ_objects_snapshots')).config).toMatchObject({ num_replicas: 3 })
    } finally {
      await Promise.all([patient, a, b].map((ports) => ports!.close()))
    }
  })
})
