import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { noLink, recordHash, sameBytes } from '../../src/core/hashing.ts'
import { BrokenLog, genesisRecord, judge, startOfLog, type LogPosition, type Verdict } from '../../src/core/log.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { epoch, generation, incarnation, nextSeq, partitionId, seq } from '../../src/protocol/ids.ts'
import { decodeRecord, recordVersion } from '../../src/protocol/record.ts'
import { writeValue } from '../../src/protocol/value-bytes.ts'
import {
  afterClaim,
  afterGenesis,
  claimAt,
  commitAt,
  g1,
  genesis,
  handoffAt,
  mustBeValid,
  p0,
  PlainLog,
} from './records.ts'

const next = (position: LogPosition, record: Uint8Array) => judge(position, nextSeq(position.seq), record)
const ofKind = (position: LogPosition, record: Uint8Array) => next(position, record).kind

function reasonOf(verdict: Verdict): string {
  return verdict.kind === 'valid' ? 'it is valid' : verdict.reason
}

describe('the first record of a log (L1)', () => {
  it('is a genesis that names the generation, of epoch 0 and without a link', () => {
    const verdict = next(startOfLog(p0, g1), genesis)
    expect(verdict).toMatchObject({ kind: 'valid', record: { kind: 'genesis', generation: g1, prev: noLink } })
    expect(verdict.kind === 'valid' && verdict.position).toEqual({
      partition: p0,
      generation: g1,
      seq: 1,
      validSeq: 1,
      validHash: recordHash(genesis),
      epoch: 0,
      incarnation: '',
      handedOff: false,
      time: 0,
      published: 0,
    })
  })

  it('breaks the log where it is of another kind, generation or partition', () => {
    const start = startOfLog(p0, g1)
    for (const wrong of [
      claimAt(start, { prev: noLink }),
      commitAt(start, 'x', { prev: noLink }),
      handoffAt(start, { prev: noLink }),
      genesisRecord(p0, generation('another')),
      genesisRecord(partitionId(1), g1),
    ]) {
      expect(ofKind(start, wrong)).toBe('broken')
    }
  })
})

describe('a claim (L3)', () => {
  it('is valid at any higher epoch, and what comes after is of its epoch and incarnation', () => {
    for (const higher of [1, 2, 1_000_000]) {
      const record = claimAt(afterGenesis, { epoch: higher, incarnation: 'mine', time: 5, published: 1 })
      const position = mustBeValid(afterGenesis, record)
      expect(position).toEqual({
        ...afterGenesis,
        seq: 2,
        validSeq: 2,
        validHash: recordHash(record),
        epoch: higher,
        incarnation: 'mine',
        time: 5,
        published: 1,
      })
    }
  })

  it('is void at the same or a lower epoch, whether it links or not', () => {
    const position = mustBeValid(afterGenesis, claimAt(afterGenesis, { epoch: 5 }))
    for (const low of [0, 1, 4, 5]) {
      for (const prev of [position.validHash, noLink]) {
        const verdict = next(position, claimAt(position, { epoch: low, prev }))
        expect(verdict).toEqual({ kind: 'void', reason: reasonOf(verdict), position: { ...position, seq: 3 } })
      }
    }
  })

  it('is void at the same epoch also for the node that holds it', () => {
    expect(ofKind(afterClaim, claimAt(afterClaim, { epoch: 1, incarnation: 'inc1' }))).toBe('void')
  })

  it('breaks the log where it is stored and does not link (L4)', () => {
    const verdict = next(afterClaim, claimAt(afterClaim, { prev: afterGenesis.validHash }))
    expect(verdict.kind).toBe('broken')
    expect(reasonOf(verdict)).toMatch(/link/)
  })

  it('is valid right after a hand-off, whoever makes it, and ends it', () => {
    const handedOff = mustBeValid(afterClaim, handoffAt(afterClaim))
    expect(handedOff.handedOff).toBe(true)
    const claimed = mustBeValid(handedOff, claimAt(handedOff, { node: 'node-z' }))
    expect(claimed).toMatchObject({ epoch: 2, handedOff: false })
    expect(ofKind(claimed, commitAt(claimed, 'x'))).toBe('valid')
  })

  it('links past void records to the last valid one', () => {
    const stale = next(afterClaim, commitAt(afterClaim, 'stale', { epoch: 0 }))
    expect(stale.kind).toBe('void')
    if (stale.kind !== 'void') return
    const claimed = mustBeValid(stale.position, claimAt(stale.position))
    expect(claimed).toMatchObject({ seq: 4, validSeq: 4 })
  })
})

describe('a commit or a hand-off (L3)', () => {
  const kinds = [
    ['commit', (position: LogPosition, changes = {}) => commitAt(position, 'x', changes)],
    ['hand-off', (position: LogPosition, changes = {}) => handoffAt(position, changes)],
  ] as const

  it.each(kinds)('is valid as a %s of the last claim that links', (_, at) => {
    const record = at(afterClaim, { time: 9, published: 2 })
    expect(mustBeValid(afterClaim, record)).toMatchObject({
      seq: 3,
      validSeq: 3,
      validHash: recordHash(record),
      epoch: 1,
      incarnation: 'inc1',
      time: 9,
      published: 2,
    })
  })

  it.each(kinds)('is void as a %s of a lower, a higher or no epoch, also where it links', (_, at) => {
    const second = mustBeValid(afterClaim, claimAt(afterClaim, { incarnation: 'inc1' }))
    for (const other of [0, 1, 3]) expect(ofKind(second, at(second, { epoch: other }))).toBe('void')
  })

  it.each(kinds)('is void as a %s of another incarnation of the same epoch', (_, at) => {
    expect(ofKind(afterClaim, at(afterClaim, { incarnation: 'inc1x' }))).toBe('void')
    expect(ofKind(afterClaim, at(afterClaim, { incarnation: '' }))).toBe('void')
  })

  it.each(kinds)('is void as a %s that links to anything but the last valid record', (_, at) => {
    const later = mustBeValid(afterClaim, commitAt(afterClaim, 'first'))
    for (const prev of [afterClaim.validHash, afterGenesis.validHash, noLink, new Uint8Array(16).fill(255)]) {
      const verdict = next(later, at(later, { prev }))
      expect(verdict).toMatchObject({ kind: 'void', position: { ...later, seq: later.seq + 1 } })
    }
  })

  it.each(kinds)('is void as a %s behind the hand-off of its own epoch', (_, at) => {
    const handedOff = mustBeValid(afterClaim, handoffAt(afterClaim))
    expect(ofKind(handedOff, at(handedOff))).toBe('void')
  })

  it.each(kinds)('is void as a %s before the first claim, also where it says epoch 0', (_, at) => {
    expect(ofKind(afterGenesis, at(afterGenesis))).toBe('void')
    expect(ofKind(afterGenesis, at(afterGenesis, { epoch: 1, incarnation: 'inc1' }))).toBe('void')
  })

  it('is void when it is appended a second time, byte for byte', () => {
    const record = commitAt(afterClaim, 'once')
    const after = mustBeValid(afterClaim, record)
    expect(ofKind(after, record)).toBe('void')
  })

  it('is valid when the same bytes come again after they were void', () => {
    const first = commitAt(afterClaim, 'first')
    const second = commitAt(mustBeValid(afterClaim, first), 'second')
    const ahead = next(afterClaim, second)
    expect(ahead.kind).toBe('void')
    if (ahead.kind !== 'void') return
    expect(mustBeValid(mustBeValid(ahead.position, first), second)).toMatchObject({ seq: 5, validSeq: 5 })
  })

  it('of a frozen owner is void behind the claim that it did not see, though the numbers fit', () => {
    const log = new PlainLog()
    log.append(claimAt(afterGenesis), 1)
    const first = commitAt(afterClaim, 'first in flight')
    const second = commitAt(mustBeValid(afterClaim, first), 'second in flight')
    expect(log.append(claimAt(afterClaim), 2)).toBe(true)
    expect(log.append(first, 2)).toBe(false)
    expect(log.append(second, 3)).toBe(true)
    const { position, verdicts } = log.judged()
    expect(verdicts.map((v) => v.kind)).toEqual(['valid', 'valid', 'valid', 'void'])
    expect(position).toMatchObject({ seq: 4, validSeq: 3, epoch: 2 })
  })
})

describe('a position (E2, E6)', () => {
  it('never takes partition time or the mark of what is published back', () => {
    const ahead = mustBeValid(afterClaim, commitAt(afterClaim, 'ahead', { time: 1_000, published: 2 }))
    const behind = mustBeValid(ahead, commitAt(ahead, 'behind', { time: 10, published: 1 }))
    expect(behind).toMatchObject({ time: 1_000, published: 2, validSeq: 4 })
  })

  it('is not changed by a void record but for its sequence', () => {
    const verdict = next(afterClaim, commitAt(afterClaim, 'x', { epoch: 9, time: 99_999, published: 9 }))
    expect(verdict).toMatchObject({ kind: 'void' })
    if (verdict.kind === 'void') expect(verdict.position).toEqual({ ...afterClaim, seq: 3 })
  })
})

describe('a log that is broken (L4)', () => {
  const good = commitAt(afterClaim, 'good')

  it('has a gap, a repetition or a step back in its sequences', () => {
    for (const at of [0, 1, 2, 4, 5]) {
      const verdict = judge(afterClaim, seq(at), good)
      expect(verdict.kind).toBe('broken')
      expect(reasonOf(verdict)).toContain(String(at))
    }
    expect(judge(afterClaim, seq(3), good).kind).toBe('valid')
  })

  it('has a record that cannot be decoded, or of a version that is unknown', () => {
    const header = decodeRecord(good)
    const newer = writeValue([recordVersion + 1, 2, 0, 1, header.incarnation, header.prev, 0, 0, header.stateHash, []])
    for (const bytes of [new Uint8Array(0), good.subarray(0, -1), Uint8Array.of(0xc1), newer]) {
      const verdict = next(afterClaim, bytes)
      expect(verdict.kind).toBe('broken')
      expect(reasonOf(verdict)).toContain('record 3')
    }
  })

  it('has a record of another partition, or a second genesis', () => {
    expect(ofKind(afterClaim, commitAt(afterClaim, 'x', { partition: 1 }))).toBe('broken')
    expect(ofKind(afterClaim, genesis)).toBe('broken')
    expect(ofKind(afterGenesis, genesis)).toBe('broken')
  })

  it('is told as INTERNAL, with the partition, the reason, and that the stores are kept', () => {
    const error = new BrokenLog(partitionId(7), 'it is gone')
    expect(isHoldfastError(error, 'INTERNAL')).toBe(true)
    expect(error.message).toMatch(/partition 7 .*it is gone.*stores are kept/)
  })
})

/** An owner that knows nothing of trouble: it goes on sending, whatever became of what it sent before. */
class BlindWriter {
  readonly #log: PlainLog
  readonly #name: string
  #owned: LogPosition | undefined
  /** On the way to the log, in order (C2). `ticket` counts this ownership's records. */
  #outbound: { record: Uint8Array; expected: number; ownership: number; ticket: number }[] = []
  #ownership = 0
  #tickets = 0
  #acknowledged = 0
  /** Committed by L6: acknowledged at the expected sequence, and all earlier ones of this ownership, too. */
  readonly committed: Uint8Array[] = []

  constructor(log: PlainLog, name: string) {
    this.#log = log
    this.#name = name
  }

  /** O2: validates to the end and claims there. */
  claim(by: number): void {
    const { position } = this.#log.judged()
    const record = claimAt(position, {
      epoch: position.epoch + by,
      incarnation: `${this.#name}-${this.#ownership + 1}`,
    })
    this.#ownership++
    this.#tickets = 0
    this.#acknowledged = 0
    this.#owned = {
      ...position,
      epoch: epoch(position.epoch + by),
      incarnation: incarnation(`${this.#name}-${this.#ownership}`),
    }
    this.#send(record)
  }

  commit(what: string): void {
    if (this.#owned !== undefined) this.#send(commitAt(this.#owned, what))
  }

  handOff(): void {
    if (this.#owned === undefined) return
    this.#send(handoffAt(this.#owned))
    this.#owned = undefined
  }

  /** The first append on the way arrives. */
  deliver(): void {
    const first = this.#outbound.shift()
    if (first === undefined || !this.#log.append(first.record, first.expected)) return
    if (first.ownership !== this.#ownership || first.ticket !== this.#acknowledged) return
    this.#acknowledged++
    this.committed.push(first.record)
  }

  lose(): void {
    this.#outbound.shift()
  }

  #send(record: Uint8Array): void {
    const owned = this.#owned!
    this.#outbound.push({ record, expected: owned.seq, ownership: this.#ownership, ticket: this.#tickets++ })
    const at = nextSeq(owned.seq)
    this.#owned = { ...owned, seq: at, validSeq: at, validHash: recordHash(record) }
  }
}

type Step = { readonly writer: number; readonly act: 'claim' | 'leap' | 'commit' | 'handOff' | 'deliver' | 'lose' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    writer: fc.nat({ max: 2 }),
    act: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('claim' as const, 'leap' as const) },
      { weight: 8, arbitrary: fc.constant('commit' as const) },
      { weight: 1, arbitrary: fc.constantFrom('handOff' as const, 'lose' as const) },
      { weight: 10, arbitrary: fc.constant('deliver' as const) },
    ),
  }),
  { minLength: 20, maxLength: 120, size: 'max' },
)

function run(script: readonly Step[]): { log: PlainLog; writers: BlindWriter[] } {
  const log = new PlainLog()
  const writers = ['a', 'b', 'c'].map((name) => new BlindWriter(log, name))
  script.forEach(({ writer: at, act }, i) => {
    const writer = writers[at]!
    if (act === 'claim') writer.claim(1)
    else if (act === 'leap') writer.claim(3)
    else if (act === 'commit') writer.commit(`turn ${i}`)
    else writer[act]()
  })
  for (const writer of writers) for (let i = 0; i < script.length; i++) writer.deliver()
  return { log, writers }
}

describe('any interleaving of three pipelining writers over a log that checks numbers only (C1, C2, L3)', () => {
  it('never breaks the log, and keeps every acknowledged record valid, in order (L6)', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const { log, writers } = run(script)
        const { verdicts } = log.judged()
        expect(verdicts.map((v) => v.kind)).not.toContain('broken')
        const valid = log.records.filter((_, i) => verdicts[i]!.kind === 'valid')
        for (const { committed } of writers) {
          const found = valid.filter((record) => committed.includes(record))
          expect(found.length === committed.length && found.every((record, i) => record === committed[i])).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('gives epochs that strictly grow, and commits that link and are of the last claim', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const { log } = run(script)
        let last = { epoch: 0, incarnation: '', hash: recordHash(genesis), handedOff: false }
        log.judged().verdicts.forEach((verdict, i) => {
          if (verdict.kind !== 'valid' || i === 0) return
          const { record } = verdict
          expect(sameBytes(record.prev, last.hash)).toBe(true)
          if (record.kind === 'claim') expect(record.epoch).toBeGreaterThan(last.epoch)
          else expect(record).toMatchObject({ epoch: last.epoch, incarnation: last.incarnation })
          if (record.kind !== 'claim') expect(last.handedOff).toBe(false)
          last = {
            epoch: record.epoch,
            incarnation: record.incarnation,
            hash: recordHash(log.records[i]!),
            handedOff: record.kind === 'handoff',
          }
        })
      }),
      { numRuns: 300 },
    )
  })

  it('is read the same by all, wherever they stop and go on', () => {
    fc.assert(
      fc.property(steps, fc.array(fc.nat(), { maxLength: 5 }), (script, stops) => {
        const { log } = run(script)
        const whole = log.judged()
        let position = startOfLog(p0, g1)
        const ends = [...stops.map((stop) => stop % (log.last + 1)), log.last].sort((a, b) => a - b)
        for (const end of ends) {
          for (const entry of log.entries(position.seq).filter(({ seq }) => seq <= end)) {
            const verdict = judge(position, entry.seq, entry.record.slice())
            expect(verdict).toEqual(whole.verdicts[entry.seq - 1])
            if (verdict.kind !== 'broken') ({ position } = verdict)
          }
        }
        expect(position).toEqual(whole.position)
      }),
    )
  })

  it('does produce what these rules are for: void records, moves and several epochs', () => {
    const seen = { void: 0, valid: 0, epochs: 0, handoffs: 0 }
    for (const script of fc.sample(steps, { numRuns: 100, seed: 1 })) {
      const { position, verdicts } = run(script).log.judged()
      seen.epochs = Math.max(seen.epochs, position.epoch)
      for (const verdict of verdicts) {
        if (verdict.kind === 'void') seen.void++
        if (verdict.kind === 'valid') seen.valid++
        if (verdict.kind === 'valid' && verdict.record.kind === 'handoff') seen.handoffs++
      }
    }
    expect(seen.void).toBeGreaterThan(50)
    expect(seen.valid).toBeGreaterThan(500)
    expect(seen.epochs).toBeGreaterThan(5)
    expect(seen.handoffs).toBeGreaterThan(5)
  })
})
