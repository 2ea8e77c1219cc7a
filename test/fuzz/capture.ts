/** `npx tsx test/fuzz/capture.ts`: writes the corpus anew, from the traffic of an honest cluster with moves, a crash and a drain. */
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Message } from '../../src/ports/transport.ts'
import { partitionId, type NodeId } from '../../src/protocol/ids.ts'
import { encodeControl } from '../../src/placement/control.ts'
import { AttackedCluster, clusterName, partitions } from './attacked-cluster.ts'
import { corpusFolder, forms, type Form } from './corpus.ts'
import { decoders } from './decoders.ts'
import { preyKeys, streamName } from './prey.ts'

const most = 24
const mostBytes = 4_096

const bySubject: readonly (readonly [RegExp, Form])[] = [
  [/^p\.|\.frame$/, 'request-frame'],
  [/^scan\./, 'scan-request'],
  [/^watch\./, 'watch-request'],
  [/^gossip\./, 'gossip'],
  [/^placement$/, 'view'],
  [/^placement\.report$/, 'report'],
  [/^placement\.order$/, 'order'],
  [/\.control$/, 'control'],
  [/^(call|tell|query)\./, 'call'],
  [/^list\./, 'list-request'],
  [/^changes\./, 'change'],
]

const captured = new Map<Form, Map<string, number>>(forms.map((form) => [form, new Map()]))

function keep(form: Form, data: Uint8Array): void {
  const kept = captured.get(form)!
  const text = Buffer.from(data).toString('base64')
  if (data.length <= mostBytes && kept.size < most * 40) kept.set(text, data.length)
}

/** A node's answer could be one of placement, too. */
const isOfPlacement = (data: Uint8Array) => /"(?:plan|reason)":/.test(Buffer.from(data).toString())

/** What comes to an inbox is told apart by who can read it. */
const replies: readonly Form[] = [
  'committed',
  'reply-frame',
  'scan-page',
  'view',
  'status',
  'order-reply',
  'control-reply',
  'page',
  'call-reply',
]

function onMessage({ subject, data }: Message): void {
  if (subject.startsWith('in.')) return keep('task-input', data)
  if (subject.startsWith(`${clusterName}.`)) {
    const rest = subject.slice(clusterName.length + 1)
    const form = bySubject.find(([pattern]) => pattern.test(rest))?.[1]
    if (form !== undefined && data.length > 0) keep(form, data)
    return
  }
  const form = replies.find((one) => {
    if (one === 'order-reply' && !isOfPlacement(data)) return false
    try {
      decoders[one]!(data)
      return true
    } catch {
      return false
    }
  })
  if (form !== undefined && data.length > 0) keep(form, data)
}

const cluster = await AttackedCluster.begin('capture')
const { world, attacker, streams } = cluster
attacker.transport.subscribe('>', onMessage)
const send = (subject: string, body?: unknown, headers?: Record<string, string>) =>
  attacker.transport.publish(subject, body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)), {
    reply: attacker.transport.inbox(),
    ...(headers === undefined ? {} : { headers }),
  })

for (let n = 0; n < 30; n++) {
  const key = preyKeys[n % 5]!
  const token = cluster.subjects.call('call', 'prey', key, 'keep')
  send(token, { list: [n, 'é', { $bigint: '12345678901234567890' }], at: { $date: '2026-01-31T12:00:00.000Z' } })
  send(cluster.subjects.call('tell', 'prey', key, 'add'), n, { 'Hf-Id': `own-${n}`, 'Hf-Timeout': '2000' })
  send(cluster.subjects.call('query', 'prey', key, 'read'))
  send(cluster.subjects.call('call', 'kv-things', `e${n}`, 'put'), { value: { n }, ttlMs: 600_000 })
  send(cluster.subjects.call('call', 'prey', key, 'nothing'))
  send(cluster.subjects.list('kv-things'), { prefix: 'e', limit: 5, reverse: n % 2 === 0 })
  send(cluster.subjects.watch(partitionId(n % partitions)), { from: 'start', type: 'prey', limit: 5 })
  send(cluster.subjects.watch(partitionId(n % partitions)), { from: 'state', type: 'prey' })
  send(cluster.subjects.call('query', 'prey', key, 'read'), undefined, { 'Hf-Max-Staleness': '1000' })
  send(cluster.subjects.status)
  send('in.orders', { order: n, lines: [{ sku: 'a', qty: n }] })
  streams.add(streamName, 'in.stored', Buffer.from(JSON.stringify({ n })))
  await cluster.pass(200)
  if (n % 10 === 5) {
    const node = ['n1', 'n2'][n % 2] as NodeId
    send(cluster.subjects.nodeControl(node), { op: 'clock' })
    for (const to of ['n1', 'n2', 'zz']) send(cluster.subjects.placementOrder, { op: 'move', partition: 1, to })
    for (const op of ['plan', 'rebalance']) send(cluster.subjects.placementOrder, { op })
    const owned = cluster.nodes
      .get(node)!
      .node.status()
      .partitions.findLast(({ role }) => role === 'owner')
    if (owned !== undefined) {
      // To nobody: who owned it asks for another epoch.
      const order = encodeControl({
        op: 'hand-off',
        partition: owned.partition,
        epoch: owned.epoch,
        to: 'zz' as NodeId,
      })
      attacker.transport.publish(cluster.subjects.nodeControl(node), order, { reply: attacker.transport.inbox() })
    }
  }
}
send(cluster.subjects.nodeControl('n1' as NodeId), { op: 'drain' })
await cluster.pass(5_000)
for (const { key, value } of world.registry.list('')) {
  if (key.startsWith('lease.')) keep('lease', value)
  if (key === 'table') keep('table', value)
}
for (let p = 0; p < partitions; p++)
  for (const record of world.changelog.recordsOf(partitionId(p))) keep('record', record)
await cluster.close()

mkdirSync(corpusFolder, { recursive: true })
for (const [form, kept] of captured) {
  // Of all lengths, evenly.
  const sorted = [...kept].sort((a, b) => a[1] - b[1]).map(([text]) => text)
  const step = Math.max(1, sorted.length / most)
  const chosen = Array.from({ length: Math.min(most, sorted.length) }, (_, i) => sorted[Math.floor(i * step)]!)
  writeFileSync(new URL(`${form}.json`, corpusFolder), `${JSON.stringify(chosen, undefined, 2)}\n`)
  process.stdout.write(`${form}: ${chosen.length} of ${kept.size}\n`)
}
