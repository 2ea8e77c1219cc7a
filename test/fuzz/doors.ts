/**
 * Every way in: each subject that a node or a client listens to, and what else they read that others wrote. A test holds this list against
 * src/protocol/subjects.ts and against what the parts of a cluster subscribe to.
 */
import { partitionId, type NodeId } from '../../src/protocol/ids.ts'
import type { Headers } from '../../src/ports/transport.ts'
import { escapeText, type Subjects } from '../../src/protocol/subjects.ts'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { clusterName, nodeNames, partitions, type AttackedCluster } from './attacked-cluster.ts'
import type { Form } from './corpus.ts'
import type { HeardTransport } from './heard-transport.ts'
import { hostileTexts } from './hostile-bytes.ts'
import { preyKeys, storeName, streamName } from './prey.ts'

export interface Door {
  readonly name: string
  /** Which of the cluster's subjects it is; none: an inbox, or no subject at all. */
  readonly subjects: readonly (keyof Subjects)[]
  readonly form: Form
  readonly json: boolean
  /** How often it is chosen, relative to others. */
  readonly share: number
  /** Where to; by default with a reply subject. Undefined: there is no such place at the moment. */
  readonly at?: (random: SeededRandom, cluster: AttackedCluster) => string | undefined
  readonly headers?: (random: SeededRandom) => Headers | undefined
  /** In place of a message. */
  readonly put?: (data: Buffer, random: SeededRandom, cluster: AttackedCluster) => void
}

const partition = (random: SeededRandom) => partitionId(random.below(partitions))
const node = (random: SeededRandom) => random.pick(nodeNames) as string as NodeId

/** Tokens as they come, not as they should be: what the wire lets through. */
const tokens = [
  ...hostileTexts.map(escapeText),
  '=',
  '=2e',
  '=41',
  `=h${'0'.repeat(64)}`,
  '__proto__',
  'x'.repeat(129),
].filter((token) => token !== '')
const token = (random: SeededRandom, ...usual: readonly string[]) =>
  (random.chance(0.85) ? random.pick(usual.map(escapeText)) : random.pick(tokens)) ?? 'x'

const values = [
  '',
  ' ',
  '0',
  '-1',
  '1e9',
  '999999999999',
  'x'.repeat(300),
  '=E9',
  'own-1',
  's:1',
  's:9007199254740993',
  '__proto__:1',
]

function callHeaders(random: SeededRandom): Headers | undefined {
  if (random.chance(0.5)) return undefined
  const names = ['Hf-Id', 'Hf-Timeout', 'Hf-Key', 'Hf-Type', 'Hf-Idempotency-Key', '__proto__', 'constructor']
  const some = names.filter(() => random.chance(0.3))
  return Object.fromEntries(some.map((name) => [name, random.pick(values) ?? '']))
}

function changeHeaders(random: SeededRandom): Headers {
  const cursor = random.pick([
    `${random.below(6)}-g-1-1`,
    '0-x-9007199254740991-2147483647',
    '',
    'x'.repeat(300),
    '-1-g-1-1',
  ])
  return { 'Hf-Rev': String(random.below(9)), 'Hf-Cursor': cursor, ...(random.chance(0.2) ? { 'Hf-Key': '=41' } : {}) }
}

/** One of the inboxes of the exposed client, by the n-th pattern that it listens to; where it last asked from, if it did. */
function inbox(transport: HeardTransport, of: RegExp, random: SeededRandom): string | undefined {
  const asked = transport.sent.findLast(({ subject, reply }) => reply !== undefined && of.test(subject))?.reply
  return asked?.replace(/[^.]+$/, (last) => (random.chance(0.5) ? last : String(random.below(2_000))))
}

const exposed = (of: RegExp) => (random: SeededRandom, cluster: AttackedCluster) =>
  inbox(cluster.exposed.transport, of, random)

const callKind = (random: SeededRandom) => random.pick(['call', 'tell', 'query'])

export const doors: readonly Door[] = [
  {
    name: 'p',
    subjects: ['partition'],
    form: 'request-frame',
    json: false,
    share: 24,
    at: (random, { subjects }) => subjects.partition(partition(random)),
  },
  {
    name: 'node.frame',
    subjects: ['nodeFrame'],
    form: 'request-frame',
    json: false,
    share: 12,
    at: (random, { subjects }) => subjects.nodeFrame(node(random)),
  },
  {
    name: 'node.control',
    subjects: ['nodeControl'],
    form: 'control',
    json: true,
    share: 3,
    at: (random, { subjects }) => subjects.nodeControl(node(random)),
  },
  {
    name: 'gossip',
    subjects: ['gossip'],
    form: 'gossip',
    json: false,
    share: 6,
    at: (random, { subjects }) => subjects.gossip(node(random)),
  },
  {
    // Whatever comes is passed over.
    name: 'presence',
    subjects: ['presence'],
    form: 'gossip',
    json: false,
    share: 1,
    at: (random, { subjects }) => subjects.presence(node(random)),
  },
  {
    name: 'call',
    subjects: ['call', 'allCalls'],
    form: 'call',
    json: true,
    share: 10,
    at: (random) =>
      `${clusterName}.${callKind(random)}.${token(random, 'prey', `kv-${storeName}`)}.${token(random, ...preyKeys)}.${token(random, 'add', 'keep', 'read', 'put')}`,
    headers: callHeaders,
  },
  {
    name: 'list',
    subjects: ['list', 'allLists'],
    form: 'list-request',
    json: true,
    share: 2,
    at: (random) => `${clusterName}.list.${token(random, `kv-${storeName}`, 'prey')}`,
    headers: callHeaders,
  },
  {
    name: 'watch',
    subjects: ['watch'],
    form: 'watch-request',
    json: true,
    share: 3,
    at: (random, { subjects }) => subjects.watch(partition(random)),
  },
  {
    name: 'scan',
    subjects: ['scan'],
    form: 'scan-request',
    json: false,
    share: 6,
    at: (random, { subjects }) => subjects.scan(partition(random)),
  },
  {
    name: 'position',
    subjects: ['position'],
    form: 'committed',
    json: true,
    share: 1,
    at: (random, { subjects }) => subjects.position(partition(random)),
  },
  {
    name: 'placement',
    subjects: ['placement'],
    form: 'view',
    json: true,
    share: 2,
    at: (_, { subjects }) => subjects.placement,
  },
  {
    name: 'placement.get',
    subjects: ['placementGet'],
    form: 'call',
    json: true,
    share: 2,
    at: (_, { subjects }) => subjects.placementGet,
  },
  {
    name: 'placement.report',
    subjects: ['placementReport'],
    form: 'report',
    json: true,
    share: 2,
    at: (_, { subjects }) => subjects.placementReport,
  },
  {
    name: 'placement.order',
    subjects: ['placementOrder'],
    form: 'order',
    json: true,
    share: 2,
    at: (_, { subjects }) => subjects.placementOrder,
  },
  {
    name: 'status',
    subjects: ['status'],
    form: 'call',
    json: true,
    share: 1,
    at: (_, { subjects }) => subjects.status,
  },
  {
    name: 'changes',
    subjects: ['changes', 'changesOf', 'allChanges'],
    form: 'change',
    json: true,
    share: 4,
    at: (random) => `${clusterName}.changes.${token(random, 'prey')}.${token(random, ...preyKeys)}`,
    headers: changeHeaders,
  },
  {
    name: 'inbox of replies',
    subjects: [],
    form: 'reply-frame',
    json: false,
    share: 6,
    at: exposed(/\.frame$|\.p\.\d+$/),
  },
  {
    name: 'inbox of views',
    subjects: [],
    form: 'view',
    json: true,
    share: 2,
    at: (random, cluster) => viewInbox(cluster, random),
  },
  { name: 'inbox of pages', subjects: [], form: 'page', json: true, share: 4, at: exposed(/\.watch\.\d+$/) },
  { name: 'inbox of scans', subjects: [], form: 'scan-page', json: false, share: 4, at: exposed(/\.scan\.\d+$/) },
  {
    name: 'task subject',
    subjects: [],
    form: 'task-input',
    json: true,
    share: 4,
    at: (random) => `in.${token(random, 'orders')}`,
  },
  {
    name: 'task stream',
    subjects: [],
    form: 'task-input',
    json: true,
    share: 1,
    put: (data, random, { streams }) => void streams.add(streamName, `in.${token(random, 'stored')}`, data),
  },
  {
    name: 'registry lease',
    subjects: [],
    form: 'lease',
    json: true,
    share: 1,
    put: (data, random, { world }) =>
      void world.registry.write(`lease.${random.pick(['x', 'y', 'z'])}`, data, undefined),
  },
  { name: 'changelog', subjects: ['log'], form: 'record', json: false, share: 8 },
  { name: 'registry table', subjects: [], form: 'table', json: true, share: 1 },
  { name: 'status report', subjects: [], form: 'status', json: true, share: 1 },
  { name: 'control reply', subjects: [], form: 'control-reply', json: true, share: 1 },
  { name: 'order reply', subjects: [], form: 'order-reply', json: true, share: 1 },
]

/** No subjects, or those of another door. */
export const noSubjects: readonly (keyof Subjects)[] = ['cluster', 'parseCall']

function viewInbox(cluster: AttackedCluster, random: SeededRandom): string | undefined {
  return inbox(cluster.exposed.transport, /\.placement\.get$/, random)?.replace(/[^.]+$/, 'view')
}
