/**
 * `npm run fuzz -- [--frames 10000000] [--seed 1] [--round 0] [--only <door>]… [--trace]`: hostile messages to every subject of a running cluster.
 *
 * With `--trace` errors have their stacks. Prints a line for each round and one at the end; exits with 1 where something was wrong, with what replays it.
 */
import { parseArgs } from 'node:util'
import { campaign, mostBlockedMs, roundFrames, type Report } from './campaign.ts'
import { doors } from './doors.ts'

const mostGrownMiB = 64

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: '1' },
    round: { type: 'string', default: '0' },
    only: { type: 'string', multiple: true },
    trace: { type: 'boolean', default: false },
  },
})
const [frames, seed, firstRound] = [Number(values.frames), values.seed, Number(values.round)]
const unknown = values.only?.find((name) => !doors.some((door) => door.name === name))
if (unknown !== undefined) {
  process.stderr.write(`there is no door "${unknown}": ${doors.map(({ name }) => name).join(', ')}\n`)
  process.exit(2)
}

// Most of what is made here is refused, and each refusal is an error: what tells where it was made takes longer than all else.
if (!values.trace) Error.stackTraceLimit = 0

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
const only = values.only === undefined ? {} : { only: values.only }
const report = await campaign({
  ...{ seed, frames, firstRound, ...only },
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
