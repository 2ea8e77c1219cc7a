import { afterEach, describe, expect, it } from 'vitest'
import { actor } from '../../src/behaviour/actor.ts'
import { Holdfast } from '../../src/client/holdfast.ts'
import { SentFrames } from '../../src/client/sent-frames.ts'
import type { Pending } from '../../src/client/pending.ts'
import { addressOf, Session } from '../../src/client/session.ts'
import type { SessionOptions } from '../../src/client/session-options.ts'
import type { Traced } from '../../src/ports/tracer.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { FakeCluster, subjects, value } from './fake-cluster.ts'

const Cart = actor('cart', { version: 1, state: () => 0, commands: { add: (ctx) => ++ctx.state } })

let handles: Holdfast[] = []
afterEach(async () => {
  for (const handle of handles) await handle.close()
  handles = []
})

async function start(seed: string, options: Partial<SessionOptions> = {}) {
  const cluster = new FakeCluster({ seed, partitions: 4 })
  cluster.node('placement', () => value(null))
  const { process, session } = cluster.client(options)
  await cluster.clock.settle(session.whenPlaced(), 1_000)
  const { transport, clock, random } = process
  const hf = new Holdfast({ transport, clock, random, observer: { emit() {} }, session, subjects })
  handles.push(hf)
  const gauge = (name: string) => hf.metrics().find((each) => each.name === name)
  return { cluster, hf, gauge }
}

describe('a client', () => {
  it('has a bounded number of watches, and room for another when one has ended', async () => {
    const { hf, gauge } = await start('watches')
    const watches = Array.from({ length: 1_024 }, () => hf.actor(Cart, 'a').watch())
    let refused: unknown
    try {
      hf.watch(Cart)
    } catch (error) {
      refused = error
    }
    expect(isHoldfastError(refused, 'OVERLOADED')).toBe(true)
    expect(gauge('holdfast_client_watches')).toMatchObject({ value: 1_024, limit: 1_024 })
    watches[0]!.close()
    hf.watch(Cart)
    expect(gauge('holdfast_client_watches')).toMatchObject({ value: 1_024 })
  })

  it('begins no more of many writes and reads of a store at once than it has room for', async () => {
    const { cluster, hf } = await start('many', { maxOutstanding: 500 })
    const users = hf.kv('users')
    const keys = Array.from({ length: 1_200 }, (_, i) => `k${i}`)
    await cluster.clock.settle(users.putAll(keys.map((key) => [key, 1])), 10_000)
    expect((await cluster.clock.settle(users.getAll(keys), 10_000)).size).toBe(0)
    await cluster.clock.settle(users.deleteAll(keys), 10_000)
  })

  it('lets a bounded number of calls with one id wait for its answer', async () => {
    const { cluster, hf } = await start('joined')
    const call = () => hf.actor(Cart, 'a').with({ id: 'one-id', timeout: '1s' }).add()
    const calls = Array.from({ length: 258 }, () => call().then(String, (error: { code: string }) => error.code))
    const last = await cluster.clock.settle(calls.at(-1)!, 0)
    expect(last).toBe('OVERLOADED')
    await cluster.clock.settle(Promise.all(calls), 5_000)
  })
})

describe('frames that were sent', () => {
  it('hold no input of a request that has ended without an answer to its frame (N4)', async () => {
    const cluster = new FakeCluster({ seed: 'inputs' })
    cluster.node('frozen', () => null)
    const traced: Traced[] = []
    const tracer = { call: (what: Traced) => void traced.push(what), turn: () => undefined }
    const { transport, clock, random } = cluster.world.start('client')
    const session = new Session({ transport, clock, random, tracer, observer: { emit() {} } }, { cluster: 'test' })
    await cluster.clock.settle(session.whenPlaced(), 1_000)
    const call = (input: unknown, timeoutMs: number) =>
      session.request('command', addressOf('t', 'k'), 'do', input, { timeoutMs }).catch(() => {})
    await cluster.clock.settle(call('x'.repeat(400_000), 2_500), 3_000)
    const waits = call('short', 60_000)
    const sent = session.metrics().find(({ name }) => name === 'holdfast_client_sent_requests')
    expect(sent).toMatchObject({ value: 2 })
    expect((traced as Pending[]).map(({ input }) => input.length)).toEqual([0, 6])
    session.close()
    await waits
  })

  it('are remembered up to a bound of requests, the latest of them', () => {
    const frames = new SentFrames()
    const requests = Array.from({ length: 1_000 }, () => ({}) as Pending)
    const numbers = Array.from({ length: 20 }, () => frames.add(requests))
    expect(frames.metrics()).toMatchObject([{ value: 16_000, limit: 16_384 }])
    expect(numbers.map((number) => frames.take(number).length)).toEqual([
      ...Array.from({ length: 4 }, () => 0),
      ...Array.from({ length: 16 }, () => 1_000),
    ])
    expect(frames.metrics()).toMatchObject([{ value: 0 }])
  })
})
