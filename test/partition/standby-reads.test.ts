import { describe, expect, it } from 'vitest'
import { RowBatch } from '../../src/core/row-batch.ts'
import { actorId } from '../../src/partition/names.ts'
import { versionOf } from '../../src/partition/outcome.ts'
import { writeActor } from '../../src/partition/store-layout.ts'
import type { Answer } from '../../src/partition/turn.ts'
import { WorkMeter } from '../../src/partition/work-meter.ts'
import type { PartitionLog } from '../../src/ports/changelog.ts'
import type { ReadBounds } from '../../src/protocol/frames.ts'
import { generation, rev, seq } from '../../src/protocol/ids.ts'
import { decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { said, type Asked, type AskOptions } from './owner-bench.ts'
import { PartitionNode } from './partition-bench.ts'
import { g1, p0, PartitionWorld, settingsWith } from './world.ts'

const within = (maxStalenessMs: number, after?: number): ReadBounds => ({
  maxStalenessMs,
  after: after === undefined ? undefined : { generation: g1, seq: seq(after) },
})

class Bench {
  readonly world: PartitionWorld
  readonly meter = new WorkMeter()
  readonly owner: PartitionNode
  readonly standby: PartitionNode
  /** Holds back what the standby follows. */
  hold: Promise<void> | undefined

  constructor(seed: string, settings = settingsWith({})) {
    this.world = new PartitionWorld(seed)
    this.owner = new PartitionNode(this.world, 'owner')
    const { changelog } = this.world.start('slow').process
    const log = changelog.log(p0)
    const slow: PartitionLog = {
      info: (known) => log.info(known),
      append: (record, expected) => log.append(record, expected),
      read: (from, to) => log.read(from, to),
      trim: (first) => log.trim(first),
      follow: (from) => {
        const reading = log.follow(from)
        const next = async () => {
          const entry = await reading.next()
          await this.hold
          return entry
        }
        return { next, close: () => reading.close() }
      },
    }
    this.standby = new PartitionNode(this.world, 'standby', {
      settings,
      meter: this.meter,
      changelog: {
        provision: (partition, of, genesis) => changelog.provision(partition, of, genesis),
        close: () => changelog.close(),
        log: () => slow,
      },
    })
  }

  static async open(name: string, settings = settingsWith({})): Promise<Bench> {
    const bench = new Bench(name, settings)
    await bench.owner.serve(1)
    bench.standby.knownOwner = bench.owner.node.ref.id
    await bench.stand()
    return bench
  }

  async stand(): Promise<void> {
    this.standby.partition.want({ role: 'standby' })
    await this.standby.until('standby')
  }

  read(bounds: ReadBounds, options: AskOptions = {}): Asked {
    return this.standby.ask('value', null, { kind: 'query', bounds, ...options })
  }

  async answered(asked: Asked): Promise<Answer> {
    await this.world.until(() => asked.answers.length > 0)
    return asked.answers[0]!
  }

  async told(bounds: ReadBounds, options: AskOptions = {}): Promise<unknown> {
    const asked = this.read(bounds, options)
    await this.answered(asked)
    return said(asked)
  }

  get appliedSeq(): number {
    return this.standby.partition.status().progress.appliedSeq
  }

  level(): Promise<void> {
    return this.world.until(() => this.appliedSeq === this.world.world.changelog.info(p0)!.last)
  }

  /** What the standby follows comes only once the result is called. */
  holdBack(): () => void {
    let release!: () => void
    this.hold = new Promise((resolve) => (release = resolve))
    return () => {
      this.hold = undefined
      release()
    }
  }
}

describe('a query at a standby (F1, Q1)', () => {
  it('is answered from its own state, with its age and where that is', async () => {
    const bench = await Bench.open('own state')
    await bench.owner.call('add', 3)
    const answer = await bench.answered(bench.read(within(500)))
    expect(answer).toMatchObject({ kind: 'value', at: { partition: p0, generation: g1, seq: bench.appliedSeq } })
    const { at } = answer as Extract<Answer, { kind: 'value' }>
    expect(at!.ageMs).toBeGreaterThan(0)
    expect(at!.ageMs).toBeLessThan(20)
    expect(bench.meter).toMatchObject({ standbyQueries: 1, readsLeft: 0, positionRequests: 1 })
  })

  it('is as old as it says at most, and that is no more than it allows', async () => {
    const bench = await Bench.open('bounded')
    const { clock } = bench.world
    const committedMs: number[] = []
    let [answers, left] = [0, 0]
    for (let i = 1; i <= 60; i++) {
      await bench.owner.call('add', 1)
      committedMs.push(clock.monotonic())
      // Now and then nothing more comes for a while, and it does not know that.
      const release = i % 10 === 0 ? bench.holdBack() : () => {}
      await clock.advance(i % 10 === 0 ? 45 : 3)
      const answer = await bench.answered(bench.read(within(40)))
      if (answer.kind === 'value') {
        const { ageMs } = answer.at!
        answers++
        expect(ageMs).toBeLessThanOrEqual(40)
        const least = committedMs.filter((ms) => ms <= clock.monotonic() - ageMs!).length
        expect(decodeValue(answer.value)).toBeGreaterThanOrEqual(least)
      } else left++
      release()
    }
    expect([answers > 40, left > 2]).toEqual([true, true])
  })

  it('asks the owner once for all that wait, ahead of time while they come, and never when none does (F2)', async () => {
    const bench = await Bench.open('batched')
    await bench.world.clock.advance(10_000)
    expect(bench.meter.positionRequests).toBe(0)
    const asked = Array.from({ length: 100 }, () => bench.read(within(500)))
    for (const each of asked) await bench.answered(each)
    expect(asked.map(said)).toEqual(asked.map(() => 0))
    expect(bench.meter.positionRequests).toBe(1)
    const before = bench.world.clock.monotonic()
    for (let i = 0; i < 100; i++) {
      await bench.world.clock.advance(20)
      expect(said(bench.read(within(500)))).toBe(0)
    }
    const passed = bench.world.clock.monotonic() - before
    expect(bench.meter.positionRequests).toBeLessThan(2 + passed / 250)
    await bench.world.clock.advance(10_000)
    expect(bench.meter.positionRequests).toBeLessThan(2 + passed / 250)
  })

  it('waits for what its reader has seen, and then is answered', async () => {
    const bench = await Bench.open('seen')
    expect(await bench.told(within(500))).toBe(0)
    const release = bench.holdBack()
    await bench.owner.call('add', 7)
    const seen = bench.world.world.changelog.info(p0)!.last
    const asked = bench.read(within(500, seen))
    await bench.world.clock.advance(20)
    expect(asked.answers).toEqual([])
    expect(said(bench.read(within(500)))).toBe(0)
    release()
    await bench.answered(asked)
    expect(said(asked)).toBe(7)
  })

  it('is left to the owner when that does not come within its bound (F3)', async () => {
    const bench = await Bench.open('too far')
    for (const bounds of [within(60_000, 10_000), within(5, 10_000)]) {
      const before = bench.world.clock.monotonic()
      expect(await bench.told(bounds)).toBe('moved')
      expect(bench.world.clock.monotonic() - before).toBeLessThan(160)
    }
    const other = { maxStalenessMs: 500, after: { generation: generation('other'), seq: seq(1) } }
    expect(said(bench.read(other))).toBe('moved')
  })

  it('waits for its own bound, whoever waits for a longer one (F3)', async () => {
    const bench = await Bench.open('shorter')
    const longer = bench.read(within(60_000, 10_000))
    const before = bench.world.clock.monotonic()
    expect(await bench.told(within(5, 10_000))).toBe('moved')
    expect(bench.world.clock.monotonic() - before).toBeLessThan(10)
    expect(said(longer)).toBeUndefined()
    await bench.answered(longer)
    expect(said(longer)).toBe('moved')
    expect(bench.world.clock.monotonic() - before).toBeLessThan(160)
  })

  it('is left to the owner at a bound of this node, as is what is no query of a type that is hosted here (F3)', async () => {
    const bench = await Bench.open('full', settingsWith({ mailboxTurns: 2 }))
    const asked = Array.from({ length: 3 }, () => bench.read(within(500)))
    expect(asked.map(said)).toEqual([undefined, undefined, 'moved'])
    for (const options of [
      { kind: 'command' as const },
      { kind: 'query' as const, type: 'unknown' },
      { kind: 'call' as const },
    ]) {
      expect(said(bench.standby.ask('add', 1, { bounds: within(500), ...options }))).toBe('moved')
    }
    for (const each of asked.slice(0, 2)) await bench.answered(each)
    expect(asked.slice(0, 2).map(said)).toEqual([0, 0])
    expect(await bench.told(within(500), { kind: 'call' })).toBe(0)
  })

  it('fails as it does at the owner, and says where that was', async () => {
    const bench = await Bench.open('failing')
    const asked = bench.standby.ask('failing', null, { kind: 'query', bounds: within(500) })
    expect(await bench.answered(asked)).toMatchObject({ kind: 'error', error: { code: 'FAILED' } })
    expect(asked.answers[0]).toMatchObject({ at: { seq: bench.appliedSeq } })
  })

  it('names the last valid record, behind which an owner cannot be', async () => {
    const bench = await Bench.open('void at the end')
    await bench.owner.call('add', 1)
    // Of an epoch that is over: nobody has it.
    bench.world.append(bench.world.world.changelog.recordsOf(p0)[1]!)
    await bench.level()
    const answer = await bench.answered(bench.read(within(500)))
    expect(answer).toMatchObject({ kind: 'value', at: { seq: bench.appliedSeq - 1 } })
  })
})

describe('a standby without an owner that is certain', () => {
  it('leaves what comes to the owner, at once where nobody listens', async () => {
    const bench = await Bench.open('nobody')
    bench.owner.node.process.crash()
    expect(await bench.told(within(500))).toBe('moved')
  })

  it('answers as long as the word of the owner is young enough, and no longer', async () => {
    const bench = await Bench.open('cut off')
    expect(await bench.told(within(500))).toBe(0)
    bench.owner.node.process.freeze()
    await bench.world.clock.advance(1_000)
    expect(said(bench.read(within(2_000)))).toBe(0)
    expect(await bench.told(within(500))).toBe('moved')
    await bench.world.clock.advance(1_200)
    expect(await bench.told(within(2_000))).toBe('moved')
  })

  it('believes no former owner: one that cannot append is not certain of its lease', async () => {
    const bench = await Bench.open('former')
    const { process } = bench.owner.node
    await bench.owner.call('add', 1)
    await bench.level()
    process.links.changelog.cut({ noticeAfterMs: 60_000 })
    await bench.world.clock.advance(1_000)
    const next = new PartitionNode(bench.world, 'next')
    await next.serve(2)
    await next.call('add', 1)
    // The former one is asked, too, and says nothing.
    for (let i = 0; i < 20; i++) {
      const value = await bench.told(within(100))
      expect(['moved', 2]).toContain(value)
    }
  })

  it('does not count what it was told by whom knows nothing', async () => {
    const bench = await Bench.open('forged')
    bench.owner.node.process.crash()
    const { transport } = bench.world.start('stranger').process
    transport.subscribe('test.position.0', ({ reply }) => transport.publish(reply!, Uint8Array.of(1)), {})
    await bench.world.clock.advance(10)
    expect(await bench.told(within(500))).toBe('moved')
  })
})

describe('a standby that is something else meanwhile (F4, F5)', () => {
  it('answers as the owner what waited when it was named', async () => {
    const bench = await Bench.open('named')
    expect(await bench.told(within(60_000))).toBe(0)
    const asked = bench.read(within(60_000, 5))
    bench.owner.node.process.crash()
    await bench.standby.serve(2)
    await bench.answered(asked)
    // What it is to be answered after is not there yet: its reader asks again.
    expect(said(asked)).toBe('RETRY')
    await bench.standby.call('add', 4)
    expect(await bench.told(within(60_000, 5))).toBe(4)
  })

  it('leaves what waits to the owner when it is not wanted any more, or its node ends', async () => {
    for (const end of ['unwanted', 'close'] as const) {
      const bench = await Bench.open(end)
      const asked = bench.read(within(60_000, 99))
      if (end === 'unwanted') bench.standby.want(null)
      else await bench.world.settle(bench.standby.partition.close(0))
      await bench.answered(asked)
      expect(said(asked)).toBe('moved')
    }
  })

  it('says nothing in a crash', async () => {
    const bench = await Bench.open('crash')
    const asked = bench.read(within(60_000, 99))
    await bench.world.settle(bench.standby.partition.crash())
    await bench.world.clock.advance(1_000)
    expect(asked.answers).toEqual([])
  })

  it('shows nobody a state that is not its writer’s', async () => {
    const bench = await Bench.open('diverged')
    await bench.owner.call('add', 1)
    await bench.level()
    bench.standby.want(null)
    await bench.standby.until('none')
    await bench.world.clock.advance(200)
    const store = await bench.world.settle(bench.standby.node.process.stores.open(p0))
    const batch = new RowBatch(1_024)
    const id = actorId('counter', 'k')
    writeActor(batch, id, versionOf(id, rev(9), encodeValue(666).slice(), null))
    await bench.world.settle(store.write(batch))
    await bench.world.settle(store.close())
    await bench.stand()
    const heard: unknown[] = []
    // The record of which it differs is asked for by name, so that the answer is of that state or none.
    const last = bench.world.world.changelog.info(p0)!.last
    const asked = Array.from({ length: 5 }, (_, i) => bench.read(within(500, last + 1 + i)))
    await bench.owner.call('add', 1)
    for (const each of asked) {
      await bench.answered(each)
      heard.push(said(each))
    }
    expect(bench.standby.node.events.of('partition.hash-mismatch')).toHaveLength(1)
    expect(heard).not.toContain(667)
    expect(heard).not.toContain(666)
  })
})

describe('an entry with a term, at a standby (E6)', () => {
  const entry = { type: 'kv-store', key: 'e', kind: 'query' as const }
  const there = async (bench: Bench, bounds: ReadBounds) => {
    const asked = bench.standby.ask('entry', null, { ...entry, bounds })
    await bench.answered(asked)
    return said(asked)
  }

  it('is there, then for the owner to tell, then gone', async () => {
    const bench = await Bench.open('term')
    const put = { ...entry, kind: 'command' as const }
    await bench.owner.call('put', { value: 1, ttlMs: 3_000 }, put)
    await bench.level()
    expect(await there(bench, within(500))).toMatchObject({ value: 1 })
    await bench.world.clock.advance(2_700)
    expect(await there(bench, within(100))).toMatchObject({ value: 1 })
    await bench.world.clock.advance(290)
    expect(await there(bench, within(1_000))).toBe('moved')
    await bench.world.clock.advance(2_000)
    await bench.level()
    expect(await there(bench, within(100))).toBeNull()
  })
})
