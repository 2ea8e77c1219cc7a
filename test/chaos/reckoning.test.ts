/** What the campaign calls wrong, history by history. */
import { describe, expect, it } from 'vitest'
import { HoldfastError } from '../../src/index.ts'
import { Histories } from './histories.ts'
import { wrongWith, type Finals } from './reckoning.ts'
import { told, type Asking } from './told.ts'

const finals = (over: Partial<Finals>): Finals => ({
  ...{ ledgers: new Map(), counters: new Map(), entries: new Map(), atMs: 100 },
  ...over,
})

describe('what everybody was told, and what is there,', () => {
  const appended = () => {
    const histories = new Histories()
    const { ledgers } = histories
    ledgers.ok(ledgers.invoke('a', 'k', { kind: 'append', id: 'one' }, 1), 1, 2)
    ledgers.ok(ledgers.invoke('a', 'k', { kind: 'append', id: 'two' }, 3), 2, 4)
    return histories
  }

  it('agree where nothing is wrong', () => {
    const histories = appended()
    const { counters, entries } = histories
    counters.ok(counters.invoke('a', 'c', { kind: 'add', amount: -5 }, 1), -5, 2)
    entries.ok(entries.invoke('a', 'e', { kind: 'write', value: 'x' }, 1), true, 2)
    const there = {
      ledgers: new Map([['k', ['one', 'two']]]),
      counters: new Map([['c', -5]]),
      entries: new Map([['e', 'x']]),
    }
    expect(wrongWith(histories, finals(there))).toEqual([])
  })

  it.each([
    ['lost', ['one'], 'two was acknowledged and is not in k'],
    ['doubled', ['one', 'two', 'two'], 'two is in k and again in k: it was applied more than once'],
    ['made up', ['one', 'two', 'three'], 'k has three, which nobody sent'],
  ])('disagree where a write is %s (K1)', (_, ids, what) => {
    expect(wrongWith(appended(), finals({ ledgers: new Map([['k', ids]]) }))).toContain(what)
  })

  it('disagree where a transfer took twice (K1)', () => {
    const histories = new Histories()
    const { counters } = histories
    counters.ok(counters.invoke('a', 'c', { kind: 'add', amount: -5 }, 1), -5, 2)
    const wrong = wrongWith(histories, finals({ counters: new Map([['c', -10]]) }))
    expect(wrong).toContain('c is -10, where acknowledged and unknown make -5 to -5')
  })

  it('disagree where a read was stale (K2)', () => {
    const histories = new Histories()
    const { entries } = histories
    entries.ok(entries.invoke('a', 'e', { kind: 'write', value: 'x' }, 1), true, 2)
    entries.ok(entries.invoke('a', 'e', { kind: 'write', value: 'y' }, 3), true, 4)
    entries.ok(entries.invoke('b', 'e', { kind: 'read' }, 5), 'x', 6)
    const wrong = wrongWith(histories, finals({ entries: new Map([['e', 'y']]) }))
    expect(wrong).toEqual([expect.stringMatching(/^e is not linearizable/)])
  })

  it('disagree where an error came that nobody has to reckon with', async () => {
    const histories = new Histories()
    await told(asking(histories, () => Promise.reject(new HoldfastError('INTERNAL', 'a bug'))))
    expect(wrongWith(histories, finals({}))).toEqual([expect.stringContaining('a bug')])
  })
})

const asking = (histories: Histories, send: (id: string | undefined) => Promise<number>): Asking<never, never> =>
  ({
    history: histories.ledgers,
    client: 'a',
    key: 'k',
    input: { kind: 'append', id: 'one' },
    send,
    patient: true,
    onMistake: (what: string) => histories.mistakes.push(what),
  }) as unknown as Asking<never, never>

describe('an operation', () => {
  const outcomeOf = async (patient: boolean, ...answers: readonly (HoldfastError | number)[]) => {
    const histories = new Histories()
    const ids: (string | undefined)[] = []
    let n = 0
    const send = (id: string | undefined): Promise<number> => {
      ids.push(id)
      const answer = answers[n++]!
      return answer instanceof HoldfastError ? Promise.reject(answer) : Promise.resolve(answer)
    }
    await told({ ...asking(histories, send), patient })
    const [operation] = histories.ledgers.of('k')
    return { kind: operation!.outcome.kind, ids, mistakes: histories.mistakes }
  }
  const unknown = new HoldfastError('UNKNOWN', 'perhaps', { id: 'the id' })
  const retry = new HoldfastError('RETRY', 'not this time')

  it('that may have happened is repeated with its id until it is known, also where it is refused then (T1, T2)', async () => {
    const repeated = { kind: 'ok', ids: [undefined, 'the id', 'the id'], mistakes: [] }
    expect(await outcomeOf(true, unknown, retry, 1)).toEqual(repeated)
  })

  it('of a hasty one stays unknown (T1)', async () => {
    expect(await outcomeOf(false, unknown)).toEqual({ kind: 'unknown', ids: [undefined], mistakes: [] })
  })

  it('that was refused has failed, and is not repeated (T2)', async () => {
    expect(await outcomeOf(true, retry)).toEqual({ kind: 'failed', ids: [undefined], mistakes: [] })
  })

  it('that ends with what nobody has to reckon with is a mistake, and may have happened (T3)', async () => {
    const { kind, mistakes } = await outcomeOf(true, new HoldfastError('FAILED', 'the handler threw'))
    expect(kind).toBe('unknown')
    expect(mistakes).toEqual([expect.stringContaining('the handler threw')])
  })
})
