/** docs/reliability.md is what docs/reliability.jsonl says. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { faults } from './faults/index.ts'
import { kill, killLeader } from './faults/kills.ts'
import { pageFile, pageOf } from './page.ts'
import { addRow, readRows, resultsFile, strikesOf, writeRows, type Finding, type Row } from './results.ts'

const finding = (over: Partial<Finding>): Finding => ({
  ...{
    fault: 'kill',
    server: '2.15.1',
    node: '20.20.2',
    machine: 'one with 2 cores',
    commit: 'abc',
    date: '2026-01-02',
  },
  ...{
    callers: 64,
    strikes: 1,
    operations: 1_000,
    writesPerSecond: [5_000],
    usualMs: [40],
    waitsMs: [10],
    records: 5,
    hits: {},
    violations: [],
  },
  ...over,
})

/** Of a table, the cells of the rows that begin with a cell. */
const rowsOf = (page: string, first: string): readonly (readonly string[])[] =>
  page
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => cells[1] === first)
    .map((cells) => cells.slice(2, -1))

describe('the page', () => {
  it('says what the results say', async () => {
    expect(readFileSync(pageFile, 'utf8')).toBe(await pageOf(faults, readRows(resultsFile)))
  })

  it('adds up worlds, and takes waits and rates of all of them together', async () => {
    const rows: Row[] = [
      finding({
        strikes: 2,
        waitsMs: [100, 300],
        writesPerSecond: [5_000, 7_000],
        usualMs: [30, 60],
        date: '2026-01-03',
      }),
      finding({ strikes: 3, waitsMs: [200, 400], writesPerSecond: [6_000] }),
      finding({ server: '2.10.27', waitsMs: [], violations: ['it was lost\n  a trace'] }),
    ]
    const page = await pageOf([kill, killLeader], rows)
    const [newer, older, what] = rowsOf(page, '`kill`')
    expect(newer).toEqual(['2.15.1', '2026-01-03', '64', '5', '2,000', '0', '200', '400', '400', '6,000', '40'])
    expect(older).toEqual(['2.10.27', '2026-01-02', '64', '1', '1,000', '1', '', '', '', '5,000', '40'])
    expect(what).toEqual([kill.what, '100'])
    expect(page).toContain('- kill, 2026-01-02: it was lost\n')
    expect(page).not.toContain('a trace')
  })

  it('says of a fault that was never done why', async () => {
    const { waitsMs: _, ...circumstances } = finding({ fault: 'kill-leader' })
    const page = await pageOf([kill, killLeader], [{ ...circumstances, absent: 'no right' } as Row])
    expect(rowsOf(page, '`kill`')).toContainEqual(['not run yet'])
    expect(rowsOf(page, '`kill-leader`')).toContainEqual(['not possible on that machine: no right'])
  })

  it('says what was hit, and how often', async () => {
    const page = await pageOf(
      [kill],
      [finding({ hits: { 'a leg': 2 } }), finding({ hits: { 'a leg': 1, 'an arm': 4 } })],
    )
    expect(rowsOf(page, '`kill`')).toContainEqual(['2.15.1', 'a leg', '3'])
    expect(rowsOf(page, '`kill`')).toContainEqual(['2.15.1', 'an arm', '4'])
  })
})

describe('the results', () => {
  const folders: string[] = []
  afterEach(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
  })

  it('are there when a campaign goes on, for each server by itself', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-results-'))
    folders.push(folder)
    const file = join(folder, 'results.jsonl')
    expect(readRows(file)).toEqual([])
    const rows = [finding({ strikes: 4 }), finding({ strikes: 3 }), finding({ server: '2.10.27', strikes: 9 })]
    for (const row of rows) addRow(file, row)
    expect(readRows(file)).toEqual(rows)
    expect(strikesOf(readRows(file), 'kill', '2.15.1')).toBe(7)
    writeRows(file, rows.slice(2))
    expect(strikesOf(readRows(file), 'kill', '2.15.1')).toBe(0)
    expect(strikesOf(readRows(file), 'kill', '2.10.27')).toBe(9)
  })
})

describe('the faults', () => {
  it('have names of their own', () => {
    expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length)
  })
})
