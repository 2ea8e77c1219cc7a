/** What an operator orders and asks of placement (PL8, OD1 to OD3), by the subject that whoever leads listens to. */
import { afterEach, describe, expect, it } from 'vitest'
import { Counter } from '../../actors/keyed/counter.ts'
import { encodeTable, type PlacementEntry } from '../../src/core/table.ts'
import { maxOrders } from '../../src/placement/order-desk.ts'
import { decodeOrder, decodeOrderReply, encodeOrder, encodeOrderAnswer, type Order } from '../../src/placement/order.ts'
import { encodeControl } from '../../src/placement/control.ts'
import { epoch, incarnation, partitionId, type NodeId } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { clusterName, SimCluster } from '../../src/testing/sim/cluster.ts'
import { PlacementWorld, subjects, type StatedNode } from './world.ts'

const worlds: PlacementWorld[] = []
const clusters: SimCluster[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
  for (const cluster of clusters.splice(0)) await cluster.close()
})

type Asked = Parameters<typeof decodeOrderReply>[0]

/** A process that asks; `ask` waits for the one answer. */
function operator({ world, clock }: Pick<PlacementWorld, 'world' | 'clock'>, at = subjects.placementOrder) {
  const { transport } = world.start('operator')
  const send = (data: Uint8Array, answers: Asked[]) => {
    const reply = transport.inbox()
    transport.subscribe(reply, (message) => answers.push(message.noResponders ? Buffer.from('nobody') : message.data))
    transport.publish(at, data, { reply })
  }
  const ask = async (order: Order | string) => {
    const answers: Asked[] = []
    send(typeof order === 'string' ? Buffer.from(order) : encodeOrder(order), answers)
    await clock.runUntil(() => answers.length > 0, 10_000)
    return decodeOrderReply(answers[0]!)
  }
  return { transport, send, ask }
}

const move = (partition: number, to: string): Order => ({
  ...{ op: 'move', partition: partitionId(partition), to: to as NodeId },
})

/** Nodes a and b, each with two partitions of four, which stand by for each other's. */
async function begin(changes: Parameters<PlacementWorld['lead']>[2] = {}) {
  const world = new PlacementWorld('orders')
  worlds.push(world)
  const [a, b] = [world.node('a'), world.node('b')]
  const owned = (owner: StatedNode, standby: StatedNode): Partial<PlacementEntry> => ({
    ...{ owner: owner.ref, epoch: epoch(1), standbys: [standby.ref] },
  })
  world.write([owned(a, b), owned(a, b), owned(b, a), owned(b, a)])
  for (const p of [0, 1, 2, 3]) {
    world.says(a, p, p < 2 ? 'owner' : 'standby', 5)
    world.says(b, p, p < 2 ? 'standby' : 'owner', 5)
  }
  const led = await world.lead('leader', 4, changes)
  await world.clock.advance(50)
  const owners = () => [0, 1, 2, 3].map((p) => world.entry(p).owner?.id).join('')
  return { world, clock: world.clock, a, b, owners, ...operator(world), ...led }
}

describe('an order to move', () => {
  it('begins the move at once, and another partition goes back in exchange: the one that was moved stays', async () => {
    const { world, clock, ask, owners, events } = await begin()
    expect(await ask(move(0, 'b'))).toEqual({ done: true, plan: null })
    expect(world.entry(0)).toMatchObject({ owner: { id: 'a' }, moving: { id: 'b' } })
    expect(events.of('placement.moving')).toMatchObject([{ partition: 0, from: 'a', to: 'b' }])
    await clock.runUntil(() => owners() === 'baab', 5_000)
    // a stands by for it now: what is near is not taken back for that.
    expect(world.entry(0)).toMatchObject({ standbys: [{ id: 'a' }] })
    await clock.advance(5_000)
    expect(owners()).toBe('baab')
  })

  it('is the last to be given away also when there is more to give away later, and only while it stays', async () => {
    const { world, clock, ask, owners, a, b } = await begin()
    await ask(move(0, 'b'))
    await clock.runUntil(() => owners() === 'baab', 5_000)
    const handed = async () => {
      const reply = await ask({ op: 'plan' })
      return reply.done ? [...reply.plan!.state.placedByHand] : reply.reason
    }
    expect(await handed()).toEqual([0])
    // All of a's go to b, and then b is to give half of it to c.
    a.lives = false
    await clock.runUntil(() => owners() === 'bbbb', 5_000)
    const c = world.node('c')
    for (const p of [0, 1, 2, 3]) world.says(c, p, 'standby', 5)
    await clock.runUntil(() => owners() === 'bccb', 5_000)
    expect(await handed()).toEqual([0])
    b.lives = false
    await clock.runUntil(() => owners() === 'cccc', 5_000)
    expect(await handed()).toEqual([])
  })

  it('to where it is moving already is done, and to elsewhere is not', async () => {
    const { ask, a, world } = await begin()
    a.handsOff = 'silence'
    await ask(move(0, 'b'))
    expect(await ask(move(0, 'b'))).toEqual({ done: true, plan: null })
    world.node('c')
    expect(await ask(move(0, 'c'))).toEqual({ done: false, again: false, reason: 'partition 0 is moving to b already' })
  })

  it.each([
    [0, 'a', 'a owns partition 0 already'],
    [0, 'zz', 'there is no node zz: the members are a, b'],
    [4, 'b', 'there is no partition 4: the cluster has 0 to 3'],
  ])('that cannot be carried out says why: partition %i to %s', async (partition, to, reason) => {
    const { ask, world } = await begin()
    const { revision } = world.world.registry.get('table')!
    expect(await ask(move(partition, to))).toEqual({ done: false, again: false, reason })
    expect(world.world.registry.get('table')!.revision).toBe(revision)
  })

  it('is not carried out while as many such moves are under way as may be', async () => {
    const { ask, a } = await begin({ maxMoves: 1 })
    a.handsOff = 'silence'
    await ask(move(0, 'b'))
    expect(await ask(move(1, 'b'))).toEqual({
      done: false,
      again: true,
      reason: 'as many such moves are under way as may be (1): try again',
    })
  })

  it('to a node that is level is carried out while as many as may be wait for one that replays (MV7)', async () => {
    const { world, ask } = await begin({ maxMoves: 1 })
    world.node('c')
    await ask(move(2, 'c'))
    expect(await ask(move(3, 'c'))).toMatchObject({ done: false, again: true })
    expect(await ask(move(0, 'b'))).toMatchObject({ done: true })
  })

  it('to a node that could not have it is refused until that is forgotten', async () => {
    const { world, ask, b } = await begin()
    const report = { op: 'cannot-open', node: b.ref, partition: partitionId(0), epoch: epoch(0), reason: 'x' } as const
    world.world.start('reporter').transport.publish(subjects.placementReport, encodeControl(report))
    await world.clock.runUntil(() => world.entry(0).standbys.length === 0, 1_000)
    expect(await ask(move(0, 'b'))).toEqual({
      done: false,
      again: false,
      reason: expect.stringMatching(/avoided for another 2 s/),
    })
    expect(await ask({ op: 'rebalance' })).toEqual({ done: true, plan: null })
    // It planned, too.
    expect(world.entry(0).standbys).toEqual([b.ref])
    expect(await ask(move(0, 'b'))).toMatchObject({ done: true })
  })

  it('says so where the registry is away, or the table was changed at the same time', async () => {
    const { world, clock, send, ask, process, a } = await begin()
    process.links.registry.cut()
    expect(await ask(move(0, 'b'))).toEqual({
      done: false,
      again: true,
      reason: expect.stringMatching(/^the registry does not/),
    })
    process.links.registry.heal()
    await clock.advance(3_000)
    const answers: Uint8Array[] = []
    const { registry } = world.world
    process.links.registry.delayMs = 20
    send(encodeOrder(move(0, 'b')), answers)
    // Between what was read and what is to be written.
    const before = registry.get('table')!
    await clock.advance(50)
    registry.write('table', before.value, undefined)
    await clock.runUntil(() => answers.length > 0, 5_000)
    expect(decodeOrderReply(answers[0]!)).toEqual({
      done: false,
      again: true,
      reason: expect.stringMatching(/changed at the same/),
    })
    expect(world.entry(0)).toMatchObject({ owner: a.ref, moving: null })
  })
})

describe('who asks for the plan', () => {
  it('is told what placement goes by, and what it would do now', async () => {
    const { world, ask } = await begin()
    world.node('c', { weight: 0, zone: 'far', host: 'big' })
    const reply = await ask({ op: 'plan' })
    if (!reply.done || reply.plan === null) throw new Error('no plan')
    const { state, steps } = reply.plan
    expect(state).toMatchObject({ leader: 'leader', standbys: 1, maxExtraStandbys: 2 })
    expect(state.members.map(({ ref, weight, zone, host }) => [ref.id, weight, zone, host])).toEqual([
      ['a', 1, 'a', 'a'],
      ['b', 1, 'b', 'b'],
      ['c', 0, 'far', 'big'],
    ])
    expect(state.members[0]!.hosted.get(partitionId(2))).toEqual({ role: 'standby', appliedSeq: 5 })
    expect(Buffer.from(encodeTable(state.table))).toEqual(Buffer.from(world.world.registry.get('table')!.value))
    expect(steps).toEqual([])
    world.node('d')
    const joined = await ask({ op: 'plan' })
    expect(joined.done && joined.plan?.steps).toContainEqual({ kind: 'move', partition: 2, from: 'b', to: 'd' })
    expect(world.entry(2).moving).toBeNull()
  })
})

describe('the desk', () => {
  it('answers what is no order with what one is, and nobody outside of the inboxes (OD1)', async () => {
    const { ask, transport, clock, world } = await begin()
    for (const text of ['', 'x', '[]', '{"op":"explode"}', '{"op":"plan","why":1}'])
      expect(await ask(text)).toEqual({
        done: false,
        again: false,
        reason: expect.stringMatching(/^this is no order to placement: /),
      })
    const heard: string[] = []
    world.world.start('spy').transport.subscribe('test.log.>', ({ subject }) => heard.push(subject))
    await clock.advance(10)
    transport.publish(subjects.placementOrder, encodeOrder(move(0, 'b')), { reply: 'test.log.3' })
    transport.publish(subjects.placementOrder, encodeOrder(move(1, 'b')))
    await clock.advance(1_000)
    expect(heard).toEqual([])
    expect([world.entry(0).moving, world.entry(1).moving]).toEqual([null, null])
  })

  it('has a bounded number of orders to carry out, and says so of one more (OD2)', async () => {
    const { clock, process, leader, send } = await begin()
    process.links.registry.delayMs = 200
    const answers: Uint8Array[] = []
    for (let i = 0; i < maxOrders + 6; i++) send(encodeOrder({ op: 'plan' }), answers)
    await clock.advance(20)
    expect(answers.map((answer) => decodeOrderReply(answer))).toEqual(
      Array.from({ length: 6 }, () => ({ done: false, again: true, reason: expect.stringMatching(/has 64 orders/) })),
    )
    expect(leader.load.orders).toBe(maxOrders)
    process.links.registry.delayMs = 0
    await clock.runUntil(() => answers.length === maxOrders + 6, 60_000)
    expect(leader.load.orders).toBe(0)
  })

  it('is closed with the leader, also for what it has begun (OD3)', async () => {
    const { clock, process, leader, send, world } = await begin()
    const answers: Uint8Array[] = []
    process.links.registry.delayMs = 100
    send(encodeOrder(move(0, 'b')), answers)
    await clock.advance(20)
    leader.stop()
    await clock.advance(5_000)
    expect(answers).toEqual([])
    send(encodeOrder({ op: 'plan' }), answers)
    await clock.runUntil(() => answers.length > 0, 1_000)
    expect(String(answers[0])).toBe('nobody')
    expect(world.entry(0).moving).toBeNull()
  })

  it('says that an answer is too large for a message', async () => {
    const world = new PlacementWorld('large', { maxPayload: 2_048 })
    worlds.push(world)
    world.node('a', { host: 'x'.repeat(2_000) })
    await world.lead('leader', 4)
    await world.clock.advance(50)
    const reply = await operator(world).ask({ op: 'plan' })
    expect(reply).toEqual({
      done: false,
      again: false,
      reason: expect.stringMatching(/bytes, and the server takes 2048/),
    })
  })
})

describe('orders and their answers', () => {
  it('come back from their bytes', () => {
    for (const order of [move(3, 'b'), { op: 'plan' }, { op: 'rebalance' }] as const)
      expect(decodeOrder(encodeOrder(order))).toEqual(order)
    const refused = { done: false, again: true, reason: 'x'.repeat(2_000) } as const
    expect(decodeOrderReply(encodeOrderAnswer(refused))).toEqual({
      done: false,
      again: true,
      reason: 'x'.repeat(1_024),
    })
  })

  it.each([
    ...['', 'null', '[]', '{}', '{"op":"move"}', '{"op":"move","partition":-1,"to":"b"}', '{"op":"plan","to":"b"}'],
    ...['{"op":"move","partition":1,"to":"a b"}', '{"op":"move","partition":1.5,"to":"b"}'],
    ...['{"op":"move","partition":1,"to":"b","wait":true}', `{"op":"plan"${' '.repeat(5_000)}}`],
  ])('are no orders: %.60s', (text) => {
    expect(() => decodeOrder(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  it.each([
    '',
    'null',
    '{}',
    '{"done":false,"again":true}',
    '{"done":false,"reason":"x"}',
    '{"done":1}',
    '{"done":true,"plan":{}}',
  ])('are no answers: %s', (text) => {
    expect(() => decodeOrderReply(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })
})

describe('a whole cluster', () => {
  it('moves a partition by order to a node, which serves it and keeps it, and nothing is lost', async () => {
    const cluster = new SimCluster({ seed: 21, partitions: 4, definitions: [Counter] })
    clusters.push(cluster)
    for (const name of ['a', 'b']) await cluster.clock.settle(cluster.start(name).started, 10_000)
    const owns = (name: string) =>
      cluster.nodes
        .get(name)!
        .node.status()
        .partitions.flatMap(({ partition, role }) => (role === 'owner' ? [partition] : []))
    await cluster.clock.runUntil(() => owns('a').length === 2 && owns('b').length === 2, 30_000)
    const { session } = cluster.client('client', 10_000)
    await cluster.clock.settle(session.whenPlaced(), 5_000)
    const partition = owns('a')[0]!
    const { ask } = operator(cluster, subjectsOf(clusterName).placementOrder)
    expect(await ask(move(partition, 'b'))).toEqual({ done: true, plan: null })
    await cluster.clock.runUntil(() => owns('b').includes(partition) && owns('a').length === 2, 30_000)
    await cluster.clock.advance(10_000)
    expect(owns('b')).toContain(partition)
    expect(owns('a')).toHaveLength(2)
    expect(cluster.events.filter(({ event }) => event.type === 'partition.stopped')).toEqual([])
    expect(await ask(move(partition, 'b'))).toMatchObject({
      done: false,
      reason: `b owns partition ${partition} already`,
    })
  })
})

it('names an incarnation in its state, so that a former process is not taken for its next', async () => {
  const { ask } = await begin()
  const reply = await ask({ op: 'plan' })
  expect(reply.done && reply.plan?.state.table.entries[0]!.owner?.incarnation).toBe(incarnation('a1'))
})
