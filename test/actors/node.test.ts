import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MemoryProcess } from '../../src/adapters/memory/world.ts'
import { decodeTable, encodeTable } from '../../src/core/table.ts'
import type { Store } from '../../src/ports/store.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { incarnation } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { clusterName, SimCluster, type SimNode } from '../../src/testing/sim/cluster.ts'
import { Ledger } from '../../src/testing/sim/ledger.ts'

const subjects = subjectsOf(clusterName)
let cluster: SimCluster
let owner: SimNode

/** Whether the disk of this node takes nothing more of partition 0. */
let full: (node: string) => boolean
/** And whose they are. */
const openStores = new Map<Store, string>()

beforeEach(async () => {
  full = () => false
  openStores.clear()
  cluster = new SimCluster({ seed: 7, partitions: 2, definitions: [Ledger] })
  cluster.onStart = watchStores
  for (const name of ['a', 'b']) await cluster.clock.settle(cluster.start(name).started, 10_000)
  await cluster.settled()
  owner = [...cluster.nodes.values()].find(({ node }) => node.status().partitions[0]?.role === 'owner')!
})
afterEach(() => cluster.close())

function watchStores({ name, stores }: MemoryProcess): void {
  const open = stores.open.bind(stores)
  stores.open = async (partition) => {
    const store = await open(partition)
    openStores.set(store, name)
    const write = store.write.bind(store)
    store.write = (batch) =>
      full(name) && partition === 0 ? Promise.reject(new HoldfastError('CONFLICT', noSpace)) : write(batch)
    const close = store.close.bind(store)
    store.close = () => close().then(() => void openStores.delete(store))
    return store
  }
}

const noSpace = 'no space left on device'
const storeFailures = () => cluster.events.flatMap(({ event }) => (event.type === 'store.failed' ? [event.reason] : []))

/** Until something of this type is told, since the `from`-th event. */
const until = (heard: string, from = 0) =>
  cluster.clock.runUntil(() => cluster.events.slice(from).some(({ event }) => event.type === heard), 60_000)

async function declaredDead(meanwhile: () => void = () => {}): Promise<void> {
  owner.process.freeze()
  await until('member.died')
  meanwhile()
  owner.process.thaw()
  await until('node.fenced')
}

/** Another process goes by its id. */
async function replaced(): Promise<void> {
  cluster.start(owner.name)
  await until('node.fenced')
}

describe('a node that is closed while its incarnation is ending (N1)', () => {
  it.each([() => declaredDead(), replaced])(
    'hears nothing any more, and is closed when that has ended: %O',
    async (loseLease) => {
      const { process, node, name } = owner
      // What it still has to write takes a while.
      cluster.world.disk(name).writeMs = 5_000
      await loseLease()
      let closed = false
      void node.close().then(() => (closed = true))
      await cluster.clock.advance(1_000)
      expect(closed).toBe(false)
      expect(cluster.world.hub.listenersOf(process.transport, subjects.nodeFrame(node.status().id))).toEqual([])
      await cluster.clock.runUntil(() => closed, 60_000)
    },
  )
})

it('says why it cannot come back after it was declared dead, and closes itself (N2)', async () => {
  const denied = new HoldfastError('INVALID', 'it may not publish $KV.sim_registry.lease.a')
  await declaredDead(() => (owner.process.registry.update = () => Promise.reject(denied)))
  await until('node.closed')
  const failures = cluster.events.flatMap(({ event }) => (event.type === 'node.failed' ? [event] : []))
  expect(failures).toEqual([{ type: 'node.failed', node: owner.name, error: denied }])
  expect(owner.node.status().state).toBe('closed')
  await owner.node.close()
})

it('drains until its process ends, also after it was declared dead (N3)', async () => {
  await cluster.clock.settle(owner.node.drain(), 60_000)
  const before = cluster.events.length
  await declaredDead()
  await until('node.started', before)
  await cluster.clock.advance(10_000)
  const roles = owner.node.status().partitions.map(({ role }) => role)
  expect(roles).not.toContain('owner')
  expect(owner.node.health().lease).toMatchObject({ held: true, draining: true })
})

it('has drained only when nothing is on its way to it any more, and is given nothing afterwards', async () => {
  const { registry } = cluster.world
  const { node, started } = cluster.start('c')
  await cluster.clock.settle(started, 10_000)
  const table = () => decodeTable(registry.get('table')!.value)
  const mayOwn = () => table().entries.some(({ owner, moving }) => owner?.id === 'c' || moving?.id === 'c')
  expect(mayOwn()).toBe(false)
  const { version, entries } = table()
  const [first, ...others] = entries
  const moving = { ...first!, moving: { id: node.status().id, incarnation: incarnation(node.status().incarnation) } }
  registry.write('table', encodeTable({ version: version + 1, entries: [moving, ...others] }), undefined)
  await cluster.clock.advance(5)
  await cluster.clock.settle(node.drain(), 10_000)
  expect(mayOwn()).toBe(false)
  const before = cluster.events.length
  await cluster.clock.advance(10_000)
  const owners = cluster.events
    .slice(before)
    .flatMap(({ event }) => (event.type === 'placement.assigned' ? [event.owner] : []))
  expect(owners).not.toContain('c')
})

describe('a node one of whose stores cannot be written (I5)', () => {
  it('leaves all the same when it is closed, and says so', async () => {
    const standby = [...cluster.nodes.values()].find((each) => each !== owner)!
    await cluster.clock.runUntil(() => standby.node.status().partitions[0]?.role === 'standby', 10_000)
    full = (node) => node === standby.name
    await cluster.clock.settle(standby.node.close(), 60_000)
    await until('member.left')
    expect(cluster.events.filter(({ event }) => event.type === 'member.died')).toEqual([])
    expect(storeFailures()).toContain(noSpace)
  })

  it('begins again only when all stores of its former incarnation are closed', async () => {
    full = (node) => node === owner.name && cluster.events.some(({ event }) => event.type === 'node.fenced')
    const before = cluster.events.length
    const { registry } = cluster.world
    // It hears of its death by its lease alone, before it leaves any partition; and what the other one has to write takes a while.
    registry.stalled = true
    await declaredDead(() => (cluster.world.disk(owner.name).writeMs = 5_000))
    registry.stalled = false
    await until('node.started', before)
    expect([...openStores.values()]).not.toContain(owner.name)
    expect(storeFailures()).toEqual([noSpace])
  })
})
