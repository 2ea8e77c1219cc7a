import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import type { NatsSettings } from '../../src/adapters/nats/settings.ts'
import { checkStream, logConfig } from '../../src/adapters/nats/stream-settings.ts'
import type { LogEntry, PartitionLog } from '../../src/ports/changelog.ts'
import type { Gauge } from '../../src/ports/metrics.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { bytes, pattern, same, text } from '../conformance/bytes.ts'
import { changelogConformance, entriesOf } from '../conformance/changelog.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { ask, becomes, makeParts, quick, Wire } from './nats-world.ts'

let server: TestServer
beforeAll(async () => {
  server = await startNatsServer()
})
afterAll(() => server.stop())

/** Every world is a cluster of its own on the one server. */
let clusters = 0
const newCluster = () => `c${++clusters}`

changelogConformance(
  'the changelog over NATS',
  async () => {
    const cluster = newCluster()
    const opened: NatsPorts[] = []
    const closeAll = () => Promise.all(opened.splice(0).map((ports) => ports.close()))
    return {
      clock: makeParts().clock,
      async connect() {
        const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
        opened.push(ports)
        // Closing the changelog alone leaves the connection to the other ports.
        return ports.changelog
      },
      async disconnect() {
        await closeAll()
      },
      maxRecord: 1024 * 1024 - 128,
      tooLarge: 1024 * 1024,
      async restart() {
        await closeAll()
        await server.restart()
      },
      async close() {
        await closeAll()
      },
    }
  },
  { durable: true },
)

const p0 = partitionId(0)
const g1 = generation('generation123456789012')

/** Appends up to sequence `to` behind the genesis record, or the stream's beginning. */
async function fill(log: PartitionLog, from: number, to: number, record: (seq: number) => Uint8Array): Promise<void> {
  const numbers = Array.from({ length: to - from + 1 }, (_, i) => from + i)
  const results = await Promise.all(numbers.map((n) => log.append(record(n), seq(n - 1))))
  expect(results.map((result) => (result.kind === 'accepted' ? result.seq : result))).toEqual(numbers)
}

/** All entries: where the machine stopped for longer than a consumer may be silent, it is read on, as the error says. */
async function* readingOn(log: PartitionLog, last: number): AsyncGenerator<LogEntry> {
  for (let next = 1; next <= last;) {
    try {
      for await (const entry of log.read(seq(next), seq(last))) {
        next = entry.seq + 1
        yield entry
      }
    } catch (error) {
      if (!isHoldfastError(error, 'RETRY')) throw error
    }
  }
}

async function withLog(
  settings: Partial<NatsSettings> & { readonly servers: string },
  test: (
    ports: NatsPorts & { readonly cluster: string; readonly parts: ReturnType<typeof makeParts> },
  ) => Promise<void>,
): Promise<void> {
  const cluster = newCluster()
  const parts = makeParts()
  const ports = await openNats({ cluster, ...quick, ...settings }, parts)
  try {
    await ports.changelog.provision(p0, g1, bytes('genesis'))
    await test({ ...ports, cluster, parts })
  } finally {
    await ports.close()
  }
}

describe('a log over NATS, when the connection or the server fails', () => {
  it('says unknown at once of appends in flight when the connection breaks, and goes on after it', async () => {
    const wire = await Wire.to(server.port)
    // So long a time-out that only the break can end the appends.
    await withLog({ servers: wire.url, appendTimeoutMs: 60_000 }, async ({ changelog, transport }) => {
      const log = changelog.log(p0)
      wire.hang()
      const appends = [1, 2, 3].map((n) => log.append(bytes(`r${n}`), seq(n)))
      wire.cut()
      const results = await Promise.all(appends)
      expect(results.map((result) => result.kind)).toEqual(['unknown', 'unknown', 'unknown'])
      const refused = await log.append(bytes('x'), seq(1))
      expect(refused).toEqual({ kind: 'refused', reason: expect.stringContaining('not sent') })
      await expect(log.info()).rejects.toMatchObject({ code: 'RETRY' })
      await expect(entriesOf(log, 1, 1)).rejects.toMatchObject({ code: 'RETRY' })
      wire.mend()
      await becomes(transport, 'connected')
      const { last } = (await log.info())!
      expect(await log.append(bytes('again'), last)).toMatchObject({ kind: 'accepted', seq: last + 1 })
    })
    await wire.close()
  })

  it('says unknown at once where the server does not let this user publish', async () => {
    const own = await startNatsServer({
      config: `authorization { users: [
        { user: a, password: p }
        { user: b, password: p, permissions: { publish: { deny: "*.log.>" } } } ] }`,
    })
    const settings = { servers: own.url, cluster: newCluster(), password: 'p', appendTimeoutMs: 60_000 }
    const owner = await openNats({ ...settings, user: 'a' }, makeParts())
    const parts = makeParts()
    const stranger = await openNats({ ...settings, user: 'b' }, parts)
    await owner.changelog.provision(p0, g1, bytes('genesis'))
    const results = await Promise.all([1, 2].map((n) => stranger.changelog.log(p0).append(bytes('x'), seq(n))))
    for (const result of results) {
      expect(result).toEqual({ kind: 'unknown', reason: expect.stringContaining('does not let this user publish') })
    }
    expect(await owner.changelog.log(p0).info()).toMatchObject({ last: 1 })
    expect(parts.events).toContainEqual(
      expect.objectContaining({ type: 'transport.error', reason: expect.stringContaining('.log.0') }),
    )
    await Promise.all([owner.close(), stranger.close()])
    await own.stop()
  })

  it('says unknown after the time-out where the server is silent', async () => {
    const wire = await Wire.to(server.port)
    await withLog({ servers: server.url }, async ({ cluster }) => {
      const impatient = { servers: wire.url, cluster, ...quick, appendTimeoutMs: 50, requestTimeoutMs: 50 }
      const ports = await openNats(impatient, makeParts())
      wire.hang()
      const log = ports.changelog.log(p0)
      expect(await log.append(bytes('x'), seq(1))).toEqual({ kind: 'unknown', reason: 'no answer within 50 ms' })
      await expect(log.info()).rejects.toMatchObject({ code: 'RETRY' })
      wire.mend()
      await ports.close()
    })
    await wire.close()
  })

  it('keeps every accepted record over a kill of the server, and none twice', async () => {
    const own = await startNatsServer()
    try {
      await withLog({ servers: own.url, appendTimeoutMs: 60_000 }, async ({ changelog, transport }) => {
        const log = changelog.log(p0)
        const accepted: string[] = ['1:genesis']
        let expected = seq(1)
        for (let round = 0; round < 3; round++) {
          const killing = round < 2 ? own.kill() : undefined
          const appends = Array.from({ length: 40 }, (_, i) => log.append(bytes(`${round}-${i}`), seq(expected + i)))
          for (const [i, result] of (await Promise.all(appends)).entries()) {
            if (result.kind === 'accepted') accepted.push(`${result.seq}:${round}-${i}`)
          }
          if (killing === undefined) break
          await killing
          await becomes(transport, 'disconnected')
          await own.restart()
          await becomes(transport, 'connected')
          expected = (await log.info())!.last
        }
        expect(accepted.length).toBeGreaterThanOrEqual(41)
        const last = (await log.info())!.last
        const stored = (await entriesOf(log, 1, last)).map((entry) => `${entry.seq}:${text(entry.record)}`)
        expect(stored).toEqual(expect.arrayContaining(accepted))
        expect(new Set(stored).size).toBe(stored.length)
      })
    } finally {
      await own.stop()
    }
  })

  it('ends a long read with RETRY when the connection breaks in its middle', async () => {
    const wire = await Wire.to(server.port)
    await withLog({ servers: wire.url }, async ({ changelog }) => {
      const log = changelog.log(p0)
      await fill(log, 2, 601, (n) => pattern(100, n))
      const read: number[] = []
      await expect(
        (async () => {
          for await (const entry of log.read(seq(1), seq(600))) {
            read.push(entry.seq)
            if (entry.seq === 10) wire.cut()
          }
        })(),
      ).rejects.toMatchObject({ code: 'RETRY' })
      expect(read.length).toBeLessThan(600)
      expect(read).toEqual(read.map((_, i) => i + 1))
    })
    await wire.close()
  })
})

describe('a long read over NATS, when what the consumer delivers is wrong', () => {
  const withRewrite = async (rewrite: (text: string) => string, message: string) => {
    const wire = await Wire.to(server.port)
    await withLog({ servers: wire.url }, async ({ changelog }) => {
      const log = changelog.log(p0)
      await fill(log, 2, 300, (n) => bytes(n === 300 ? 'needle'.repeat(100) : `r${n}`))
      expect(await entriesOf(log, 1, 300)).toHaveLength(300)
      wire.rewrite(rewrite)
      await expect(entriesOf(log, 1, 300)).rejects.toMatchObject({
        code: 'RETRY',
        message: expect.stringContaining(message),
      })
    })
    await wire.close()
  }

  it('throws RETRY where the last record is not the one that the leader has (D5)', () =>
    withRewrite((text) => text.replaceAll('needle', 'noodle'), 'another record 300 than its leader'))

  it('throws RETRY where a message was lost on its way (D1)', () =>
    // The consumer's own count, in the reply subjects.
    withRewrite((text) => text.replace(/\.1\.15(\d)\.15\1\./g, '.1.15$1.95$1.'), 'lost on its way'))
})

describe('a log over NATS, when its stream is not what it should be', () => {
  it('has no info and no records any more when the stream was deleted', async () => {
    await withLog({ servers: server.url }, async ({ changelog, transport, cluster }) => {
      const log = changelog.log(p0)
      await ask(transport, `$JS.API.STREAM.DELETE.${cluster}_P0`)
      expect(await log.info()).toBeNull()
      await expect(entriesOf(log, 1, 1)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      expect((await log.append(bytes('x'), seq(1))).kind).toBe('refused')
    })
  })

  it('leaves out what was trimmed, in short reads and in long ones', async () => {
    await withLog({ servers: server.url }, async ({ changelog, transport, cluster }) => {
      const log = changelog.log(p0)
      await fill(log, 2, 300, (n) => bytes(`r${n}`))
      await ask(transport, `$JS.API.STREAM.PURGE.${cluster}_P0`, { seq: 101 })
      expect(await log.info()).toEqual({ generation: g1, first: 101, last: 300 })
      const expected = Array.from({ length: 200 }, (_, i) => i + 101)
      expect((await entriesOf(log, 1, 300)).map((entry) => entry.seq)).toEqual(expected)
      expect((await entriesOf(log, 90, 110)).map((entry) => entry.seq)).toEqual(expected.slice(0, 10))
      expect(await entriesOf(log, 1, 100)).toEqual([])
    })
  })

  it('leaves out what is missing in the middle, and at the end, of short reads and long ones', async () => {
    const cluster = newCluster()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
    const stream = `${cluster}_P0`
    try {
      // Without deny_delete, or nothing could be missing.
      await ask(ports.transport, `$JS.API.STREAM.CREATE.${stream}`, { name: stream, subjects: [`${cluster}.log.0`] })
      const log = ports.changelog.log(p0)
      await fill(log, 1, 200, (n) => bytes(`r${n}`))
      for (const gone of [50, 51, 180, 200]) {
        await ask(ports.transport, `$JS.API.STREAM.MSG.DELETE.${stream}`, { seq: gone })
      }
      const kept = (from: number, to: number) =>
        Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((n) => ![50, 51, 180, 200].includes(n))
      for (const [from, to] of [
        [1, 199],
        [1, 200],
        [49, 52],
        [199, 200],
        [51, 180],
      ] as const) {
        expect((await entriesOf(log, from, to)).map((entry) => entry.seq)).toEqual(kept(from, to))
      }
    } finally {
      await ports.close()
    }
  })

  it.each([
    ['max_age', { max_age: 1_000_000_000 }],
    ['discard', { discard: 'old' }],
    ['storage', { storage: 'memory' }],
    ['deny_delete', { deny_delete: false }],
    ['allow_direct', { allow_direct: true }],
    ['max_msgs', { max_msgs: 1_000 }],
    ['subjects', { subjects: ['elsewhere.log.0'] }],
    ['subject_transform', { subject_transform: { src: '>', dest: 'x.>' } }],
  ])('refuses to take a stream with another %s for a log, as INVALID', async (setting, different) => {
    const cluster = newCluster()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
    const stream = `${cluster}_P0`
    try {
      const config = {
        name: stream,
        subjects: [`${cluster}.log.0`],
        discard: 'new',
        deny_delete: true,
        metadata: { 'holdfast.generation': g1 },
        ...different,
        ...(setting === 'subjects' ? { subjects: [`${cluster}.elsewhere.0`] } : {}),
      }
      const answer = await ask(ports.transport, `$JS.API.STREAM.CREATE.${stream}`, config)
      expect(answer).not.toHaveProperty('error')
      await expect(ports.changelog.provision(p0, g1, bytes('genesis'))).rejects.toMatchObject({
        code: 'INVALID',
        message: expect.stringContaining(setting),
      })
    } finally {
      await ports.close()
    }
  })

  it.each(['persist_mode', 'mirror', 'allow_msg_ttl', 'first_seq'])(
    'refuses %s in what the server says of it, as INVALID',
    (setting) => {
      const asked = logConfig('c_P0', 'c.log.0', g1, 1)
      expect(() => checkStream(asked, asked, true)).not.toThrow()
      expect(() => checkStream({ ...asked, [setting]: 'async' }, asked, true)).toThrow(
        expect.objectContaining({ code: 'INVALID', message: expect.stringContaining(setting) }),
      )
    },
  )

  it('refuses a log on a subject that another stream has, as INVALID', async () => {
    const cluster = newCluster()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
    await ask(ports.transport, `$JS.API.STREAM.CREATE.other`, { name: 'other', subjects: [`${cluster}.>`] })
    await expect(ports.changelog.provision(p0, g1, bytes('genesis'))).rejects.toMatchObject({ code: 'INVALID' })
    await ask(ports.transport, `$JS.API.STREAM.DELETE.other`)
    await ports.close()
  })

  it('completes what a provisioner of the same generation has left half done, and nothing else (Q2)', async () => {
    const cluster = newCluster()
    const ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
    const { changelog, transport } = ports
    try {
      await changelog.provision(p0, g1, bytes('genesis'))
      const info = await ask(transport, `$JS.API.STREAM.INFO.${cluster}_P0`)
      await ask(transport, `$JS.API.STREAM.DELETE.${cluster}_P0`)
      await ask(transport, `$JS.API.STREAM.CREATE.${cluster}_P0`, info['config'])
      expect(await changelog.log(p0).info()).toMatchObject({ last: 0 })
      const other = generation('another345678901234567')
      expect(await changelog.provision(p0, other, bytes('other'))).toEqual({ created: false })
      expect(await changelog.provision(p0, g1, bytes('genesis'))).toEqual({ created: true })
      expect(await changelog.provision(p0, g1, bytes('genesis'))).toEqual({ created: false })
      expect((await entriesOf(changelog.log(p0), 1, 1)).map((entry) => text(entry.record))).toEqual(['genesis'])
    } finally {
      await ports.close()
    }
  })
})

describe('a log over NATS', () => {
  it('is provisioned once by many provisioners of one generation and genesis record', async () => {
    const cluster = newCluster()
    const nodes = await Promise.all(
      [1, 2, 3].map(() => openNats({ servers: server.url, cluster, ...quick }, makeParts())),
    )
    const results = await Promise.all(nodes.map((node) => node.changelog.provision(p0, g1, bytes('genesis'))))
    expect(results.filter((result) => result.created)).toHaveLength(1)
    expect(await nodes[0]!.changelog.log(p0).info()).toEqual({ generation: g1, first: 1, last: 1 })
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('is left as it is by a provisioner of the same generation, also when its beginning was trimmed', async () => {
    await withLog({ servers: server.url }, async ({ changelog, transport, cluster }) => {
      await fill(changelog.log(p0), 2, 4, (n) => bytes(`r${n}`))
      await ask(transport, `$JS.API.STREAM.PURGE.${cluster}_P0`, { seq: 3 })
      expect(await changelog.provision(p0, g1, bytes('genesis'))).toEqual({ created: false })
      expect(await changelog.log(p0).info()).toEqual({ generation: g1, first: 3, last: 4 })
    })
  })

  it('takes a record of exactly the largest size, and gives it back in short and in long reads', async () => {
    await withLog({ servers: server.url }, async ({ changelog, transport }) => {
      const log = changelog.log(p0)
      const overhead = 'NATS/1.0\r\nNats-Expected-Last-Sequence: 9007199254740991\r\n\r\n'.length
      const largest = pattern(transport.maxPayload - overhead)
      expect(await log.append(pattern(largest.length + 1), seq(1))).toMatchObject({ kind: 'refused' })
      await fill(log, 2, 21, () => largest)
      await fill(log, 22, 101, (n) => bytes(`small ${n}`))
      for (const [from, to] of [
        [15, 25],
        [1, 101],
      ] as const) {
        const read = await entriesOf(log, from, to)
        expect(read).toHaveLength(to - from + 1)
        for (const entry of read.filter(({ seq }) => seq > 1 && seq <= 21))
          expect(same(entry.record, largest)).toBe(true)
      }
    })
  })

  it('leaves no consumer behind, also of a read that was left in its middle', async () => {
    await withLog({ servers: server.url }, async ({ changelog, transport, cluster }) => {
      const log = changelog.log(p0)
      await fill(log, 2, 401, () => bytes('x'))
      await entriesOf(log, 1, 400)
      for await (const entry of log.read(seq(1), seq(400))) if (entry.seq === 200) break
      // Deletions go out before this question, and the server takes them in order.
      const consumers = async () => (await ask(transport, `$JS.API.CONSUMER.NAMES.${cluster}_P0`))['total']
      while ((await consumers()) !== 0);
      expect(await consumers()).toBe(0)
    })
  })

  it('reads at the pace of the reader: of a long log only a bounded part waits', async () => {
    await withLog({ servers: server.url }, async ({ changelog, transport, cluster }) => {
      const log = changelog.log(p0)
      await fill(log, 2, 2_000, (n) => pattern(1_000, n))
      const reading = log.read(seq(1), seq(2_000))[Symbol.asyncIterator]()
      await reading.next()
      await transport.flush()
      const { consumers } = (await ask(transport, `$JS.API.CONSUMER.LIST.${cluster}_P0`)) as {
        consumers: { num_pending: number }[]
      }
      expect(consumers).toHaveLength(1)
      expect(consumers[0]!.num_pending).toBeGreaterThan(1_400)
      let read = 1
      while (!(await reading.next()).done) read++
      expect(read).toBe(2_000)
    })
  })

  it('reads many logs at a time out of one budget, and one whose reader stands still keeps nobody waiting', async () => {
    const logs = 12
    const last = 66
    const record = (partition: number, n: number) => pattern(20_000, 1_000 * partition + n)
    await withLog({ servers: server.url }, async (ports) => {
      const { changelog } = ports
      const partitions = Array.from({ length: logs }, (_, n) => partitionId(n))
      await Promise.all(
        partitions.map(async (partition) => {
          await changelog.provision(partition, g1, bytes('genesis'))
          await fill(changelog.log(partition), 2, last, (n) => record(partition, n))
        }),
      )
      let most = 0
      const look = () => {
        const pulled = ports.metrics().find(({ name }) => name === 'holdfast_nats_pulled_bytes') as Gauge
        expect(pulled.limit).toBe(8 * 1024 * 1024)
        expect(pulled.value).toBeLessThanOrEqual(pulled.limit)
        most = Math.max(most, pulled.value)
        return pulled.value
      }
      const still = changelog.log(p0).read(seq(1), seq(last))[Symbol.asyncIterator]()
      await still.next()
      await Promise.all(
        partitions.map(async (partition) => {
          let next = 1
          for await (const entry of readingOn(changelog.log(partition), last)) {
            expect(entry.seq).toBe(next++)
            if (entry.seq > 1) expect(same(entry.record, record(partition, entry.seq))).toBe(true)
            look()
          }
          expect(next).toBe(last + 1)
        }),
      )
      // Each wants one of a MiB and a little at once: seven have it, and the others wait.
      expect(most).toBeGreaterThan(7 * 1024 * 1024)
      await still.return!()
      expect(look()).toBe(0)
    })
  }, 60_000)

  it('reads records that are larger than the server takes by now', async () => {
    const storeDir = await mkdtemp(join(tmpdir(), 'holdfast-large-'))
    const cluster = newCluster()
    const record = (n: number) => (n === 80 ? pattern(3_000_000, n) : bytes(`r${n}`))
    const withChangelog = async (config: string, use: (log: PartitionLog, ports: NatsPorts) => Promise<void>) => {
      const own = await startNatsServer({ storeDir, config })
      const ports = await openNats({ servers: own.url, cluster, ...quick }, makeParts())
      try {
        await use(ports.changelog.log(p0), ports)
      } finally {
        await ports.close()
        await own.stop()
      }
    }
    try {
      await withChangelog('max_payload: 4MB', async (log, { changelog }) => {
        await changelog.provision(p0, g1, bytes('genesis'))
        await fill(log, 2, 100, record)
      })
      await withChangelog('max_payload: 1MB', async (log) => {
        const read = await entriesOf(log, 2, 100)
        expect(read.map((entry) => same(entry.record, record(entry.seq)))).toEqual(Array(99).fill(true))
        const tail = log.follow(seq(79))
        for (const n of [79, 80, 81]) expect(same((await tail.next())!.record, record(n))).toBe(true)
        tail.close()
      })
    } finally {
      await rm(storeDir, { recursive: true })
    }
  })

  it('gives records whose slices are copies, as those of any Uint8Array', async () => {
    await withLog({ servers: server.url }, async ({ changelog }) => {
      const log = changelog.log(p0)
      await fill(log, 2, 101, () => bytes('abc'))
      for (const span of [3, 100]) {
        const [, { record }] = (await entriesOf(log, 1, span)) as [unknown, { record: Uint8Array }]
        record.slice().fill(0)
        expect(text(record)).toBe('abc')
      }
    })
  })
})
