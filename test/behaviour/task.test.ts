import { describe, expect, it } from 'vitest'
import { task, type Envelope, type StreamTask, type TaskOptions, type TaskStore } from '../../src/behaviour/task.ts'

const run = () => ({ process() {} })
const stream = { stream: 'ORDERS' }

describe('the definition of a task (B1)', () => {
  it('has its defaults, and is frozen (B2)', () => {
    const defined = task('totals', { input: stream, run })
    expect(defined).toMatchObject({
      kind: 'task',
      name: 'totals',
      input: { stream: 'ORDERS', from: 'first' },
      key: undefined,
      format: 'json',
      stores: [],
      onError: 'retry',
    })
    expect([defined, defined.input, defined.stores].every((part) => Object.isFrozen(part))).toBe(true)
  })

  it('takes all that it says', () => {
    const key = () => 'k'
    const stores = { totals: {}, 'seen.ids': { ttl: '2h' } } as const
    const input = { ...stream, filter: 'orders.*.>', from: 'new' } as const
    expect(task('t', { input, key, format: 'bytes', stores, onError: 'skip', run })).toMatchObject({
      input,
      key,
      format: 'bytes',
      stores: [
        { name: 'totals', type: 'kv-totals', ttlMs: undefined },
        { name: 'seen.ids', type: 'kv-seen.ids', ttlMs: 7_200_000 },
      ],
      onError: 'skip',
    })
    expect(task('t', { input: { subject: 'orders.>' }, run }).input).toEqual({ subject: 'orders.>' })
  })

  const wrong: readonly [why: string, name: unknown, options: unknown][] = [
    ['the name of a task is', '', { input: stream, run }],
    ['the name of a task is', 'a.b', { input: stream, run }],
    ['the name of a task is', 'x'.repeat(65), { input: stream, run }],
    ['the name of a task is', 5, { input: stream, run }],
    ['give its options', 't', undefined],
    ['input is { stream', 't', { run }],
    ['input is { stream', 't', { input: {}, run }],
    ['input is { stream', 't', { input: { stream: 'A', subject: 'a' }, run }],
    ['input.stream is the name', 't', { input: { stream: 'a.b' }, run }],
    ['input.stream is the name', 't', { input: { stream: '' }, run }],
    ['input.filter is a subject', 't', { input: { stream: 'A', filter: 'a..b' }, run }],
    ['input.from is first or new', 't', { input: { stream: 'A', from: 'last' }, run }],
    ['input.subject is a subject', 't', { input: { subject: 'a b' }, run }],
    ['input.subject is a subject', 't', { input: { subject: '>.a' }, run }],
    ['input.subject is a subject', 't', { input: { subject: 'a\u0000' }, run }],
    ['key is a function', 't', { input: stream, key: 'name', run }],
    ['format is one of json, text, bytes', 't', { input: stream, format: 'xml', run }],
    ['onError is retry or skip', 't', { input: stream, onError: 'ignore', run }],
    ['stores is a list', 't', { input: stream, stores: 'totals', run }],
    ['the store "a" is named twice', 't', { input: stream, stores: ['a', 'a'], run }],
    ['the name of a store is a text', 't', { input: stream, stores: [''], run }],
    ['the ttl of the store "a"', 't', { input: stream, stores: { a: { ttl: '2 hours' } }, run }],
    ['give either run', 't', { input: stream }],
    ['give either run', 't', { input: stream, run, process() {} }],
    ['run is a function', 't', { input: stream, run: {} }],
    ['process is a function', 't', { input: stream, process: {} }],
  ]
  it.each(wrong)('is refused: %s (%#)', (why, name, options) => {
    const define = () => task(name as string, options as TaskOptions)
    expect(define).toThrow(why)
    expect(define).toThrow(expect.objectContaining({ code: 'INVALID' }) as Error)
  })
})

describe('the functional form', () => {
  it('gets what belongs to its place and its message in one', () => {
    const seen: unknown[] = []
    const instance = task<number>('t', {
      input: stream,
      process: ({ value }, context) => {
        context.send({ subject: 'out', value })
        context.commit()
        context.shutdown()
        seen.push(context.task, context.partition, context.now(), context.store('a'), context.signal)
        return 'done'
      },
    }).run()
    const asked: unknown[] = []
    const { signal } = new AbortController()
    const store = (name: string) => name as unknown as TaskStore<never>
    const place = { task: 't', partition: 3, signal, now: () => 7, store }
    const collector = { send: (output: unknown) => asked.push(output) }
    const coordinator = { commit: () => asked.push('commit'), shutdown: () => asked.push('shutdown') }
    expect(instance.process({ value: 5 } as Envelope, collector, coordinator, place)).toBe('done')
    expect(asked).toEqual([{ subject: 'out', value: 5 }, 'commit', 'shutdown'])
    expect(seen).toEqual(['t', 3, 7, 'a', signal])
  })
})

describe('the types of a task', () => {
  it('follow from the type of its messages', () => {
    interface Order {
      readonly customer: string
      readonly amount: number
    }
    class Totals implements StreamTask<Order> {
      process({ value }: Envelope<Order>): number {
        return value.amount
      }
    }
    task<Order>('a', { input: stream, key: ({ value }) => value.customer, run: () => new Totals() })
    task<Order>('b', { input: stream, process: ({ value }) => value.amount })
    // @ts-expect-error a message of orders has no such field
    task<Order>('c', { input: stream, key: ({ value }) => value.nobody, run: () => new Totals() })
    // @ts-expect-error a message has no key before it is known
    task<Order>('d', { input: stream, key: (message) => message.key, run: () => new Totals() })
    // @ts-expect-error an instance for other messages
    task<string>('e', { input: stream, run: () => new Totals() })
    // @ts-expect-error neither
    expect(() => task('f', { input: stream })).toThrow('give either run')
  })
})
