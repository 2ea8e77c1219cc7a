/** Partitions on the move: state and dedupe sessions go with them (R1, R3), and nobody who calls notices (O6). */
import { afterEach, describe, expect, it } from 'vitest'
import { parseCommandId } from '../../src/client/command-id.ts'
import type { Holdfast } from '../../src/index.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { decodeReplyFrame, encodeRequestFrame, type Reply } from '../../src/protocol/frames.ts'
import { partitionId, sessionId } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { clusterName, TestCluster, type World } from '../support/cluster.ts'
import { Ledger } from '../support/ledger.ts'

const timeout = 180_000
const partitions = 8
const keys = Array.from({ length: 24 }, (_, i) => `k${i}`)
const subjects = subjectsOf(clusterName)

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function clusterOf(world: World): Promise<TestCluster> {
  const cluster = await TestCluster.open(world, { actors: [Ledger], partitions })
  closers.push(() => cluster.close())
  return cluster
}

/** All partitions go from one node, which leaves, to another, which joins. */
async function replace(cluster: TestCluster, leaving: string, joining: string): Promise<void> {
  await cluster.start(joining)
  await cluster.node(leaving).drain()
  await cluster.settled(joining)
  await cluster.stop(leaving)
}

const states = (client: Holdfast) => Promise.all(keys.map((key) => client.actor(Ledger, key).all()))

/** Sends bytes as they are and waits for the reply to them. */
function exchange(transport: Transport, subject: string, frame: Uint8Array): Promise<readonly Reply[]> {
  const inbox = transport.inbox()
  return new Promise((resolve, reject) => {
    const subscription = transport.subscribe(inbox, (message) => {
      subscription.close()
      if (message.noResponders) reject(new Error(`nobody listens at ${subject}`))
      else resolve(decodeReplyFrame(message.data).replies)
    })
    transport.publish(subject, frame, { reply: inbox })
  })
}

const firstValue = ([reply]: readonly Reply[]) => (reply?.kind === 'value' ? decodeValue(reply.value) : reply)

describe.each(['embedded', 'nats'] as const)('partitions that move away and back, %s', (world) => {
  it(
    'take state and replies along: a repeated id gets the first reply, and takes effect once',
    { timeout },
    async () => {
      const cluster = await clusterOf(world)
      await cluster.start('a')
      await cluster.settled()
      const client = await cluster.client()
      const first = await Promise.all(
        keys.map((key) =>
          client
            .actor(Ledger, key)
            .with({ id: `first-${key}` })
            .append('first'),
        ),
      )
      expect(first).toEqual(keys.map(() => 1))
      await Promise.all(keys.map((key) => client.actor(Ledger, key).append('second')))

      const expectOnce = async () => {
        // Another client: the id alone makes it the same command.
        const other = await cluster.client()
        const repeated = keys.map((key) =>
          other
            .actor(Ledger, key)
            .with({ id: `first-${key}` })
            .append('first'),
        )
        expect(await Promise.all(repeated)).toEqual(keys.map(() => 1))
        expect(await states(other)).toEqual(keys.map(() => ['first', 'second']))
        await other.close()
      }
      await expectOnce()
      await replace(cluster, 'a', 'b')
      await expectOnce()
      await replace(cluster, 'b', 'a')
      await expectOnce()
      // Not by chance of a shared memory: a replays its old stores, which do not know what b has done.
      await replace(cluster, 'a', 'c')
      await replace(cluster, 'c', 'b')
      await expectOnce()
      expect(cluster.eventsOf('store.set-aside')).toEqual([])
      expect(cluster.eventsOf('partition.hash-mismatch')).toEqual([])
    },
  )

  it(
    'answer a frame that comes again, byte by byte, with the first reply, and no other command of its session',
    { timeout },
    async () => {
      const cluster = await clusterOf(world)
      await cluster.start('a')
      await cluster.settled()
      const transport = await cluster.transport()
      const [session, key] = [sessionId('rawSession'), keys[0]!]
      const subject = subjects.partition(partitionId(partitionOf(key, partitions)))
      const frame = (number: number, low: number, id: string) =>
        encodeRequestFrame({
          partitions,
          session,
          low,
          frame: 1,
          requests: [
            { kind: 'command', number, type: 'ledger', key, name: 'append', input: encodeValue(id), timeoutMs: 20_000 },
          ],
        })
      const seventh = frame(7, 5, 'seven')
      expect(firstValue(await exchange(transport, subject, seventh))).toBe(1)
      expect(firstValue(await exchange(transport, subject, frame(6, 5, 'six')))).toBe(2)
      for (const [from, to] of [
        ['a', 'b'],
        ['b', 'a'],
      ] as const) {
        await replace(cluster, from, to)
        expect(firstValue(await exchange(transport, subject, seventh))).toBe(1)
        expect(firstValue(await exchange(transport, subject, frame(6, 5, 'six')))).toBe(2)
      }
      // The session says that 6 is settled: its reply is forgotten, 7 is not; that moves along, too.
      expect(firstValue(await exchange(transport, subject, frame(8, 7, 'eight')))).toBe(3)
      await replace(cluster, 'a', 'b')
      expect(firstValue(await exchange(transport, subject, seventh))).toBe(1)
      const [settled] = await exchange(transport, subject, frame(6, 5, 'six'))
      expect(settled).toMatchObject({ kind: 'error', error: { code: 'CONFLICT' } })
      const client = await cluster.client()
      expect(await client.actor(Ledger, key).all()).toEqual(['seven', 'six', 'eight'])
    },
  )

  it('keep the promise of an UNKNOWN: its id, repeated elsewhere, tells what happened', { timeout }, async () => {
    const cluster = await clusterOf(world)
    await cluster.start('a')
    await cluster.settled()
    const client = await cluster.client()
    const key = keys[0]!
    // The caller loses patience while the handler still works.
    const lost = client.actor(Ledger, key).with({ timeout: 100 }).appendSlowly({ id: 'slow', ms: 700 })
    const error = await lost.catch((thrown: unknown) => thrown as { code: string; id: string })
    expect(error).toMatchObject({ code: 'UNKNOWN', id: expect.any(String) })
    const id = (error as { id: string }).id
    expect(parseCommandId(id).number).toBeGreaterThan(0)
    await replace(cluster, 'a', 'b')
    const again = client.actor(Ledger, key).with({ id }).appendSlowly({ id: 'slow', ms: 0 })
    expect(await again).toBe(1)
    expect(await client.actor(Ledger, key).all()).toEqual(['slow'])
  })

  it('finish what they have begun, or begin it again where they go, once', { timeout }, async () => {
    const cluster = await clusterOf(world)
    await cluster.start('a')
    await cluster.settled()
    const client = await cluster.client()
    await Promise.all(keys.map((key) => client.actor(Ledger, key).append('first')))
    // Some end within the patience of a hand-off, some do not.
    const slow = keys.map((key, i) =>
      client.actor(Ledger, key).appendSlowly({ id: 'slow', ms: i % 2 === 0 ? 300 : 2_500 }),
    )
    await replace(cluster, 'a', 'b')
    expect(await Promise.all(slow)).toEqual(keys.map(() => 2))
    expect(await states(client)).toEqual(keys.map(() => ['first', 'slow']))
  })
})

/** Callers who each append to a key of their own, one command after the other, and read in between; they stop at the first error. */
class Load {
  readonly sent = keys.map((): string[] => [])
  readonly errors: unknown[] = []
  readonly #running: Promise<void>[]
  #stopped = false

  constructor(client: Holdfast) {
    this.#running = keys.map(async (key, k) => {
      const actor = client.actor(Ledger, key)
      const sent = this.sent[k]!
      try {
        while (!this.#stopped) {
          const id = `${key}-${sent.length}`
          sent.push(id)
          const length = sent.length % 3 === 0 ? await told(actor, id, sent.length) : await actor.append(id)
          if (length !== sent.length) throw new Error(`append ${id} gave ${length}, not ${sent.length}`)
          if (sent.length % 5 === 0) {
            const ids = await actor.all()
            if (ids.length !== sent.length) throw new Error(`a read after ${id} gave ${ids.length} ids`)
          }
        }
      } catch (error) {
        this.errors.push(error)
      }
    })
  }

  get commands(): number {
    return this.sent.reduce((sum, ids) => sum + ids.length, 0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#running)
  }
}

async function told(
  actor: { readonly tell: { append(id: string): Promise<void> } },
  id: string,
  length: number,
): Promise<number> {
  await actor.tell.append(id)
  return length
}

describe.each(['embedded', 'nats'] as const)('nodes that join and leave under load, %s', (world) => {
  it('cost no error, no command and no second effect', { timeout }, async () => {
    const cluster = await clusterOf(world)
    await cluster.start('a')
    await cluster.settled()
    const client = await cluster.client()
    const watch = client.watch(Ledger, { from: 'start' })
    const load = new Load(client)
    const shares = (share: Readonly<Record<string, number>>) =>
      cluster.when(
        () => Object.entries(share).every(([name, count]) => cluster.owned(name).length === count),
        `the shares are ${JSON.stringify(share)}`,
      )

    await cluster.start('b')
    await shares({ a: 4, b: 4 })
    await cluster.start('c')
    await cluster.start('d')
    await shares({ a: 2, b: 2, c: 2, d: 2 })
    // In order: everything moves away first.
    await cluster.node('a').drain()
    expect(cluster.owned('a')).toEqual([])
    await cluster.stop('a')
    await cluster.settled('b', 'c', 'd')
    // And without waiting for that.
    await cluster.stop('b')
    await cluster.settled('c', 'd')
    await cluster.start('a')
    await cluster.when(() => cluster.owned('a').length >= 2, 'a has its share again')
    // Two at once.
    await Promise.all([cluster.node('c').drain(), cluster.node('d').drain()])
    await cluster.settled('a')
    await Promise.all([cluster.stop('c'), cluster.stop('d')])
    await load.stop()

    expect(load.errors, cluster.trace()).toEqual([])
    expect(load.commands).toBeGreaterThan(keys.length * 10)
    expect(await states(client)).toEqual(load.sent)
    for (const type of [
      'partition.hash-mismatch',
      'store.set-aside',
      'partition.stopped',
      'node.fenced',
      'handler.threw',
    ] as const) {
      expect(cluster.eventsOf(type), type).toEqual([])
    }

    // Who watched all the time has seen each change of each key once, in order.
    const seen = new Map(keys.map((key) => [key, 0]))
    let left = load.commands
    for await (const { key, rev, state } of watch) {
      expect(rev).toBe(seen.get(key)! + 1)
      expect(state?.ids).toEqual(load.sent[keys.indexOf(key)]!.slice(0, rev))
      seen.set(key, rev)
      if (--left === 0) break
    }
    expect([...seen.values()]).toEqual(load.sent.map((ids) => ids.length))
  })

  it('who are to have no share give what they have to the others', { timeout }, async () => {
    const cluster = await clusterOf(world)
    await cluster.start('a', { weight: 0 })
    await cluster.settled('a')
    const client = await cluster.client()
    const load = new Load(client)
    await cluster.start('b', { weight: 1 })
    await cluster.settled('b')
    await cluster.start('c', { weight: 3 })
    await cluster.when(() => cluster.owned('c').length === 6 && cluster.owned('b').length === 2, 'shares go by weight')
    await load.stop()
    expect(load.errors, cluster.trace()).toEqual([])
    expect(await states(client)).toEqual(load.sent)
  })
})
