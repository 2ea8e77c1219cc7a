import { afterEach, describe, expect, it } from 'vitest'
import {
  task,
  type Envelope,
  type ProcessContext,
  type TaskDefinition,
  type TaskOptions,
  type TaskStore,
} from '../../src/behaviour/task.ts'
import { cluster as clusterName, input, output, TaskCluster, type TaskClusterOptions } from './task-cluster.ts'

let cluster: TaskCluster
afterEach(() => cluster.close())

const open = (seed: string, tasks: () => readonly TaskDefinition[], options: Partial<TaskClusterOptions> = {}) =>
  (cluster = new TaskCluster(seed, { partitions: 2, ...options, tasks }))

type Process = (envelope: Envelope<number>, context: ProcessContext) => unknown

/** A task of the store `sums` that reads the stream. */
const sums = (process: Process, options: Partial<TaskOptions<number>> = {}): TaskDefinition =>
  task<number>('sums', { input: { stream: input }, stores: ['sums'], ...options, process } as TaskOptions<number>)

const add: Process = async ({ key, value }, { store, send }) => {
  const sum = ((await store<number>('sums').get(key)) ?? 0) + value
  await store<number>('sums').put(key, sum)
  send({ subject: `out.${key}`, value: sum })
}

describe('a task that reads a stream', () => {
  it('processes what is there and what comes, each message in the partition of its key, in order (L1)', async () => {
    const seen: string[] = []
    open('order', () => [
      sums(async (envelope, context) => {
        seen.push(`${context.partition} ${envelope.key} ${envelope.seq}`)
        await add(envelope, context)
      }),
    ])
    for (let i = 1; i <= 4; i++) cluster.send(`k${i % 2}`, i)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 4)
    for (let i = 5; i <= 8; i++) cluster.send(`k${i % 2}`, i)
    await cluster.until(() => cluster.stored.length === 8)
    expect(await cluster.entries('sums')).toEqual({ k0: 20, k1: 16 })
    const [even, odd] = [0, 1].map((n) => seen.filter((line) => line.includes(` k${n} `)))
    expect(even!.map((line) => Number(line.split(' ')[2]))).toEqual([2, 4, 6, 8])
    expect(odd!.map((line) => Number(line.split(' ')[2]))).toEqual([1, 3, 5, 7])
    expect(new Set(seen.map((line) => line.slice(0, 4))).size).toBe(2)
    const ids = cluster.stored.map(({ id }) => id.replace(/\.[01]\./, '.p.')).sort()
    expect(ids).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((seq) => `${clusterName}.sums.p.${seq}.0`))
  })

  it('finds the partition by the key function, and gives that key', async () => {
    const keys: string[] = []
    open('key', () => [
      task<{ readonly id: string }>('ids', {
        input: { stream: input },
        key: ({ value }) => value.id,
        process: ({ key }) => void keys.push(key),
      }),
    ])
    cluster.send('any', { id: 'a.b' })
    cluster.send('any', { id: 'ü' })
    cluster.start('n1')
    await cluster.until(() => keys.length === 2)
    expect(keys.sort()).toEqual(['a.b', 'ü'])
  })

  it('reads only what its filter lets through, and values in its format', async () => {
    const seen: unknown[] = []
    const reading = (name: string, format: 'text' | 'bytes') =>
      task(name, { input: { stream: input, filter: 'a.*' }, format, process: ({ value }) => void seen.push(value) })
    open('filter', () => [reading('texts', 'text'), reading('bytes', 'bytes')])
    cluster.send('a.x', 'yes')
    cluster.send('b.x', 'no')
    cluster.start('n1')
    await cluster.until(() => seen.length === 2)
    await cluster.pass(1_000)
    expect(seen).toHaveLength(2)
    expect(seen).toEqual(expect.arrayContaining(['"yes"', new Uint8Array(Buffer.from('"yes"'))]))
  })

  it('begins with what is new where it is told to, and goes on from there ever after', async () => {
    open('new', () => [sums(add, { input: { stream: input, from: 'new' } })])
    cluster.send('k', 100)
    cluster.start('n1')
    await cluster.serving()
    await cluster.pass(100)
    cluster.crash('n1')
    cluster.send('k', 1)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 1)
    expect(await cluster.entries('sums')).toEqual({ k: 1 })
  })

  it('waits for a stream that is not there yet, and says so once', async () => {
    open('no stream', () => [sums(add, { input: { stream: 'LATER' } })])
    cluster.start('n1')
    await cluster.until(() => cluster.eventsOf('task.trouble').length > 0)
    await cluster.pass(20_000)
    expect(cluster.eventsOf('task.trouble')).toEqual([
      { type: 'task.trouble', task: 'sums', reason: 'there is no stream LATER: create it' },
    ])
    cluster.streams.create('LATER')
    cluster.streams.add('LATER', 'k', Buffer.from('5'))
    await cluster.until(() => cluster.stored.length === 1)
  })

  it('commits how far the stream was read where nothing comes for a partition, so that it is not read again (L5)', async () => {
    open('idle', () => [sums(add)])
    cluster.start('n1')
    await cluster.serving()
    for (let i = 0; i < 500; i++) cluster.send('k', 1)
    await cluster.until(() => cluster.stored.length === 500)
    await cluster.pass(6_000)
    cluster.crash('n1')
    cluster.events.length = 0
    cluster.start('n1')
    await cluster.serving()
    expect(cluster.eventsOf('task.serving').map(({ seq }) => seq)).toEqual([500, 500])
    const positions = cluster.positions()
    await cluster.pass(60_000)
    expect(cluster.positions()).toEqual(positions)
  })

  it('has messages of one key wait for each other, and those of other partitions go on', async () => {
    let release: () => void = () => {}
    const seen: string[] = []
    open('waiting', () => [
      sums(async ({ key, seq }) => {
        if (seq === 1) await new Promise<void>((resolve) => (release = resolve))
        seen.push(`${key}${seq}`)
      }),
    ])
    for (const key of ['k0', 'k0', 'k1', 'k1']) cluster.send(key, 0)
    cluster.start('n1')
    await cluster.until(() => seen.length === 2)
    await cluster.pass(35_000)
    expect(seen).toEqual(['k13', 'k14'])
    expect(cluster.eventsOf('task.trouble').map(({ reason }) => reason)).toEqual([
      expect.stringContaining('message 1 in partition'),
    ])
    release()
    await cluster.until(() => seen.length === 4)
    expect(seen.slice(2)).toEqual(['k01', 'k02'])
  })

  it('puts more messages in memory than its bound by no means, and processes all of them (L4, R3)', async () => {
    let release: () => void = () => {}
    let processed = 0
    let held = 0
    open('bounded', () => [
      sums(async ({ data }) => {
        held = Math.max(held, data.length)
        if (processed === 0) await new Promise<void>((resolve) => (release = resolve))
        processed++
      }),
    ])
    for (let i = 0; i < 1_000; i++) cluster.send('k', i)
    cluster.start('n1')
    await cluster.pass(20_000)
    expect(processed).toBe(0)
    release()
    await cluster.until(() => processed === 1_000)
    expect(cluster.eventsOf('task.failed')).toEqual([])
  })
})

describe('a message whose processing throws (L3)', () => {
  it('leaves no trace and is tried again after growing pauses; others of its partition wait', async () => {
    let failures = 4
    const times: number[] = []
    open('retry', () => [
      sums(async (envelope, context) => {
        await add(envelope, context)
        if (envelope.seq !== 1 || failures-- === 0) return
        times.push(cluster.world.clock.monotonic())
        throw new Error('no luck')
      }),
    ])
    cluster.send('k', 5)
    cluster.send('k', 7)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 2)
    expect(await cluster.entries('sums')).toEqual({ k: 12 })
    expect(cluster.arrived.map(({ value }) => value)).toEqual([5, 12])
    const pauses = times.slice(1).map((time, i) => Math.round(time - times[i]!))
    expect(pauses).toEqual([100, 200, 400])
    expect(
      cluster.eventsOf('task.failed').map(({ seq, attempt, skipped, reason }) => [seq, attempt, skipped, reason]),
    ).toEqual([1, 2, 3, 4].map((attempt) => [1, attempt, false, 'no luck']))
    const entry = await cluster.settle(cluster.client.kv('sums').entry('k'))
    expect(entry).toEqual({ key: 'k', value: 12, rev: 2 })
  })

  it('is tried again as it came, whatever the attempt before has changed in it (message.ts, E1)', async () => {
    const seen: unknown[] = []
    open('changed', () => [
      task<{ cents: number }>('changed', {
        input: { stream: input },
        key: ({ value }) => `${value.cents}`,
        process: ({ key, value, data }) => {
          seen.push([key, value.cents, Buffer.from(data).toString()])
          value.cents *= 100
          data.fill(0)
          if (seen.length < 3) throw new Error('a request failed')
        },
      }),
    ])
    cluster.send('k', { cents: 5 })
    cluster.start('n1')
    await cluster.until(() => seen.length === 3)
    expect(seen).toEqual(Array.from({ length: 3 }, () => ['5', 5, '{"cents":5}']))
  })

  it('does not keep the messages of other partitions, however many come behind it (R3)', async () => {
    let poisoned = true
    open('poison', () => [
      sums(async (envelope, context) => {
        if (envelope.seq === 1 && poisoned) throw new Error('poison')
        await add(envelope, context)
      }),
    ])
    for (let i = 0; i < 1_000; i++) cluster.send('k0', 1)
    for (let i = 0; i < 100; i++) cluster.send('k1', 1)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 100)
    expect(await cluster.entries('sums')).toEqual({ k1: 100 })
    poisoned = false
    await cluster.until(() => cluster.stored.length === 1_100)
    expect(await cluster.entries('sums')).toEqual({ k0: 1_000, k1: 100 })
  })

  it('is left out where it is told to, with nothing of it but an event, for good', async () => {
    open('skip', () => [
      sums(
        async (envelope, context) => {
          await add(envelope, context)
          if (envelope.value === 5) throw new Error('five')
        },
        { onError: 'skip' },
      ),
    ])
    for (const n of [1, 5, 2]) cluster.send('k', n)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 2)
    expect(await cluster.entries('sums')).toEqual({ k: 3 })
    expect(cluster.eventsOf('task.failed')).toMatchObject([{ seq: 2, attempt: 1, skipped: true, reason: 'five' }])
    cluster.crash('n1')
    cluster.events.length = 0
    cluster.start('n1')
    await cluster.serving()
    await cluster.pass(1_000)
    expect(cluster.eventsOf('task.failed')).toEqual([])
  })

  it.each([
    ['a value that is not JSON', '{', 'this message is not JSON'],
    ['a key that is no text', '5', 'its key is not a text but number'],
    ['an empty key', '""', 'a key is never empty'],
    ['a key function that throws', 'null', 'no key'],
  ])('may be one with %s: it fails in the partition of its subject', async (_, data, why) => {
    open('bad', () => [
      sums(() => {}, {
        key: ({ value }) => {
          if (value === null) throw new Error('no key')
          return value as unknown as string
        },
        onError: 'skip',
      }),
    ])
    cluster.streams.add(input, 'k0', Buffer.from(data))
    cluster.start('n1')
    await cluster.until(() => cluster.eventsOf('task.failed').length === 1)
    expect(cluster.eventsOf('task.failed')[0]).toMatchObject({ seq: 1, reason: expect.stringContaining(why) })
  })

  it('may be the start of an instance: it is tried again, and no message comes before', async () => {
    let failures = 2
    const order: string[] = []
    open(
      'init',
      () => [
        task('starting', {
          input: { stream: input },
          stores: ['sums'],
          run: () => ({
            async init(context) {
              await context.store<number>('sums').put(`begun in ${context.partition}`, failures)
              if (failures-- > 0) throw new Error('not yet')
              order.push('init')
            },
            process: () => void order.push('process'),
          }),
        }),
      ],
      { partitions: 1 },
    )
    cluster.send('k', 1)
    cluster.start('n1')
    await cluster.until(() => order.length === 2)
    expect(order).toEqual(['init', 'process'])
    expect(cluster.eventsOf('task.failed').map(({ seq, attempt }) => [seq, attempt])).toEqual([
      [null, 1],
      [null, 2],
    ])
    expect(await cluster.entries('sums')).toEqual({ 'begun in 0': 0 })
  })
})

describe('a stream that is not what it was (L6)', () => {
  const restart = async (disaster: () => void) => {
    open('disaster', () => [sums(add)], { partitions: 1 })
    for (let i = 0; i < 5; i++) cluster.send('k', 1)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 5)
    await cluster.pass(100)
    cluster.crash('n1')
    disaster()
    cluster.events.length = 0
    cluster.start('n1')
  }
  const stopped = async () => {
    await cluster.until(() => cluster.eventsOf('task.stopped').length === 1)
    for (let i = 0; i < 10; i++) cluster.send('k', 1)
    await cluster.pass(10_000)
    expect(await cluster.entries('sums')).toEqual({ k: 5 })
    return cluster.eventsOf('task.stopped')[0]!.reason
  }

  it('because it was made again, stops the task', async () => {
    await restart(() => cluster.streams.create(input))
    expect(await stopped()).toContain('was made at stream 2, and its position is one in the stream made at stream 1')
  })

  it('because it was made again while it was read, stops the task', async () => {
    open('remade', () => [sums(add)], { partitions: 1 })
    for (let i = 0; i < 5; i++) cluster.send('k', 1)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 5)
    cluster.streams.create(input)
    expect(await stopped()).toContain('give the task another name')
  })

  it('because it lost messages that were processed, stops the task', async () => {
    await restart(() => cluster.streams.truncate(input, 3))
    await cluster.until(() => cluster.eventsOf('task.stopped').length === 1)
    expect(cluster.eventsOf('task.stopped')[0]!.reason).toContain('ends at 3, and 5 was processed')
  })

  it('because it is another one by the definition, stops the task', async () => {
    let stream = input
    open('renamed', () => [sums(add, { input: { stream } })], { partitions: 1 })
    cluster.send('k', 1)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 1)
    await cluster.pass(100)
    cluster.crash('n1')
    stream = 'OTHER'
    cluster.streams.create('OTHER')
    cluster.start('n1')
    await cluster.until(() => cluster.eventsOf('task.stopped').length === 1)
    expect(cluster.eventsOf('task.stopped')[0]!.reason).toContain(`in the stream ${input}, and its input is OTHER`)
  })

  it('because it has removed what was not processed, is read on, and the gap is told', async () => {
    await restart(() => {
      for (let i = 0; i < 5; i++) cluster.send('k', 10)
      cluster.streams.trim(input, 9)
    })
    await cluster.until(() => cluster.stored.length === 7)
    expect(cluster.eventsOf('task.gap')).toEqual([{ type: 'task.gap', task: 'sums', partition: 0, from: 6, to: 8 }])
    expect(await cluster.entries('sums')).toEqual({ k: 25 })
  })

  it('because it has removed its first messages before any was processed, is read on, and the gap is told', async () => {
    open('early', () => [sums(add)], { partitions: 1 })
    cluster.start('n1')
    await cluster.serving()
    await cluster.pass(100)
    cluster.crash('n1')
    for (let i = 0; i < 5; i++) cluster.send('k', 10)
    cluster.streams.trim(input, 4)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 2)
    expect(cluster.eventsOf('task.gap')).toEqual([{ type: 'task.gap', task: 'sums', partition: 0, from: 1, to: 3 }])
    expect(await cluster.entries('sums')).toEqual({ k: 20 })
  })

  it('is no gap where a task begins behind what was removed long before', async () => {
    open('late', () => [sums(add)], { partitions: 1 })
    for (let i = 0; i < 5; i++) cluster.send('k', 10)
    cluster.streams.trim(input, 4)
    cluster.start('n1')
    await cluster.until(() => cluster.stored.length === 2)
    expect(cluster.eventsOf('task.gap')).toEqual([])
  })
})

describe('an instance', () => {
  it('is made for each partition with its ownership, and closed at its end, once (L7)', async () => {
    const said: string[] = []
    const tasks = () => [
      task('life', {
        input: { stream: input },
        run: () => {
          let place = ''
          return {
            init: ({ partition }) => void said.push((place = `${partition}`)),
            process() {},
            close: () => void said.push(`closed ${place}`),
          }
        },
      }),
    ]
    open('life', tasks)
    cluster.start('n1')
    await cluster.serving()
    expect(said.sort()).toEqual(['0', '1'])
    await cluster.stop('n1')
    expect(said.sort()).toEqual(['0', '1', 'closed 0', 'closed 1'])
  })

  it('whose start fails is closed before the next one is made (L7)', async () => {
    const said: string[] = []
    let made = 0
    open(
      'failed start',
      () => [
        task('life', {
          input: { stream: input },
          run: () => {
            const name = ++made
            return {
              init() {
                said.push(`init ${name}`)
                if (name < 3) throw new Error('not yet')
              },
              process() {},
              close: () => void said.push(`close ${name}`),
            }
          },
        }),
      ],
      { partitions: 1 },
    )
    cluster.start('n1')
    await cluster.serving()
    expect(said).toEqual(['init 1', 'close 1', 'init 2', 'close 2', 'init 3'])
    await cluster.stop('n1')
    expect(said.slice(5)).toEqual(['close 3'])
  })

  it('is not closed where the process dies, and one that throws at its end hurts nobody', async () => {
    const said: string[] = []
    open(
      'no close',
      () => [
        task('life', {
          input: { stream: input },
          run: () => ({
            process() {},
            close() {
              said.push('closed')
              throw new Error('at the end')
            },
          }),
        }),
      ],
      { partitions: 1 },
    )
    cluster.start('n1')
    await cluster.serving()
    await cluster.settle(cluster.nodes.get('n1')!.node.crash())
    expect(said).toEqual([])
    cluster.crash('n1')
    cluster.events.length = 0
    cluster.start('n1')
    await cluster.serving()
    await cluster.stop('n1')
    expect(said).toEqual(['closed'])
    expect(cluster.eventsOf('handler.threw')).toMatchObject([{ where: 'close of task life' }])
  })

  it('that asks for its shutdown ends after that message, which counts', async () => {
    open(
      'shutdown',
      () => [
        sums(async (envelope, context) => {
          await add(envelope, context)
          if (envelope.seq === 2) context.shutdown()
        }),
      ],
      { partitions: 1 },
    )
    for (let i = 0; i < 5; i++) cluster.send('k', 1)
    cluster.start('n1')
    await cluster.until(() => cluster.eventsOf('task.stopped').length === 1)
    await cluster.pass(10_000)
    expect(await cluster.entries('sums')).toEqual({ k: 2 })
    expect(cluster.eventsOf('task.stopped')[0]!.reason).toBe('it asked for its shutdown')
  })

  it('that asks for a commit has its message in the log before the next one begins', async () => {
    const committed: unknown[] = []
    let asks = true
    open(
      'commit',
      () => [
        sums(async (envelope, context) => {
          const before = cluster.positions()[0]
          await add(envelope, context)
          if (asks) context.commit()
          committed.push(before)
        }),
      ],
      { partitions: 1 },
    )
    cluster.start('n1')
    await cluster.serving()
    await cluster.pass(100)
    for (let i = 0; i < 3; i++) cluster.send('k', 1)
    await cluster.until(() => committed.length === 3)
    expect(committed).toEqual([1, 2, 3])
    asks = false
    for (let i = 0; i < 3; i++) cluster.send('k', 1)
    await cluster.until(() => committed.length === 6)
    expect(committed.slice(3)).not.toEqual([4, 5, 6])
  })

  it('cannot use what belongs to a message after its end (instance.ts, I2)', async () => {
    const kept: ProcessContext[] = []
    const late: unknown[] = []
    open(
      'late',
      () => [
        sums((_, context) => {
          kept.push(context)
        }),
      ],
      { partitions: 1 },
    )
    cluster.send('k', 1)
    cluster.start('n1')
    await cluster.until(() => kept.length === 1)
    await cluster.pass(100)
    const [{ store, send, commit, shutdown, now }] = kept as [ProcessContext]
    const attempts = [() => send({ subject: 'out', value: 1 }), commit, shutdown, now]
    for (const attempt of attempts) expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID' }) as Error)
    for (const promise of [store('sums').get('k'), store('sums').put('k', 1), store('sums').count()]) {
      promise.catch((error: unknown) => late.push(error))
    }
    await cluster.pass(100)
    expect(late).toEqual(Array.from({ length: 3 }, () => expect.objectContaining({ code: 'INVALID' })))
    expect(() => store('other')).toThrow('task "sums" has no store "other" (it has "sums")')
  })
})

describe('what a message has begun and not awaited (instance.ts, I2)', () => {
  const forms: readonly [
    form: string,
    define: (work: (store: TaskStore<number>) => Promise<void>) => TaskDefinition,
  ][] = [
    ['that `process` was given', (work) => sums((_, { store }) => work(store('sums')))],
    [
      'that `init` has kept',
      (work) =>
        task('sums', {
          input: { stream: input },
          stores: ['sums'],
          run: () => {
            let kept: TaskStore<number>
            return {
              init: ({ store }) => void (kept = store('sums')),
              process: () => work(kept),
            }
          },
        }),
    ],
  ]
  const count = async (store: TaskStore<number>) => {
    await store.put('n', ((await store.get('n')) ?? 0) + 1)
  }
  const failed = () => Promise.reject(new Error('a request failed'))

  it.each(forms)('counts neither for its retry nor for the next message, by a store %s', async (_, define) => {
    const opens: (() => void)[] = []
    const opened = () => new Promise<void>((resolve) => opens.push(resolve))
    const refused: unknown[] = []
    const later = (store: TaskStore<number>) =>
      opened()
        .then(() => count(store))
        .catch((error: unknown) => void refused.push(error))
    let begun = 0
    open(
      'not awaited',
      () => [
        define(async (store) => {
          begun++
          if (begun === 1) await Promise.all([later(store), failed()])
          if (begun === 2) void later(store)
          if (begun >= 2) await opened()
          await count(store)
        }),
      ],
      { partitions: 1 },
    )
    cluster.send('k', 1)
    cluster.send('k', 2)
    cluster.start('n1')
    // The first message is tried again.
    await cluster.until(() => opens.length === 3)
    opens[0]!()
    await cluster.until(() => refused.length === 1)
    opens[2]!()
    // The second one is processed.
    await cluster.until(() => opens.length === 4)
    opens[1]!()
    await cluster.until(() => refused.length === 2)
    opens[3]!()
    await cluster.pass(1_000)
    expect(refused).toEqual(Array.from({ length: 2 }, () => expect.objectContaining({ code: 'INVALID' })))
    expect(await cluster.settle(cluster.client.kv('sums').entry('n'))).toEqual({ key: 'n', value: 2, rev: 2 })
  })
})

describe('the store of a task, from outside (T2)', () => {
  it('is read and watched by clients, and written by the task alone', async () => {
    open('outside', () => [sums(add)])
    cluster.start('n1')
    await cluster.serving()
    const kv = cluster.client.kv<number>('sums')
    const changes: unknown[] = []
    const watch = kv.watch()
    void (async () => {
      for await (const { key, state, rev } of watch) changes.push([key, state, rev])
    })()
    await cluster.settle(watch.ready())
    for (const n of [1, 2]) cluster.send('k0', n)
    await cluster.until(() => changes.length === 2)
    expect(changes).toEqual([
      ['k0', 1, 1],
      ['k0', 3, 2],
    ])
    watch.close()
    expect(await cluster.settle(kv.get('k0'))).toBe(3)
    const writes = [
      () => kv.put('k0', 9),
      () => kv.delete('k0'),
      () => kv.putIfAbsent('k9', 1),
      () => kv.update('k0', 9, { rev: 2 }),
    ]
    for (const write of writes) {
      const reason = expect.stringContaining('belongs to the task "sums"')
      const refused = await cluster.settle(write().catch((error: unknown) => error))
      expect(refused).toMatchObject({ code: 'INVALID', reason })
    }
    expect(await cluster.entries('sums')).toEqual({ k0: 3 })
    expect(await cluster.settle(cluster.client.kv('others').put('k0', 1))).toBe(1)
  })

  it('holds what its partition wrote under any key, which ranges find', async () => {
    open('any key', () => [
      sums(async ({ value }, { store }) => {
        for (let i = 0; i < 8; i++) await store('sums').put(`any ${i}`, value)
      }),
    ])
    cluster.send('k0', 7)
    cluster.start('n1')
    await cluster.serving()
    await cluster.pass(1_000)
    expect(Object.keys(await cluster.entries('sums'))).toHaveLength(8)
  })
})

describe('a task that reads a plain subject', () => {
  const plain = () => [sums(add, { input: { subject: 'orders.*' } })]

  it('has each message processed once, by the owner of its partition, on any number of nodes', async () => {
    open('plain', plain, { partitions: 4 })
    for (const name of ['n1', 'n2']) cluster.start(name)
    await cluster.until(() =>
      [...cluster.nodes.values()].every(({ node }) => node.status().partitions.some(({ role }) => role === 'owner')),
    )
    await cluster.pass(5_000)
    for (let i = 0; i < 40; i++) cluster.server.publish(`orders.${i % 8}`, Buffer.from('1'))
    await cluster.until(() => cluster.stored.length === 40)
    const want = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`orders.${i}`, 5]))
    expect(await cluster.entries('sums')).toEqual(want)
    expect(new Set(cluster.stored.map(({ id }) => id)).size).toBe(40)
  })

  it('processes what waits before it hands its partition over', async () => {
    let release: () => void = () => {}
    let held = true
    open(
      'parting',
      () => [
        sums(
          async (envelope, context) => {
            if (held) await new Promise<void>((resolve) => (release = resolve))
            held = false
            await add(envelope, context)
          },
          { input: { subject: 'orders.*' } },
        ),
      ],
      { partitions: 1 },
    )
    cluster.start('n1')
    await cluster.serving()
    await cluster.pass(50)
    for (let i = 0; i < 3; i++) cluster.server.publish('orders.k', Buffer.from('1'))
    await cluster.pass(50)
    const stopping = cluster.stop('n1')
    release()
    await stopping
    cluster.start('n2')
    await cluster.until(() => cluster.stored.length === 3)
    expect(await cluster.entries('sums')).toEqual({ 'orders.k': 3 })
  })

  it('drops what is more than it can hold, and says so (P1)', async () => {
    open('overflow', () => [sums(() => new Promise<void>(() => {}), { input: { subject: 'orders.*' } })], {
      partitions: 1,
    })
    cluster.start('n1')
    await cluster.serving()
    // The server has the subscription.
    await cluster.pass(50)
    for (let i = 0; i < 300; i++) cluster.server.publish('orders.k', Buffer.from('1'))
    await cluster.pass(1_000)
    const dropped = cluster.eventsOf('message.dropped').filter(({ reason }) => reason === 'overflow')
    expect(dropped).toHaveLength(300 - 257)
  })

  it('works where there are no streams, and cannot send to one there', async () => {
    open(
      'no streams',
      () => [
        sums(
          async (envelope, context) => {
            await add(envelope, context)
            if (envelope.value === 2) context.send({ subject: 'out.x', value: 1, stream: output })
          },
          { input: { subject: 'orders.*' }, onError: 'skip' },
        ),
      ],
      { streams: false },
    )
    cluster.start('n1')
    await cluster.serving()
    await cluster.pass(50)
    for (const n of ['1', '2', '3']) cluster.server.publish('orders.k', Buffer.from(n))
    await cluster.until(() => cluster.stored.length === 2)
    expect(await cluster.entries('sums')).toEqual({ 'orders.k': 4 })
    expect(cluster.eventsOf('task.failed')).toMatchObject([{ reason: expect.stringContaining('no streams here') }])
  })
})
