/** A node whose connection is silent for longer than its lease renews it by the other one, and goes on as it was. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { defaultMembershipSettings } from '../../actors/membership.ts'
import { openNats, type NatsPorts } from '../../src/adapters/nats/open.ts'
import { connect, createNode, type Holdfast, type HoldfastNode } from '../../src/index.ts'
import { leaseKey } from '../../src/membership/lease.ts'
import type { NodeId } from '../../src/protocol/ids.ts'
import { makeParts, quick, Wire } from '../adapters/nats-world.ts'
import { Ledger } from '../e2e/support/ledger.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

let server: TestServer
let wire: Wire
let folder: string
let node: HoldfastNode
let client: Holdfast
let ports: NatsPorts

const cluster = 'spare'
const parts = makeParts()

beforeEach(async () => {
  server = await startNatsServer()
  wire = await Wire.to(server.port)
  folder = await mkdtemp(join(tmpdir(), 'holdfast-spare-'))
  const dataDir = join(folder, 'a')
  const { observer } = parts
  node = await createNode({
    servers: wire.url,
    cluster,
    nodeId: 'a',
    dataDir,
    partitions: 4,
    actors: [Ledger],
    observer,
    // A machine that stops for a while makes the silence longer: no ping is to end it.
    pingIntervalMs: 60_000,
  })
  client = await connect({ servers: server.url, cluster })
  ports = await openNats({ servers: server.url, cluster, ...quick }, makeParts())
})

afterEach(async () => {
  await node.close()
  await client.close()
  await ports.close()
  await wire.close()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

it('keeps its lease, its partitions and its connection', { timeout: 60_000 }, async () => {
  expect(await client.actor(Ledger, 'k').append('before')).toBe(1)
  const said = parts.events.length
  wire.hangFirst()
  const { renewEveryMs, leaseTermMs } = defaultMembershipSettings
  const enough = (1.5 * leaseTermMs) / renewEveryMs
  // The present lease, and then renewals of it.
  let seen = 0
  await new Promise<void>((resolve) => {
    ports.registry.watch(leaseKey('a' as NodeId), () => void (++seen > enough && resolve()))
  })
  wire.mend()
  expect(await client.actor(Ledger, 'k').append('after')).toBe(2)
  expect(parts.events.slice(said).filter(({ type }) => /^(?:transport|node|member|partition)\./.test(type))).toEqual([])
})
