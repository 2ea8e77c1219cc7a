import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { recordHash, sameBytes } from '../../src/core/hashing.ts'
import { Pipeline, type Ticket } from '../../src/core/pipeline.ts'
import { nextSeq, seq, type Seq } from '../../src/protocol/ids.ts'
import type { AppendResult, LogEntry } from '../../src/protocol/log.ts'
import { decodeRecord } from '../../src/protocol/record.ts'
import { areTheSame, PipelineWorld } from './pipeline-world.ts'
import { afterClaim, claimAt, commitAt, genesis, handoffAt, mustBeValid } from './records.ts'

const accepted = (at: number): AppendResult => ({ kind: 'accepted', seq: seq(at), duplicate: false })
const refused: AppendResult = { kind: 'refused', reason: 'wrong last sequence' }
const unknown: AppendResult = { kind: 'unknown', reason: 'no acknowledgement' }

/** An owner right behind its claim at sequence 2, with so many records in flight. */
function owner(inFlight: number) {
  const pipeline = new Pipeline<string>(afterClaim)
  const records: Uint8Array[] = []
  const tickets: Ticket[] = []
  const push = () => {
    const n = records.length + 1
    const bytes = commitAt(pipeline.position, `turn ${n}`, { prev: pipeline.link, time: n })
    records.push(bytes)
    tickets.push(pipeline.push(bytes, decodeRecord(bytes), n * 10, `turn ${n}`))
  }
  for (let i = 0; i < inFlight; i++) push()
  return { pipeline, records, tickets, push }
}

const entriesFrom = (first: number, ...records: Uint8Array[]): LogEntry[] =>
  records.map((record, i) => ({ seq: seq(first + i), record }))

const items = (committed: unknown) =>
  Array.isArray(committed) ? (committed as { item: string }[]).map(({ item }) => item) : committed

const stale = commitAt(afterClaim, 'of a former owner', { epoch: 0 })

describe('a pipeline without trouble', () => {
  it('sends each record expecting the sequence that the one before it will get, and linking to it (P1)', () => {
    const { pipeline, tickets, records } = owner(3)
    expect(tickets.map(({ expected }) => expected)).toEqual([2, 3, 4])
    expect(sameBytes(pipeline.link, recordHash(records[2]!))).toBe(true)
    expect(pipeline.inFlight).toBe(3)
    expect(sameBytes(owner(0).pipeline.link, afterClaim.validHash)).toBe(true)
  })

  it('commits in order, each record when all before it are acknowledged, too (P2, L6)', () => {
    const { pipeline, tickets, records } = owner(3)
    expect(pipeline.settle(tickets[1]!, accepted(4))).toEqual([])
    expect(pipeline.settle(tickets[2]!, accepted(5))).toEqual([])
    expect(pipeline.position).toEqual(afterClaim)
    const committed = pipeline.settle(tickets[0]!, accepted(3))
    expect(committed).toEqual(
      records.map((bytes, i) => ({ seq: 3 + i, bytes, sentAtMs: (i + 1) * 10, item: `turn ${i + 1}` })),
    )
    expect(pipeline.inFlight).toBe(0)
    expect(pipeline.position).toEqual(
      mustBeValid(mustBeValid(mustBeValid(afterClaim, records[0]!), records[1]!), records[2]!),
    )
  })

  it('goes on numbering while some are committed and some are not', () => {
    const { pipeline, tickets, push } = owner(2)
    expect(items(pipeline.settle(tickets[0]!, accepted(3)))).toEqual(['turn 1'])
    push()
    expect(tickets[2]!.expected).toBe(4)
    expect(pipeline.settle(tickets[2]!, accepted(5))).toEqual([])
    expect(items(pipeline.settle(tickets[1]!, accepted(4)))).toEqual(['turn 2', 'turn 3'])
  })

  it('holds the same position as every reader behind its hand-off record', () => {
    const { pipeline } = owner(0)
    const bytes = handoffAt(pipeline.position)
    const ticket = pipeline.push(bytes, decodeRecord(bytes), 1, 'handoff')
    pipeline.settle(ticket, accepted(3))
    expect(pipeline.position).toEqual(mustBeValid(afterClaim, bytes))
    expect(pipeline.position.handedOff).toBe(true)
  })
})

describe('trouble (P3, L5)', () => {
  it.each([
    ['a refusal', refused],
    ['an answer that never comes', unknown],
    ['an acknowledgement of a duplicate', { kind: 'accepted', seq: seq(3), duplicate: true }],
    ['an acknowledgement of another sequence', accepted(4)],
    ['an acknowledgement of an earlier sequence', accepted(2)],
  ] as const)('is %s', (_, result) => {
    const { pipeline, tickets } = owner(2)
    expect(pipeline.settle(tickets[0]!, result)).toBe('trouble')
    expect(pipeline.inTrouble).toBe(true)
    expect(pipeline.inFlight).toBe(2)
    expect(pipeline.position).toEqual(afterClaim)
  })

  it('makes the pipeline deaf to the answers of what was sent before, until the log has been read', () => {
    const { pipeline, tickets, records } = owner(3)
    expect(pipeline.settle(tickets[0]!, unknown)).toBe('trouble')
    expect(pipeline.settle(tickets[1]!, accepted(4))).toBe('stale')
    expect(pipeline.settle(tickets[2]!, refused)).toBe('stale')
    const recovery = pipeline.recover([])
    expect(recovery).toMatchObject({ kind: 'flowing', committed: [], voids: [] })
    for (const ticket of tickets) expect(pipeline.settle(ticket, accepted(3))).toBe('stale')
    if (recovery.kind !== 'flowing') return
    expect(recovery.resend.map(({ ticket }) => ticket.expected)).toEqual([2, 3, 4])
    recovery.resend.forEach(({ bytes }, i) => expect(bytes).toBe(records[i]))
    expect(items(pipeline.settle(recovery.resend[0]!.ticket, accepted(3)))).toEqual(['turn 1'])
  })

  it('may be declared without an answer, with or without anything in flight', () => {
    const idle = owner(0).pipeline
    idle.suspect()
    expect(idle.inTrouble).toBe(true)
    expect(idle.recover([])).toEqual({ kind: 'flowing', committed: [], voids: [], resend: [] })
    expect(idle.inTrouble).toBe(false)
    const { pipeline, tickets } = owner(1)
    pipeline.suspect()
    expect(pipeline.settle(tickets[0]!, accepted(3))).toBe('stale')
  })

  it('forgets that a record was acknowledged when the one before it was not (L6)', () => {
    const { pipeline, tickets } = owner(2)
    expect(pipeline.settle(tickets[1]!, accepted(4))).toEqual([])
    expect(pipeline.settle(tickets[0]!, unknown)).toBe('trouble')
    const recovery = pipeline.recover([])
    if (recovery.kind !== 'flowing') throw new Error(recovery.kind)
    expect(items(pipeline.settle(recovery.resend[0]!.ticket, accepted(3)))).toEqual(['turn 1'])
  })
})

describe('reading back (L5)', () => {
  it('commits what the log has, where only the acknowledgements were lost', () => {
    const { pipeline, tickets, records } = owner(3)
    pipeline.settle(tickets[0]!, unknown)
    const recovery = pipeline.recover(entriesFrom(3, records[0]!, records[1]!))
    expect(recovery.kind).toBe('flowing')
    expect(recovery.committed.map(({ item, seq }) => `${item} at ${seq}`)).toEqual(['turn 1 at 3', 'turn 2 at 4'])
    expect(recovery.kind === 'flowing' && recovery.resend).toEqual([
      { bytes: records[2], ticket: { attempt: expect.any(Number), expected: 4 } },
    ])
  })

  it('passes over what former owners appended, and sends again behind it', () => {
    const { pipeline, tickets, records } = owner(2)
    pipeline.settle(tickets[0]!, refused)
    const recovery = pipeline.recover(entriesFrom(3, stale, stale))
    expect(recovery).toMatchObject({ kind: 'flowing', committed: [], voids: [3, 4] })
    if (recovery.kind !== 'flowing') return
    expect(recovery.resend.map(({ ticket }) => ticket.expected)).toEqual([4, 5])
    expect(pipeline.settle(recovery.resend[0]!.ticket, accepted(5))).toMatchObject([{ seq: 5, bytes: records[0] }])
    expect(pipeline.position).toMatchObject({ seq: 5, validSeq: 5 })
  })

  it('sends again what was accepted without the record before it, since it does not link there (L3)', () => {
    const { pipeline, tickets, records } = owner(3)
    pipeline.settle(tickets[0]!, refused)
    const recovery = pipeline.recover(entriesFrom(3, stale, records[1]!))
    expect(recovery).toMatchObject({ kind: 'flowing', committed: [], voids: [3, 4] })
    if (recovery.kind === 'flowing') expect(recovery.resend.map(({ bytes }) => bytes)).toEqual(records)
  })

  it('of a frozen owner whose second append was accepted behind a claim finds itself fenced, and nothing committed (P4)', () => {
    const { pipeline, tickets, records } = owner(3)
    const claim = claimAt(afterClaim)
    expect(pipeline.settle(tickets[0]!, refused)).toBe('trouble')
    expect(pipeline.settle(tickets[1]!, accepted(4))).toBe('stale')
    const recovery = pipeline.recover(entriesFrom(3, claim, records[1]!, records[2]!))
    expect(recovery).toMatchObject({ kind: 'fenced', committed: [], by: { seq: 3, epoch: 2, incarnation: 'inc2' } })
  })

  it('commits what the log has before a higher claim, and nothing behind it', () => {
    const { pipeline, tickets, records } = owner(3)
    pipeline.settle(tickets[2]!, unknown)
    const claimed = claimAt(mustBeValid(afterClaim, records[0]!))
    const recovery = pipeline.recover(entriesFrom(3, records[0]!, claimed, records[1]!, records[2]!))
    expect(recovery.kind).toBe('fenced')
    expect(items(recovery.committed)).toEqual(['turn 1'])
  })

  it('is fenced by a claim also where nothing was in flight', () => {
    const { pipeline } = owner(0)
    pipeline.suspect()
    expect(pipeline.recover(entriesFrom(3, claimAt(afterClaim))).kind).toBe('fenced')
  })

  it('passes over claims of its own or a lower epoch', () => {
    const { pipeline } = owner(1)
    pipeline.suspect()
    const recovery = pipeline.recover(
      entriesFrom(3, claimAt(afterClaim, { epoch: 1 }), claimAt(afterClaim, { epoch: 0 })),
    )
    expect(recovery).toMatchObject({ kind: 'flowing', voids: [3, 4] })
  })

  it('finds the late original after the record was sent again, whichever of the two is accepted', () => {
    const { pipeline, tickets, records } = owner(2)
    pipeline.settle(tickets[0]!, unknown)
    const again = pipeline.recover([])
    if (again.kind !== 'flowing') throw new Error(again.kind)
    // Both originals arrive now; what was sent again finds its numbers taken.
    expect(pipeline.settle(tickets[0]!, accepted(3))).toBe('stale')
    expect(pipeline.settle(again.resend[0]!.ticket, refused)).toBe('trouble')
    const recovery = pipeline.recover(entriesFrom(3, records[0]!, records[1]!))
    expect(items(recovery.committed)).toEqual(['turn 1', 'turn 2'])
    expect(recovery).toMatchObject({ kind: 'flowing', resend: [], voids: [] })
  })

  it('takes the second copy of a record for void', () => {
    const { pipeline, tickets, records } = owner(1)
    pipeline.settle(tickets[0]!, unknown)
    const recovery = pipeline.recover(entriesFrom(3, records[0]!, records[0]!))
    expect(items(recovery.committed)).toEqual(['turn 1'])
    expect(recovery.voids).toEqual([4])
  })

  it('breaks on a valid record of its own epoch that it did not write', () => {
    const { pipeline, tickets, records } = owner(1)
    pipeline.settle(tickets[0]!, unknown)
    const foreign = commitAt(afterClaim, 'written by nobody here')
    expect(pipeline.recover(entriesFrom(3, foreign))).toMatchObject({ kind: 'broken', committed: [] })
    const idle = owner(0).pipeline
    idle.suspect()
    expect(idle.recover(entriesFrom(3, records[0]!))).toMatchObject({ kind: 'broken' })
  })

  it('breaks on a gap or on damage, having committed what is before it (L4)', () => {
    const damage: readonly (readonly [Seq, Uint8Array])[] = [
      [seq(5), stale],
      [seq(4), genesis],
      [seq(4), stale.subarray(1)],
    ]
    for (const [at, record] of damage) {
      const { pipeline, tickets, records } = owner(2)
      pipeline.settle(tickets[0]!, unknown)
      const recovery = pipeline.recover([...entriesFrom(3, records[0]!), { seq: at, record }])
      expect(recovery.kind).toBe('broken')
      expect(items(recovery.committed)).toEqual(['turn 1'])
    }
  })

  it('goes on from where it was after trouble upon trouble', () => {
    const { pipeline, records, push } = owner(2)
    let expected = afterClaim.seq
    for (let round = 0; round < 5; round++) {
      pipeline.suspect()
      const recovery = pipeline.recover(entriesFrom(expected + 1, stale))
      expected = nextSeq(expected)
      if (recovery.kind !== 'flowing') throw new Error(recovery.kind)
      expect(recovery.resend.map(({ bytes, ticket }) => [bytes, ticket.expected])).toEqual([
        [records[0], expected],
        [records[1], nextSeq(expected)],
      ])
    }
    push()
    expect(sameBytes(pipeline.link, recordHash(records[2]!))).toBe(true)
  })
})

type Act = Exclude<
  keyof { [K in keyof PipelineWorld as PipelineWorld[K] extends (pick: number) => void ? K : never]: 0 },
  'settleDown'
>

const acts = (rival: boolean) =>
  fc.array(
    fc.record({
      act: fc.oneof(
        { weight: 12, arbitrary: fc.constant<Act>('push') },
        { weight: 12, arbitrary: fc.constant<Act>('deliver') },
        { weight: 10, arbitrary: fc.constant<Act>('answer') },
        { weight: 8, arbitrary: fc.constantFrom<Act[]>('beginReading', 'finishReading') },
        { weight: 4, arbitrary: fc.constantFrom<Act[]>('lose', 'delay', 'late', 'repeat', 'stray') },
        { weight: 3, arbitrary: fc.constantFrom<Act[]>('loseAnswer', 'oddAnswer', 'suspect') },
        { weight: rival ? 1 : 0, arbitrary: fc.constantFrom<Act[]>('claim', 'rivalCommit') },
      ),
      pick: fc.nat({ max: 7 }),
    }),
    { minLength: 10, maxLength: 150, size: 'max' },
  )

function play(script: readonly { readonly act: Act; readonly pick: number }[]): PipelineWorld {
  const world = new PipelineWorld()
  for (const { act, pick } of script) world[act](pick)
  return world
}

describe('whatever the network, the log and a rival do', () => {
  it('commits all that was pushed, in order, once each, while nobody else claims (P1–P3)', () => {
    fc.assert(
      fc.property(acts(false), (script) => {
        const world = play(script)
        world.settleDown()
        expect(world.over).toBe(false)
        expect(world.reported.map(({ item }) => item)).toEqual(world.pushed.map(({ item }) => item))
        expect(areTheSame(world.validCommits(), world.pushed)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('reports exactly what is valid in the log, and nothing once it is fenced (P2, P4)', () => {
    fc.assert(
      fc.property(acts(true), (script) => {
        const world = play(script)
        world.settleDown()
        expect(areTheSame(world.validCommits(), world.reported)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('was put to the test: records were void, sent again, and owners fenced with records in flight', () => {
    const seen = { voids: 0, resent: 0, fenced: 0, fencedInFlight: 0, reported: 0 }
    for (const script of fc.sample(acts(true), { numRuns: 200, seed: 1 })) {
      const world = play(script)
      world.settleDown()
      seen.voids += world.voids
      seen.resent += world.resent
      seen.reported += world.reported.length
      if (world.over) seen.fenced++
      if (world.over && world.pushed.length > world.reported.length) seen.fencedInFlight++
    }
    expect(seen.voids).toBeGreaterThan(50)
    expect(seen.resent).toBeGreaterThan(100)
    expect(seen.reported).toBeGreaterThan(400)
    expect(seen.fenced).toBeGreaterThan(50)
    expect(seen.fencedInFlight).toBeGreaterThan(20)
  })
})
