import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { actorShare } from '../../src/core/hashing.ts'
import type { BrokenLog, LogPosition } from '../../src/core/log.ts'
import type { ActorDefinition } from '../../src/behaviour/definition.ts'
import { Committer, type CommittedRecord, type CommitterOptions } from '../../src/partition/committer.ts'
import { actorId } from '../../src/partition/names.ts'
import { catchUp } from '../../src/partition/log-tail.ts'
import { FinishedTurn, StateChange } from '../../src/partition/turn.ts'
import type { Version } from '../../src/partition/store-layout.ts'
import type { Changelog, LogEntry } from '../../src/ports/changelog.ts'
import {
  epoch,
  generation,
  nextRev,
  rev,
  seq,
  sessionId,
  type NodeId,
  type Seq,
  type SessionId,
} from '../../src/protocol/ids.ts'
import { decodeRecord, encodeRecord, type CommitRecord } from '../../src/protocol/record.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { Denied } from '../../src/ports/denied.ts'
import { FaultyChangelog, type AppendFault } from '../../src/testing/faulty-changelog.ts'
import { genesisRecord } from '../../src/core/log.ts'
import { LogWriter } from './log-writer.ts'
import { p0, PartitionWorld, watching, type TestNode } from './world.ts'

const never: Version = { rev: rev(0), state: null, expiresAt: null, hi: 0, lo: 0 }

interface Turned {
  readonly key?: string
  readonly session?: string
  readonly low?: number
  readonly bytes?: number
  readonly changes?: boolean
}

/** A committer behind its claim, over a log that fails as told. */
class Bench {
  readonly world: PartitionWorld
  readonly node: TestNode
  readonly writer: LogWriter
  readonly faulty: FaultyChangelog
  readonly committed: CommittedRecord[] = []
  readonly progress: { seq: Seq; voids: readonly Seq[]; sentAtMs: number }[] = []
  readonly fenced: (LogPosition | null)[] = []
  readonly broken: BrokenLog[] = []
  unwritable = 0
  readonly added: FinishedTurn[] = []
  ended: SessionId[] = []
  published = seq(0)
  committer!: Committer
  readonly #tips = new Map<string, Version>()

  constructor(seed: string, changes: Partial<CommitterOptions> = {}, changelog?: (inner: Changelog) => Changelog) {
    this.world = new PartitionWorld(seed)
    this.node = this.world.start('n1')
    this.writer = new LogWriter(this.world).claim('n1', { incarnation: this.node.ref.incarnation })
    const { clock } = this.node.process
    this.faulty = new FaultyChangelog(this.node.process.changelog, { clock })
    this.committer = new Committer({
      log: (changelog?.(this.faulty) ?? this.faulty).log(p0),
      clock,
      observer: this.node.events,
      position: this.writer.position,
      stateHash: this.writer.stateHash,
      window: 4,
      groupBytes: 1_000,
      maxRecordBytes: 10_000,
      time: () => Math.floor(clock.now()),
      published: () => this.published,
      ended: () => this.ended,
      onCommitted: (record) => this.committed.push(record),
      onProgress: (position, voids, sentAtMs) => this.progress.push({ seq: position.seq, voids, sentAtMs }),
      onFenced: (by) => this.fenced.push(by),
      onBroken: (error) => this.broken.push(error),
      onUnwritable: () => this.unwritable++,
      ...changes,
    })
  }

  /** One more turn has finished; its state is so many bytes. */
  turn({ key = 'k', session = 's', low = 0, bytes = 10, changes: changed = true }: Turned = {}): void {
    const number = this.added.length + 1
    const id = actorId('thing', key)
    const before = this.#tips.get(id) ?? never
    const state = encodeValue('x'.repeat(bytes)).slice()
    const after = changed
      ? { rev: nextRev(before.rev), state, expiresAt: null, ...actorShare(id, before.rev + 1, state) }
      : undefined
    if (after !== undefined) this.#tips.set(id, after)
    const turn = {
      session: sessionId(session),
      number,
      low,
      tell: false,
      definition: {} as ActorDefinition,
      handler: () => {},
      type: 'thing',
      key,
      name: 'turn',
      input: new Uint8Array(0),
      keptId: undefined,
      sinceMs: 0,
      deadlineMs: 0,
      askers: [],
      finished: true,
      actor: undefined,
    }
    const tip = after ?? before
    const unstored = { storedExpiry: null, type: undefined, dirty: false, kept: false }
    const actor = { id, committed: before, tip, holds: 1, turns: 1, used: true, ...unstored }
    const changes = after === undefined ? [] : [new StateChange(actor, 'thing', key, before, after)]
    const finished = new FinishedTurn(turn, changes, encodeValue(number).slice())
    this.added.push(finished)
    this.committer.add(finished)
  }

  turns(count: number, turned: Turned = {}): void {
    for (let i = 0; i < count; i++) this.turn(turned)
  }

  pass(ms = 20): Promise<void> {
    return this.world.clock.advance(ms)
  }

  /** Appends that were delayed arrive. */
  release(): Promise<void> {
    return this.world.settle(this.faulty.release())
  }

  /** The numbers of the turns in each committed record, as reported. */
  get reported(): number[][] {
    return this.committed.map(({ turns }) => turns.map(({ turn }) => turn!.number))
  }

  /** The same, as every reader of the log finds them. */
  get logged(): number[][] {
    return this.commits().map(({ turns }) => turns.map(({ number }) => number))
  }

  commits(): CommitRecord[] {
    return this.world.validRecords().filter((record): record is CommitRecord => record.kind === 'commit')
  }

  get numbers(): number[] {
    return this.added.map(({ turn }) => turn!.number)
  }

  fault(...faults: AppendFault[]): void {
    this.faulty.next(...faults)
  }

  /** Another node claims the partition right now. */
  rival(): void {
    new LogWriter(this.world).claim('rival')
  }

  /** A stale owner's append that gets in, void. */
  stray(): void {
    new LogWriter(this.world).stray()
  }
}

describe('group commit (K1, K2)', () => {
  let bench: Bench
  beforeEach(() => {
    bench = new Bench('groups')
  })

  it('takes everything that finished in one tick into one record', async () => {
    bench.turns(5)
    expect(bench.world.records()).toHaveLength(2)
    expect(bench.committer.uncommittedBytes).toBeGreaterThan(0)
    await bench.pass()
    expect(bench.reported).toEqual([[1, 2, 3, 4, 5]])
    expect(bench.logged).toEqual(bench.reported)
    expect(bench.committed[0]).toMatchObject({ seq: 3, bytes: bench.world.world.changelog.recordsOf(p0)[2]! })
    expect(bench.committer.uncommittedBytes).toBe(0)
  })

  it('gathers what finishes while an append is in flight for the next record', async () => {
    bench.turn()
    await bench.world.until(() => bench.world.records().length === 3)
    bench.turns(3)
    await bench.world.until(() => bench.committed.length === 1)
    bench.turns(2)
    await bench.pass()
    expect(bench.reported).toEqual([[1], [2, 3, 4], [5, 6]])
  })

  it('sends a record behind one in flight once it is worth an append, up to the window', async () => {
    bench.fault(...Array.from({ length: 4 }, () => 'delay' as const))
    for (let i = 0; i < 10; i++) {
      bench.turn({ bytes: 1_000 })
      await bench.pass(1)
    }
    await bench.release()
    await bench.pass()
    expect(bench.reported.slice(0, 4)).toEqual([[1], [2], [3], [4]])
    expect(bench.reported[4]).toEqual([5, 6, 7, 8, 9, 10])
    expect(bench.logged).toEqual(bench.reported)
  })

  it('does not send a small record behind one in flight', async () => {
    bench.fault('delay')
    for (let i = 0; i < 5; i++) {
      bench.turn({ bytes: 10 })
      await bench.pass(1)
    }
    await bench.release()
    await bench.pass()
    expect(bench.reported).toEqual([[1], [2, 3, 4, 5]])
  })

  it('tells how far it has come, and from when the last append counts', async () => {
    await bench.pass(100)
    const sentAtMs = bench.node.process.clock.monotonic()
    bench.turn()
    await bench.pass(50)
    expect(bench.progress).toEqual([{ seq: 3, voids: [], sentAtMs }])
  })

  it('counts it from before the record has its time, however long it takes to make it (K5)', async () => {
    let readAtMs = 0
    let ticks = 0
    const ticking: Clock = {
      now: () => ticks,
      monotonic: () => ++ticks,
      setTimeout: () => ({}),
      clearTimeout: () => {},
      defer: (run) => queueMicrotask(run),
    }
    const slow = new Bench('slow', { clock: ticking, time: () => (readAtMs = ticking.monotonic()) })
    slow.turn()
    await slow.pass(50)
    slow.committer.handOff('n2' as NodeId)
    await slow.pass(50)
    expect(slow.committed.map(({ record }) => record.kind)).toEqual(['commit', 'handoff'])
    for (const { record, sentAtMs } of slow.committed) expect(sentAtMs).toBeLessThan(record.time)
    expect(slow.progress.at(-1)!.sentAtMs).toBeLessThan(readAtMs)
  })

  it('names each session once in a record, with the highest of its lowest outstanding numbers', async () => {
    bench.turn({ session: 'a', low: 3 })
    bench.turn({ session: 'b', low: 9 })
    bench.turn({ session: 'a', low: 5 })
    bench.turn({ session: 'a', low: 4 })
    await bench.pass()
    const [record] = bench.commits()
    expect(record!.sessions).toEqual([
      { session: 'a', low: 5 },
      { session: 'b', low: 9 },
    ])
    expect(record!.turns.map(({ session }) => session)).toEqual([0, 1, 0, 0])
  })

  it('ends sessions in a record, but none that has a turn in it', async () => {
    bench.ended = ['a', 'b', 'c'].map(sessionId)
    bench.turn({ session: 'b' })
    await bench.pass()
    expect(bench.commits()[0]!.ended).toEqual(['a', 'c'])
  })

  it('writes the mark of what is published, and the time, of when the record is made (E2, E6)', async () => {
    bench.published = seq(2)
    await bench.pass(1_000)
    bench.turn()
    const time = Math.floor(bench.node.process.clock.now())
    await bench.pass()
    expect(bench.commits()[0]).toMatchObject({ published: 2, time })
  })
})

describe('the size of a record', () => {
  it('stays within the limit, whatever the turns, their sessions, and the sessions that end', async () => {
    const turned = fc.record({
      key: fc.string({ minLength: 1, maxLength: 170, unit: fc.constantFrom('k', 'é', '漢') }),
      session: fc.string({ minLength: 1, maxLength: 66, unit: fc.constantFrom('s', 't') }),
      low: fc.constantFrom(0, Number.MAX_SAFE_INTEGER),
      bytes: fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 4_000 })),
    })
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(turned, { minLength: 1, maxLength: 300 }),
        fc.nat({ max: 2_000 }),
        async (turns, ended) => {
          const bench = new Bench(`size ${run++}`)
          bench.ended = Array.from({ length: ended }, (_, i) => sessionId(`e${i}`.padEnd(66, 'e')))
          for (const turn of turns) bench.turn(turn)
          await bench.pass(500)
          expect(bench.reported.flat()).toEqual(bench.numbers)
          for (const record of bench.world.world.changelog.recordsOf(p0))
            expect(record.length).toBeLessThanOrEqual(10_000)
        },
      ),
      { numRuns: 30 },
    )
  })

  it('stays within the limit where every small turn has a session of its own, with the longest name', async () => {
    const bench = new Bench('sessions')
    const low = Number.MAX_SAFE_INTEGER
    for (let i = 0; i < 500; i++)
      bench.turn({ session: String(i).padEnd(66, 's'), low, bytes: 0, changes: i % 2 === 0 })
    await bench.pass(500)
    expect(bench.reported.flat()).toEqual(bench.numbers)
    for (const record of bench.world.world.changelog.recordsOf(p0)) expect(record.length).toBeLessThanOrEqual(10_000)
  })

  it('is bounded in turns, too', async () => {
    const bench = new Bench('many turns', { maxRecordBytes: 100_000_000, groupBytes: 100_000_000 })
    bench.turns(16_385, { bytes: 0 })
    await bench.pass()
    expect(bench.reported.map((numbers) => numbers.length)).toEqual([16_384, 1])
  })

  it('lets a single turn through that is as large as the whole', async () => {
    const bench = new Bench('one large turn')
    bench.turn({ bytes: 9_500 })
    bench.turn({ bytes: 9_500 })
    await bench.pass(50)
    expect(bench.reported).toEqual([[1], [2]])
  })
})

describe('an append without turns (O3)', () => {
  it('is made where the lease needs one, once, and extends it', async () => {
    const bench = new Bench('renew')
    bench.committer.renew()
    bench.committer.renew()
    await bench.pass()
    expect(bench.reported).toEqual([[]])
    expect(bench.progress).toHaveLength(1)
  })

  it('is the one that carries the turns, where there are any', async () => {
    const bench = new Bench('renew with turns')
    bench.turn()
    bench.committer.renew()
    await bench.pass()
    expect(bench.reported).toEqual([[1]])
  })

  it('is made after the one in flight, since that was sent before', async () => {
    const bench = new Bench('renew behind')
    bench.turn()
    await bench.world.until(() => bench.world.records().length === 3)
    bench.committer.renew()
    await bench.pass()
    expect(bench.reported).toEqual([[1], []])
  })
})

describe('a hand-off', () => {
  it('is the last record, behind everything that was gathered or in flight', async () => {
    const bench = new Bench('hand-off')
    bench.fault('delay')
    bench.turn()
    await bench.pass(1)
    bench.turns(2)
    bench.committer.handOff('n2' as NodeId)
    await bench.pass(10)
    // What overtook the first is refused by its number.
    expect(bench.world.records()).toHaveLength(2)
    await bench.release()
    await bench.pass()
    expect(bench.committed.map(({ record }) => record.kind)).toEqual(['commit', 'commit', 'handoff'])
    expect(bench.world.validRecords().at(-1)).toMatchObject({ kind: 'handoff', to: 'n2', epoch: 1 })
    expect(bench.committer.uncommittedBytes).toBe(0)
  })

  it('does not wait for what is in flight, nor for more turns than a few', async () => {
    const sent: Uint8Array[] = []
    const bench = new Bench('hand-off at once', {}, (inner) => recording(inner, sent))
    bench.turn()
    await Promise.resolve()
    bench.turn()
    bench.committer.handOff('n2' as NodeId)
    await Promise.resolve()
    expect(sent.map((record) => decodeRecord(record).kind)).toEqual(['commit', 'commit', 'handoff'])
    expect(bench.committed).toEqual([])
    await bench.pass()
    expect(bench.committed.map(({ record }) => record.kind)).toEqual(['commit', 'commit', 'handoff'])
    expect(sent).toHaveLength(3)
  })

  it('waits for room where as many appends as may be are in flight', async () => {
    const sent: Uint8Array[] = []
    const bench = new Bench('hand-off behind a window', { window: 1 }, (inner) => recording(inner, sent))
    bench.turn()
    await Promise.resolve()
    bench.committer.handOff('n2' as NodeId)
    await Promise.resolve()
    expect(sent).toHaveLength(1)
    await bench.pass()
    expect(bench.committed.map(({ record }) => record.kind)).toEqual(['commit', 'handoff'])
  })

  it('is appended again, the same, where its acknowledgement was lost and it is not in the log', async () => {
    const bench = new Bench('hand-off lost')
    bench.fault('lose-request')
    bench.committer.handOff('n2' as NodeId)
    await bench.pass(3_000)
    expect(bench.committed.map(({ record }) => record.kind)).toEqual(['handoff'])
    expect(bench.world.validRecords().at(-1)).toMatchObject({ kind: 'handoff' })
  })
})

describe('a record that cannot be written (K6)', () => {
  it('ends the committing, and nothing of it or after it is sent', async () => {
    const bench = new Bench('unwritable')
    bench.turn()
    await bench.pass()
    bench.turn()
    bench.turn({ key: '\ud800' })
    await bench.pass()
    bench.turn()
    bench.committer.renew()
    await bench.pass(3_000)
    expect(bench.unwritable).toBe(1)
    expect(bench.node.events.of('handler.threw')).toMatchObject([
      { where: 'a record of partition 0', error: { code: 'INVALID' } },
    ])
    expect(bench.reported).toEqual([[1]])
    expect(bench.logged).toEqual([[1]])
    expect([...bench.broken, ...bench.fenced]).toEqual([])
  })

  it('ends it also where it is sent behind an acknowledgement, or after the log was read back', async () => {
    for (const fault of ['delay', 'lose-acknowledgement'] as const) {
      const bench = new Bench(`unwritable behind ${fault}`)
      bench.fault(fault)
      bench.turn()
      await bench.pass(1)
      bench.turn({ key: '\ud800' })
      await bench.release()
      await bench.pass(3_000)
      expect(bench.unwritable, fault).toBe(1)
      expect(bench.broken, fault).toEqual([])
      expect(bench.reported, fault).toEqual([[1]])
    }
  })
})

describe('trouble (K3, L5)', () => {
  it('passes over what a stale owner got in, and appends the rest again', async () => {
    const bench = new Bench('stray')
    bench.turn({ bytes: 2_000 })
    await bench.pass(0)
    bench.turn({ bytes: 2_000 })
    await bench.pass(0)
    bench.stray()
    await bench.pass(100)
    expect(bench.reported).toEqual([[1], [2]])
    expect(bench.logged).toEqual(bench.reported)
    expect(bench.progress.flatMap(({ voids }) => voids)[0]).toBe(3)
    expect(bench.node.events.of('partition.trouble').length).toBeGreaterThan(0)
    expect(bench.node.events.of('partition.recovered')[0]).toMatchObject({ committed: 0 })
  })

  it('finds in the log what only the acknowledgement of was lost, and does not append it again', async () => {
    const bench = new Bench('lost acknowledgement')
    bench.fault('lose-acknowledgement')
    bench.turn()
    await bench.pass(1_000)
    expect(bench.reported).toEqual([])
    await bench.pass(2_000)
    expect(bench.reported).toEqual([[1]])
    expect(bench.world.records()).toHaveLength(3)
    expect(bench.node.events.of('partition.recovered')).toMatchObject([{ committed: 1, appendedAgain: 0 }])
  })

  it('appends again what was lost on its way, byte for byte', async () => {
    const sent: Uint8Array[] = []
    const bench = new Bench('lost request', {}, (inner) => recording(inner, sent))
    bench.fault('lose-request')
    bench.turn()
    await bench.pass(3_000)
    expect(bench.reported).toEqual([[1]])
    expect(sent).toHaveLength(2)
    expect(sent[1]).toEqual(sent[0])
  })

  it('commits once what arrives late, after it was appended again', async () => {
    const bench = new Bench('late')
    bench.fault('delay')
    bench.turn()
    await bench.pass(2_001)
    // The read-back has begun, and does not find it; then it arrives.
    await bench.release()
    bench.turn()
    await bench.pass(3_000)
    expect(bench.reported).toEqual([[1], [2]])
    expect(bench.logged).toEqual(bench.reported)
  })

  it('sends nothing before the log has been read', async () => {
    const sent: Uint8Array[] = []
    const bench = new Bench('silent', {}, (inner) => recording(inner, sent))
    bench.fault('lose-request')
    bench.turn()
    await bench.pass(1)
    bench.node.process.links.changelog.cut()
    await bench.pass(1)
    bench.turns(4, { bytes: 50 })
    await bench.pass(5_000)
    bench.turn({ bytes: 2_000 })
    bench.committer.renew()
    await bench.pass(5_000)
    expect(sent).toHaveLength(1)
    bench.node.process.links.changelog.heal()
    await bench.pass(5_000)
    expect(bench.reported.flat()).toEqual(bench.numbers)
  })

  it('reads again and again while the log does not answer, with pauses', async () => {
    const asked = { infos: 0, appends: 0 }
    const bench = new Bench('unreachable', {}, (inner) => counting(inner, asked))
    bench.committer.suspect('the connection was lost')
    bench.node.process.links.changelog.cut()
    await bench.pass(20_000)
    expect(asked.infos).toBeGreaterThan(20)
    expect(asked.infos).toBeLessThan(100)
    bench.node.process.links.changelog.heal()
    bench.turn()
    await bench.pass(2_000)
    expect(bench.reported).toEqual([[1]])
  })

  it('does not storm a log that answers, and takes nothing', async () => {
    const asked = { infos: 0, appends: 0 }
    const bench = new Bench('refusing', {}, (inner) => counting(inner, asked))
    bench.node.process.changelog.faults.refuse = 1
    bench.turn()
    await bench.pass(20_000)
    expect(asked.appends).toBeGreaterThan(20)
    expect(asked.appends).toBeLessThan(100)
    bench.node.process.changelog.faults.refuse = 0
    await bench.pass(2_000)
    expect(bench.reported).toEqual([[1]])
  })

  it('compares with the log after a reconnect also where nothing was in flight (L4)', async () => {
    const bench = new Bench('reconnect')
    bench.committer.suspect('the connection was lost')
    await bench.pass()
    expect(bench.node.events.of('partition.recovered')).toMatchObject([{ committed: 0, appendedAgain: 0 }])
    bench.turn()
    await bench.pass()
    expect(bench.reported).toEqual([[1]])
  })
})

describe('a permission to read the log that is taken away (K3)', () => {
  it.each(['info', 'read'] as const)(
    'is waited for where %s is denied: nothing is broken, nothing lost',
    async (question) => {
      let denied = true
      const deny = () => {
        if (denied) throw new Denied('the NATS server does not let this user ask')
      }
      const bench = new Bench('denied', {}, (inner) =>
        watching(inner, (log) => ({
          ...log,
          info: async (known) => {
            if (question === 'info') deny()
            return log.info(known)
          },
          read: async function* (from, to) {
            if (question === 'read') deny()
            yield* log.read(from, to)
          },
        })),
      )
      bench.fault('lose-acknowledgement')
      bench.turn()
      await bench.pass(10_000)
      expect([bench.broken, bench.reported]).toEqual([[], []])
      denied = false
      await bench.pass(1_000)
      expect([bench.broken, bench.reported]).toEqual([[], [[1]]])
    },
  )
})

describe('the end of an ownership', () => {
  it('is a valid higher claim: what is in the log before it is committed, and nothing else', async () => {
    const bench = new Bench('fenced')
    bench.fault('lose-acknowledgement')
    bench.turn({ bytes: 2_000 })
    await bench.pass(5)
    bench.fault('delay', 'delay')
    bench.turn({ bytes: 2_000 })
    await bench.pass(5)
    bench.turn({ bytes: 2_000 })
    await bench.pass(5)
    bench.rival()
    await bench.release()
    await bench.pass(5_000)
    expect(bench.reported).toEqual([[1]])
    expect(bench.logged).toEqual([[1]])
    expect(bench.fenced).toMatchObject([{ epoch: 2, seq: 4 }])
    bench.turn()
    bench.committer.renew()
    bench.committer.suspect('again')
    await bench.pass(10_000)
    expect(bench.reported).toEqual([[1]])
    expect(bench.fenced).toHaveLength(1)
  })

  it('is found out where the log is trimmed beyond the last record: by whom, and what became of the rest, nobody knows', async () => {
    const bench = new Bench('trimmed')
    bench.fault('lose-acknowledgement')
    bench.turn({ bytes: 2_000 })
    await bench.world.until(() => bench.world.records().length === 3)
    bench.rival()
    bench.world.world.changelog.purge(p0, seq(4))
    await bench.pass(5_000)
    expect([bench.fenced, bench.broken, bench.reported]).toEqual([[null], [], []])
  })

  it('is broken where the last record is missing in the middle, and the log was not trimmed (L4)', async () => {
    const holed = (inner: Changelog) =>
      watching(inner, (log) => ({ ...log, read: (from, to) => without(seq(2), log.read(from, to)) }))
    const bench = new Bench('hole', {}, holed)
    bench.fault('lose-acknowledgement')
    bench.turn()
    await bench.pass(5_000)
    expect(bench.fenced).toEqual([])
    expect(bench.broken).toMatchObject([{ message: expect.stringContaining('record 2') }])
  })

  it('is found out by the next append at the latest', async () => {
    const bench = new Bench('found out')
    bench.rival()
    bench.turn()
    await bench.pass(100)
    expect(bench.fenced).toHaveLength(1)
    expect(bench.logged).toEqual([])
  })

  it('after `stop` sends nothing, calls nobody, and leaves no timer (K4)', async () => {
    const bench = new Bench('stop')
    bench.turn()
    await bench.world.until(() => bench.world.records().length === 3)
    bench.turn()
    bench.committer.stop()
    bench.committer.renew()
    bench.committer.handOff('n2' as NodeId)
    bench.committer.suspect('late')
    await bench.pass(10_000)
    expect(bench.world.records()).toHaveLength(3)
    expect([bench.committed, bench.progress, bench.fenced, bench.broken]).toEqual([[], [], [], []])
  })

  it('after `stop` in the middle of a recovery does the same', async () => {
    const bench = new Bench('stop in trouble')
    bench.node.process.links.changelog.cut()
    bench.committer.suspect('the connection was lost')
    await bench.pass(3_000)
    bench.committer.stop()
    await bench.pass(1)
    const fired = bench.world.clock.fired
    bench.node.process.links.changelog.heal()
    await bench.pass(10_000)
    expect(bench.world.clock.fired - fired).toBeLessThan(10)
    expect(bench.node.events.of('partition.recovered')).toEqual([])
  })
})

describe('a log that is not what it was (L1, L4)', () => {
  const g2 = generation('anotherGeneration56789')
  const disasters: [string, (bench: Bench) => void, RegExp][] = [
    ['is gone', ({ world }) => world.world.changelog.destroy(p0), /gone/],
    ['is shorter than what was committed', ({ world }) => world.world.changelog.truncate(p0, seq(2)), /ends at 2/],
    [
      'is another one',
      ({ world }) => {
        world.world.changelog.destroy(p0)
        world.world.changelog.provision(p0, g2, genesisRecord(p0, g2))
      },
      /generation/,
    ],
    [
      'has another record where the last one was',
      (bench) => {
        bench.world.world.changelog.truncate(p0, seq(2))
        new LogWriter(bench.world).commit([{ key: 'another history' }]).commit([])
      },
      /record 3 is not the one/,
    ],
    [
      'has a record of this ownership that was not written here',
      (bench) => new LogWriter(bench.world).commit([{ key: 'forged' }]),
      /not written here/,
    ],
    ['has a record that nobody can read', (bench) => bench.world.append(Uint8Array.of(0xc1)), /record 4/],
    [
      'has a claim that does not link',
      (bench) => {
        const { position } = new LogWriter(bench.world)
        const header = {
          ...bench.world.validRecords().at(-1)!,
          epoch: epoch(9),
          prev: position.validHash.map((b) => b ^ 1),
        }
        bench.world.append(encodeRecord({ ...header, kind: 'claim', node: 'x' as NodeId }).slice())
      },
      /does not link/,
    ],
  ]

  it.each(disasters)('breaks where it %s', async (_, disaster, reason) => {
    const bench = new Bench('disaster')
    bench.turn()
    await bench.pass()
    expect(bench.reported).toEqual([[1]])
    disaster(bench)
    bench.committer.suspect('the connection was lost')
    bench.turn()
    await bench.pass(5_000)
    expect(bench.broken).toHaveLength(1)
    expect(bench.broken[0]).toMatchObject({ code: 'INTERNAL', message: expect.stringMatching(reason) })
    expect(bench.reported).toEqual([[1]])
    expect(bench.fenced).toEqual([])
  })
})

describe('whatever the log does with appends', () => {
  const script = fc.array(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ act: fc.constant('turn' as const), bytes: fc.constantFrom(5, 5, 800, 3_000) }),
      },
      {
        weight: 4,
        arbitrary: fc.record({ act: fc.constant('pass' as const), ms: fc.constantFrom(0, 1, 2, 50, 2_500) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          act: fc.constantFrom('stray' as const, 'suspect' as const, 'renew' as const, 'cut' as const),
        }),
      },
    ),
    { minLength: 5, maxLength: 60, size: 'max' },
  )

  it('reports every turn once, in order, exactly as all readers find them, with state hashes that fit', async () => {
    let run = 0
    let recoveries = 0
    await fc.assert(
      fc.asyncProperty(script, async (steps) => {
        const bench = new Bench(`any ${run++}`)
        Object.assign(bench.node.process.changelog.faults, {
          loseRequest: 0.1,
          loseAcknowledgement: 0.1,
          refuse: 0.1,
          delay: 0.1,
        })
        for (const [i, step] of steps.entries()) {
          if (step.act === 'turn')
            bench.turn({ bytes: step.bytes, key: `k${i % 3}`, session: `s${i % 2}`, changes: i % 4 !== 0 })
          else if (step.act === 'pass') await bench.pass(step.ms)
          else if (step.act === 'stray') bench.stray()
          else if (step.act === 'suspect') bench.committer.suspect('as told')
          else if (step.act === 'renew') bench.committer.renew()
          else {
            bench.node.process.links.changelog.cut()
            bench.node.process.links.changelog.heal()
          }
        }
        Object.assign(bench.node.process.changelog.faults, {
          loseRequest: 0,
          loseAcknowledgement: 0,
          refuse: 0,
          delay: 0,
        })
        await bench.world.until(() => bench.committer.uncommittedBytes === 0, 120_000)
        await bench.pass(10_000)
        expect(bench.broken).toEqual([])
        expect(bench.reported.flat()).toEqual(bench.numbers)
        expect(bench.logged).toEqual(bench.reported)
        const reader = bench.world.start('reader')
        const replica = await bench.world.openReplica(reader)
        await bench.world.settle(catchUp(replica, bench.world.takeover(reader)))
        expect(reader.events.of('partition.hash-mismatch')).toEqual([])
        expect(bench.progress.at(-1)?.seq ?? replica.position.validSeq).toBeLessThanOrEqual(replica.position.seq)
        recoveries += bench.node.events.of('partition.recovered').length
      }),
      { numRuns: 150 },
    )
    expect(recoveries).toBeGreaterThan(50)
  })
})

/** Keeps what is appended. */
const recording = (inner: Changelog, sent: Uint8Array[]): Changelog =>
  watching(inner, (log) => ({
    ...log,
    append: (record, expected) => (sent.push(record.slice()), log.append(record, expected)),
  }))

const counting = (inner: Changelog, asked: { infos: number; appends: number }): Changelog =>
  watching(inner, (log) => ({
    ...log,
    info: (known) => (asked.infos++, log.info(known)),
    append: (record, expected) => (asked.appends++, log.append(record, expected)),
  }))

async function* without(missing: Seq, entries: AsyncIterable<LogEntry>): AsyncGenerator<LogEntry> {
  for await (const entry of entries) if (entry.seq !== missing) yield entry
}
