/**
 * `npm run sim`: seeds `--from` … `--from + --seeds − 1`, or one again with `--replay`.
 *
 * The last line is the summary. It fails where a seed has found a violation, which is printed with the command that replays it, and where
 * so many seeds have never hit a pair of fault and step that can exist (P3 of campaign.ts).
 */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { SystemClock } from '../../adapters/system/clock.ts'
import { campaign, coverageFrom, milestones, type Totals } from './campaign.ts'
import { simulate, type Run } from './run.ts'

const usage = `npm run sim -- [--seeds N] [--from SEED] [--jobs N] [--table]
npm run sim -- --replay SEED [--trace]

--seeds   how many seeds; default 100
--from    the first of them; default 1
--jobs    worker processes; default as many as there are processors
--table   prints which faults met which steps of the protocol, also of fewer than ${coverageFrom} seeds
--replay  runs one seed in this process and prints what came of it
--trace   prints everything that happened in it, line by line
`

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

function wholeNumber(text: string, name: string, least: number): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number >= least) return number
  throw new Error(`--${name} is a whole number from ${least} on, not "${text}"`)
}

function optionsOf(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '100' },
      from: { type: 'string', default: '1' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      table: { type: 'boolean', default: false },
      replay: { type: 'string' },
      trace: { type: 'boolean', default: false },
    },
  })
  return {
    seeds: wholeNumber(values.seeds, 'seeds', 1),
    from: wholeNumber(values.from, 'from', 0),
    jobs: wholeNumber(values.jobs, 'jobs', 1),
    table: values.table,
    replay: values.replay === undefined ? undefined : wholeNumber(values.replay, 'replay', 0),
    trace: values.trace,
  }
}

async function main(args: readonly string[]): Promise<number> {
  let options: ReturnType<typeof optionsOf>
  try {
    options = optionsOf(args)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
    return 2
  }
  const { seeds, from, jobs, table } = options
  const good =
    options.replay === undefined
      ? await runSeeds(seeds, from, jobs, table)
      : await replay(options.replay, options.trace)
  return good ? 0 : 1
}

if (process.argv[2] === '--worker') serve()
else process.exitCode = await main(process.argv.slice(2))
