import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { campaign } from '../../src/testing/sim/campaign.ts'
import type { Run } from '../../src/testing/sim/run.ts'
import { build, builtFile } from '../support/build.ts'

const main = builtFile('src/testing/sim/main.ts')

/** Stands for a worker of a campaign: seed 13 kills it, and seed 14 finds something. */
const source = `
process.on('message', (seed) => {
  if (seed === 13) process.exit(3)
  process.send({
    seed,
    wrong: seed === 14 ? ['something is wrong'] : [],
    simulatedMs: 1_000,
    operations: 10,
    acknowledged: 5,
    doubtful: 0,
    events: { 'node.started': 2 },
    hits: { crash: { claiming: 1 } },
    convergedMs: [seed],
    fingerprint: '0',
    trace: '',
  })
})
`
const directory = mkdtempSync(join(tmpdir(), 'holdfast-campaign-'))
const worker = join(directory, 'worker.mjs')
writeFileSync(worker, source)

beforeAll(build, 60_000)
afterAll(() => rmSync(directory, { recursive: true }))

it('gives each seed to one worker, adds up what came of them, and counts those with a violation (P1)', async () => {
  const runs: Run[] = []
  const totals = await campaign({
    seeds: 7,
    from: 10,
    jobs: 2,
    worker,
    onRun: (run) => runs.push(run),
  })
  expect(runs.map(({ seed }) => seed).toSorted((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16])
  expect(totals).toMatchObject({
    seeds: 7,
    simulatedMs: 6_000,
    operations: 60,
    violations: 2,
    slowestConvergenceMs: 16,
  })
  expect(totals.coverage.hits).toEqual({ crash: { claiming: 6 } })
  expect(totals.events.get('node.started')).toBe(12)
})

it('begins no seed any more when there is enough', async () => {
  const enough = ({ violations }: { readonly violations: number }) => violations > 0
  const { seeds } = await campaign({ seeds: 100, from: 11, jobs: 1, worker, onRun: () => {}, enough })
  expect(seeds).toBe(3)
})

it('fails the seed whose worker dies, and goes on with another one (P2)', async () => {
  const runs: Run[] = []
  await campaign({
    seeds: 4,
    from: 12,
    jobs: 1,
    worker,
    onRun: (run) => runs.push(run),
  })
  const wrong = Object.fromEntries(runs.map(({ seed, wrong: sentences }) => [seed, sentences]))
  expect(wrong).toEqual({
    12: [],
    13: [expect.stringContaining('its worker ended with 3')],
    14: ['something is wrong'],
    15: [],
  })
})

it.each([
  [['--seeds', '0'], 1, "argument '0' is invalid. it is a whole number from 1"],
  [['--seeds', 'many'], 1, "argument 'many' is invalid. it is a whole number"],
  [['--sedes', '1'], 1, "unknown option '--sedes'\n(Did you mean --seeds?)"],
  [['--seeds', '1', '--from', '14'], 0, ' operations, 0 violations\n'],
])(
  'npm run sim -- %s ends with %i',
  async (args, code, text) => {
    const child = fork(main, args, { execArgv: [], silent: true })
    let [out, err] = ['', '']
    child.stdout!.on('data', (data: Buffer) => (out += data.toString()))
    child.stderr!.on('data', (data: Buffer) => (err += data.toString()))
    const [ended] = (await once(child, 'close')) as [number]
    expect({ ended, said: out + err }).toEqual({ ended: code, said: expect.stringContaining(text) })
    // The last line is the summary.
    if (args.includes('--from'))
      expect(out).toMatch(/\n1 seeds, \d+\.\d simulated hours, \d+ operations, 0 violations\n$/)
  },
  60_000,
)
