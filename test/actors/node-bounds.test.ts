import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Counter } from '../../actors/keyed/counter.ts'
import { encodeControl } from '../../src/placement/control.ts'
import { epoch, partitionId, type NodeId } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { clusterName, SimCluster } from '../../src/testing/sim/cluster.ts'

const subjects = subjectsOf(clusterName)
let cluster: SimCluster

beforeEach(async () => {
  cluster = new SimCluster({ seed: 7, partitions: 16, definitions: [Counter] })
  cluster.start('n1')
  await cluster.settled()
})
afterEach(() => cluster.close())

const metric = (node: string, name: string) =>
  cluster.nodes
    .get(node)!
    .node.metrics()
    .find((each) => each.name === name)!

describe('a node', () => {
  it('carries out a bounded number of orders at a time, and says of one more that it is not done (I4)', async () => {
    const { process } = cluster.nodes.get('n1')!
    const asker = cluster.world.start('asker')
    const answers: unknown[] = []
    asker.transport.subscribe('_INBOX.asker', ({ data }) => answers.push(JSON.parse(Buffer.from(data).toString())))
    process.links.registry.delayMs = 500
    const drain = encodeControl({ op: 'drain' })
    for (let i = 0; i < 70; i++) {
      asker.transport.publish(subjects.nodeControl('n1' as NodeId), drain, { reply: '_INBOX.asker' })
    }
    await cluster.clock.advance(50)
    expect(answers).toEqual(Array.from({ length: 6 }, () => ({ done: false })))
    expect(metric('n1', 'holdfast_orders')).toMatchObject({ value: 64, limit: 64 })
    process.links.registry.delayMs = 0
    await cluster.clock.runUntil(() => answers.length === 70, 60_000)
    expect(metric('n1', 'holdfast_orders')).toMatchObject({ value: 0 })
  })

  it('that leads lets a bounded number of reports wait, and forgets the others, which come again (PL5)', async () => {
    const { process, node } = cluster.nodes.get('n1')!
    await cluster.clock.runUntil(() => node.status().leading, 10_000)
    const reporter = cluster.world.start('reporter')
    process.links.registry.delayMs = 500
    const self = { id: 'stranger' as NodeId, incarnation: node.status().incarnation }
    for (let i = 0; i < 1_500; i++) {
      const report = { op: 'epoch-spent', node: self, partition: partitionId(i % 16), epoch: epoch(1) } as const
      reporter.transport.publish(subjects.placementReport, encodeControl(report as never))
    }
    await cluster.clock.advance(50)
    expect(metric('n1', 'holdfast_placement_reports')).toMatchObject({ value: 1_024, limit: 1_024 })
    process.links.registry.delayMs = 0
    await cluster.clock.runUntil(() => metric('n1', 'holdfast_placement_reports')?.value === 0, 600_000)
  })

  it('that leads has at most four moves of a kind under way (PL2, MV7)', async () => {
    cluster.start('n2')
    cluster.start('n3')
    let most = 0
    const moved = () => {
      for (const name of cluster.nodes.keys())
        most = Math.max(most, metric(name, 'holdfast_placement_moves')?.value ?? 0)
      const owned = [...cluster.nodes.values()].map(
        ({ node }) => node.status().partitions.filter(({ role }) => role === 'owner').length,
      )
      return Math.min(...owned) >= 5
    }
    await cluster.clock.runUntil(moved, 60_000)
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(8)
    expect(metric('n1', 'holdfast_placement_moves')).toMatchObject({ limit: 8 })
  })
})
