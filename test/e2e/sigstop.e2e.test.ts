/** Nodes are stopped where they stand (SIGSTOP) for longer than their leases, and go on: what they say and send then counts for nothing. */
import { afterEach, expect, it } from 'vitest'
import type { Holdfast } from '../../src/index.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { decodeValue } from '../../src/protocol/values.ts'
import type { Append } from '../../src/testing/check/appends.ts'
import { auditLogs } from './support/log-audit.ts'
import { Ledger } from './support/ledger.ts'
import type { Append as SentAppend, NodeHandle } from './support/node-handle.ts'
import { Probe, valueOf, type Asked } from './support/probe.ts'
import { ProcessCluster } from './support/process-cluster.ts'
import { reckon } from './support/reckoning.ts'
import { isPrefix, readBack, Workload } from './support/workload.ts'

const partitions = 8
const keys = Array.from({ length: 48 }, (_, i) => `k${i}`)
const names = ['a', 'b', 'c']

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

/** One node, frozen once. */
interface Round {
  /** While it was frozen. */
  readonly asked: readonly Asked[]
  /** Those of them that were asked after others had answered what is in `acknowledged`, by key. */
  readonly queriesAfter: readonly Asked[]
  readonly acknowledged: ReadonlyMap<string, readonly string[]>
  /** What the frozen incarnation sent when it went on. */
  readonly late: readonly SentAppend[]
  readonly inHand: boolean
}

it('gives no wrong answer while owners are frozen past their leases and go on', { timeout: 300_000 }, async () => {
  const the = (cluster = await ProcessCluster.start({ partitions }))
  await the.startAll(names)
  const workload = new Workload({ keys, onNews: () => the.tell() })
  workload.begin(await the.client('30s'), 4, 'patient')
  workload.begin(await the.client('400ms'), 4, 'patient')
  workload.beginReading(await the.client('30s'), 3)
  const reader = await the.client('30s')
  const transport = await the.transport()

  const rounds: Round[] = []
  // The leader of placement, then another; stopped with an append in hand, then at any moment of its work.
  for (const [leading, inHand] of [
    [true, true],
    [false, false],
    [true, false],
    [false, true],
  ] as const) {
    // A node that serves nothing yet would be let go on before its lease has ended.
    await the.balanced()
    const victim = await nodeThatIs(the, leading)
    const probe = new Probe({ transport, partitions, name: `probe${rounds.length}`, onNews: () => the.tell() })
    rounds.push(await freezeOnce(the, victim, inHand, probe, reader))
  }
  const probed = rounds.flatMap(({ asked }) => asked.flatMap(appendsOf))
  const { audit } = await reckon(the, workload, keys, probed)
  for (const { asked, queriesAfter, acknowledged, late, inHand } of rounds) {
    for (const query of asked.filter(({ kind, reply }) => kind === 'query' && reply?.kind === 'value')) {
      const ids = valueOf(query) as string[]
      expect(isPrefix(ids, audit.states.get(query.key)), `an answer about ${query.key} that never was its state`).toBe(
        true,
      )
      if (!queriesAfter.includes(query)) continue
      expect(isPrefix(acknowledged.get(query.key), ids), `a stale answer about ${query.key}`).toBe(true)
    }
    expect(asked.some(({ reply }) => reply !== undefined)).toBe(true)
    expect(late.filter(({ hash }) => audit.byHash.get(hash)?.verdict === 'valid')).toEqual([])
    if (inHand) expect(late.length).toBeGreaterThan(0)
  }
})

it('passes over a late append that the log accepts behind the claim (L3)', { timeout: 120_000 }, async () => {
  // Two of these do not fit into one record.
  const [first, second] = ['x'.repeat(6_000), 'y'.repeat(6_000)] as const
  const the = (cluster = await ProcessCluster.start({
    partitions,
    settings: { partition: { maxRecordBytes: 12_000, groupBytes: 1 } },
  }))
  await the.startAll(names)
  await the.balanced()
  const client = await the.client('30s')
  const [one, other] = keysOfOnePartition()
  const partition = partitionOf(one, partitions)
  expect(await client.actor(Ledger, one).append('one')).toBe(1)
  expect(await client.actor(Ledger, other).append('other')).toBe(1)
  const victim = the.serverOf(partition)!
  const probe = new Probe({ transport: await the.transport(), partitions, name: 'probe', onNews: () => the.tell() })

  victim.order({ do: 'freeze', partition })
  // Orders are taken one after the other: when this one is answered the one before is in force.
  const { incarnation } = await the.status(victim)
  await probe.send(victim.name, [
    { key: one, append: first },
    { key: other, append: second },
  ])
  await the.until(() => victim.freezing, `${victim.name} stops itself with an append in hand`)
  await the.until(() => the.serverOf(partition) !== victim, 'another serves the partition')
  const sent = victim.appends.length - 1
  victim.signal('SIGCONT')
  await the.until(() => victim.eventsOf('node.started').length > 1, `${victim.name} comes back`)

  // Of its other partitions it may have been claiming one, or giving one away.
  const late = victim.appends
    .slice(sent)
    .filter((append) => append.partition === partition && append.incarnation === incarnation)
  expect(late.map(({ result }) => result)).toEqual(['refused', 'accepted'])
  // The owner of now comes upon it with its next append; the one after that by reading.
  expect(await client.actor(Ledger, one).append('two')).toBe(2)
  await the.kill(the.serverOf(partition)!)
  expect(await client.actor(Ledger, one).append('three')).toBe(3)
  expect(await readBack(client, [one, other])).toEqual(
    new Map([
      [one, ['one', 'two', 'three']],
      [other, ['other']],
    ]),
  )
  expect(probe.asked.map(({ reply }) => reply?.kind)).not.toContain('value')

  const audit = await auditLogs((await the.ports()).changelog, partitions)
  const [voided] = audit.records.filter(({ verdict }) => verdict === 'void')
  const claim = audit.records.find((record) => record.partition === partition && record.seq === voided!.seq - 1)
  expect(audit.records.filter(({ verdict }) => verdict === 'void')).toHaveLength(1)
  expect(voided!.hash).toBe(late[1]!.hash)
  expect(claim?.record).toMatchObject({ kind: 'claim' })
  expect(audit.byHash.has(late[0]!.hash)).toBe(false)
  expect(the.alarms()).toEqual([])
})

function keysOfOnePartition(): [string, string] {
  const [one, ...rest] = keys as [string, ...string[]]
  return [one, rest.find((key) => partitionOf(key, partitions) === partitionOf(one, partitions))!]
}

/** Freezes a node until others serve what it had, and resolves when it serves again as a new incarnation. */
async function freezeOnce(
  the: ProcessCluster,
  victim: NodeHandle,
  inHand: boolean,
  probe: Probe,
  reader: Holdfast,
): Promise<Round> {
  const { name } = victim
  const { incarnation } = await the.status(victim)
  const theirs = keys.filter((key) => the.serverOf(partitionOf(key, partitions)) === victim)
  // Else the news that others have taken over would wait for it, ahead of what it is asked then: it has to know by its lease (O3).
  victim.order({ do: 'deafen', deaf: true })
  await the.status(victim)
  await stopInPlace(the, victim, inHand)

  const commands = (nth: string) => theirs.map((key) => ({ key, append: `${incarnation}-${key}-${nth}` }))
  const queries = theirs.map((key) => ({ key }))
  await probe.send(name, [...queries, ...commands('first')])
  await the.until(
    () => theirs.every((key) => the.serverOf(partitionOf(key, partitions)) !== victim),
    `others serve what ${name} had`,
  )
  const acknowledged = await readBack(reader, theirs)
  await probe.send(name, [...queries, ...commands('second')])

  const sent = victim.appends.length - (inHand ? 1 : 0)
  const starts = victim.eventsOf('node.started').length
  victim.signal('SIGCONT')
  await the.until(() => victim.eventsOf('node.started').length > starts, `${name} comes back`)
  victim.order({ do: 'deafen', deaf: false })
  const after = () => victim.appends.slice(sent)
  await the.until(
    () => after().some((append) => append.turns > 0 && append.incarnation !== incarnation),
    `${name} commits commands again`,
  )
  return {
    asked: probe.asked,
    queriesAfter: probe.asked.slice(-theirs.length * 2),
    acknowledged,
    late: after().filter((append) => append.incarnation === incarnation),
    inHand,
  }
}

async function stopInPlace(the: ProcessCluster, victim: NodeHandle, inHand: boolean): Promise<void> {
  if (inHand) {
    victim.freezing = false
    victim.order({ do: 'freeze' })
    return void (await the.until(() => victim.freezing, `${victim.name} stops itself with an append in hand`))
  }
  const { commits } = victim
  await the.until(() => victim.commits > commits, `${victim.name} sends one more commit`)
  victim.signal('SIGSTOP')
}

/** Between two leaders there is none for a moment. */
async function nodeThatIs(the: ProcessCluster, leading: boolean): Promise<NodeHandle> {
  for (;;) {
    for (const node of the.nodes.values()) {
      if ((await the.status(node)).leading === leading) return node
    }
  }
}

/** Of a command that was sent once, what its answer says. */
function appendsOf({ kind, key, id, reply }: Asked): readonly Append[] {
  if (kind === 'query') return []
  const refused = reply?.kind === 'moved' || (reply?.kind === 'error' && reply.error.code === 'RETRY')
  const place = reply?.kind === 'value' ? (decodeValue(reply.value) as number) : undefined
  if (place !== undefined) return [{ key, id, outcome: { kind: 'ok', output: place, returnedMs: Infinity } }]
  return [{ key, id, outcome: refused ? { kind: 'failed', code: reply.kind } : { kind: 'unknown' } }]
}
