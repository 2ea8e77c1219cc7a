import { describe, expect, it } from 'vitest'
import { Counter } from '../../actors/keyed/counter.ts'
import { Holdfast } from '../../src/client/holdfast.ts'
import { silent } from '../../src/ports/observer.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { clusterName, SimCluster } from '../../src/testing/sim/cluster.ts'

const subjects = subjectsOf(clusterName)

async function start(seed: number) {
  const cluster = new SimCluster({ seed, definitions: [Counter] })
  for (const name of ['n1', 'n2', 'n3']) cluster.start(name)
  await cluster.settled()
  const { session, process } = cluster.client('client')
  const { transport, clock, random } = process
  const hf = new Holdfast({ transport, clock, random, observer: silent, session, subjects })
  await cluster.clock.settle(session.whenPlaced(), 1_000)
  return { cluster, clock: cluster.clock, hf, process }
}

const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)

describe('a client of a whole cluster', () => {
  it('calls, tells, queries and watches, through the crash of a node', async () => {
    const { cluster, clock, hf } = await start(1)
    const seen = new Map<string, number[]>()
    const watch = hf.watch(Counter)
    const watching = (async () => {
      for await (const { key, rev, state } of watch) {
        expect(state).toBe(rev)
        seen.set(key, [...(seen.get(key) ?? []), rev])
      }
    })()
    await clock.settle(watch.ready(), 5_000)
    for (let round = 1; round <= 30; round++) {
      if (round === 10) cluster.crash('n2')
      if (round === 20) cluster.start('n2')
      const sums = Promise.all(keys.map((key) => hf.actor(Counter, key).add(1)))
      expect(await clock.settle(sums, 11_000)).toEqual(keys.map(() => round))
      await clock.advance(100)
    }
    await clock.settle(hf.actor(Counter, 'k0').tell.add(1), 5_000)
    const values = Promise.all(keys.map((key) => hf.actor(Counter, key).value()))
    expect(await clock.settle(values, 5_000)).toEqual(keys.map((key) => (key === 'k0' ? 31 : 30)))
    await clock.advance(5_000)
    await hf.close()
    await watching
    for (const key of keys) {
      const last = key === 'k0' ? 31 : 30
      expect(seen.get(key), key).toEqual(Array.from({ length: last }, (_, i) => i + 1))
    }
    await cluster.close()
  })

  it('takes a command with an id once, by whatever way it is repeated', async () => {
    const { cluster, clock, hf, process } = await start(2)
    const id = 'an-id-of-sixty-four-characters-that-a-client-made-up-for-itself1'
    expect(id.length).toBe(64)
    expect(await clock.settle(hf.actor(Counter, 'k').with({ id }).add(5), 5_000)).toBe(5)
    expect(await clock.settle(hf.actor(Counter, 'k').with({ id }).add(5), 5_000)).toBe(5)
    const replies: unknown[] = []
    process.transport.subscribe('_INBOX.mine', ({ data }) => replies.push(JSON.parse(Buffer.from(data).toString())))
    for (let i = 0; i < 3; i++) {
      const subject = subjects.call('call', 'counter', 'k', 'add')
      process.transport.publish(subject, Buffer.from('5'), { reply: '_INBOX.mine', headers: { 'Hf-Id': id } })
      await clock.runUntil(() => replies.length > i, 5_000)
    }
    expect(replies).toEqual([1, 2, 3].map(() => ({ ok: true, value: 5 })))
    expect(await clock.settle(hf.actor(Counter, 'k').value(), 5_000)).toBe(5)
    await hf.close()
    await cluster.close()
  })

  it('hears what the handler and the owner say', async () => {
    const { cluster, clock, hf } = await start(3)
    const counter = hf.actor(Counter, 'k')
    const failed = counter.add(Number.MAX_VALUE).then(() => counter.add('1' as unknown as number))
    const error: unknown = await clock.settle(
      failed.catch((thrown: unknown) => thrown),
      5_000,
    )
    expect(isHoldfastError(error, 'FAILED')).toBe(true)
    expect((error as Error).message).toContain('finite number')
    await hf.close()
    await cluster.close()
  })
})
