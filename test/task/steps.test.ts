/** A node dies, or loses its partition, at each step of a message's way: process, append, acknowledgement, publish. */
import { afterEach, describe, expect, it } from 'vitest'
import { task, type TaskStore } from '../../src/behaviour/task.ts'
import { input, output, TaskCluster, type TaskNode } from './task-cluster.ts'

/** One partition, and a task that adds; a test may hold a message while it is processed. */
class StepBench {
  readonly cluster: TaskCluster
  readonly processed: number[] = []
  /** Called while a message is processed, which goes on when it has resolved. */
  during: (seq: number, sums: TaskStore<number>) => Promise<void> | void = () => {}

  constructor(seed: string) {
    const definition = task<number>('sums', {
      input: { stream: input },
      stores: ['sums'],
      process: async ({ key, value, seq }, { store, send }) => {
        this.processed.push(seq!)
        const sums = store<number>('sums')
        const sum = ((await sums.get(key)) ?? 0) + value
        await sums.put(key, sum)
        send({ subject: `out.${key}`, value: sum, stream: output })
        await this.during(seq!, sums)
      },
    })
    this.cluster = new TaskCluster(seed, { partitions: 1, tasks: () => [definition] })
  }

  async begin(): Promise<TaskNode> {
    const node = this.cluster.start('n1')
    await this.cluster.serving()
    await this.cluster.pass(100)
    return node
  }

  /** What has to be so once all is done: each message once in the store and once in the stream. */
  async judge(...sums: readonly number[]): Promise<void> {
    await this.cluster.until(() => this.cluster.stored.length >= sums.length)
    await this.cluster.pass(10_000)
    expect(this.cluster.stored.map(({ value }) => value)).toEqual(sums)
    const entry = await this.cluster.settle(this.cluster.client.kv('sums').entry('k'))
    expect(entry).toEqual({ key: 'k', value: sums.at(-1), rev: sums.length })
    for (const { id, value } of this.cluster.arrived) {
      expect(this.cluster.stored.find((stored) => stored.id === id)?.value).toBe(value)
    }
  }
}

let bench: StepBench
const open = (seed: string) => (bench = new StepBench(seed))
afterEach(() => bench.cluster.close())

const never = () => new Promise<void>(() => {})

describe('a node that dies', () => {
  it('while a message is processed: the next owner processes it, and it counts once', async () => {
    const { cluster } = open('process')
    await bench.begin()
    bench.during = never
    cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 1)
    cluster.crash('n1')
    bench.during = () => {}
    cluster.start('n2')
    cluster.send('k', 2)
    await bench.judge(1, 3)
    expect(bench.processed).toEqual([1, 1, 2])
  })

  it('before its append has reached the log: the message is processed again, and counts once', async () => {
    const { cluster } = open('append')
    const { process } = await bench.begin()
    process.changelog.faults.loseRequest = 1
    cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 1)
    await cluster.pass(50)
    cluster.crash('n1')
    cluster.start('n2')
    await bench.judge(1)
    expect(bench.processed).toEqual([1, 1])
  })

  it('when the log has its record and it does not know: the message is done, and the next owner sends what it sent', async () => {
    const { cluster } = open('acknowledgement')
    const { process } = await bench.begin()
    process.changelog.faults.loseAcknowledgement = 1
    cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 1)
    await cluster.pass(50)
    expect(cluster.arrived).toEqual([])
    cluster.crash('n1')
    cluster.start('n2')
    await bench.judge(1)
    expect(bench.processed).toEqual([1])
  })

  it('when all is committed and nothing is published: the next owner publishes it', async () => {
    const { cluster } = open('publish')
    const { process } = await bench.begin()
    bench.during = () => process.links.hub.cut({ noticeAfterMs: 10_000 })
    cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 1)
    await cluster.pass(50)
    expect(cluster.arrived).toEqual([])
    cluster.crash('n1')
    bench.during = () => {}
    cluster.start('n2')
    await bench.judge(1)
    expect(bench.processed).toEqual([1])
  })

  it('when all is published and the log does not say so: it is published again, and is the same', async () => {
    const { cluster } = open('mark')
    await bench.begin()
    cluster.send('k', 1)
    await cluster.until(() => cluster.stored.length === 1)
    cluster.crash('n1')
    cluster.start('n2')
    cluster.send('k', 2)
    await bench.judge(1, 3)
    expect(cluster.arrived.map(({ value }) => value)).toEqual([1, 1, 3])
    expect(bench.processed).toEqual([1, 2])
  })

  it('is no reason to publish what the log says is published', async () => {
    const { cluster } = open('marked')
    await bench.begin()
    for (const n of [1, 2]) {
      cluster.send('k', n)
      await cluster.pass(100)
    }
    cluster.crash('n1')
    cluster.start('n2')
    await bench.judge(1, 3)
    expect(cluster.arrived.map(({ value }) => value)).toEqual([1, 3, 3])
  })
})

describe('a connection that is lost (output-publisher.ts, P5)', () => {
  it('before an output was sent has it sent when it is back, though nothing else happens', async () => {
    const { cluster } = open('reconnect')
    const { process } = await bench.begin()
    bench.during = () => process.links.hub.cut()
    cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 1)
    await cluster.pass(1_000)
    expect(cluster.arrived).toEqual([])
    process.links.hub.heal()
    await bench.judge(1)
    expect(bench.processed).toEqual([1])
    expect(cluster.eventsOf('output.refused')).toEqual([])
  })
})

describe('a partition that moves', () => {
  it('while a message is processed waits for it, within a second, and nothing is done twice', async () => {
    const { cluster } = open('move')
    await bench.begin()
    let release: () => void = () => {}
    bench.during = () => new Promise<void>((resolve) => (release = resolve))
    for (const n of [1, 2, 3]) cluster.send('k', n)
    await cluster.until(() => bench.processed.length === 1)
    cluster.world.clock.setTimeout(() => {
      bench.during = () => {}
      release()
    }, 300)
    await cluster.stop('n1')
    cluster.start('n2')
    await bench.judge(1, 3, 6)
    expect(bench.processed).toEqual([1, 2, 3])
  })

  it('does not wait for ever: what does not come to its end is left to the next owner', async () => {
    const { cluster } = open('hanging')
    await bench.begin()
    bench.during = never
    cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 1)
    const before = cluster.world.clock.monotonic()
    await cluster.stop('n1')
    expect(cluster.world.clock.monotonic() - before).toBeLessThan(5_000)
    bench.during = () => {}
    cluster.start('n2')
    await bench.judge(1)
    expect(bench.processed).toEqual([1, 1])
  })

  it('away from a node that stood still: what that one still does counts for nothing', async () => {
    const { cluster } = open('fenced')
    const { process } = await bench.begin()
    const held: (() => void)[] = []
    bench.during = () => new Promise<void>((resolve) => held.push(resolve))
    cluster.send('k', 1)
    await cluster.until(() => held.length === 1)
    process.freeze()
    bench.during = () => {}
    cluster.start('n2')
    await cluster.until(() => cluster.stored.length === 1)
    cluster.send('k', 2)
    await cluster.until(() => cluster.stored.length === 2)
    held[0]!()
    process.thaw()
    await bench.judge(1, 3)
    expect(bench.processed).toEqual([1, 1, 2])
  })

  it('takes its stores from the hands of what still runs: late writes are refused', async () => {
    const { cluster } = open('late')
    await bench.begin()
    let write: () => Promise<number> = () => Promise.resolve(0)
    bench.during = (_, sums) => {
      write = () => sums.put('k', 99)
      return never()
    }
    cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 1)
    await cluster.stop('n1')
    await expect(write()).rejects.toMatchObject({ code: 'RETRY' })
    bench.during = () => {}
    cluster.start('n2')
    await bench.judge(1)
  })
})

describe('a stream that does not take an output (output-publisher.ts, P3)', () => {
  it('gets it again until it does; the task goes on, changes are published, and the mark stays behind', async () => {
    const { cluster } = open('refused')
    await bench.begin()
    cluster.refusal = 'it is full'
    for (const n of [1, 2, 3]) cluster.send('k', n)
    await cluster.until(() => bench.processed.length === 3)
    await cluster.pass(20_000)
    expect(cluster.stored).toEqual([])
    expect(cluster.eventsOf('output.refused')[0]).toEqual({
      type: 'output.refused',
      partition: 0,
      subject: 'out.k',
      reason: 'the stream OUT refuses it: it is full',
    })
    expect(cluster.eventsOf('output.refused').length).toBeLessThan(3 * 12)
    expect(await cluster.settle(cluster.client.kv('sums').get('k'))).toBe(6)
    cluster.crash('n1')
    cluster.refusal = undefined
    cluster.start('n2')
    await bench.judge(1, 3, 6)
    expect(bench.processed).toEqual([1, 2, 3])
  })

  it('and is away for long is sent more than can wait at a time, in the end all of it (P4)', async () => {
    const { cluster } = open('window')
    await bench.begin()
    cluster.refusal = 'not now'
    for (let i = 0; i < 600; i++) cluster.send('k', 1)
    await cluster.until(() => bench.processed.length === 600)
    await cluster.pass(20_000)
    expect(new Set(cluster.arrived.map(({ id }) => id)).size).toBe(256)
    cluster.refusal = undefined
    await bench.cluster.until(() => cluster.stored.length === 600)
    expect(new Set(cluster.stored.map(({ value }) => value)).size).toBe(600)
  })

  it('because nobody is there is told so', async () => {
    const definition = task<number>('nowhere', {
      input: { stream: input },
      process: ({ value }, { send }) => send({ subject: 'nowhere', value, stream: 'NONE' }),
    })
    const cluster = new TaskCluster('nowhere', { partitions: 1, tasks: () => [definition] })
    cluster.start('n1')
    cluster.send('k', 1)
    await cluster.until(() => cluster.eventsOf('output.refused').length > 0)
    expect(cluster.eventsOf('output.refused')[0]!.reason).toContain('no stream takes this subject')
    await cluster.close()
    open('nothing')
  })
})
