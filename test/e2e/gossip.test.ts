/**
 * Load, lag and state hash of each partition reach every node by gossip alone: the registry is cut off from all nodes while it is
 * asserted. A whole cluster on the in-memory adapters, in virtual time.
 */
import { afterEach, describe, expect, it } from 'vitest'
import type { HostedPartition, MemberDetails } from '../../src/core/membership.ts'
import { addressOf, type Session } from '../../src/client/session.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { SimCluster } from '../../src/testing/sim/cluster.ts'
import { Ledger } from '../../src/testing/sim/ledger.ts'

const timeout = 60_000
/** Of virtual time: many rounds of gossip, and more than a lease's term. */
const awhileMs = 4_000

let cluster: SimCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

async function started(seed: number, names: readonly string[], partitions: number, standbys = 1): Promise<SimCluster> {
  const settings = { placement: { standbys } }
  const sim = (cluster = new SimCluster({ seed, partitions, definitions: [Ledger], settings }))
  for (const name of names) await sim.clock.settle(sim.start(name).started, 30_000)
  await sim.settled()
  const shared = () => names.every((name) => owned(sim, name).length === partitions / names.length)
  await sim.clock.runUntil(shared, 60_000)
  return sim
}

const statusOf = (sim: SimCluster, name: string) => sim.nodes.get(name)!.node.status()

const owned = (sim: SimCluster, name: string) => statusOf(sim, name).partitions.filter(({ role }) => role === 'owner')

/** From now on no node reads or writes the registry. */
async function pauseRegistry(sim: SimCluster): Promise<void> {
  for (const { process } of sim.nodes.values()) process.links.registry.cut()
  await sim.clock.advance(1)
  for (const { process } of sim.nodes.values()) {
    expect(process.links.registry.up).toBe(false)
    await expect(sim.clock.settle(process.registry.get('table'), 5_000)).rejects.toMatchObject({ code: 'RETRY' })
  }
}

/** What `name` knows of another node, or of itself. */
function heard(sim: SimCluster, name: string, of: string): MemberDetails {
  const seen = statusOf(sim, name).members.find(({ member }) => member.id === of)
  if (seen === undefined) throw new Error(`${name} has not heard of ${of}`)
  return seen.member.details
}

/** What a node says of itself to everyone. */
const own = (sim: SimCluster, name: string) =>
  statusOf(sim, name)
    .partitions.filter(({ role }) => role !== 'none')
    .map(({ partition, role, epoch, progress: { appliedSeq, stateHash, lag } }) => ({
      partition,
      role,
      epoch,
      appliedSeq,
      headLag: lag,
      stateHash,
    }))

function expectAllAgree(sim: SimCluster, names: readonly string[]): Map<number, HostedPartition> {
  const byPartition = new Map<number, HostedPartition>()
  for (const of of names) {
    const truth = own(sim, of)
    expect(truth.length).toBeGreaterThan(0)
    for (const hosted of truth) byPartition.set(hosted.partition, hosted as HostedPartition)
    for (const name of names) expect(heard(sim, name, of).partitions, `${name} about ${of}`).toEqual(truth)
  }
  return byPartition
}

async function command(sim: SimCluster, session: Session, key: string, id: string): Promise<void> {
  await sim.clock.settle(session.request('command', addressOf('ledger', key), 'append', id), 30_000)
}

describe('gossip, with the registry paused', () => {
  const names = ['a', 'b', 'c', 'd']
  const partitions = 8
  const keys = Array.from({ length: 24 }, (_, i) => `k${i}`)

  it.each([1, 2, 3])(
    'tells every node the position and the state hash of every partition, as its owner has it (seed %i)',
    { timeout },
    async (seed) => {
      const sim = await started(seed, names, partitions)
      const { session } = sim.client('client')
      await pauseRegistry(sim)
      await sim.clock.advance(awhileMs)
      const empty = expectAllAgree(sim, names)
      expect([...empty.keys()].toSorted((x, y) => x - y)).toEqual(Array.from({ length: partitions }, (_, p) => p))
      expect(new Set([...empty.values()].map(({ stateHash }) => stateHash)).size).toBe(1)

      for (const key of keys) await command(sim, session, key, 'first')
      await sim.clock.advance(awhileMs)
      const before = expectAllAgree(sim, names)
      for (const [partition, { stateHash, appliedSeq }] of before) {
        expect(stateHash).not.toBe(empty.get(partition)!.stateHash)
        expect(stateHash).toMatch(/^[0-9a-f]{16}$/)
        expect(appliedSeq).toBeGreaterThan(empty.get(partition)!.appliedSeq)
      }
      expect(new Set([...before.values()].map(({ stateHash }) => stateHash)).size).toBe(partitions)

      // One key changes: the hash of its partition does, and no other.
      await command(sim, session, keys[0]!, 'second')
      await sim.clock.advance(awhileMs)
      const after = expectAllAgree(sim, names)
      for (const [partition, { stateHash }] of after) {
        const changed = partition === partitionOf(keys[0]!, partitions)
        expect(stateHash === before.get(partition)!.stateHash, `partition ${partition}`).toBe(!changed)
      }
      const deaths = sim.events.filter(({ event }) => event.type === 'member.died' || event.type === 'node.fenced')
      expect(deaths).toEqual([])
    },
  )

  it('tells every node the load of every other while there is any', { timeout }, async () => {
    const sim = await started(4, names, partitions)
    const { session } = sim.client('client')
    await pauseRegistry(sim)
    await sim.clock.advance(awhileMs)
    for (const name of names) for (const of of names) expect(heard(sim, name, of).load).toBe(0)
    // Only keys of partitions that b owns.
    const busy = new Set<number>(owned(sim, 'b').map(({ partition }) => partition))
    const [key] = keys.filter((each) => busy.has(partitionOf(each, partitions)))
    const loads = new Map(names.map((name) => [name, 0]))
    const until = sim.clock.monotonic() + awhileMs
    for (let i = 0; sim.clock.monotonic() < until; i++) {
      await command(sim, session, key!, `${i}`)
      if (i % 20 > 0) continue
      for (const name of names) {
        loads.set(name, Math.max(loads.get(name)!, heard(sim, name, 'b').load))
        for (const idle of ['a', 'c', 'd']) expect(heard(sim, name, idle).load).toBe(0)
      }
    }
    // One command follows the other after a few hops of up to a millisecond each.
    for (const name of names) expect(loads.get(name), `the load of b as ${name} sees it`).toBeGreaterThan(50)
    await sim.clock.advance(awhileMs)
    for (const name of names) expect(heard(sim, name, 'b').load).toBe(0)
  })

  it('tells every node how far a partition that is replayed lags behind its log', { timeout }, async () => {
    // Nobody has the log before: a standby would.
    const sim = await started(5, ['a'], 1, 0)
    const { session } = sim.client('client')
    const records = 1_300
    for (let i = 0; i < records; i++) await command(sim, session, 'k', `${i}`)
    const last = owned(sim, 'a')[0]!.progress.appliedSeq
    expect(last).toBeGreaterThan(records)
    // Whoever takes over reads page by page over a slow link.
    for (const name of ['b', 'c']) {
      const node = sim.start(name)
      node.process.links.changelog.delayMs = 400
      await sim.clock.settle(node.started, 30_000)
    }
    await sim.clock.advance(awhileMs)
    sim.crash('a')
    const replaying = () =>
      ['b', 'c'].filter((name) =>
        statusOf(sim, name).partitions.some(({ role, progress }) => role === 'replaying' && progress.lag > 0),
      )
    await sim.clock.runUntil(() => replaying().length === 1, 60_000)
    await pauseRegistry(sim)
    const [taker] = replaying() as [string]
    const other = taker === 'b' ? 'c' : 'b'
    const lags: number[] = []
    const until = sim.clock.monotonic() + 20_000
    while (owned(sim, taker).length === 0 && sim.clock.monotonic() < until) {
      await sim.clock.advance(100)
      const [hosted] = heard(sim, other, taker).partitions
      if (hosted?.role !== 'replaying') continue
      // Before it has asked how far the log goes there is nothing to be behind of.
      if (hosted.headLag === 0 && lags.length === 0) continue
      expect(hosted.headLag === 0 || hosted.appliedSeq + hosted.headLag >= last, JSON.stringify(hosted)).toBe(true)
      if (hosted.headLag !== lags.at(-1)) lags.push(hosted.headLag)
    }
    expect(lags.length).toBeGreaterThan(3)
    expect(lags).toContain(0)
    // After the last page comes its own claim.
    const toTheEnd = lags.slice(0, lags.indexOf(0))
    expect(toTheEnd).toEqual(toTheEnd.toSorted((x, y) => y - x))
    expect(lags.slice(toTheEnd.length).every((lag) => lag <= 1)).toBe(true)
    expect(lags[0]).toBeGreaterThan(1_000)
    expect(owned(sim, taker)).toHaveLength(1)
    await sim.clock.advance(awhileMs)
    expectAllAgree(sim, [taker])
    expect(heard(sim, other, taker).partitions).toEqual(own(sim, taker))
    expect(heard(sim, other, taker).partitions[0]).toMatchObject({ role: 'owner', headLag: 0 })
  })

  it('makes a node that is cut off suspected everywhere, and dead nowhere', { timeout }, async () => {
    const sim = await started(6, names, partitions)
    await sim.clock.advance(awhileMs)
    await pauseRegistry(sim)
    const suspicion = () =>
      names
        .filter((name) => name !== 'd')
        .map((name) => statusOf(sim, name).members.find(({ member }) => member.id === 'd')!.suspected)
    expect(suspicion()).toEqual([false, false, false])
    sim.nodes.get('d')!.process.links.hub.cut()
    await sim.clock.advance(10_000)
    expect(suspicion()).toEqual([true, true, true])
    sim.nodes.get('d')!.process.links.hub.heal()
    await sim.clock.advance(10_000)
    expect(suspicion()).toEqual([false, false, false])
    expect(sim.events.filter(({ event }) => event.type === 'member.died')).toEqual([])
    expectAllAgree(sim, names)
  })
})
