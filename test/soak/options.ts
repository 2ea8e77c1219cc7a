/** The command line of the soak. */
import { Command } from 'commander'
import { parseCount, parsePositive, parseWhole } from '../../src/cli/parse.ts'

export interface Options {
  readonly nodes: number
  readonly hours: number
  readonly watchers: number
  readonly seed: number
  readonly leasesOnly?: true
}

/** Ends the process, with what is wrong, where it does not understand. */
export const parseOptions = (args: readonly string[]): Options =>
  new Command('npm run soak --')
    .description('The failure detector for as many simulated hours as one likes, and what it got wrong.')
    .option('--nodes <n>', 'how many nodes there are', parseCount, 3)
    .option('--hours <n>', 'simulated hours', parsePositive, 10)
    .option('--watchers <n>', 'how many of the nodes watch the others, at most', parseCount, 10)
    .option('--seed <n>', 'what chance is drawn from', parseWhole, 1)
    .option('--leases-only', 'without gossip, which evicts nobody and costs most of the time')
    .allowExcessArguments(false)
    .parse(args, { from: 'user' })
    .opts<Options>()
