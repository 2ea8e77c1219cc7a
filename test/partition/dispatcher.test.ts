import { describe, expect, it } from 'vitest'
import { Dispatcher } from '../../src/partition/dispatcher.ts'
import type { Incoming } from '../../src/partition/owner.ts'
import { ReplyBatches } from '../../src/partition/reply-batches.ts'
import { silent } from '../../src/ports/observer.ts'
import type { Message, Transport } from '../../src/ports/transport.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { epoch, sessionId, type NodeId, type PartitionId } from '../../src/protocol/ids.ts'
import {
  decodeReplyFrame,
  encodeReplyFrame,
  encodeRequestFrame,
  maxErrorTextLength,
  type Reply,
  type Request,
} from '../../src/protocol/frames.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { PartitionWorld } from './world.ts'

const partitions = 16
const s1 = sessionId('s1')

const request = (changes: Partial<Request> = {}): Request => ({
  kind: 'command',
  number: 1,
  type: 'thing',
  key: 'k',
  name: 'add',
  input: encodeValue(1).slice(),
  timeoutMs: 1_000,
  ...changes,
})

/** A node's side of frames, and a client that hears what comes to its inbox. */
class Bench {
  readonly world: PartitionWorld
  readonly node
  readonly replies: ReplyBatches
  readonly dispatcher: Dispatcher
  readonly submitted: { partition: PartitionId; incoming: Incoming }[] = []
  readonly frames: { session: string; replies: readonly Reply[]; subject: string; bytes: number }[] = []

  constructor(seed: string, maxPayload = 1_048_576) {
    this.world = new PartitionWorld(seed, { maxPayload })
    this.node = this.world.start('n1')
    const { transport } = this.node.process
    this.replies = new ReplyBatches(transport, this.node.events, ['_INBOX'])
    const submit = (partition: PartitionId, incoming: Incoming) => this.submitted.push({ partition, incoming })
    this.dispatcher = new Dispatcher({ partitions, replies: this.replies, observer: this.node.events, submit })
  }

  async open(): Promise<this> {
    const { transport } = this.world.start('client').process
    transport.subscribe('_INBOX.>', ({ subject, data }) => {
      const { session, replies } = decodeReplyFrame(data)
      this.frames.push({ session, replies, subject, bytes: data.length })
    })
    await this.world.settle(transport.flush())
    return this
  }

  receive(data: Uint8Array, reply: string | undefined = '_INBOX.c.1', subject = 'test.p.3'): void {
    const message: Message = { subject, data, reply, headers: undefined, noResponders: false }
    this.dispatcher.receive(message)
  }

  send(
    requests: readonly Request[],
    changes: { session?: string; low?: number; partitions?: number; reply?: string; frame?: number } = {},
  ): void {
    const { session = s1, low = 0, reply, frame: of = 1 } = changes
    const frame = {
      partitions: changes.partitions ?? partitions,
      session: sessionId(session),
      low,
      frame: of,
      requests,
    }
    this.receive(encodeRequestFrame(frame), reply)
  }

  pass(ms = 10): Promise<void> {
    return this.world.clock.advance(ms)
  }

  get dropped() {
    return this.node.events.of('message.dropped').map(({ subject, reason }) => `${subject} ${reason}`)
  }
}

const open = (seed: string, maxPayload?: number) => new Bench(seed, maxPayload).open()
const nil = encodeValue(null).slice()

describe('frames that come in (Y1–Y3)', () => {
  it('give each request to the partition of its key, with its session and lowest outstanding number', async () => {
    const bench = await open('route')
    const keys = ['a', 'b', 'c', 'körbe', 'x'.repeat(300)]
    bench.send(
      keys.map((key, number) => request({ key, number })),
      { low: 7 },
    )
    expect(bench.submitted.map(({ partition }) => partition)).toEqual(keys.map((key) => partitionOf(key, partitions)))
    expect(bench.submitted.map(({ incoming }) => [incoming.session, incoming.low, incoming.request.key])).toEqual(
      keys.map((key) => [s1, 7, key]),
    )
  })

  it.each([
    ['undefined', undefined],
    ['a log', 'test.log.3'],
    ['gossip', 'test.gossip.n1'],
    ['JetStream', '$JS.API.STREAM.DELETE.test_P0'],
    ['a name that only begins alike', '_INBOXES.c.1'],
    ['the bare prefix', '_INBOX'],
    ['an empty token', '_INBOX.'],
    ['an empty token inside', '_INBOX..c'],
    ['a wildcard', '_INBOX.*'],
    ['all inboxes', '_INBOX.>'],
    ['a space', '_INBOX.c 1'],
    ['a line break', '_INBOX.c\r\nPUB test.log.3 1'],
    ['a control character', '_INBOX.c\u0000'],
  ])('are dropped and counted where the reply subject is %s: nothing is done, nothing thrown', async (_, reply) => {
    const bench = await open('reply subject')
    const data = encodeRequestFrame({ partitions, session: s1, low: 0, frame: 1, requests: [request()] })
    const message: Message = { subject: 'test.p.3', data, reply, headers: undefined, noResponders: false }
    bench.dispatcher.receive(message)
    await bench.pass()
    expect(bench.submitted).toEqual([])
    expect(bench.frames).toEqual([])
    expect(bench.dropped).toEqual([`test.p.3 ${reply === undefined ? 'no-reply' : 'reply-subject'}`])
  })

  it('are dropped and counted where they are malformed, whole', async () => {
    const bench = await open('malformed')
    const good = encodeRequestFrame({
      partitions,
      session: s1,
      low: 0,
      frame: 1,
      requests: [request(), request({ number: 2 })],
    }).slice()
    const hostile = [
      new Uint8Array(0),
      Uint8Array.of(0xc1),
      good.subarray(0, -1),
      Buffer.concat([good, Uint8Array.of(0)]),
      encodeValue({ requests: [] }),
      encodeValue([99, 16, 's1', 0]),
      encodeReplyFrame({ session: s1, replies: [] }),
    ]
    for (const data of hostile) bench.receive(data)
    expect(bench.submitted).toEqual([])
    expect(bench.dropped).toEqual(hostile.map(() => 'test.p.3 malformed'))
  })

  it('are dropped and counted where the session is not a name that a store can hold', async () => {
    const bench = await open('session')
    for (const session of ['', 'a b', 'ä', 'x'.repeat(67), 'a\u0000b', 'a.b']) bench.send([request()], { session })
    expect(bench.submitted).toEqual([])
    expect(bench.dropped).toHaveLength(6)
  })

  it('are answered `moved` as a whole where they were routed by another count of partitions (O6)', async () => {
    const bench = await open('count')
    bench.send([request({ number: 4 }), request({ number: 5 })], { partitions: 32 })
    await bench.pass()
    expect(bench.submitted).toEqual([])
    expect(bench.frames[0]!.replies).toEqual([
      { number: 4, kind: 'moved', owner: null, epoch: 0, frame: 1 },
      { number: 5, kind: 'moved', owner: null, epoch: 0, frame: 1 },
    ])
  })

  it('are INVALID for the requests whose type or key no subject can hold, and go on with the others', async () => {
    const bench = await open('names')
    bench.send([
      request({ number: 1, key: '' }),
      request({ number: 2, type: '' }),
      request({ number: 3, key: 'x'.repeat(513) }),
      request({ number: 4, type: 'ä'.repeat(257) }),
      request({ number: 5 }),
    ])
    await bench.pass()
    expect(bench.submitted.map(({ incoming }) => incoming.request.number)).toEqual([5])
    expect(bench.frames[0]!.replies).toMatchObject(
      [1, 2, 3, 4].map((number) => ({ number, kind: 'error', error: { code: 'INVALID' } })),
    )
  })

  it('may be empty, and are then nothing', async () => {
    const bench = await open('empty')
    bench.send([])
    await bench.pass()
    expect([bench.submitted, bench.frames, bench.dropped]).toEqual([[], [], []])
  })
})

describe('replies that go out', () => {
  it('travel together, all that one session is owed at one inbox in one tick', async () => {
    const bench = await open('together')
    bench.send([request({ number: 1 }), request({ number: 2 })], { reply: '_INBOX.c.1' })
    bench.send([request({ number: 3 })], { reply: '_INBOX.c.2' })
    for (const { incoming } of bench.submitted) incoming.respond({ kind: 'value', value: nil })
    expect(bench.frames).toEqual([])
    await bench.pass()
    expect(bench.frames).toMatchObject([
      { subject: '_INBOX.c.2', session: 's1', replies: [{ number: 1 }, { number: 2 }, { number: 3 }] },
    ])
  })

  it('of two sessions, or to two inboxes, travel apart', async () => {
    const bench = await open('apart')
    bench.send([request()], { session: 'a', reply: '_INBOX.c.1' })
    bench.send([request()], { session: 'b', reply: '_INBOX.c.1' })
    bench.send([request()], { session: 'b', reply: '_INBOX.d.1' })
    for (const { incoming } of bench.submitted) incoming.respond({ kind: 'value', value: nil })
    await bench.pass()
    expect(bench.frames.map(({ subject, session }) => `${subject} ${session}`).sort()).toEqual([
      '_INBOX.c.1 a',
      '_INBOX.c.1 b',
      '_INBOX.d.1 b',
    ])
  })

  it('fit into messages, whatever they say', async () => {
    const bench = await open('size', 65_536)
    const long = 'ß'.repeat(maxErrorTextLength * 2)
    const answers = [
      { kind: 'value', value: encodeValue('x'.repeat(30_000)) },
      { kind: 'error', error: { code: 'FAILED', message: long, path: long, retryAfterMs: 5 } },
      { kind: 'error', error: { code: 'FAILED', message: '漢'.repeat(maxErrorTextLength) } },
      { kind: 'moved', owner: 'n'.repeat(64) as NodeId, epoch: epoch(7) },
    ] as const
    bench.send(Array.from({ length: 200 }, (_, number) => request({ number })))
    bench.submitted.forEach(({ incoming }, i) => incoming.respond(answers[i % answers.length]!))
    await bench.pass()
    expect(bench.frames.flatMap(({ replies }) => replies.map(({ number }) => number))).toEqual(
      Array.from({ length: 200 }, (_, number) => number),
    )
    for (const { bytes } of bench.frames) expect(bytes).toBeLessThanOrEqual(65_536)
    expect(bench.frames.length).toBeGreaterThan(10)
  })

  it('that the server does not take any more are INVALID, and hold up no others (Q3)', async () => {
    const world = new PartitionWorld('lowered')
    const frames: Uint8Array[] = []
    const transport = {
      maxPayload: 65_536,
      publish(_: string, data: Uint8Array) {
        if (data.length > this.maxPayload) throw new HoldfastError('INVALID', 'too large')
        frames.push(data.slice())
      },
    }
    const replies = new ReplyBatches(transport as unknown as Transport, silent, ['_INBOX'])
    const batches = ['a', 'b'].map((name) => replies.batchFor(`_INBOX.${name}.1`, s1))
    const large = { kind: 'value', value: encodeValue('x'.repeat(20_000)).slice() } as const
    for (const batch of batches) {
      replies.add(batch, 1, 1, { kind: 'value', value: nil })
      replies.add(batch, 2, 1, large)
      replies.add(batch, 3, 1, { kind: 'value', value: nil })
    }
    transport.maxPayload = 8_192
    await world.clock.advance(1)
    const said = frames.flatMap((data) => decodeReplyFrame(data).replies)
    expect(said.map(({ number, kind }) => `${number} ${kind}`)).toEqual([
      ...['1 value', '2 error', '3 value'],
      ...['1 value', '2 error', '3 value'],
    ])
    expect(said[1]).toMatchObject({ error: { code: 'INVALID', message: expect.stringContaining('max_payload') } })
  })

  it('that refuse name the frame of their own request, wherever they are sent (F6 of frames.ts)', async () => {
    const bench = await open('refusals')
    bench.send([request({ number: 1 }), request({ number: 2 })], { reply: '_INBOX.c.1', frame: 1 })
    bench.send([request({ number: 2 }), request({ number: 3 })], { reply: '_INBOX.c.2', frame: 2 })
    const failed = { kind: 'error', error: { code: 'FAILED', message: 'no' } } as const
    for (const { incoming } of bench.submitted.slice(1)) incoming.respond(failed)
    bench.send([request({ number: 4 })], { partitions: 1, reply: '_INBOX.c.3', frame: 3 })
    await bench.pass()
    const told = bench.frames.flatMap(({ subject, replies }) =>
      replies.map((reply) => [subject, reply.number, reply.kind === 'value' ? undefined : reply.frame]),
    )
    expect(told).toEqual([
      ['_INBOX.c.3', 2, 1],
      ['_INBOX.c.3', 2, 2],
      ['_INBOX.c.3', 3, 2],
      ['_INBOX.c.3', 4, 3],
    ])
  })

  it('are sent at the end of it all where that is asked for, and none after', async () => {
    for (const flush of [true, false]) {
      const bench = await open(`close ${flush}`)
      bench.send([request({ number: 1 }), request({ number: 2 })])
      bench.submitted[0]!.incoming.respond({ kind: 'value', value: nil })
      bench.replies.close({ flush })
      bench.submitted[1]!.incoming.respond({ kind: 'value', value: nil })
      await bench.pass()
      expect(bench.frames.flatMap(({ replies }) => replies.map(({ number }) => number))).toEqual(flush ? [1] : [])
    }
  })

  it('reach any number of inboxes, of which not all are remembered', async () => {
    const { clock } = new PartitionWorld('many inboxes')
    const subjects: string[] = []
    const transport = { maxPayload: 1_048_576, publish: (subject: string) => subjects.push(subject) }
    const replies = new ReplyBatches(transport as unknown as Transport, silent, ['_INBOX'])
    const batches = Array.from({ length: 20_000 }, (_, i) => replies.batchFor(`_INBOX.c${i}.1`, s1))
    for (const batch of batches) replies.add(batch, 1, 1, { kind: 'value', value: nil })
    replies.add(replies.batchFor('_INBOX.c0.2', s1), 2, 1, { kind: 'value', value: nil })
    await clock.advance(1)
    expect(subjects).toHaveLength(20_001)
    expect(new Set(subjects).size).toBe(20_001)
  })
})
