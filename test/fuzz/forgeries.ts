/**
 * Messages that are whole and untrue: the right shape, with sessions of others, absurd numbers, names that mean something elsewhere, and
 * epochs and incarnations as they are at the moment.
 */
import { encodeView } from '../../src/core/table.ts'
import { epoch } from '../../src/protocol/ids.ts'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { nodeNames, partitions, type AttackedCluster } from './attacked-cluster.ts'
import type { Form } from './corpus.ts'
import {
  absurdNumbers,
  extension,
  hostileKeys,
  hostileTexts,
  hostileValue,
  packed,
  randomBytes,
  Raw,
} from './hostile-bytes.ts'
import { preyKeys, storeName } from './prey.ts'

type Forge = (random: SeededRandom, cluster: AttackedCluster) => Uint8Array

/** Mostly the first, else one of the others. */
const mostly = <T>(random: SeededRandom, usual: T, others: readonly T[]): T =>
  random.chance(0.85) ? usual : (random.pick(others) ?? usual)

const number = (random: SeededRandom) => random.pick(absurdNumbers)!
const text = (random: SeededRandom, ...usual: readonly string[]) =>
  mostly(random, random.pick(usual) ?? '', [...hostileTexts, ...hostileKeys])
const json = (value: unknown) => Buffer.from(JSON.stringify(value) ?? 'null')

const commands = [
  'add',
  'keep',
  'later',
  'fail',
  'end',
  'read',
  'put',
  'putIfAbsent',
  'update',
  'delete',
  'get',
  'entry',
]
const types = ['prey', `kv-${storeName}`, 'kv-heard-seen', 'ledger']
/** A handful, so that attackers meet each other in them. */
const sessions = Array.from({ length: 40 }, (_, n) => `forged${n}`)

function requestFrame(random: SeededRandom): Uint8Array {
  const requests = Array.from({ length: mostly(random, 1, [0, 2, 5, 40]) }, () => {
    const input = mostly(random, packed(hostileValue(random)), [randomBytes(random, random.below(20)), Buffer.alloc(0)])
    const length = mostly<number>(random, input.length, [number(random), input.length + 1])
    const kept = mostly<unknown>(random, null, [
      'once',
      random.pick(hostileTexts),
      'x'.repeat(257),
      7,
      hostileValue(random),
    ])
    const kind = mostly(random, random.below(4), [4, 255, number(random)])
    const [type, key, name] = [text(random, ...types), text(random, ...preyKeys), text(random, ...commands)]
    const flat = [kind, mostly(random, random.below(5_000), absurdNumbers), type, key, name, length]
    const bounds = [mostly<unknown>(random, 500, [null, ...absurdNumbers]), 'g', mostly(random, 9, absurdNumbers)]
    const last = random.chance(0.2) ? bounds.slice(0, mostly(random, 3, [0, 1, 2])) : kept
    return { input, fields: [...flat, mostly(random, 10_000, absurdNumbers), last] }
  })
  const inputs = Buffer.concat(requests.map(({ input }) => input))
  const session = text(random, ...sessions, 'x-own-1')
  const head = [mostly(random, 3, absurdNumbers), mostly(random, partitions, [...absurdNumbers, 8, 512]), session]
  return packed([
    ...head,
    mostly(random, random.below(50), absurdNumbers),
    inputs,
    ...requests.flatMap(({ fields }) => fields),
  ])
}

function replyFrame(random: SeededRandom): Uint8Array {
  const replies = Array.from({ length: random.below(4) }, () => {
    const body = random.pick<unknown>([
      3,
      [random.pick(['INVALID', 'RETRY', 'OVERLOADED', 'UNKNOWN', 'OOPS']), text(random, 'why'), number(random), null],
      [text(random, 'n1', 'zz'), number(random)],
      [random.below(4), 'g', mostly(random, 9, absurdNumbers), ...(random.chance(0.5) ? [number(random)] : [])],
      hostileValue(random),
    ])
    return [mostly(random, random.below(400), absurdNumbers), mostly(random, random.below(4), absurdNumbers), body]
  })
  return packed([mostly(random, 3, absurdNumbers), text(random, ...sessions), Buffer.alloc(3), ...replies.flat()])
}

function scanRequest(random: SeededRandom): Uint8Array {
  const bound = () => mostly<unknown>(random, null, [...preyKeys, ...hostileTexts, hostileValue(random)])
  const kind = mostly(random, random.below(4), absurdNumbers)
  const limit = mostly(random, 1 + random.below(50), absurdNumbers)
  const snapshot = mostly<unknown>(random, null, ['1-1', '9-9', text(random, '1-2')])
  const bounds = [bound(), bound(), bound(), bound()]
  return packed([
    mostly(random, 1, absurdNumbers),
    kind,
    text(random, ...types),
    ...bounds,
    random.chance(0.3),
    limit,
    snapshot,
  ])
}

function scanPage(random: SeededRandom): Uint8Array {
  const rows = Array.from({ length: random.below(4) }, () => [text(random, ...preyKeys), number(random), 0, null])
  const head = [1, 0, 'g', number(random), random.chance(0.5), random.pick([null, 'k', '']), rows.length, null]
  return random.chance(0.3)
    ? packed([1, 1, random.pick(['RETRY', 'INVALID', 'NOT_FOUND', 'OOPS']), text(random, 'why')])
    : packed([...head, Buffer.alloc(0), ...rows.flat()])
}

function watchRequest(random: SeededRandom): Uint8Array {
  const cursor = `${random.below(5)}-${random.pick(['g', '4M6njwcYFYMftDXR9T9lZn'])}-${number(random)}-${number(random)}`
  const optional = (value: unknown) => (random.chance(0.4) ? { value } : {})
  const { value: key } = optional(text(random, ...preyKeys)) as { value?: unknown }
  const { value: limit } = optional(mostly(random, 1 + random.below(20), absurdNumbers)) as { value?: unknown }
  const { value: snapshot } = optional(text(random, '1-1')) as { value?: unknown }
  const from = text(random, mostly(random, 'now', ['start', 'state']), cursor)
  return json({ from, type: text(random, ...types), key, limit, snapshot })
}

function page(random: SeededRandom): Uint8Array {
  const cursor = () => `${random.below(5)}-g-${random.below(100)}-${random.below(5)}`
  return json(
    random.pick<unknown>([
      { end: true, next: cursor(), head: cursor(), more: true, count: number(random) },
      { end: true, next: cursor(), head: cursor(), more: false, count: 0 },
      { error: { code: random.pick(['EXPIRED', 'RETRY', 'NOT_FOUND', 'INVALID', '__proto__']), message: 'why' } },
      { type: 'prey', key: 'k0', rev: number(random), state: { $date: 'x' }, cursor: cursor(), at: number(random) },
    ]),
  )
}

function gossip(random: SeededRandom): Uint8Array {
  const id = () => text(random, ...nodeNames, `made-up-${random.below(3_000)}`)
  const version = () => [
    id(),
    mostly(random, random.below(99), absurdNumbers),
    'made1',
    mostly(random, 9, absurdNumbers),
  ]
  const news = Array.from({ length: random.below(5) }, () => {
    const hosted = random.chance(0.5) ? [0, random.below(5), number(random), number(random), 0, 'ff'] : []
    const details = random.chance(0.7) ? ['host', 'zone', 'v'.repeat(200), number(random), false, ...hosted] : []
    return packed([...version(), mostly(random, 1, absurdNumbers), ...details])
  })
  const versions = Array.from({ length: random.below(4) }, version).flat()
  const known = random.chance(0.5) ? [mostly(random, 3, absurdNumbers)] : []
  return packed([mostly(random, 1, absurdNumbers), random.below(4), id(), versions, news, ...known])
}

function view(random: SeededRandom): Uint8Array {
  const owner = () => random.pick([...nodeNames, null, 'nobody'])
  const owners = Array.from({ length: mostly(random, partitions, [1, 2, 8, 512]) }, owner)
  const version = mostly(random, 2 ** 53 - 1, [0, 1, 1_000]) - random.below(1_000)
  return random.chance(0.8)
    ? encodeView({
        version: Math.max(0, version),
        owners: owners as never,
        standbys: random.chance(0.5) ? [] : owners.map(() => ['n1' as never]),
      })
    : json({ format: number(random), version: number(random), owners })
}

/** As they are now: forged orders that fit. */
function truth(random: SeededRandom, { nodes }: AttackedCluster) {
  const { node } = nodes.get(random.pick(nodeNames))!
  const { id, incarnation, partitions: owned } = node.status()
  const one = random.pick(owned)
  return { node: { id, incarnation }, partition: one?.partition ?? 0, epoch: (one?.epoch ?? epoch(0)) as number }
}

function control(random: SeededRandom, cluster: AttackedCluster): Uint8Array {
  const { partition, epoch: now } = truth(random, cluster)
  const op = mostly(random, 'hand-off', ['drain', 'clock', 'recover', '__proto__'])
  const [at, to] = [mostly(random, now + 1, [...absurdNumbers, now]), text(random, ...nodeNames, 'nobody')]
  return json({ op, partition: mostly(random, partition, absurdNumbers), epoch: at, to })
}

function report(random: SeededRandom, cluster: AttackedCluster): Uint8Array {
  const { node, partition, epoch: now } = truth(random, cluster)
  const op = random.pick(['epoch-spent', 'cannot-open', 'anything'])
  const reason = mostly<unknown>(random, 'why', [{}, [], null, 'x'.repeat(10_000)])
  const at = mostly(random, Math.max(0, now - 1), [...absurdNumbers, now, now + 1, now + 1_000])
  return json({ op, node, partition: mostly(random, partition, absurdNumbers), epoch: at, reason })
}

function order(random: SeededRandom, cluster: AttackedCluster): Uint8Array {
  const { partition } = truth(random, cluster)
  const op = mostly(random, 'move', ['plan', 'rebalance', 'recover', '__proto__'])
  const to = text(random, ...nodeNames, 'nobody')
  if (op !== 'move' && random.chance(0.8)) return json({ op })
  return json({
    op,
    partition: mostly(random, partition, absurdNumbers),
    to,
    ...(random.chance(0.1) ? { why: to } : {}),
  })
}

/** An input in JSON, its forms misused. */
function jsonValue(random: SeededRandom, depth = 3): unknown {
  const form = random.pick(['$bytes', '$bigint', '$date', '$object'])
  switch (random.below(depth > 0 ? 7 : 3)) {
    case 0:
      return random.pick(absurdNumbers)
    case 1:
      return random.pick(hostileTexts)
    case 2:
      return random.pick([null, true, 'AAAA', '2026-01-31T12:00:00.000Z', '123'])
    case 3:
      return { [form]: jsonValue(random, depth - 1) }
    case 4:
      return [jsonValue(random, depth - 1), jsonValue(random, depth - 1)]
    case 5:
      return JSON.parse(`{${JSON.stringify(random.pick(hostileKeys))}:1}`) as unknown
    default:
      return { value: jsonValue(random, depth - 1), rev: number(random), ttlMs: number(random) }
  }
}

const jsonInput: Forge = (random) => json(jsonValue(random))

function listRequest(random: SeededRandom): Uint8Array {
  const bound = () => mostly<unknown>(random, undefined, [...hostileTexts, 7, null])
  return json({ from: bound(), prefix: bound(), after: bound(), limit: mostly<unknown>(random, 3, absurdNumbers) })
}

const anything: Forge = (random) => packed(hostileValue(random))

/** Of a version, kind and extension that nobody knows. */
const strange: Forge = (random) =>
  packed([random.below(256), new Raw(extension(random.below(256), randomBytes(random, 8))), hostileValue(random)])

const forgeries: Readonly<Partial<Record<Form, Forge>>> = {
  'request-frame': requestFrame,
  'reply-frame': replyFrame,
  'scan-request': scanRequest,
  'scan-page': scanPage,
  'watch-request': watchRequest,
  page,
  change: page,
  gossip,
  view,
  control,
  report,
  order,
  call: jsonInput,
  'list-request': listRequest,
  'task-input': jsonInput,
  record: strange,
}

export const forged = (form: Form, random: SeededRandom, cluster: AttackedCluster): Buffer =>
  Buffer.from((forgeries[form] ?? anything)(random, cluster))
