/** The checks of whole runs: each finds what it is there to find, and nothing in a run where all is well. */
import { describe, expect, it } from 'vitest'
import { nextSeq, seq, type Incarnation, type NodeId } from '../../src/protocol/ids.ts'
import { decodeRecord, encodeRecord, type CommitRecord, type LogRecord } from '../../src/protocol/record.ts'
import { formatCursor } from '../../src/protocol/cursor.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { wrongAppends, type Append } from '../../src/testing/check/appends.ts'
import { History } from '../../src/testing/check/history.ts'
import type { ListInput, ListOutput } from '../../src/testing/check/list.ts'
import { wrongLists } from '../../src/testing/check/lists.ts'
import { LogCheck, WriterCheck } from '../../src/testing/check/logs.ts'
import { ReplicaCheck } from '../../src/testing/check/replicas.ts'
import { wrongSums, type Addition } from '../../src/testing/check/sums.ts'
import { WatchCheck } from '../../src/testing/check/watch.ts'
import { claimAt, commitAt, g1, handoffAt, p0, PlainLog } from '../core/records.ts'

const acknowledged = (place?: number) => ({ kind: 'ok', output: place, returnedMs: 1 }) as const
const unknown = { kind: 'unknown' } as const
const failed = { kind: 'failed', code: 'RETRY' } as const

describe('appends', () => {
  const appends: readonly Append[] = [
    { key: 'k', id: 'a', outcome: acknowledged(1) },
    { key: 'k', id: 'b', outcome: acknowledged() },
    { key: 'k', id: 'c', outcome: unknown },
    { key: 'k', id: 'd', outcome: failed },
    { key: 'l', id: 'e', outcome: unknown },
  ]
  const found = (k: readonly string[], l: readonly string[] = []) =>
    wrongAppends(
      appends,
      new Map([
        ['k', k],
        ['l', l],
      ]),
    )

  it.each([
    [['a', 'b'], []],
    [['a', 'c', 'b'], ['e']],
  ])('are right where each acknowledged one is there once: %j %j', (k, l) => {
    expect(found(k, l)).toEqual([])
  })

  it.each([
    ['P1', ['a'], [], ['b was acknowledged and is not in k']],
    ['P1', ['b', 'a'], [], ['a was acknowledged as number 1 of k, where it is number 2']],
    ['P1', ['a', 'b', 'a'], [], ['a is in k and again in k: it was applied more than once']],
    ['P1', ['a', 'b', 'a', 'a'], [], ['a is in k and again in k: it was applied more than once']],
    ['P2', ['a', 'b', 'c', 'c'], [], ['c is in k and again in k: it was applied more than once']],
    ['P2', ['a', 'b', 'c'], ['c'], ['c is in k and again in l: it was applied more than once']],
    ['P2', ['a', 'b', 'd'], [], ['d failed (RETRY) and is in k']],
    ['P3', ['a', 'b', 'x'], [], ['k has x, which nobody sent']],
    ['P3', ['a', 'b', 'e'], [], ['k has e, which was sent to l']],
  ])('%s: %j %j', (_, k, l, sentences) => {
    expect(found(k, l)).toEqual(sentences)
  })
})

describe('sums', () => {
  const additions: readonly Addition[] = [
    { key: 'k', id: 'a', amount: 5, outcome: acknowledged() },
    { key: 'k', id: 'b', amount: 3, outcome: unknown },
    { key: 'k', id: 'c', amount: -2, outcome: unknown },
    { key: 'k', id: 'd', amount: 100, outcome: failed },
  ]
  const found = (sum: number, applied?: readonly string[]) =>
    wrongSums(additions, new Map([['k', applied === undefined ? { sum } : { sum, applied }]]))

  it('are from what was acknowledged to that and what is unknown (A1)', () => {
    expect([2, 3, 5, 6, 8, 9].map((sum) => found(sum).length)).toEqual([1, 0, 0, 0, 0, 1])
    expect(found(9)).toEqual(['k is 9, where acknowledged and unknown make 3 to 8'])
    expect(wrongSums(additions, new Map())).toEqual(['k is 0, where acknowledged and unknown make 3 to 8'])
    expect(wrongSums([], new Map([['other', { sum: 1 }]]))).toEqual([
      'other is 1, where acknowledged and unknown make 0 to 0',
    ])
  })

  it('are exactly those of the additions that took effect (A2)', () => {
    expect(found(8, ['a', 'b'])).toEqual([])
    expect(found(5, ['a', 'b'])).toEqual(['k is 5, where what was applied makes 8'])
    expect(found(3, ['b'])).toEqual(['a was acknowledged and is not in k'])
    expect(found(8, ['a', 'b', 'b'])).toEqual([
      'b is in k and again in k: it was applied more than once',
      'k is 8, where what was applied makes 11',
    ])
  })
})

describe('a watcher', () => {
  const cursor = (at: number, index = 0, partition = p0) =>
    formatCursor({ partition, generation: g1, seq: seq(at), index })
  const found = (
    sightings: readonly Parameters<WatchCheck['saw']>[0][],
    ends: readonly [string, number][],
    forgets = false,
  ) => {
    const check = new WatchCheck({ forgetsDeleted: forgets })
    for (const sighting of sightings) check.saw(sighting)
    check.end(ends)
    return check.wrong
  }

  it('is right where it saw each rev once, in order', () => {
    const sightings = [
      { key: 'k', rev: 1, cursor: cursor(3) },
      { key: 'l', rev: 1, cursor: cursor(3, 1) },
      { key: 'k', rev: 2, cursor: cursor(4), deleted: true },
    ]
    expect(found(sightings, [['l', 1]])).toEqual([])
  })

  it.each([
    ['G1', [1, 3], ['k: the watcher saw rev 3 after 1']],
    ['G1', [1, 1, 2, 3], ['k: the watcher saw rev 1 after 1']],
    ['G1', [2, 3], ['k: the watcher saw rev 2 after 0']],
    ['G4', [1, 2], ['k: the watcher saw revs up to 2 of 3']],
  ])('%s: revs %j', (_, revs, sentences) => {
    expect(
      found(
        revs.map((rev) => ({ key: 'k', rev })),
        [['k', 3]],
      ),
    ).toEqual(sentences)
  })

  it('may be set forward by a reset, and not back (G2)', () => {
    const sightings = [
      { key: 'k', rev: 1 },
      { key: 'k', rev: 7, reset: true },
      { key: 'k', rev: 8 },
    ]
    expect(found(sightings, [['k', 8]])).toEqual([])
    expect(found([...sightings, { key: 'k', rev: 7, reset: true }, { key: 'k', rev: 8 }], [['k', 8]])).toEqual([
      'k: the watcher saw a reset to rev 7 after 8',
    ])
  })

  it('sees cursors that go up, in each partition (G3)', () => {
    const back = [
      { key: 'k', rev: 1, cursor: cursor(5) },
      { key: 'l', rev: 1, cursor: cursor(5) },
    ]
    expect(
      found(back, [
        ['k', 1],
        ['l', 1],
      ]),
    ).toEqual(['l: the watcher saw 5.0 of partition 0 after 5.0'])
  })

  it('sees the deletion of what is not there (G4), unless a reset has left it out', () => {
    const alive = [{ key: 'k', rev: 1 }]
    expect(found(alive, [])).toEqual(['k: the watcher saw rev 1 and no deletion, and it is not there'])
    expect(found([...alive, { key: 'l', rev: 1, reset: true }], [['l', 1]])).toEqual([])
  })

  it('may see a key begin again above its last rev where deleted ones are forgotten, and only there (G5)', () => {
    const again = [
      { key: 'k', rev: 1, deleted: true },
      { key: 'k', rev: 5 },
    ]
    expect(found(again, [['k', 5]], true)).toEqual([])
    expect(found(again, [['k', 5]])).toEqual(['k: the watcher saw rev 5 after 1'])
  })
})

describe('replicas', () => {
  it('are equal where all that were at one place have one state', () => {
    const check = new ReplicaCheck()
    check.saw({ of: 'a', partition: 0, seq: 3, hash: 'x' })
    check.saw({ of: 'b', partition: 0, seq: 3, hash: 'x' })
    check.saw({ of: 'b', partition: 0, seq: 4, hash: 'y' })
    check.saw({ of: 'b', partition: 1, seq: 3, hash: 'z' })
    expect([check.wrong, check.compared]).toEqual([[], 1])
    check.saw({ of: 'c', partition: 0, seq: 3, hash: 'z' })
    expect(check.wrong).toEqual(['partition 0 at 3: c has the state z, a has x'])
  })
})

describe('a log', () => {
  const checked = (log: PlainLog) => {
    const check = new LogCheck()
    const read = check.log(p0, g1)
    const records = log.records.map((bytes, i) => read(nextSeq(seq(i)), bytes))
    return { check, records }
  }
  const append = (log: PlainLog, make: (position: ReturnType<PlainLog['judged']>['position']) => Uint8Array) =>
    expect(log.append(make(log.judged().position), log.last)).toBe(true)
  const changed = (bytes: Uint8Array, change: (record: CommitRecord) => Partial<CommitRecord>) => {
    const record = decodeRecord(bytes) as CommitRecord
    return encodeRecord({ ...record, ...change(record) }).slice()
  }
  /** A commit of command `number` that brings `key` to `rev`. */
  const commit = (log: PlainLog, number: number, key: string, rev: number, state: unknown) =>
    append(log, (position) =>
      changed(commitAt(position, key), ({ turns: [turn] }) => ({
        turns: [
          {
            ...turn!,
            number,
            mutations: [
              {
                ...turn!.mutations[0]!,
                rev: rev as never,
                state: state === undefined || state === null ? state : encodeValue(state).slice(),
              },
            ],
          },
        ],
      })),
    )

  it('tells which records count, what they make, and finds nothing wrong where nothing is', () => {
    const log = new PlainLog()
    append(log, (position) => claimAt(position))
    commit(log, 0, 'k', 1, 'one')
    append(log, (position) => commitAt(position, 'late', { epoch: 9 }))
    commit(log, 1, 'k', 2, 'two')
    commit(log, 2, 'gone', 1, null)
    append(log, (position) => handoffAt(position))
    const { check, records } = checked(log)
    expect(records.map(({ verdict, record }) => `${verdict} ${record.kind}`)).toEqual([
      'valid genesis',
      'valid claim',
      'valid commit',
      'void commit',
      'valid commit',
      'valid commit',
      'valid handoff',
    ])
    expect(check.wrong).toEqual([])
    expect(check.statesOf('t')).toEqual(new Map([['k', 'two']]))
    expect([...check.versionsOf('t')].map(([key, { rev }]) => [key, rev])).toEqual([
      ['k', 2],
      ['gone', 1],
    ])
  })

  it('that is broken is not read on (D1)', () => {
    const log = new PlainLog()
    log.append(Uint8Array.of(0xc1), 1)
    expect(() => checked(log)).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
  })

  it('has each command once (D3)', () => {
    const log = new PlainLog()
    append(log, (position) => claimAt(position))
    commit(log, 7, 'k', 1, 'one')
    commit(log, 7, 'k', 2, 'two')
    expect(checked(log).check.wrong).toEqual(['command s:7 is in partition 0 twice, again at 4'])
  })

  it('counts revs one by one, and goes on above the last behind a collected tombstone (D4)', () => {
    const log = new PlainLog()
    append(log, (position) => claimAt(position))
    commit(log, 0, 'k', 1, 'one')
    commit(log, 1, 'k', 3, null)
    commit(log, 2, 'k', 3, undefined)
    commit(log, 3, 'k', 9, 'again')
    expect(checked(log).check.wrong).toEqual(['rev 3 of t/k follows 1, in partition 0 at 4'])
  })

  it('has one writer in each epoch, which is of one node (D2)', () => {
    const log = new PlainLog()
    append(log, (position) => claimAt(position))
    append(log, (position) => commitAt(position, 'k'))
    const [, claim, written] = log.records.map((bytes) => decodeRecord(bytes)) as [LogRecord, LogRecord, LogRecord]
    const check = new WriterCheck()
    for (const record of [claim, written]) check.saw(record)
    expect(check.wrong).toEqual([])
    check.saw({ ...written, incarnation: 'other' as Incarnation })
    check.saw({ ...claim, epoch: 2, node: 'node-b' as NodeId } as LogRecord)
    expect(check.wrong).toEqual([
      'epoch 1 of partition 0 was written by inc1 and by other',
      'process inc1 is of node node-a and of node node-b',
    ])
  })
})

describe('lists of a run', () => {
  const found = (k: readonly string[]) => {
    const history = new History<ListInput, ListOutput>()
    history.ok(history.invoke('a', 'k', { kind: 'append', id: 'x' }, 0), 1, 1)
    history.unknown(history.invoke('b', 'k', { kind: 'append', id: 'y' }, 2))
    history.ok(history.invoke('c', 'k', { kind: 'read' }, 3), { length: 1, last: 'x' }, 4)
    history.ok(history.invoke('a', 'k', { kind: 'append', id: 'z' }, 5), 2, 6)
    return wrongLists(history, new Map([['k', k]]), 10)
  }

  it('are right where the end goes with what was told', () => {
    expect(found(['x', 'z'])).toEqual([])
    expect(found(['x', 'z', 'y'])).toEqual([])
  })

  it('are wrong where an append is lost, or where the end is in no order with what was told', () => {
    expect(found(['x', 'y'])).toEqual([
      'z was acknowledged and is not in k',
      expect.stringMatching(/^k is not linearizable: .*the end: read = \[x y\]$/s),
    ])
    expect(found(['x', 'y', 'z'])).toEqual([
      'z was acknowledged as number 2 of k, where it is number 3',
      expect.stringMatching(/^k is not linearizable: /),
    ])
  })
})
