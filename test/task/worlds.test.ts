/** Tasks as users run them, by `createNode`: with RocksDB, on a real nats-server, and embedded. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect as connectNats, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  connect,
  createNode,
  task,
  type CreateNodeOptions,
  type Holdfast,
  type HoldfastEvent,
  type HoldfastNode,
} from '../../src/index.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-tasks-'))
})
const open: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close()
  await rm(folder, { recursive: true, force: true })
})

/** Keeps events, and waits for them. */
class Events {
  readonly all: HoldfastEvent[] = []
  readonly #looks = new Set<() => void>()

  emit(event: HoldfastEvent): void {
    this.all.push(event)
    for (const look of [...this.#looks]) look()
  }

  of<T extends HoldfastEvent['type']>(type: T): Extract<HoldfastEvent, { type: T }>[] {
    return this.all.filter((event): event is Extract<HoldfastEvent, { type: T }> => event.type === type)
  }

  when(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!done()) return
        this.#looks.delete(look)
        resolve()
      }
      this.#looks.add(look)
      look()
    })
  }
}

const partitions = 2

async function start(options: Partial<CreateNodeOptions>, events: Events): Promise<HoldfastNode> {
  const given = { cluster: 'test', actors: [], partitions, observer: events, ...options } as CreateNodeOptions
  const node = await createNode(given)
  open.push(node)
  return node
}

/** Resolves with the state of a key once it has this rev. */
async function reached(hf: Holdfast, store: string, key: string, rev: number): Promise<unknown> {
  const watch = hf.kv(store).watch({ key, from: 'start' })
  for await (const change of watch) if (change.rev >= rev) return change.state
  throw new Error('the watch ended')
}

describe('a task of an embedded node', () => {
  it('processes a plain subject, and goes on with its store after a restart', async () => {
    const sums = task<number>('sums', {
      input: { subject: 'orders.*' },
      stores: ['sums'],
      async process({ key, value }, { store, send }) {
        const sum = ((await store<number>('sums').get(key)) ?? 0) + value
        await store<number>('sums').put(key, sum)
        send({ subject: 'sums', value: { key, sum } })
      },
    })
    for (const [round, want] of [
      [1, 6],
      [2, 12],
    ] as const) {
      const events = new Events()
      const node = await start({ embedded: true, dataDir: folder, tasks: [sums] }, events)
      await events.when(() => events.of('task.serving').length === partitions)
      const { transport } = node.embedded!.connect()
      const heard = new Promise<unknown>((resolve) => {
        transport.subscribe('sums', ({ data }) => {
          const said = JSON.parse(Buffer.from(data).toString()) as { readonly sum: number }
          if (said.sum >= want) resolve(said)
        })
      })
      for (const n of [1, 2, 3]) transport.publish('orders.k', Buffer.from(String(n)))
      const hf = await connect({ embedded: node.embedded!, cluster: 'test' })
      expect(await reached(hf, 'sums', 'orders.k', 3 * round)).toBe(want)
      expect(await heard).toEqual({ key: 'orders.k', sum: want })
      await hf.close()
      await transport.close()
      await node.close()
    }
  })
})

describe('a task on NATS', () => {
  let server: TestServer
  let nc: NatsConnection
  let hf: Holdfast
  beforeAll(async () => {
    server = await startNatsServer()
  })
  afterAll(() => server.stop())

  const lists = (name: string) =>
    task<number>(name, {
      input: { stream: 'ORDERS' },
      stores: [name],
      async process({ key, value }, { store, send }) {
        const list = [...((await store<number[]>(name).get(key)) ?? []), value]
        await store<number[]>(name).put(key, list)
        send({ subject: `lists.${name}`, value, stream: 'LISTS' })
      },
    })

  const begin = async (name: string) => {
    nc = await connectNats({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
    open.push(nc)
    const manager = await jetstreamManager(nc)
    for (const stream of ['ORDERS', 'LISTS']) await manager.streams.delete(stream).catch(() => false)
    await manager.streams.add({ name: 'ORDERS', subjects: ['orders.*'] })
    await manager.streams.add({ name: 'LISTS', subjects: ['lists.>'] })
    const events = new Events()
    const servers = { servers: server.url, reconnectWaitMs: 50, reconnectJitterMs: 0 }
    const node = await start({ ...servers, dataDir: folder, tasks: [lists(name)] }, events)
    hf = await connect({ servers: server.url, cluster: 'test' })
    open.push(hf)
    await events.when(() => events.of('task.serving').length === partitions)
    return { manager, events, node }
  }

  const send = async (n: number) => void (await jetstream(nc).publish('orders.k', String(n)))

  it('goes on where it was after its server was killed, and has lost and repeated nothing', async () => {
    const { events, manager } = await begin('killed')
    for (let n = 0; n < 50; n++) await send(n)
    await server.kill()
    await server.restart()
    // The client of this test learns of the restart in its own time.
    for (let n = 50; n < 100;) {
      try {
        await send(n)
        n++
      } catch {
        const { state } = await manager.streams.info('ORDERS').catch(() => ({ state: { messages: n } }))
        n = state.messages
      }
    }
    const all = Array.from({ length: 100 }, (_, n) => n)
    expect(await reached(hf, 'killed', 'orders.k', 100)).toEqual(all)
    expect(events.of('task.failed')).toEqual([])
    const { state } = await manager.streams.info('LISTS')
    expect(state.messages).toBeLessThanOrEqual(100)
    const consumer = await jetstream(nc).consumers.get('LISTS')
    const heard: number[] = []
    for await (const message of await consumer.consume()) {
      heard.push(message.json<number>())
      if (heard.length === 100) break
    }
    expect(heard).toEqual(all)
  })

  it('stops, and says so, where its stream was made again', async () => {
    const { events, manager } = await begin('remade')
    for (let n = 0; n < 3; n++) await send(n)
    expect(await reached(hf, 'remade', 'orders.k', 3)).toEqual([0, 1, 2])
    await manager.streams.delete('ORDERS')
    await manager.streams.add({ name: 'ORDERS', subjects: ['orders.*'] })
    await events.when(() => events.of('task.stopped').length === partitions)
    expect(events.of('task.stopped')[0]!.reason).toContain('the stream ORDERS was made at 20')
    await send(3)
    expect(await hf.kv('remade').get('orders.k')).toEqual([0, 1, 2])
  })
})
