import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { NumberMap } from '../../src/core/number-map.ts'
import { Sessions, sessionTermMs, type SessionChanges } from '../../src/core/sessions.ts'
import { sessionId, type SessionId } from '../../src/protocol/ids.ts'
import { decodeRecord, type CommitRecord } from '../../src/protocol/record.ts'
import { afterClaim, commitAt } from './records.ts'

const s1 = sessionId('s1')
const s2 = sessionId('s2')

interface Said {
  readonly time?: number
  /** Session, its lowest outstanding number, the numbers of its turns. */
  readonly turns?: readonly (readonly [SessionId, number, readonly number[]])[]
  readonly ended?: readonly SessionId[]
}

const base = decodeRecord(commitAt(afterClaim, 'x')) as CommitRecord

function commit({ time = 0, turns = [], ended = [] }: Said): CommitRecord {
  return {
    ...base,
    time,
    ended,
    sessions: turns.map(([session, low]) => ({ session, low })),
    turns: turns.flatMap(([, , numbers], session) =>
      numbers.map((number) => ({
        session,
        number,
        reply: reply(number),
        mutations: [],
      })),
    ),
  }
}

/** What the store is told where it asks after each record. */
function applied(sessions: Sessions, record: CommitRecord): SessionChanges {
  sessions.apply(record)
  return sessions.takeChanges()
}

const reply = (number: number) => Uint8Array.of(number & 0xff, (number >> 8) & 0xff)

describe('the replies of a session (R3, D1)', () => {
  it('are found by their number from the commit on, until the session has settled them', () => {
    const sessions = new Sessions()
    expect(sessions.find(s1, 5)).toBe('new')
    sessions.apply(commit({ turns: [[s1, 5, [5, 6]]] }))
    expect(sessions.find(s1, 5)).toEqual(reply(5))
    expect(sessions.find(s1, 6)).toEqual(reply(6))
    expect(sessions.find(s1, 7)).toBe('new')
    expect(sessions.find(s1, 4)).toBe('settled')
    sessions.apply(commit({ turns: [[s1, 6, [7]]] }))
    expect(sessions.find(s1, 5)).toBe('settled')
    expect(sessions.find(s1, 6)).toEqual(reply(6))
    expect([sessions.count, sessions.replies]).toEqual([1, 2])
  })

  it('are of one session: the same number of another is another command', () => {
    const sessions = new Sessions()
    sessions.apply(commit({ turns: [[s1, 0, [1]]] }))
    expect(sessions.find(s2, 1)).toBe('new')
    expect(sessions.has(s2)).toBe(false)
    expect(sessions.has(s1)).toBe(true)
  })

  it('stay where a late frame names a lower number than was settled already', () => {
    const sessions = new Sessions()
    sessions.apply(commit({ turns: [[s1, 10, [10]]] }))
    const changes = applied(sessions, commit({ turns: [[s1, 3, [11]]] }))
    expect(changes.marks).toEqual([{ session: s1, low: 10, lastContactMs: 0 }])
    expect(sessions.find(s1, 5)).toBe('settled')
    expect(sessions.find(s1, 10)).toEqual(reply(10))
  })

  it('are not kept where the session has settled them in the same record', () => {
    const sessions = new Sessions()
    const changes = applied(sessions, commit({ turns: [[s1, 4, [3, 4]]] }))
    expect(changes.remembered.flatMap(({ replies }) => [...replies.keys()])).toEqual([4])
    expect(sessions.replies).toBe(1)
  })

  it('are copies: a large reply that is a view of a block does not keep it', () => {
    const block = new Uint8Array(16_384)
    const record = commit({ turns: [[s1, 0, [1]]] })
    const view = block.subarray(100, 200)
    const sessions = new Sessions()
    sessions.apply({ ...record, turns: [{ ...record.turns[0]!, reply: view }] })
    const kept = sessions.find(s1, 1) as Uint8Array
    expect(kept).toEqual(view)
    expect(kept.buffer.byteLength).toBe(100)
  })

  it('do not add up: memory follows what is in flight, however many commands there were', () => {
    const sessions = new Sessions()
    let rows = 0
    for (let number = 1; number <= 20_000; number++) {
      const low = Math.max(1, number - 7)
      const { remembered, forgotten } = applied(sessions, commit({ turns: [[s1, low, [number]]] }))
      for (const { replies } of remembered) expect(replies.size).toBeLessThanOrEqual(8)
      rows = Math.max(rows, remembered.length + forgotten.length)
      expect(sessions.replies).toBeLessThanOrEqual(8)
    }
    expect([sessions.count, sessions.replies, rows]).toEqual([1, 8, 2])
  })

  it('are forgotten at once where a session leaps ahead, by however much', () => {
    const sessions = new Sessions()
    applied(sessions, commit({ turns: [[s1, 0, [0, 1, 2]]] }))
    const { forgotten } = applied(sessions, commit({ turns: [[s1, Number.MAX_SAFE_INTEGER, []]] }))
    expect(forgotten).toEqual([{ session: s1, block: 0 }])
    expect(sessions.replies).toBe(0)
  })
})

describe('what the store is told (D4)', () => {
  it('is the last of each session, and nothing of a reply that came and went meanwhile', () => {
    const sessions = new Sessions()
    sessions.apply(commit({ time: 1, turns: [[s1, 1, [1, 2]]] }))
    sessions.apply(commit({ time: 2, turns: [[s1, 3, [3]]] }))
    expect(sessions.takeChanges()).toEqual({
      ended: [],
      forgotten: [],
      marks: [{ session: s1, low: 3, lastContactMs: 2 }],
      remembered: [{ session: s1, block: 0, replies: new Map([[3, reply(3)]]) }],
    })
    expect(sessions.takeChanges()).toEqual({ ended: [], forgotten: [], marks: [], remembered: [] })
  })

  it('is found without a walk through all replies, where a session has many and few have changed (D4)', () => {
    const sessions = new Sessions()
    const many = Array.from({ length: 20_000 }, (_, number) => number)
    applied(sessions, commit({ turns: [[s1, 0, many]] }))
    const walk = vi.spyOn(NumberMap.prototype, Symbol.iterator)
    try {
      const { remembered, forgotten } = applied(sessions, commit({ turns: [[s1, 0, [20_000, 25_000]]] }))
      expect(remembered.map(({ block, replies }) => [block, replies.size])).toEqual([
        [4, 20_001 - 4 * 4_096],
        [6, 1],
      ])
      expect(remembered[0]!.replies.get(20_000)).toEqual(reply(20_000))
      expect(forgotten).toEqual([])
      expect(walk).not.toHaveBeenCalled()
    } finally {
      walk.mockRestore()
    }
  })

  it('is that replies which it has are forgotten, once', () => {
    const sessions = new Sessions()
    applied(sessions, commit({ turns: [[s1, 1, [1]]] }))
    sessions.apply(commit({ turns: [[s1, 2, []]] }))
    expect(sessions.takeChanges().forgotten).toEqual([{ session: s1, block: 0 }])
    expect(sessions.takeChanges().forgotten).toEqual([])
  })
})

describe('the end of a session (R3, D2)', () => {
  it('comes a term of partition time after its last contact, and not before', () => {
    const sessions = new Sessions()
    sessions.apply(commit({ time: 1_000, turns: [[s1, 0, [1]]] }))
    sessions.apply(commit({ time: 5_000, turns: [[s2, 0, [1]]] }))
    expect(sessions.expired(1_000 + sessionTermMs - 1, 0)).toEqual([])
    expect(sessions.expired(1_000 + sessionTermMs, 0)).toEqual([s1])
    expect(sessions.expired(5_000 + sessionTermMs, 0)).toEqual([s1, s2])
  })

  it('counts from the claim for those that were inherited', () => {
    const sessions = new Sessions()
    sessions.apply(commit({ time: 1_000, turns: [[s1, 0, [1]]] }))
    const claimedAt = 600_000
    expect(sessions.expired(claimedAt + sessionTermMs - 1, claimedAt)).toEqual([])
    expect(sessions.expired(claimedAt + sessionTermMs, claimedAt)).toEqual([s1])
  })

  it('is put off by every contact, also by one without a turn of its own', () => {
    const sessions = new Sessions()
    sessions.apply(commit({ time: 0, turns: [[s1, 0, [1]]] }))
    sessions.apply(commit({ time: sessionTermMs - 1, turns: [[s1, 0, []]] }))
    expect(sessions.expired(sessionTermMs, 0)).toEqual([])
    expect(sessions.find(s1, 1)).toEqual(reply(1))
  })

  it('takes the session and all its replies away, and is told once', () => {
    const sessions = new Sessions()
    applied(sessions, commit({ turns: [[s1, 0, [1, 2]]] }))
    const over = commit({ time: sessionTermMs, ended: [s1, s2] })
    expect(applied(sessions, over)).toMatchObject({
      ended: [s1],
      forgotten: [{ session: s1, block: 0 }],
    })
    expect([sessions.count, sessions.replies]).toEqual([0, 0])
    expect(sessions.find(s1, 1)).toBe('new')
    expect(applied(sessions, over)).toMatchObject({ ended: [], forgotten: [] })
  })

  it('does not take what was committed between the record that ends it and its making (no second effect)', () => {
    const sessions = new Sessions()
    sessions.apply(commit({ time: 0, turns: [[s1, 0, [1]]] }))
    const ended = sessions.expired(sessionTermMs + 5, 0)
    expect(ended).toEqual([s1])
    // In flight when the next record was made: its command must not be done twice.
    sessions.apply(commit({ time: sessionTermMs + 4, turns: [[s1, 2, [2]]] }))
    expect(applied(sessions, commit({ time: sessionTermMs + 5, ended })).ended).toEqual([])
    expect(sessions.find(s1, 2)).toEqual(reply(2))
  })

  it('lets the same session begin anew in the record that ends it', () => {
    const sessions = new Sessions()
    applied(sessions, commit({ time: 0, turns: [[s1, 7, [7]]] }))
    const changes = applied(sessions, commit({ time: sessionTermMs, ended: [s1], turns: [[s1, 9, [9]]] }))
    expect(changes).toMatchObject({ ended: [s1], forgotten: [{ session: s1, block: 0 }] })
    expect(sessions.find(s1, 9)).toEqual(reply(9))
    expect([sessions.count, sessions.replies]).toEqual([1, 1])
  })
})

/** What the rules say, with no thought for speed. */
class Model {
  readonly sessions = new Map<string, { low: number; last: number; replies: Map<number, Uint8Array> }>()

  apply(record: CommitRecord): void {
    for (const session of record.ended) {
      const found = this.sessions.get(session)
      if (found !== undefined && record.time - found.last >= sessionTermMs) this.sessions.delete(session)
    }
    for (const { session, low } of record.sessions) {
      const found = this.sessions.get(session) ?? { low: 0, last: 0, replies: new Map<number, Uint8Array>() }
      this.sessions.set(session, found)
      found.low = Math.max(found.low, low)
      found.last = record.time
    }
    for (const turn of record.turns) {
      this.sessions.get(record.sessions[turn.session!]!.session)!.replies.set(turn.number, turn.reply)
    }
    for (const { low, replies } of this.sessions.values()) {
      for (const number of replies.keys()) if (number < low) replies.delete(number)
    }
  }

  rows(): [string, unknown][] {
    return [...this.sessions].flatMap(([session, { low, last, replies }]): [string, unknown][] => [
      [session, { low, last }],
      ...[...replies].map(([number, bytes]): [string, unknown] => [`${session} ${number}`, bytes]),
    ])
  }
}

/** A store that is told of changes only, applied as the replica applies them. */
class Mirror {
  readonly #rows = new Map<string, unknown>()

  /** As the model has them. */
  rows(): [string, unknown][] {
    return [...this.#rows].flatMap(([name, row]): [string, unknown][] =>
      row instanceof Map
        ? [...(row as Map<number, Uint8Array>)].map(([number, reply]) => [`${name.split(' ')[0]} ${number}`, reply])
        : [[name, row]],
    )
  }

  apply({ marks, ended, remembered, forgotten }: SessionChanges): void {
    for (const session of ended) this.#rows.delete(session)
    for (const { session, block } of forgotten) this.#rows.delete(`${session} ${block}`)
    for (const { session, low, lastContactMs } of marks) this.#rows.set(session, { low, last: lastContactMs })
    for (const { session, block, replies } of remembered) this.#rows.set(`${session} ${block}`, replies)
  }

  restore(): Sessions {
    const sessions = new Sessions()
    for (const [name, row] of this.#rows) {
      const [session, block] = name.split(' ') as [SessionId, string | undefined]
      if (block !== undefined) continue
      const { low, last } = row as { low: number; last: number }
      sessions.restore({ session, low, lastContactMs: last })
    }
    for (const [name, row] of this.#rows) {
      const [session, block] = name.split(' ') as [SessionId, string | undefined]
      if (block === undefined) continue
      sessions.restoreReplies({ session, block: Number(block), replies: row as Map<number, Uint8Array> })
    }
    return sessions
  }
}

const session = fc.constantFrom(...['a', 'b', 'c'].map(sessionId))
/** Numbers of three blocks. */
const numbers = 21
const spread = (n: number) => (n % 3) * 4_096 + n
const low = fc.oneof(fc.nat({ max: 12 }), fc.constantFrom(4_096, 4_100, 8_200))
const said = fc.record({
  elapsed: fc.oneof(fc.nat({ max: 1_000 }), fc.constantFrom(sessionTermMs - 1, sessionTermMs, sessionTermMs * 2)),
  turns: fc.uniqueArray(fc.tuple(session, low, fc.array(fc.nat({ max: numbers - 1 }).map(spread), { maxLength: 5 })), {
    maxLength: 3,
    selector: ([name]) => name,
  }),
  told: fc.boolean(),
  ended: fc.oneof(fc.constant('none' as const), fc.constant('expired' as const), fc.array(session, { maxLength: 3 })),
})

describe('any sequence of records', () => {
  const sorted = (rows: Iterable<[string, unknown]>) => new Map([...rows].sort(([a], [b]) => (a < b ? -1 : 1)))

  it('leaves what the rules say: in memory, in a store that was told of the changes, and after reading that back', () => {
    fc.assert(
      fc.property(fc.array(said, { maxLength: 25 }), (script) => {
        const sessions = new Sessions()
        const model = new Model()
        const mirror = new Mirror()
        let time = 0
        for (const { elapsed, turns, ended, told } of script) {
          time += elapsed
          const over = ended === 'none' ? [] : ended === 'expired' ? sessions.expired(time, 0) : ended
          const record = commit({ time, turns, ended: over })
          model.apply(record)
          sessions.apply(record)
          if (told) {
            mirror.apply(sessions.takeChanges())
            expect(sorted(mirror.rows())).toEqual(sorted(model.rows()))
          }
          for (const known of told ? [sessions, mirror.restore()] : [sessions]) {
            expect(known.count).toBe(model.sessions.size)
            expect(known.replies).toBe(model.rows().length - model.sessions.size)
            for (const name of ['a', 'b', 'c']) {
              const found = model.sessions.get(name)
              for (const number of Array.from({ length: numbers }, (_, n) => spread(n))) {
                const expected =
                  found === undefined ? 'new' : number < found.low ? 'settled' : (found.replies.get(number) ?? 'new')
                expect(known.find(sessionId(name), number)).toEqual(expected)
              }
            }
            expect(known.expired(time + sessionTermMs, 0)).toHaveLength(model.sessions.size)
          }
        }
      }),
      { numRuns: 100 },
    )
  })
})

describe('reading back what a store held', () => {
  it('takes no reply of a session that is not there, nor one that is settled, and counts each once', () => {
    const sessions = new Sessions()
    sessions.restore({ session: s1, low: 5, lastContactMs: 77 })
    sessions.restoreReplies({ session: s2, block: 0, replies: new Map([[9, reply(9)]]) })
    const four = [4, reply(4)] as const
    sessions.restoreReplies({ session: s1, block: 0, replies: new Map([four, [5, reply(5)]]) })
    sessions.restoreReplies({ session: s1, block: 0, replies: new Map([[5, reply(6)]]) })
    expect([sessions.count, sessions.replies]).toEqual([1, 1])
    expect(sessions.find(s1, 5)).toEqual(reply(6))
    expect(sessions.expired(77 + sessionTermMs, 0)).toEqual([s1])
  })
})
