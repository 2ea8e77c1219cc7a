/** The command line of the bench. */
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { parseCount, parsePositive } from '../src/cli/parse.ts'
import type { Scene } from './scene.ts'

export interface Options {
  readonly only: readonly string[]
  readonly list?: true
  readonly json?: true
  readonly peers?: true
  readonly rounds: number
  readonly seconds: number
  readonly keys: number
  readonly data: string
  readonly profile?: string
}

/** Ends the process, with what is wrong, where it does not understand. */
export function parseOptions(args: readonly string[], scenes: readonly Scene[]): Options {
  const command = new Command('npm run bench --')
    .description('Measures a cluster through the public client, on servers and nodes that it starts itself.')
    .option('--only <names...>', 'these figures alone; "commands" means all whose names begin with "commands."', [])
    .option('--list', 'says what the figures are, and measures nothing')
    .option('--json', 'prints all figures as one JSON object, as the last line')
    .option('--peers', 'also measures others, which are installed where they are not there')
    .option('--rounds <n>', 'rounds of which the median counts, after one to warm up', parseCount, 3)
    .option('--seconds <n>', 'length of a round', parsePositive, 4)
    .option('--keys <n>', 'keys that are written to', parseCount, 100_000)
    .option(
      '--data <folder>',
      'where all data goes while it runs: the disk that is measured',
      (path) => resolve(path),
      tmpdir(),
    )
    .option('--profile <folder>', 'each process writes a CPU profile there', (path) => resolve(path))
    .allowExcessArguments(false)
    .parse(args, { from: 'user' })
  const options = command.opts<Options>()
  const names = scenes.flatMap(({ figures }) => Object.keys(figures))
  const unknown = options.only.find((given) => !names.some((name) => isOf(name, given)))
  if (unknown !== undefined)
    command.error(`error: there is no figure "${unknown}". These are:\n  ${names.join('\n  ')}`)
  return options
}

/** Whether a figure was asked for. */
export function wanted({ only, peers }: Pick<Options, 'only' | 'peers'>, scene: Scene, name: string): boolean {
  if (only.length > 0) return only.some((given) => isOf(name, given))
  return scene.peers !== true || peers === true
}

const isOf = (name: string, given: string) => name === given || name.startsWith(`${given}.`)
