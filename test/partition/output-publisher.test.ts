import { describe, expect, it } from 'vitest'
import { MemoryWorld } from '../../src/adapters/memory/world.ts'
import type { History } from '../../src/partition/history.ts'
import { expectedStream, OutputPublisher } from '../../src/partition/output-publisher.ts'
import type { Message, Transport } from '../../src/ports/transport.ts'
import { seq, type Seq } from '../../src/protocol/ids.ts'
import type { OutputRecord } from '../../src/protocol/record.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Events, p0 } from './world.ts'

const plain: OutputRecord = { subject: 'plain', data: new Uint8Array(0), headers: {} }
const stored: OutputRecord = { subject: 'stored', data: new Uint8Array(0), headers: { [expectedStream]: 'S' } }
const many = (count: number) => Array.from({ length: count }, () => stored)

/** A publisher with records that a test makes up, and a server that says nothing by itself. */
class Bench {
  readonly records: { readonly seq: Seq; readonly outputs: readonly OutputRecord[] }[] = []
  readonly #world = new MemoryWorld({ random: new SeededRandom('outputs') })
  /** Reply subjects of what streams have not acknowledged. */
  readonly asked: string[] = []
  readonly #flushing: (() => void)[] = []
  #answer: (message: Message) => void = () => {}
  readonly publisher: OutputPublisher
  flushes = 0
  /** Messages that the connection has room for. */
  room = Number.POSITIVE_INFINITY
  lost = 0

  constructor() {
    const lost = () => this.lost
    const transport: Partial<Transport> = {
      connected: true,
      get lost() {
        return lost()
      },
      inbox: () => '_INBOX.o',
      publish: (_, __, options) => {
        if (this.room-- <= 0) this.lost++
        else if (options?.reply !== undefined) this.asked.push(options.reply)
      },
      flush: () => {
        this.flushes++
        return new Promise((resolve) => this.#flushing.push(resolve))
      },
      subscribe: (_, handler) => {
        this.#answer = handler
        return { close() {} }
      },
    }
    const { records } = this
    const history = {
      get head() {
        return records.at(-1)?.seq ?? seq(0)
      },
      async *outputsAfter(after: Seq) {
        yield* records.filter((record) => record.seq > after)
      },
    }
    this.publisher = new OutputPublisher({
      partition: p0,
      clock: this.#world.clock,
      observer: new Events(),
      transport: transport as Transport,
      history: history as unknown as History,
      published: seq(0),
    })
  }

  async commit(...outputs: readonly OutputRecord[]): Promise<void> {
    const previous = seq(this.records.length)
    this.records.push({ seq: seq(previous + 1), outputs })
    this.publisher.committed(seq(previous + 1), outputs, previous)
    await this.pass()
  }

  /** The server has taken what was sent so far. */
  async confirm(): Promise<void> {
    this.#flushing.shift()?.()
    await this.pass()
  }

  async acknowledge(): Promise<void> {
    const data = Buffer.from(JSON.stringify({ stream: 'S', seq: 1 }))
    this.#answer({ subject: this.asked.shift()!, data, reply: undefined, headers: undefined, noResponders: false })
    await this.pass()
  }

  pass(ms = 1): Promise<void> {
    return this.#world.clock.advance(ms)
  }
}

describe('an output that the connection has no room for (P5)', () => {
  it('does not count as published, and is sent when there is room', async () => {
    const bench = new Bench()
    bench.room = 1
    await bench.commit(plain)
    await bench.commit(plain)
    await bench.commit(plain)
    await bench.confirm()
    await bench.confirm()
    expect(bench.publisher.confirmed).toBe(1)
    expect(bench.lost).toBe(1)
    await bench.pass(1_000)
    expect(bench.lost).toBeLessThan(10)
    expect(bench.flushes).toBe(1)
    bench.room = 2
    await bench.pass(200)
    await bench.confirm()
    await bench.confirm()
    expect(bench.publisher.confirmed).toBe(3)
    bench.publisher.stop()
  })

  it('is sent with all of its record, of which each is waited for once', async () => {
    const bench = new Bench()
    bench.room = 2
    await bench.commit(stored, stored, plain)
    expect(bench.publisher.metrics()).toMatchObject([{ value: 0 }])
    bench.room = 3
    await bench.pass(200)
    expect(bench.publisher.metrics()).toMatchObject([{ value: 2 }])
    // The stream has had both twice.
    for (let i = 0; i < 4; i++) await bench.acknowledge()
    expect(bench.publisher.confirmed).toBe(0)
    await bench.confirm()
    expect(bench.publisher.confirmed).toBe(1)
    bench.publisher.stop()
  })
})

describe('outputs of a record that waits for room in its middle (P2, P4)', () => {
  it('are confirmed once all of it is sent, and the server is not asked before, over and over', async () => {
    const bench = new Bench()
    await bench.commit(plain, ...many(255))
    await bench.commit(plain, stored, stored)
    expect(bench.asked).toHaveLength(256)
    for (let round = 0; round < 50; round++) await bench.confirm()
    expect(bench.flushes).toBe(1)
    while (bench.asked.length > 0) await bench.acknowledge()
    expect(bench.publisher.confirmed).toBe(1)
    await bench.confirm()
    expect(bench.flushes).toBe(2)
    expect(bench.publisher.confirmed).toBe(2)
    bench.publisher.stop()
  })
})
