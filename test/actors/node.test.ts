import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { clusterName, SimCluster, type SimNode } from '../../src/testing/sim/cluster.ts'
import { Ledger } from '../../src/testing/sim/ledger.ts'

const subjects = subjectsOf(clusterName)
let cluster: SimCluster
let owner: SimNode

beforeEach(async () => {
  cluster = new SimCluster({ seed: 7, partitions: 1, definitions: [Ledger] })
  for (const name of ['a', 'b']) await cluster.clock.settle(cluster.start(name).started, 10_000)
  await cluster.settled()
  owner = [...cluster.nodes.values()].find(({ node }) => node.status().partitions[0]?.role === 'owner')!
})
afterEach(() => cluster.close())

const until = (heard: string) =>
  cluster.clock.runUntil(() => cluster.events.some(({ event }) => event.type === heard), 60_000)

async function declaredDead(): Promise<void> {
  owner.process.freeze()
  await until('member.died')
  owner.process.thaw()
  await until('node.fenced')
}

/** Another process goes by its id. */
async function replaced(): Promise<void> {
  cluster.start(owner.name)
  await until('node.fenced')
}

describe('a node that is closed while its incarnation is ending (N1)', () => {
  it.each([declaredDead, replaced])(
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
