/** Orders to a cluster that does not answer as one would like: what a run says of them, and its exit code. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryHub } from '../../src/adapters/memory/hub.ts'
import { DirectLink } from '../../src/adapters/memory/link.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import { openNatsDoor, type NatsDoor } from '../../src/cli/nats-door.ts'
import type { PlacementState } from '../../src/core/placement-state.ts'
import { initialTable } from '../../src/core/table.ts'
import { encodeControl } from '../../src/placement/control.ts'
import { decodeOrder, encodeOrderAnswer, type Order, type OrderAnswer } from '../../src/placement/order.ts'
import { encodeReport, reportOf } from '../../src/placement/status-report.ts'
import { silent } from '../../src/ports/observer.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { epoch, incarnation, type NodeId, type NodeRef } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { runHere } from './program-only.ts'

const subjects = subjectsOf('shop')
const random = new SystemRandom()

let hub: MemoryHub
let door: NatsDoor
/** On which the test plays the nodes. */
let nodes: Transport
const inside = () => hub.connect({ link: new DirectLink(new SystemClock()), name: random.id(), observer: silent })

beforeEach(async () => {
  hub = new MemoryHub({ random, maxPayload: 100_000 })
  door = await openNatsDoor(0, inside, () => {})
  nodes = inside()
})
afterEach(() => door.close())

/** What comes to the subject is answered with what `reply` gives, if it gives something. */
const answer = (subject: string, reply: (data: Uint8Array) => Uint8Array | undefined) =>
  nodes.subscribe(subject, (message) => {
    const bytes = reply(message.data)
    if (bytes !== undefined) nodes.publish(message.reply!, bytes)
  })
const cli = (...words: readonly string[]) =>
  runHere([...words, '--cluster', 'shop', '--servers', `127.0.0.1:${door.port}`])

const ref = (id: string): NodeRef => ({ id: id as NodeId, incarnation: incarnation(`${id}1`) })

/** Of one partition, which nodes a and b can have. */
const ownedBy = (owner: NodeRef, moving: NodeRef | null = null): PlacementState => ({
  leader: 'a' as NodeId,
  members: [ref('a'), ref('b')].map((node) => ({
    ...{ ref: node, host: node.id, zone: '', weight: 1, draining: false },
    ...{ hosted: new Map(), avoid: new Set(), avoidedForMs: new Map() },
  })),
  table: { version: 3, entries: [{ ...initialTable(1).entries[0]!, owner, moving, epoch: epoch(4) }] },
  ...{ placedByHand: new Set(), standbys: 1, maxExtraStandbys: 2 },
})

/** Answers orders to placement. */
function leader(carryOut: (order: Order) => OrderAnswer | undefined): void {
  answer(subjects.placementGet, () => new Uint8Array())
  answer(subjects.placementOrder, (data) => {
    const said = carryOut(decodeOrder(data))
    return said === undefined ? undefined : encodeOrderAnswer(said)
  })
}

const ownsAlready: OrderAnswer = { done: false, again: false, reason: 'b owns partition 0 already' }

describe('move', () => {
  it('that was done before its answer was lost is done (MV1)', async () => {
    let owner = ref('a')
    leader(({ op }) => {
      if (op === 'plan') return { done: true, state: ownedBy(owner) }
      if (owner.id === 'b') return ownsAlready
      owner = ref('b')
      return undefined
    })
    expect(await cli('move', '0', '--to', 'b')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^partition 0 is moving from a to b/),
    })
  })

  it('to the node that had it before is a conflict', async () => {
    leader(({ op }) => (op === 'plan' ? { done: true, state: ownedBy(ref('b')) } : ownsAlready))
    expect(await cli('move', '0', '--to', 'b')).toMatchObject({
      code: 5,
      stdout: '',
      stderr: `${ownsAlready.reason}\n`,
    })
  })
})

const details = { host: '', zone: '', weight: 1, draining: false, state: 'alive', renewal: 1 } as const

/** Answers `status`: nodes a and b are there. */
function reporting(owner = ref('a'), moving: NodeRef | null = null) {
  const table = ownedBy(owner, moving).table
  const report = reportOf({
    ...{ cluster: 'shop', self: ref('b').id, nowMs: 0, settings: { partitions: 1, leaseMs: 500 }, leader: ref('b') },
    ...{ table, alive: ['a', 'b'].map((id) => ({ ...ref(id), ...details })), members: [] },
  })
  return answer(subjects.status, () => encodeReport(report))
}

describe('a node that is silent', () => {
  it.each([
    ['drain', 'a'],
    ['snapshot', '0'],
  ])('is named by %s: the cluster is there', async (...words) => {
    reporting()
    expect(await cli(...words, '--timeout', '300ms')).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringMatching(/^(?:a owns .*\n)?the node a does not answer: [^\n]*\n$/),
    })
  })
})

describe('what may have been done, or goes on, is exit code 4', () => {
  const control = subjects.nodeControl(ref('a').id)
  const soon = ['--timeout', '300ms']
  const unknown = (sentence: RegExp) => ({ code: 4, stdout: '', stderr: expect.stringMatching(sentence) })

  it('where time is over before a drain is', async () => {
    reporting()
    answer(control, () => encodeControl({ done: true }))
    expect(await cli('drain', 'a', ...soon)).toMatchObject(
      unknown(/^the drain of a was begun, and goes on: a still owns 1 partitions, or is about to, after 300 ms, see/m),
    )
  })

  it('where a partition is still on its way to a node that is drained', async () => {
    reporting(ref('b'), ref('a'))
    answer(control, () => encodeControl({ done: true }))
    expect(await cli('drain', 'a', ...soon)).toMatchObject(
      unknown(/^the drain of a was begun, and goes on: a still owns 1 partitions, or is about to, after 300 ms, see/m),
    )
  })

  it('where nobody tells any more how far a drain is', async () => {
    const reports = reporting()
    answer(control, () => {
      reports.close()
      return encodeControl({ done: true })
    })
    expect(await cli('drain', 'a', ...soon)).toMatchObject(
      unknown(/^the drain of a was begun, and goes on: .* no node/m),
    )
  })

  it('where time is over before a move is', async () => {
    leader(({ op }) => ({ done: true, ...(op === 'plan' ? { state: ownedBy(ref('a'), ref('b')) } : {}) }))
    expect(await cli('move', '0', '--to', 'b', '--wait', ...soon)).toMatchObject(
      unknown(/^the move of partition 0 to b was begun, and goes on: b does not serve partition 0 after 300 ms, see/m),
    )
  })

  it('where time is over before a snapshot is cut', async () => {
    reporting()
    answer(control, () => encodeControl({ done: true, snapshot: { state: 'cutting' } }))
    expect(await cli('snapshot', '0', ...soon)).toMatchObject(
      unknown(/^the snapshot of partition 0 is not cut after 300 ms/),
    )
  })

  it('where nobody answers the order', async () => {
    reporting()
    answer(control, () => undefined)
    leader(({ op }) => (op === 'plan' ? { done: true, state: ownedBy(ref('a')) } : undefined))
    for (const line of ['drain a', 'snapshot 0', 'move 0 --to b', 'rebalance'])
      expect(await cli(...line.split(' '), ...soon), line).toMatchObject(
        unknown(/^nobody has answered the order on shop\.\S+ within \d+ ms, and it may have been carried out/m),
      )
  })
})

describe('what only was to be told', () => {
  it('is exit code 3, for nothing happened', async () => {
    leader(() => undefined)
    expect(await cli('placement', 'explain', '0', '--timeout', '300ms')).toMatchObject({ code: 3, stdout: '' })
  })

  it('and a snapshot that no owner has begun, too', async () => {
    reporting()
    answer(subjects.nodeControl(ref('a').id), () => encodeControl({ done: false }))
    expect(await cli('snapshot', '0', '--timeout', '300ms')).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^nobody serves partition 0/),
    })
  })
})
