import { describe, expect, it } from 'vitest'
import { counterOf } from '../../src/testing/check/counter.ts'
import { History, type Operation } from '../../src/testing/check/history.ts'
import { checkLinearizable, notLinearizable } from '../../src/testing/check/linearizable.ts'
import { listOf, type ListInput, type ListOutput } from '../../src/testing/check/list.ts'
import { registerOf, type RegisterInput, type Scalar } from '../../src/testing/check/register.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { add, append, cas, counter, drawn, hasOrder, list, op, read, register, write } from './histories.ts'

type OfRegister = Operation<RegisterInput, Scalar>[]
type OfCounter = Parameters<typeof hasOrder<number, Parameters<typeof counter>[1], number>>[0]
type OfList = Operation<ListInput, ListOutput>[]

const registers: readonly [what: string, 'ok' | 'violation', OfRegister][] = [
  ['nothing at all', 'ok', []],
  ['a read of what was written', 'ok', [op('a', 0, 1, write(1), true), op('b', 2, 3, read, 1)]],
  ['a stale read after an acknowledged write', 'violation', [op('a', 0, 1, write(1), true), op('b', 2, 3, read, null)]],
  ['a read beside a write that sees it not yet', 'ok', [op('a', 0, 5, write(1), true), op('b', 2, 3, read, null)]],
  [
    'a read that goes back behind an earlier one',
    'violation',
    [op('a', 0, 9, write(1), true), op('b', 1, 2, read, 1), op('c', 3, 4, read, null)],
  ],
  ['a read of a value that was never written', 'violation', [op('a', 0, 1, write(1), true), op('b', 0, 1, read, 2)]],
  ['a read of a value before it is written', 'violation', [op('b', 0, 1, read, 1), op('a', 2, 3, write(1), true)]],
  [
    'two writes, acknowledged one after the other and seen in the other order',
    'violation',
    [op('a', 0, 1, write(1), true), op('b', 2, 3, write(2), true), op('c', 4, 5, read, 1)],
  ],
  [
    'two writes beside each other, seen in an order by one and in the other by another',
    'violation',
    [
      op('a', 0, 9, write(1), true),
      op('b', 0, 9, write(2), true),
      op('c', 1, 2, read, 1),
      op('c', 3, 4, read, 2),
      op('d', 5, 6, read, 1),
    ],
  ],
  [
    'an unknown write that takes effect late',
    'ok',
    [op('a', 0, 'unknown', write(1)), op('b', 1, 2, write(2), true), op('b', 3, 4, read, 2), op('b', 5, 6, read, 1)],
  ],
  [
    'an unknown write that takes effect twice',
    'violation',
    [op('a', 0, 'unknown', write(1)), op('b', 1, 2, read, 1), op('b', 3, 4, write(2), true), op('b', 5, 6, read, 1)],
  ],
  ['an unknown write that is never seen', 'ok', [op('a', 0, 'unknown', write(1)), op('b', 1, 2, read, null)]],
  [
    'an unknown write that is seen before it is asked for',
    'violation',
    [op('b', 1, 2, read, 1), op('a', 3, 'unknown', write(1))],
  ],
  [
    'a compare-and-set that two win',
    'violation',
    [op('a', 0, 5, cas(null, 1), true), op('b', 0, 5, cas(null, 2), true)],
  ],
  [
    'a compare-and-set that one wins',
    'ok',
    [op('a', 0, 5, cas(null, 1), true), op('b', 0, 5, cas(null, 2), false), op('a', 6, 7, read, 1)],
  ],
  [
    'one that loses to an unknown write that nobody saw (V2)',
    'ok',
    [op('a', 0, 'unknown', write(7)), op('b', 1, 2, cas(null, 1), false)],
  ],
  ['one that loses to nothing', 'violation', [op('a', 3, 'unknown', write(7)), op('b', 1, 2, cas(null, 1), false)]],
  [
    'an unknown compare-and-set of what an unknown write wrote',
    'ok',
    [op('a', 0, 'unknown', write(1)), op('b', 0, 'unknown', cas(1, 2)), op('c', 1, 2, read, 2)],
  ],
  [
    'a write of what was there before, behind a read of another value (V3)',
    'ok',
    [
      op('a', 0, 1, write(1), true),
      op('a', 2, 3, write(2), true),
      op('b', 4, 5, read, 2),
      op('a', 6, 7, write(1), true),
      op('b', 8, 9, read, 1),
    ],
  ],
  [
    'two writes of values that nobody saw, one of which has to explain a lost compare-and-set (W3)',
    'ok',
    [
      op('a', 0, 20, write(8), true),
      op('b', 1, 2, write(9), true),
      op('b', 3, 4, write(1), true),
      op('b', 5, 6, read, 1),
      op('b', 7, 8, cas(1, 2), false),
    ],
  ],
]

const counters: readonly [what: string, 'ok' | 'violation', OfCounter][] = [
  ['a lost update', 'violation', [op('a', 0, 5, add(1), 1), op('b', 0, 5, add(1), 1)]],
  ['additions beside each other', 'ok', [op('a', 0, 5, add(1), 2), op('b', 0, 5, add(1), 1)]],
  ['one that is applied twice', 'violation', [op('a', 0, 1, add(1), 1), op('a', 2, 3, read, 2)]],
  ['an unknown one that counts', 'ok', [op('a', 0, 'unknown', add(5)), op('b', 1, 2, add(1), 6)]],
  [
    'an unknown one that counts twice',
    'violation',
    [op('a', 0, 'unknown', add(5)), op('b', 1, 2, read, 5), op('b', 3, 4, read, 10)],
  ],
  [
    'an unknown one that counts late',
    'ok',
    [op('a', 0, 'unknown', add(5)), op('b', 1, 2, add(1), 1), op('b', 3, 4, read, 6)],
  ],
  [
    'a sum that goes down and has a reason to',
    'ok',
    [op('a', 0, 1, add(5), 5), op('a', 2, 'unknown', add(-2)), op('b', 3, 4, read, 3)],
  ],
  ['the order of two clients, against the clock', 'violation', [op('a', 0, 1, add(1), 2), op('b', 2, 3, add(1), 1)]],
]

const lists: readonly [what: string, 'ok' | 'violation', OfList][] = [
  ['an append that is there', 'ok', [op('a', 0, 1, append('x'), 1), op('a', 2, 3, read, ['x'])]],
  ['one that is lost', 'violation', [op('a', 0, 1, append('x'), 1), op('a', 2, 3, read, [])]],
  ['one that is there twice', 'violation', [op('a', 0, 1, append('x'), 1), op('a', 2, 3, read, ['x', 'x'])]],
  ['one that nobody sent', 'violation', [op('a', 0, 1, append('x'), 2), op('a', 2, 3, read, ['y', 'x'])]],
  ['one at another place than told', 'violation', [op('a', 0, 1, append('x'), 2), op('b', 0, 1, append('y'), 2)]],
  [
    'an unknown one that is there, late',
    'ok',
    [
      op('a', 0, 'unknown', append('x')),
      op('b', 1, 2, append('y'), 1),
      op('b', 3, 4, read, ['y']),
      op('b', 5, 6, read, ['y', 'x']),
    ],
  ],
  [
    'lists that do not begin alike',
    'violation',
    [
      op('a', 0, 9, append('x'), 1),
      op('b', 0, 9, append('y'), 2),
      op('c', 1, 2, read, ['x', 'y']),
      op('d', 1, 2, read, ['y']),
    ],
  ],
  [
    'unknown ones that only lengths tell of',
    'ok',
    [
      ...Array.from({ length: 30 }, (_, i) => op<ListInput, ListOutput>('a', 0, 'unknown', append(`u${i}`))),
      op('b', 1, 2, append('y'), 14),
    ],
  ],
  [
    'reads that tell how the list ended',
    'violation',
    [op('a', 0, 1, append('x'), 1), op('a', 2, 3, append('y'), 2), op('b', 4, 5, read, { length: 2, last: 'x' })],
  ],
]

describe('a history of a register', () => {
  it.each(registers)('%s: %s', (_, kind, history) => {
    expect(checkLinearizable(history, registerOf).kind).toBe(kind)
    expect(hasOrder(history, register, null)).toBe(kind === 'ok')
  })
})

describe('a history of a counter', () => {
  it.each(counters)('%s: %s', (_, kind, history) => {
    expect(checkLinearizable(history, counterOf).kind).toBe(kind)
    expect(hasOrder(history, counter, 0)).toBe(kind === 'ok')
  })
})

describe('a history of a list', () => {
  it.each(lists)('%s: %s', (_, kind, history) => {
    expect(checkLinearizable(history, listOf).kind).toBe(kind)
  })

  it('is refused where two appends have one id (V1)', () => {
    const history: OfList = [op('a', 0, 1, append('x'), 1), op('a', 2, 3, append('x'), 2)]
    expect(() => checkLinearizable(history, listOf)).toThrow(RangeError)
  })
})

describe('the check', () => {
  it('leaves out what failed (W2)', () => {
    const failed = {
      ...op<RegisterInput, Scalar>('a', 0, 'unknown', write(1)),
      outcome: { kind: 'failed', code: 'RETRY' },
    }
    const history = [failed as Operation<RegisterInput, Scalar>, op<RegisterInput, Scalar>('b', 1, 2, read, 1)]
    expect(checkLinearizable(history, registerOf).kind).toBe('violation')
  })

  it('says how far the history can be explained, and what then does not fit', () => {
    const verdict = checkLinearizable<number, RegisterInput, Scalar>(
      [
        op('a', 0, 1, write(1), true),
        op('b', 2, 3, read, 1),
        op('a', 4, 5, write(2), true),
        op('b', 6, 9, read, 1),
        op('c', 7, 12, write(3), true),
      ],
      registerOf,
    )
    expect(verdict).toMatchObject({ kind: 'violation' })
    if (verdict.kind !== 'violation') return
    expect(verdict.unplaced).toEqual([op('b', 6, 9, read, 1)])
    expect(verdict.explanation).toBe(
      [
        'these fit in this order:',
        '  0 … 1  a: write 1',
        '  2 … 3  b: read = 1',
        '  4 … 5  a: write 2',
        'then it is a value that nobody saw, and no order was found of these and of what returned next:',
        '  6 … 9  b: read = 1',
      ].join('\n'),
    )
  })

  it('is undecided, and not content, when it was not given enough steps (W1)', () => {
    const history = drawn({
      seed: 1,
      clients: 8,
      operations: 200,
      unknown: 0,
      apply: register,
      initial: null,
      draw: (random, nth) => (random.chance(0.5) ? read : write(nth)),
    })
    expect(checkLinearizable(history, registerOf, { maxSteps: 50 })).toMatchObject({ kind: 'undecided' })
    expect(checkLinearizable(history, registerOf)).toMatchObject({ kind: 'ok' })
  })

  it('tells of each key of a history by itself', () => {
    const history = new History<RegisterInput, Scalar>()
    history.ok(history.invoke('a', 'good', write(1), 0), true, 1)
    history.ok(history.invoke('a', 'bad', write(1), 2), true, 3)
    history.ok(history.invoke('a', 'bad', read, 4), null, 5)
    history.ok(history.invoke('a', 'good', read, 6), 1, 7)
    expect(notLinearizable(history, registerOf)).toEqual([
      expect.stringMatching(/^bad is not linearizable: .*read = null$/s),
    ])
    expect(notLinearizable(history, registerOf, { maxSteps: 0 })).toEqual([
      expect.stringMatching(/^good: no order was found in 2 steps/),
      expect.stringMatching(/^bad /),
    ])
  })
})

describe('many unknown operations', () => {
  const unknownWrites = (count: number): OfRegister =>
    Array.from({ length: count }, (_, i) => op('u', 0, 'unknown', write(`u${i}`)))

  it('cost little where nobody saw their values, also if the history is wrong', () => {
    const seen: OfRegister = [op('a', 1, 2, write(1), true), op('a', 3, 4, read, 1), op('a', 5, 6, read, null)]
    const verdict = checkLinearizable([...unknownWrites(5_000), ...seen], registerOf)
    expect(verdict.kind).toBe('violation')
    expect(verdict.steps).toBeLessThan(1_000)
  })

  it('cost little where each is seen once', () => {
    const random = new SeededRandom(3)
    const values = Array.from({ length: 100 }, (_, i) => `u${i}`)
    for (let i = values.length; i > 1;) {
      const j = random.below(i--)
      ;[values[i], values[j]] = [values[j]!, values[i]!]
    }
    const reads: OfRegister = values.map((value, i) => op('r', 1 + 2 * i, 2 + 2 * i, read, value))
    expect(checkLinearizable([...unknownWrites(100), ...reads], registerOf).kind).toBe('ok')
    const twice = [...reads, op<RegisterInput, Scalar>('r', 5_000, 5_001, read, values[0]!)]
    const verdict = checkLinearizable([...unknownWrites(100), ...twice], registerOf)
    expect(verdict.kind).toBe('violation')
    expect(verdict.steps).toBeLessThan(2_000_000)
  })

  it('of a few amounts cost little in a counter', () => {
    const unknown: OfCounter = Array.from({ length: 600 }, (_, i) => op('u', 0, 'unknown', add(1 + (i % 3))))
    expect(checkLinearizable([...unknown, op('a', 1, 2, read, 900)], counterOf).kind).toBe('ok')
    const verdict = checkLinearizable([...unknown, op('a', 1, 2, read, 40), op('a', 3, 4, read, 39)], counterOf)
    expect(verdict.kind).toBe('violation')
  })

  it('of ids that nobody saw cost little in a list', () => {
    const unknown: OfList = Array.from({ length: 2_000 }, (_, i) => op('u', 0, 'unknown', append(`u${i}`)))
    const verdict = checkLinearizable(
      [...unknown, op('a', 1, 2, append('x'), 1_500), op('a', 3, 4, append('y'), 1_500)],
      listOf,
    )
    expect(verdict.kind).toBe('violation')
    expect(verdict.steps).toBeLessThan(20_000)
    expect(list([], append('x'))).toEqual([['x'], 1])
  })
})

it('checks 100,000 operations of 16 clients on one key within seconds', { timeout: 120_000 }, () => {
  const history = drawn({
    seed: 16,
    clients: 16,
    operations: 100_000,
    unknown: 0.01,
    apply: register,
    initial: null,
    draw: (random, nth) => (random.chance(0.4) ? read : write(nth)),
  })
  const verdict = checkLinearizable(history, registerOf)
  expect(verdict.kind).toBe('ok')
  // What it costs is told in steps, which are the same on every machine.
  expect(verdict.steps / history.length).toBeLessThan(20)
})
