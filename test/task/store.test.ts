/** The store of a task, as its code uses it: one message after the other, each a function of its own. */
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { task, type ProcessContext, type TaskStore } from '../../src/behaviour/task.ts'
import type { KvEntry } from '../../src/behaviour/kv-store.ts'
import { input, TaskCluster } from './task-cluster.ts'

type Step = (store: TaskStore, context: ProcessContext) => Promise<unknown>

/** One partition whose task does in each message what the test says. */
class StoreBench {
  readonly cluster: TaskCluster
  readonly #steps: Step[] = []
  readonly #results: unknown[] = []
  #done = 0

  constructor(seed: string) {
    const definition = task('steps', {
      input: { stream: input },
      stores: { plain: {}, brief: { ttl: '1s' } },
      onError: 'skip',
      process: async ({ seq }, context) => {
        try {
          this.#results[seq!] = await this.#steps[seq! - 1]!(context.store('plain'), context)
        } finally {
          this.#done++
        }
      },
    })
    this.cluster = new TaskCluster(seed, { partitions: 1, tasks: () => [definition] })
    this.cluster.start('n1')
  }

  /** What a message makes of the store. */
  async message<T>(step: (store: TaskStore, context: ProcessContext) => Promise<T>): Promise<T> {
    this.#steps.push(step)
    const seq = this.cluster.send('k', 0)
    await this.cluster.until(() => this.#done === seq)
    return this.#results[seq] as T
  }

  /** Several messages at once, so that most begin before those before them are committed. */
  async messages(steps: readonly Step[]): Promise<unknown[]> {
    const seqs = steps.map((step) => {
      this.#steps.push(step)
      return this.cluster.send('k', 0)
    })
    await this.cluster.until(() => this.#done === seqs.at(-1))
    return seqs.map((seq) => this.#results[seq])
  }
}

let bench: StoreBench
const open = (seed: string) => (bench = new StoreBench(seed))
afterEach(() => bench.cluster.close())

async function all<V>(entries: AsyncIterable<KvEntry<V>>): Promise<unknown[]> {
  const found: unknown[] = []
  for await (const { key, value, rev } of entries) found.push([key, value, rev])
  return found
}

describe('single entries', () => {
  it('are put, read, replaced and deleted, and a message sees its own writes at once', async () => {
    open('single')
    expect(
      await bench.message(async (store) => [
        await store.get('a'),
        await store.put('a', { n: 1 }),
        await store.get('a'),
        await store.entry('a'),
        await store.delete('a'),
        await store.get('a'),
        await store.delete('a'),
        await store.put('a', null),
        await store.entry('a'),
      ]),
    ).toEqual([
      undefined,
      1,
      { n: 1 },
      { key: 'a', value: { n: 1 }, rev: 1 },
      true,
      undefined,
      false,
      1,
      { key: 'a', value: null, rev: 1 },
    ])
    expect(await bench.message((store) => store.entry('a'))).toEqual({ key: 'a', value: null, rev: 1 })
  })

  it('have one rev for a message, however often it puts them; a put after a delete goes on counting', async () => {
    open('revs')
    expect(await bench.message(async (store) => [await store.put('a', 1), await store.put('a', 2)])).toEqual([1, 1])
    expect(await bench.message((store) => store.put('a', 3))).toBe(2)
    expect(await bench.message((store) => store.delete('a'))).toBe(true)
    expect(await bench.message((store) => store.put('a', 4))).toBe(4)
  })

  it('that a message puts and deletes again have never been there', async () => {
    open('nothing')
    await bench.message(async (store) => {
      await store.put('a', 1)
      await store.delete('a')
    })
    expect(await bench.message((store) => store.put('a', 1))).toBe(1)
  })

  it('are put if they are absent, and updated and deleted by rev, else CONFLICT', async () => {
    open('cas')
    const code = (promise: Promise<unknown>) => promise.catch((error: unknown) => (error as { code: string }).code)
    expect(
      await bench.message(async (store) => [
        await store.putIfAbsent('a', 1),
        await store.putIfAbsent('a', 2),
        await code(store.update('a', 3, { rev: 2 })),
        await code(store.update('b', 3, { rev: 0 })),
        await store.update('a', 3, { rev: 1 }),
        await code(store.delete('a', { rev: 2 })),
        await store.delete('a', { rev: 1 }),
        await code(store.delete('a', { rev: 1 })),
        await code(store.update('a', 1, { rev: -1 })),
      ]),
    ).toEqual([1, undefined, 'CONFLICT', 'CONFLICT', 1, 'CONFLICT', true, 'CONFLICT', 'INVALID'])
  })

  it('of which two are updated at once let only one of them win', async () => {
    open('race')
    await bench.message((store) => store.put('a', 0))
    const outcome = await bench.message((store) =>
      Promise.allSettled([store.putIfAbsent('b', 1), store.putIfAbsent('b', 2), store.delete('a'), store.delete('a')]),
    )
    expect(outcome.map((each) => each.status === 'fulfilled' && each.value)).toEqual([1, undefined, true, false])
  })

  it('are got, put and deleted many at a time', async () => {
    open('many')
    expect(
      await bench.message(async (store) => {
        await store.putAll([
          ['b', 1],
          ['a', 2],
          ['b', 3],
        ])
        return [
          [...(await store.getAll(['c', 'b', 'a', 'b']))],
          await store.deleteAll(['a', 'x', 'a']),
          await store.count(),
        ]
      }),
    ).toEqual([
      [
        ['b', 3],
        ['a', 2],
      ],
      1,
      1,
    ])
  })

  it.each<[string, Step]>([
    ['an empty key', (store) => store.put('', 1)],
    ['a key that is too long', (store) => store.get('x'.repeat(513))],
    ['a key that is no text', (store) => store.get(5 as unknown as string)],
    ['undefined', (store) => store.put('a', undefined)],
    ['what is no value', (store) => store.put('a', () => 1)],
    ['a term that is none', (store) => store.put('a', 1, { ttl: 0 })],
    ['a limit that is none', async (store) => all(store.range({ limit: -1 }))],
    ['a bound that is none', async (store) => all(store.range({ from: 5 as unknown as string }))],
    ['a prefix that is none', async (store) => all(store.prefix(5 as unknown as string))],
    ['options of a put that are none', (store) => store.put('a', 1, null as never)],
    ['options of an update that are none', (store) => store.update('a', 1, null as never)],
    ['options of a range that are none', async (store) => all(store.range(null as never))],
    ['entries that are no pairs', (store) => store.putAll(['a'] as never)],
    ['keys that are one text', (store) => store.deleteAll('a')],
    ['more than a record takes', (store) => store.put('a', new Uint8Array(600_000))],
    [
      'more than a record takes, in parts',
      async (store) => {
        for (let i = 0; i < 20; i++) await store.put(`a${i}`, new Uint8Array(50_000))
      },
    ],
  ])('refuse %s: INVALID', async (_, step) => {
    open('invalid')
    await bench.message(step)
    expect(bench.cluster.eventsOf('task.failed')).toHaveLength(1)
    expect(await bench.message((store) => store.count())).toBe(0)
    const code = await bench.message((store, context) => step(store, context).catch((error: unknown) => error))
    expect(code).toMatchObject({ code: 'INVALID' })
  })
})

describe('a message', () => {
  it('may write and send almost as much as a record takes', async () => {
    open('large')
    await bench.message(async (store, { send }) => {
      await store.put('a', new Uint8Array(400_000))
      send({ subject: 'large', value: new Uint8Array(119_000) })
    })
    expect(await bench.message(async (store) => ((await store.get('a')) as Uint8Array).length)).toBe(400_000)
    expect(bench.cluster.eventsOf('task.failed')).toEqual([])
    expect(bench.cluster.eventsOf('partition.trouble')).toEqual([])
  })
})

describe('entries with a term', () => {
  it('are there until then, by the term of the put or of the store, and not after', async () => {
    open('term')
    await bench.message(async (store, context) => {
      await store.put('a', 1, { ttl: '2s' })
      await context.store('brief').put('b', 1)
      await context.store('brief').put('c', 1, { ttl: '5s' })
    })
    const read = () =>
      bench.message(async (store, context) => {
        const brief = context.store('brief')
        return [await store.get('a'), await brief.get('b'), await brief.get('c'), (await all(brief.range())).length]
      })
    expect(await read()).toEqual([1, 1, 1, 2])
    await bench.cluster.pass(1_100)
    expect(await read()).toEqual([1, undefined, 1, 1])
    await bench.cluster.pass(1_100)
    expect(await read()).toEqual([undefined, undefined, 1, 1])
    // A deletion when it expired is a rev of its own.
    await bench.cluster.pass(2_000)
    expect(await bench.message((store) => store.put('a', 2))).toBe(3)
  })

  it('that expire while a message has written them keep the rev that it was told (unit.ts, U3)', async () => {
    open('expiring')
    await bench.message((store) => store.put('a', 1, { ttl: '1s' }))
    await bench.cluster.pass(900)
    const told = await bench.message(async (store, context) => {
      const rev = await store.put('a', 2)
      const before = context.now()
      await new Promise<void>((resolve) => bench.cluster.world.clock.setTimeout(resolve, 5_000))
      expect(context.now()).toBe(before)
      return rev
    })
    expect(told).toBe(2)
    expect(await bench.message((store) => store.entry('a'))).toEqual({ key: 'a', value: 2, rev: 2 })
  })
})

describe('ranges', () => {
  it('give what earlier messages committed with the message’s own writes over it, in the order of UTF-8', async () => {
    open('ranges')
    const outcome = await bench.messages([
      (store) =>
        store.putAll(
          [
            ['b', 1],
            ['d', 1],
            ['\u{10000}', 1],
            ['\uFFFD', 1],
          ].map(([k, v]) => [String(k), v]),
        ),
      async (store) => {
        await store.put('a', 2)
        await store.put('b', 2)
        await store.delete('d')
        await store.put('e', 2)
        return [
          await all(store.range()),
          await all(store.range({ reverse: true, limit: 2 })),
          await all(store.range({ from: 'b', to: 'e' })),
          await all(store.range({ from: 'e', to: 'b' })),
          await all(store.range({ limit: 0 })),
          await all(store.prefix('e')),
          await store.count(),
          await store.count({ from: 'b' }),
          await store.count({ prefix: 'a' }),
        ]
      },
    ])
    const [a, b, e] = [
      ['a', 2, 1],
      ['b', 2, 2],
      ['e', 2, 1],
    ]
    const [replacement, last] = [
      ['\uFFFD', 1, 1],
      ['\u{10000}', 1, 1],
    ]
    expect(outcome[1]).toEqual([[a, b, e, replacement, last], [last, replacement], [b], [], [], [e], 5, 4, 1])
  })

  it('are read page by page, and may be left', async () => {
    open('pages')
    await bench.message(async (store) => {
      for (let i = 0; i < 1_200; i++) await store.put(`k${String(i).padStart(4, '0')}`, i)
    })
    const [keys, first] = await bench.message(async (store) => {
      const entries = await all(store.range())
      for await (const { key } of store.range()) return [entries.length, key]
      return []
    })
    expect([keys, first]).toEqual([1_200, 'k0000'])
    expect(await bench.message((store) => store.count())).toBe(1_200)
  })

  it('may be changed while they are read', async () => {
    open('changing')
    await bench.message((store) => store.putAll([0, 1, 2, 3].map((n) => [`k${n}`, n])))
    const seen = await bench.message(async (store) => {
      const keys: string[] = []
      for await (const { key, value } of store.range()) {
        keys.push(key)
        if (value === 1) await store.delete(key)
        if (value === 2) await store.put('k9', 9)
      }
      return keys
    })
    expect(seen).toEqual(['k0', 'k1', 'k2', 'k3'])
    expect(await bench.message((store) => all(store.range()))).toHaveLength(4)
  })
})

describe('a snapshot', () => {
  it('that is there only when its message is over is refused (S3)', async () => {
    open('late snapshot')
    let late: Promise<unknown> | undefined
    await bench.message(async (store) => {
      late = store.snapshot().catch((error: unknown) => error)
      // It is asked for by then.
      for (let i = 0; i < 10; i++) await Promise.resolve()
    })
    expect(await bench.cluster.settle(late!)).toMatchObject({ code: 'INVALID' })
    expect(await bench.message(async (store) => all((await store.snapshot()).entries()))).toEqual([])
  })

  it('stays as it was, may be read several times, and ends with its message', async () => {
    open('snapshot')
    await bench.message((store) => store.putAll([0, 1].map((n) => [`k${n}`, n])))
    const kept: AsyncIterable<KvEntry<unknown>>[] = []
    const read = await bench.message(async (store) => {
      await store.put('k1', 'mine')
      const snapshot = await store.snapshot()
      await store.put('k2', 2)
      await store.delete('k0')
      kept.push(snapshot.entries())
      return [await all(snapshot.entries()), await all(snapshot.entries()), await all(store.range())]
    })
    const [k0, k1, k2] = [
      ['k0', 0, 1],
      ['k1', 'mine', 2],
      ['k2', 2, 1],
    ]
    expect(read).toEqual([
      [k0, k1],
      [k0, k1],
      [k1, k2],
    ])
    await expect(all(kept[0]!)).rejects.toMatchObject({ code: 'INVALID' })
  })

  it('is asked for again while others have as many as the owner keeps: no message is left out for that (S4)', async () => {
    open('crowded')
    const { cluster } = bench
    await bench.message((store) => store.put('a', 1))
    const taking = Array.from({ length: 16 }, () => cluster.client.kv('plain').snapshot())
    const outside = await cluster.settle(Promise.all(taking))
    cluster.world.clock.setTimeout(() => {
      for (const snapshot of outside) void snapshot.close()
    }, 1_000)
    expect(await bench.message(async (store) => all((await store.snapshot()).entries()))).toEqual([['a', 1, 1]])
    expect(cluster.eventsOf('task.failed')).toEqual([])
  })

  it('is let go of by close, and by the end of each message: there may be any number over time', async () => {
    open('many snapshots')
    await bench.message((store) => store.put('a', 1))
    for (let i = 0; i < 40; i++) {
      const seen = await bench.message(async (store) => {
        const snapshot = await store.snapshot()
        if (i % 2 === 0) await snapshot.close()
        return i % 2 === 0 ? 'closed' : all(snapshot.entries())
      })
      expect(seen).toEqual(i % 2 === 0 ? 'closed' : [['a', 1, 1]])
    }
  })
})

describe('any messages at all', () => {
  const key = fc.constantFrom('a', 'b', 'b.c', 'ü', '\u{10000}')
  const operation = fc.oneof(
    { weight: 4, arbitrary: fc.record({ op: fc.constant('put' as const), key, value: fc.integer() }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('delete' as const), key, value: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('range' as const), key, value: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('throw' as const), key, value: fc.constant(0) }) },
  )

  it('do what they do to a map, and those that throw do nothing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(operation, { maxLength: 6 }), { minLength: 1, maxLength: 12 }),
        async (messages) => {
          open('model')
          let model = new Map<string, unknown>()
          const sorted = (map: Map<string, unknown>) =>
            [...map].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
          const expected: unknown[] = []
          for (const operations of messages) {
            const next = new Map(model)
            const seen: unknown[] = []
            const thrown = operations.findIndex(({ op }) => op === 'throw')
            for (const { op, key, value } of thrown < 0 ? operations : operations.slice(0, thrown)) {
              if (op === 'put') next.set(key, value)
              if (op === 'delete') seen.push(next.delete(key))
              if (op === 'range') seen.push(sorted(next))
            }
            expected.push(thrown < 0 ? seen : undefined)
            if (thrown < 0) model = next
          }
          const results = await bench.messages(
            messages.map((operations) => async (store) => {
              const seen: unknown[] = []
              for (const { op, key, value } of operations) {
                if (op === 'put') await store.put(key, value)
                if (op === 'delete') seen.push(await store.delete(key))
                if (op === 'range') seen.push((await all(store.range())).map((row) => (row as unknown[]).slice(0, 2)))
                if (op === 'throw') throw new Error('as it was told')
              }
              return seen
            }),
          )
          expect(results).toEqual(expected)
          expect(
            await bench.message(async (store) =>
              (await all(store.range())).map((row) => (row as unknown[]).slice(0, 2)),
            ),
          ).toEqual(sorted(model))
          await bench.cluster.close()
        },
      ),
      { numRuns: 25 },
    )
  })
})
