import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextSeq, seq } from '../../src/protocol/ids.ts'
import { collect, HistoryBench } from './changes.ts'
import { p0 } from './world.ts'

describe('the changes of a partition, read again (E1)', () => {
  it('are those of the turns that changed something, with cursor, rev and time', async () => {
    const bench = new HistoryBench('changes').begin()
    bench.commit({ key: 'a', state: 1 }, { key: 'a' }, { key: 'b', state: null }, { type: 'other', key: 'a', state: 2 })
    expect(await bench.read(seq(0))).toEqual([
      expect.objectContaining({ seq: 3, index: 0, type: 'thing', key: 'a', rev: 1, at: bench.writer.position.time }),
      expect.objectContaining({ seq: 3, index: 1, key: 'b', rev: 1, state: null }),
      expect.objectContaining({ seq: 3, index: 2, type: 'other', key: 'a', rev: 1 }),
    ])
  })

  it('come from memory where that reaches, without a word to the log', async () => {
    const bench = new HistoryBench('memory').begin()
    const start = bench.history.head
    for (let i = 0; i < 10; i++) bench.commit({ key: 'a', state: i })
    bench.world.world.changelog.destroy(bench.writer.position.partition)
    expect(await bench.read(start)).toEqual(bench.changes)
  })

  it('come from the log where memory does not reach, hundreds of records of them', async () => {
    const bench = new HistoryBench('log').begin(2_000)
    for (let i = 0; i < 700; i++) {
      if (i % 50 === 7) bench.stray()
      bench.commit({ key: `k${i % 5}`, state: i }, { key: 'x', state: i })
    }
    const read = await bench.read(seq(0))
    expect(read).toHaveLength(1_400)
    expect(read.map(({ state }) => state)).toEqual(bench.changes.map(({ state }) => state))
    expect(read).toEqual(bench.changes)
  })

  it('hold no more than the bound in memory, but the newest record however large it is', async () => {
    const bench = new HistoryBench('bound').begin(1_000)
    bench.commit({ key: 'a', state: 'x'.repeat(5_000) })
    const before = bench.history.head
    bench.commit({ key: 'a', state: 'y'.repeat(5_000) })
    bench.world.world.changelog.destroy(bench.writer.position.partition)
    expect(await bench.read(before)).toEqual(bench.changes.slice(1))
    await expect(bench.read(seq(1))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('keep no block alive that is larger than their record', async () => {
    const bench = new HistoryBench('blocks').begin()
    const before = bench.history.head
    bench.commit({ key: 'a', state: 'x'.repeat(100) })
    const block = new Uint8Array(16_384)
    const record = bench.world.world.changelog.recordsOf(p0).at(-1)!
    block.set(record, 100)
    bench.history.add(nextSeq(bench.history.head), block.subarray(100, 100 + record.length))
    block.fill(0)
    const [, again] = await bench.read(before)
    expect(again).toMatchObject({ key: 'a', rev: 1 })
    expect(again!.state!.buffer.byteLength).toBe(record.length)
  })

  it('are whole for a reader that is slow while new ones are committed', async () => {
    const bench = new HistoryBench('slow reader').begin(500)
    for (let i = 0; i < 20; i++) bench.commit({ key: 'a', state: i })
    const slow = (async () => {
      const read = []
      for await (const changes of bench.history.after(seq(0))) {
        read.push(...changes)
        if (read.length < 60) bench.commit({ key: 'a', state: 100 + read.length })
      }
      return read
    })()
    expect(await bench.world.settle(slow)).toEqual(bench.changes)
    expect(bench.changes.length).toBeGreaterThan(60)
  })

  it('are none after the head', async () => {
    const bench = new HistoryBench('head').begin()
    bench.commit({ key: 'a', state: 1 })
    bench.stray()
    expect(await bench.read(bench.history.head)).toEqual([])
    expect(await collect(bench.history.after(seq(99)))).toEqual([])
  })

  it('fail where the log cannot be read, instead of ending early', async () => {
    const bench = new HistoryBench('unreadable')
    bench.commit({ key: 'a', state: 1 })
    bench.begin()
    bench.node.process.links.changelog.cut()
    await expect(bench.read(seq(0))).rejects.toMatchObject({ code: 'RETRY' })
  })

  it('are the same for every place to begin, any bound of memory, and wherever the ownership began', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.nat({ max: 3 }) },
      { weight: 1, arbitrary: fc.constant('stray' as const) },
    )
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 30 }),
        fc.nat({ max: 30 }),
        fc.constantFrom(1, 300, 1_000_000),
        async (steps, begin, tailBytes) => {
          const bench = new HistoryBench(`any ${run++}`)
          steps.forEach((step, i) => {
            if (i === begin) bench.begin(tailBytes)
            if (step === 'stray') bench.stray()
            else
              bench.commit(
                ...Array.from({ length: step }, (_, n) => (n === 1 ? { key: 'same' } : { key: `k${n}`, state: i })),
              )
          })
          if (bench.history === undefined) bench.begin(tailBytes)
          for (let after = 0; after <= bench.writer.position.seq; after++) {
            expect(await bench.read(seq(after))).toEqual(bench.after(seq(after)))
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})
