/** The command line of the campaign. */
import { Command } from 'commander'
import { parseCount } from '../../src/cli/parse.ts'
import type { Fault } from './fault.ts'

export interface Options {
  readonly only: readonly string[]
  readonly count?: number
  readonly anew?: true
  readonly list?: true
  readonly page?: true
}

/** Ends the process, with what is wrong, where it does not understand. */
export function parseOptions(args: readonly string[], faults: readonly Fault[]): Options {
  const command = new Command('npm run chaos --')
    .description('Faults on real processes, and docs/reliability.md about them.')
    .option('--only <faults...>', 'these alone', [])
    .option('--count <n>', 'strikes that each is to have had in all; default: its own, which --list tells', parseCount)
    .option('--anew', 'forgets what was found of them with this nats-server')
    .option('--list', 'says what the faults are, and strikes none')
    .option('--page', 'writes the page from what was found so far, and strikes none')
    .allowExcessArguments(false)
    .parse(args, { from: 'user' })
  const options = command.opts<Options>()
  const unknown = options.only.find((given) => !faults.some(({ name }) => name === given))
  if (unknown !== undefined) {
    command.error(`error: there is no fault "${unknown}". These are:\n  ${faults.map(({ name }) => name).join('\n  ')}`)
  }
  return options
}
