import { afterEach, describe, expect, it } from 'vitest'
import { parseCommandId } from '../../src/client/command-id.ts'
import { addressOf, type Session } from '../../src/client/session.ts'
import type { RequestOptions } from '../../src/client/session-options.ts'
import { isHoldfastError, type ErrorCode, type HoldfastError } from '../../src/protocol/errors.ts'
import type { RequestKind } from '../../src/protocol/frames.ts'
import type { Value } from '../../src/protocol/values.ts'
import {
  failure,
  FakeCluster,
  moved,
  subjects,
  value,
  type Answer,
  type Behave,
  type FakeClient,
} from './fake-cluster.ts'

let clients: FakeClient[] = []
afterEach(() => {
  for (const { session } of clients) session.close()
  clients = []
})

const ok: Behave = (request) => value(request.number)
const silent: Behave = () => null

async function start(
  behave: Behave,
  options: Parameters<FakeCluster['client']>[0] = {},
  shape: ConstructorParameters<typeof FakeCluster>[0] = {},
) {
  const cluster = new FakeCluster(shape)
  const node = cluster.node('n1', behave)
  const client = cluster.client(options)
  clients.push(client)
  await cluster.clock.settle(client.session.whenPlaced(), 1_000)
  return { cluster, node, client, clock: cluster.clock, session: client.session }
}

/** As `start`, with nobody known to own partition 0. */
async function startUnowned(behave: Behave) {
  const world = await start(behave)
  const { cluster, clock, node } = world
  const name = (owner: string | null) => {
    cluster.owners[0] = owner
    cluster.publishView(node)
  }
  name(null)
  await clock.advance(10)
  return { ...world, name }
}

const call = (session: Session, key: string, options?: RequestOptions, kind: RequestKind = 'command') =>
  session.request(kind, addressOf('t', key), 'do', null, options)

/** The error that a promise rejects with; handled from now on. */
function errorOf(promise: Promise<unknown>): Promise<HoldfastError> {
  return promise.then(
    () => Promise.reject(new Error('it was not rejected')),
    (error: unknown) => (isHoldfastError(error) ? error : Promise.reject(error as Error)),
  )
}

const codeOf = async (promise: Promise<unknown>): Promise<ErrorCode> => (await errorOf(promise)).code

describe('frames', () => {
  it('carry all requests of one tick to one node (S1)', async () => {
    const { session, clock, node } = await start(ok)
    const all = Promise.all(Array.from({ length: 100 }, (_, i) => call(session, `k${i}`)))
    expect(await clock.settle(all, 1_000)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    expect(node.received.length).toBe(1)
    expect(node.received[0]).toMatchObject({
      subject: 'test.node.n1.frame',
      frame: { partitions: 4, session: session.id, low: 1 },
    })
    expect(session.outstanding).toBe(0)
  })

  it.each<[what: string, kind: RequestKind, type: string, options?: RequestOptions]>([
    ['a text that is not well-formed', 'command', '\ud800'],
    ['an empty idempotency key', 'command', 't', { idempotencyKey: '' }],
    ['an idempotency key that is too long', 'command', 't', { idempotencyKey: 'x'.repeat(257) }],
    ['a time that is no whole number any more', 'command', 't', { timeoutMs: 1e16 }],
    ['a staleness that is none', 'query', 't', { maxStalenessMs: Number.MAX_VALUE }],
  ])('leave without what no node would read: %s (O5)', async (_, kind, type, options) => {
    const { session, clock, node } = await start(ok)
    const neighbours = [call(session, 'a')]
    const refused = codeOf(session.request(kind, { ...addressOf('t', 'b'), type }, 'do', null, options))
    neighbours.push(call(session, 'c'))
    expect(await clock.settle(Promise.all(neighbours), 100)).toEqual([1, 3])
    expect(await refused).toBe('INVALID')
    expect(node.requests.map(({ key }) => key)).toEqual(['a', 'c'])
    expect(session.outstanding).toBe(0)
  })

  it('are no larger than the server takes by now; what is too large for it alone is INVALID, and the rest goes on (O5)', async () => {
    const { session, clock, node, cluster } = await start(ok)
    const large = (key: string, bytes: number) =>
      session.request('command', addressOf('t', key), 'do', new Uint8Array(bytes))
    cluster.world.hub.maxPayload = 32_768
    const refused = codeOf(large('a', 40_000))
    const split = Promise.all([large('b', 10_000), large('c', 10_000)])
    const [tooLarge, neighbour] = [errorOf(large('d', 15_000)), call(session, 'e')]
    cluster.world.hub.maxPayload = 12_288
    expect(await refused).toBe('INVALID')
    expect(await clock.settle(split, 100)).toHaveLength(2)
    expect(await clock.settle(tooLarge, 100)).toMatchObject({ code: 'INVALID' })
    expect(await clock.settle(neighbour, 100)).toBeTypeOf('number')
    expect(node.received.map(({ frame }) => frame.requests.map(({ key }) => key))).toEqual([['b'], ['c'], ['e']])
    expect(session.outstanding).toBe(0)
  })

  it('wait for the answer to an earlier attempt where the server takes them no more, and are UNKNOWN without one (O5)', async () => {
    const { session, clock, node, cluster } = await start(silent)
    const input = new Uint8Array(15_000)
    const request = session.request('command', addressOf('t', 'a'), 'do', input, { timeoutMs: 3_000 })
    await clock.advance(10)
    cluster.world.hub.maxPayload = 8_192
    expect(await clock.settle(errorOf(request), 3_100)).toMatchObject({ code: 'UNKNOWN' })
    expect(node.received).toHaveLength(1)
  })

  it('go to each owner, one each (S1)', async () => {
    const cluster = new FakeCluster()
    const nodes = [cluster.node('a', ok, [0, 1]), cluster.node('b', ok, [2, 3])]
    const client = cluster.client()
    clients.push(client)
    await cluster.clock.settle(client.session.whenPlaced(), 1_000)
    await cluster.clock.settle(
      Promise.all([0, 1, 2, 3, 0].map((p, i) => call(client.session, cluster.keyOf(p, `${i}-`)))),
      1_000,
    )
    expect(nodes.map((node) => node.received.map(({ frame }) => frame.requests.length))).toEqual([[3], [2]])
  })

  it('go to the subject of a partition without a known owner', async () => {
    const { session, clock, node, cluster } = await start(ok)
    cluster.owners[2] = null
    cluster.publishView(node)
    await clock.advance(10)
    await clock.settle(call(session, cluster.keyOf(2)), 1_000)
    expect(node.received.map(({ subject }) => subject)).toEqual(['test.p.2'])
  })

  it('are split at the bound of requests', async () => {
    const { session, clock, node } = await start(ok)
    const address = addressOf('t', 'k')
    const all = Promise.all(Array.from({ length: 8_193 }, () => session.request('command', address, 'x', null)))
    await clock.settle(all, 1_000)
    expect(node.received.map(({ frame }) => frame.requests.length)).toEqual([8_192, 1])
  })

  it('are split at half of what the transport takes', async () => {
    const { session, clock, node } = await start(ok, {}, { maxPayload: 8_192 })
    const input = 'x'.repeat(900)
    const all = Promise.all(
      Array.from({ length: 10 }, (_, i) => session.request('command', addressOf('t', `k${i}`), 'x', input)),
    )
    await clock.settle(all, 1_000)
    expect(node.received.map(({ frame }) => frame.requests.length)).toEqual([4, 4, 2])
  })

  it('take no request that is larger than a frame', async () => {
    const { session, clock, node } = await start(ok, {}, { maxPayload: 8_192 })
    const address = addressOf('t', 'k')
    expect(await codeOf(session.request('command', address, 'x', 'x'.repeat(4_096)))).toBe('INVALID')
    await clock.settle(session.request('command', address, 'x', 'x'.repeat(3_800)), 1_000)
    expect(node.received.length).toBe(1)
  })

  it('tell what is left of the time', async () => {
    const { session, clock, node } = await start(() => null, { attemptTimeoutMs: 300 })
    const error = codeOf(call(session, 'k', { timeoutMs: 1_000 }))
    expect(await clock.settle(error, 2_000)).toBe('UNKNOWN')
    expect(node.requests.map(({ timeoutMs }) => Math.round(timeoutMs / 10) * 10)).toEqual([1_000, 700, 100])
  })

  it('are not sent for an input that is no value', async () => {
    const { session, clock, node } = await start(ok)
    expect(await codeOf(session.request('command', addressOf('t', 'k'), 'x', { f: () => 1 }))).toBe('INVALID')
    await clock.advance(100)
    expect(node.received).toEqual([])
  })
})

describe('the lowest outstanding number (N2)', () => {
  it('is that of a command or tell; queries do not hold it', async () => {
    const { session, clock, node } = await start((request) => (request.name === 'do' ? null : value(1)))
    const first = call(session, 'q', { timeoutMs: 60_000 }, 'query').catch(() => {})
    const second = call(session, 'c', { timeoutMs: 60_000 }, 'tell').catch(() => {})
    await clock.advance(10)
    for (let i = 0; i < 3; i++) await clock.settle(session.request('command', addressOf('t', 'k'), 'quick', null), 100)
    expect(node.received.map(({ frame }) => frame.low)).toEqual([2, 2, 2, 2])
    session.close()
    await Promise.all([first, second])
  })

  it('is the next number while nothing but queries is outstanding', async () => {
    const { session, clock, node } = await start(ok)
    for (let i = 0; i < 3; i++) await clock.settle(call(session, 'k'), 100)
    await clock.settle(call(session, 'k', {}, 'query'), 100)
    expect(node.received.map(({ frame }) => frame.low)).toEqual([1, 2, 3, 5])
  })

  it('is held by a command that ended UNKNOWN while it can be repeated, and not after (N3)', async () => {
    const { session, clock, node } = await start((request) => (request.number === 1 ? null : value(1)))
    expect(await clock.settle(codeOf(call(session, 'k', { timeoutMs: 500 })), 1_000)).toBe('UNKNOWN')
    await clock.settle(call(session, 'k'), 100)
    await clock.advance(88_000)
    await clock.settle(call(session, 'k'), 100)
    expect(node.received.at(-1)?.frame.low).toBe(1)
    await clock.advance(2_000)
    await clock.settle(call(session, 'k'), 100)
    expect(node.received.at(-1)?.frame.low).toBe(4)
  })
})

describe('attempts', () => {
  const numbers = (node: { requests: readonly { number: number }[] }) => node.requests.map(({ number }) => number)

  it('repeat the same number after RETRY, a little later each time (S4)', async () => {
    let attempts = 0
    const { session, clock, node } = await start(() => (++attempts < 6 ? failure('RETRY') : value('done')))
    expect(await clock.settle(call(session, 'k'), 5_000)).toBe('done')
    expect(numbers(node)).toEqual([1, 1, 1, 1, 1, 1])
    const at = node.received.map(({ atMs }) => atMs)
    const gaps = at.slice(1).map((ms, i) => ms - at[i]! - 0.5)
    gaps.forEach((gap, i) => {
      expect(gap).toBeGreaterThanOrEqual(5 * 2 ** i - 0.2)
      expect(gap).toBeLessThanOrEqual(10 * 2 ** i + 4)
    })
  })

  it.each(['FENCED', 'TIMEOUT', 'UNKNOWN'] as const)('go on after %s', async (code) => {
    let attempts = 0
    const { session, clock } = await start(() => (++attempts < 3 ? failure(code) : value('done')))
    expect(await clock.settle(call(session, 'k'), 5_000)).toBe('done')
    expect(attempts).toBe(3)
  })

  it('follow a move at once (S4)', async () => {
    const { session, clock, cluster, node } = await start(() => moved('n2'))
    const second = cluster.node('n2', ok, [])
    expect(await clock.settle(call(session, 'k'), 5)).toBe(1)
    expect([numbers(node), numbers(second)]).toEqual([[1], [1]])
    expect(second.received[0]?.subject).toBe('test.node.n2.frame')
    // And the next ones go there directly.
    expect(await clock.settle(call(session, 'k'), 5)).toBe(2)
    expect(numbers(node)).toEqual([1])
  })

  it('back off where two nodes name each other', async () => {
    const { session, clock, cluster, node } = await start(() => moved('n2'))
    const second = cluster.node('n2', () => moved('n1'), [])
    const error = codeOf(call(session, 'k', { timeoutMs: 2_000 }))
    expect(await clock.settle(error, 3_000)).toBe('RETRY')
    expect(node.received.length + second.received.length).toBeGreaterThan(10)
    expect(node.received.length + second.received.length).toBeLessThan(50)
  })

  it('ignore a move that is older than what is known (P2)', async () => {
    const { session, clock, cluster, node } = await start((request) =>
      request.name === 'do' ? moved('n2', 5) : moved('n3', 4),
    )
    const second = cluster.node('n2', ok, [])
    const third = cluster.node('n3', ok, [])
    const key = cluster.keyOf(1)
    const all = Promise.all([call(session, key), session.request('command', addressOf('t', key), 'other', null)])
    expect(await clock.settle(all, 1_000)).toEqual([1, 2])
    expect([numbers(node), numbers(second), numbers(third)]).toEqual([[1, 2], [1, 2], []])
  })

  it('go by the partition where the owner is gone, and wait where nobody is there (S4)', async () => {
    const { session, clock, cluster, node } = await start(ok)
    node.leave()
    await clock.advance(5)
    const result = call(session, cluster.keyOf(3))
    await clock.advance(300)
    const next = cluster.node('n2', ok, [3])
    expect(await clock.settle(result, 300)).toBe(1)
    expect(next.received.map(({ subject }) => subject)).toEqual(['test.p.3'])
  })

  it('time out after 1 s, 2 s, 4 s, and go by the partition then (S4)', async () => {
    const { session, clock, node } = await start(silent)
    const error = codeOf(call(session, 'k'))
    expect(await clock.settle(error, 11_000)).toBe('UNKNOWN')
    expect(numbers(node)).toEqual([1, 1, 1, 1])
    expect(node.received.map(({ atMs }) => Math.round((atMs - node.received[0]!.atMs) / 100) / 10)).toEqual([
      0, 1, 3, 7,
    ])
    expect(node.received.map(({ subject }) => subject.split('.')[1])).toEqual(['node', 'p', 'p', 'p'])
  })

  it('move with the placement at once, without waiting for a time-out', async () => {
    const { session, clock, cluster, node } = await start(silent)
    const result = call(session, 'k')
    await clock.advance(50)
    const next = cluster.node('n2', ok)
    cluster.publishView(next)
    expect(await clock.settle(result, 10)).toBe(1)
    expect([numbers(node), numbers(next)]).toEqual([[1], [1]])
  })

  it('are made again for everything outstanding after a reconnect (S3)', async () => {
    const { session, clock, client, node } = await start((request, _frame) =>
      node.received.length === 1 ? null : value(request.number),
    )
    const all = Promise.all([call(session, 'a'), call(session, 'b'), call(session, 'c', {}, 'query')])
    await clock.advance(100)
    client.process.cut()
    await clock.advance(100)
    client.process.heal()
    expect(await clock.settle(all, 200)).toEqual([1, 2, 3])
    expect(numbers(node)).toEqual([1, 2, 3, 1, 2, 3])
    expect(node.received.map(({ frame }) => frame.session)).toEqual([session.id, session.id])
  })

  it('begin with the connection for requests made without one (S3)', async () => {
    const { session, clock, client, node } = await start(ok)
    client.process.cut()
    await clock.advance(10)
    const result = call(session, 'a')
    await clock.advance(3_000)
    expect(node.received).toEqual([])
    client.process.heal()
    expect(await clock.settle(result, 100)).toBe(1)
    expect(numbers(node)).toEqual([1])
  })

  it('end when the id is too old, while the answer is still waited for (R3)', async () => {
    let answer: (() => void) | undefined
    const { session, clock, node } = await start((_request, _frame, reply) => {
      answer ??= () => reply(value('late'))
      return undefined
    })
    const result = call(session, 'k', { timeoutMs: 600_000 })
    await clock.advance(300_000)
    const last = node.received.at(-1)!.atMs - node.received[0]!.atMs
    expect(node.received.length).toBeGreaterThan(3)
    expect(last).toBeLessThan(90_000)
    answer?.()
    expect(await clock.settle(result, 100)).toBe('late')
  })

  it('end with RETRY when the id is too old and all were refused', async () => {
    const { session, clock } = await start(() => failure('RETRY'))
    const error = codeOf(call(session, 'k', { timeoutMs: 600_000 }))
    expect(await clock.settle(error, 91_000)).toBe('RETRY')
  })
})

describe('outcomes (R2, A3)', () => {
  it('are the value, or the error of the handler, as the owner says', async () => {
    const { session, clock } = await start((request) =>
      request.key === 'bad' ? failure('FAILED') : value({ n: 1n, d: new Date(5) }),
    )
    const [good, bad] = [call(session, 'good'), errorOf(call(session, 'bad'))]
    expect(await clock.settle(good, 100)).toEqual({ n: 1n, d: new Date(5) })
    const failed = await clock.settle(bad, 100)
    expect(failed).toMatchObject({ code: 'FAILED', reason: 'told to say FAILED' })
    expect(failed).not.toHaveProperty('id')
  })

  it('are undefined for a tell', async () => {
    const { session, clock } = await start(ok)
    expect(await clock.settle(call(session, 'k', {}, 'tell'), 100)).toBeUndefined()
  })

  /** What owners say to each attempt in turn, the last one for ever; what is reported when the 3 s are over. */
  const table: [name: string, kind: RequestKind, answers: Value[], code: ErrorCode][] = [
    ['every attempt refused', 'command', ['RETRY'], 'RETRY'],
    ['every attempt fenced', 'command', ['FENCED'], 'FENCED'],
    ['every attempt moved to nowhere', 'command', ['moved'], 'RETRY'],
    ['no attempt answered', 'command', ['silence'], 'UNKNOWN'],
    ['no attempt of a tell answered', 'tell', ['silence'], 'UNKNOWN'],
    ['the first attempt unanswered, the others refused', 'command', ['silence', 'RETRY'], 'UNKNOWN'],
    ['the first attempt unanswered, then overloaded', 'command', ['silence', 'OVERLOADED'], 'UNKNOWN'],
    ['the first attempt refused, the others unanswered', 'command', ['RETRY', 'silence'], 'UNKNOWN'],
    ['an owner that does not know itself', 'command', ['UNKNOWN', 'RETRY'], 'UNKNOWN'],
    ['a query that nobody answers', 'query', ['silence'], 'RETRY'],
    ['a query refused', 'query', ['RETRY'], 'RETRY'],
    ['overload', 'command', ['OVERLOADED'], 'OVERLOADED'],
    ['overload after a refusal', 'command', ['RETRY', 'OVERLOADED'], 'OVERLOADED'],
    ['overload of a query', 'query', ['OVERLOADED'], 'OVERLOADED'],
    ['no such command', 'command', ['NOT_FOUND'], 'NOT_FOUND'],
    ['no such command after a refusal', 'command', ['RETRY', 'NOT_FOUND'], 'NOT_FOUND'],
    ['the first attempt unanswered, then no such command', 'command', ['silence', 'NOT_FOUND'], 'UNKNOWN'],
    ['the first attempt unanswered, then a failure', 'command', ['silence', 'FAILED'], 'FAILED'],
    ['a failure after a refusal', 'command', ['RETRY', 'FAILED'], 'FAILED'],
    ['a failure after an owner that does not know itself', 'command', ['UNKNOWN', 'FAILED'], 'FAILED'],
    ['the first attempt of a query unanswered, then a failure', 'query', ['silence', 'FAILED'], 'FAILED'],
    ['the first attempt unanswered, then no such query', 'query', ['silence', 'NOT_FOUND'], 'NOT_FOUND'],
  ]
  it.each(table)('%s (%s): %s', async (_name, kind, answers, code) => {
    let attempt = 0
    const { session, clock } = await start(() => {
      const answer = answers[Math.min(attempt++, answers.length - 1)]
      if (answer === 'silence') return null
      return answer === 'moved' ? moved(null) : failure(answer as 'RETRY')
    })
    const error = errorOf(call(session, 'k', { timeoutMs: 3_000 }, kind))
    const { code: reported, id } = await clock.settle(error, 3_100)
    expect(reported).toBe(code)
    expect(id).toBe(code === 'UNKNOWN' ? `${session.id}:1` : undefined)
  })

  it('are those of a node that has the command, where one that has it not took over in between (A4)', async () => {
    const answers = [null, failure('NOT_FOUND'), failure('NOT_FOUND'), value('done by the first')]
    const { session, clock } = await start(() => answers.shift()!)
    expect(await clock.settle(call(session, 'k'), 3_000)).toBe('done by the first')
  })

  it('are those of an attempt that was on its way when another one failed (A5)', async () => {
    const replies: ((answer: Answer) => void)[] = []
    const { session, clock, node } = await start((_request, _frame, reply) => void replies.push(reply))
    const result = call(session, 'k')
    await clock.advance(1_100)
    expect(replies.length).toBe(2)
    replies[0]!(failure('FAILED'))
    await clock.advance(100)
    replies[1]!(value('done by the second'))
    expect(await clock.settle(result, 100)).toBe('done by the second')
    expect(node.received.length).toBe(2)
  })

  it.each([null, 'n1'])(
    'are those of the next owner, which had an attempt waiting when the former one failed another (A5), asked as %s',
    async (owner) => {
      const replies: ((answer: Answer) => void)[] = []
      const { session, clock, cluster, name } = await startUnowned(
        (_request, _frame, reply) => void replies.push(reply),
      )
      const result = call(session, cluster.keyOf(0))
      await clock.advance(500)
      if (owner !== null) name(owner)
      await clock.advance(600)
      expect(replies.length).toBe(2)
      replies[1]!(failure('FAILED'))
      await clock.advance(10)
      replies[0]!(value('done by the next owner'))
      expect(await clock.settle(result, 100)).toBe('done by the next owner')
    },
  )

  it('are FAILED once the last attempt has failed, where those to the subject of the partition were refused (A5)', async () => {
    const answers = [failure('RETRY'), null, failure('FAILED')]
    const { session, clock, cluster, node, name } = await startUnowned(() => answers.shift())
    const failed = errorOf(call(session, cluster.keyOf(0)))
    await clock.advance(2)
    name('n1')
    expect(await clock.settle(failed, 2_500)).toMatchObject({ code: 'FAILED' })
    expect(node.received.map(({ subject }) => subject)).toEqual(['test.p.0', 'test.node.n1.frame', 'test.p.0'])
  })

  it.each(['RETRY', 'moved'] as const)(
    'are FAILED where the last attempt has failed, and then the word on the one before comes: %s (A5)',
    async (word) => {
      const replies: ((answer: Answer) => void)[] = []
      const { session, clock, cluster, name } = await startUnowned(
        (_request, _frame, reply) => void replies.push(reply),
      )
      const failed = errorOf(call(session, cluster.keyOf(0)))
      await clock.advance(500)
      name('n1')
      await clock.advance(10)
      replies[1]!(failure('FAILED'))
      await clock.advance(10)
      expect(session.outstanding).toBe(1)
      replies[0]!(word === 'moved' ? moved('n1') : failure(word))
      expect(await clock.settle(failed, 10)).toMatchObject({ code: 'FAILED' })
      expect(replies.length).toBe(2)
    },
  )

  it('are FAILED once every attempt has failed, in whatever order their node says so (A5)', async () => {
    const replies: ((answer: Answer) => void)[] = []
    const { session, clock, node } = await start((_request, _frame, reply) => void replies.push(reply))
    const failed = errorOf(call(session, 'k'))
    await clock.advance(3_100)
    expect(replies.length).toBe(3)
    // The second went to the partition's subject: the word on the third is not enough.
    for (const n of [2, 0, 2, 0]) replies[n]!(failure('FAILED'))
    await clock.advance(10)
    expect(session.outstanding).toBe(1)
    replies[1]!(failure('FAILED'))
    expect(await clock.settle(failed, 10)).toMatchObject({ code: 'FAILED' })
    expect(node.received.length).toBe(3)
  })

  it('are UNKNOWN where refusals of later attempts are heard twice and the first ones have no word (A2)', async () => {
    let attempt = 0
    const { session, clock } = await start((_request, _frame, reply) => {
      if (++attempt <= 2) return null
      for (let n = 0; n < 3; n++) reply(moved('n1'))
      return failure('RETRY')
    })
    const error = errorOf(call(session, 'k', { timeoutMs: 6_000 }))
    expect(await clock.settle(error, 6_100)).toMatchObject({ code: 'UNKNOWN' })
    expect(attempt).toBeGreaterThan(5)
  })

  it.each(['at once', 'while another one is on its way'])(
    'are UNKNOWN where the refusal of one attempt was heard twice, %s (A2)',
    async (when) => {
      const replies: ((answer: Answer) => void)[] = []
      const { session, clock } = await start((_request, _frame, reply) => void replies.push(reply))
      const unknown = codeOf(call(session, 'k', { timeoutMs: 900 }))
      await clock.advance(10)
      replies[0]!(failure('RETRY'))
      if (when === 'at once') replies[0]!(failure('RETRY'))
      await clock.advance(100)
      expect(replies.length).toBe(2)
      if (when !== 'at once') replies[0]!(failure('OVERLOADED'))
      expect(await clock.settle(unknown, 1_000)).toBe('UNKNOWN')
    },
  )

  it('are not told by what an earlier call with the same id was refused (A2)', async () => {
    const replies: ((answer: Answer) => void)[] = []
    const { session, clock } = await start((_request, _frame, reply) => void replies.push(reply))
    const id = parseCommandId('pay-1')
    expect(await clock.settle(codeOf(call(session, 'k', { id, timeoutMs: 500 })), 600)).toBe('UNKNOWN')
    const result = call(session, 'k', { id })
    await clock.advance(10)
    replies[0]!(failure('OVERLOADED'))
    await clock.advance(10)
    replies[1]!(value('done'))
    expect(await clock.settle(result, 1_000)).toBe('done')
  })

  it('are FAILED once the last attempt has failed, without another one, also in a repetition (A5)', async () => {
    const replies: ((answer: Answer) => void)[] = []
    const { session, clock, node } = await start((_request, _frame, reply) => void replies.push(reply))
    const { id } = await clock.settle(errorOf(call(session, 'k', { timeoutMs: 500 })), 600)
    const failed = errorOf(call(session, 'k', { id: parseCommandId(id!) }))
    await clock.advance(1_100)
    expect(replies.length).toBe(3)
    for (const reply of replies.slice(1)) reply(failure('FAILED'))
    expect(await clock.settle(failed, 100)).toMatchObject({ code: 'FAILED', reason: 'told to say FAILED' })
    expect(node.received.length).toBe(3)
  })

  it('are made sure of where an owner that does not know itself was asked beside one that failed (A5)', async () => {
    const replies: ((answer: Answer) => void)[] = []
    const { session, clock } = await start((_request, _frame, reply) => void replies.push(reply))
    const result = call(session, 'k')
    await clock.advance(1_100)
    replies[1]!(failure('UNKNOWN'))
    await clock.advance(0.5)
    replies[0]!(failure('FAILED'))
    await clock.advance(500)
    expect(replies.length).toBe(3)
    replies[2]!(value('done by the second'))
    expect(await clock.settle(result, 100)).toBe('done by the second')
  })

  it('are INVALID where the server lets nothing through, and no word of other frames makes them so (A2)', async () => {
    const { session, clock, cluster } = await start(silent)
    const [key, subject] = [cluster.keyOf(0), 'test.p.0']
    const unanswered = errorOf(call(session, key, { timeoutMs: 3_000 }))
    await clock.advance(1_100)
    for (let frame = 0; frame < 3; frame++) session.denied(subject, 'not allowed')
    const refused = errorOf(call(session, key))
    await clock.advance(1)
    session.denied('test.node.n1.frame', 'not allowed')
    expect(await refused).toMatchObject({ code: 'INVALID', reason: 'not allowed' })
    expect(await clock.settle(unanswered, 3_000)).toMatchObject({ code: 'UNKNOWN' })
  })

  it('are told with the reason of the last refusal where a query is not answered any more', async () => {
    let attempt = 0
    const { session, clock } = await start(() => (attempt++ === 0 ? failure('RETRY') : null))
    const error = errorOf(call(session, 'k', { timeoutMs: 3_000 }, 'query'))
    expect(await clock.settle(error, 3_100)).toMatchObject({
      code: 'RETRY',
      reason: expect.stringMatching(/^no answer came to the query .*told to say RETRY/),
    })
  })

  it('are OVERLOADED at once, with the time to wait', async () => {
    const { session, clock, node } = await start(() => failure('OVERLOADED', 250))
    const error = errorOf(call(session, 'k'))
    expect(await clock.settle(error, 5)).toMatchObject({ code: 'OVERLOADED', retryAfterMs: 250 })
    expect(node.received.length).toBe(1)
  })

  it('are RETRY where nobody ever listened', async () => {
    const { session, clock, node } = await start(ok)
    node.leave()
    await clock.advance(5)
    expect(await clock.settle(codeOf(call(session, 'k', { timeoutMs: 500 })), 600)).toBe('RETRY')
  })

  it.each(['command', 'tell', 'query'] as const)('are TIMEOUT for a %s that was never sent', async (kind) => {
    const { session, clock, client, node } = await start(ok)
    client.process.cut()
    await clock.advance(1)
    const error = errorOf(call(session, 'k', { timeoutMs: 3_000 }, kind))
    const { code, message } = await clock.settle(error, 3_100)
    expect(code).toBe('TIMEOUT')
    expect(message).toContain('no connection')
    expect(node.received).toEqual([])
  })

  it('are TIMEOUT where no node ever told the placement', async () => {
    const cluster = new FakeCluster()
    const client = cluster.client()
    clients.push(client)
    const { code, message } = await cluster.clock.settle(errorOf(call(client.session, 'k')), 10_100)
    expect(code).toBe('TIMEOUT')
    expect(message).toContain('who owns what')
  })

  it('are INTERNAL for an answer that is no value', async () => {
    const { session, clock } = await start(() => ({ kind: 'value', value: new Uint8Array([0xc1]) }))
    expect(await clock.settle(codeOf(call(session, 'k')), 100)).toBe('INTERNAL')
    expect(session.outstanding).toBe(0)
  })

  it('are OVERLOADED beyond the bound of outstanding requests, and nothing is sent (N4)', async () => {
    const { session, clock, node } = await start(silent, { maxOutstanding: 3 })
    const held = [1, 2, 3].map((i) => call(session, `k${i}`).catch(() => {}))
    expect(await errorOf(call(session, 'k'))).toMatchObject({ code: 'OVERLOADED', retryAfterMs: 100 })
    await clock.advance(10)
    expect(node.requests.length).toBe(3)
    session.close()
    await Promise.all(held)
  })
})

describe('repeating an id', () => {
  it('sends the same number of the same session, and gives its answer', async () => {
    let deaf = true
    const { session, clock, node } = await start((request) => (deaf ? null : value(`first of ${request.number}`)))
    const { id } = await clock.settle(errorOf(call(session, 'k', { timeoutMs: 500 })), 600)
    deaf = false
    expect(await clock.settle(call(session, 'k', { id: parseCommandId(id!) }), 100)).toBe('first of 1')
    expect(node.requests.map(({ number }) => number)).toEqual([1, 1])
    expect(node.received.at(-1)?.frame).toMatchObject({ session: session.id, low: 1 })
    // It has its answer now: the owner may forget it, so this client repeats it no more.
    expect(await codeOf(call(session, 'k', { id: parseCommandId(id!) }))).toBe('INVALID')
  })

  it('is refused after 90 s, since owners may have forgotten it (R3)', async () => {
    const { session, clock } = await start(silent)
    const { id } = await clock.settle(errorOf(call(session, 'k', { timeoutMs: 500 })), 600)
    await clock.advance(90_000)
    expect(await codeOf(call(session, 'k', { id: parseCommandId(id!) }))).toBe('INVALID')
  })

  it.each(['RETRY', 'NOT_FOUND'] as const)('is never %s: the first call may have done it (A3)', async (refusal) => {
    let deaf = true
    const { session, clock, node } = await start(() => (deaf ? null : failure(refusal)))
    const { id } = await clock.settle(errorOf(call(session, 'k', { timeoutMs: 500 })), 600)
    deaf = false
    const again = () => call(session, 'k', { id: parseCommandId(id!), timeoutMs: 500 })
    expect(await clock.settle(errorOf(again()), 600)).toMatchObject({ code: 'UNKNOWN', id })
    expect(await clock.settle(errorOf(again()), 600)).toMatchObject({ code: 'UNKNOWN', id })
    node.behave = () => value('done')
    expect(await clock.settle(again(), 600)).toBe('done')
  })

  it('is UNKNOWN where nothing can be sent of it: that says nothing of the first call (A3)', async () => {
    const { session, clock, node } = await start(silent, { maxOutstanding: 1 })
    const aborted = AbortSignal.abort(new Error('enough'))
    const { id: text } = await clock.settle(errorOf(call(session, 'k', { timeoutMs: 500 })), 600)
    const id = parseCommandId(text!)
    const sent = node.requests.length
    expect(await errorOf(call(session, 'k', { id, signal: aborted }))).toMatchObject({
      code: 'UNKNOWN',
      id: text,
      cause: aborted.reason as Error,
    })
    const filling = codeOf(call(session, 'other', {}, 'query'))
    expect(await errorOf(call(session, 'k', { id }))).toMatchObject({ code: 'UNKNOWN', id: text })
    const another = parseCommandId('othersession:7')
    expect(await errorOf(call(session, 'k', { id: another }))).toMatchObject({ code: 'UNKNOWN', id: 'othersession:7' })
    // Of an id of the caller's own making what is reported is about this call alone.
    const own = parseCommandId('mine')
    expect(await codeOf(call(session, 'k', { id: own }))).toBe('OVERLOADED')
    expect(await codeOf(call(session, 'k', { id: own, signal: aborted }))).toBe('RETRY')
    expect(node.requests.length).toBe(sent)
    await clock.settle(filling, 20_000)
    // It can be repeated still.
    node.behave = () => value('first')
    expect(await clock.settle(call(session, 'k', { id }), 100)).toBe('first')
  })

  it('is UNKNOWN where more wait for the answer to it than may (A3)', async () => {
    const { session, clock } = await start(silent)
    const { id: text } = await clock.settle(errorOf(call(session, 'k', { timeoutMs: 500 })), 600)
    const again = () => errorOf(call(session, 'k', { id: parseCommandId(text!) }))
    const waiting = Array.from({ length: 257 }, again)
    expect(await clock.settle(again(), 0)).toMatchObject({ code: 'UNKNOWN', id: text })
    session.close()
    await Promise.all(waiting)
  })

  it("travels in a frame of its own with the other session's name, and says nothing of what that one has settled", async () => {
    const { session, clock, node } = await start((request) => value(request.number))
    const id = parseCommandId('othersession:7')
    const all = Promise.all([call(session, 'k'), call(session, 'k', { id }), call(session, 'k')])
    expect(await clock.settle(all, 100)).toEqual([1, 7, 2])
    expect(
      node.received.map(({ frame }) => [frame.session, frame.low, frame.requests.map(({ number }) => number)]),
    ).toEqual([
      [session.id, 1, [1]],
      ['othersession', 0, [7]],
      [session.id, 1, [2]],
    ])
  })

  it("of a caller's own making is command 1 of a session of its own", async () => {
    const { session, clock, node } = await start(silent)
    const { code, id } = await clock.settle(
      errorOf(call(session, 'k', { id: parseCommandId('order-17'), timeoutMs: 500 })),
      600,
    )
    expect([code, id]).toEqual(['UNKNOWN', 'order-17'])
    expect(node.received[0]?.frame).toMatchObject({ session: 'x-order-17', low: 0 })
    expect(node.requests[0]?.number).toBe(1)
  })

  it('joins the call that is still on its way', async () => {
    const { session, clock, node } = await start((request, _frame, reply) => {
      if (node.received.length === 1) setTimeoutOf(() => reply(value('once')), 50)
      return undefined
    })
    const setTimeoutOf = (run: () => void, ms: number) => void clock.setTimeout(run, ms)
    const id = parseCommandId('mine')
    const all = Promise.all([call(session, 'k', { id }), call(session, 'k', { id })])
    expect(await clock.settle(all, 200)).toEqual(['once', 'once'])
    expect(node.requests.length).toBe(1)
    expect(session.outstanding).toBe(0)
  })

  it('is INVALID for another command than its own', async () => {
    const { session } = await start(silent)
    const id = parseCommandId('mine')
    const first = call(session, 'k', { id }).catch(() => {})
    expect(await codeOf(call(session, 'other', { id }))).toBe('INVALID')
    session.close()
    await first
  })
})

describe('late and strange replies', () => {
  it('change nothing once a request is settled', async () => {
    let late: (() => void) | undefined
    const { session, clock, client, node } = await start((request, _frame, reply) => {
      if (node.received.length > 1) return value('second')
      late = () => reply(value('first'))
      return null
    })
    expect(await clock.settle(call(session, 'k'), 2_000)).toBe('second')
    late?.()
    await clock.advance(10)
    expect(client.events).toContainEqual(expect.objectContaining({ type: 'message.dropped', reason: 'settled' }))
  })

  it('that are no frames are dropped and told', async () => {
    const { session, clock, client, node, cluster } = await start(silent)
    const result = call(session, 'k')
    const failed = codeOf(result)
    await clock.advance(10)
    const inbox = '_INBOX.client-1.1.1'
    node.process.transport.publish(inbox, new Uint8Array([1, 2, 3]))
    node.process.transport.publish('_INBOX.client-1.1.view', Buffer.from('{"version":1e99}'))
    node.process.transport.publish(subjects.placement, Buffer.from('nonsense'))
    await clock.advance(10)
    expect(
      client.events.filter((event) => event.type === 'message.dropped' && event.reason === 'malformed').length,
    ).toBe(3)
    expect(cluster.partitions).toBe(session.partitions)
    session.close()
    expect(await failed).toBe('UNKNOWN')
  })
})

describe('aborting a call', () => {
  it('rejects it with what is known: UNKNOWN once it was sent, RETRY before', async () => {
    const { session, clock, node } = await start(silent)
    const abort = new AbortController()
    const sent = errorOf(call(session, 'k', { signal: abort.signal }))
    await clock.advance(10)
    const unsent = errorOf(call(session, 'k', { signal: abort.signal }))
    const reason = new Error('enough')
    abort.abort(reason)
    expect(await sent).toMatchObject({ code: 'UNKNOWN', id: `${session.id}:1`, cause: reason })
    expect(await unsent).toMatchObject({ code: 'RETRY', cause: reason })
    expect(await errorOf(call(session, 'k', { signal: abort.signal }))).toMatchObject({ code: 'RETRY', cause: reason })
    await clock.advance(5_000)
    expect(node.requests.length).toBe(1)
    expect(session.outstanding).toBe(0)
  })

  it('leaves others that wait for the same command alone', async () => {
    const { session, clock, node } = await start((_request, _frame, reply) => {
      clock.setTimeout(() => reply(value('done')), 50)
      return undefined
    })
    const abort = new AbortController()
    const id = parseCommandId('mine')
    const one = errorOf(call(session, 'k', { id, signal: abort.signal }))
    const other = call(session, 'k', { id })
    await clock.advance(10)
    abort.abort()
    expect((await one).code).toBe('UNKNOWN')
    expect(await clock.settle(other, 100)).toBe('done')
    expect(node.requests.length).toBe(1)
  })
})

describe('closing', () => {
  it('ends what is outstanding as far as it is known, and takes nothing more', async () => {
    const { session, clock, client, cluster, node } = await start((request) =>
      request.key === 'refused' ? failure('RETRY') : null,
    )
    const sent = errorOf(call(session, 'k'))
    const refused = errorOf(call(session, 'refused'))
    const query = errorOf(call(session, 'k', {}, 'query'))
    await clock.advance(2)
    const unsent = errorOf(call(session, 'k'))
    session.close()
    session.close()
    expect(await sent).toMatchObject({ code: 'UNKNOWN', id: `${session.id}:1` })
    expect([(await refused).code, (await query).code, (await unsent).code]).toEqual(['RETRY', 'RETRY', 'RETRY'])
    expect(await codeOf(call(session, 'k'))).toBe('INVALID')
    expect(await codeOf(session.whenPlaced())).toBe('INVALID')
    const { fired } = clock
    await clock.advance(60_000)
    // Only what was under way already: no timer of the session is left.
    expect(clock.fired - fired).toBeLessThan(10)
    expect(node.requests.length).toBe(3)
    expect(client.process.transport.connected).toBe(true)
    expect(cluster.world.hub.listenersOf(client.process.transport, '_INBOX.client-1.1.5')).toEqual([])
  })

  it('ends the wait for a placement', async () => {
    const cluster = new FakeCluster()
    const { session } = cluster.client()
    const waiting = codeOf(session.whenPlaced())
    session.close()
    expect(await waiting).toBe('INVALID')
  })
})
