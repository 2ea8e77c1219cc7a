import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  answerDigest,
  beat,
  beginMembership,
  digestInReturn,
  digestOf,
  forgetSilent,
  maxDigest,
  hostedRoles,
  maxMembers,
  mergeNews,
  newsOf,
  peersOf,
  type Member,
  type MemberDetails,
  type Membership,
  type News,
} from '../../src/core/membership.ts'
import { epoch, incarnation, partitionId, seq, type NodeId } from '../../src/protocol/ids.ts'

const details = (load: number): MemberDetails => ({
  host: 'h',
  zone: 'z',
  version: '0.1.0',
  load,
  leaving: false,
  partitions: [
    {
      partition: partitionId(3),
      role: hostedRoles[0],
      epoch: epoch(2),
      appliedSeq: seq(load),
      headLag: 0,
      stateHash: '00ff',
    },
  ],
})

const id = (name: string) => name as NodeId
const begin = (name: string, boot = 1, life = 'a', now = 0) =>
  beginMembership({ id: id(name), boot, incarnation: incarnation(life), details: details(0) }, now)

/** A member's entry as its process would have made it: equal versions are equal entries (M1). */
const entry = (name: string, boot: number, heartbeat: number): Member => {
  const revised = heartbeat - (heartbeat % 3 === 0 ? 0 : heartbeat % 3)
  const from = Math.max(1, revised)
  return { id: id(name), boot, incarnation: incarnation(`i${boot}`), heartbeat, revised: from, details: details(from) }
}
const anyEntry = fc
  .tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 9 }))
  .map(([name, boot, heartbeat]) => entry(name, boot, heartbeat))
const anyNews = fc.array(anyEntry, { maxLength: 8 })

const membersOf = (state: Membership) => new Map([...state.members].map(([name, { member }]) => [name, member]))
const merged = (state: Membership, news: readonly News[], now = 1) => mergeNews(state, news, now)[0]

/** Of few enough to be whole (M6). */
const wholeDigestOf = (state: Membership) => digestOf(state, () => 0)

/** One exchange: `a` asks `b`. */
const exchange = (a: Membership, b: Membership, now = 1): readonly [Membership, Membership] => {
  const { news, wanted } = answerDigest(b, wholeDigestOf(a))
  return [merged(a, news, now), merged(b, newsOf(a, wanted), now)]
}

describe('merging', () => {
  it('has one outcome in any order, in any portions, any number of times (M1)', () => {
    fc.assert(
      fc.property(anyNews, anyNews, (first, second) => {
        const self = begin('self')
        const expected = membersOf(merged(self, [...first, ...second]))
        expect(membersOf(merged(merged(self, first), second))).toEqual(expected)
        expect(membersOf(merged(merged(self, second), first))).toEqual(expected)
        expect(membersOf(merged(merged(self, [...second, ...first].toReversed()), first))).toEqual(expected)
      }),
    )
  })

  it('keeps the newest version of each member: by boot, then by heartbeat (M2)', () => {
    fc.assert(
      fc.property(anyNews, (news) => {
        const state = merged(begin('self'), news)
        for (const name of ['a', 'b', 'c', 'd']) {
          const newest = news
            .filter((one) => one.id === name)
            .toSorted((x, y) => x.boot - y.boot || x.heartbeat - y.heartbeat)
            .at(-1)
          expect(state.members.get(id(name))?.member).toEqual(newest)
        }
      }),
    )
  })

  it('tells of what is new, and of nothing else', () => {
    const self = begin('self')
    const [one, joined] = mergeNews(self, [entry('a', 1, 1)], 10)
    expect(joined).toEqual([{ type: 'joined', member: entry('a', 1, 1) }])
    expect(one.members.get(id('a'))?.at).toBe(10)
    const [same, nothing] = mergeNews(one, [entry('a', 1, 1)], 20)
    expect(nothing).toEqual([])
    expect(same.members.get(id('a'))?.at).toBe(10)
    const [two, beats] = mergeNews(one, [entry('a', 1, 2)], 30)
    expect(beats).toEqual([{ type: 'beat', member: entry('a', 1, 2) }])
    const [three, revised] = mergeNews(two, [entry('a', 1, 3)], 40)
    expect(revised).toEqual([
      { type: 'beat', member: entry('a', 1, 3) },
      { type: 'revised', member: entry('a', 1, 3), former: entry('a', 1, 2) },
    ])
    const [four, replaced] = mergeNews(three, [entry('a', 2, 1)], 50)
    expect(replaced).toEqual([{ type: 'replaced', member: entry('a', 2, 1), former: entry('a', 1, 3) }])
    expect(mergeNews(four, [entry('a', 1, 9)], 60)).toEqual([four, []])
  })

  it('never changes the own entry, also where a later process goes by its name (M1, M4)', () => {
    const self = begin('self', 5, 'mine')
    const mine = { ...entry('self', 5, 9), incarnation: incarnation('mine') }
    const claims = [entry('self', 4, 9), mine, entry('self', 6, 1)]
    expect(mergeNews(self, claims, 1)[1]).toEqual([])
    expect(mergeNews(self, claims, 1)[0].members).toEqual(self.members)
  })

  it('takes in at most as many members as are allowed (M5)', () => {
    const crowd = Array.from({ length: maxMembers + 10 }, (_, i) => entry(`n${i}`, 1, 1))
    const full = merged(begin('self'), crowd)
    expect(full.members.size).toBe(maxMembers)
    expect(mergeNews(full, [entry('late', 1, 1)], 2)[1]).toEqual([])
    expect(mergeNews(full, [entry('n0', 1, 2)], 2)[1]).toMatchObject([{ type: 'beat' }])
    const [roomy] = forgetSilent(full, 100, 50)
    expect(mergeNews(roomy, [entry('late', 1, 1)], 101)[1]).toEqual([])
    const [empty] = forgetSilent(roomy, 200, 50)
    expect(mergeNews(empty, [entry('late', 1, 1)], 201)[1]).toMatchObject([{ type: 'joined' }])
  })
})

describe('an exchange', () => {
  it('makes both sides equal, whatever each had heard', () => {
    fc.assert(
      fc.property(anyNews, anyNews, (left, right) => {
        const [a, b] = exchange(merged(begin('x'), left), merged(begin('y'), right))
        expect(membersOf(a)).toEqual(membersOf(b))
        expect(answerDigest(b, wholeDigestOf(a))).toEqual({ news: [], wanted: [] })
      }),
    )
  })

  it('sends nothing that the other has, and no details that it has (M3)', () => {
    let a = merged(begin('x'), [entry('a', 1, 3)])
    let b: Membership
    ;[a, b] = exchange(a, begin('y'))
    a = merged(a, [entry('a', 1, 5)])
    b = merged(b, [])
    expect(answerDigest(a, wholeDigestOf(b)).news).toEqual([
      { id: 'a', boot: 1, incarnation: 'i1', heartbeat: 5, revised: 3, details: null },
    ])
    expect(merged(b, answerDigest(a, wholeDigestOf(b)).news).members.get(id('a'))?.member).toEqual(entry('a', 1, 5))
    a = merged(a, [entry('a', 1, 6)])
    expect(answerDigest(a, wholeDigestOf(b)).news).toEqual([entry('a', 1, 6)])
  })

  it('drops a heartbeat whose details are not here, and gets the whole entry in the next exchange (M3)', () => {
    const light: News = { ...entry('a', 1, 5), details: null }
    const state = begin('self')
    expect(mergeNews(state, [light], 1)).toEqual([state, []])
    const older = merged(state, [entry('a', 1, 2)])
    expect(merged(older, [light]).members.get(id('a'))?.member).toEqual(entry('a', 1, 2))
    const other = merged(begin('other'), [entry('a', 1, 5)])
    expect(exchange(older, other)[0].members.get(id('a'))?.member).toEqual(entry('a', 1, 5))
  })

  it('names first what the other is furthest behind in, so that a cut message leaves nobody out for ever', () => {
    const known = merged(begin('x'), [entry('a', 1, 1), entry('b', 1, 1), entry('c', 1, 1)])
    const ahead = merged(begin('y'), [entry('a', 1, 3), entry('b', 1, 9), entry('c', 2, 1), entry('d', 1, 1)])
    expect(answerDigest(ahead, wholeDigestOf(known)).news.map((news) => news.id)).toEqual(['c', 'd', 'y', 'b', 'a'])
  })

  it('spreads every heartbeat and every revision to all, with chance peers (M1)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), fc.infiniteStream(fc.nat(999)), (count, chances) => {
        const chance = () => (chances.next().value as number) / 1_000
        const names = Array.from({ length: count }, (_, i) => `n${i}`)
        let states = new Map(names.map((name) => [id(name), begin(name)]))
        // Everybody knows the first at the start, as from the registry.
        const first = states.get(id('n0'))!.members.get(id('n0'))!.member
        states = new Map([...states].map(([name, state]) => [name, merged(state, [first])]))
        for (let round = 0; round < 60; round++) {
          for (const name of states.keys()) {
            const state = states.get(name)!
            if (round < 20) states.set(name, beat(state, round, round % 4 === 0 ? details(round) : undefined))
            for (const peer of peersOf(states.get(name)!, 2, chance)) {
              const [asker, answerer] = exchange(states.get(name)!, states.get(peer)!, round)
              states.set(name, asker).set(peer, answerer)
            }
          }
        }
        const [one, ...others] = [...states.values()].map(membersOf)
        expect(one!.size).toBe(count)
        expect([...one!.values()].every((member) => member.heartbeat === 21 && member.details.load === 16)).toBe(true)
        for (const other of others) expect(other).toEqual(one)
      }),
      { numRuns: 30 },
    )
  })
})

describe('forgetting', () => {
  it('takes out who was silent for long, never this node, and does not let old news bring it back (M5)', () => {
    const state = merged(begin('self'), [entry('a', 1, 3), entry('b', 1, 1)], 0)
    const heardB = merged(state, [entry('b', 1, 2)], 60)
    expect(forgetSilent(heardB, 99, 100)).toEqual([heardB, []])
    const [later, events] = forgetSilent(heardB, 100, 100)
    expect(events).toEqual([{ type: 'forgotten', member: entry('a', 1, 3) }])
    expect([...later.members.keys()]).toEqual(['self', 'b'])
    const slowPeer = merged(begin('peer'), [entry('a', 1, 3)])
    expect(answerDigest(later, wholeDigestOf(slowPeer)).wanted.map((version) => version.id)).toEqual(['peer'])
    expect([...exchange(later, slowPeer)[0].members.keys()]).toEqual(['self', 'b', 'peer'])
  })

  it('lets a member that is alive after all come back whole (M5)', () => {
    const [state] = forgetSilent(merged(begin('self'), [entry('a', 1, 3)], 0), 100, 100)
    const peer = merged(begin('peer'), [entry('a', 1, 5)])
    const { wanted } = answerDigest(state, wholeDigestOf(peer))
    const [back, events] = mergeNews(state, newsOf(peer, wanted), 101)
    expect(events).toContainEqual({ type: 'joined', member: entry('a', 1, 5) })
    expect(back.forgotten.size).toBe(0)
  })

  it('remembers what it has forgotten for as long again', () => {
    const [state] = forgetSilent(merged(begin('self'), [entry('a', 1, 3)], 0), 100, 100)
    expect(forgetSilent(state, 199, 100)[0].forgotten.size).toBe(1)
    const [clean, events] = forgetSilent(state, 200, 100)
    expect(events).toEqual([])
    expect(clean.forgotten.size).toBe(0)
    expect(mergeNews(clean, [entry('a', 1, 3)], 201)[1]).toMatchObject([{ type: 'joined' }])
  })
})

describe('peers', () => {
  it('are different others, as many as there are, each as likely', () => {
    const state = merged(
      begin('self'),
      ['a', 'b', 'c', 'd'].map((name) => entry(name, 1, 1)),
    )
    expect(peersOf(begin('self'), 3, () => 0.5)).toEqual([])
    expect([...peersOf(state, 9, () => 0.999)].sort()).toEqual(['a', 'b', 'c', 'd'])
    const seen = new Map<string, number>()
    for (let x = 0; x < 100; x++) {
      for (let y = 0; y < 100; y++) {
        const draws = [x / 100, y / 100]
        for (const peer of peersOf(state, 2, () => draws.shift()!)) seen.set(peer, (seen.get(peer) ?? 0) + 1)
      }
    }
    expect([...seen.keys()].sort()).toEqual(['a', 'b', 'c', 'd'])
    for (const times of seen.values()) expect(Math.abs(times - 5_000)).toBeLessThan(200)
  })
})

describe('a digest (M6)', () => {
  const names = Array.from({ length: 20 }, (_, n) => `m${n}`)
  const large = merged(
    begin('self'),
    names.map((name) => entry(name, 1, 3)),
  )

  it('names all members of a small cluster, and of a large one this node and some others, by chance', () => {
    expect(digestOf(begin('self'), () => 0)).toMatchObject({ versions: [{ id: 'self' }], known: 1 })
    const digests = [0, 0.999].map((chance) => digestOf(large, () => chance))
    for (const { versions, known } of digests) {
      expect(known).toBe(21)
      expect(new Set(versions.map((version) => version.id)).size).toBe(maxDigest)
      expect(versions[0]!.id).toBe('self')
    }
    expect(digests[0]!.versions).not.toEqual(digests[1]!.versions)
  })

  it('has only what it names spoken of, unless it is whole', () => {
    const digest = digestOf(large, () => 0)
    const peer = merged(
      begin('peer'),
      names.map((name) => entry(name, 1, 9)),
    )
    const named = digest.versions.map((version) => version.id)
    expect(
      answerDigest(peer, digest)
        .news.map((news) => news.id)
        .toSorted(),
    ).toEqual(named.slice(1).toSorted())
    expect(answerDigest(peer, { versions: [], known: 0 }).news).toHaveLength(21)
  })

  it('is answered with a whole one by who knows more members', () => {
    const newer = merged(large, [entry('one-more', 1, 1)])
    expect(
      digestInReturn(
        newer,
        digestOf(large, () => 0),
      ),
    ).toMatchObject({ known: 22 })
    expect(
      digestInReturn(
        newer,
        digestOf(large, () => 0),
      )!.versions,
    ).toHaveLength(22)
    expect(
      digestInReturn(
        large,
        digestOf(newer, () => 0),
      ),
    ).toBeUndefined()
    expect(
      digestInReturn(
        large,
        digestOf(large, () => 0),
      ),
    ).toBeUndefined()
    // What is whole has an answer to all of it already, and nobody asks back for ever.
    expect(digestInReturn(large, wholeDigestOf(begin('new')))).toBeUndefined()
  })
})
