import { describe, expect, it, vi } from 'vitest'
import { confirmEveryMs, Publisher } from '../../src/partition/publisher.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { seq, type Seq } from '../../src/protocol/ids.ts'
import { HistoryBench } from './changes.ts'
import { g1, p0, subjects } from './world.ts'

interface Heard {
  readonly subject: string
  readonly key: string
  readonly rev: number
  readonly cursor: string
}

/** An owner's history and publisher, and a plain subscriber to all changes. */
class Bench extends HistoryBench {
  readonly heard: Heard[] = []
  publisher!: Publisher

  async publish(published: Seq, transport: Transport = this.node.process.transport): Promise<this> {
    const subscriber = this.world.start('subscriber').process
    subscriber.transport.subscribe(subjects.allChanges, ({ subject, data, headers }) => {
      const { key, rev, cursor } = JSON.parse(Buffer.from(data).toString()) as Heard
      expect(headers).toEqual({ 'Hf-Rev': String(rev), 'Hf-Cursor': cursor })
      this.heard.push({ subject, key, rev, cursor })
    })
    await this.world.settle(subscriber.transport.flush())
    this.publisher = new Publisher({
      partition: p0,
      generation: g1,
      published,
      history: this.history,
      transport,
      subjects,
      observer: this.node.events,
      clock: this.node.process.clock,
    })
    this.onRecord = (seq, changes, previous) => this.publisher.committed(seq, changes, previous)
    this.publisher.pump()
    return this
  }

  /** Long enough for what was sent to be confirmed. */
  pass(ms = confirmEveryMs + 20): Promise<void> {
    return this.world.clock.advance(ms)
  }

  /** `key rev` of what was heard. */
  get said(): string[] {
    return this.heard.map(({ key, rev }) => `${key}${rev}`)
  }

  /** The same, of all changes after a record. */
  saidAfter(after: number): string[] {
    return this.after(seq(after)).map(({ key, rev }) => `${key}${rev}`)
  }
}

const open = (seed: string) => new Bench(seed).begin().publish(seq(2)) as Promise<Bench>

describe('publishing changes (E2, B1)', () => {
  it('says each committed change on its subject, in order, with its rev and cursor', async () => {
    const bench = await open('order')
    bench.commit({ key: 'a', state: 1 }, { key: 'b.c', state: 2 }, { key: 'a' })
    bench.commit({ key: 'a', state: null })
    await bench.pass()
    expect(bench.heard).toEqual([
      { subject: 'test.changes.thing.a', key: 'a', rev: 1, cursor: `0-${g1}-3-0` },
      { subject: 'test.changes.thing.b=2Ec', key: 'b.c', rev: 1, cursor: `0-${g1}-3-1` },
      { subject: 'test.changes.thing.a', key: 'a', rev: 2, cursor: `0-${g1}-4-0` },
    ])
  })

  it('says nothing of records without changes, and is past them', async () => {
    const bench = await open('nothing')
    bench.commit()
    const last = bench.commit({ key: 'a' })
    await bench.pass()
    expect(bench.heard).toEqual([])
    expect(bench.publisher.confirmed).toBe(last)
  })

  it('says nothing more after `stop`', async () => {
    const bench = await open('stop')
    bench.commit({ key: 'a', state: 1 })
    await bench.pass()
    bench.publisher.stop()
    bench.commit({ key: 'a', state: 2 })
    bench.publisher.resume()
    bench.publisher.pump()
    await bench.pass(5_000)
    expect(bench.said).toEqual(['a1'])
  })
})

describe('the mark of what is published (E2, B2)', () => {
  it('follows what the server has confirmed, and not what was only sent', async () => {
    const bench = await open('confirmed')
    const first = bench.commit({ key: 'a', state: 1 })
    expect(bench.publisher.confirmed).toBe(2)
    await bench.pass()
    expect(bench.publisher.confirmed).toBe(first)
    bench.node.process.links.hub.cut({ noticeAfterMs: 1_000 })
    bench.commit({ key: 'a', state: 2 })
    await bench.pass(5_000)
    expect(bench.publisher.confirmed).toBe(first)
  })

  it('costs one question for all that is sent within its interval (B2)', async () => {
    const bench = new Bench('one question').begin() as Bench
    const { transport } = bench.node.process
    const flush = vi.spyOn(transport, 'flush')
    await bench.publish(seq(2), transport)
    for (let i = 0; i < 10; i++) {
      bench.commit({ key: 'a', state: i })
      await bench.pass(1)
    }
    expect(flush).not.toHaveBeenCalled()
    await bench.pass()
    expect(bench.publisher.confirmed).toBe(bench.history.head)
    expect(flush).toHaveBeenCalledOnce()
  })

  it('makes a new owner publish everything after it again, and nothing before', async () => {
    const bench = new Bench('new owner')
    for (let i = 0; i < 300; i++) {
      if (i % 9 === 4) bench.stray()
      bench.commit({ key: 'a', state: i })
    }
    bench.begin(500)
    await bench.publish(seq(100))
    await bench.pass(1_000)
    expect(bench.said).toEqual(bench.saidAfter(100))
    expect(bench.publisher.confirmed).toBe(bench.history.head)
    bench.commit({ key: 'a', state: 'next' })
    await bench.pass()
    expect(bench.said).toEqual(bench.saidAfter(100))
  })

  it('lets what is committed while a new owner catches up come after what was owed, by rev', async () => {
    const bench = new Bench('catching up')
    for (let i = 0; i < 600; i++) bench.commit({ key: 'a', state: i })
    bench.begin(500)
    await bench.publish(seq(2))
    for (let i = 0; i < 50; i++) {
      bench.commit({ key: 'a', state: `new ${i}` })
      await bench.pass(0.2)
    }
    await bench.pass(1_000)
    // A change may be said twice; who ignores revs that are not above the last seen has each once, in order.
    let seen = 0
    for (const { rev } of bench.heard) if (rev === seen + 1) seen = rev
    expect(seen).toBe(650)
    expect(new Set(bench.said).size).toBe(650)
  })
})

describe('a connection that is lost (B3)', () => {
  it('makes publishing go on from the last confirmed record, once it is back', async () => {
    const bench = await open('lost')
    const hub = bench.node.process.links.hub
    bench.commit({ key: 'a', state: 0 })
    await bench.pass()
    hub.cut({ noticeAfterMs: 100 })
    for (let i = 1; i <= 5; i++) {
      bench.commit({ key: 'a', state: i })
      await bench.pass(50)
    }
    await bench.pass(500)
    expect(bench.said).toEqual(['a1'])
    hub.heal()
    await bench.world.until(() => bench.node.process.transport.connected)
    bench.publisher.resume()
    await bench.pass(500)
    expect(bench.said).toEqual(bench.saidAfter(2))
    expect(bench.publisher.confirmed).toBe(bench.history.head)
  })

  it('loses no change over any number of losses at any moment, and brings each key in order', async () => {
    for (let seed = 0; seed < 25; seed++) {
      const bench = await open(`losses ${seed}`)
      const { links, random, transport } = bench.node.process
      transport.onStatus((status) => status === 'connected' && bench.publisher.resume())
      for (let i = 0; i < 60; i++) {
        bench.commit({ key: `k${i % 3}`, state: i })
        if (random.next() < 0.1) links.hub.cut({ noticeAfterMs: random.next() * 50 })
        if (random.next() < 0.3) links.hub.heal()
        await bench.pass(random.next() * 20)
      }
      links.hub.heal()
      await bench.pass(2_000)
      expect(bench.publisher.confirmed).toBe(bench.history.head)
      const seen = new Map<string, number>()
      for (const { key, rev } of bench.heard) {
        const last = seen.get(key) ?? 0
        expect(rev).toBeLessThanOrEqual(last + 1)
        seen.set(key, Math.max(last, rev))
      }
      expect(Object.fromEntries(seen)).toEqual({ k0: 20, k1: 20, k2: 20 })
    }
  })

  it('keeps the order where a change is committed before anybody said that it is back', async () => {
    const bench = await open('not told')
    bench.node.process.links.hub.cut()
    await bench.pass()
    bench.commit({ key: 'a', state: 1 })
    bench.node.process.links.hub.heal()
    await bench.world.until(() => bench.node.process.transport.connected)
    bench.commit({ key: 'a', state: 2 })
    await bench.pass()
    expect(bench.said).toEqual(['a1', 'a2'])
  })

  it('takes no confirmation of what was sent before it for one of what is sent after', async () => {
    const bench = new Bench('late confirmation').begin() as Bench
    const flushes: (() => void)[] = []
    const sent: string[] = []
    const transport = {
      maxPayload: 1_048_576,
      connected: true,
      publish: (subject: string) => sent.push(subject),
      flush: () => new Promise<void>((resolve) => flushes.push(resolve)),
    } as unknown as Transport
    await bench.publish(seq(2), transport)
    const last = bench.commit({ key: 'a', state: 1 })
    await bench.pass()
    expect([sent.length, flushes.length]).toEqual([1, 1])
    bench.publisher.resume()
    await bench.pass()
    expect(sent).toHaveLength(2)
    flushes[0]!()
    await bench.pass()
    expect(bench.publisher.confirmed).toBe(2)
    expect(flushes).toHaveLength(2)
    flushes[1]!()
    await bench.pass()
    expect(bench.publisher.confirmed).toBe(last)
  })

  it('begins anew with what it was reading from the log when it was lost', async () => {
    const bench = new Bench('lost while reading')
    for (let i = 0; i < 20; i++) bench.commit({ key: 'a', state: i })
    bench.begin()
    const { links, transport } = bench.node.process
    links.changelog.delayMs = 20
    await bench.publish(seq(2), transport)
    await bench.pass(5)
    // Back before the record that was being read has come.
    bench.publisher.resume()
    await bench.pass(500)
    expect(bench.said).toEqual(bench.saidAfter(2))
    expect(bench.publisher.confirmed).toBe(bench.history.head)
  })

  it('is taken up again after a log that could not be read, by itself', async () => {
    const bench = new Bench('log away')
    for (let i = 0; i < 20; i++) bench.commit({ key: 'a', state: i })
    bench.begin()
    bench.node.process.links.changelog.cut()
    await bench.publish(seq(2))
    await bench.pass(1_000)
    expect(bench.said).toEqual([])
    expect(bench.node.events.of('partition.trouble').length).toBeGreaterThan(0)
    expect(bench.node.events.of('partition.trouble').length).toBeLessThan(20)
    bench.node.process.links.changelog.heal()
    await bench.pass(1_000)
    expect(bench.said).toEqual(bench.saidAfter(2))
    bench.publisher.stop()
  })

  it('leaves no timer of it behind after `stop`', async () => {
    const bench = new Bench('no timer')
    bench.commit({ key: 'a', state: 1 })
    bench.begin()
    bench.node.process.links.changelog.cut()
    await bench.publish(seq(2))
    await bench.pass(100)
    bench.publisher.stop()
    const fired = bench.world.clock.fired
    await bench.pass(10_000)
    expect(bench.world.clock.fired).toBe(fired)
  })
})

describe('changes that the connection has no room for (B3, T1)', () => {
  /** Of so many messages. */
  const withRoom = async (seed: string, records: number, room: () => boolean) => {
    const bench = new Bench(seed)
    for (let i = 0; i < records; i++) bench.commit({ key: 'a', state: i }, { key: 'b', state: i })
    bench.begin()
    const { transport } = bench.node.process
    const publish = transport.publish.bind(transport)
    let lost = 0
    vi.spyOn(transport, 'lost', 'get').mockImplementation(() => lost)
    vi.spyOn(transport, 'publish').mockImplementation((...message) => {
      if (room()) publish(...message)
      else lost++
    })
    await bench.publish(seq(2), transport)
    return { bench, lost: () => lost }
  }

  it('do not count as published, and are published when it has', async () => {
    let full = false
    const { bench, lost } = await withRoom('no room', 0, () => !full)
    const first = bench.commit({ key: 'a', state: 1 })
    await bench.pass()
    full = true
    for (let i = 0; i < 10; i++) {
      bench.commit({ key: 'a', state: i })
      await bench.pass(500)
    }
    expect(bench.publisher.confirmed).toBe(first)
    // It is tried from time to time, with the first of them.
    expect(lost()).toBeGreaterThan(10)
    expect(lost()).toBeLessThan(30)
    full = false
    await bench.pass(300)
    expect(bench.said).toEqual(bench.saidAfter(2))
    expect(bench.publisher.confirmed).toBe(bench.history.head)
  })

  it('go on from the record that was too much, where there is room for some at a time', async () => {
    let left = 5
    const { bench } = await withRoom('some room', 10, () => left-- > 0)
    for (let i = 0; i < 20; i++) {
      await bench.pass(200)
      left = 5
    }
    expect(new Set(bench.said)).toEqual(new Set(bench.saidAfter(2)))
    // Of a record that was said in part both changes are said again.
    expect(bench.said.length).toBeLessThan(1.5 * bench.saidAfter(2).length)
    expect(bench.publisher.confirmed).toBe(bench.history.head)
    bench.publisher.stop()
  })
})

describe('a change whose JSON is too large for a message', () => {
  it('is said without its state, and says so', async () => {
    const bench = await open('large')
    const messages: Record<string, unknown>[] = []
    const other = bench.world.start('other').process
    other.transport.subscribe('test.changes.thing.big', ({ data }) => {
      messages.push(JSON.parse(Buffer.from(data).toString()) as Record<string, unknown>)
    })
    await bench.world.settle(other.transport.flush())
    bench.commit({ key: 'big', state: new Uint8Array(900_000) }, { key: 'big', state: 'small' })
    await bench.pass()
    expect(messages).toMatchObject([
      { rev: 1, omitted: true },
      { rev: 2, state: 'small' },
    ])
    expect(messages[0]).not.toHaveProperty('state')
  })
})
