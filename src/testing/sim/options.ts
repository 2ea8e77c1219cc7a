/** The command line of the simulator. */
import { availableParallelism } from 'node:os'
import { Command } from 'commander'
import { parseCount, parseWhole } from '../../cli/parse.ts'
import { coverageFrom } from './campaign.ts'

export interface Options {
  readonly seeds: number
  readonly from: number
  readonly jobs: number
  readonly table?: true
  readonly replay?: number
  readonly trace?: true
}

/** Ends the process, with what is wrong, where it does not understand. */
export const parseOptions = (args: readonly string[]): Options =>
  new Command('npm run sim --')
    .description('Whole clusters under faults and a virtual clock, each drawn from a seed.')
    .option('--seeds <n>', 'how many seeds', parseCount, 100)
    .option('--from <seed>', 'the first of them', parseWhole, 1)
    .option('--jobs <n>', 'worker processes', parseCount, availableParallelism())
    .option('--table', `prints which faults met which steps of the protocol, also of fewer than ${coverageFrom} seeds`)
    .option('--replay <seed>', 'runs one seed in this process, and prints what came of it', parseWhole)
    .option('--trace', 'of that one prints everything that happened in it, line by line')
    .allowExcessArguments(false)
    .parse(args, { from: 'user' })
    .opts<Options>()
