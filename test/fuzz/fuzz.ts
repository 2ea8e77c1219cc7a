/**
 * `npm run fuzz`: hostile messages to every subject of a running cluster.
 *
 * Prints a line for each round and one at the end; exits with 1 where something was wrong, with what replays it.
 */
import { Command, Option } from 'commander'
import { parseCount, parseWhole } from '../../src/cli/parse.ts'
import { campaign, mostBlockedMs, roundFrames, type Report } from './campaign.ts'
import { doors } from './doors.ts'

const mostGrownMiB = 64

interface Options {
  readonly frames: number
  readonly seed: string
  readonly round: number
  readonly only?: string[]
  readonly trace?: true
}

const {
  frames,
  seed,
  round: firstRound,
  only,
  trace,
} = new Command('npm run fuzz --')
  .description('Hostile messages to every subject of a running cluster.')
  .option('--frames <n>', 'how many messages', parseCount, 10_000_000)
  .option('--seed <text>', 'what they are drawn from', '1')
  .option('--round <n>', 'the first round', parseWhole, 0)
  .addOption(new Option('--only <doors...>', 'to these alone').choices(doors.map(({ name }) => name)))
  .option('--trace', 'errors have their stacks')
  .allowExcessArguments(false)
  .parse()
  .opts<Options>()

// Most of what is made here is refused, and each refusal is an error: what tells where it was made takes longer than all else.
if (trace !== true) Error.stackTraceLimit = 0

let rejections = 0
for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
  process.on(event, (error: unknown) => {
    rejections++
    process.stderr.write(`${event}: ${error instanceof Error ? error.stack : String(error)}\n`)
  })
}

const startedMs = performance.now()
const seconds = () => ((performance.now() - startedMs) / 1_000).toFixed(0)
const line = ({ rounds, violations, blockedMs, blockedBy, grownMiB, peakMiB, ...report }: Report) =>
  `${report.frames} frames (${report.whole} the whole way) in ${rounds} rounds and ${seconds()} s: ${violations.length} violations, ${rejections} unhandled, ` +
  `memory +${grownMiB.toFixed(0)} MiB (peak +${peakMiB.toFixed(0)}), longest block ${blockedMs.toFixed(0)} ms (${blockedBy}), ` +
  `${report.dropped} dropped, ${report.acknowledged} honest commands`

let told = 0
const report = await campaign({
  ...{ seed, frames, firstRound, ...(only && { only }) },
  onRound: (now) => {
    process.stdout.write(`${line(now)}\n`)
    for (const { round, what } of now.violations.slice(told)) {
      process.stdout.write(
        `round ${round}: ${what}\n  npm run fuzz -- --seed ${seed} --round ${round} --frames ${roundFrames} --trace\n`,
      )
    }
    told = now.violations.length
  },
})
for (const [name, count] of Object.entries(report.byDoor))
  process.stdout.write(`${String(count).padStart(9)}  ${name}\n`)
const wrong =
  report.violations.length + rejections > 0 || report.grownMiB >= mostGrownMiB || report.blockedMs > mostBlockedMs
process.stdout.write(`${wrong ? 'WRONG' : 'well'}: ${line(report)}\n`)
process.exitCode = wrong ? 1 : 0
