/**
 * deploy/nats/accounts.conf on a real server: each role tries to publish and to subscribe each subject there is, and is denied all but
 * its own. A subject that is missing below is denied to everybody.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { callKinds, subjectsOf, type Subjects } from '../../src/protocol/subjects.ts'
import { partitionId, type NodeId } from '../../src/protocol/ids.ts'
import type { TestServer } from '../support/nats-server.ts'
import { RawConnection } from './raw-connection.ts'
import { passwordOf, roles, startServerWithRoles, type Role } from './roles.ts'

const cluster = 'shop'
const c = subjectsOf(cluster)
const p3 = partitionId(3)
const a = 'a' as NodeId
const nobody: readonly Role[] = []

type Row = readonly [subject: string, publish: readonly Role[], subscribe: readonly Role[]]

/** Who may publish, and who may subscribe. A subject that the protocol gains does not compile here before it has its row. */
const protocol: Readonly<Record<Exclude<keyof Subjects, 'cluster' | 'parseCall'>, readonly Row[]>> = {
  call: callKinds.map((kind) => [c.call(kind, 'cart', 'c1', 'add'), ['client'], ['node']]),
  allCalls: callKinds.map((kind) => [c.allCalls(kind), nobody, ['node']]),
  watch: [[c.watch(p3), ['client', 'watcher'], ['node']]],
  scan: [[c.scan(p3), ['node', 'client'], ['node']]],
  position: [[c.position(p3), ['node'], ['node']]],
  list: [[c.list('cart'), ['client'], ['node']]],
  allLists: [[c.allLists, nobody, ['node']]],
  status: [[c.status, ['client', 'operator'], ['node']]],
  changes: [[c.changes('cart', 'c1'), ['node'], ['client', 'watcher']]],
  changesOf: [[c.changesOf('cart'), nobody, ['client', 'watcher']]],
  allChanges: [[c.allChanges, nobody, ['client', 'watcher']]],
  placement: [[c.placement, ['node'], ['node', 'client', 'watcher', 'operator']]],
  placementGet: [[c.placementGet, ['node', 'client', 'watcher', 'operator'], ['node']]],
  placementReport: [[c.placementReport, ['node'], ['node']]],
  placementOrder: [[c.placementOrder, ['operator'], ['node']]],
  partition: [[c.partition(p3), ['node', 'client'], ['node']]],
  nodeFrame: [[c.nodeFrame(a), ['node', 'client'], ['node']]],
  nodeControl: [[c.nodeControl(a), ['node', 'operator'], ['node']]],
  gossip: [[c.gossip(a), ['node'], ['node']]],
  presence: [[c.presence(a), ['node'], ['node']]],
  log: [[c.log(p3), ['node', 'provisioner'], nobody]],
}

const table: readonly Row[] = [
  ...Object.values(protocol).flat(),
  ['shop.anything', nobody, nobody],
  ['shop.>', nobody, nobody],
  ['shopping.log.3', nobody, nobody],
  ['other.call.cart.c1.add', nobody, nobody],
  ['>', nobody, nobody],
  ['*', nobody, nobody],
  // Inboxes: nodes speak to all of them, everybody hears its own.
  ...roles.map((role) => [`_INBOX_shop.${role}.x.1`, ['node'], [role]] as const),
  ...roles.map((role) => [`_INBOX_shop.${role}.>`, nobody, [role]] as const),
  ['_INBOX_shop.>', nobody, nobody],
  ['_INBOX_shop.*.x.1', nobody, nobody],
  ['_INBOX_other.client.x', nobody, nobody],
  ['_INBOX.x.1', nobody, nobody],
  ['_INBOX.>', nobody, nobody],
  // The registry.
  ['$KV.shop_registry.settings', ['provisioner'], nobody],
  ['$KV.shop_registry.generation.3', ['provisioner'], nobody],
  ['$KV.shop_registry.lease.a', ['node'], nobody],
  ['$KV.shop_registry.leader', ['node'], nobody],
  ['$KV.shop_registry.table', ['node'], nobody],
  ['$KV.shop_registry.snapshot.3', ['node', 'provisioner'], nobody],
  ['$KV.shop_registry.other', nobody, nobody],
  ['$KV.other_registry.table', nobody, nobody],
  ['$KV.>', nobody, nobody],
  // Snapshots.
  ['$O.shop_snapshots.C.x', ['node', 'provisioner'], nobody],
  ['$O.shop_snapshots.M.x', ['node', 'provisioner'], nobody],
  ['$O.other_snapshots.C.x', nobody, nobody],
  ['$O.>', nobody, nobody],
  ['$JS.API.STREAM.PURGE.OBJ_shop_snapshots', ['node', 'provisioner'], nobody],
  ['$JS.API.STREAM.PURGE.shop_P3', ['node'], nobody],
  ['$JS.API.STREAM.PURGE.KV_shop_registry', nobody, nobody],
  ['$JS.API.STREAM.MSG.GET.OBJ_shop_snapshots', ['node', 'provisioner', 'operator'], nobody],
  ['$JS.API.STREAM.CREATE.OBJ_shop_snapshots', ['provisioner'], nobody],
  // JetStream.
  ['$JS.API.INFO', ['node', 'provisioner', 'operator'], nobody],
  ['$JS.API.STREAM.INFO.shop_P3', ['node', 'provisioner', 'operator'], nobody],
  ['$JS.API.STREAM.MSG.GET.KV_shop_registry', ['node', 'provisioner', 'operator'], nobody],
  ['$JS.API.STREAM.CREATE.shop_P3', ['provisioner'], nobody],
  ['$JS.API.CONSUMER.CREATE.shop_P3', ['node'], nobody],
  ['$JS.API.CONSUMER.MSG.NEXT.shop_P3.x', ['node'], nobody],
  ['$JS.API.CONSUMER.DELETE.shop_P3.x', ['node'], nobody],
  ...[
    ...['STREAM.UPDATE.shop_P3', 'STREAM.DELETE.shop_P3', 'STREAM.MSG.DELETE.shop_P3'],
    ...['STREAM.DELETE.OBJ_shop_snapshots', 'STREAM.MSG.DELETE.OBJ_shop_snapshots', 'STREAM.PURGE.shop_P3.x'],
    ...[
      'STREAM.SNAPSHOT.shop_P3',
      'STREAM.RESTORE.shop_P3',
      'STREAM.NAMES',
      'STREAM.LIST',
      'STREAM.PEER.REMOVE.shop_P3',
    ],
    ...[
      'CONSUMER.DURABLE.CREATE.shop_P3.x',
      'CONSUMER.CREATE.shop_P3.x.y',
      'CONSUMER.LIST.shop_P3',
      'DIRECT.GET.shop_P3',
    ],
    ...['META.LEADER.STEPDOWN', 'ACCOUNT.PURGE.HOLDFAST', 'STREAM.LEADER.STEPDOWN.shop_P3', 'SERVER.REMOVE'],
  ].map((question) => [`$JS.API.${question}`, nobody, nobody] as const),
  ['$JS.API.>', nobody, nobody],
  ['$JS.>', nobody, nobody],
  ['$JS.ACK.shop_P3.x.1.1.1.1.0', nobody, nobody],
  ['$JS.EVENT.ADVISORY.API', nobody, nobody],
  ['$SYS.REQ.SERVER.PING', nobody, nobody],
  ['$SYS.>', nobody, nobody],
]

let server: TestServer
beforeAll(async () => {
  server = await startServerWithRoles(cluster)
})
afterAll(() => server.stop())

describe.each(roles)('the role %s', (role) => {
  it('may publish and subscribe what is its own, and is denied all else', async () => {
    const connection = await RawConnection.open(server.port, role, passwordOf(role))
    const may: string[] = []
    const expected: string[] = []
    for (const [subject, publish, subscribe] of table) {
      if (publish.includes(role)) expected.push(`publish ${subject}`)
      if (subscribe.includes(role)) expected.push(`subscribe ${subject}`)
      // Nobody can publish to a wildcard.
      if (!/(?:^|\.)[*>](?:\.|$)/.test(subject) && (await connection.mayPublish(subject)))
        may.push(`publish ${subject}`)
      if (await connection.maySubscribe(subject)) may.push(`subscribe ${subject}`)
    }
    connection.close()
    expect(may).toEqual(expected)
    expect(expected.length).toBeGreaterThan(3)
  })

  it('is refused with the password of another', async () => {
    const other = roles.find((candidate) => candidate !== role)!
    await expect(RawConnection.open(server.port, role, passwordOf(other))).rejects.toThrow(/Authorization Violation/)
  })
})
