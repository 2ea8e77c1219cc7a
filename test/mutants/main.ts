/**
 * `npm run mutants`: puts one deliberate bug after the other into a copy of the source, and runs seeds of the simulator there until one finds
 * something. What is printed is a table in Markdown, and a summary in its last line.
 *
 * It fails where a bug is found by no seed, or where a seed that found one finds something without it, too: then it is not that bug that was
 * found.
 */
import { availableParallelism } from 'node:os'
import { Command } from 'commander'
import { parseCount, parseWhole } from '../../src/cli/parse.ts'
import { campaign } from '../../src/testing/sim/campaign.ts'
import { simulate, type Run } from '../../src/testing/sim/run.ts'
import { MutatedTree, mutants, type Mutant } from './mutant.ts'

interface Options {
  readonly only?: readonly string[]
  readonly seeds: number
  readonly from: number
  readonly jobs: number
}

const { only, seeds, from, jobs } = new Command('npm run mutants --')
  .description('Deliberate bugs, one after the other, and the seeds of the simulator that find them.')
  .option('--only <names...>', 'these alone')
  .option('--seeds <n>', 'how many seeds look for each, at most', parseCount, 1_000)
  .option('--from <seed>', 'the first of them', parseWhole, 1)
  .option('--jobs <n>', 'how many bugs are looked for at a time', parseCount, availableParallelism())
  .allowExcessArguments(false)
  .parse()
  .opts<Options>()

const say = (text: string) => process.stdout.write(`${text}\n`)

/** The first run that finds it, of seeds one after the other: the same whoever looks for it. */
async function hunt(mutant: Mutant): Promise<Run | undefined> {
  const tree = new MutatedTree(mutant)
  try {
    let found: Run | undefined
    await campaign({
      seeds,
      from,
      jobs: 1,
      worker: tree.simulator,
      onRun: (run) => {
        if (run.wrong.length === 0) return
        // Its worker has died.
        if (run.simulatedMs === 0) throw new Error(`${mutant.name}: ${run.wrong.join('; ')}`)
        found = run
      },
      enough: () => found !== undefined,
    })
    return found
  } finally {
    tree.remove()
  }
}

const shown = (sentence: string) => sentence.split('\n', 1)[0]!.replaceAll('|', '\\|').slice(0, 160)

const chosen = mutants().filter(({ name }) => only?.includes(name) ?? true)
const escaped: string[] = []
const finders = new Map<number, string[]>()

async function report(mutant: Mutant): Promise<void> {
  const { name, rule, breaks, escapes } = mutant
  const run = await hunt(mutant)
  if (run === undefined && escapes === undefined) escaped.push(name)
  if (run !== undefined) finders.set(run.seed, [...(finders.get(run.seed) ?? []), name])
  say(`| ${name} | ${rule} | ${breaks} | ${run?.seed ?? 'none'} | ${shown(run?.wrong[0] ?? escapes ?? 'nothing')} |`)
}

say('| bug | rule | what it breaks | seed | what was found |')
say('| --- | --- | --- | --- | --- |')
const waiting = [...chosen]
const workers = Array.from({ length: jobs }, async () => {
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) await report(mutant)
})
await Promise.all(workers)
const doubtful: string[] = []
for (const [seed, names] of finders) if ((await simulate(seed)).wrong.length > 0) doubtful.push(...names)
const found = [...finders.values()].flat().length
if (escaped.length > 0) say(`not found: ${escaped.join(', ')}`)
if (doubtful.length > 0) say(`found by a seed that finds something without it, too: ${doubtful.join(', ')}`)
say(`${chosen.length} bugs, ${found} found, by ${finders.size} seeds; ${escaped.length + doubtful.length} amiss`)
process.exitCode = escaped.length + doubtful.length > 0 ? 1 : 0
