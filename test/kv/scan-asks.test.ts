import { describe, expect, it } from 'vitest'
import { ScanAsks } from '../../src/client/scan-asks.ts'
import type { Message } from '../../src/ports/transport.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { decodeScanRequest, encodeScanError, encodeScanPage, type ScanRequest } from '../../src/protocol/scan.ts'
import { MemoryWorld } from '../../src/adapters/memory/world.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

const subjects = subjectsOf('test')
const request: ScanRequest = { kind: 'rows', type: 'kv-users', reverse: false, limit: 10 }
const page = encodeScanPage({
  generation: generation('g'),
  seq: seq(7),
  more: false,
  last: null,
  count: 0,
  snapshot: null,
  rows: [],
})

/** What an owner says to each request, `undefined` for nothing. */
type Behave = (n: number, message: Message) => Uint8Array | undefined

function start(behave?: Behave) {
  const world = new MemoryWorld({ random: new SeededRandom('asks'), latencyMs: [0.2, 0.3] })
  const owner = world.start('owner')
  const client = world.start('client')
  const { transport, clock, random } = client
  const asked: { readonly atMs: number; readonly request: ScanRequest }[] = []
  const serve = (by: Behave) =>
    owner.transport.subscribe(subjects.scan(partitionId(3)), (message) => {
      asked.push({ atMs: world.clock.monotonic(), request: decodeScanRequest(message.data) })
      const said = by(asked.length, message)
      if (said !== undefined) owner.transport.publish(message.reply!, said)
    })
  if (behave !== undefined) serve(behave)
  const asks = new ScanAsks({ transport, clock, random, subjects })
  const ask = (options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
    asks.ask(3, request, { timeoutMs: 10_000, ...options })
  const settled = <T>(promise: Promise<T>) =>
    world.clock.settle(
      promise.catch((error: unknown) => error as { code: string; message: string }),
      60_000,
    )
  return { world, clock: world.clock, client, asked, serve, asks, ask, settled }
}

describe('a question to an owner', () => {
  it('has its page', async () => {
    const { ask, settled, asked } = start(() => page)
    expect(await settled(ask())).toMatchObject({ kind: 'page', seq: 7 })
    expect(asked.map((each) => each.request)).toEqual([
      { ...request, after: undefined, from: undefined, to: undefined, prefix: undefined, snapshot: undefined },
    ])
  })

  it('is asked again while it is refused, nobody listens, or nothing is said (Q1)', async () => {
    const refused = start((n) => (n < 4 ? encodeScanError('RETRY', 'not yet') : page))
    expect(await refused.settled(refused.ask())).toMatchObject({ kind: 'page' })
    expect(refused.asked).toHaveLength(4)
    const nobody = start()
    const asking = nobody.ask()
    await nobody.clock.advance(500)
    nobody.serve(() => page)
    expect(await nobody.settled(asking)).toMatchObject({ kind: 'page' })
    const silent = start((n) => (n < 3 ? undefined : page))
    expect(await silent.settled(silent.ask())).toMatchObject({ kind: 'page' })
    expect(silent.asked[1]!.atMs - silent.asked[0]!.atMs).toBeGreaterThan(1_900)
  })

  it('is INVALID at once where the server does not let it through (Q5)', async () => {
    const { asks, ask, settled, clock } = start()
    const [asking, sinceMs] = [ask(), clock.monotonic()]
    asks.denied(subjects.scan(partitionId(2)), 'not there')
    asks.denied(subjects.scan(partitionId(3)), 'not here')
    expect(await settled(asking)).toMatchObject({ code: 'INVALID', reason: 'not here' })
    expect(clock.monotonic()).toBe(sinceMs)
    expect(asks.metrics()[0]).toMatchObject({ value: 0 })
  })

  it('is asked again at once over a new connection (Q1)', async () => {
    const { world, clock, client, ask, settled, asked } = start((n) => (n < 2 ? undefined : page))
    const asking = ask()
    await clock.runUntil(() => asked.length === 1, 1_000)
    client.cut()
    await clock.advance(10)
    const backMs = world.clock.monotonic()
    client.heal()
    expect(await settled(asking)).toMatchObject({ kind: 'page' })
    expect(asked[1]!.atMs - backMs).toBeLessThan(1_900)
  })

  it('takes the answer to an earlier attempt, and no second one (Q2)', async () => {
    const late: Message[] = []
    const { world, clock, ask, settled, asked } = start((_, message) => void late.push(message))
    const asking = ask()
    await clock.runUntil(() => asked.length === 2, 5_000)
    const { transport } = world.start('late')
    for (const { reply } of late) transport.publish(reply!, page)
    expect(await settled(asking)).toMatchObject({ kind: 'page' })
    await clock.advance(3_000)
    expect(asked).toHaveLength(2)
  })

  it('ends at its deadline with what was said last, or RETRY (Q3)', async () => {
    const overloaded = start(() => encodeScanError('OVERLOADED', 'too many'))
    expect(await overloaded.settled(overloaded.ask({ timeoutMs: 300 }))).toMatchObject({ code: 'OVERLOADED' })
    const silent = start()
    const startMs = silent.clock.monotonic()
    expect(await silent.settled(silent.ask({ timeoutMs: 300 }))).toMatchObject({ code: 'RETRY' })
    expect(silent.clock.monotonic() - startMs).toBeLessThan(310)
  })

  it.each(['NOT_FOUND', 'INVALID', 'CONFLICT', 'INTERNAL'] as const)('ends with %s at once', async (code) => {
    const { ask, settled, asked } = start(() => encodeScanError(code, 'said so'))
    expect(await settled(ask())).toMatchObject({ code, message: expect.stringContaining('said so') as string })
    expect(asked).toHaveLength(1)
  })

  it('ends with INTERNAL where the answer is no page', async () => {
    const { ask, settled } = start(() => Buffer.from('nonsense'))
    expect(await settled(ask())).toMatchObject({ code: 'INTERNAL' })
  })

  it('ends with its signal and with the client, and is not asked then (Q3)', async () => {
    const { asks, ask, settled, clock, asked } = start(() => undefined)
    const controller = new AbortController()
    const aborted = ask({ signal: controller.signal })
    const closed = ask()
    controller.abort(new Error('enough'))
    expect(await settled(aborted)).toMatchObject({ code: 'RETRY', cause: { message: 'enough' } })
    expect(await settled(ask({ signal: controller.signal }))).toMatchObject({ code: 'RETRY' })
    asks.close()
    asks.close()
    expect(await settled(closed)).toMatchObject({ code: 'RETRY' })
    expect(await settled(ask())).toMatchObject({ code: 'INVALID' })
    const { length } = asked
    await clock.advance(10_000)
    expect(asked.length - length).toBeLessThanOrEqual(2)
  })

  it('is OVERLOADED where too many wait, and goes once they have ended (Q4)', async () => {
    const { ask, settled } = start()
    const waiting = Array.from({ length: 4_096 }, () => ask({ timeoutMs: 50 }).catch(() => 'ended'))
    expect(await settled(ask())).toMatchObject({ code: 'OVERLOADED' })
    await settled(Promise.all(waiting))
    expect(await settled(ask({ timeoutMs: 50 }))).toMatchObject({ code: 'RETRY' })
  })
})
