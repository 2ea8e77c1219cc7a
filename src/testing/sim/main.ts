/**
 * `npm run sim`: seeds `--from` … `--from + --seeds − 1`, or one again with `--replay`.
 *
 * The last line is the summary. It fails where a seed has found a violation, which is printed with the command that replays it, and where
 * so many seeds have never hit a pair of fault and step that can exist (P3 of campaign.ts).
 */
import { fileURLToPath } from 'node:url'
import { SystemClock } from '../../adapters/system/clock.ts'
import { campaign, coverageFrom, milestones, type Totals } from './campaign.ts'
import { parseOptions } from './options.ts'
import { simulate, type Run } from './run.ts'

const clock = new SystemClock()
const betweenProgressMs = 2_000
const say = (text: string) => process.stdout.write(`${text}\n`)

const hours = (ms: number) => (ms / 3_600_000).toFixed(1)

const summaryOf = ({ seeds, simulatedMs, operations, violations }: Totals) =>
  `${seeds} seeds, ${hours(simulatedMs)} simulated hours, ${operations} operations, ${violations} violations`

async function runSeeds(seeds: number, from: number, jobs: number, table: boolean): Promise<boolean> {
  const beganMs = clock.monotonic()
  let saidAtMs = beganMs
  const onRun = (run: Run, totals: Totals) => {
    if (run.wrong.length > 0) say(violationOf(run))
    const nowMs = clock.monotonic()
    if (nowMs - saidAtMs < betweenProgressMs) return
    saidAtMs = nowMs
    const rate = (totals.seeds / ((nowMs - beganMs) / 1_000)).toFixed(1)
    process.stderr.write(`${summaryOf(totals)}; ${seeds - totals.seeds} to go, ${rate} a second\n`)
  }
  const totals = await campaign({ seeds, from, jobs, worker: fileURLToPath(import.meta.url), onRun })
  const { coverage, slowestConvergenceMs } = totals
  const missing: string[] = [...coverage.missing(), ...milestones.filter((type) => !totals.events.has(type))]
  const contradicted = coverage.contradicted()
  const judged = seeds >= coverageFrom
  if (table || judged) say(coverage.table())
  say(milestones.map((type) => `${type} ${totals.events.get(type) ?? 0}`).join(', '))
  say(`slowest convergence ${(slowestConvergenceMs / 1_000).toFixed(1)} simulated seconds`)
  if (contradicted.length > 0) say(`hit, though said to be impossible: ${contradicted.join(', ')}`)
  if (missing.length > 0)
    say(`never hit${judged ? '' : ' by so few seeds'}: ${missing.length} pairs of fault and step, or events`)
  if (judged) for (const pair of missing) say(`  ${pair}`)
  say(summaryOf(totals))
  return totals.violations === 0 && contradicted.length === 0 && (!judged || missing.length === 0)
}

function violationOf({ seed, wrong }: Run): string {
  const findings = wrong.map((sentence) => `  ${sentence}`)
  return [`seed ${seed}:`, ...findings, `  replay it with: npm run sim -- --replay ${seed} --trace`].join('\n')
}

async function replay(seed: number, traced: boolean): Promise<boolean> {
  const { trace, hits: _, ...run } = await simulate(seed, { trace: traced })
  if (traced) say(trace)
  say(JSON.stringify(run, null, 2))
  return run.wrong.length === 0
}

/** A worker: a seed comes in, its run goes out, without the trace, which a replay gives. */
function serve(): void {
  process.on('message', (seed: number) => {
    void simulate(seed).then((run) => process.send!({ ...run, trace: '' }))
  })
}

async function main(): Promise<boolean> {
  const { replay: again, trace, seeds, from, jobs, table } = parseOptions(process.argv.slice(2))
  return again === undefined ? runSeeds(seeds, from, jobs, table === true) : replay(again, trace === true)
}

if (process.argv[2] === '--worker') serve()
else process.exitCode = (await main()) ? 0 : 1
