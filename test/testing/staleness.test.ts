import { describe, expect, it } from 'vitest'
import { History } from '../../src/testing/check/history.ts'
import type { ListInput, ListOutput } from '../../src/testing/check/list.ts'
import { wrongStaleReads, type StaleRead } from '../../src/testing/check/staleness.ts'

const lists = new Map([['k', ['a', 'b', 'c']]])

/** Three appends by x, acknowledged at 100, 200 and 300, and a strong read of y that saw two of them at 250. */
function history(): History<ListInput, ListOutput> {
  const all = new History<ListInput, ListOutput>()
  ;['a', 'b', 'c'].forEach((id, i) => {
    const at = 100 * (i + 1)
    all.ok(all.invoke('x-1', 'k', { kind: 'append', id }, at - 10), i + 1, at)
  })
  all.ok(all.invoke('y-1', 'k', { kind: 'read' }, 240), ['a', 'b'], 250)
  return all
}

const wrong = (read: Partial<StaleRead>): readonly string[] => {
  const { ids = ['a', 'b', 'c'], ...rest } = read
  const whole = { client: 'z', key: 'k', askedMs: 400, heardMs: 410, maxStalenessMs: 500, ageMs: 100, ids, ...rest }
  const all = history()
  return wrongStaleReads({
    reads: [whole],
    operationsOf: (key) => all.of(key),
    clientOf: ({ client }) => client.split('-')[0]!,
    lists,
  })
}

describe('a read that may be stale', () => {
  it('is right with all that is there, and with what was there when its age says', () => {
    expect(wrong({})).toEqual([])
    expect(wrong({ ids: ['a', 'b'], ageMs: 150 })).toEqual([])
    expect(wrong({ ids: [], ageMs: 400 })).toEqual([])
  })

  it('is wrong with what was never the beginning of the list, or is of later (S1)', () => {
    expect(wrong({ ids: ['a', 'c'], ageMs: 300 })).toEqual([expect.stringContaining('(S1)')])
    const before = { askedMs: 205, heardMs: 210, ageMs: 0 }
    expect(wrong(before)).toEqual([expect.stringContaining('(S1)')])
  })

  it('is wrong without what was acknowledged before its age (S2)', () => {
    expect(wrong({ ids: ['a', 'b'], ageMs: 100 })).toEqual([expect.stringContaining('(S2)')])
  })

  it('is wrong without what its client has seen: its own appends, and what it has read (S3)', () => {
    expect(wrong({ client: 'x', ids: ['a', 'b'], ageMs: 150 })).toEqual([expect.stringContaining('(S3)')])
    expect(wrong({ client: 'y', ids: ['a'], ageMs: 300 })).toEqual([expect.stringContaining('(S3)')])
    expect(wrong({ client: 'y', ids: ['a'], ageMs: 180, askedMs: 240, heardMs: 245 })).toEqual([])
  })

  it('is wrong where it is older than was allowed (S4)', () => {
    expect(wrong({ maxStalenessMs: 50, ageMs: 100 })).toEqual([expect.stringContaining('(S4)')])
    expect(wrong({ maxStalenessMs: 90, ageMs: 100 })).toEqual([])
  })
})
