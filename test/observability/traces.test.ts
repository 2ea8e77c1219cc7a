/** Spans that a process with an SDK of OpenTelemetry gets of its calls and of its nodes. */
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BasicTracerProvider,
  InMemorySpanExporter,
  ParentBasedSampler,
  SimpleSpanProcessor,
  type ReadableSpan,
  type Sampler,
  type Span,
} from '@opentelemetry/sdk-trace-base'
import { connect as connectNats, headers as natsHeaders } from '@nats-io/transport-node'
import { afterEach, describe, expect, it } from 'vitest'
import { openTracer } from '../../src/adapters/opentelemetry/tracer.ts'
import { actor, type Holdfast } from '../../src/index.ts'
import { encodeRequestFrame } from '../../src/protocol/frames.ts'
import { partitionId, sessionId } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { headerNames, subjectsOf } from '../../src/protocol/subjects.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { clusterName, TestCluster, type World } from '../support/cluster.ts'
import { unhurriedClient } from '../support/unhurried-client.ts'

const timeout = 60_000
const key = 'very-secret-key'

const Cart = actor('cart', {
  version: 1,
  state: () => ({ items: [] as string[] }),
  commands: {
    async add(ctx, item: string) {
      await trace.getTracer('user').startActiveSpan('price', async (span) => {
        await Promise.resolve()
        span.end()
      })
      ctx.state.items.push(item)
      return ctx.state.items.length
    },
    refuse(_, item: string) {
      throw new Error(`no ${item}`)
    },
    look: (ctx) => ctx.state.items.length,
  },
  queries: { count: (state) => state.items.length },
})

/** The SDK of this process while a test runs. */
class Collector {
  readonly #exporter = new InMemorySpanExporter()
  readonly begun: Span[] = []
  readonly #provider: BasicTracerProvider

  constructor(sampler: Sampler = new AlwaysOnSampler()) {
    const begun = this.begun
    const watching = {
      onStart: (span: Span) => void begun.push(span),
      onEnd() {},
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    }
    this.#provider = new BasicTracerProvider({
      sampler,
      spanProcessors: [watching, new SimpleSpanProcessor(this.#exporter)],
    })
    trace.setGlobalTracerProvider(this.#provider)
    context.setGlobalContextManager(new AsyncLocalStorageContextManager())
  }

  get spans(): readonly ReadableSpan[] {
    return this.#exporter.getFinishedSpans()
  }

  /** The span of that name, of which there is one. */
  one(name: string): ReadableSpan {
    const found = this.spans.filter((span) => span.name === name)
    expect(found.map((span) => span.name)).toEqual([name])
    return found[0]!
  }

  named(name: string): readonly ReadableSpan[] {
    return this.spans.filter((span) => span.name === name)
  }

  forget(): void {
    this.#exporter.reset()
    this.begun.length = 0
  }

  async close(): Promise<void> {
    trace.disable()
    context.disable()
    await this.#provider.shutdown()
  }
}

let collector: Collector | undefined
let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.close()
  await collector?.close()
  collector = undefined
  cluster = undefined
}, timeout)

/** The client repeats nothing, however long an answer takes. */
async function open(world: World, sampler?: Sampler): Promise<[Collector, TestCluster, Holdfast]> {
  collector = new Collector(sampler)
  cluster = await TestCluster.open(world, { actors: [Cart], partitions: 2 })
  await cluster.start('a')
  await cluster.settled('a')
  return [collector, cluster, await unhurriedClient(clusterName, await cluster.transport())]
}

const parentOf = (span: ReadableSpan) => span.parentSpanContext?.spanId
const idOf = (span: ReadableSpan) => span.spanContext().spanId
/** Waits for spans, which end a moment after their caller has its answer: looks at each turn of the event loop. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

describe.each<World>(['embedded', 'nats'])('a call on %s', (world) => {
  it('is one trace from its caller to the commit', { timeout }, async () => {
    const [the, , hf] = await open(world)
    const outer = trace.getTracer('user').startSpan('request')
    const result = await context.with(trace.setSpan(context.active(), outer), () => hf.actor(Cart, key).add('tea'))
    outer.end()
    expect(result).toBe(1)
    expect(new Set(the.spans.map((span) => span.spanContext().traceId))).toEqual(new Set([outer.spanContext().traceId]))
    const [call, turn] = [the.one('holdfast.call cart.add'), the.one('holdfast.turn')]
    const phases = ['wait', 'handler', 'commit'].map((phase) => the.one(`holdfast.${phase}`))
    expect([call.kind, turn.kind]).toEqual([SpanKind.CLIENT, SpanKind.SERVER])
    expect(parentOf(call)).toBe(outer.spanContext().spanId)
    expect(parentOf(turn)).toBe(idOf(call))
    expect(turn.parentSpanContext?.isRemote).toBe(true)
    for (const phase of phases) expect(parentOf(phase), phase.name).toBe(idOf(turn))
    expect(parentOf(the.one('price'))).toBe(idOf(phases[1]!))
    expect(call.attributes).toEqual({
      'holdfast.kind': 'command',
      'holdfast.type': 'cart',
      'holdfast.command': 'add',
      'holdfast.attempts': 1,
      'holdfast.outcome': 'OK',
    })
    expect(turn.attributes).toEqual({
      'holdfast.kind': 'command',
      'holdfast.type': 'cart',
      'holdfast.command': 'add',
      'holdfast.partition': partitionOf(key, 2),
      'holdfast.epoch': 1,
      'holdfast.rev': 1,
      'holdfast.outcome': 'OK',
    })
    expect(phases[2]!.attributes['holdfast.seq']).toBeGreaterThan(1)
    expect(call.status.code).toBe(SpanStatusCode.UNSET)
    // One after the other, within the turn.
    const times = [turn, ...phases].map(({ startTime }) => startTime[0] * 1e9 + startTime[1])
    expect(times).toEqual(times.toSorted((x, y) => x - y))
    expect(the.spans).toHaveLength(7)
  })

  it(
    'that fails, asks, tells or changes nothing says so, and no span holds a key, a value or a message',
    { timeout },
    async () => {
      const [the, , hf] = await open(world)
      const cart = hf.actor(Cart, key)
      await expect(cart.refuse('secret-tea')).rejects.toMatchObject({ code: 'FAILED' })
      const [failed, turn] = [the.one('holdfast.call cart.refuse'), the.one('holdfast.turn')]
      for (const span of [failed, turn]) {
        expect(span.attributes).toMatchObject({ 'holdfast.outcome': 'FAILED', 'error.type': 'FAILED' })
        expect(span.status).toEqual({ code: SpanStatusCode.ERROR })
      }
      expect(the.named('holdfast.commit')).toEqual([])
      await cart.tell.add('secret-tea')
      await cart.count()
      await cart.look()
      await hf.actor<typeof Cart>('cart', key).look()
      expect(the.named('holdfast.turn').map(({ attributes }) => attributes['holdfast.kind'])).toEqual([
        'command',
        'tell',
        'query',
        'command',
        'call',
      ])
      expect(the.named('holdfast.turn').map(({ attributes }) => attributes['holdfast.rev'])).toEqual([
        undefined,
        1,
        undefined,
        undefined,
        undefined,
      ])
      const told = JSON.stringify(
        the.spans.map(({ name, attributes, events, status }) => [name, attributes, events, status]),
      )
      expect(told).toContain('cart')
      expect(told).not.toMatch(/secret/)
    },
  )
})

describe('on NATS', () => {
  it('a call of a plain client goes on with the traceparent that it sends', { timeout }, async () => {
    const [the, { nats }] = await open('nats')
    const nc = await connectNats({ servers: nats!.url })
    const parents = ['b7ad6b7169203331', 'b7ad6b7169203332']
    for (const [i, name] of ['traceparent', 'Traceparent'].entries()) {
      const headers = natsHeaders()
      headers.set(name, `00-0af7651916cd43dd8448eb211c80319c-${parents[i]}-01`)
      const { data } = await nc.request(`${clusterName}.call.cart.c1.add`, '"tea"', { headers, timeout: 30_000 })
      expect(JSON.parse(Buffer.from(data).toString())).toEqual({ ok: true, value: i + 1 })
    }
    await nc.close()
    await until(() => the.named('holdfast.call cart.add').length === 2)
    expect(the.named('holdfast.call cart.add').map(parentOf)).toEqual(parents)
    expect(new Set(the.spans.map((span) => span.spanContext().traceId))).toEqual(
      new Set(['0af7651916cd43dd8448eb211c80319c']),
    )
    // The node may have repeated one that took long.
    const turns = the.named('holdfast.turn').filter(({ attributes }) => attributes['holdfast.repeated'] !== true)
    expect(turns.map(parentOf)).toEqual(the.named('holdfast.call cart.add').map(idOf))
  })

  it('a call that is sent twice is one span, and what comes of it at the owner is two', { timeout }, async () => {
    const [the, cluster] = await open('nats')
    const { nats } = cluster
    const hf = await cluster.client()
    await hf.actor(Cart, key).look()
    the.forget()
    nats!.pause()
    const adding = hf.actor(Cart, key).add('tea')
    await until(() => the.begun.some(({ events }) => events.some(({ name }) => name === 'holdfast.attempt')))
    nats!.resume()
    expect(await adding).toBe(1)
    const turnsOf = (command: string) =>
      the.named('holdfast.turn').filter(({ attributes }) => attributes['holdfast.command'] === command)
    await until(() => turnsOf('add').length >= 2)
    const call = the.one('holdfast.call cart.add')
    expect(call.attributes).toMatchObject({ 'holdfast.outcome': 'OK' })
    expect(call.attributes['holdfast.attempts']).toBeGreaterThanOrEqual(2)
    expect(call.events.map(({ attributes }) => attributes?.['holdfast.attempt'])).toContain(2)
    const turns = turnsOf('add')
    expect(new Set(turns.map(parentOf))).toEqual(new Set([idOf(call)]))
    // The first does it; the others only get its reply.
    expect(turns.filter(({ attributes }) => attributes['holdfast.repeated'] !== true)).toHaveLength(1)
    expect(the.one('holdfast.handler')).toBeDefined()
  })

  it('a call that nobody answers in time is UNKNOWN', { timeout }, async () => {
    const [the, cluster] = await open('nats')
    const { nats } = cluster
    const hf = await cluster.client()
    await hf.actor(Cart, key).look()
    the.forget()
    nats!.pause()
    await expect(hf.actor(Cart, key).with({ timeout: '300ms' }).add('tea')).rejects.toMatchObject({ code: 'UNKNOWN' })
    const call = the.one('holdfast.call cart.add')
    expect(call.attributes).toMatchObject({ 'holdfast.outcome': 'UNKNOWN', 'error.type': 'UNKNOWN' })
    expect(call.status.code).toBe(SpanStatusCode.ERROR)
    nats!.resume()
  })

  it('what a client does not record its owner does not record either (A2)', { timeout }, async () => {
    const [the, , hf] = await open('nats', new ParentBasedSampler({ root: new AlwaysOffSampler() }))
    expect(await hf.actor(Cart, key).add('tea')).toBe(1)
    const sampled = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 }
    // In one frame with one that is.
    const [, second] = await Promise.all([
      hf.actor(Cart, key).look(),
      context.with(trace.setSpanContext(context.active(), sampled), () => hf.actor(Cart, key).add('cup')),
    ])
    expect(second).toBe(2)
    expect(the.named('holdfast.turn').map(({ attributes }) => attributes['holdfast.command'])).toEqual(['add'])
    expect(new Set(the.spans.map((span) => span.spanContext().traceId))).toEqual(new Set([sampled.traceId]))
  })

  it.each([
    ['nothing of traces begins one', undefined, 1],
    ['that none is recorded begins none', '-', 0],
    ['what is no list of traces is done all the same', '0:nonsense,,', 0],
  ])('a frame that says %s', { timeout }, async (_, header, spans) => {
    const [the, cluster] = await open('nats')
    const transport = await cluster.transport()
    const partition = partitionId(partitionOf(key, 2))
    const inbox = transport.inbox()
    const answered = new Promise((resolve) => transport.subscribe(inbox, resolve))
    const request = {
      kind: 'command' as const,
      number: 1,
      type: 'cart',
      key,
      name: 'look',
      input: encodeValue(null),
      timeoutMs: 60_000,
    }
    const frame = encodeRequestFrame({ partitions: 2, session: sessionId('s'), low: 1, frame: 1, requests: [request] })
    const headers = header === undefined ? {} : { headers: { [headerNames.traces]: header } }
    transport.publish(subjectsOf(clusterName).partition(partition), frame, { reply: inbox, ...headers })
    await answered
    expect(the.named('holdfast.turn')).toHaveLength(spans)
    expect(the.named('holdfast.turn').map(parentOf)).toEqual(new Array<undefined>(spans).fill(undefined))
  })
})

describe('without an SDK', () => {
  it('there is no tracer, and nothing is recorded', { timeout }, async () => {
    expect(await openTracer('1')).toBeUndefined()
    cluster = await TestCluster.open('embedded', { actors: [Cart], partitions: 2 })
    await cluster.start('a')
    const hf = await cluster.client()
    // Too late: it is looked for when a client connects and a node starts.
    collector = new Collector()
    expect(await hf.actor(Cart, key).look()).toBe(0)
    expect(collector.spans).toEqual([])
    expect(await openTracer('1')).toBeDefined()
  })

  it('but another part of the API there is none either', async () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager())
    expect(await openTracer('1')).toBeUndefined()
    context.disable()
  })
})
