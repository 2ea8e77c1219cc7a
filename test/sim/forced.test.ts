import { afterEach, expect, it } from 'vitest'
import { addressOf, type Session } from '../../src/client/session.ts'
import { judge, startOfLog } from '../../src/core/log.ts'
import { encodeTable } from '../../src/core/table.ts'
import { decodeReplyFrame, encodeRequestFrame, type Reply } from '../../src/protocol/frames.ts'
import { incarnation, partitionId, seq, sessionId, type NodeId } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { clusterName, registryLinksOf, SimCluster } from '../../src/testing/sim/cluster.ts'
import { ledgersOf } from '../../src/testing/sim/judge.ts'
import { Ledger } from '../../src/testing/sim/ledger.ts'
import { tableOf } from '../../src/testing/sim/under-way.ts'

/** The interleavings that the protocol was made for, forced one by one on a whole cluster of one partition. */
const key = 'k'
const partition = partitionId(0)
const clusters: SimCluster[] = []

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.close()
})

async function clusterOf(
  names: readonly string[],
  { seed = 1, standbys = 1 } = {},
): Promise<{ cluster: SimCluster; owner: string; session: Session }> {
  const settings = { partition: { groupBytes: 1, appendWindow: 4 }, placement: { standbys } }
  const cluster = new SimCluster({ seed, partitions: 1, definitions: [Ledger], settings })
  clusters.push(cluster)
  for (const name of names) {
    const { started } = cluster.start(name)
    await cluster.clock.settle(started, 10_000)
  }
  await cluster.settled()
  const { session } = cluster.client('client', 60_000)
  await cluster.clock.settle(session.whenPlaced(), 5_000)
  return { cluster, owner: ownerOf(cluster), session }
}

/** As the node itself believes. */
const owns = (cluster: SimCluster, name: string) =>
  cluster.nodes.get(name)?.node.status().partitions[0]?.role === 'owner'

const ownerOf = (cluster: SimCluster) => [...cluster.nodes.keys()].find((name) => owns(cluster, name)) ?? 'nobody'

const append = (session: Session, id: string) => session.request('command', addressOf(Ledger.type, key), 'append', id)
const all = (session: Session) => session.request('query', addressOf(Ledger.type, key), 'all', null)

/** Of each record in the log whether it counts. */
function verdictsOf(cluster: SimCluster): string[] {
  let position = startOfLog(partition, cluster.world.changelog.info(partition)!.generation)
  return cluster.world.changelog.recordsOf(partition).map((bytes, i) => {
    const verdict = judge(position, seq(i + 1), bytes)
    if (verdict.kind === 'broken') return `broken: ${verdict.reason}`
    position = verdict.position
    return verdict.kind === 'void' ? 'void' : verdict.record.kind
  })
}

const heard = (cluster: SimCluster, type: string, node?: string) =>
  cluster.events.filter(({ event, node: by }) => event.type === type && (node === undefined || node === by)).length

it('L3: what a frozen owner had in flight is accepted behind the claim of another, and void', async () => {
  // A standby would serve before they arrive.
  const { cluster, owner, session } = await clusterOf(['a', 'b'], { standbys: 0 })
  const { process } = cluster.nodes.get(owner)!
  expect(await cluster.clock.settle(append(session, 'first'), 5_000)).toBe(1)

  // They arrive between the other's claim, which waits for the lease to expire, and its first own commit (O4).
  process.links.changelog.delayMs = 2_250
  const inFlight: Promise<unknown>[] = []
  for (const id of ['x', 'y', 'z']) {
    inFlight.push(append(session, id))
    await cluster.clock.advance(5)
  }
  process.freeze()
  const other = owner === 'a' ? 'b' : 'a'
  await cluster.clock.runUntil(() => owns(cluster, other), 10_000)
  const lengths = await cluster.clock.settle(Promise.all(inFlight), 20_000)
  process.links.changelog.delayMs = 0
  process.thaw()
  await cluster.clock.advance(5_000)

  expect(verdictsOf(cluster).filter((verdict) => verdict === 'void').length).toBeGreaterThanOrEqual(2)
  expect(lengths).toEqual([2, 3, 4])
  expect(ledgersOf(cluster.world, 1).get(key)).toEqual(['first', 'x', 'y', 'z'])
  expect(await cluster.clock.settle(all(session), 10_000)).toEqual(['first', 'x', 'y', 'z'])
})

it('O2: a claimer that dies right after its claim leaves a log that the next one goes on with', async () => {
  const { cluster, owner, session } = await clusterOf(['a', 'b', 'c'])
  await cluster.clock.settle(append(session, 'first'), 5_000)
  const before = heard(cluster, 'partition.claimed')
  cluster.crash(owner)
  await cluster.clock.runUntil(() => heard(cluster, 'partition.claimed') > before, 10_000)
  const claimer = cluster.events.findLast(({ event }) => event.type === 'partition.claimed')!.node
  expect(heard(cluster, 'partition.serving', claimer)).toBe(0)
  cluster.crash(claimer)

  expect(await cluster.clock.settle(append(session, 'second'), 30_000)).toBe(2)
  expect(verdictsOf(cluster).filter((verdict) => verdict === 'claim')).toHaveLength(3)
  expect(ledgersOf(cluster.world, 1).get(key)).toEqual(['first', 'second'])
})

it('O1, L3: of two claimers whose claims are under way at once one serves, and the late claim changes nothing', async () => {
  const { cluster, owner, session } = await clusterOf(['a', 'b', 'c'])
  await cluster.clock.settle(append(session, 'first'), 5_000)
  for (const { name, process } of cluster.nodes.values()) if (name !== owner) process.links.changelog.delayMs = 1_500
  cluster.crash(owner)
  const assigned = () => cluster.events.findLast(({ event }) => event.type === 'placement.assigned')?.event
  await cluster.clock.runUntil(() => {
    const event = assigned()
    return event?.type === 'placement.assigned' && event.owner !== owner
  }, 10_000)
  const event = assigned()
  const slow = cluster.nodes.get(event?.type === 'placement.assigned' ? event.owner : '')!
  // Its claim is on the way; it is declared dead, and another one claims.
  for (const link of registryLinksOf(slow.process)) link.cut()
  slow.process.links.changelog.delayMs = 6_000
  for (const { name, process } of cluster.nodes.values()) if (name !== slow.name) process.links.changelog.delayMs = 0

  expect(await cluster.clock.settle(append(session, 'second'), 60_000)).toBe(2)
  slow.process.links.changelog.delayMs = 0
  for (const link of registryLinksOf(slow.process)) link.heal()
  await cluster.clock.advance(15_000)
  expect(await cluster.clock.settle(append(session, 'third'), 60_000)).toBe(3)
  expect(verdictsOf(cluster).filter((verdict) => verdict.startsWith('broken'))).toEqual([])
  expect(ledgersOf(cluster.world, 1).get(key)).toEqual(['first', 'second', 'third'])
  expect(
    new Set([...cluster.nodes.values()].filter(({ node }) => node.status().partitions[0]!.role === 'owner')).size,
  ).toBe(1)
})

it('O6, PL3: a move that somebody noted who did not lead any more is carried out by who leads', async () => {
  const { cluster, owner, session } = await clusterOf(['a', 'b'], { standbys: 0 })
  expect(await cluster.clock.settle(append(session, 'first'), 5_000)).toBe(1)
  const other = cluster.nodes.get(owner === 'a' ? 'b' : 'a')!
  const { registry } = cluster.world
  const { revision } = registry.get('table')!
  const { version, entries } = tableOf(cluster.world)!
  const { id, incarnation: process } = other.node.status()
  const noted = entries.map((entry) => ({ ...entry, moving: { id, incarnation: incarnation(process) } }))
  const written = registry.write('table', encodeTable({ version: version + 1, entries: noted }), revision)
  expect(written.kind).toBe('written')

  await cluster.clock.runUntil(() => owns(cluster, other.name), 5_000)
  expect(tableOf(cluster.world)!.entries[0]!.moving).toBeNull()
  expect(await cluster.clock.settle(append(session, 'second'), 5_000)).toBe(2)
})

it('T2: a standby that is to leave while it asks for the end of a quiet log leaves, and waits for no record', async () => {
  for (let afterMs = 1_200; afterMs <= 3_200; afterMs += 250) {
    const { cluster, owner } = await clusterOf(['a', 'b'])
    const { node, process } = cluster.nodes.get(owner === 'a' ? 'b' : 'a')!
    const { changelog } = process.links
    await cluster.clock.runUntil(() => node.status().partitions[0]!.role === 'standby', 5_000)
    // It begins to stand by anew, and each of its questions takes 0.8 s.
    changelog.cut()
    await cluster.clock.advance(20)
    changelog.heal()
    changelog.delayMs = 400
    await cluster.clock.advance(afterMs)
    await cluster.clock.settle(node.close(), 10_000)
    expect(node.status().state).toBe('closed')
  }
})

it('O1: a node that is started again within its lease is a new incarnation, and the death of the old one', async () => {
  const { cluster, owner, session } = await clusterOf(['a', 'b'])
  await cluster.clock.settle(append(session, 'first'), 5_000)
  const former = cluster.nodes.get(owner)!.node.status().incarnation
  cluster.crash(owner)
  const beganMs = cluster.clock.monotonic()
  const { node, started } = cluster.start(owner)
  await cluster.clock.settle(started, 5_000)
  expect(node.status().incarnation).not.toBe(former)
  expect(await cluster.clock.settle(append(session, 'second'), 30_000)).toBe(2)
  // Its old lease would have run for 2 s; the partition came back without waiting for that.
  expect(cluster.clock.monotonic() - beganMs).toBeLessThan(2_000)
  expect(heard(cluster, 'member.died')).toBe(0)
  expect(ledgersOf(cluster.world, 1).get(key)).toEqual(['first', 'second'])
})

it('L5: an acknowledgement that was lost is made up for by reading back, and nothing is applied twice', async () => {
  const { cluster, owner, session } = await clusterOf(['a'])
  const { faults } = cluster.nodes.get(owner)!.process.changelog
  await cluster.clock.settle(append(session, 'first'), 5_000)
  const records = cluster.world.changelog.recordsOf(partition).length
  faults.loseAcknowledgement = 1
  const doubtful = append(session, 'second')
  await cluster.clock.runUntil(() => cluster.world.changelog.recordsOf(partition).length > records, 5_000)
  faults.loseAcknowledgement = 0
  expect(await cluster.clock.settle(doubtful, 30_000)).toBe(2)
  expect(heard(cluster, 'partition.recovered')).toBe(1)
  expect(verdictsOf(cluster)).toEqual(['genesis', 'claim', 'commit', 'commit'])
  expect(ledgersOf(cluster.world, 1).get(key)).toEqual(['first', 'second'])
})

it('O3, O4: a node that was declared dead and does not know it gives no stale answer to those who still ask it', async () => {
  const { cluster, owner, session } = await clusterOf(['a', 'b'])
  await cluster.clock.settle(append(session, '0'), 5_000)
  const { process } = cluster.nodes.get(owner)!
  const { transport, clock } = cluster.world.start('stubborn')
  const inbox = transport.inbox()
  const asked: number[] = []
  const stale: string[] = []
  let answers = 0
  let acknowledged = 1
  transport.subscribe(inbox, ({ data }) => {
    for (const reply of decodeReplyFrame(data).replies as readonly Reply[]) {
      if (reply.kind !== 'value') continue
      answers++
      const length = (decodeValue(reply.value) as string[]).length
      if (length < asked[reply.number]!) stale.push(`${length} of ${asked[reply.number]!}`)
    }
  })
  const input = encodeValue(null)
  const ask = () => {
    const number = asked.push(acknowledged) - 1
    const request = { kind: 'query' as const, number, type: Ledger.type, key, name: 'all', input, timeoutMs: 1_000 }
    const frame = { partitions: 1, session: sessionId('stubborn'), low: 0, frame: 1, requests: [request] }
    transport.publish(subjectsOf(clusterName).nodeFrame(owner as NodeId), encodeRequestFrame(frame), { reply: inbox })
    clock.setTimeout(ask, 5)
  }
  ask()
  for (const link of registryLinksOf(process)) link.cut()
  for (let i = 1; i <= 200; i++) {
    await cluster.clock.settle(append(session, String(i)), 60_000)
    acknowledged = i + 1
    await cluster.clock.advance(15)
  }
  expect(ownerOf(cluster)).not.toBe(owner)
  expect(answers).toBeGreaterThan(100)
  expect(stale).toEqual([])
})

it('a node that drains while the registry is away says that nothing can be moved, and can be closed', async () => {
  const { cluster, owner, session } = await clusterOf(['a', 'b'])
  await cluster.clock.settle(append(session, 'first'), 5_000)
  const { node, process } = cluster.nodes.get(owner)!
  for (const link of registryLinksOf(process)) link.cut()
  await expect(cluster.clock.settle(node.drain(), 20_000)).rejects.toMatchObject({ code: 'RETRY' })
  await cluster.clock.settle(node.close(), 20_000)
  expect(await cluster.clock.settle(append(session, 'second'), 20_000)).toBe(2)
})
